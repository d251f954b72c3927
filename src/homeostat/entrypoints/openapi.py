"""Pieces that OpenAPI documents are made of."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeAlias, Union, get_args, get_origin, get_type_hints

Json: TypeAlias = dict[str, object]

PATH = "/openapi.json"
JSON = "application/json"
TEXT: Json = {"type": "string"}
NUMBER: Json = {"type": ["number", "null"]}
ANY_OBJECT: Json = {"type": "object"}
PLAIN: dict[object, Json] = {
    types.NoneType: {"type": "null"},
    str: TEXT,
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: NUMBER,  # null where JSON has no such number
    datetime: {"type": "string", "format": "date-time"},
    timedelta: {"type": "number"},
}


def document(title: str, version: str, description: str, paths: Json, schemas: Json) -> Json:
    """Return a document whose calls may need a bearer token."""
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": description},
        "security": [{}, {"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas,
        },
    }


def answers(
    summary: str,
    answer: Json,
    error: Json,
    refusals: Mapping[int, str],
    *,
    kind: str = JSON,
    status: int = 200,
) -> Json:
    """Return an operation with what it answers, and errors by status with what they mean."""
    good = {"description": summary, "content": {kind: {"schema": answer}}}
    responses: dict[str, object] = {str(status): good}
    for code, meaning in refusals.items():
        content = {JSON: {"schema": error}}
        responses[str(code)] = {"description": meaning, "content": content}
    return {"summary": summary, "responses": responses}


def in_path(name: str, values: Sequence[str] = ()) -> Json:
    """Return a parameter in the path, one of some values if there are any."""
    schema = an_enum(values) if values else TEXT
    return {"name": name, "in": "path", "required": True, "schema": schema}


def in_query(name: str, schema: Json, description: str) -> Json:
    """Return a parameter that may stand in the query string."""
    return {"name": name, "in": "query", "schema": schema, "description": description}


def an_object(properties: Mapping[str, object], *required: str) -> Json:
    """Return the schema of an object."""
    return {"type": "object", "properties": dict(properties), "required": list(required)}


def a_list(items: Mapping[str, object]) -> Json:
    """Return the schema of a list."""
    return {"type": "array", "items": items}


def an_enum(values: Sequence[str]) -> Json:
    """Return the schema of some texts."""
    return {"type": "string", "enum": list(values)}


def a_ref(name: str) -> Json:
    """Return a reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def of_type(kind: object) -> Json:
    """Return the schema of values of a type as `reply` writes them: dataclasses become objects.

    Examples
    --------
    >>> of_type(tuple[int, ...])
    {'type': 'array', 'items': {'type': 'integer'}}
    >>> of_type(str | None)
    {'anyOf': [{'type': 'string'}, {'type': 'null'}]}
    """
    if kind in PLAIN:
        return PLAIN[kind]
    origin, parts = get_origin(kind), get_args(kind)
    if origin in {types.UnionType, Union}:
        return {"anyOf": [of_type(part) for part in parts]}
    if origin in {tuple, list}:
        alike = len(parts) == 2 and parts[1] is ...
        return a_list(of_type(parts[0])) if alike else {"type": "array"}
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return an_enum([each.value for each in kind])
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        names = [field.name for field in dataclasses.fields(kind)]
        return an_object({name: of_type(hints[name]) for name in names}, *names)
    return {}
