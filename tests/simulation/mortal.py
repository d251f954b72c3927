"""An incident of ten minutes on a model of few rows, and a control plane that may die at any step.

Run as a script it reads lines of folder, addresses of the receivers and step. For each it forks a
process that goes on from the folder's records until it kills itself with SIGKILL at that step, and
says how that process ended.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.models.linear import Term, save_linear
from homeostat.adapters.models.scorer import RegistryScorer
from homeostat.adapters.notifiers.http import Poster
from homeostat.adapters.notifiers.opsgenie import OpsgenieNotifier
from homeostat.adapters.notifiers.pagerduty import PagerDutyNotifier
from homeostat.adapters.notifiers.slack import SlackNotifier
from homeostat.adapters.records import DatabaseRecords
from homeostat.adapters.records.unit import Unit
from homeostat.alerting.episode import IncidentState, Stage
from homeostat.alerting.rules import HIGH_LATENCY, default_rules
from homeostat.domain.effect import Notify
from homeostat.domain.model import ModelVersion
from homeostat.domain.record import TIMESTAMP
from homeostat.domain.window import Window
from homeostat.engine.adopt import adopt, split_history
from homeostat.engine.backtest import to_records
from homeostat.engine.commands import Command, Inbox, Request, inbox_key, submit
from homeostat.engine.loop import Engine
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import Notifier, Ports, Training
from homeostat.engine.watch import Watch, incident_key, watch_key
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryLog, MemoryRecords, MemoryRegistry, MemoryRoutes
from homeostat.simulation.fakes.records import MemoryUnit
from receivers import GENIE_KEY, ROUTING_KEY
from simulation.world import DAY, HOUR, MODEL, PLAN, SPEC, START, Fate

MINUTE = timedelta(minutes=1)
INCIDENT = f"{MODEL}:{HIGH_LATENCY}:1"
SLOW = Window(START + MINUTE, START + 6 * MINUTE)
TAKEN_ON = START + 5 * MINUTE
LAST = 11
PER_MINUTE = 25
RECEIVERS = ("pagerduty", "opsgenie", "slack")


class Killed(BaseException):
    """The process is gone; nothing of the engine may catch this."""


@dataclass
class Knife:
    """Counts the steps of a life, and ends it at one of them, none if it is negative."""

    at: int = -1
    steps: list[str] = field(default_factory=list)
    kill: bool = False

    def pass_by(self, step: str) -> None:
        """Die here if this is the step."""
        self.steps.append(step)
        if len(self.steps) - 1 == self.at:
            if self.kill:
                os.kill(os.getpid(), signal.SIGKILL)
            raise Killed(step)


class MortalMemory(MemoryRecords):
    """Records in memory whose user may die around a commit."""

    knife = Knife()

    @contextmanager
    def begin(self) -> Iterator[MemoryUnit]:
        """Open a unit of work."""
        with super().begin() as unit:
            yield unit
            self.knife.pass_by("before commit")
        self.knife.pass_by("after commit")


class MortalDatabase(DatabaseRecords):
    """Records in SQLite whose user may die around a commit."""

    knife = Knife()

    @contextmanager
    def begin(self) -> Iterator[Unit]:
        """Open a unit of work."""
        with super().begin() as unit:
            yield unit
            self.knife.pass_by("before commit")
        self.knife.pass_by("after commit")


@dataclass(frozen=True)
class MortalNotifier:
    """A notifier whose user may die around a call."""

    notifier: Notifier
    knife: Knife

    def send(self, notice: Notify) -> str | None:
        """Deliver it."""
        self.knife.pass_by(f"before {notice.action} to {notice.receiver}")
        said = self.notifier.send(notice)
        self.knife.pass_by(f"after {notice.action} to {notice.receiver}")
        return said


def plan() -> ModelPlan:
    """Return a plan with one alert rule: two minutes too slow is an incident, two fine end it."""
    (rule,) = (rule for rule in default_rules(RECEIVERS) if rule.name == HIGH_LATENCY)
    return replace(
        PLAN,
        service=replace(PLAN.service, every=MINUTE),
        rules=(replace(rule, hold=2 * MINUTE, keep_firing=2 * MINUTE, inhibited_by=()),),
        retraining=None,
    )


def notifiers(urls: Sequence[str]) -> dict[str, Notifier]:
    """Return the real adapters to receivers, one address each, in the order of `RECEIVERS`."""
    made = zip(RECEIVERS, urls, ("", "", "/services/T/B/X"), strict=True)
    posters = [Poster(name, url + path, SystemClock()) for name, url, path in made]
    return {
        "pagerduty": PagerDutyNotifier(posters[0], ROUTING_KEY),
        "opsgenie": OpsgenieNotifier(posters[1], GENIE_KEY),
        "slack": SlackNotifier(posters[2]),
    }


@dataclass
class Mortal:
    """The records that outlive a control plane, and how to begin one on them."""

    records: MortalMemory | MortalDatabase
    clock: SimulatedClock
    urls: Sequence[str]
    folder: Path

    @classmethod
    def open(cls, folder: Path, urls: Sequence[str], *, memory: bool = False) -> Mortal:
        """Open what a folder holds, at the time of its last tick."""
        clock = SimulatedClock(START)
        # What a killed process wrote is in the system's cache: only a power cut needs the fsync.
        records = (
            MortalMemory(clock)
            if memory
            else MortalDatabase(f"sqlite:///{folder}/records.db", clock, "OFF")
        )
        records.knife = Knife()
        found = cls(records, clock, urls, folder)
        watch = records.read(watch_key(MODEL), Watch)
        if watch is None:
            found.adopt()
        else:
            clock.set(watch.service_until)
        return found

    def close(self) -> None:
        """Close the database."""
        if isinstance(self.records, MortalDatabase):
            self.records.close()

    def adopt(self) -> None:
        """Take the model into care, from a morning's history."""
        ports = self.ports(Knife(), MemoryRegistry())
        rows = Fate().traffic(Window(START - 2 * DAY, START - 2 * DAY + 6 * HOUR))
        training = Training(True, artifact(self.folder), "linear")
        adopt(plan(), ports, split_history(plan(), rows), training, START)

    def ports(self, knife: Knife, registry: MemoryRegistry) -> Ports:
        """Return the ports of a new process: all but the records is made again."""
        log = MemoryLog(self.clock)
        told = {name: MortalNotifier(each, knife) for name, each in notifiers(self.urls).items()}
        scorer, routes = RegistryScorer(registry), MemoryRoutes()
        return Ports(self.records, log, registry, scorer, routes, told, {})

    def begin(self, knife: Knife) -> Engine:
        """Begin a control plane that knows the traffic so far."""
        self.records.knife = knife
        registry = MemoryRegistry()
        registry.register(ModelVersion(MODEL, "", "linear", "", START), artifact(self.folder))
        ports = self.ports(knife, registry)
        if self.clock.now() > START:
            ports.log.append(SPEC, answers(Window(START, self.clock.now())))
        return Engine(ports, {MODEL: plan()})

    def live(self, knife: Knife, last: int = LAST) -> None:
        """Begin a control plane and let it tick every minute, till the last or its own end."""
        engine, now = self.begin(knife), self.clock.now()
        while now < START + last * MINUTE:
            window = Window(now, self.clock.advance(MINUTE))
            now = window.end
            engine.ports.log.append(SPEC, answers(window))
            self.take_on(now)
            assert engine.tick(now) == ()

    def take_on(self, now: datetime) -> None:
        """Have somebody acknowledge the incident once, as soon as it is there."""
        state = self.records.read(incident_key(MODEL, HIGH_LATENCY), IncidentState)
        inbox = self.records.read(inbox_key(MODEL), Inbox) or Inbox()
        if now >= TAKEN_ON and state and state.stage is Stage.FIRING and not inbox.commands:
            submit(self.records, Command(Request.ACKNOWLEDGE, MODEL, "ana", INCIDENT), now)


def artifact(folder: Path) -> Path:
    """Return a model's artifact."""
    out = folder / "model"
    return out if out.exists() else save_signal(out)


def save_signal(out: Path) -> Path:
    """Write a model."""
    save_linear(out, 0.0, [Term("signal", 3.0)])
    return out


def answers(window: Window, hit: Window = SLOW) -> pa.Table:
    """Return the answers of some minutes, slow ones while the incident lasts."""
    stamps = [
        window.start + minute * MINUTE + second * timedelta(seconds=1)
        for minute in range(window.length // MINUTE)
        for second in range(PER_MINUTE)
    ]
    slow = [hit.start <= at < hit.end for at in stamps]
    count = len(stamps)
    rows = pa.table(
        {
            "prediction_id": [f"{at:%d%H%M%S}" for at in stamps],
            "timestamp": pa.array(stamps, TIMESTAMP),
            "entity": ["c"] * count,
            "signal": [(number % 7 - 3) / 3 for number in range(count)],
            "amount": [20.0 + number % 5 for number in range(count)],
        }
    )
    records = to_records(SPEC, rows, np.full(count, 0.5), "1", "champion")
    latency = pa.array([900.0 if each else 9.0 for each in slow])
    return records.set_column(records.column_names.index("latency_ms"), "latency_ms", latency)


def main() -> None:
    """Fork a life for each line and tell its exit code."""
    for line in sys.stdin:
        folder, urls, step = line.rstrip("\n").split("\t")
        child = os.fork()
        if not child:
            try:
                Mortal.open(Path(folder), urls.split()).live(Knife(int(step), kill=True))
            finally:
                os._exit(3)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
