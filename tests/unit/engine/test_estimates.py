"""How good the champion is thought to be in windows whose labels are not there yet."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from homeostat.detectors.series.limits import LimitConfig
from homeostat.domain.model import Audit, LabelSpec, ModelSpec, ModelVersion
from homeostat.domain.record import LABEL_SCHEMA, prediction_schema
from homeostat.domain.verdict import MetricPoint, Monitor, Status
from homeostat.domain.window import Window
from homeostat.engine.estimates import (
    ESTIMATED,
    MOST_CURRENT,
    MOST_WINDOWS,
    Estimated,
    Estimates,
    estimates_key,
)
from homeostat.engine.loop import Engine, state_keys
from homeostat.engine.plan import EstimationPolicy, MetricThreshold, ModelPlan
from homeostat.engine.watch import Fault, Progress, Watch
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryLog, MemoryRegistry
from simulation.world import DAY, MODEL, PLAN, SPEC, START, Fate, memory_world
from unit.engine.bench import watch

GUESSING = replace(PLAN, estimation=EstimationPolicy(600))


def fill(
    log: MemoryLog, at: datetime, n: int = 200, spec: ModelSpec = SPEC, **fields: object
) -> np.ndarray:
    """Log a day's rows with calibrated scores and, an hour later, their labels; return those."""
    rng = np.random.default_rng(at.toordinal())
    scores = rng.random(n)
    columns: dict[str, object] = {
        "prediction_id": [f"{at:%m%d}-{i}" for i in range(n)],
        "timestamp": [at + i * DAY / (n + 1) for i in range(n)],
        "role": ["champion"] * n,
        "tier": ["model"] * n,
        "version": ["1"] * n,
        "score": scores,
        "signal": np.log(scores / (1 - scores)),
        "amount": rng.random(n),
    } | fields
    schema = prediction_schema(spec)
    rows = {f.name: columns.get(f.name, pa.nulls(n, f.type)) for f in schema}
    assert log.append(spec, pa.table(rows, schema)).accepted == n
    true = (rng.random(n) < np.asarray(columns["score"])).astype(float)
    labels = {
        "prediction_id": columns["prediction_id"],
        "label": true,
        "arrival": [at + DAY] * n,
    }
    log.append_labels(spec, pa.table(labels, LABEL_SCHEMA))
    return true


def empty_log() -> MemoryLog:
    return MemoryLog(SimulatedClock(START + 90 * DAY))


@pytest.fixture
def log() -> MemoryLog:
    made = empty_log()
    for day in range(8):
        fill(made, START + day * DAY)
    return made


def guess(
    log: MemoryLog,
    now: datetime,
    memory: Progress | None = None,
    *,
    plan: ModelPlan = GUESSING,
    seen: Watch | None = None,
    registry: MemoryRegistry | None = None,
) -> Estimated:
    estimates = Estimates(log, registry or MemoryRegistry())
    before = Progress(START + 5 * DAY) if memory is None else memory
    return estimates.estimate(plan, before, "1", seen or watch(), now, np.random.default_rng(2))


def by_name(found: Estimated) -> dict[str, MetricPoint]:
    return {point.name: point for point in found.points}


def test_a_window_is_estimated_when_it_closes(log: MemoryLog) -> None:
    now = START + 6 * DAY
    found = guess(log, now)
    accuracy = by_name(found)["estimated_accuracy"]
    assert accuracy.window == Window(now - DAY, now)
    assert (accuracy.cohort, accuracy.coverage, accuracy.n) == (ESTIMATED, 0.0, 200)
    assert accuracy.lower < 0.75 < accuracy.upper, "the mean of max(p, 1 - p) of a uniform p"
    assert found.memory.until == now
    assert guess(log, now + DAY / 2, found.memory) == Estimated(found.memory)
    assert guess(log, now, plan=PLAN) == Estimated(Progress(START + 5 * DAY))


def test_labels_of_the_window_are_not_looked_at(log: MemoryLog) -> None:
    other = empty_log()
    rows = log.labelled(SPEC, Window(START, START + 9 * DAY), START + 9 * DAY)
    other.append(SPEC, rows.drop_columns(["label", "arrival"]))
    keep = [key < "0126" for key in rows["prediction_id"].to_pylist()]
    other.append_labels(SPEC, rows.filter(pa.array(keep)).select(LABEL_SCHEMA.names))
    assert guess(log, START + 6 * DAY) == guess(other, START + 6 * DAY)


def test_few_labelled_rows_say_nothing(log: MemoryLog) -> None:
    found = guess(log, START + 2 * DAY, Progress())
    assert found.points == ()
    assert found.memory == Progress(START + 2 * DAY, found.memory.problem)
    assert found.memory.problem == "200 labelled rows of version 1, 300 needed"
    assert "0 labelled rows" in guess(empty_log(), START + 6 * DAY).memory.problem


def test_one_class_or_no_rows_are_a_reason_not_a_failure(log: MemoryLog) -> None:
    later = guess(log, START + 12 * DAY, Progress(START + 9 * DAY))
    assert later == Estimated(Progress(START + 12 * DAY, "no rows"))
    sure = empty_log()
    for day in range(6):
        fill(sure, START + day * DAY, score=np.ones(200))
    assert "one class" in guess(sure, START + 6 * DAY).memory.problem


def test_what_is_not_identifiable_is_no_point(log: MemoryLog) -> None:
    fill(log, START + 8 * DAY, 20)
    found = guess(log, START + 9 * DAY, Progress(START + 8 * DAY))
    assert found.points == ()
    assert "20 rows are too few" in found.memory.problem
    assert found.memory.problem.count("too few") == 1


def test_rows_of_faults_are_left_out(log: MemoryLog) -> None:
    now = START + 6 * DAY
    half = replace(watch(), faults=(Fault("amount", now - DAY / 2, now),))
    assert by_name(guess(log, now, seen=half))["estimated_accuracy"].n == 101
    whole = replace(watch(), faults=(Fault("amount", now - DAY, now),))
    assert guess(log, now, seen=whole).memory.problem == "no rows"
    early = replace(watch(), faults=(Fault("amount", START, START + 4 * DAY),))
    assert "200 labelled rows" in guess(log, now, seen=early).memory.problem


def test_what_the_champion_was_trained_on_is_no_reference(log: MemoryLog, tmp_path: Path) -> None:
    registry = MemoryRegistry()
    (tmp_path / "a").write_text("1")
    card = ModelVersion(MODEL, "1", "linear", "", START, trained_until=START + 4 * DAY)
    registry.register(card, tmp_path / "a")
    assert "200 labelled rows" in guess(log, START + 6 * DAY, registry=registry).memory.problem


def test_the_newest_labelled_rows_are_learnt_from_and_only_so_many(log: MemoryLog) -> None:
    reader = Estimates(log, MemoryRegistry())
    found = reader.labelled(SPEC, "1", START + 6 * DAY, (), 350)
    times = found["timestamp"].to_pylist()
    assert len(times) == 350
    assert times == sorted(times)
    assert times[-1] < START + 5 * DAY < times[-1] + DAY / 100
    mixed = empty_log()
    for day in range(6):
        fill(
            mixed,
            START + day * DAY,
            version=["1", "2"] * 100,
            tier=["model"] * 100 + ["rules"] * 100,
        )
    few = Estimates(mixed, MemoryRegistry()).labelled(SPEC, "1", START + 6 * DAY, (), 1000)
    assert few.num_rows == 5 * 50


def test_reading_stops_where_labels_are_rare() -> None:
    log = empty_log()
    for day in range(20):
        fill(log, START + day * DAY, version=["1" if day < 4 else "2"] * 200)
    reader = Estimates(log, MemoryRegistry())
    assert reader.labelled(SPEC, "1", START + 21 * DAY, (), 600).num_rows == 600
    assert reader.labelled(SPEC, "1", START + 21 * DAY, (), 10).num_rows == 0


def test_audited_rows_are_the_reference_where_there_are_some() -> None:
    spec = replace(SPEC, labels=LabelSpec(30 * DAY, Audit("audited", DAY)))
    log = empty_log()
    flags = [i % 2 == 0 for i in range(200)]
    for day in range(6):
        fill(log, START + day * DAY, spec=spec, audited=flags)
    reader = Estimates(log, MemoryRegistry())
    assert reader.labelled(spec, "1", START + 6 * DAY, (), 1000).num_rows == 500
    found = guess(log, START + 6 * DAY, plan=replace(GUESSING, spec=spec))
    assert by_name(found)["estimated_accuracy"].n == 200


def test_of_many_rows_and_windows_some_do(log: MemoryLog) -> None:
    fill(log, START + 8 * DAY, MOST_CURRENT + 1000)
    found = guess(log, START + 9 * DAY, Progress(START + 8 * DAY))
    assert by_name(found)["estimated_accuracy"].n == MOST_CURRENT
    later = START + (MOST_WINDOWS + 6) * DAY
    after_a_pause = guess(log, later, Progress(START))
    assert after_a_pause.memory.until == later
    assert {p.window.start for p in after_a_pause.points} == {START + d * DAY for d in (6, 7, 8)}


def test_the_engine_estimates_before_labels_and_judges_thresholds(tmp_path: Path) -> None:
    limits = (
        MetricThreshold("low", "estimated_accuracy", LimitConfig(below=0.5)),
        MetricThreshold("high", "estimated_accuracy", LimitConfig(below=0.99)),
    )
    made = memory_world(tmp_path, Fate(5))
    plan = replace(GUESSING, thresholds=limits)
    made.engine = Engine(made.ports, {MODEL: plan})
    for _ in range(20):
        made.advance()
    assert made.problems == []
    records = made.ports.records
    guesses = {p.window: p for p in records.metrics(MODEL, "estimated_accuracy")}
    realized = {p.window: p for p in records.metrics(MODEL, "accuracy")}
    assert max(guesses) > max(realized), "an estimate does not wait for labels"
    both = guesses.keys() & realized.keys()
    assert both
    for window in both:
        assert guesses[window].lower <= realized[window].value <= guesses[window].upper
    said = [v for v in records.verdicts(MODEL) if v.monitor is Monitor.METRIC]
    assert {(v.subject, v.status) for v in said} == {("low", Status.OK), ("high", Status.DRIFT)}
    memory = records.read(estimates_key(MODEL), Progress)
    assert memory == Progress(START + 5 * DAY)
    assert estimates_key(MODEL) in state_keys(plan)
