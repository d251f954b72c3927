"""The JSON Schema of homeostat.yaml, for editors and for hints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from homeostat.entrypoints.settings.deployment import Settings

Schema = Mapping[str, Any]


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) that docs/reference/homeostat.schema.json holds."""
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "homeostat.yaml",
    }
    return head | {k: v for k, v in Settings.model_json_schema().items() if k not in head}


def known_keys(path: Sequence[str | int]) -> tuple[str, ...]:
    """Return the settings that may stand in the part at `path`.

    Examples
    --------
    >>> known_keys(("models", 0, "budget"))
    ('alarms', 'per')
    """
    root = json_schema()
    nodes = [root]
    for step in path:
        nodes = [below for node in nodes for below in _below(root, node, step)]
    return tuple(key for node in nodes for key in node.get("properties", {}))


def _below(root: Schema, node: Schema, step: str | int) -> list[dict[str, Any]]:
    """Return what may stand at `step`, unions and references taken apart."""
    tagged = node.get("discriminator", {}).get("mapping", {})
    if step in tagged:
        return _flat(root, {"$ref": tagged[step]})
    if isinstance(step, int):
        found = node.get("items")
    else:
        found = node.get("properties", {}).get(step) or node.get("additionalProperties")
    return _flat(root, found) if isinstance(found, dict) else []


def _flat(root: Schema, node: dict[str, Any]) -> list[dict[str, Any]]:
    if "$ref" in node:
        return _flat(root, root["$defs"][str(node["$ref"]).rpartition("/")[2]])
    if "discriminator" not in node and "anyOf" in node:
        return [below for choice in node["anyOf"] for below in _flat(root, choice)]
    return [node]
