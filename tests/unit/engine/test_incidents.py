"""Every rule is stepped, parents first; acknowledgements find their incident or are refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from homeostat.alerting.conditions.signal import Series, Signal
from homeostat.alerting.conditions.static import Static
from homeostat.alerting.conditions.verdicts import Verdicts
from homeostat.alerting.episode import IncidentState, Stage
from homeostat.alerting.rules import AlertRule, default_rules, parents_first
from homeostat.domain.decision import Cause, Diagnosis, Severity
from homeostat.domain.effect import Notify, NotifyAction
from homeostat.domain.limit import Limit
from homeostat.domain.verdict import Monitor, Status, Verdict
from homeostat.engine.commands import Command, Request
from homeostat.engine.incidents import Alerted, alert
from homeostat.engine.signals import Heard
from homeostat.engine.watch import incident_key
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryRecords
from simulation.world import HOUR, MODEL, PLAN, START
from unit.engine.bench import verdict

BROKEN = verdict(Monitor.DATA_QUALITY, "amount")
FINE = verdict(Monitor.DATA_QUALITY, "amount", Status.OK)
WORSE = verdict(Monitor.PERFORMANCE, "loss")
KEY = f"{MODEL}:data_fault:1"


def rule(name: str, *parents: str) -> AlertRule:
    return AlertRule(name, Verdicts(Monitor.VOLUME), Severity.INFO, "r.md", inhibited_by=parents)


def step(
    records: MemoryRecords, *verdicts: Verdict, commands: tuple[Command, ...] = (), hour: int = 0
) -> Alerted:
    plan = replace(PLAN, rules=tuple(reversed(default_rules(("duty",)))))
    found = Diagnosis(Cause.DATA_FAULT, (), "Mend it.", "Cents.", retrain=False)
    with records.begin() as uow:
        return alert(plan, uow, verdicts, found, commands, START + hour * HOUR)


def acknowledge(key: str) -> tuple[Command, ...]:
    return (Command(Request.ACKNOWLEDGE, MODEL, "ana", key),)


def test_parents_come_first_and_cycles_keep_their_order() -> None:
    rules = (rule("c", "b"), rule("b", "a", "b"), rule("a"), rule("x", "y"), rule("y", "x"))
    assert [r.name for r in parents_first(rules)] == ["a", "b", "c", "x", "y"]


def test_a_parent_that_fires_in_the_same_tick_inhibits_its_children() -> None:
    records = MemoryRecords(SimulatedClock(START))
    found = step(records, WORSE, BROKEN)
    assert [d.action for d in found.decisions] == ["fire", "inhibit"]
    (notice,) = found.effects
    assert isinstance(notice, Notify)
    assert (notice.incident, notice.action) == (KEY, NotifyAction.TRIGGER)
    assert "Cents. Mend it." in notice.body


@pytest.mark.parametrize(("metric", "told"), [("requests", False), ("accuracy", True)])
def test_a_diagnosis_of_data_and_model_explains_no_traffic(metric: str, told: bool) -> None:
    low = Static(Series(metric, timedelta(minutes=5)), Limit(below=1.0))
    plan = replace(PLAN, rules=(AlertRule("low", low, Severity.INFO, "r.md", receivers=("duty",)),))
    found = Diagnosis(Cause.CONCEPT_DRIFT, (), "Retrain.", "It means other things.", retrain=True)
    heard = Heard({"low": Signal(True, "it is 0", (metric,))}, ())
    with MemoryRecords(SimulatedClock(START)).begin() as uow:
        (notice,) = alert(plan, uow, (), found, (), START, heard).effects
    assert isinstance(notice, Notify)
    assert notice.body.startswith("it is 0")
    assert ("Retrain" in notice.body) is told


def test_only_what_changed_is_saved() -> None:
    records = MemoryRecords(SimulatedClock(START))
    step(records, BROKEN)
    assert records.keys("incident:") == (incident_key(MODEL, "data_fault"),)
    assert step(records).decisions == ()


def test_an_incident_is_acknowledged_once_and_resolved_once() -> None:
    records = MemoryRecords(SimulatedClock(START))
    step(records, BROKEN)
    found = step(records, BROKEN, commands=acknowledge(KEY), hour=1)
    assert [(d.actor, d.action) for d in found.decisions] == [("ana", "acknowledge")]
    again = step(records, BROKEN, commands=acknowledge(KEY), hour=2)
    assert [(d.actor, d.action, d.subject) for d in again.decisions] == [("ana", "refuse", KEY)]
    assert again.effects == ()
    for hour in (3, 4, 5):
        found = step(records, FINE, hour=hour)
        assert [d.action for d in found.decisions] == (["resolve"] if hour == 4 else [])
    state = records.read(incident_key(MODEL, "data_fault"), IncidentState)
    assert state is not None
    assert state.stage is Stage.RESOLVED


def test_acknowledging_what_is_not_there_is_refused_on_record() -> None:
    records = MemoryRecords(SimulatedClock(START))
    found = step(records, commands=acknowledge("toy:nothing:7"))
    (made,) = found.decisions
    assert (made.actor, made.action, made.subject) == ("ana", "refuse", "toy:nothing:7")
    assert "there is no incident" in made.reason


def test_other_commands_acknowledge_nothing() -> None:
    records = MemoryRecords(SimulatedClock(START))
    step(records, BROKEN)
    found = step(records, BROKEN, commands=(Command(Request.PUSH, MODEL, "ana", KEY),))
    assert found.decisions == ()


def test_an_incident_is_ended_by_hand_once_and_fires_again_if_it_goes_on() -> None:
    records = MemoryRecords(SimulatedClock(START))
    step(records, BROKEN)
    close = Command(Request.CLOSE, MODEL, "ana", KEY, "the column is gone")
    found = step(records, BROKEN, commands=(close, close), hour=1)
    assert [(d.actor, d.action) for d in found.decisions] == [("ana", "resolve"), ("ana", "refuse")]
    (notice,) = found.effects
    assert isinstance(notice, Notify)
    assert (notice.action, notice.body) == (NotifyAction.RESOLVE, "the column is gone")
    again = step(records, BROKEN, hour=2)
    assert [(d.action, d.subject) for d in again.decisions] == [("fire", f"{MODEL}:data_fault:2")]
    (refused,) = step(records, commands=(replace(close, subject="toy:x:1"),), hour=3).decisions
    assert refused.action == "refuse"
