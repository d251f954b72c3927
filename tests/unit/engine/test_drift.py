"""Drift is judged window by window, against a reference that is fixed or moves along."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from homeostat.detectors.drift.steadiness import drifting
from homeostat.domain.model import Column, ColumnKind, ModelSpec, Schema
from homeostat.domain.record import TIMESTAMP
from homeostat.domain.verdict import Monitor, Status
from homeostat.domain.window import Window, closed_windows
from homeostat.engine.backtest import to_records
from homeostat.engine.drift import (
    DriftJudged,
    DriftReferences,
    fit_drift,
    follow_segments,
    judge_drift,
)
from homeostat.engine.inputs import References
from homeostat.engine.plan import ModelPlan, ReferencePolicy
from homeostat.engine.watch import DriftMemory, Fault
from homeostat.profiles.build import profile_table
from homeostat.profiles.profile import EMPTY, Profile
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryLog, MemoryRecords
from simulation.world import DAY, HOUR, MODEL, PLAN, SPEC, START, Fate, World, memory_world
from unit.engine.bench import watch

ROWS = 400


@dataclass
class Traffic(MemoryLog):
    """A log whose days have the mean that a function of the day says."""

    mean: Callable[[int], float] = lambda _: 0.0
    scores: Mapping[str, float] = field(default_factory=dict)

    def profile(
        self, spec: ModelSpec, window: Window, version: str = "", segment: str = ""
    ) -> Profile:
        """Return the profile of one day; all versions' scores are half of each."""
        day = (window.start - START) // DAY
        if day < -1000:
            return EMPTY
        rng = np.random.default_rng([7, day + 1000])
        table = pa.table(
            {
                "signal": rng.normal(self.mean(day), 1.0, ROWS),
                "amount": rng.lognormal(3.0, 0.5, ROWS),
                "score": rng.random(ROWS) + self._moved(version, rng),
            }
        )
        kinds = {column.name: column.kind for column in spec.schema.columns}
        return profile_table(table, kinds | {"score": kinds["signal"]})

    def _moved(self, version: str, rng: np.random.Generator) -> NDArray[np.float64]:
        if version or not self.scores:
            return np.full(ROWS, self.scores.get(version, 0.0))
        return rng.choice(list(self.scores.values()), ROWS)


def reference(log: Traffic, first: int = -28, last: int = 0) -> DriftReferences:
    spans = closed_windows(START + first * DAY, START + last * DAY, DAY)
    return fit_drift(PLAN, [(span, log.profile(SPEC, span, "1")) for span in spans])


def plan(kind: str, windows: int = 28, renew: int = 7) -> ModelPlan:
    return replace(PLAN, reference=ReferencePolicy(kind, windows, renew))  # type: ignore[arg-type]


def drifted(log: Traffic, policy: ModelPlan, days: int) -> list[int]:
    """Return the days on which the signal is called drifted."""
    judged = judge_drift(
        policy, log, watch(), DriftMemory(), reference(log), "1", START + days * DAY
    )
    found = [v for v in judged.found.verdicts if v.subject == "signal"]
    assert len(found) == days
    return [(v.window.start - START) // DAY for v in found if v.status is Status.DRIFT]


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = memory_world(tmp_path, Fate(1))
    for _ in range(5):
        made.advance()
    return made


def fitted(world: World) -> DriftReferences:
    found = world.engine._references.fitted(PLAN, "1")
    assert found is not None
    assert found.drift is not None
    return found.drift


def test_a_version_without_reference_is_not_judged_but_time_goes_on() -> None:
    log, now = MemoryLog(SimulatedClock(START)), START + 2 * DAY
    judged = judge_drift(PLAN, log, watch(), DriftMemory(), None, "1", now)
    assert (judged.found.verdicts, judged.found.watch.inputs_until) == ((), now)


def test_scores_are_only_compared_with_the_champions_own(world: World) -> None:
    found = {}
    for champion in ("1", "2"):
        judged = judge_drift(
            PLAN, world.ports.log, watch(), DriftMemory(), fitted(world), champion, START + DAY
        )
        found[champion] = {verdict.monitor for verdict in judged.found.verdicts}
    assert found == {
        "1": {Monitor.DATA_DRIFT, Monitor.PREDICTION_DRIFT},
        "2": {Monitor.DATA_DRIFT},
    }


def test_another_champion_starts_the_evidence_on_scores_afresh() -> None:
    log = Traffic(SimulatedClock(START))
    known = reference(log)
    before = judge_drift(PLAN, log, watch(), DriftMemory(), known, "1", START + DAY).memory
    assert before.scores.seen == 1
    later = judge_drift(PLAN, log, watch(), before, known, "2", START + DAY).memory
    assert (later.scores.seen, later.inputs.seen, later.champion) == (0, 2, "2")


def test_drift_is_judged_on_the_clear_part_of_a_window_if_that_is_nearly_all_of_it(
    world: World,
) -> None:
    def judged(end: int) -> tuple[int, ...]:
        seen = replace(watch(), faults=(Fault("amount", START, START + end * HOUR),))
        found = judge_drift(
            PLAN, world.ports.log, seen, DriftMemory(), fitted(world), "1", START + DAY
        ).found
        assert found.watch.inputs_until == START + DAY
        return tuple(v.n_current for v in found.verdicts if v.subject == "amount")

    clear = world.ports.log.profile(SPEC, Window(START + 2 * HOUR, START + DAY)).rows
    assert judged(2) == (clear,)
    assert judged(3) == ()


def test_a_fixed_reference_keeps_reporting_what_a_moving_one_gets_used_to() -> None:
    """A rise so slow that no window is unusual against the weeks before it."""
    log = Traffic(SimulatedClock(START), mean=lambda day: 0.003 * max(day, 0))
    assert drifted(log, plan("fixed"), 90)
    assert drifted(log, plan("rolling", windows=14, renew=7), 90) == []


def test_a_moving_reference_does_not_learn_what_it_reports() -> None:
    log = Traffic(SimulatedClock(START), mean=lambda day: 1.0 if day >= 10 else 0.0)
    assert drifted(log, plan("rolling", windows=14), 40) == list(range(10, 40))
    assert drifted(log, plan("previous", windows=7), 40) == list(range(10, 40))


def test_a_moving_reference_begins_anew_with_a_champion_and_holds_its_scores_alone() -> None:
    log = Traffic(SimulatedClock(START), scores={"1": 0.0, "2": 3.0})
    policy, known = plan("rolling", windows=14), reference(log)
    before = judge_drift(policy, log, watch(), DriftMemory(), known, "1", START + 20 * DAY)
    assert before.memory.anchor == START + 14 * DAY
    scores = [v for v in before.found.verdicts if v.monitor is Monitor.PREDICTION_DRIFT]
    assert {verdict.status for verdict in scores[14:]} == {Status.OK}
    promoted = replace(before.found.watch, reference="2")
    after = judge_drift(policy, log, promoted, before.memory, known, "2", START + 21 * DAY)
    assert after.memory.champion == "2"
    assert after.memory.scores.seen <= 1


def test_the_anchor_is_remembered_from_tick_to_tick() -> None:
    log = Traffic(SimulatedClock(START))
    policy, known = plan("rolling", windows=14), reference(log)
    once = judge_drift(policy, log, watch(), DriftMemory(), known, "1", START + 20 * DAY)
    seen, memory, verdicts = watch(), DriftMemory(), []
    for day in range(1, 21):
        judged = judge_drift(policy, log, seen, memory, known, "1", START + day * DAY)
        seen, memory = judged.found.watch, judged.memory
        verdicts += judged.found.verdicts
    assert memory == once.memory
    assert memory.anchor == START + 14 * DAY
    assert repr(verdicts) == repr(list(once.found.verdicts))  # NaN is not equal to itself


def test_a_moving_reference_needs_windows_with_rows() -> None:
    log = Traffic(SimulatedClock(START))
    few = replace(plan("rolling"), drift=replace(PLAN.drift, min_rows=ROWS + 1))
    known = reference(log)
    judged = judge_drift(few, log, watch(), DriftMemory(), known, "1", START + 10 * DAY)
    assert judged.memory.anchor is None


def test_a_reference_that_drifts_by_itself_is_put_on_record_once() -> None:
    log = Traffic(SimulatedClock(START), mean=lambda day: 0.05 * day)
    known = reference(log)
    judged = judge_drift(PLAN, log, watch(), DriftMemory(), known, "1", START + 2 * DAY)
    assert [(d.action, d.subject) for d in judged.decisions] == [("doubt_reference", "signal")]
    assert "drifts by itself in signal" in judged.decisions[0].reason
    again = judge_drift(PLAN, log, judged.found.watch, judged.memory, known, "1", START + 3 * DAY)
    assert again.decisions == ()


def test_a_short_reference_is_not_doubted() -> None:
    log = Traffic(SimulatedClock(START), mean=lambda day: 0.3 * day)
    spans = [Window(START + i * DAY, START + (i + 1) * DAY) for i in range(7)]
    windows = [(span, log.profile(SPEC, span)) for span in spans]
    assert drifting(windows, SPEC.schema.names, PLAN.drift) == ()


def test_references_of_a_version_hold_its_windows(world: World) -> None:
    found = References(world.ports.records).fitted(PLAN, "1")
    assert found is not None
    assert found.drift is not None
    assert len(found.drift.windows) == found.drift.inputs.windows
    start: datetime = found.drift.windows[0][0].start
    assert start < START


LANDS = ("AT", "DE", "FR")
BY_LAND = replace(
    SPEC,
    schema=Schema((*SPEC.schema.columns, Column("land", ColumnKind.CATEGORICAL))),
    segments=("land",),
)


def answered_days(
    first: int,
    last: int,
    moved: Mapping[str, float],
    rows: int = 150,
    lands: tuple[str, ...] = LANDS,
) -> MemoryLog:
    """Return a log of days in which signals of some lands are moved from the start on."""
    log = MemoryLog(SimulatedClock(START + last * DAY))
    for day in range(first, last):
        rng = np.random.default_rng([3, day + 1000])
        size = rows * len(lands)
        land = np.repeat(lands, rows)
        shift = np.array([moved.get(name, 0.0) if day >= 0 else 0.0 for name in land])
        at = START + day * DAY
        columns = {
            "prediction_id": [f"{day} {row}" for row in range(size)],
            "timestamp": pa.array([at + HOUR] * size, TIMESTAMP),
            "entity": [""] * size,
            "signal": rng.normal(size=size) + shift,
            "amount": rng.lognormal(3.0, 0.5, size),
            "land": land.tolist(),
        }
        log.append(
            BY_LAND, to_records(BY_LAND, pa.table(columns), rng.random(size), "1", "champion")
        )
    return log


def by_land(policy: ReferencePolicy | None = None) -> ModelPlan:
    return replace(PLAN, spec=BY_LAND, reference=policy or ReferencePolicy())


def learnt(log: MemoryLog, policy: ModelPlan) -> DriftReferences:
    spans = closed_windows(START - 14 * DAY, START, DAY)
    whole = fit_drift(policy, [(span, log.profile(BY_LAND, span)) for span in spans])
    return follow_segments(policy, log, watch(), whole)


def subjects(judged: DriftJudged, status: Status) -> set[str]:
    return {v.subject for v in judged.found.verdicts if v.status is status}


def test_a_change_in_one_segment_is_found_there() -> None:
    log, policy = answered_days(-14, 3, {"FR": 1.0}), by_land()
    found = learnt(log, policy)
    assert set(found.segments) == {f"land={land}" for land in LANDS}
    judged = judge_drift(policy, log, watch(), DriftMemory(), found, "1", START + 3 * DAY)
    drifted = subjects(judged, Status.DRIFT)
    assert "signal [land=FR]" in drifted
    assert drifted.isdisjoint({"signal [land=DE]", "amount [land=FR]", "amount"})


def test_segments_are_followed_while_they_have_rows_and_no_more_than_asked() -> None:
    log = answered_days(-14, 1, {})
    assert learnt(log, by_land(ReferencePolicy(segments=0))).segments == ()
    assert learnt(log, by_land(ReferencePolicy(segments=2))).segments == ("land=AT", "land=DE")
    few = answered_days(-14, 1, {}, rows=20)
    assert learnt(few, by_land()).segments == ()
    assert learnt(log, PLAN).segments == (), "the model has none"


def test_a_moving_reference_follows_segments_too() -> None:
    log = answered_days(-14, 1, {"FR": 1.0})
    policy = by_land(ReferencePolicy("rolling", windows=8, renew=7))
    judged = judge_drift(policy, log, watch(), DriftMemory(), learnt(log, policy), "1", START + DAY)
    assert "signal [land=FR]" in subjects(judged, Status.DRIFT)
    quiet = answered_days(-14, 9, {}, rows=80)
    judged = judge_drift(
        policy, quiet, watch(), DriftMemory(), learnt(quiet, policy), "1", START + 9 * DAY
    )
    assert judged.memory.anchor is not None
    assert "signal [land=FR]" in subjects(judged, Status.OK)


def test_drift_of_a_segment_that_is_followed_no_more_ends() -> None:
    """The alarm would last for ever; that of a column with such a name goes on."""
    log, policy = answered_days(-14, 3, {"FR": 1.0}), by_land()
    found = learnt(log, policy)
    first = judge_drift(policy, log, watch(), DriftMemory(), found, "1", START + DAY)
    seen = first.found.watch.noting(first.found.verdicts)
    alone = learnt(log, by_land(ReferencePolicy(segments=0)))
    later = judge_drift(policy, log, seen, first.memory, alone, "1", START + 3 * DAY)
    (ended,) = (v for v in later.found.verdicts if v.subject == "signal [land=FR]")
    assert (ended.status, ended.window) == (Status.OK, Window(START + DAY, START + 2 * DAY))
    assert "no longer judged" in ended.reason


def test_a_segment_that_was_erased_is_named_no_more() -> None:
    """Its profiles count on as those of another: the reference is learnt again without it."""
    log, policy = answered_days(-14, 1, {}), by_land()
    records = MemoryRecords(SimulatedClock(START))
    spans = closed_windows(START - 14 * DAY, START, DAY)
    records.save_reference(MODEL, "1", [(span, log.profile(BY_LAND, span)) for span in spans])
    known, seen = References(records), replace(watch(), inputs_until=START)
    first = known.drift(policy, log, seen, START + DAY)
    assert known.drift(policy, log, seen, START + DAY) is first
    without = answered_days(-14, 1, {}, lands=LANDS[:2])
    later = known.drift(policy, without, seen, START + DAY)
    assert first is not None
    assert later is not None
    assert (len(first.segments), later.segments) == (3, ("land=AT", "land=DE"))


def test_segments_are_read_once_and_when_a_window_has_closed(world: World) -> None:
    log, policy = answered_days(-14, 3, {}), by_land()
    known = References(world.ports.records)
    seen = replace(watch(), inputs_until=START)
    assert known.drift(policy, log, replace(seen, reference="none"), START + DAY) is None
    early = known.drift(policy, log, seen, START)
    assert early is not None
    assert early.segments == ()
    followed = known.drift(policy, log, seen, START + DAY)
    assert followed is known.drift(policy, log, seen, START + 2 * DAY)
