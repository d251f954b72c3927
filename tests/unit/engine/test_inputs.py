"""Inputs are judged window by window, and faults are kept on the books."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from homeostat.domain.model import Schema
from homeostat.domain.verdict import Monitor, Status
from homeostat.domain.window import Window
from homeostat.engine import inputs
from homeostat.engine.inputs import References, Seen, note_faults, reach
from homeostat.engine.watch import Baseline, Fault, baseline_key
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryLog, MemoryRecords
from simulation.world import DAY, HOUR, MODEL, PLAN, SPEC, START, Fate, World, memory_world
from unit.engine.bench import logged, verdict, watch

BAD = verdict(Monitor.DATA_QUALITY, "amount")
WORSE = verdict(Monitor.DATA_QUALITY, "signal")
FINE = verdict(Monitor.DATA_QUALITY, "amount", Status.OK)
UNSURE = verdict(Monitor.DATA_QUALITY, "amount", Status.NO_DATA)


def hour(number: int) -> Window:
    return Window(START + number * HOUR, START + (number + 1) * HOUR)


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = memory_world(tmp_path, Fate(1))
    for _ in range(5):
        made.advance()
    return made


def test_a_fault_begins_a_window_early_and_is_not_begun_twice() -> None:
    seen, made = note_faults(PLAN, watch(), (BAD,), hour(3), START)
    assert seen.open_faults[0].start == hour(2).start
    assert [(d.action, d.subject) for d in made] == [("begin_fault", "amount")]
    again, made = note_faults(PLAN, seen, (BAD,), hour(4), START)
    assert again == seen
    assert made == ()


@pytest.mark.parametrize(("judged", "start"), [(10, 4), (47, 22)], ids=["hours", "days"])
def test_windows_that_nobody_could_judge_are_part_of_the_fault(judged: int, start: int) -> None:
    """Fine in the hour from 4 to 5, too few rows until ten o'clock, or for nearly two days."""
    seen, _ = note_faults(PLAN, watch(), (FINE,), hour(4), START)
    for number in range(5, judged):
        seen, _ = note_faults(PLAN, seen, (UNSURE,), hour(number), START)
    seen, _ = note_faults(PLAN, seen, (BAD,), hour(judged), START)
    assert seen.open_faults[0].start == hour(start).start
    gone = replace(PLAN, spec=replace(SPEC, schema=Schema(SPEC.schema.columns[:1])))
    assert note_faults(gone, seen, (), hour(48), START)[0].sound_until == ()


def test_a_second_column_is_a_fault_of_its_own() -> None:
    seen, _ = note_faults(PLAN, watch(), (BAD,), hour(3), START)
    seen, made = note_faults(PLAN, seen, (BAD, WORSE), hour(4), START)
    assert [d.subject for d in made] == ["signal"]
    assert seen.broken == ("amount", "signal")


def test_only_ok_ends_a_fault_and_the_end_stays() -> None:
    seen, _ = note_faults(PLAN, watch(), (BAD,), hour(3), START)
    seen, made = note_faults(PLAN, seen, (UNSURE,), hour(4), START)
    assert (seen.broken, made) == (("amount",), ())
    seen, made = note_faults(PLAN, seen, (FINE,), hour(5), START)
    assert [d.action for d in made] == ["end_fault"]
    assert seen.faults[0].end == hour(5).end
    seen, made = note_faults(PLAN, seen, (FINE,), hour(6), START)
    assert (seen.faults[0].end, made) == (hour(5).end, ())
    seen, _ = note_faults(PLAN, seen, (BAD,), hour(9), START)
    assert [fault.end for fault in seen.faults] == [hour(5).end, None]


def test_a_fault_is_kept_as_long_as_training_may_reach_it() -> None:
    long_over = Fault("amount", START, START + HOUR)
    before = replace(watch(), faults=(long_over,))
    kept, _ = note_faults(PLAN, before, (), hour(3), START + reach(PLAN))
    assert kept.faults == (long_over,)
    kept, _ = note_faults(PLAN, before, (), hour(3), START + reach(PLAN) + HOUR)
    assert kept.faults == ()
    plain = replace(PLAN, retraining=None)
    assert reach(plain) < reach(PLAN)


def test_a_column_that_left_the_schema_is_broken_no_longer() -> None:
    before = replace(watch(), faults=(Fault("gone", START),))
    seen, made = note_faults(PLAN, before, (), hour(3), START)
    assert (seen.broken, [d.action for d in made]) == ((), ["end_fault"])


def test_a_version_without_reference_is_not_judged_but_time_goes_on() -> None:
    log, now = MemoryLog(SimulatedClock(START)), START + 2 * DAY
    quality, made = inputs.judge_quality(PLAN, Seen(log, SPEC), watch(), None, now)
    assert {v.status for v in quality.verdicts} == {Status.NO_DATA}
    assert (quality.watch.quality_until, made) == (now, ())
    volume = inputs.judge_volume(PLAN, Seen(log, SPEC), watch(), None, now)
    assert (volume.verdicts, volume.watch.volume_until) == ((), now)


def test_references_are_read_once_they_exist_and_then_kept(world: World) -> None:
    records = world.ports.records
    fresh = References(MemoryRecords(SimulatedClock(START)))
    assert fresh.baseline(MODEL, "1") is None
    assert fresh.fitted(PLAN, "1") is None
    known = References(records)
    first = known.fitted(PLAN, "1")
    assert first is not None
    assert first.volume is not None
    assert known.fitted(PLAN, "1") is first
    assert known.baseline(MODEL, "1") is known.baseline(MODEL, "1")


def test_a_reference_without_baseline_has_no_volumes(world: World) -> None:
    records = MemoryRecords(SimulatedClock(START))
    records.save_reference(MODEL, "9", world.ports.records.reference(MODEL, "1"))
    found = References(records).fitted(PLAN, "9")
    assert found is not None
    assert found.volume is None
    assert records.keys(baseline_key(MODEL, "9")) == ()
    judged = inputs.judge_volume(PLAN, Seen(world.ports.log, SPEC), watch(), found, START + DAY)
    assert judged.verdicts == ()


def test_a_longer_window_is_merged_from_shorter_ones(world: World) -> None:
    log = world.ports.log
    seen = Seen(log, SPEC)
    for number in range(3):
        assert seen.profile(hour(number)) == log.profile(SPEC, hour(number))
    whole = Window(hour(0).start, hour(2).end)
    assert seen.profile(whole) == log.profile(SPEC, whole)
    longer = Window(hour(0).start, hour(4).end)
    assert seen.profile(longer) == log.profile(SPEC, longer)
    assert seen.profile(hour(0)) == log.profile(SPEC, hour(0))


def test_the_service_is_judged_once_and_silence_says_nothing(world: World) -> None:
    log, now = world.ports.log, START + 6 * HOUR
    found = inputs.judge_service(PLAN, log, watch(), now)
    (told,) = (v for v in found.verdicts if v.subject == "availability")
    assert (told.status, found.watch.service_until) == (Status.OK, now)
    assert inputs.judge_service(PLAN, log, found.watch, now).watch is found.watch
    later = world.clock.now() + DAY
    quiet = replace(found.watch, service_until=world.clock.now())
    assert inputs.judge_service(PLAN, log, quiet, later).verdicts == ()


def test_versions_that_callers_name_are_no_evidence_on_the_service() -> None:
    rows = 200
    log = logged(
        SPEC,
        np.full(rows, np.nan),
        score=np.full(rows, 0.5),
        prediction=np.ones(rows),
        timestamp=[START] * rows,
        role=["champion", "override"] * (rows // 2),
        tier=["model", "rules"] * (rows // 2),
        reason=["", "error"] * (rows // 2),
    )
    found = inputs.judge_service(PLAN, log, watch(), START + HOUR)
    (told,) = (v for v in found.verdicts if v.subject == "availability")
    assert told.status is Status.OK


@pytest.mark.parametrize("early", [60, 200], ids=["some", "all"])
def test_rows_from_before_a_model_was_loaded_are_not_held_against_it(early: int) -> None:
    rows = 200
    log = logged(
        SPEC,
        np.full(rows, np.nan),
        score=np.full(rows, 0.5),
        prediction=np.ones(rows),
        timestamp=[START] * rows,
        version=["none"] * early + ["1"] * (rows - early),
        tier=["default"] * early + ["model"] * (rows - early),
        reason=["not_loaded"] * early + [""] * (rows - early),
    )
    found = inputs.judge_service(PLAN, log, watch(), START + HOUR)
    told = [v for v in found.verdicts if v.subject == "availability"]
    expected = [(Status.OK, rows - early)] if early < rows else []
    assert [(v.status, v.n_current) for v in told] == expected
    assert found.served is not None
    assert (found.served.asked, found.served.elsewhere) == (rows, early)


def test_what_the_schema_states_is_judged_without_a_reference() -> None:
    """Of a hundred rows 98 are beyond the maximum; of the other column nothing is stated."""
    bounded = [
        replace(c, maximum=50.0) if c.name == "amount" else replace(c, minimum=None, maximum=None)
        for c in SPEC.schema.columns
    ]
    spec = replace(SPEC, schema=Schema(tuple(bounded)))
    log = logged(
        spec,
        np.full(100, np.nan),
        score=np.full(100, 0.5),
        prediction=np.ones(100),
        timestamp=[START] * 100,
        amount=np.where(np.arange(100) < 98, 5000.0, 50.0),
    )
    plan = replace(PLAN, spec=spec)
    judged, made = inputs.judge_quality(plan, Seen(log, spec), watch(), None, START + DAY)
    found = {v.subject: v for v in judged.verdicts if v.n_current}
    assert found["amount"].status is Status.DRIFT
    assert found["amount"].reason == "98% of rows outside what the schema allows"
    assert found["signal"].status is Status.INCONCLUSIVE
    assert "no reference" in found["signal"].reason
    assert [(d.action, d.subject) for d in made] == [("begin_fault", "amount")]


def test_volume_needs_no_profiles(world: World) -> None:
    records = MemoryRecords(SimulatedClock(START))
    with records.begin() as uow:
        baseline = world.ports.records.read(baseline_key(MODEL, "1"), Baseline)
        assert baseline is not None
        uow.save(baseline_key(MODEL, "1"), baseline)
    known = References(records)
    found = known.fitted(PLAN, "1")
    assert found is not None
    assert known.drift(PLAN, world.ports.log, watch(), START + DAY) is None
    judged = inputs.judge_volume(PLAN, Seen(world.ports.log, SPEC), watch(), found, START + DAY)
    assert judged.verdicts
