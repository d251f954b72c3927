"""MLflow's scoring protocol: ``/invocations`` with JSON or CSV, and what is asked beside it."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from homeostat.domain.model import ModelSpec
from homeostat.domain.record import feature_schema
from homeostat.entrypoints.gateway.batch import META, InputError, columns_to_table
from homeostat.entrypoints.gateway.desk import (
    JSON,
    Desk,
    Rows,
    answering,
    check_count,
    read_body,
    read_object,
    reply,
)
from homeostat.entrypoints.gateway.forms import RefusedError
from homeostat.entrypoints.gateway.inference import Inference, server_version

CSV = "text/csv"
FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")


def routes(desk: Desk) -> list[BaseRoute]:
    """Return the routes of the protocol."""
    scoring = _Scoring(desk)
    of_model, alone = answering(scoring.of_model), answering(scoring.alone)
    return [
        Route("/models/{model}/invocations", of_model, methods=["POST"]),
        Route("/invocations", alone, methods=["POST"]),
        Route("/ping", scoring.ping, methods=["GET"]),
        Route("/health", scoring.ping, methods=["GET"]),
        Route("/version", _version, methods=["GET"]),
    ]


async def _version(_: Request) -> Response:
    return PlainTextResponse(server_version())


class _Scoring:
    def __init__(self, desk: Desk) -> None:
        self._desk, self._inference = desk, Inference(desk)

    async def ping(self, _: Request) -> Response:
        return PlainTextResponse("\n", 200 if self._inference.ready() else 404)

    async def of_model(self, request: Request) -> Response:
        return await self._invoke(request, request.path_params["model"])

    async def alone(self, request: Request) -> Response:
        names = list(self._desk.gateway.routes.models)
        if len(names) != 1:
            known = ", ".join(f"/models/{name}/invocations" for name in names)
            raise RefusedError(404, f"several models are served here; ask one of {known}")
        return await self._invoke(request, names[0])

    async def _invoke(self, request: Request, model: str) -> Response:
        self._desk.admit(model)
        spec = self._desk.gateway.routes.models[model].spec
        kind, body = await read_body(request.scope, request.receive, (JSON, CSV))
        reader: Callable[[bytes], Rows] = partial(from_csv if kind == CSV else from_json, spec)
        rows = await self._desk.rows(model, body, reader)
        answered = await self._desk.answer(model, rows)

        def told() -> Response:
            # What MLflow's clients read, and beside it what they cannot know of.
            return reply({"predictions": answered.scores, "answers": answered.content()})

        return await self._desk.write(answered.num_rows, told)


def from_csv(spec: ModelSpec, body: bytes) -> pa.Table:
    """Return the rows of a CSV file with a header line; raises InputError."""
    kinds = {item.name: item.type for item in (*META, *feature_schema(spec))}
    kinds["timestamp"] = pa.string()  # cast with the same care as everywhere
    convert = pa.csv.ConvertOptions(
        column_types=kinds, null_values=["", "NA", "NaN", "null"], strings_can_be_null=True
    )
    try:
        table = pa.csv.read_csv(io.BytesIO(body), convert_options=convert)
    except pa.ArrowException as error:
        raise InputError(f"the request is not CSV of the model's columns: {error}") from error
    for place, item in enumerate(table.schema):
        if item.name in table.column_names[:place]:
            raise InputError("is there twice", column=item.name)
        if pa.types.is_floating(item.type):
            row = pc.index(pc.is_inf(table.column(place)), True).as_py()
            if row >= 0:
                raise InputError("is infinite", row, item.name)
    return table


def from_json(spec: ModelSpec, body: bytes) -> Rows:
    """Return the rows of a JSON request in one of MLflow's four forms.

    Raises
    ------
    RefusedError, InputError
        If it is none of them, or its rows do not fit the model's columns.
    """
    asked = read_object(body)
    forms = [form for form in FORMS if form in asked]
    if len(forms) != 1:
        raise RefusedError(400, f"the request must hold exactly one of {', '.join(FORMS)}")
    given = asked[forms[0]]
    rows: Rows
    if forms[0] == "dataframe_split":
        rows = _split(spec, given)
    elif isinstance(given, dict):
        if forms[0] != "inputs":
            raise RefusedError(400, f"{forms[0]} must be a list of rows")
        rows = _by_column(spec, given)
    else:
        rows = _listed(given, spec.schema.names, forms[0])
    return _with_params(rows, asked.get("params"))


def _with_params(rows: Rows, params: object) -> Rows:
    if params is None:
        return rows
    if not isinstance(params, dict):
        raise RefusedError(400, "params must be an object")
    unknown = [str(name) for name in params if name not in META.names]
    if unknown:
        known = ", ".join(META.names)
        raise RefusedError(400, f"there is no parameter {unknown[0]!r:.80}; there are {known}")
    if isinstance(rows, pa.Table):
        raise RefusedError(400, "params are not taken beside columns; give each row its own")
    if "prediction_id" in params and len(rows) != 1:
        raise RefusedError(400, f"one prediction_id cannot name {len(rows)} rows")
    return [{**params, **row} for row in rows]


def _split(spec: ModelSpec, given: object) -> Rows:
    if not isinstance(given, dict) or not isinstance(given.get("data"), list):
        raise RefusedError(400, "dataframe_split must be an object with the lists columns and data")
    names = given.get("columns", list(spec.schema.names))
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RefusedError(400, "columns of dataframe_split must be a list of names")
    if len(set(names)) != len(names):
        raise RefusedError(400, "columns of dataframe_split names one twice")
    return _listed(given["data"], names, "data")


def _listed(given: object, names: Sequence[str], form: str) -> list[Mapping[str, object]]:
    if not isinstance(given, list):
        raise RefusedError(400, f"{form} must be a list of rows")
    check_count(len(given))
    rows: list[Mapping[str, object]] = []
    for number, row in enumerate(given):
        if isinstance(row, dict):
            rows.append(cast("Mapping[str, object]", row))
            continue
        values = row if isinstance(row, list) else [row]
        if len(values) != len(names):
            problem = f"has {len(values)} values; there are {len(names)}: {', '.join(names)}"
            raise InputError(problem, number)
        rows.append(dict(zip(names, values, strict=True)))
    return rows


def _by_column(spec: ModelSpec, given: Mapping[str, object]) -> Rows:
    columns = {name: v if isinstance(v, list) else [v] for name, v in given.items()}
    if not columns:
        raise RefusedError(400, "inputs names no column")
    sizes = {name: len(values) for name, values in columns.items()}
    if len(set(sizes.values())) != 1:
        raise RefusedError(400, f"the columns of inputs differ in length: {sizes}"[:200])
    flat = {  # a column of a matrix: [[1], [2]]
        name: [v[0] if isinstance(v, list) and len(v) == 1 else v for v in values]
        for name, values in columns.items()
    }
    return columns_to_table(spec, flat)
