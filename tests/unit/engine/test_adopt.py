"""A model is taken into care once, with a history that suffices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from homeostat.domain.errors import ConflictError, DataError, TrainingError
from homeostat.domain.window import Window
from homeostat.engine.adopt import adopt, matured, split_history, train_first
from homeostat.engine.commands import Command, Inbox, Request, inbox_key, submit
from homeostat.engine.ports import Training
from homeostat.engine.watch import Baseline, baseline_key, rollout_key, watch_key
from homeostat.simulation.fakes import MemoryRecords, MemoryTrainer
from simulation.fitting import memory_trainer
from simulation.world import BEFORE, DAY, MODEL, PLAN, START, Fate, World, memory_world

ROWS = Fate(3).traffic(Window(BEFORE, START))


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A world whose model is not adopted: its records are new."""
    made = memory_world(tmp_path, Fate(3))
    made.engine = replace(made.engine, ports=replace(made.ports, records=MemoryRecords(made.clock)))
    return made


def test_the_latest_stretch_is_held_out() -> None:
    shuffled = ROWS.take(pa.array(range(ROWS.num_rows - 1, -1, -1)))
    history = split_history(PLAN, shuffled)
    last = ROWS["timestamp"][-1].as_py()
    assert history.split >= last - DAY
    assert history.trained["timestamp"][-1].as_py() < last - DAY
    assert history.rows["prediction_id"].to_pylist() == ROWS["prediction_id"].to_pylist()


def test_without_a_policy_a_quarter_is_held_out() -> None:
    history = split_history(replace(PLAN, retraining=None), ROWS)
    assert history.held_out.num_rows == pytest.approx(ROWS.num_rows / 4, rel=0.02)


def test_a_history_that_does_not_suffice_is_refused_in_words() -> None:
    with pytest.raises(DataError, match="lacks the columns label, amount"):
        split_history(PLAN, ROWS.drop_columns(["label", "amount"]))
    with pytest.raises(DataError, match="has only 59 labelled rows"):
        split_history(PLAN, ROWS.slice(0, 59))
    brief = replace(PLAN, retraining=replace(PLAN.retraining, holdout=DAY / 24))
    with pytest.raises(DataError, match=r"raise retraining\.holdout"):
        split_history(brief, ROWS)


def test_rows_without_labels_are_left_out() -> None:
    labels = pa.array([None, *ROWS["label"].to_pylist()[1:]], pa.float64())
    at = ROWS.column_names.index("label")
    history = split_history(PLAN, ROWS.set_column(at, "label", labels))
    assert history.rows.num_rows == ROWS.num_rows - 1


@pytest.mark.parametrize(
    ("training", "polls", "problem"),
    [(Training(True, problem="boom"), 0, "boom"), (Training(True), 1, "no result")],
)
def test_a_first_training_that_fails_says_so(training: Training, polls: int, problem: str) -> None:
    trainer = MemoryTrainer(lambda *_: training, polls)
    with pytest.raises(TrainingError, match=f"first training failed: {problem}"):
        train_first(PLAN, trainer, split_history(PLAN, ROWS), START)


def test_adoption_installs_and_remembers_what_is_normal(world: World, tmp_path: Path) -> None:
    history = split_history(PLAN, ROWS)
    training = train_first(PLAN, memory_trainer(tmp_path), history, START)
    card = adopt(PLAN, world.ports, history, training, START, logged=True)
    records = world.ports.records
    assert world.rollout.champion == card.version
    assert card.trained_until == history.split
    baseline = records.read(baseline_key(MODEL, card.version), Baseline)
    assert baseline is not None
    assert baseline.loss.n == history.held_out.num_rows
    assert len(records.reference(MODEL, card.version)) == 20
    (matured,) = world.watch.matured
    assert matured.rows == history.rows.num_rows
    with pytest.raises(ConflictError, match="has a champion already"):
        adopt(PLAN, world.ports, history, training, START)


def test_a_history_that_is_not_logged_cannot_be_trained_on(world: World, tmp_path: Path) -> None:
    history = split_history(PLAN, ROWS)
    training = train_first(PLAN, memory_trainer(tmp_path), history, START)
    adopt(PLAN, world.ports, history, training, START)
    assert world.watch.matured == ()


def test_nothing_is_adopted_without_an_artifact(world: World) -> None:
    with pytest.raises(TrainingError, match="no artifact"):
        adopt(PLAN, world.ports, split_history(PLAN, ROWS), Training(True), START)
    assert world.ports.records.keys(watch_key(MODEL)) == ()
    assert world.ports.records.keys(rollout_key(MODEL)) == ()


def test_only_rows_with_complete_labels_are_adopted() -> None:
    now = START + 2 * PLAN.spec.labels.maturity
    old = matured(PLAN, ROWS, now)
    edge = now - PLAN.spec.labels.maturity
    assert 0 < old.num_rows == sum(moment.as_py() < edge for moment in ROWS["timestamp"])
    with pytest.raises(DataError, match="no label of the history is certain yet"):
        matured(PLAN, ROWS, START - 365 * DAY)
    with pytest.raises(DataError, match="lacks the column timestamp"):
        matured(PLAN, ROWS.drop_columns(["timestamp"]), now)


def test_what_is_asked_before_is_refused_in_words_and_waits_for_nothing(world: World) -> None:
    records = world.engine.ports.records
    for request in (Request.PUSH, Request.RETRAIN):
        submit(records, Command(request, MODEL, "ana", "7"), START)
    assert world.engine.tick(START) == ()
    told = [(d.actor, d.action, d.subject, d.reason) for d in records.decisions(MODEL)]
    why = "no version is under care yet: homeostat adopt HISTORY makes the first"
    assert told == [("ana", "refuse", "7", f"{name}: {why}") for name in ("push", "retrain")]
    assert records.read(inbox_key(MODEL), Inbox) == Inbox()
    assert world.engine.tick(START + DAY) == ()
    assert len(records.decisions(MODEL)) == 2
