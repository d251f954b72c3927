"""The share of answers by fallback tiers is held to the owner's limit, on rows of the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from homeostat.alerting.episode import IncidentState
from homeostat.alerting.episode import Stage as Incident
from homeostat.domain.verdict import DEGRADED, Monitor, Status
from homeostat.domain.window import Window
from homeostat.engine.degraded import judge_degraded
from homeostat.engine.plan import DegradedPolicy
from homeostat.engine.retire import retire
from homeostat.engine.watch import incident_key
from homeostat.simulation.fakes import MemoryLog
from simulation.world import HOUR, MODEL, PLAN, SPEC, START, Fate, World, memory_world
from unit.engine.bench import logged, verdict, watch

STEP = timedelta(minutes=5)
JUDGED = replace(PLAN, degraded=DegradedPolicy())
EACH = 40
ROW = ("champion", "model", "")
RULES = ("champion", "rules", "invalid_input")


def log(*windows: Sequence[tuple[str, str, str]]) -> MemoryLog:
    """Return a log with the rows (role, tier, reason) of consecutive windows."""
    rows = [(START + place * STEP, row) for place, part in enumerate(windows) for row in part]
    return logged(
        SPEC,
        np.full(len(rows), np.nan),
        score=np.full(len(rows), 0.5),
        prediction=np.ones(len(rows)),
        timestamp=[at for at, _ in rows],
        role=[role for _, (role, _, _) in rows],
        tier=[tier for _, (_, tier, _) in rows],
        reason=[reason for _, (_, _, reason) in rows],
    )


def share(degraded: int) -> list[tuple[str, str, str]]:
    """Return a window of which so many are degraded, with shadows and named versions beside it."""
    shadows = [("shadow", "rules", ""), ("override", "rules", "error")] * EACH
    return [*shadows, *[RULES] * degraded, *[ROW] * (EACH - degraded)]


@pytest.mark.parametrize(
    ("windows", "told"),
    [
        ((4, 4, 4), [Status.OK]),
        ((5, 4, 5, 4), [Status.OK]),
        ((5, 5), [Status.DRIFT]),
        ((0, 5, 5, 5), [Status.DRIFT, Status.DRIFT]),
        ((5, 5, 0, 0, 0), [Status.DRIFT, Status.OK, Status.OK]),
    ],
    ids=["at_the_limit", "never_twice_in_a_row", "twice", "goes_on", "over"],
)
def test_two_windows_in_a_row_above_the_limit_alarm(
    windows: tuple[int, ...], told: list[Status]
) -> None:
    rows = log(*(share(count) for count in windows))
    end = START + len(windows) * STEP
    found = judge_degraded(JUDGED, rows, watch(), end)
    assert [v.status for v in found.verdicts] == told
    assert {(v.monitor, v.subject) for v in found.verdicts} == {(Monitor.SERVICE, DEGRADED)}
    assert found.watch.degraded_until == end
    # Ticks that come more often see the same, and each window once.
    seen, statuses = watch(), list[Status]()
    for minute in range(0, len(windows) * 5 + 1, 2):
        found = judge_degraded(JUDGED, rows, seen, START + timedelta(minutes=minute))
        seen = found.watch
        statuses += [v.status for v in found.verdicts]
    assert len(statuses) in {len(windows), len(windows) - 1}
    assert statuses[-1] is told[-1] or len(statuses) < len(windows)


def test_the_reason_counts_tiers_and_shows_no_strange_text() -> None:
    kinds = [("champion", "<b>", "<i>"), ("arm:2", "default", "overload"), ROW, ROW]
    kinds += [("champion", "cached", "error"), ("arm:3", "lighter", "")]
    found = judge_degraded(JUDGED, log(kinds * 10), watch(), START + STEP)
    (told,) = found.verdicts
    assert told.reason == (
        "40 of 60 answers came from fallback tiers (10 other for other, 10 default for overload,"
        " 10 cached for error and 1 more kinds); the limit is 0.1"
    )
    assert told.details == (
        ("above", 0.1),
        *(("cached", 10.0), ("default", 10.0), ("lighter", 10.0), ("other", 10.0)),
    )
    assert (told.n_current, told.effect_threshold) == (60, 0.1)
    assert told.score == pytest.approx(2 / 3)


def test_windows_of_few_answers_say_nothing() -> None:
    quiet = log([RULES] * 29, [], [RULES] * 29)
    found = judge_degraded(JUDGED, quiet, watch(), START + 3 * STEP)
    assert (found.verdicts, found.watch.degraded_until) == ((), START + 3 * STEP)


def test_what_is_switched_off_is_not_judged_and_ends() -> None:
    bad = log(share(20), share(20))
    firing = judge_degraded(JUDGED, bad, watch(), START + 2 * STEP)
    off = judge_degraded(PLAN, bad, firing.watch, START + 3 * STEP)
    assert (off.verdicts, off.watch) == ((), watch())
    seen = watch().noting((*firing.verdicts, verdict(Monitor.SERVICE, "availability")))
    assert retire(JUDGED, seen, START + HOUR).verdicts == ()
    (ended,) = retire(PLAN, seen, START + HOUR).verdicts
    assert (ended.subject, ended.status) == (DEGRADED, Status.OK)


def by_rules(records: pa.Table, count: int) -> pa.Table:
    """Return records of which the first ones were answered by rules."""
    columns = {name: records[name] for name in records.column_names}
    for name, value in (("tier", "rules"), ("reason", "invalid_input")):
        kept = records[name].to_pylist()[count:]
        columns[name] = pa.chunked_array([pa.array([value] * count + kept, pa.string())])
    return pa.table(columns, schema=records.schema)


def live(world: World, degraded: float) -> IncidentState | None:
    """Live through half an hour in which such a part of the answers is by rules."""
    window = Window(world.clock.now(), world.clock.advance(HOUR / 2))
    for records in world.answers(window):
        world.ports.log.append(SPEC, by_rules(records, round(degraded * records.num_rows)))
    world.problems += world.engine.tick(window.end)
    key = incident_key(MODEL, "degraded_answers")
    return world.ports.records.read(key, IncidentState)


def test_the_engine_raises_the_alert_and_ends_it(tmp_path: Path) -> None:
    policy = DegradedPolicy(replace(DegradedPolicy().limit, min_rows=5), HOUR / 2)
    world = memory_world(tmp_path, Fate(3), replace(PLAN, degraded=policy))
    assert live(world, 0.0) is None
    assert live(world, 0.6) is None
    fired = live(world, 0.6)
    assert fired is not None
    assert (fired.stage, fired.subjects) == (Incident.FIRING, (DEGRADED,))
    assert fired.runbook == "runbooks/degraded-answers.md"
    stages = []
    for _ in range(4):
        after = live(world, 0.0)
        assert after is not None
        stages.append(after.stage)
    assert stages[-1] is Incident.RESOLVED
    assert world.problems == []
