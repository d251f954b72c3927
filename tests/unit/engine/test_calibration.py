"""Scores are held to what they say, on the rows that the loss is judged on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from homeostat.alerting.episode import IncidentState, Stage
from homeostat.alerting.rules import CALIBRATION_DRIFT
from homeostat.detectors.calibration.detector import CalibrationConfig, CalibrationState
from homeostat.detectors.performance.detector import LossBaseline
from homeostat.domain.model import Task
from homeostat.domain.record import TIMESTAMP
from homeostat.domain.verdict import Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.engine.hindsight import Hindsight
from homeostat.engine.loop import Engine
from homeostat.engine.outcomes import judge_losses
from homeostat.engine.plan import ModelPlan
from homeostat.engine.training import baseline_of
from homeostat.engine.watch import Baseline, Watch, incident_key
from homeostat.rollout.state import RolloutState
from homeostat.rollout.state import Stage as RolloutStage
from homeostat.simulation.fakes import MemoryRegistry, MemoryScorer
from simulation.world import DAY, MODEL, PLAN, SPEC, START, Fate, World, memory_world
from unit.engine.bench import logged, watch

REST = RolloutState(MODEL, RolloutStage.CHAMPION, "1")
JUDGED = replace(
    PLAN,
    performance=replace(PLAN.performance, share=0.2),
    calibration=CalibrationConfig(share=0.05),
)
SIZE = 4000
RNG = np.random.default_rng(4)
SCORES = RNG.uniform(0.05, 0.95, SIZE)
DRAWS = RNG.random(SIZE)


def held_out(scores: np.ndarray, labels: np.ndarray, plan: ModelPlan = JUDGED) -> Baseline:
    times = pa.array(np.arange(labels.size) * 1_000_000, TIMESTAMP)
    rows = pa.table({"timestamp": times, "label": pa.array(labels, pa.float64())})
    return baseline_of(plan, "1", rows, scores, ())


KNOWN = held_out(SCORES, (RNG.random(SIZE) < SCORES).astype(float))


def judge(
    plan: ModelPlan,
    baseline: Baseline,
    scores: np.ndarray,
    labels: np.ndarray,
    before: Watch | None = None,
) -> tuple[Watch, dict[Monitor, Verdict]]:
    log = logged(SPEC, labels, score=scores)
    hindsight = Hindsight(log, MemoryScorer(), MemoryRegistry())
    found = judge_losses(plan, log, before or watch(), REST, baseline, hindsight, START + 2 * DAY)
    return found.watch, {v.monitor: v for v in found.verdicts}


@pytest.mark.parametrize(
    ("move", "status"), [(0.0, Status.OK), (1.0, Status.DRIFT)], ids=["as_said", "more_often"]
)
def test_scores_are_held_to_what_they_say(move: float, status: Status) -> None:
    odds = np.log(SCORES / (1 - SCORES)) + move
    labels = (1 / (1 + np.exp(-odds)) > DRAWS).astype(float)
    seen, told = judge(JUDGED, KNOWN, SCORES, labels)
    found = told[Monitor.CALIBRATION]
    assert (found.status, found.version, found.n_current) == (status, "1", SIZE)
    assert found.window == told[Monitor.PERFORMANCE].window == Window(START, START + DAY)
    assert seen.calibration.rows == SIZE
    assert ("too low" in found.reason) == (status is Status.DRIFT)


def test_what_a_drop_explained_is_no_evidence_when_it_is_over() -> None:
    off = (1 / (1 + np.exp(-np.log(SCORES / (1 - SCORES)) - 1)) > DRAWS).astype(float)
    fine, few = (DRAWS < SCORES).astype(float), slice(0, 60)
    then, _ = judge(JUDGED, KNOWN, SCORES, off)
    kept = replace(watch(), calibration=then.calibration)
    seen, told = judge(JUDGED, KNOWN, SCORES[few], fine[few], kept)
    assert (told[Monitor.CALIBRATION].status, seen.calibration.rows) == (Status.DRIFT, SIZE + 60)
    dropped = replace(kept, drop_since=START)
    seen, told = judge(JUDGED, KNOWN, SCORES[few], fine[few], dropped)
    assert seen.drop_since is None
    assert (told[Monitor.CALIBRATION].status, seen.calibration.rows) == (Status.INCONCLUSIVE, 60)


def test_without_a_config_or_a_reference_nothing_is_judged() -> None:
    labels = (DRAWS < SCORES).astype(float)
    for plan, baseline in ((PLAN, KNOWN), (JUDGED, Baseline("1", LossBaseline(0.2, 1000, 0.21)))):
        seen, told = judge(plan, baseline, SCORES, labels)
        assert set(told) == {Monitor.PERFORMANCE}
        assert seen.calibration == CalibrationState()


def test_what_a_hold_out_is_off_by_is_lived_with() -> None:
    off = 1 / (1 + 2 * (1 / SCORES - 1))  # half the odds
    labels = (DRAWS < SCORES).astype(float)
    own = held_out(off, (RNG.random(SIZE) < SCORES).astype(float), PLAN)
    assert judge(JUDGED, own, off, labels)[1][Monitor.CALIBRATION].status is Status.OK
    assert judge(JUDGED, KNOWN, off, labels)[1][Monitor.CALIBRATION].status is Status.DRIFT


def test_only_probabilities_and_binary_labels_count() -> None:
    labels = np.where(SCORES > 0.5, 1.0, 0.0)
    odd = SCORES.copy()
    odd[:10] = np.nan
    odd[10:20] = 1.5
    found = held_out(odd, labels).calibration
    assert found is not None
    assert found.n == SIZE - 20
    assert held_out(np.full(SIZE, np.nan), labels).calibration is None
    number = replace(PLAN, spec=replace(SPEC, task=Task.REGRESSION, classes=()))
    assert held_out(SCORES, labels, number).calibration is None


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = memory_world(tmp_path, Fate(5, flips=START + 4 * DAY), JUDGED)
    made.engine = Engine(made.ports, {MODEL: replace(JUDGED, retraining=None)})
    return made


def said(world: World) -> list[Verdict]:
    return [v for v in world.ports.records.verdicts(MODEL) if v.monitor is Monitor.CALIBRATION]


def test_the_engine_judges_and_a_drop_explains_what_calibration_says(world: World) -> None:
    for _ in range(12):
        world.advance()
    assert world.watch.calibration.rows > 0
    assert {v.status for v in said(world)} <= {Status.OK, Status.INCONCLUSIVE}
    for _ in range(16):
        world.advance()
    after = [v.status for v in said(world) if v.window.start >= START + 4 * DAY]
    assert after == [Status.DRIFT] * 8
    assert "too low from 0 to" in said(world)[-1].reason
    incident = world.ports.records.read(incident_key(MODEL, CALIBRATION_DRIFT), IncidentState)
    assert incident is not None
    assert incident.stage is not Stage.FIRING
    assert world.watch.diagnosis is not None
    assert world.problems == []
