import math
from datetime import UTC, datetime, timedelta

import pytest

from homeostat.domain.verdict import AlarmBudget, Monitor, Status, Verdict
from homeostat.domain.window import Window


def test_half_the_budget_needs_twice_the_evidence() -> None:
    budget = AlarmBudget(alarms=2.0, period=timedelta(days=30))
    assert budget.threshold(timedelta(hours=1)) == 360.0
    assert budget.threshold(timedelta(hours=1), share=0.5) == 720.0


@pytest.mark.parametrize("alarms", [0.0, -1.0, math.nan])
def test_a_budget_of_no_alarms_is_refused(alarms: float) -> None:
    with pytest.raises(ValueError, match="positive number of alarms"):
        AlarmBudget(alarms=alarms)


def test_a_budget_for_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="positive period"):
        AlarmBudget(period=timedelta(0))


def test_details_are_found_by_name() -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    verdict = Verdict(
        monitor=Monitor.DATA_QUALITY,
        model="fraud",
        subject="amount",
        window=Window(start, start + timedelta(hours=1)),
        status=Status.DRIFT,
        score=1.0,
        effect_threshold=0.5,
        evidence=900.0,
        evidence_threshold=180.0,
        p_value=1e-6,
        n_reference=1000,
        n_current=100,
        reason="100 times too large",
        details=(("scale", 100.0),),
    )
    assert verdict.detail("scale") == 100.0
    assert verdict.detail("missing", 0.0) == 0.0
    assert math.isnan(verdict.detail("missing"))
