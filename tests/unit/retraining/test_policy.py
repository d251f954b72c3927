"""Triggers, guards and the windows of a run."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.domain.window import Window
from homeostat.retraining.planning import overlap, plan
from homeostat.retraining.policy import (
    Facts,
    Guard,
    Outcome,
    RetrainingPolicy,
    TriggerKind,
    guards,
    triggers,
)
from homeostat.retraining.rows import DataPolicy

NOW = datetime(2024, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)
POLICY = RetrainingPolicy()
READY = Facts(NOW, labelled_rows=5000, labels_per_class=(("genuine", 4900), ("fraud", 100)))


def kinds(policy: RetrainingPolicy, **facts: Any) -> list[TriggerKind]:
    return [trigger.kind for trigger in triggers(policy, Facts(NOW, **facts))]


def test_a_healthy_model_is_left_alone() -> None:
    assert kinds(POLICY, drops=2, share_drifted=0.4, trained_until=NOW - 900 * DAY) == []


def test_performance_triggers_after_enough_windows_in_a_row() -> None:
    assert kinds(POLICY, drops=3) == [TriggerKind.PERFORMANCE]
    assert kinds(replace(POLICY, performance_windows=None), drops=99) == []


def test_a_metric_below_its_floor_in_every_window_triggers() -> None:
    policy = replace(POLICY, performance_floor=(("auc", 0.8),))
    low, high, unknown = (("auc", 0.7),), (("auc", 0.9),), (("f1", 0.1),)
    assert kinds(policy, metrics=(high, low, low, low)) == [TriggerKind.PERFORMANCE]
    assert kinds(policy, metrics=(low, low)) == []
    assert kinds(policy, metrics=(low, high, low)) == []
    assert kinds(policy, metrics=(low, unknown, low)) == []
    found = triggers(policy, Facts(NOW, metrics=(low, low, low)))
    assert found[0].reason == "auc below 0.8 in 3 consecutive windows"


def test_a_drifted_share_triggers_above_the_limit() -> None:
    assert kinds(POLICY, share_drifted=0.41) == [TriggerKind.DRIFT]
    assert kinds(replace(POLICY, drift_share=None), share_drifted=1.0) == []


def test_new_data_triggers_by_share() -> None:
    policy = replace(POLICY, new_data_share=0.1)
    assert kinds(policy, trained_rows=1000, new_rows=100) == [TriggerKind.NEW_DATA]
    assert kinds(policy, trained_rows=1000, new_rows=99) == []
    assert kinds(policy, trained_rows=0, new_rows=99) == []


def test_the_schedule_counts_from_the_newest_training() -> None:
    policy = replace(POLICY, schedule=7 * DAY)
    old = NOW - 30 * DAY
    assert kinds(policy, trained_until=old) == [TriggerKind.SCHEDULE]
    assert kinds(policy, trained_until=old, starts=(NOW - 6 * DAY,)) == []
    assert kinds(policy) == []


def test_hybrid_knows_the_schedule_and_emergencies_only() -> None:
    policy = replace(POLICY, hybrid=True, schedule=30 * DAY, new_data_share=0.1)
    quiet = {"drops": 9, "new_rows": 900, "trained_rows": 1000, "share_drifted": 0.3}
    assert kinds(policy, **quiet) == []
    assert kinds(policy, share_drifted=0.31) == [TriggerKind.EMERGENCY]
    assert kinds(policy, performance_drop=0.051) == [TriggerKind.EMERGENCY]
    assert kinds(policy, performance_drop=float("nan")) == []
    assert kinds(policy, trained_until=NOW - 31 * DAY) == [TriggerKind.SCHEDULE]


def test_a_request_by_hand_comes_first() -> None:
    found = triggers(POLICY, Facts(NOW, drops=3, requested_by="ana"))
    assert [t.kind for t in found] == [TriggerKind.MANUAL, TriggerKind.PERFORMANCE]
    assert found[0].reason == "asked for by ana"


def test_nothing_stands_in_the_way_of_a_ready_run() -> None:
    result = guards(POLICY, READY)
    assert (result.outcome, result.reason) == (Outcome.OK, "")


@pytest.mark.parametrize("kind", list(TriggerKind))
def test_a_data_fault_refuses_whoever_asks(kind: TriggerKind) -> None:
    result = guards(POLICY, replace(READY, data_faults=("amount is in cents",)), kind)
    assert result.outcome is Outcome.REFUSE
    assert result.reason == "data fault: amount is in cents; mend it upstream"


@pytest.mark.parametrize(
    ("changes", "guard"),
    [
        ({"rolling_out": "v2"}, Guard.ROLLOUT),
        ({"starts": (NOW - DAY,)}, Guard.COOLDOWN),
        ({"starts": tuple(NOW - n * 5 * DAY for n in range(1, 5))}, Guard.BUDGET),
        ({"labelled_rows": 999}, Guard.ROWS),
        ({"labels_per_class": (("genuine", 4999), ("fraud", 1))}, Guard.CLASSES),
    ],
)
def test_each_guard_makes_it_wait(changes: dict[str, object], guard: Guard) -> None:
    result = guards(POLICY, replace(READY, **changes))
    assert result.outcome is Outcome.WAIT
    assert [which for which, _ in result.objections] == [guard]


def test_all_objections_are_named() -> None:
    result = guards(POLICY, Facts(NOW, rolling_out="v2", starts=(NOW - DAY,)))
    assert result.reason == (
        "v2 is under rollout; cooldown until 2024-06-03 00:00; only 0 of 1000 matured labels"
    )


@pytest.mark.parametrize("kind", [TriggerKind.MANUAL, TriggerKind.EMERGENCY])
def test_an_emergency_waits_for_labels_but_not_for_the_calendar(kind: TriggerKind) -> None:
    facts = replace(READY, starts=tuple(NOW - n * DAY for n in range(1, 9)))
    assert guards(POLICY, facts, kind).outcome is Outcome.OK
    assert guards(POLICY, replace(facts, labelled_rows=1), kind).outcome is Outcome.WAIT


def test_old_runs_leave_the_budget() -> None:
    facts = replace(READY, starts=tuple(NOW - (29 + n) * DAY for n in range(1, 9)))
    assert guards(POLICY, facts).outcome is Outcome.OK


@pytest.mark.parametrize(
    "figures",
    [
        {"window": timedelta(0)},
        {"holdout": -DAY},
        {"schedule": timedelta(0)},
        {"cooldown": -DAY},
        {"performance_windows": 0},
        {"min_rows": -1},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(figures: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"positive|at least 1|negative"):
        RetrainingPolicy(**figures)


@given(
    maturity=st.integers(0, 60),
    onset=st.none() | st.integers(-30, 200),
    window=st.integers(1, 90),
    holdout=st.integers(1, 30),
)
def test_the_hold_out_is_later_than_training_and_matured(
    maturity: int, onset: int | None, window: int, holdout: int
) -> None:
    policy = RetrainingPolicy(window=window * DAY, holdout=holdout * DAY)
    matured = NOW - maturity * DAY
    since = None if onset is None else NOW - onset * DAY
    made = plan(policy, "v1", matured, NOW, onset=since)
    assert made.training.end == made.holdout.start
    assert made.holdout.end == matured <= made.as_of
    assert made.training.length == policy.window
    assert made.holdout.length <= policy.holdout


def test_most_of_what_matured_since_the_onset_is_trained_on() -> None:
    made = plan(POLICY, "v1", NOW, NOW, onset=NOW - 9 * DAY)
    assert made.holdout.length == 3 * DAY
    assert plan(POLICY, "v1", NOW, NOW, onset=NOW - 90 * DAY).holdout.length == POLICY.holdout


def test_faults_that_touch_the_data_are_excluded() -> None:
    early = Window(NOW - 300 * DAY, NOW - 299 * DAY)
    inside = Window(NOW - 20 * DAY, NOW - 19 * DAY)
    newest = Window(NOW - 2 * DAY, NOW - DAY)
    made = plan(POLICY, "v1", NOW, NOW, (newest, early, inside))
    assert made.excluded == (inside, newest)


@pytest.mark.parametrize("early", [False, True], ids=["mature", "early"])
def test_a_refit_has_the_hold_out_and_with_early_labels_all_rows(early: bool) -> None:
    policy = replace(POLICY, data=DataPolicy(refit=True, early=early))
    newest = Window(NOW - 2 * DAY, NOW - DAY)
    made = plan(policy, "v1", NOW - 10 * DAY, NOW, (newest,))
    until = NOW if early else NOW - 10 * DAY
    assert made.refit == Window(until - policy.window, until)
    assert made.excluded == ((newest,) if early else ())
    assert plan(POLICY, "v1", NOW, NOW).refit is None


def test_windows_that_only_touch_do_not_overlap() -> None:
    first = Window(NOW, NOW + DAY)
    assert not overlap(first, Window(NOW + DAY, NOW + 2 * DAY))
    assert overlap(first, Window(NOW, NOW + 2 * DAY))


def test_why_somebody_asked_is_part_of_the_trigger() -> None:
    facts = Facts(NOW, requested_by="ana", request_reason="scores look odd")
    (trigger,) = triggers(RetrainingPolicy(), facts)
    assert trigger.reason == "asked for by ana: scores look odd"
