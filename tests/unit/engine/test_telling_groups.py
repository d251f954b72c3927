"""Who is told of an incident that another explains."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from homeostat.alerting.delivery import Limit, Manners
from homeostat.alerting.episode import Stage
from homeostat.domain.decision import Severity
from homeostat.domain.effect import Notify, NotifyAction
from homeostat.domain.verdict import Status
from homeostat.engine.commands import Request
from homeostat.engine.incidents import end
from homeostat.engine.unreached import Unreached, unreached_key
from simulation.world import MODEL
from unit.engine.told import BAD, CHILD, FINE, MINUTE, PARENT, World


def test_after_a_parent_escalation_begins_anew() -> None:
    world = World(Severity.CRITICAL)
    world.step(performance_drop=BAD)
    world.step(1, data_fault=BAD)
    world.now += MINUTE
    world.ask(Request.ACKNOWLEDGE, PARENT)
    world.tick()
    world.news()
    assert world.step(180) == []
    assert world.step(1, data_fault=FINE) == [("lead", "resolve", PARENT)]
    world.restart()
    assert world.step(14) == []
    assert world.step(1) == [("second", "trigger", CHILD)]
    assert world.step(44) == []
    assert world.step(1) == [("boss", "trigger", CHILD)]


def test_a_pending_parent_whose_data_vanish_does_not_inhibit_for_ever() -> None:
    world = World(Severity.CRITICAL)
    parent, child = world.plan.rules
    world.plan = replace(world.plan, rules=(replace(parent, hold=10 * MINUTE), child))
    assert world.step(data_fault=BAD) == []
    assert world.step(1, data_fault=Status.NO_DATA, performance_drop=BAD) == []
    assert world.step(9) == []
    assert world.step(1) == [("duty", "trigger", CHILD), ("team", "trigger", CHILD)]
    assert (world.state(PARENT).stage, world.state(CHILD).stage) == (Stage.INACTIVE, Stage.FIRING)


def test_a_louder_parent_pages_and_the_child_is_said_to_be_part_of_it() -> None:
    world = World(Severity.WARNING)
    world.step(performance_drop=BAD)
    assert world.step(1, data_fault=BAD) == [
        ("duty", "trigger", PARENT), ("duty", "update", CHILD),
        ("lead", "trigger", PARENT), ("team", "update", CHILD),
    ]  # fmt: skip
    note = world.receivers["team"].got[-1]
    assert note.about == f"{MODEL}:{PARENT}:1"
    assert note.body.startswith(f"this is part of {MODEL}: data fault (amount) (")


def test_a_parent_as_loud_as_its_child_pages_nobody_twice() -> None:
    world = World(Severity.CRITICAL)
    world.step(performance_drop=BAD)
    world.restart()
    assert world.step(1, data_fault=BAD) == [
        ("duty", "update", CHILD), ("lead", "trigger", PARENT), ("team", "update", CHILD),
    ]  # fmt: skip
    world.restart()
    # The child is over; the page that stands for both goes on until the parent is over too.
    assert world.step(1, performance_drop=FINE) == [("team", "resolve", CHILD)]
    assert world.step(1, data_fault=FINE) == [
        ("duty", "resolve", CHILD), ("lead", "resolve", PARENT),
    ]  # fmt: skip


def test_a_receiver_that_groups_by_itself_gets_each_incident() -> None:
    world = World(Severity.CRITICAL)
    world.plan = replace(world.plan, apart=frozenset({"duty"}))
    world.step(performance_drop=BAD)
    told = world.step(1, data_fault=BAD)
    assert ("duty", "trigger", PARENT) in told
    assert ("duty", "resolve", CHILD) in world.step(1, performance_drop=FINE)


def test_a_parent_that_is_over_first_leaves_the_page_to_the_child() -> None:
    world = World(Severity.CRITICAL)
    world.step(performance_drop=BAD)
    world.step(1, data_fault=BAD)
    assert world.step(1, data_fault=FINE) == [("lead", "resolve", PARENT)]
    told = world.step(1, performance_drop=FINE)
    assert told == [("duty", "resolve", CHILD), ("team", "resolve", CHILD)]


def test_both_over_at_once_end_the_page_once() -> None:
    world = World(Severity.CRITICAL)
    world.step(performance_drop=BAD)
    world.step(1, data_fault=BAD)
    told = world.step(1, performance_drop=FINE, data_fault=FINE)
    assert Counter(told) == Counter(
        {
            ("duty", "resolve", CHILD): 1,
            ("team", "resolve", CHILD): 1,
            ("lead", "resolve", PARENT): 1,
        }
    )


def test_taking_on_the_page_takes_on_all_that_it_stands_for() -> None:
    world = World(Severity.CRITICAL)
    world.step(performance_drop=BAD)
    world.step(1, data_fault=BAD)
    world.ask(Request.ACKNOWLEDGE, CHILD)
    world.step(1)
    assert world.state(PARENT).stage is world.state(CHILD).stage is Stage.ACKNOWLEDGED
    assert world.step(1000) == []
    assert "refuse" not in world.actions()


def test_a_parent_whose_rule_is_taken_away_leaves_the_page_to_the_child() -> None:
    world = World(Severity.CRITICAL)
    world.step(performance_drop=BAD)
    world.step(1, data_fault=BAD)
    whole = world.plan
    world.plan = replace(whole, rules=whole.rules[1:])
    with world.records.begin() as uow:
        gone = end(world.plan, uow, (PARENT, "never_there"), world.now)
        uow.intend(*gone.effects)
    assert [d.action for d in gone.decisions] == ["resolve"]
    assert world.step(1) == [("lead", "resolve", PARENT)]
    assert world.step(1, performance_drop=FINE) == [
        ("duty", "resolve", CHILD),
        ("team", "resolve", CHILD),
    ]


def test_a_child_whose_rule_is_taken_away_leaves_its_page_to_the_parent() -> None:
    world = World(Severity.CRITICAL)
    world.step(performance_drop=BAD)
    world.step(1, data_fault=BAD)
    world.plan = replace(world.plan, rules=world.plan.rules[:1])
    with world.records.begin() as uow:
        uow.intend(*end(world.plan, uow, (CHILD,), world.now).effects)
    assert world.step(1) == [("team", "resolve", CHILD)]
    assert world.step(1, data_fault=FINE) == [
        ("duty", "resolve", CHILD),
        ("lead", "resolve", PARENT),
    ]


def test_a_page_that_was_given_up_stands_for_no_parent() -> None:
    world = World(Severity.CRITICAL)
    world.receivers["duty"].refuses.add(CHILD)
    assert world.step(performance_drop=BAD) == [("team", "trigger", CHILD)]
    assert world.step(1, data_fault=BAD) == [
        ("duty", "trigger", PARENT), ("lead", "trigger", PARENT), ("team", "update", CHILD),
    ]  # fmt: skip
    told = world.step(1, data_fault=FINE, performance_drop=FINE)
    assert ("duty", "resolve", PARENT) in told
    world.step(1)
    assert world.records.read(unreached_key(MODEL), Unreached) == Unreached()


def test_a_parent_pages_by_itself_once_the_page_it_rested_on_is_given_up() -> None:
    world = World(Severity.CRITICAL)
    world.receivers["duty"].down = True
    assert world.step(performance_drop=BAD) == [("team", "trigger", CHILD)]
    assert ("lead", "trigger", PARENT) in world.step(1, data_fault=BAD)
    assert [page.receiver for page in world.state(PARENT).joined] == ["duty"]
    world.receivers["duty"].down = False
    world.receivers["duty"].refuses.add(CHILD)
    assert world.step(1) == []
    assert ("duty", "trigger", PARENT) in world.step(1)
    assert world.step(1) == []
    assert ("team", "resolve", CHILD) in world.step(1, performance_drop=FINE)
    told = world.step(1, data_fault=FINE)
    assert told == [("duty", "resolve", PARENT), ("lead", "resolve", PARENT)]


def test_a_summary_that_was_given_up_stands_for_no_parent() -> None:
    world = World(Severity.CRITICAL)
    world.manners = {"duty": Manners(Limit(1, 60 * MINUTE))}
    world.restart()
    with world.records.begin() as uow:
        other = Notify(
            "m:r:1", NotifyAction.TRIGGER, "duty", Severity.CRITICAL, "m", "t", "b", "r", world.now
        )
        uow.intend(other)
    world.receivers["duty"].refuses.add("summary")
    assert world.step(performance_drop=BAD) == [("team", "trigger", CHILD)]
    assert ("duty", "trigger", PARENT) in world.step(120, data_fault=BAD)


def test_who_takes_on_a_page_and_its_parent_at_once_is_not_refused() -> None:
    world = World(Severity.CRITICAL)
    world.step(performance_drop=BAD)
    world.step(1, data_fault=BAD)
    for rule in (CHILD, PARENT):
        world.ask(Request.ACKNOWLEDGE, rule)
    world.step(1)
    assert world.state(PARENT).stage is world.state(CHILD).stage is Stage.ACKNOWLEDGED
    assert "refuse" not in world.actions()


def test_a_step_of_escalation_does_not_page_who_has_the_page_of_a_child() -> None:
    world = World(Severity.CRITICAL)
    world.step(performance_drop=BAD)
    assert world.step(16) == [("second", "trigger", CHILD)]
    assert ("lead", "trigger", PARENT) in world.step(1, data_fault=BAD)
    assert world.step(15) == []
    assert world.step(45) == [("boss", "trigger", PARENT)]
    told = world.step(1, data_fault=FINE, performance_drop=FINE)
    assert told.count(("second", "resolve", CHILD)) == 1
    assert ("second", "resolve", PARENT) not in told


def test_ending_all_that_a_page_stands_for_ends_it_once_and_what_goes_on_fires_anew() -> None:
    world = World(Severity.CRITICAL)
    world.step(performance_drop=BAD)
    world.step(1, data_fault=BAD)
    for rule in (CHILD, PARENT):
        world.ask(Request.CLOSE, rule)
    assert world.step(1) == [
        ("duty", "resolve", CHILD), ("lead", "resolve", PARENT), ("team", "resolve", CHILD),
    ]  # fmt: skip
    assert world.step(1) == [("duty", "trigger", PARENT), ("lead", "trigger", PARENT)]
    assert "refuse" not in world.actions()
