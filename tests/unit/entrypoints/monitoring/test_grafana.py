"""What Grafana is given beside its dashboards, against the structures that it reads files into."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from homeostat.entrypoints.monitoring.dashboards import dashboards
from scrapers import run
from unit.entrypoints.monitoring.exported import ALERTING, FILES, RUNBOOKS, known, names
from unit.entrypoints.monitoring.promql import flat

# Fields of pkg/services/provisioning/alerting/*_types.go. Grafana drops others without a word.
FIELDS = {
    "file": {"apiVersion", "groups", "contactPoints", "policies", "templates", "muteTimes"},
    "group": {"orgId", "name", "folder", "interval", "rules"},
    "rule": {
        "uid", "title", "condition", "data", "dashboardUid", "panelId", "noDataState",
        "execErrState", "for", "keepFiringFor", "missing_series_evals_to_resolve", "annotations",
        "labels", "isPaused", "notification_settings", "record",
    },
    "query": {"refId", "queryType", "relativeTimeRange", "datasourceUid", "model"},
    "contact": {"orgId", "name", "receivers"},
    "receiver": {"uid", "type", "settings", "disableResolveMessage"},
    "policy": {
        "orgId", "receiver", "group_by", "object_matchers", "continue", "mute_time_intervals",
        "active_time_intervals", "routes", "group_wait", "group_interval", "repeat_interval",
    },
}  # fmt: skip
SETTINGS = {
    "pagerduty": (
        {"integrationKey"},
        {"severity", "class", "component", "group", "summary", "source", "client", "client_url",
         "details", "url"},
    ),
    "slack": (
        {"url"},
        {"recipient", "token", "title", "text", "username", "icon_emoji", "icon_url", "color",
         "mentionChannel", "mentionUsers", "mentionGroups", "endpointUrl"},
    ),
}  # fmt: skip
DURATION = re.compile(r"\d+(ms|[smhdwy])")
ALERTS = yaml.safe_load(FILES["grafana/provisioning/alerting/homeostat.yml"])
CONTACTS = yaml.safe_load(FILES["grafana/paging/homeostat-contacts.yml"])
POLICIES = yaml.safe_load(FILES["grafana/paging/homeostat-policies.yml"])
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
DRAWN: list[dict[str, Any]] = list(dashboards())


def policies(tree: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a policy and those below it."""
    return [tree, *(found for route in tree.get("routes", ()) for found in policies(route))]


PARTS = {
    "file": [ALERTS, CONTACTS, POLICIES],
    "group": ALERTS["groups"],
    "rule": RULES,
    "query": [query for rule in RULES for query in rule["data"]],
    "contact": CONTACTS["contactPoints"],
    "receiver": [one for point in CONTACTS["contactPoints"] for one in point["receivers"]],
    "policy": [found for tree in POLICIES["policies"] for found in policies(tree)],
}


@pytest.mark.parametrize("part", FIELDS)
def test_every_field_is_one_that_grafana_reads(part: str) -> None:
    assert PARTS[part]
    for found in PARTS[part]:
        assert set(found) <= FIELDS[part], found


def test_durations_have_the_form_of_prometheus_and_states_are_grafanas_own() -> None:
    told = [group["interval"] for group in PARTS["group"]]
    told += [rule[key] for rule in RULES for key in ("for", "keepFiringFor")]
    told += [v for p in PARTS["policy"] for key, v in p.items() if key.endswith(("_wait", "val"))]
    assert len(told) > 5
    assert [text for text in told if not DURATION.fullmatch(text)] == []
    for rule in RULES:
        assert rule["noDataState"] in {"Alerting", "NoData", "OK", "KeepLast"}
        assert rule["execErrState"] in {"Alerting", "Error", "OK", "KeepLast"}


def test_a_threshold_on_a_drop_of_five_points_decides() -> None:
    (rule,) = RULES
    steps = {step["refId"]: step for step in rule["data"]}
    assert all(step["model"]["refId"] == name for name, step in steps.items())
    last = steps[rule["condition"]]
    assert last["datasourceUid"] == "__expr__"
    assert last["model"]["conditions"][0]["evaluator"] == {"type": "gt", "params": [0.05]}
    first = steps[last["model"]["expression"]]
    assert names(first["model"]["expr"]) <= known()
    source = yaml.safe_load(FILES["grafana/provisioning/datasources/homeostat.yml"])
    assert first["datasourceUid"] == source["datasources"][0]["uid"]
    assert (RUNBOOKS / rule["annotations"]["runbook_url"].rpartition("/")[2]).is_file()


def test_missing_data_neither_pages_nor_takes_a_page_back() -> None:
    (rule,) = RULES
    assert rule["noDataState"] == rule["execErrState"] == "KeepLast"
    assert rule["missing_series_evals_to_resolve"] == 15
    assert rule["keepFiringFor"] == "15m"


def test_the_panel_that_it_links_to_is_there_and_both_ways_of_saying_so_agree() -> None:
    (rule,) = RULES
    told = rule["annotations"]
    assert told["__dashboardUid__"] == rule["dashboardUid"]
    assert told["__panelId__"] == str(rule["panelId"])
    (board,) = [each for each in DRAWN if each["uid"] == rule["dashboardUid"]]
    (panel,) = [each for each in board["panels"] if each["id"] == rule["panelId"]]
    assert "homeostat_metric_value" in json.dumps(panel["targets"])


def test_receivers_have_what_they_need_and_no_secret() -> None:
    for receiver in PARTS["receiver"]:
        needed, more = SETTINGS[receiver["type"]]
        assert needed <= set(receiver["settings"]) <= needed | more
        for secret in needed:
            assert re.fullmatch(
                r"\$__file\{/etc/grafana/secrets/\w+\}", receiver["settings"][secret]
            )
    uids = [receiver["uid"] for receiver in PARTS["receiver"]]
    assert len(set(uids)) == len(uids)


def told(labels: dict[str, str]) -> str:
    """Return whom the policies tell of an alert: the first route that takes it."""
    (root,) = POLICIES["policies"]
    for route in root["routes"]:
        for name, operator, _ in route["object_matchers"]:
            assert (operator, name in {"source", "severity"}) == ("=", True)
        if all(labels.get(name) == value for name, _, value in route["object_matchers"]):
            return str(route["receiver"])
    return str(root["receiver"])


def test_what_is_critical_pages_and_the_rest_is_told() -> None:
    contacts = {point["name"] for point in CONTACTS["contactPoints"]}
    assert {policy["receiver"] for policy in PARTS["policy"]} <= contacts
    assert told(RULES[0]["labels"]) == "homeostat-on-call"
    severities = {asked.rule["labels"]["severity"] for asked in ALERTING}
    found = {
        severity: told({"source": "homeostat", "severity": severity}) for severity in severities
    }
    assert found == dict.fromkeys(severities, "homeostat-chat") | {"critical": "homeostat-on-call"}


def test_who_pages_is_never_put_where_it_would_replace_what_is_there() -> None:
    beside = [name for name in FILES if name.startswith("grafana/provisioning/")]
    assert len(beside) == 3
    for name in beside:
        assert not {"policies", "contactPoints"} & set(yaml.safe_load(FILES[name])), name


CASES = {
    # usual, value, rows -> what is compared with 0.05, or nothing
    "a drop of ten points": ("0.9", "0.8", "200", 0.1),
    "a drop of two points": ("0.9", "0.88", "200", 0.02),
    "better than before": ("0.9", "0.95", "200", -0.05),
    "few rows": ("0.9", "0.2", "99", None),
    "a version without a past": ("_", "0.2", "200", None),
    "nothing measured": ("0.9", "_", "_", None),
}


def test_the_query_gives_the_drop_where_there_are_rows_and_else_nothing(tmp_path: Path) -> None:
    (rule,) = RULES
    expr = flat(rule["data"][0]["model"]["expr"])
    shown = 'model="m", cohort="matured", version="2"'
    tests = []
    for name, (usual, value, rows, drop) in CASES.items():
        figures = {"reference_value": usual, "value": value, "rows": rows}
        series = [
            {"series": f'homeostat_metric_{part}{{metric="accuracy", {shown}}}', "values": number}
            for part, number in figures.items()
        ]
        wanted = [] if drop is None else [{"labels": f"{{{shown}}}", "value": drop}]
        asked = [{"expr": f"round({expr}, 0.0001)", "eval_time": "5m", "exp_samples": wanted}]
        tests.append(
            {"name": name, "interval": "1m", "input_series": series, "promql_expr_test": asked}
        )
    path = tmp_path / "grafana_test.yml"
    path.write_text(yaml.safe_dump({"rule_files": [], "tests": tests}))
    done = run("promtool", "test", "rules", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
