"""Windows are measured while their labels come, and that feeds no monitor."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from homeostat.detectors.series.limits import LimitConfig
from homeostat.domain.evaluation import WEIGHTED
from homeostat.domain.model import LabelSpec, ModelSpec
from homeostat.domain.record import LABEL_SCHEMA, prediction_schema
from homeostat.domain.verdict import MetricPoint, Monitor
from homeostat.domain.window import Window
from homeostat.engine.early import Early, early_key, measure_early
from homeostat.engine.loop import Engine, state_keys
from homeostat.engine.plan import EarlyPolicy, MetricThreshold, ModelPlan
from homeostat.engine.watch import Fault, Progress, Watch
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryLog
from simulation.world import DAY, HOUR, MODEL, PLAN, SPEC, START, Fate, memory_world
from unit.engine.bench import watch

TEN = replace(SPEC, labels=LabelSpec(10 * DAY))
PLANNED = replace(PLAN, spec=TEN, early=EarlyPolicy())
SOON, LATE = 1.5 * DAY, 6 * DAY


def log_of(days: int, n: int = 300, *, slow: bool = True, spec: ModelSpec = TEN) -> MemoryLog:
    """Log calibrated scores; a yes takes about a day and a half, a no four times as long."""
    log = MemoryLog(SimulatedClock(START + 90 * DAY))
    for number in range(days):
        at = START + number * DAY
        rng = np.random.default_rng(number)
        score = rng.beta(2, 4, n)
        true = (rng.random(n) < score).astype(float)
        mean = np.where(true == 1.0, SOON / HOUR, LATE / HOUR if slow else SOON / HOUR)
        hours = np.minimum(rng.exponential(mean), 10 * 24 - 1.0)
        moments = [at + i * DAY / n for i in range(n)]
        columns: dict[str, object] = {
            "prediction_id": [f"{number}-{i}" for i in range(n)],
            "timestamp": moments,
            "role": ["champion"] * n,
            "tier": ["model"] * n,
            "version": ["1"] * n,
            "score": score,
            "signal": score,
            "amount": rng.random(n),
        }
        schema = prediction_schema(spec)
        rows = {f.name: columns.get(f.name, pa.nulls(n, f.type)) for f in schema}
        log.append(spec, pa.table(rows, schema))
        came = [m + float(h) * HOUR for m, h in zip(moments, hours, strict=True)]
        labels = {"prediction_id": columns["prediction_id"], "label": true, "arrival": came}
        log.append_labels(spec, pa.table(labels, LABEL_SCHEMA))
    return log


def measure(
    log: MemoryLog,
    now: datetime,
    memory: Progress | None = None,
    *,
    plan: ModelPlan = PLANNED,
    seen: Watch | None = None,
) -> Early:
    before = memory or Progress(now - DAY)
    rng = np.random.default_rng(1)
    return measure_early(plan, log, before, "1", seen or watch(), now, rng)


def points(found: Early, name: str) -> dict[datetime, MetricPoint]:
    return {point.window.start: point for point in found.points if point.name == name}


NOW = START + 40 * DAY


@cache
def whole_log() -> MemoryLog:
    return log_of(40)


def final_rate(day: datetime) -> float:
    rows = whole_log().labelled(TEN, Window(day, day + DAY), START + 90 * DAY)
    return float(np.mean((np.asarray(rows["score"]) >= 0.5) == np.asarray(rows["label"])))


def test_young_windows_are_measured_at_doubling_ages() -> None:
    found = measure(whole_log(), NOW)
    ages = [int((NOW - start) / DAY) - 1 for start in sorted(points(found, "accuracy"))][::-1]
    assert set(ages) <= {0, 1, 2, 4, 8}
    assert {2, 4, 8} <= set(ages)
    assert found.memory.until == NOW
    assert measure(whole_log(), NOW + HOUR, found.memory) == Early(found.memory)
    assert measure(whole_log(), NOW, plan=replace(PLANNED, early=None)).points == ()


def test_early_figures_are_near_the_final_ones_and_naive_ones_are_not() -> None:
    weighted, naive = [], []
    for later in range(6):
        now = NOW - later * DAY
        for start, point in points(measure(whole_log(), now), "accuracy").items():
            if now - start != 5 * DAY:
                continue
            assert (point.cohort, point.version) == (WEIGHTED, "1")
            assert 0.3 < point.coverage < 0.9
            assert point.lower < final_rate(start) < point.upper
            weighted.append(point.value - final_rate(start))
            rows = whole_log().labelled(TEN, point.window, now)
            known = rows.filter(~np.asarray(rows["label"].is_null()))
            right = (np.asarray(known["score"]) >= 0.5) == np.asarray(known["label"])
            naive.append(float(np.mean(right)) - final_rate(start))
    assert len(weighted) >= 5
    assert abs(np.mean(weighted)) < 0.03 < abs(np.mean(naive))


def test_what_cannot_be_told_yet_is_no_point_but_a_reason() -> None:
    young = log_of(3)
    found = measure(young, START + 3 * DAY)
    assert found.points == ()
    assert found.memory.problem
    nothing = measure(MemoryLog(SimulatedClock(NOW)), NOW)
    assert (nothing.points, nothing.memory.problem) == ((), "")


def test_rows_of_faults_are_left_out() -> None:
    broken = replace(watch(), faults=(Fault("amount", NOW - 3 * DAY, NOW),))
    starts = points(measure(whole_log(), NOW, seen=broken), "accuracy")
    assert starts
    assert max(starts) < NOW - 3 * DAY


def test_monitoring_that_began_late_and_complete_windows_are_left_alone() -> None:
    late = watch(NOW - 2 * DAY)
    assert (
        min(points(measure(whole_log(), NOW, seen=late), "accuracy"), default=NOW) >= NOW - 2 * DAY
    )
    short = replace(PLANNED, spec=replace(TEN, labels=LabelSpec(HOUR)))
    assert measure(whole_log(), NOW + 2 * HOUR, Progress(NOW - DAY), plan=short).points == ()


def test_the_engine_writes_early_figures_and_judges_none_of_them(tmp_path: Path) -> None:
    slow = replace(SPEC, labels=LabelSpec(3 * DAY))
    limit = MetricThreshold("low", "accuracy", LimitConfig(below=0.99))
    plan = replace(PLAN, spec=slow, early=EarlyPolicy(), thresholds=(limit,))
    world = memory_world(tmp_path, Fate(5), plan)
    world.engine = Engine(world.ports, {MODEL: plan})
    for _ in range(32):
        world.advance()
    assert world.problems == []
    stored = world.ports.records.metrics(MODEL, "accuracy")
    early = {point.window for point in stored if point.cohort == WEIGHTED}
    matured = {point.window for point in stored if point.cohort == "matured"}
    assert max(early) > max(matured)
    judged = [v.window for v in world.ports.records.verdicts(MODEL) if v.monitor is Monitor.METRIC]
    assert set(judged) <= matured
    assert len(judged) == len(set(judged))
    assert early_key(MODEL) in state_keys(plan)
    assert early_key(MODEL) not in state_keys(PLAN)
    memory = world.ports.records.read(early_key(MODEL), Progress)
    assert memory is not None
    assert memory.until == START + 8 * DAY
