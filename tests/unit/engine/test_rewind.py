"""A clock that was ahead, or is set back, neither blinds the engine nor makes it cry."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from homeostat.alerting.conditions.missing import Missing
from homeostat.alerting.conditions.signal import Facts, Series, State
from homeostat.alerting.episode import IncidentState, Stage
from homeostat.detectors.series.state import SeriesState
from homeostat.domain.limit import LimitState
from homeostat.domain.verdict import Monitor
from homeostat.domain.window import Window
from homeostat.engine.early import early_key
from homeostat.engine.estimates import estimates_key
from homeostat.engine.importance import ImportanceMemory, importance_key
from homeostat.engine.late import LateMemory, late_key
from homeostat.engine.plan import DegradedPolicy
from homeostat.engine.rewind import rewind
from homeostat.engine.series import SeriesMemory, series_key
from homeostat.engine.signals import Remembered, RulesMemory
from homeostat.engine.watch import (
    DriftMemory,
    Matured,
    Pairing,
    Progress,
    Watch,
    drift_key,
    fresh,
    incident_key,
    rules_key,
    watch_key,
)
from unit.engine.ruled import DAY, HOUR, MINUTE, MODEL, START, Site, plan_of

ERRORS = """
alerts: {rules: {errors: {metric: error_rate, above: 0.01, min_rows: 100, missing: {after: 30m}}}}
"""


def glitch(site: Site, by: timedelta) -> None:
    """Tick once with a clock that is off by so much."""
    site.clock.set(site.now + by)
    site.problems += site.engine.tick(site.now + by)
    site.clock.set(site.now)


def rewinds(site: Site) -> list[datetime]:
    return [d.at for d in site.ports.records.decisions(MODEL) if d.action == "rewind"]


def test_one_tick_a_day_ahead_pages_nobody_and_blinds_for_one_tick(tmp_path: Path) -> None:
    site = Site(plan_of(tmp_path, ERRORS), tmp_path)
    for _ in range(3):
        site.answer(200)
    glitch(site, DAY)
    assert site.told == []
    site.answer(200, failed=200)
    site.answer(200, failed=200)
    assert ("errors", "trigger") in site.told
    assert not any(rule == "errors.missing" for rule, _ in site.told)
    assert rewinds(site) == [site.now - 5 * MINUTE]
    assert site.problems == []


def test_an_incident_stays_the_same_one_when_the_clock_is_set_back(tmp_path: Path) -> None:
    site = Site(plan_of(tmp_path, ERRORS), tmp_path)
    for _ in range(3):
        site.answer(200)
    site.answer(200, failed=200)
    before = site.incident("errors")
    assert before is not None
    assert before.stage is Stage.FIRING
    told = len(site.told)
    site.now -= 6 * HOUR
    for _ in range(6):
        site.answer(200, failed=200)
    after = site.incident("errors")
    assert after is not None
    assert (after.stage, after.key) == (Stage.FIRING, before.key)
    assert not [action for _, action in site.told[told:] if action == "trigger"]
    for _ in range(24):
        site.answer(200)
    assert ("errors", "resolve") in site.told[told:]


def test_nothing_is_beyond_the_time_of_the_tick(tmp_path: Path) -> None:
    plan = replace(plan_of(tmp_path, ERRORS), degraded=DegradedPolicy())
    site = Site(plan, tmp_path)
    now, ahead = START + 10 * DAY, START + 11 * DAY
    limit = LimitState()
    late = LateMemory(ahead, tuple(range(30)))
    entry = Remembered("errors", "", "", State(since=ahead), False, "", ahead, ahead)
    young = Remembered("new", "", "")
    incident = IncidentState(
        MODEL, "errors", Stage.PENDING, pending_since=ahead, clear_since=ahead, resolved_at=ahead,
        escalates_from=ahead,
    )  # fmt: skip
    states: dict[str, object] = {
        estimates_key(MODEL): Progress(ahead),
        early_key(MODEL): Progress(ahead),
        drift_key(MODEL): DriftMemory(anchor=ahead),
        importance_key(MODEL): ImportanceMemory(ahead),
        series_key(MODEL): SeriesMemory(ahead, (("saved", ahead, SeriesState(), limit),)),
        late_key(MODEL): late,
        rules_key(MODEL): RulesMemory((entry, young)),
        incident_key(MODEL, "errors"): incident,
    }
    for key, state in states.items():
        site.put(key, state)
    kept = Matured(Window(now - 3 * DAY, now - 2 * DAY), (5,))
    watch = fresh(MODEL, "1", ahead, ("matured",))
    watch = replace(
        watch, since=START, matured=(kept, Matured(Window(now, ahead), (0,))), drop_since=ahead,
        restated_until=ahead, degraded_until=ahead, sound_until=(("age", ahead),),
    )  # fmt: skip
    with site.ports.records.begin() as uow:
        found, decisions = rewind(plan, uow, watch, now)
        again = rewind(plan, uow, found, now)
    assert [d.action for d in decisions] == ["rewind"]
    assert again == (found, ())
    assert found.matured == (kept,)
    moments = (
        found.inputs_until, found.quality_until, found.volume_until, found.service_until,
        found.loss_until, found.drop_since, found.degraded_until, found.restated_until,
        *dict(found.metrics_until).values(), *dict(found.sound_until).values(),
    )  # fmt: skip
    assert all(moment is not None and now - DAY <= moment <= now for moment in moments)
    read = site.ports.records.read
    counted = read(late_key(MODEL), LateMemory)
    assert counted == replace(late, until=now, counts=tuple(range(6)))
    rules = read(rules_key(MODEL), RulesMemory)
    assert rules is not None
    assert rules.rules[1] == young
    seen = rules.rules[0]
    assert seen.state == State(since=now)
    assert (seen.came, seen.seen) == (now, now - HOUR - 5 * MINUTE)
    after = read(incident_key(MODEL, "errors"), IncidentState)
    assert after is not None
    dated = (after.pending_since, after.clear_since, after.resolved_at, after.escalates_from)
    assert dated == (now,) * 4
    assert read(drift_key(MODEL), DriftMemory) == DriftMemory(anchor=now)
    assert read(importance_key(MODEL), ImportanceMemory) == ImportanceMemory(now - HOUR)
    valued = read(series_key(MODEL), SeriesMemory)
    assert valued == SeriesMemory(now - HOUR, (("saved", now - 2 * HOUR, SeriesState(), limit),))
    assert read(early_key(MODEL), Progress) == read(estimates_key(MODEL), Progress) == Progress(now)


def test_hours_that_were_not_counted_are_not_counted_back(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, ERRORS)
    site = Site(plan, tmp_path)
    site.put(late_key(MODEL), LateMemory(START + DAY, ()))
    with site.ports.records.begin() as uow:
        rewind(plan, uow, fresh(MODEL, "1", START + DAY, ("matured",)), START)
    assert site.ports.records.read(late_key(MODEL), LateMemory) == LateMemory(START, ())


def test_evidence_for_a_promotion_begins_anew_where_its_rows_would_speak_twice(
    tmp_path: Path,
) -> None:
    plan = plan_of(tmp_path, ERRORS)
    watch = replace(
        fresh(MODEL, "1", START + 3 * DAY, ("matured",)),
        since=START, challenger=Pairing("1", "2", answered=500), warm=Pairing("1", "0", answered=7),
    )  # fmt: skip
    with Site(plan, tmp_path).ports.records.begin() as uow:
        found, _ = rewind(plan, uow, watch, START + DAY)
    assert (found.challenger, found.warm) == (Pairing(), Pairing())


def test_what_is_not_beyond_it_stays(tmp_path: Path) -> None:
    plan = replace(plan_of(tmp_path, ERRORS), degraded=None)
    site = Site(plan, tmp_path)
    past = LateMemory(START, (3,))
    site.put(late_key(MODEL), past)
    site.put(rules_key(MODEL), RulesMemory((Remembered("errors", "", "", State()),)))
    proof = Pairing("1", "2", answered=500)
    watch = replace(
        fresh(MODEL, "1", START, ("matured",)), service_until=START + DAY, challenger=proof
    )
    now = START + HOUR
    with site.ports.records.begin() as uow:
        found, _ = rewind(plan, uow, watch, now)
    assert found == replace(watch, service_until=now)
    assert site.ports.records.read(late_key(MODEL), LateMemory) == past


def test_monitoring_that_began_in_the_future_begins_now(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, ERRORS)
    site = Site(plan, tmp_path)
    watch = fresh(MODEL, "1", START + DAY, ("matured",))
    with site.ports.records.begin() as uow:
        found, _ = rewind(plan, uow, watch, START)
    assert (found.since, found.loss_until, found.quality_until) == (START, START, START)


@pytest.mark.parametrize("gap", [DAY, 40 * MINUTE], ids=["a day", "forty minutes"])
def test_time_in_which_nobody_looked_counts_half_at_most(gap: timedelta) -> None:
    silent = Missing(Series("error_rate", 5 * MINUTE), 30 * MINUTE)
    state, _ = silent.evaluate(State(), [], Facts(START))
    now = START + gap
    state, signal = silent.evaluate(state, [], Facts(now, gap=gap))
    assert signal is not None
    assert signal.active is False
    told = []
    for _ in range(3):
        now += 5 * MINUTE
        state, signal = silent.evaluate(state, [], Facts(now, gap=5 * MINUTE))
        assert signal is not None
        told.append(signal.active)
    assert told == [False, False, True]


def test_an_engine_that_stood_still_judges_what_it_missed_and_misses_nothing(
    tmp_path: Path,
) -> None:
    site = Site(plan_of(tmp_path, ERRORS), tmp_path)
    site.answer(200)
    site.answer(500, by=DAY, failed=500)
    assert ("errors", "trigger") in site.told
    assert not any(rule == "errors.missing" for rule, _ in site.told)
    watch = site.ports.records.read(watch_key(MODEL), Watch)
    assert watch is not None
    assert {v.monitor for v in watch.latest} >= {Monitor.SERVICE}
    assert rewinds(site) == []
