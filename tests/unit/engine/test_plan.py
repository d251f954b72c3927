"""What a plan promises about the alarm budget."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from homeostat.detectors.calibration.detector import CalibrationConfig
from homeostat.detectors.series.dynamic import SeriesConfig
from homeostat.detectors.series.limits import LimitConfig
from homeostat.domain.errors import ConfigError
from homeostat.domain.verdict import AlarmBudget
from homeostat.engine.plan import MetricThreshold
from simulation.world import PLAN

LIMIT = MetricThreshold("auc limit", "auc", LimitConfig(below=0.5))
DYNAMIC = MetricThreshold("auc", "auc", SeriesConfig(share=0.1))


def test_shares_that_add_up_to_the_budget_are_fine_and_limits_cost_nothing() -> None:
    assert replace(PLAN, thresholds=(LIMIT,)).thresholds == (LIMIT,)
    quiet = replace(PLAN.performance, share=0.15)
    assert replace(PLAN, performance=quiet, thresholds=(DYNAMIC,)).thresholds == (DYNAMIC,)


@pytest.mark.parametrize(
    ("changes", "times"),
    [
        ({"drift": replace(PLAN.drift, share=0.3)}, "1.2"),
        ({"service": replace(PLAN.service, share=0.1)}, "1.1"),
        ({"quality": replace(PLAN.quality, share=0.25)}, "1.1"),
        ({"volume": replace(PLAN.volume, share=0.2)}, "1.1"),
        ({"performance": replace(PLAN.performance, share=0.5)}, "1.25"),
        ({"calibration": CalibrationConfig(share=0.05)}, "1.05"),
        ({"thresholds": (LIMIT, DYNAMIC)}, "1.1"),
    ],
    ids=["drift", "service", "quality", "volume", "performance", "calibration", "thresholds"],
)
def test_monitors_that_spend_more_than_the_budget_are_refused(
    changes: dict[str, object], times: str
) -> None:
    with pytest.raises(ConfigError, match=rf"spend {times} times the alarm budget.*lower"):
        replace(PLAN, **changes)


def test_what_counts_is_alarms_and_not_shares_of_different_budgets() -> None:
    half = AlarmBudget(1.0, timedelta(days=180))
    both = replace(PLAN.quality, share=0.3, budget=half)
    assert replace(PLAN, quality=both).quality == both
    with pytest.raises(ConfigError, match="alarm budget"):
        replace(PLAN, quality=replace(both, share=0.31))
