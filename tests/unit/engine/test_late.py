"""Rows that come after their hour was judged are counted, restate windows, and are said."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.domain.decision import Decision
from homeostat.domain.record import LABEL_SCHEMA
from homeostat.domain.verdict import MetricPoint, Monitor, Status
from homeostat.domain.window import Window
from homeostat.engine import late
from homeostat.engine.backtest import to_records
from homeostat.engine.late import HOUR, MOST_WINDOWS, LateMemory, late_key, look
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryLog
from simulation.world import DAY, MODEL, PLAN, SPEC, START, TICK, Fate, World, memory_world

OTHERS = Fate(99)
FIRST = Window(START, START + DAY)


def rows(window: Window) -> pa.Table:
    """Return requests of a window that the log does not have yet, with their labels."""
    table = OTHERS.traffic(window)
    ids = pa.array([f"late {key}" for key in table["prediction_id"].to_pylist()])
    return table.set_column(0, "prediction_id", ids)


def predictions(table: pa.Table) -> pa.Table:
    return to_records(SPEC, table, np.full(len(table), 0.9), "1", "champion")


def live(world: World, until: timedelta, lost: Window | None = None) -> pa.Table:
    """Live until some time after the start; return what was answered and lost on the way."""
    kept: list[pa.Table] = []
    while world.clock.now() < START + until:
        window = Window(world.clock.now(), world.clock.now() + TICK)
        if lost is not None and lost.start <= window.start < lost.end:
            kept += world.answers(window)
            world.clock.advance(TICK)
            world.problems += world.engine.tick(window.end)
        else:
            world.advance()
    assert not world.problems
    return pa.concat_tables(kept) if kept else None


def memory(world: World) -> LateMemory:
    found = world.ports.records.read(late_key(MODEL), LateMemory)
    assert found is not None
    return found


def said(world: World) -> list[Decision]:
    return [one for one in world.ports.records.decisions(MODEL) if one.action == "restate"]


def accuracy(world: World) -> MetricPoint:
    points = world.ports.records.metrics(MODEL, "accuracy", FIRST.start, FIRST.end)
    (point,) = (one for one in points if one.cohort == "matured")
    return point


@pytest.fixture
def world(tmp_path: Path) -> World:
    return memory_world(tmp_path, Fate(5))


def test_rows_in_time_are_not_late(world: World) -> None:
    live(world, 3 * DAY)
    assert said(world) == []
    assert (memory(world).rows, memory(world).told) == (0, None)
    assert len(memory(world).counts) == 72


def test_late_rows_restate_their_measured_window_at_the_next_tick(world: World) -> None:
    live(world, 2 * DAY + 6 * HOUR)
    before = accuracy(world)
    came = rows(Window(START + 3 * HOUR, START + 5 * HOUR))
    world.ports.log.append(SPEC, predictions(came))
    world.ports.log.append_labels(SPEC, came.select(LABEL_SCHEMA.names))
    live(world, 2 * DAY + 12 * HOUR)
    after = accuracy(world)
    assert after.n == before.n + len(came)
    (decision,) = said(world)
    assert decision.subject == "late rows"
    figures = dict(decision.evidence)
    assert figures["late_rows"] == len(came)
    assert figures["late_hours"] == 2.0
    assert figures["windows"] == 1.0
    (calibration,) = world.ports.records.metrics(MODEL, "brier", FIRST.start, FIRST.end)
    assert figures["brier:after"] == calibration.value
    assert f"2 hours from {START + 3 * HOUR:%FT%H:%M} on had" in decision.reason
    assert f"{before.n} labels then, {after.n} now" in decision.reason
    assert memory(world).rows == len(came)
    assert memory(world).told == decision.at
    live(world, 4 * DAY)
    assert said(world) == [decision], "it is said once"


def test_a_verdict_on_rows_that_were_late_stands_and_is_named(world: World) -> None:
    outage = Window(START + 18 * HOUR, START + 24 * HOUR)
    lost = live(world, DAY + 6 * HOUR, outage)
    records = world.ports.records

    def alarms() -> list[object]:
        found = records.verdicts(MODEL, outage.start, outage.end)
        return [v for v in found if v.monitor is Monitor.VOLUME and v.status is Status.DRIFT]

    before, fires = alarms(), [d for d in records.decisions(MODEL) if d.action == "fire"]
    assert before, "the silence is an alarm"
    judged = records.verdicts(MODEL, outage.start, outage.end)
    world.ports.log.append(SPEC, lost)
    live(world, DAY + 12 * HOUR)
    assert records.verdicts(MODEL, outage.start, outage.end) == judged
    assert [d for d in records.decisions(MODEL) if d.action == "fire"] == fires
    (decision,) = said(world)
    assert dict(decision.evidence)["verdicts"] >= 1.0
    assert "stand as they were judged" in decision.reason
    assert f"6 hours from {outage.start:%FT%H:%M} on had 0 rows when judged" in decision.reason
    assert dict(decision.evidence)["windows"] == 0.0, "its labels are not complete"


def test_one_late_hour_is_named_by_its_window(world: World) -> None:
    live(world, DAY)
    came = rows(Window(START + 3 * HOUR, START + 4 * HOUR))
    world.ports.log.append(SPEC, predictions(came))
    live(world, DAY + 6 * HOUR)
    (decision,) = said(world)
    assert f"the hour {Window(START + 3 * HOUR, START + 4 * HOUR)} had" in decision.reason
    assert dict(decision.evidence)["late_rows"] == len(came)


def test_outcomes_alone_are_named_so(tmp_path: Path) -> None:
    """A label told with an arrival from long ago changes figures, and nothing came since."""
    world = memory_world(tmp_path, Fate(5))
    live(world, 2 * DAY + 6 * HOUR)
    table = world.ports.log.labelled(SPEC, FIRST, world.clock.now(), ["prediction_id"])
    old = {
        "prediction_id": table["prediction_id"],
        "label": pa.array(1.0 - np.asarray(table["label"].to_numpy())),
        "arrival": pa.array([START + DAY + 21 * HOUR] * len(table)),
    }
    world.ports.log.append_labels(SPEC, pa.table(old).cast(LABEL_SCHEMA))
    live(world, 3 * DAY)
    (decision,) = said(world)
    assert decision.subject == "outcomes"


HOURS = st.lists(st.integers(0, 60), max_size=30)


@given(st.lists(st.tuples(st.integers(1, 5), HOURS), max_size=6))
@settings(max_examples=50, deadline=None)
def test_what_is_late_is_counted_once_whenever_it_comes(
    script: list[tuple[int, list[int]]],
) -> None:
    """Against a model: a row is late if its hour had ended at a look before it came."""
    log, seen, expected, found, end = (
        MemoryLog(SimulatedClock(START + 9 * DAY)),
        LateMemory(),
        0,
        0,
        0,
    )
    for wait, hours in script:
        expected += sum(hour < end for hour in hours)
        at = [START + hour * HOUR + timedelta(minutes=5) for hour in hours]
        ids = [f"{end} {wait} {log_row}" for log_row in range(len(hours))]
        table = rows(Window(START, START + DAY)).slice(0, len(hours))
        table = table.set_column(0, "prediction_id", pa.array(ids, pa.string()))
        table = table.set_column(1, "timestamp", pa.array(at, table.schema.field(1).type))
        log.append(SPEC, predictions(table))
        end += wait
        seen, arrived = look(PLAN, log, seen, START, START + end * HOUR)
        found += sum(one.rows for one in arrived)
        assert look(PLAN, log, seen, START, START + end * HOUR) == (seen, ())
    assert found == expected


def test_nothing_before_monitoring_or_out_of_reach_is_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(late, "REACH", 3 * HOUR)
    log = MemoryLog(SimulatedClock(START + DAY))
    watched = START + timedelta(minutes=30)
    assert look(PLAN, log, LateMemory(), watched, watched) == (LateMemory(), ())
    seen, _ = look(PLAN, log, LateMemory(), watched, START + 2 * HOUR)
    assert seen.counts == (0,)
    seen, _ = look(PLAN, log, seen, watched, START + 5 * HOUR)
    assert seen.counts == (0, 0, 0)
    log.append(SPEC, predictions(rows(Window(START + HOUR, START + 2 * HOUR))))
    _, arrived = look(PLAN, log, seen, watched, START + 6 * HOUR)
    assert arrived == ()


def test_late_rows_of_many_windows_take_several_ticks() -> None:
    """Each tick deals with a bounded number of windows, and none is forgotten."""
    plan = replace(PLAN, metric_window=HOUR)
    log = MemoryLog(SimulatedClock(START + 9 * DAY))
    seen, _ = look(plan, log, LateMemory(), START, START + 3 * DAY)
    came = rows(Window(START, START + 2 * DAY))
    log.append(SPEC, predictions(came))
    told = []
    for hour in range(1, 4):
        seen, arrived = look(plan, log, seen, START, START + 3 * DAY + hour * HOUR)
        told.append(arrived)
    assert [len(arrived) for arrived in told] == [MOST_WINDOWS, 48 - MOST_WINDOWS, 0]
    assert sum(one.rows for arrived in told for one in arrived) == len(came)
