"""Rollout policy and the routes that follow from a state."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from homeostat.rollout.state import RolloutPolicy, RolloutState, Stage, ready_to_promote, route

NOW = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("figures", "message"),
    [
        ({"alpha": 0.0}, "alpha is 0"),
        ({"alpha": 1.0}, "alpha is 1"),
        ({"ramp": (0.0, 0.5)}, "between 0 and 1"),
        ({"ramp": (0.5, 1.0)}, "between 0 and 1"),
        ({"ramp": (0.5, 0.1)}, "must rise"),
        ({"ramp": (0.1, 0.1)}, "must rise"),
        ({"shadow_min_rows": 0}, "without data nothing is promoted"),
        ({"step_min_rows": 0}, "without data nothing is promoted"),
        ({"futility": 1.0}, "futility is 1.0"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(figures: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RolloutPolicy(**figures)


def state(stage: Stage, **changes: Any) -> RolloutState:
    figures = {"champion": "v1", "challenger": "v2"} | changes
    return RolloutState("fraud", stage, **figures)


@pytest.mark.parametrize(
    ("rollout", "challenger", "weight", "shadows"),
    [
        (state(Stage.CHAMPION, challenger=""), "", 0.0, ()),
        (state(Stage.CANDIDATE), "", 0.0, ()),
        (state(Stage.SHADOW), "", 0.0, ("v2",)),
        (state(Stage.CANARY, weight=0.1), "v2", 0.1, ("v2", "v1")),
        (state(Stage.PROMOTING, weight=0.5), "v2", 0.5, ("v2", "v1")),
        (state(Stage.PROMOTING), "", 0.0, ("v2",)),
    ],
)
def test_traffic_follows_the_stage(
    rollout: RolloutState, challenger: str, weight: float, shadows: tuple[str, ...]
) -> None:
    plan = route(rollout, NOW)
    assert plan.champion == "v1"
    assert (plan.challenger, plan.weight, plan.shadows) == (challenger, weight, shadows)


def test_the_previous_champion_is_kept_warm_until_probation_ends() -> None:
    rollout = RolloutState("fraud", Stage.CHAMPION, "v2", lineage=("v0", "v1"), probation_until=NOW)
    assert route(rollout, NOW - timedelta(seconds=1)).shadows == ("v1",)
    assert route(rollout, NOW).shadows == ()


def test_before_the_first_version_nobody_answers() -> None:
    assert route(RolloutState("fraud"), NOW).versions == ()
    assert RolloutState("fraud").previous == ""


def test_broken_features_are_passed_on() -> None:
    assert route(state(Stage.SHADOW), NOW, ("amount",)).degraded == ("amount",)


def test_a_promotion_is_ready_only_when_promoting() -> None:
    assert not ready_to_promote(state(Stage.CANARY), RolloutPolicy())
    assert ready_to_promote(state(Stage.PROMOTING), RolloutPolicy())
