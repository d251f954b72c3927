"""A replay is the engine's own alerting, with the ticks left out at which nothing can change."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.alerting.conditions.signal import Series
from homeostat.alerting.conditions.static import Static
from homeostat.alerting.conditions.verdicts import Verdicts
from homeostat.alerting.rules import AlertRule
from homeostat.domain.decision import Severity
from homeostat.domain.limit import Limit
from homeostat.domain.verdict import Monitor, Status, Verdict
from homeostat.engine.commands import Command, Request
from homeostat.engine.incidents import alert
from homeostat.engine.replay import replay, with_parents
from homeostat.engine.tape import Change, Closed, Tape
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryRecords
from homeostat.simulation.invariants import lived
from simulation.world import HOUR, MODEL, START
from unit.engine.diary import Diary, hour, judged, shown, with_rules

MONITORS = (Monitor.DATA_QUALITY, Monitor.SERVICE, Monitor.DATA_DRIFT)
SAYS = st.sampled_from([Status.OK, Status.DRIFT, Status.DRIFT, Status.NO_DATA, None, None])
TICKS = tuple(hour(n / 4) for n in range(48))


def rule(name: str, monitor: Monitor, hold: float, keep: float, *parents: str) -> AlertRule:
    return AlertRule(
        name,
        Verdicts(monitor),
        Severity.WARNING,
        "r.md",
        hold=timedelta(hours=hold),
        keep_firing=timedelta(hours=keep),
        receivers=("ops",),
        inhibited_by=parents,
    )


DURATIONS = st.sampled_from([0.0, 0.25, 0.3, 0.5, 1.0, 2.0])
RULES = st.tuples(
    st.builds(rule, st.just("fault"), st.just(MONITORS[0]), DURATIONS, DURATIONS),
    st.builds(rule, st.just("down"), st.just(MONITORS[1]), DURATIONS, DURATIONS, st.just("fault")),
    st.builds(
        rule, st.just("drift"), st.just(MONITORS[2]), DURATIONS, DURATIONS,
        st.just("fault"), st.just("down"),
    ),
)  # fmt: skip
WEATHER = st.lists(
    st.tuples(SAYS, SAYS, SAYS, st.sampled_from(["", "", "", "", "", "a", "b"])),
    min_size=len(TICKS),
    max_size=len(TICKS),
)


def changes(
    weather: list[tuple[Status | None, Status | None, Status | None, str]],
) -> tuple[Change, ...]:
    found = []
    for at, (*says, subject) in zip(TICKS, weather, strict=True):
        verdicts = tuple(
            judged(monitor, status, at, subject)
            for monitor, status in zip(MONITORS, says, strict=True)
            if status is not None
        )
        if verdicts:
            found.append(Change(at, verdicts=verdicts))
    return tuple(found)


@settings(max_examples=20)
@given(RULES, WEATHER, st.data())
def test_it_fires_and_resolves_as_the_engine_does_at_every_tick(
    rules: tuple[AlertRule, ...],
    weather: list[tuple[Status | None, Status | None, Status | None, str]],
    data: st.DataObject,
) -> None:
    made = {change.at: change for change in changes(weather)}
    records, latest = MemoryRecords(SimulatedClock(START)), dict[tuple[Monitor, str], Verdict]()
    closing = data.draw(st.sets(st.sampled_from(TICKS), max_size=2))
    plan = with_rules(*rules)
    for at in TICKS:
        if at in made:
            latest |= {(v.monitor, v.subject): v for v in made[at].verdicts}
        commands = tuple(
            Command(Request.CLOSE, MODEL, "ana", f"{MODEL}:fault:{n}", "enough")
            for n in range(1, 20)
            if at in closing
        )
        with records.begin() as uow:
            found = alert(plan, uow, tuple(latest.values()), None, commands, at)
            uow.decide(*found.decisions)
        if any((d.action, d.actor) == ("resolve", "ana") for d in found.decisions):
            known = made.get(at, Change(at))
            made[at] = replace(known, closed=(Closed("fault", "ana", "enough"),))
    tape = Tape(MODEL, TICKS, tuple(made[at] for at in sorted(made)))
    episodes = replay(reversed(rules), tape)
    assert {(e.rule, e.began, e.ended) for e in episodes} == lived(records.decisions())
    assert [e.began for e in episodes] == sorted(e.began for e in episodes)
    assert all(e.receivers == ("ops",) and e.severity is Severity.WARNING for e in episodes)


def test_an_inhibition_that_ends_starts_the_hold_duration_afresh() -> None:
    parent = rule("fault", MONITORS[0], 0, 0)
    child = rule("drift", MONITORS[2], 2, 0, "fault")
    tape = Tape(
        MODEL,
        tuple(hour(n) for n in range(24)),
        (
            Change(hour(1), verdicts=(judged(MONITORS[0], Status.DRIFT, hour(1)),)),
            Change(hour(2), verdicts=(judged(MONITORS[2], Status.DRIFT, hour(2)),)),
            Change(hour(12), verdicts=(judged(MONITORS[0], Status.OK, hour(12)),)),
        ),
    )
    assert shown(replay((child, parent), tape)) == [("fault", 1, 12), ("drift", 13, None)]


def test_one_that_comes_again_soon_flaps() -> None:
    turns = [Status.DRIFT, Status.OK] * 3
    told = (
        Change(hour(n), verdicts=(judged(MONITORS[0], status, hour(n)),))
        for n, status in enumerate(turns)
    )
    ticks = tuple(hour(n / 2) for n in range(99))
    found = replay((rule("fault", MONITORS[0], 0, 0.5),), Tape(MODEL, ticks, tuple(told)))
    assert [e.flap for e in found] == [False, True]
    assert shown(found) == [("fault", 0, 1.5), ("fault", 2, 6)]


def test_what_is_forgotten_neither_fires_nor_resolves() -> None:
    tape = Tape(
        MODEL,
        tuple(hour(n) for n in range(9)),
        (
            Change(hour(1), verdicts=(judged(MONITORS[0], Status.DRIFT, hour(1)),)),
            Change(hour(2), frozenset({MONITORS[0]})),
            Change(hour(5), verdicts=(judged(MONITORS[0], Status.OK, hour(5)),)),
        ),
    )
    assert shown(replay((rule("fault", MONITORS[0], 0, 0),), tape)) == [("fault", 1, 5)]
    held = replay((rule("fault", MONITORS[0], 2, 0),), tape)
    assert shown(held) == []


def test_progress_tells_the_time_and_an_empty_tape_is_quiet() -> None:
    seen: list[datetime] = []
    tape = Tape(MODEL, (START,), (Change(START),))
    assert replay((), tape, seen.append) == ()
    assert seen == [START]
    assert replay((rule("fault", MONITORS[0], 0, 0),), Tape(MODEL, (), ())) == ()


def test_parents_of_parents_count_and_cycles_end() -> None:
    rules = (
        rule("a", MONITORS[0], 0, 0, "c"),
        rule("b", MONITORS[1], 0, 0, "a", "gone"),
        rule("c", MONITORS[2], 0, 0, "a"),
        rule("d", MONITORS[0], 0, 0),
    )
    assert {each.name for each in with_parents(rules, "b")} == {"a", "b", "c"}


def test_a_rule_of_which_nothing_was_heard_is_silent() -> None:
    own = replace(
        rule("own", MONITORS[0], 0, 0),
        condition=Static(Series("latency_p99", HOUR), Limit(above=1.0)),
        own=True,
    )
    tape = Tape(MODEL, tuple(hour(n) for n in range(5)), (Change(hour(1)),))
    assert replay((own,), tape) == ()


ROWS = st.sampled_from([10, 99, 100, 5000])


@settings(max_examples=20)
@given(st.lists(st.tuples(SAYS, ROWS), min_size=len(TICKS), max_size=len(TICKS)))
def test_findings_on_few_rows_count_on_tape_as_in_the_engine(
    weather: list[tuple[Status | None, int]],
) -> None:
    condition = Verdicts(MONITORS[2], min_rows=100)
    rules = tuple(
        replace(rule("drift", MONITORS[2], hold, 0.3), name=name, condition=condition, own=True)
        for name, hold in (("now", 0), ("held", 0.5))
    )
    diary, latest = Diary(with_rules(*rules)), tuple[Verdict, ...]()
    for at, (status, rows) in zip(TICKS, weather, strict=True):
        if status is not None:
            latest = (judged(MONITORS[2], status, at, "amount", n_current=rows),)
            diary.note(*latest)
        with diary.records.begin() as uow:
            uow.decide(*alert(diary.plan, uow, latest, None, (), at).decisions)
    tape, _ = diary.read(12, TICKS)
    found = {(e.rule, e.began, e.ended) for e in replay(rules, tape)}
    assert found == lived(diary.records.decisions())
