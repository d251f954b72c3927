"""Dashboards: valid, complete, and asking only for what is exported."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from homeostat.entrypoints.monitoring.dashboards import dashboards
from homeostat.entrypoints.monitoring.dashboards.panels import COLUMNS
from unit.entrypoints.monitoring.exported import known, names
from unit.entrypoints.monitoring.promql import QUERIES, flat

SCHEMA = json.loads((Path(__file__).parent / "dashboard.schema.json").read_text())
# What panels can show, by Grafana's names of units (packages/grafana-data, categories.ts).
UNITS = {"s", "percentunit", "short", "reqps", "bytes", "none"}
MADE: dict[str, Any] = {str(made["uid"]): made for made in dashboards()}
UIDS = sorted(MADE)


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries(dashboard: dict[str, Any]) -> Iterator[str]:
    for panel in panels(dashboard):
        yield from (flat(target["expr"]) for target in panel["targets"])


def sources(tree: object) -> Iterator[object]:
    """Yield every data source that is named anywhere."""
    if isinstance(tree, dict):
        if "datasource" in tree:
            yield tree["datasource"]
        for value in tree.values():
            yield from sources(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from sources(value)


def test_the_dashboards_that_are_promised_are_there() -> None:
    assert [
        f"homeostat-{name}"
        for name in ("fleet", "incidents", "model", "rollout", "serving", "value")
    ] == UIDS


@pytest.mark.parametrize("uid", UIDS)
def test_a_dashboard_is_what_grafana_stores(uid: str) -> None:
    errors = [
        (list(error.absolute_path), error.message)
        for error in Draft7Validator(SCHEMA).iter_errors(MADE[uid])
    ]
    assert not errors


@pytest.mark.parametrize(
    "wrong",
    [{"panels": [{"title": "no type"}]}, {"templating": []}, {"time": {"from": 1}}, {"extra": 1}],
    ids=["panel", "templating", "time", "field"],
)
def test_the_schema_refuses_what_grafana_would_not_take(wrong: dict[str, object]) -> None:
    assert list(Draft7Validator(SCHEMA).iter_errors(MADE["homeostat-fleet"] | wrong))


@pytest.mark.parametrize("uid", UIDS)
def test_a_dashboard_can_be_imported_anywhere(uid: str) -> None:
    made = MADE[uid]
    assert made["id"] is None
    assert "__inputs" not in json.dumps(made)
    assert {json.dumps(s) for s in sources(made)} == {
        json.dumps({"type": "prometheus", "uid": "${datasource}"})
    }
    assert made["templating"]["list"][0]["type"] == "datasource"


@pytest.mark.parametrize("uid", UIDS)
def test_every_panel_has_a_title_a_unit_and_a_word_on_what_it_shows(uid: str) -> None:
    titles = [panel["title"] for panel in panels(MADE[uid])]
    assert len(set(titles)) == len(titles)
    for panel in panels(MADE[uid]):
        assert panel["title"].strip()
        assert len(panel["description"]) > 10, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert panel["targets"], panel["title"]


@pytest.mark.parametrize("uid", UIDS)
def test_panels_do_not_lie_on_each_other(uid: str) -> None:
    taken: set[tuple[int, int]] = set()
    numbers = [panel["id"] for panel in MADE[uid]["panels"]]
    assert len(set(numbers)) == len(numbers)
    for panel in MADE[uid]["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS
        mine = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not taken & mine, panel["title"]
        taken |= mine


@pytest.mark.parametrize("uid", UIDS)
def test_queries_are_free_of_known_faults(uid: str) -> None:
    found = [
        (name, query)
        for query in queries(MADE[uid])
        for name, fault in QUERIES.items()
        if name != "errors are 0 before the first one" and fault.told(query)
    ]
    assert not found
    ranges = [span for query in queries(MADE[uid]) for span in re.findall(r"\[([^\]]+)\]", query)]
    assert set(ranges) <= {"$__rate_interval"}


@pytest.mark.parametrize("uid", UIDS)
def test_queries_ask_for_what_there_is(uid: str) -> None:
    asked = {name for query in queries(MADE[uid]) for name in names(query)}
    assert asked
    assert asked <= known()


@pytest.mark.parametrize("uid", UIDS)
def test_variables_that_are_used_are_defined(uid: str) -> None:
    defined = {variable["name"] for variable in MADE[uid]["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(MADE[uid]["panels"])))
    assert used - {"__rate_interval"} <= defined
