"""What has passed the gate is trained once more: what serves then, and on whose record."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from homeostat.domain.effect import CancelTraining, StartTraining
from homeostat.domain.errors import ArtifactError, StorageError
from homeostat.domain.model import ModelVersion
from homeostat.engine.maintenance import Workshop
from homeostat.engine.ports import Training
from homeostat.engine.training import TrainingRows
from homeostat.engine.watch import Fault
from homeostat.retraining.gate.limits import GateLimits
from homeostat.retraining.rows import DataPolicy
from homeostat.retraining.run import Stage
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryRecords, MemoryScorer, MemoryTrainer
from simulation.fitting import train
from simulation.world import HOUR, MODEL, PLAN, SPEC, World
from unit.engine.shop import (
    NOW,
    REFITS,
    REFITTING,
    REST,
    RUN_PLAN,
    TRAINING,
    WATCH,
    done,
    go,
    policy,
    told,
    workshop_of,
    world_at,
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return world_at(tmp_path_factory.mktemp("world"))


@pytest.fixture
def workshop(world: World, tmp_path: Path) -> Workshop:
    return workshop_of(world, tmp_path)


@pytest.fixture
def refitted(workshop: Workshop, tmp_path: Path) -> Workshop:
    """A workshop whose candidate, version 2, was judged and whose refit has been asked for."""
    out = tmp_path / "judged"
    request = StartTraining(TRAINING.run_id, MODEL, "1", RUN_PLAN.training, NOW)
    train(TrainingRows(workshop.log)(SPEC, request), SPEC, out)
    card = ModelVersion(MODEL, "", "linear", "", NOW, trained_until=RUN_PLAN.training.end)
    workshop.registry.register(card, out)
    refit = StartTraining(REFITTING.training_id, MODEL, "1", RUN_PLAN.training, NOW)
    shop = replace(workshop, trainer=MemoryTrainer(lambda *_: Training(True, out, "linear")))
    shop.trainer.start(refit, SPEC, pa.table({}))
    assert isinstance(shop.scorer, MemoryScorer)
    shop.scorer.functions[MODEL, "2"] = shop.scorer.functions[MODEL, "1"]
    shop.scorer.functions[MODEL, "3"] = shop.scorer.functions[MODEL, "1"]
    return shop


def test_what_passes_is_trained_again_where_the_policy_says_so(
    workshop: Workshop, tmp_path: Path
) -> None:
    request = StartTraining(TRAINING.run_id, MODEL, "1", RUN_PLAN.training, NOW)
    train(TrainingRows(workshop.log)(SPEC, request), SPEC, tmp_path / "out")
    lenient = replace(policy(gate=GateLimits(calibration=None)), gate_margin=2.0)
    state = replace(TRAINING, plan=REFITTING.plan)
    found = go(done(workshop, tmp_path / "out"), state, plan=lenient)
    assert told(found) == ["train", "accept_candidate"]
    assert found.state.stage is Stage.REFITTING
    assert found.baseline is None
    (effect,) = found.effects
    assert isinstance(effect, StartTraining)
    assert (effect.run_id, effect.window.end) == (f"{TRAINING.run_id}-refit", NOW)
    again = go(done(workshop, tmp_path / "out"), found.state, plan=lenient)
    assert again.state == found.state  # it was begun in this tick


def test_a_refit_that_agrees_serves_with_the_record_of_what_was_judged(refitted: Workshop) -> None:
    found = go(refitted, REFITTING, plan=REFITS)
    assert told(found) == ["refit"]
    assert (found.state.stage, found.state.candidate) == (Stage.ACCEPTED, "3")
    assert found.baseline is not None
    assert (found.baseline.version, found.baseline.loss.n) == ("3", 480)
    assert refitted.records.reference(MODEL, "3") != ()
    card = refitted.registry.get(MODEL, "3")
    assert (card.judged, card.trained_until) == ("2", NOW)
    assert card.run_id == f"{TRAINING.run_id}-refit"


def test_a_refit_that_does_not_agree_does_not_serve(refitted: Workshop) -> None:
    assert isinstance(refitted.scorer, MemoryScorer)
    sure = refitted.scorer.functions[MODEL, "1"]
    refitted.scorer.functions[MODEL, "3"] = lambda rows: np.clip(sure(rows) + 0.3, 0.0, 1.0)
    found = go(refitted, REFITTING, plan=REFITS)
    assert told(found) == ["keep_judged"]
    assert (found.state.stage, found.state.candidate) == (Stage.ACCEPTED, "2")
    assert "3 does not agree with it: its " in found.decisions[0].reason
    assert found.baseline is not None
    assert found.baseline.version == "2"


@pytest.mark.parametrize(
    ("training", "problem"),
    [
        (Training(True, problem="out of memory"), "out of memory"),
        (Training(True), "no artifact"),
        (Training(True, Path("nowhere"), "linear"), "nowhere"),
    ],
    ids=["crash", "nothing", "torn"],
)
def test_a_refit_that_fails_leaves_what_was_judged(
    refitted: Workshop, training: Training, problem: str
) -> None:
    trainer = MemoryTrainer(lambda *_: training)
    refit = StartTraining(REFITTING.training_id, MODEL, "1", RUN_PLAN.training, NOW)
    trainer.start(refit, SPEC, pa.table({}))
    found = go(replace(refitted, trainer=trainer), REFITTING, plan=REFITS)
    assert (told(found), found.state.candidate) == (["keep_judged"], "2")
    assert problem in found.decisions[0].reason


def test_a_refit_is_waited_for_until_its_limit(refitted: Workshop) -> None:
    slow = MemoryTrainer(lambda *_: Training(True), 9)
    refit = StartTraining(REFITTING.training_id, MODEL, "1", RUN_PLAN.training, NOW)
    slow.start(refit, SPEC, pa.table({}))
    shop = replace(refitted, trainer=slow)
    assert go(shop, REFITTING, plan=REFITS).state == REFITTING
    hurried = policy(data=DataPolicy(refit=True), timeout=timedelta(minutes=30))
    found = go(shop, REFITTING, plan=hurried)
    assert (told(found), found.state.candidate) == (["keep_judged"], "2")
    assert "still training after 0:30:00" in found.decisions[0].reason
    assert found.effects == (CancelTraining(f"{TRAINING.run_id}-refit", MODEL),)


def test_a_fault_in_the_rows_of_a_refit_leaves_what_was_judged(refitted: Workshop) -> None:
    fault = Fault("amount", NOW - 5 * HOUR, NOW - HOUR, "cents")
    found = go(refitted, REFITTING, replace(WATCH, faults=(fault,)), plan=REFITS)
    assert (told(found), found.state.candidate) == (["keep_judged"], "2")
    assert "a data fault found meanwhile covers part of its data" in found.decisions[0].reason


def test_a_judged_version_that_scores_no_more_ends_the_run(refitted: Workshop) -> None:
    def torn(_: pa.Table) -> np.ndarray:
        raise ArtifactError("torn")

    assert isinstance(refitted.scorer, MemoryScorer)
    refitted.scorer.functions[MODEL, "2"] = torn
    found = go(refitted, REFITTING, plan=REFITS)
    assert found.state.stage is Stage.CANCELLED
    assert found.state.reason == "cannot score the hold-out: torn"


@pytest.mark.parametrize("version", ["2", "3"], ids=["judged", "refit"])
def test_what_is_away_is_waited_for(refitted: Workshop, version: str) -> None:
    def away(_: pa.Table) -> np.ndarray:
        raise StorageError("the disk is away")

    assert isinstance(refitted.scorer, MemoryScorer)
    refitted.scorer.functions[MODEL, version] = away
    with pytest.raises(StorageError, match="the disk is away"):
        go(refitted, REFITTING, plan=REFITS)


def test_a_refit_that_the_trainer_was_not_told_of_yet_is_not_lost(refitted: Workshop) -> None:
    effect = StartTraining(REFITTING.training_id, MODEL, "1", RUN_PLAN.training, NOW)
    records = MemoryRecords(SimulatedClock(NOW))
    with records.begin() as uow:
        uow.intend(effect)
    shop = replace(refitted, records=records, trainer=MemoryTrainer(lambda *_: Training(True)))
    assert go(shop, REFITTING, plan=REFITS).state == REFITTING


def test_a_champion_that_knows_the_hold_out_is_judged_by_who_stands_for_it(
    refitted: Workshop, tmp_path: Path
) -> None:
    """The refit that serves knows the labels by heart; its judged version is what is compared."""
    assert isinstance(refitted.scorer, MemoryScorer)
    card = ModelVersion(MODEL, "", "linear", "", NOW, trained_until=NOW, judged="2")
    version = refitted.registry.register(card, tmp_path / "judged").version
    refitted.scorer.functions[MODEL, version] = lambda rows: 1.0 * (rows["signal"].to_numpy() > 0)
    refitted.scorer.functions[MODEL, "9"] = refitted.scorer.functions[MODEL, "1"]
    state = replace(TRAINING, stage=Stage.EVALUATING, candidate="9")
    serving = replace(REST, champion=version)
    found = go(refitted, state, rollout=serving, plan=replace(PLAN, gate_margin=0.01))
    figures = dict(found.decisions[-1].evidence)
    assert figures["loss_champion"] == figures["loss_candidate"]
