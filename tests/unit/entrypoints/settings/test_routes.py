from pathlib import Path

import pytest

from homeostat.alerting.routes import Route
from homeostat.domain.decision import Severity
from homeostat.domain.errors import ConfigError
from homeostat.entrypoints.settings import load
from homeostat.entrypoints.settings.plan import model_plan

HEAD = """\
receivers:
  duty: {type: console}
  slack: {type: console}
routes:
"""
MODELS = """\
models:
  - name: fraud
    task: binary
    features: {amount: numeric}
    labels: {maturity: 1d}
    alerts: {team: risk, overrides: {data_drift: {receivers: [duty]}}}
  - name: churn
    task: binary
    features: {amount: numeric}
    labels: {maturity: 1d}
    alerts: {receivers: [slack]}
"""
ROUTES = """\
  - {receivers: [duty], severities: [critical]}
  - {receivers: [slack], teams: ['ri*'], hours: [{start: '08:00', end: '18:00'}]}
  - {receivers: [slack], models: [churn]}
"""


def test_rules_get_the_routes_that_are_for_them(tmp_path: Path) -> None:
    file = tmp_path / "homeostat.yaml"
    file.write_text(HEAD + ROUTES + MODELS)
    settings = load(file)
    rules = {rule.name: rule for rule in model_plan(settings, "fraud").rules}
    duty, office = rules["data_fault"].routes
    assert duty == Route(("duty",), frozenset({Severity.CRITICAL}))
    assert office.receivers == ("slack",)
    assert rules["volume_anomaly"].routes == (office,), "it is no critical one"
    assert rules["data_drift"].routes == (), "it names its receivers"
    assert rules["data_drift"].receivers == ("duty",)
    churn = model_plan(settings, "churn").rules
    assert {(rule.receivers, rule.routes) for rule in churn} == {(("slack",), ())}


@pytest.mark.parametrize(
    ("route", "field", "problem"),
    [
        ("{receivers: [dutty]}", "routes.0.receivers.0", "no receiver is named 'dutty'; did you"),
        ("{receivers: []}", "routes.0.receivers", "must not be empty"),
        ("{receivers: [duty], models: [frau]}", "routes.0.models.0", "matches 'frau'; did you"),
        ("{receivers: [duty], teams: [growth]}", "routes.0.teams.0", "matches 'growth'; known"),
        ("{receivers: [duty], severities: [page]}", "routes.0.severities.0", "'page' is not known"),
    ],
)
def test_a_route_to_nowhere_is_told(tmp_path: Path, route: str, field: str, problem: str) -> None:
    file = tmp_path / "homeostat.yaml"
    file.write_text(f"{HEAD}  - {route}\n{MODELS}")
    with pytest.raises(ConfigError, match=problem) as caught:
        load(file)
    assert (caught.value.field, caught.value.line) == (field, 5)
