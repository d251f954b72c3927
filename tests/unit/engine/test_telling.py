"""Who is told of incidents: silences, escalation, kills, quiet hours."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, time, timedelta
from pathlib import Path

from homeostat.adapters.records import DatabaseRecords
from homeostat.alerting.delivery import Manners
from homeostat.alerting.episode import Stage
from homeostat.alerting.hours import Hours
from homeostat.alerting.silences import Matcher
from homeostat.domain.decision import Severity
from homeostat.domain.effect import CancelTraining, Notify, NotifyAction
from homeostat.engine.commands import Request
from homeostat.simulation.clock import SimulatedClock
from simulation.world import HOUR, MODEL, START
from unit.engine.told import BAD, CHILD, FINE, HOSTILE, PARENT, World


def test_a_silenced_incident_fires_and_tells_nobody_and_then_tells_once() -> None:
    world = World(Severity.WARNING)
    world.silence(30)
    assert world.step(data_fault=BAD) == []
    assert (world.state(PARENT).stage, world.state(PARENT).told) == (Stage.FIRING, ())
    assert world.actions() == ["add_silence", "fire", "silence"]
    assert world.step(29) == []
    first = [("duty", "trigger", PARENT), ("lead", "trigger", PARENT)]
    assert world.step(1) == first
    assert world.step(1) == []
    assert world.step(1, data_fault=FINE) == [
        ("duty", "resolve", PARENT),
        ("lead", "resolve", PARENT),
    ]


def test_what_resolves_within_its_silence_tells_nobody() -> None:
    world = World(Severity.WARNING)
    world.silence(30)
    assert world.step(data_fault=BAD) == [] == world.step(5, data_fault=FINE)
    assert world.state(PARENT).stage is Stage.RESOLVED
    assert world.step(60) == []


def test_who_was_told_before_the_silence_is_told_of_the_end() -> None:
    world = World(Severity.WARNING)
    assert len(world.step(data_fault=BAD)) == 2
    world.silence(300)
    assert world.step(100) == []  # escalation waits
    assert world.step(5, data_fault=FINE) == [
        ("duty", "resolve", PARENT),
        ("lead", "resolve", PARENT),
    ]


def test_an_ended_silence_tells_at_the_next_tick_and_its_time_starts_escalation() -> None:
    world = World(Severity.WARNING)
    number = world.silence(300)
    assert world.step(data_fault=BAD) == [] == world.step(100)
    world.silencing.end(number, "ben", world.now)
    assert [what for _, what, _ in world.step(1)] == ["trigger", "trigger"]
    assert world.step(14) == []
    assert world.step(1) == [("second", "trigger", PARENT)]
    assert "end_silence" in world.actions()


def test_a_silence_of_one_column_does_not_cover_another() -> None:
    world = World(Severity.WARNING)
    world.silence(300, Matcher(subject="amount"))
    assert world.step(data_fault=BAD) == []
    world.subject = "age"
    assert [what for _, what, _ in world.step(1)] == ["trigger", "trigger"]


def test_an_acknowledged_incident_is_told_as_such_after_its_silence() -> None:
    world = World(Severity.WARNING)
    world.silence(30)
    world.step(data_fault=BAD)
    world.ask(Request.ACKNOWLEDGE, PARENT)
    assert world.step(1) == []
    assert world.step(30) == [
        ("duty", "acknowledge", PARENT), ("duty", "trigger", PARENT),
        ("lead", "acknowledge", PARENT), ("lead", "trigger", PARENT),
    ]  # fmt: skip
    assert [n.action.value for n in world.receivers["duty"].got] == ["trigger", "acknowledge"]


def test_a_page_that_could_not_be_sent_waits_for_the_silence_that_came_meanwhile() -> None:
    world = World(Severity.WARNING)
    world.receivers["duty"].down = True
    assert world.step(data_fault=BAD) == [("lead", "trigger", PARENT)]
    world.silence(30)
    world.receivers["duty"].down = False
    assert world.step(20) == []
    assert world.step(10) == [("duty", "trigger", PARENT)]


def test_a_page_that_could_not_be_sent_is_dropped_if_it_is_over_before_the_silence() -> None:
    world = World(Severity.WARNING)
    world.receivers["duty"].down = True
    world.step(data_fault=BAD)
    world.silence(30)
    world.step(1)
    world.receivers["duty"].down = False
    told = world.step(10, data_fault=FINE)
    assert told == [("duty", "resolve", PARENT), ("lead", "resolve", PARENT)]


def test_nobody_takes_it_on_so_further_people_are_told_once_and_all_of_the_end() -> None:
    world = World(Severity.WARNING)
    world.step(data_fault=BAD)
    assert world.step(14) == []
    assert world.step(1) == [("second", "trigger", PARENT)]
    assert world.step(44) == []
    assert world.step(1) == [("boss", "trigger", PARENT)]
    assert world.step(1000) == []
    told = world.step(1, data_fault=FINE)
    assert [who for who, _, _ in told] == ["boss", "duty", "lead", "second"]
    assert world.actions().count("escalate") == 2


def test_taking_it_on_stops_escalation() -> None:
    world = World(Severity.WARNING)
    world.step(data_fault=BAD)
    world.step(15)
    world.ask(Request.ACKNOWLEDGE, PARENT)
    assert {what for _, what, _ in world.step(1)} == {"acknowledge"}
    assert world.step(1000) == []


def test_an_engine_that_was_away_takes_all_steps_that_are_due() -> None:
    world = World(Severity.WARNING)
    world.step(data_fault=BAD)
    told = world.step(500)
    assert [who for who, _, _ in told] == ["boss", "second"]


def test_warnings_do_not_escalate() -> None:
    world = World(Severity.WARNING)
    assert len(world.step(performance_drop=BAD)) == 2
    assert world.step(1000) == []


def test_all_of_it_survives_a_database(tmp_path: Path) -> None:
    clock = SimulatedClock(START)
    records = DatabaseRecords(f"sqlite:///{tmp_path}/records.db", clock)
    world = World(Severity.CRITICAL, HOSTILE, records)
    world.step(performance_drop=BAD)
    world.step(1, data_fault=BAD)
    world.silence(60, Matcher(subject=HOSTILE[:10] + "*", severities=frozenset(Severity)))
    assert world.step(30) == []
    assert world.step(1, performance_drop=FINE) == [("team", "resolve", CHILD)]
    told = world.step(40)
    assert told == []
    assert [who for who, _, _ in world.step(15)] == ["second"]
    ended = world.step(1, data_fault=FINE)
    assert [(who, rule) for who, _, rule in ended] == [
        ("duty", CHILD),
        ("lead", PARENT),
        ("second", PARENT),
    ]
    records.close()


def test_what_was_asked_of_one_episode_is_not_done_to_the_next() -> None:
    world = World(Severity.WARNING)
    world.step(data_fault=BAD)
    world.step(1, data_fault=FINE)
    world.ask(Request.CLOSE, PARENT)
    assert [what for _, what, _ in world.step(1, data_fault=BAD)] == ["trigger", "trigger"]
    assert (world.state(PARENT).stage, world.state(PARENT).episode) == (Stage.FIRING, 2)
    assert world.actions()[-1] == "refuse"


def test_a_child_that_comes_after_its_parent_tells_nobody_after_a_restart_either() -> None:
    world = World(Severity.CRITICAL)
    world.step(data_fault=BAD)
    world.restart()
    assert world.step(1, performance_drop=BAD) == []
    world.restart()
    assert world.step(1) == []
    assert world.state(CHILD).stage is Stage.PENDING


def test_a_silenced_child_that_its_parent_explains_by_then_stays_untold() -> None:
    world = World(Severity.CRITICAL)
    world.silence(10, Matcher(rule=CHILD))
    assert world.step(performance_drop=BAD) == []
    assert [who for who, _, _ in world.step(1, data_fault=BAD)] == ["duty", "lead"]
    world.ask(Request.ACKNOWLEDGE, PARENT)
    world.step(1)
    assert world.step(20) == []
    told = world.step(1, data_fault=FINE)
    assert ("team", "trigger", CHILD) in told


def test_a_page_that_a_kill_kept_back_is_not_sent_in_a_silence_that_came_with_its_end() -> None:
    world = World(Severity.CRITICAL)
    world.signals = {PARENT: BAD}
    world.tick("act")
    world.silence(10)
    # Whether it arrived is not known, so its end is told.
    assert world.step(1, data_fault=FINE) == [
        ("duty", "resolve", PARENT),
        ("lead", "resolve", PARENT),
    ]


def test_quiet_hours_that_kept_it_back_since_it_fired_make_its_end_needless_too() -> None:
    world = World(Severity.WARNING)
    manners = Manners(quiet=(Hours(time(0), time(23), UTC),))
    world.manners = {"duty": manners, "team": manners}
    world.restart()
    assert world.step(performance_drop=BAD) == []
    world.silence(10)
    assert world.step(1, performance_drop=FINE) == []
    world.now += timedelta(days=1) - HOUR
    assert world.step() == []
    assert world.records.pending(world.now + timedelta(days=400)) == ()


def test_a_silenced_child_does_not_stand_for_its_parent() -> None:
    world = World(Severity.CRITICAL)
    world.signals = {CHILD: BAD}
    world.tick("act")
    world.silence(10, Matcher(rule=CHILD))
    assert world.step(1, data_fault=BAD) == [
        ("duty", "trigger", PARENT),
        ("lead", "trigger", PARENT),
    ]


def test_a_page_that_stands_for_a_silenced_incident_waits_though_its_own_is_over() -> None:
    world = World(Severity.CRITICAL)
    world.signals = {CHILD: BAD}
    world.tick("act")
    world.signals[PARENT] = BAD
    world.tick("act")
    world.silence(10)
    assert world.step(1, performance_drop=FINE) == [("team", "resolve", CHILD)]
    told = world.step(10)
    assert told == [
        ("duty", "trigger", CHILD), ("duty", "update", CHILD), ("lead", "trigger", PARENT),
    ]  # fmt: skip
    assert ("duty", "resolve", CHILD) in world.step(1, data_fault=FINE)


def test_the_page_of_a_child_whose_silence_is_just_over_stands_for_its_parent() -> None:
    world = World(Severity.CRITICAL)
    world.step(performance_drop=BAD)
    world.silence(10, Matcher(rule=CHILD))
    assert world.step(9) == []
    assert world.step(1, data_fault=BAD) == [
        ("duty", "update", CHILD), ("lead", "trigger", PARENT), ("team", "update", CHILD),
    ]  # fmt: skip


def test_a_page_that_stands_for_another_incident_is_sent_in_a_silence_of_its_own() -> None:
    world = World(Severity.CRITICAL)
    world.receivers["duty"].down = True
    world.step(performance_drop=BAD)
    world.step(1, data_fault=BAD)
    world.silence(60, Matcher(rule=CHILD))
    world.receivers["duty"].down = False
    assert ("duty", "trigger", CHILD) in world.step(10)


def test_training_and_notices_of_no_incident_are_no_matter_of_silences() -> None:
    world = World(Severity.WARNING)
    world.silence(60)
    test = Notify(
        "~test:duty:1", NotifyAction.TRIGGER, "duty", Severity.INFO, "homeostat", "t", "b", "r.md",
        START,
    )  # fmt: skip
    unknown = replace(test, incident=f"{MODEL}:gone:1", rule="gone", model=MODEL)
    with world.records.begin() as uow:
        uow.intend(test, CancelTraining("run", MODEL), unknown)
    assert [rule for _, _, rule in world.step()] == ["", "gone"]
