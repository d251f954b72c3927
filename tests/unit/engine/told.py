"""A model with a parent and a child rule, its receivers, and people: for tests of telling."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pyarrow as pa

from homeostat.alerting.conditions.verdicts import Verdicts
from homeostat.alerting.delivery import Manners
from homeostat.alerting.episode import IncidentState
from homeostat.alerting.escalation import EscalationStep
from homeostat.alerting.rules import AlertRule
from homeostat.alerting.silences import Matcher
from homeostat.domain.decision import Severity
from homeostat.domain.effect import Notify, NotifyAction
from homeostat.domain.errors import DeliveryError, NotFoundError
from homeostat.domain.verdict import Monitor, Status, Verdict
from homeostat.engine.act import Dispatcher
from homeostat.engine.commands import Command, Request
from homeostat.engine.incidents import alert
from homeostat.engine.ports import Records
from homeostat.engine.silencing import Silencing
from homeostat.engine.watch import incident_key
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryRecords
from simulation.world import MODEL, PLAN, START
from unit.engine.bench import verdict

MINUTE = timedelta(minutes=1)
HOSTILE = "<b>a: b</b>\nx" + "ä" * 10_000
PARENT, CHILD = "data_fault", "performance_drop"
MONITORS = {PARENT: Monitor.DATA_QUALITY, CHILD: Monitor.PERFORMANCE}
STEPS = (
    EscalationStep(15 * MINUTE, ("second", "duty")),
    EscalationStep(60 * MINUTE, ("boss",)),
)
ALL = Matcher()
EVERYBODY = ("duty", "lead", "team", "second", "boss")


class Killed(BaseException):
    """The process is gone at once."""


def die_if(killed: bool) -> None:
    if killed:
        raise Killed


@dataclass
class Receiver:
    """Takes notices, unless it is down; the process may be killed before or after one.

    The triggers of some rules it refuses for good.
    """

    name: str
    down: bool = False
    kill: str = ""
    refuses: set[str] = field(default_factory=set)
    got: list[Notify] = field(default_factory=list)
    tried: set[str] = field(default_factory=set)
    fresh: list[Notify] = field(default_factory=list)

    def send(self, notice: Notify) -> str:
        self.tried.add(notice.key)
        die_if(self.kill == "before")
        if self.down:
            raise DeliveryError(f"{self.name} is away", retry=True)
        if notice.action is NotifyAction.TRIGGER and notice.rule in self.refuses:
            raise DeliveryError("400: bad request", retry=False)
        if notice.key not in {each.key for each in self.got}:
            self.fresh.append(notice)
        self.got.append(notice)
        die_if(self.kill == "after")
        return "taken"


def no_rows(*_: object) -> pa.Table:
    raise NotFoundError("nothing is trained")


class World:
    """One model with a parent and a child rule, five receivers, and people."""

    def __init__(
        self, child: Severity, subject: str = "amount", records: Records | None = None
    ) -> None:
        self.now = START
        self.records = records or MemoryRecords(SimulatedClock(START))
        parent = AlertRule(
            PARENT,
            Verdicts(MONITORS[PARENT]),
            Severity.CRITICAL,
            "r.md",
            receivers=("duty", "lead"),
        )
        rules = (
            parent,
            AlertRule(
                CHILD, Verdicts(MONITORS[CHILD]), child, "r.md", receivers=("duty", "team"),
                inhibited_by=(PARENT,),
            ),
        )  # fmt: skip
        self.plan = replace(PLAN, rules=rules, escalation=STEPS)
        self.receivers = {name: Receiver(name) for name in EVERYBODY}
        self.signals: dict[str, Status] = {}
        self.commands: list[Command] = []
        self.subject = subject
        self.silencing = Silencing(self.records, (MODEL,))
        self.manners: dict[str, Manners] = {}
        self.restart()

    def restart(self) -> None:
        self.dispatcher = Dispatcher(self.records, self.receivers, {}, {}, no_rows, self.manners)

    def verdicts(self) -> tuple[Verdict, ...]:
        return tuple(
            verdict(MONITORS[name], self.subject, status) for name, status in self.signals.items()
        )

    def tick(self, kill: str = "") -> None:
        try:
            with self.records.begin() as uow:
                commands = tuple(self.commands)
                found = alert(self.plan, uow, self.verdicts(), None, commands, self.now)
                uow.decide(*found.decisions)
                uow.intend(*found.effects)
                die_if(kill == "commit")
            self.commands = []
            die_if(kill == "act")
            for receiver in self.receivers.values():
                receiver.kill = kill
            self.dispatcher.run(self.now, (Notify,))
        except Killed:
            self.restart()
        for receiver in self.receivers.values():
            receiver.kill = ""

    def state(self, name: str) -> IncidentState:
        found = self.records.read(incident_key(MODEL, name), IncidentState)
        return found or IncidentState(MODEL, name)

    def silence(self, minutes: int, matcher: Matcher = ALL) -> int:
        end = self.now + minutes * MINUTE
        made = self.silencing.add(matcher, "ana", "known", (None, end), "ana", self.now)
        return made.number

    def ask(self, request: Request, name: str) -> None:
        self.commands.append(Command(request, MODEL, "ana", self.state(name).key, "done"))

    def step(self, minutes: float = 0, **signals: Status) -> list[tuple[str, str, str]]:
        """Let time pass and tick; return who was told what under which rule's key."""
        self.now += minutes * MINUTE
        self.signals |= signals
        self.tick()
        return self.news()

    def news(self) -> list[tuple[str, str, str]]:
        told = [n for r in self.receivers.values() for n in r.fresh]
        for receiver in self.receivers.values():
            receiver.fresh.clear()
        return sorted((n.receiver, n.action.value, n.rule) for n in told)

    def actions(self) -> list[str]:
        return [made.action for made in self.records.decisions(MODEL)]


BAD, FINE = Status.DRIFT, Status.OK
