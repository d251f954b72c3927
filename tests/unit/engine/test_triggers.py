"""What the engine hands to the triggers, and the freezes that hold a run back."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from homeostat.domain.decision import Cause, Diagnosis
from homeostat.domain.verdict import MetricPoint
from homeostat.domain.window import Window
from homeostat.engine.commands import Command, Request
from homeostat.engine.maintenance import Retrained, Workshop, retrain
from homeostat.engine.plan import ModelPlan
from homeostat.engine.watch import Matured, Watch
from homeostat.retraining.freeze import Freeze, Span
from homeostat.retraining.policy import Trigger, TriggerKind
from homeostat.retraining.run import RunState, Stage
from homeostat.rollout.state import RolloutState
from homeostat.rollout.state import Stage as RolloutStage
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryLog, MemoryRecords, MemoryRegistry, MemoryScorer
from simulation.fitting import memory_trainer
from simulation.world import DAY, HOUR, MODEL, PLAN, START
from unit.engine.bench import watch

NOW = START + 6 * DAY
REST = RolloutState(MODEL, RolloutStage.CHAMPION, "1")
ASKED = (Command(Request.RETRAIN, MODEL, "ana"),)
MATURED = tuple(
    Matured(Window(START + i * DAY, START + (i + 1) * DAY), (240, 240)) for i in range(5)
)
WATCH = replace(watch(), metrics_until=(("matured", NOW - DAY),), matured=MATURED)


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    clock = SimulatedClock(NOW)
    return Workshop(
        MemoryRecords(clock),
        MemoryLog(clock),
        MemoryRegistry(),
        MemoryScorer({}),
        memory_trainer(tmp_path),
    )


def policy(**changes: Any) -> ModelPlan:
    assert PLAN.retraining is not None
    return replace(PLAN, retraining=replace(PLAN.retraining, **changes))


def go(
    workshop: Workshop,
    state: RunState = RunState(MODEL),  # noqa: B008 - a frozen value
    seen: Watch = WATCH,
    commands: tuple[Command, ...] = (),
    plan: ModelPlan = PLAN,
    now: datetime = NOW,
) -> Retrained:
    rng = np.random.default_rng(1)
    return retrain(plan, workshop, state, seen, REST, commands, now, rng)


def told(found: Retrained) -> list[str]:
    return [made.action for made in found.decisions]


def diagnosed(cause: Cause, *, retrain: bool) -> Watch:
    return replace(WATCH, diagnosis=Diagnosis(cause, (), "retrain", "labels changed", retrain))


@pytest.mark.parametrize(
    ("seen", "asked", "runs"),
    [
        (diagnosed(Cause.CONCEPT_DRIFT, retrain=True), True, True),
        (diagnosed(Cause.CONCEPT_DRIFT, retrain=True), False, False),
        (diagnosed(Cause.CONCEPT_DRIFT, retrain=False), True, False),
        (diagnosed(Cause.COVARIATE_SHIFT, retrain=True), True, False),
    ],
    ids=["drift", "not asked for", "not to be learnt", "other cause"],
)
def test_concept_drift_triggers_where_the_owner_wants_it(
    workshop: Workshop, seen: Watch, asked: bool, runs: bool
) -> None:
    found = go(workshop, seen=seen, plan=policy(concept_drift=asked))
    assert (
        found.state.trigger == Trigger(TriggerKind.CONCEPT, "concept drift: labels changed")
    ) is (runs)


@pytest.mark.parametrize(
    ("upper", "cohort", "runs"),
    [(0.79, "estimated", True), (0.81, "estimated", False), (0.79, "matured", False)],
)
def test_an_estimate_below_its_floor_triggers(
    workshop: Workshop, upper: float, cohort: str, runs: bool
) -> None:
    records = MemoryRecords(SimulatedClock(NOW))
    every = PLAN.metric_window
    with records.begin() as uow:
        for turn in (3, 2, 1):
            window = Window(NOW - turn * every, NOW - (turn - 1) * every)
            uow.measure(
                MetricPoint(MODEL, "1", "estimated_auc", window, 0.7, 0.6, upper, 500, 0.0, cohort)
            )
    asked = policy(estimated_floor=(("auc", 0.8),), performance_floor=())
    found = go(replace(workshop, records=records), plan=asked)
    assert (
        found.state.trigger is not None and found.state.trigger.kind is TriggerKind.ESTIMATED
    ) is runs


def test_a_freeze_holds_people_back_too(workshop: Workshop) -> None:
    freeze = Freeze("sale", Span(NOW - HOUR, NOW + HOUR))
    frozen = policy(freezes=(freeze,))
    found = go(workshop, commands=ASKED, plan=frozen)
    assert told(found) == ["request_retraining", "wait_retraining"]
    assert found.state.reason == "no training starts during: sale"
    assert go(workshop, found.state, plan=frozen, now=NOW + HOUR).state.stage is Stage.TRAINING
