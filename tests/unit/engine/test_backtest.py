"""A history is replayed as it was lived: no label before it arrives, routes obeyed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from homeostat.domain.columns import answered, micros, texts
from homeostat.domain.model import ModelVersion, Task
from homeostat.domain.route import Route
from homeostat.domain.window import Window
from homeostat.engine.backtest import Replay, steps, to_records
from homeostat.engine.commands import Command, Request, submit
from homeostat.engine.loop import Engine
from simulation.fitting import contrary
from simulation.world import DAY, MODEL, PLAN, SPEC, START, TICK, Fate, World, memory_world

END = START + 6 * DAY


def replay(world: World, rows: pa.Table) -> Replay:
    return Replay(world.engine, world.clock, MODEL, rows, TICK)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return memory_world(tmp_path, Fate(2))


def test_steps_cover_the_time_and_the_last_may_be_shorter() -> None:
    made = list(steps(START, START + 2.5 * DAY, DAY))
    assert made[0] == Window(START, START + DAY)
    assert made[-1] == Window(START + 2 * DAY, START + 2.5 * DAY)
    assert len(made) == 3


def test_everything_is_answered_once_and_labels_come_when_they_arrive(world: World) -> None:
    rows = world.fate.traffic(Window(START - DAY, END))
    seen: list[datetime] = []
    answers = replay(world, rows).run(START, END, seen.append)
    asked = rows.filter(pc.field("timestamp") >= START)
    assert texts(answers, "prediction_id") == texts(asked, "prediction_id")
    assert set(texts(answers, "version")) == {"1"}
    assert seen == [window.end for window in steps(START, END, TICK)]
    log, whole = world.ports.log, Window(START - DAY, END)
    assert log.rows(SPEC, whole).num_rows == rows.num_rows
    labelled = log.labelled(SPEC, whole, END)
    known = dict(zip(texts(labelled, "prediction_id"), labelled["label"].to_pylist(), strict=True))
    arrived = micros(rows, "arrival") <= micros(pa.table({"at": [END]}), "at")[0]
    assert [value is not None for value in known.values()] == arrived.tolist()


def test_canaries_and_shadows_score_as_the_route_says(world: World, tmp_path: Path) -> None:
    card = ModelVersion(MODEL, "", "linear", "", START)
    world.ports.registry.register(card, contrary(tmp_path / "two"))
    world.ports.routes.publish(Route(MODEL, "1", "2", 0.3, ("2", "1")))
    rows = world.fate.traffic(Window(START, START + DAY))
    made = replay(world, rows)
    world.clock.set(START + DAY)
    answers = pa.concat_tables(made._serve(Window(START, START + DAY)))
    share = texts(answers, "version").count("2") / rows.num_rows
    assert 0.2 < share < 0.4
    logged = world.ports.log.rows(SPEC, Window(START, START + DAY))
    assert logged.num_rows == 2 * rows.num_rows
    assert answered(logged).num_rows == rows.num_rows
    again = pa.concat_tables(made._serve(Window(START, START + DAY)))
    assert again.equals(answers)


def test_a_shadow_that_answers_nothing_scores_every_row(world: World, tmp_path: Path) -> None:
    card = ModelVersion(MODEL, "", "linear", "", START)
    world.ports.registry.register(card, contrary(tmp_path / "two"))
    rows = world.fate.traffic(Window(START, START + DAY))
    submit(world.ports.records, Command(Request.SUBMIT, MODEL, "ana", "2"), START)
    replay(world, rows).run(START, START + DAY)
    logged = world.ports.log.rows(SPEC, Window(START, START + DAY))
    assert logged.filter(pc.field("version") == "2").num_rows == rows.num_rows


def test_a_version_that_answers_all_shadows_nothing(world: World, tmp_path: Path) -> None:
    card = ModelVersion(MODEL, "", "linear", "", START)
    world.ports.registry.register(card, contrary(tmp_path / "two"))
    world.ports.routes.publish(Route(MODEL, "1", "2", 1.0, ("2",)))
    world.clock.set(START + DAY)
    rows = world.fate.traffic(Window(START, START + DAY))
    (answers,) = replay(world, rows)._serve(Window(START, START + DAY))
    assert set(texts(answers, "version")) == {"2"}
    logged = world.ports.log.rows(SPEC, Window(START, START + DAY))
    assert logged.num_rows == rows.num_rows


def test_a_stretch_without_requests_or_labels_is_lived_through(world: World) -> None:
    rows = world.fate.traffic(Window(START + DAY, START + 2 * DAY))
    answers = replay(world, rows).run(START, START + 3 * DAY)
    assert answers.num_rows == rows.num_rows
    assert world.watch.service_until == START + 3 * DAY


def test_without_entities_the_request_is_the_key(world: World) -> None:
    spec = replace(SPEC, entity="")
    engine = Engine(world.ports, {MODEL: replace(PLAN, spec=spec)})
    rows = world.fate.traffic(Window(START, START + DAY)).drop_columns(["entity"])
    answers = Replay(engine, world.clock, MODEL, rows).run(START, START + DAY)
    assert answers.num_rows == rows.num_rows


def test_only_binary_scores_are_decided_by_the_threshold() -> None:
    rows = Fate(2).traffic(Window(START, START + TICK))
    scores = rows["signal"].to_numpy()
    binary = to_records(replace(SPEC, threshold=0.7), rows, scores, "1", "champion")
    assert binary["prediction"].to_pylist() == (scores >= 0.7).astype(float).tolist()
    number = to_records(replace(SPEC, task=Task.REGRESSION), rows, scores, "1", "champion")
    assert number["prediction"].to_pylist() == scores.tolist()


def test_probabilities_stand_beside_the_class() -> None:
    rows = Fate(2).traffic(Window(START, START + TICK)).slice(0, 2)
    spec = replace(SPEC, task=Task.MULTICLASS, classes=("low", "high"))
    scores, chances = np.array([1.0, 0.0]), np.array([[0.25, 0.75], [1.0, 0.0]])
    found = to_records(spec, rows, scores, "1", "champion", chances)
    assert found["prediction"].to_pylist() == [1.0, 0.0]
    assert found["probabilities"].to_pylist() == chances.tolist()
    alone = to_records(spec, rows, scores, "1", "champion")
    assert alone["probabilities"].to_pylist() == [None, None]
