"""What predictions are worth, and thresholds on any metric, judged by the engine."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from homeostat.adapters.records.codec import decode, encode
from homeostat.alerting.episode import IncidentState, Stage
from homeostat.alerting.rules import VALUE_DROP
from homeostat.detectors.series.dynamic import SeriesConfig
from homeostat.detectors.series.limits import LimitConfig
from homeostat.detectors.value.metric import Better, ValueMetric, parse_metric
from homeostat.domain.expression import Type, column_types
from homeostat.domain.model import Column, ColumnKind, ModelSpec, Schema, Task
from homeostat.domain.record import LABEL_SCHEMA, prediction_schema
from homeostat.domain.verdict import MetricPoint, Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.engine.cohort import AUDIT, MATURED
from homeostat.engine.figures import WHOLE
from homeostat.engine.loop import Engine
from homeostat.engine.plan import MetricThreshold
from homeostat.engine.series import (
    SeriesMemory,
    judge_series,
    measure_value_window,
    measure_value_windows,
    series_key,
    with_outcomes,
)
from homeostat.engine.watch import incident_key
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryLog, MemoryRecords
from simulation.world import DAY, MODEL, PLAN, SPEC, START, Fate, World, memory_world

COLUMNS = column_types(SPEC.schema) | dict.fromkeys(("label", "prediction", "score"), Type.NUMBER)
HISTORY = 40


def metric(name: str, text: str, better: Better = "higher") -> ValueMetric:
    return parse_metric(name, text, COLUMNS, better)


BUSINESS = (
    metric("caught", "amount if label == 1 and prediction == 1 else 0"),
    metric("asked", "sum(1)"),
)
VALUED = replace(PLAN, business=BUSINESS, performance=replace(PLAN.performance, share=0.15))


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = memory_world(tmp_path, Fate(5))
    for _ in range(12):
        made.advance()
    return made


def test_value_is_measured_once_a_matured_window(world: World) -> None:
    log, now = world.ports.log, START + 3 * DAY
    memory, points = measure_value_windows(VALUED, log, SeriesMemory(), START, (), now)
    assert memory.valued_until == now - DAY
    days = [Window(START, START + DAY), Window(START + DAY, START + 2 * DAY)]
    assert [(p.name, p.version, p.window) for p in points] == [
        (name, version, day)
        for day in days
        for name, version in (("caught", "1"), ("asked", "1"), ("asked", WHOLE))
    ]
    rows = log.labelled(SPEC, days[0], now)
    worth = [
        amount if label == 1 and score >= 0.5 else 0.0
        for amount, label, score in zip(
            *(rows[name].to_numpy().tolist() for name in ("amount", "label", "score")), strict=True
        )
    ]
    first = points[0]
    assert first.value == pytest.approx(np.mean(worth))
    assert first.lower < first.value < first.upper
    assert (first.n, first.coverage, first.cohort, first.version) == (480, 1.0, MATURED, "1")
    again, none = measure_value_windows(VALUED, log, memory, START, (), now)
    assert (again, none) == (memory, ())
    assert measure_value_windows(PLAN, log, memory, START, (), now) == (memory, ())


def test_rows_of_faults_and_windows_without_rows_say_nothing(world: World) -> None:
    window = Window(START, START + DAY)
    half = Window(START, START + DAY / 2)
    points = measure_value_window(VALUED, world.ports.log, window, START + 3 * DAY, (half,))
    assert 100 < points[0].n < 400
    assert {p.name for p in points} == {"caught"}
    rare = replace(VALUED, business=(metric("rare", "amount if amount > 1e9 else 0"),))
    assert measure_value_window(rare, world.ports.log, window, START + 3 * DAY) == ()
    empty = MemoryLog(SimulatedClock(START + 3 * DAY))
    assert measure_value_window(VALUED, empty, window, START + 3 * DAY) == ()


def logged(spec: ModelSpec, size: int, **changes: object) -> MemoryLog:
    """Answers of one day, champion's unless changed."""
    rng = np.random.default_rng(0)
    fields = {
        "prediction_id": [str(number) for number in range(size)],
        "timestamp": [START + DAY / 2] * size,
        "version": ["1"] * size,
        "role": ["champion"] * size,
        "tier": ["model"] * size,
        "reason": [""] * size,
        "entity": [""] * size,
        "score": rng.random(size),
        "signal": rng.random(size),
        "amount": rng.random(size),
        **changes,
    }
    schema = prediction_schema(spec)
    columns = {f.name: fields.get(f.name, pa.nulls(size, f.type)) for f in schema}
    log = MemoryLog(SimulatedClock(START + DAY))
    assert log.append(spec, pa.table(columns, schema=schema)).accepted == size
    return log


def label(log: MemoryLog, spec: ModelSpec, known: list[int]) -> None:
    labels = {
        "prediction_id": [str(number) for number in known],
        "label": [1.0] * len(known),
        "arrival": [START + DAY] * len(known),
    }
    log.append_labels(spec, pa.table(labels, schema=LABEL_SCHEMA))


def test_each_segment_has_figures_of_its_own() -> None:
    land = Column("land", ColumnKind.CATEGORICAL)
    spec = replace(SPEC, schema=Schema((*SPEC.schema.columns, land)), segments=("land",))
    size, lands = 300, ["DE", "FR", None] * 100
    log = logged(spec, size, land=lands)
    known = [number for number in range(size) if lands[number] != "FR" or number < 150]
    label(log, spec, known)
    window = Window(START, START + DAY)
    total = metric("total", "sum(amount if label == 1 else 0)")
    plan = replace(VALUED, spec=spec, business=(total,))
    points = measure_value_window(plan, log, window, START + 3 * DAY)
    found = {p.segment: p for p in points if p.version == WHOLE}
    assert found.keys() == {"", "land=DE", "land=FR", "land=(missing)"}
    assert [(found[f"land={x}"].n, found[f"land={x}"].coverage) for x in ("DE", "FR")] == [
        (100, 1.0),
        (50, 0.5),
    ]
    parts = sum(p.value for name, p in found.items() if name)
    assert parts == pytest.approx(found[""].value)


def test_a_total_is_of_what_all_versions_answered() -> None:
    size = 480
    parts = {"champion": 300, "challenger": 140, "shadow": 40}
    roles = [role for role, count in parts.items() for _ in range(count)]
    names = dict(zip(parts, ("1", "2", "3"), strict=True))
    log = logged(SPEC, size, role=roles, version=[names[role] for role in roles])
    label(log, SPEC, list(range(size)))
    window = Window(START, START + DAY)
    points = measure_value_window(VALUED, log, window, START + 3 * DAY)
    asked = {p.version: p.value for p in points if p.name == "asked"}
    assert asked == {"1": 300.0, "2": 140.0, "3": 40.0, WHOLE: 440.0}
    assert {p.version for p in points if p.name == "caught"} == {"1", "2", "3"}


@pytest.mark.parametrize("kind", ["dynamic", "limit"])
def test_a_canary_is_no_fall_of_a_total(kind: str) -> None:
    noise = np.random.default_rng(3).normal(0.0, 10.0, HISTORY + 12)
    points = []
    for day, extra in enumerate(noise.tolist()):
        part = 0.3 * (day >= HISTORY)
        whole = 290.0 + extra
        points.append(point(day, whole, "asked", version=WHOLE, reach=30.0))
        points.append(point(day, whole * (1.0 - part), "asked", reach=30.0, n=9_000))
        if part:
            points.append(point(day, whole * part, "asked", version="2", reach=20.0))
    points.append(point(HISTORY + 12, 100.0, "asked"))
    limit = MetricThreshold("asked", "asked", LimitConfig(below=230.0, monitor=Monitor.VALUE))
    threshold = dynamic("asked") if kind == "dynamic" else limit
    _, said = judge(recorded(*points), threshold)
    assert len(said) == HISTORY + 12
    assert not any(v.status is Status.DRIFT for v in said)


def test_outcomes_are_numbers_or_the_names_of_classes() -> None:
    rows = pa.table(
        {
            "score": pa.array([0.2, 0.5, None], pa.float64()),
            "label": pa.array([1.0, None, 0.0], pa.float64()),
        }
    )
    binary = with_outcomes(SPEC, rows)
    assert binary["prediction"].to_pylist() == [0.0, 1.0, None]
    assert binary["label"].to_pylist() == [1.0, None, 0.0]
    amount = with_outcomes(replace(SPEC, task=Task.REGRESSION, classes=()), rows)
    assert amount["prediction"].to_pylist() == [0.2, 0.5, None]
    named = with_outcomes(
        replace(SPEC, task=Task.MULTICLASS, classes=("red", "blue")),
        pa.table({"score": [1.0, 0.0, 7.0], "label": pa.array([1.0, None, -1.0])}),
    )
    assert named["prediction"].to_pylist() == ["blue", "red", None]
    assert named["label"].to_pylist() == ["blue", None, None]


def point(
    day: int, value: float, name: str = "caught", *, version: str = "1", n: int = 1000,
    reach: float = 0.1, cohort: str = MATURED,
) -> MetricPoint:  # fmt: skip
    window = Window(START + day * DAY, START + (day + 1) * DAY)
    return MetricPoint(
        MODEL, version, name, window, value, value - reach, value + reach, n, 1.0, cohort
    )


def recorded(*points: MetricPoint) -> MemoryRecords:
    records = MemoryRecords(SimulatedClock(START))
    with records.begin() as uow:
        uow.measure(*points)
    return records


def series(drop: float, *, days: int = HISTORY + 12, at: int = HISTORY) -> list[MetricPoint]:
    noise = np.random.default_rng(3).normal(0.0, 0.1, days)
    return [point(day, 2.0 + noise[day] - drop * (day >= at)) for day in range(days)]


def dynamic(
    name: str = "caught", monitor: Monitor = Monitor.VALUE, **changes: object
) -> MetricThreshold:
    return MetricThreshold(name, name, replace(SeriesConfig(monitor=monitor), **changes))  # type: ignore[arg-type]


def judge(
    records: MemoryRecords, threshold: MetricThreshold, memory: SeriesMemory | None = None
) -> tuple[SeriesMemory, tuple[Verdict, ...]]:
    plan = replace(VALUED, thresholds=(threshold,))
    return judge_series(plan, records, memory or SeriesMemory(), "1", ())


def test_each_figure_is_judged_once_and_the_past_is_its_history() -> None:
    points = series(0.6)
    memory, said = judge(recorded(*points), dynamic())
    assert len(said) == len(points)
    assert {v.status for v in said[:21]} == {Status.INCONCLUSIVE}
    assert {v.status for v in said[21:HISTORY]} == {Status.OK}
    assert said[-1].status is Status.DRIFT
    assert said[-1].subject == "caught"
    again, none = judge(recorded(*points), dynamic(), memory)
    assert (again, none) == (memory, ())


def test_one_by_one_is_as_all_at_once() -> None:
    points = series(0.6)
    memory = SeriesMemory()
    said: list[Verdict] = []
    plan = replace(VALUED, thresholds=(dynamic(),))
    for place, fresh in enumerate(points):
        records = recorded(*points[:place])
        memory, found = judge_series(plan, records, memory, "1", (fresh,))
        said += found
    whole, at_once = judge(recorded(*points), dynamic())
    assert (memory, tuple(said)) == (whole, at_once)


def test_the_champions_figure_counts_else_that_of_the_most_rows() -> None:
    points = [
        point(0, 1.0, version="1", n=50),
        point(0, 2.0, version="2", n=90),
        point(0, 3.0, version="1", n=99, cohort=AUDIT),
        point(1, 4.0, version="2", n=90),
        point(1, 5.0, version="3", n=10),
        point(2, 9.0, name="other"),
        replace(point(3, 9.0), segment="land=DE"),
    ]
    limit = MetricThreshold("low", "caught", LimitConfig(below=1.5))
    memory, said = judge(recorded(*points), limit)
    assert [(v.status, v.score) for v in said] == [(Status.DRIFT, 1.0), (Status.OK, 4.0)]
    assert {v.subject for v in said} == {"low"}
    assert memory.series[0][1] == START + DAY


def test_audited_rows_come_first_and_are_not_judged() -> None:
    days = HISTORY + 12
    matured = [replace(p, name="auc") for p in series(0.6)]
    noise = np.random.default_rng(4).normal(0.0, 0.4, days).tolist()
    early = [point(d, 5.0 + x, "auc", n=30, cohort=AUDIT) for d, x in enumerate(noise)]
    threshold = dynamic("auc", Monitor.METRIC)
    plan = replace(VALUED, thresholds=(threshold,))
    memory, said = SeriesMemory(), list[Verdict]()
    for day in range(days + 5):
        # The audit's labels of a day are complete five days before the rest.
        written = [*early[:day], *matured[: max(0, day - 5)]]
        fresh = [*early[day : day + 1], *(matured[day - 5 : day - 4] if day >= 5 else [])]
        memory, found = judge_series(plan, recorded(*written), memory, "1", fresh)
        said += found
    assert [v.window for v in said] == [p.window for p in matured]
    assert tuple(said) == judge(recorded(*matured), threshold)[1]
    assert said[-1].status is Status.DRIFT


def test_an_accepted_level_is_no_alarm() -> None:
    points = series(0.6, days=HISTORY + 60)
    _, said = judge(recorded(*points), dynamic())
    assert said[-1].status is Status.DRIFT
    accepted = replace(dynamic(), since=START + HISTORY * DAY)
    _, said = judge(recorded(*points), accepted)
    assert said[-1].status is Status.OK
    assert not any(v.status is Status.DRIFT for v in said)


@pytest.mark.parametrize("since", [HISTORY, HISTORY - 3], ids=["at the change", "before it"])
def test_a_level_accepted_during_an_alarm_is_learnt_and_then_watched(since: int) -> None:
    points = series(0.6, days=HISTORY + 90)
    for place in range(HISTORY + 70, len(points)):
        points[place] = point(place, 0.6)
    accepted = replace(dynamic(), since=START + since * DAY)
    memory, before = judge(recorded(*points[: HISTORY + 12]), dynamic())
    assert before[-1].status is Status.DRIFT
    memory = decode(encode(memory), SeriesMemory)
    for day in range(12, 15):
        memory, (told,) = judge(recorded(*points[: HISTORY + day + 1]), accepted, memory)
        assert told.status is Status.OK
        assert "level accepted by its owner since 2024" in told.reason
    memory, said = judge(recorded(*points[: HISTORY + 70]), accepted, memory)
    assert said[0].status is Status.INCONCLUSIVE
    assert {v.status for v in said[20:]} == {Status.OK}
    _, said = judge(recorded(*points), accepted, memory)
    assert said[-1].status is Status.DRIFT


@pytest.mark.parametrize("task", [Task.BINARY, Task.REGRESSION], ids=["accuracy", "mae"])
def test_a_model_that_is_right_more_often_and_worth_less_is_said_so(task: Task) -> None:
    name, gain = ("accuracy", 0.05) if task is Task.BINARY else ("mae", -0.05)
    right = [
        point(day, 0.9 + gain * (day >= HISTORY), name, reach=0.005) for day in range(HISTORY + 12)
    ]
    plan = replace(VALUED, spec=replace(SPEC, task=task), thresholds=(dynamic(),))
    records = recorded(*series(0.6), *right)
    _, said = judge_series(plan, records, SeriesMemory(), "1", ())
    assert f"{name} and caught disagree: caught fell from" in said[-1].reason
    assert said[-1].detail("quality_now") - said[-1].detail("quality_before") == pytest.approx(gain)
    _, alone = judge(recorded(*series(0.6)), dynamic())
    assert "disagree" not in alone[-1].reason
    assert np.isnan(alone[-1].detail("quality_now"))
    _, other = judge(recorded(*series(0.6), *right), dynamic(monitor=Monitor.METRIC))
    assert "disagree" not in other[-1].reason


def test_the_engine_measures_judges_and_remembers(tmp_path: Path) -> None:
    thresholds = (
        MetricThreshold("asked", "asked", LimitConfig(below=1e6, monitor=Monitor.VALUE)),
        dynamic("caught"),
    )
    made = memory_world(tmp_path, Fate(5))
    plan = replace(VALUED, thresholds=thresholds)
    made.engine = Engine(made.ports, {MODEL: plan})
    for _ in range(12):
        made.advance()
    records = made.ports.records
    assert {p.name for p in records.metrics(MODEL)} >= {"caught", "asked", "auc"}
    memory = records.read(series_key(MODEL), SeriesMemory)
    assert memory is not None
    assert memory.valued_until is not None
    assert [entry[0] for entry in memory.series] == ["asked", "caught"]
    said = [v for v in records.verdicts(MODEL) if v.monitor is Monitor.VALUE]
    assert {(v.subject, v.status) for v in said} == {
        ("asked", Status.DRIFT),
        ("caught", Status.INCONCLUSIVE),
    }
    incident = records.read(incident_key(MODEL, VALUE_DROP), IncidentState)
    assert incident is not None
    assert incident.stage is Stage.FIRING
    windows = [v.window.start for v in said if v.subject == "asked"]
    assert windows == sorted(set(windows))
    assert timedelta(0) < made.clock.now() - windows[-1] <= 3 * DAY
