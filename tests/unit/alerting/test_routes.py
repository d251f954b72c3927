from dataclasses import replace
from datetime import UTC, datetime, time

import pytest

from homeostat.alerting.conditions.verdicts import Verdicts
from homeostat.alerting.episode import IncidentState
from homeostat.alerting.hours import Hours
from homeostat.alerting.incident import Observed, step
from homeostat.alerting.routes import Route, receivers_at
from homeostat.alerting.rules import AlertRule
from homeostat.domain.decision import Severity
from homeostat.domain.effect import Notify
from homeostat.domain.verdict import Monitor

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
NIGHT = datetime(2024, 1, 1, 23, tzinfo=UTC)
DAY = Hours(time(8), time(18), UTC)
CRITICAL, WARNING, INFO = Severity
RULE = AlertRule("data_drift", Verdicts(Monitor.DATA_DRIFT), WARNING, "r.md", receivers=("all",))


@pytest.mark.parametrize(
    ("route", "covers"),
    [
        (Route(("a",)), True),
        (Route(("a",), frozenset({WARNING, INFO})), True),
        (Route(("a",), frozenset({CRITICAL})), False),
        (Route(("a",), models=("churn", "fraud-*")), True),
        (Route(("a",), models=("fraud",)), False),
        (Route(("a",), teams=("risk",)), True),
        (Route(("a",), teams=("growth",)), False),
        (Route(("a",), frozenset({WARNING}), ("fraud-*",), ("growth",)), False),
    ],
)
def test_a_route_covers_what_all_its_parts_match(route: Route, covers: bool) -> None:
    assert route.covers(WARNING, "fraud-eu", "risk") is covers


def test_whoever_is_told_depends_on_the_hour_at_which_it_fires() -> None:
    """The end goes to whom was told of the beginning."""
    routes = (Route(("office",), hours=(DAY,)), Route(("slack",)))
    assert receivers_at(routes, ("all",), NOON) == ("office", "slack")
    assert receivers_at(routes, ("all",), NIGHT) == ("slack",)
    assert receivers_at(routes[:1], ("all",), NIGHT) == ("all",), "no incident is lost"
    rule = replace(RULE, routes=routes)
    state, told, _ = step(IncidentState("m", rule.name), Observed(True, "x"), NOON, rule)
    _, ended, _ = step(state, Observed(False), NIGHT, rule)
    for effects in (told, ended):
        receivers = [effect.receiver for effect in effects if isinstance(effect, Notify)]
        assert receivers == ["office", "slack"]
