"""A world lived through: clients send, labels come, people act, and the real engine ticks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from homeostat.domain.columns import micros, texts
from homeostat.domain.errors import HomeostatError
from homeostat.domain.route import Route
from homeostat.domain.window import EPOCH, Window
from homeostat.engine.adopt import adopt, split_history, train_first
from homeostat.engine.backtest import to_records
from homeostat.engine.loop import Engine
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import Ports, Receipt
from homeostat.serving.split import takes_part
from homeostat.simulation.chaos import Chaos, Killed, faulty
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import (
    MemoryLog,
    MemoryNotifier,
    MemoryRecords,
    MemoryRegistry,
    MemoryRoutes,
)
from homeostat.simulation.invariants import BrokenInvariantError, Scene
from homeostat.simulation.worlds.case import DAY, HOUR, START, Case, Kind
from homeostat.simulation.worlds.models import LinearScorer, trainer
from homeostat.simulation.worlds.people import People
from homeostat.simulation.worlds.plan import MODEL, PAGER, plan_of
from homeostat.simulation.worlds.traffic import Traffic

BEFORE = 21 * DAY
TICK = HOUR
MOST_DEATHS = 4
RATE = 0.03
MICRO = timedelta(microseconds=1)


@dataclass
class Life:
    """One world; what outlives the controller is in ``ports``.

    Attributes
    ----------
    case : Case
    plan : ModelPlan
    ports : Ports
        The real ones: what clients and people see, and invariants are checked against.
    between : Ports
        What the engine sees.
    problems : list of str
        What ticks complained of though nothing was amiss.
    deaths : int
        Of controllers.
    """

    case: Case
    plan: ModelPlan
    ports: Ports
    between: Ports
    clock: SimulatedClock
    chaos: Chaos
    traffic: Traffic
    people: People
    problems: list[str] = field(default_factory=list)
    deaths: int = 0
    ticked: datetime = START
    settled: bool = True
    _disturbed: bool = False
    _engine: Engine | None = None
    _unsent: list[Callable[[], Receipt]] = field(default_factory=list)
    _sent: list[tuple[datetime, pa.Table]] = field(default_factory=list)
    _stored: Counter[int] = field(default_factory=Counter)

    @classmethod
    def begin(cls, case: Case, folder: Path) -> Life:
        """Adopt a first version at `START`, trained on and compared with the three weeks before."""
        plan, clock = plan_of(approval=case.approval), SimulatedClock(START)
        registry = MemoryRegistry()
        ports = Ports(
            records=MemoryRecords(clock),
            log=MemoryLog(clock),
            registry=registry,
            scorer=LinearScorer(registry),
            routes=MemoryRoutes(),
            notifiers={PAGER: MemoryNotifier()},
            trainers={MODEL: trainer(folder, polls=0)},
        )
        traffic = Traffic(case)
        past = traffic.requests(Window(START - BEFORE, START))
        history = split_history(plan, past)
        training = train_first(plan, ports.trainers[MODEL], history, START)
        adopt(plan, ports, history, training, START)
        chaos = Chaos(np.random.default_rng([case.seed, 5]), RATE)
        stormy = any(e.kind in {Kind.PORTS, Kind.STORE, Kind.NOTIFIER} for e in case.events)
        between = faulty(ports, chaos, LinearScorer) if stormy else ports
        made = cls(case, plan, ports, between, clock, chaos, traffic, People(case, folder))
        chaos.rival = made._overtake
        made.tick(timedelta(0))
        return made

    @property
    def scene(self) -> Scene:
        """How it stands."""
        return Scene(self.ports, self.plan, self.ticked, tuple(self.problems), self.settled)

    def advance(self) -> None:
        """Live through one tick's time."""
        now = self.clock.now()
        window = Window(now, self.clock.advance(TICK))
        self._weather(now)
        self._serve(window)
        self._learn(window)
        self._send()
        self.people.act(self.ports, window.end)
        self.tick(self._skew(now))

    def tick(self, skew: timedelta) -> None:
        """Tick by a clock that may be wrong; a controller that dies is made anew, and may again."""
        now = self.clock.now() + skew
        complaints = self._tick(now)
        disturbed = self.chaos.on or skew != timedelta(0)
        self.chaos.on = False
        self.ticked = max(self.ticked, now)
        self.settled = not (disturbed or self._disturbed)
        if self.settled:
            self.problems += complaints
        self._disturbed = disturbed

    def check_log(self) -> None:
        """What was acknowledged is in the log, once; raises BrokenInvariantError."""
        if self._unsent:
            return
        day = Window(self.clock.now() - DAY, self.clock.now())
        counted = self.ports.log.counts(self.plan.spec, day)
        first = (day.start - EPOCH) // HOUR
        sent = tuple(self._stored[first + hour] for hour in range(24))
        if counted != sent:
            raise BrokenInvariantError(
                "what is acknowledged is kept, once", f"{day}: {sent} sent, {counted} counted"
            )

    def _tick(self, now: datetime) -> tuple[str, ...]:
        for _ in range(MOST_DEATHS):
            engine = self._engine or Engine(self.between, {MODEL: self.plan}, self.case.seed)
            self._engine = engine
            try:
                return engine.tick(now)
            except Killed:
                self.deaths += 1
                self._engine = None
            except HomeostatError as error:
                return (str(error),)
        return ("it died again and again",)

    def _overtake(self) -> None:
        """Let another control plane take the whole tick."""
        with self.chaos.calm():
            Engine(self.ports, {MODEL: self.plan}, self.case.seed).tick(self.clock.now())

    def _weather(self, now: datetime) -> None:
        """Have ports fail, or not, until the next tick."""
        here = {event.kind: event for event in self.case.events if event.covers(now)}
        self.chaos.rate = RATE * here[Kind.PORTS].size if Kind.PORTS in here else 0.0
        for kind, ports in ((Kind.STORE, ("store", "log")), (Kind.NOTIFIER, ("notifier",))):
            for port in ports:
                if kind in here:
                    self.chaos.away[port] = 1_000_000
                elif self.chaos.away.get(port, 0) > 1000:
                    del self.chaos.away[port]
        if Kind.PORTS not in here:
            self.chaos.away = {p: n for p, n in self.chaos.away.items() if n > 1000}
        self.chaos.on = bool({Kind.PORTS, Kind.STORE, Kind.NOTIFIER} & set(here))

    def _skew(self, now: datetime) -> timedelta:
        for event in self.case.events:
            if event.kind is Kind.CLOCK and event.covers(now):
                ahead = event.begin % 2 == 0
                return event.size * timedelta(minutes=50 if ahead else -100)
        return timedelta(0)

    def _serve(self, window: Window) -> None:
        """Answer the window's requests as the published route says, and queue the records."""
        rows = self.traffic.requests(window)
        route = self.ports.routes.current(MODEL) or Route(MODEL)
        for number, records in enumerate(self._answers(rows, route, window)):
            self._queue(records)
            if number == 0:
                self._sent.append((window.start, records))
        again = [event for event in self.case.events if event.kind is Kind.DUPLICATED]
        self._sent = [(at, rows) for at, rows in self._sent if at >= window.start - DAY]
        if any(event.covers(window.start) for event in again):
            for records in (rows for at, rows in self._sent if at == window.start - DAY):
                self._unsent.append(partial(self.between.log.append, self.plan.spec, records))

    def _answers(self, rows: pa.Table, route: Route, window: Window) -> Iterator[pa.Table]:
        keys = texts(rows, "entity")
        parts = [(route.champion, "champion", np.ones(len(keys), dtype=bool))]
        if route.challenger:
            moved = takes_part(f"{MODEL}/{route.challenger}", keys, route.weight)
            parts = [(route.champion, "champion", ~moved), (route.challenger, "challenger", moved)]
        answering = {version: chosen for version, _, chosen in parts}
        nobody = np.zeros(len(keys), dtype=bool)
        parts += [(v, "shadow", ~answering.get(v, nobody)) for v in route.shadows]
        number = (window.start - EPOCH) // HOUR
        for version, role, chosen in parts:
            asked = rows if chosen.all() else rows.filter(pa.array(chosen))
            if not asked.num_rows:
                continue
            scores = self.ports.scorer.score(self.plan.spec, version, asked)
            if role != "shadow":
                lies = self.traffic.hit(Kind.LIE, micros(asked, "timestamp"))
                scores = np.where(lies > 0, 1.0 - scores, scores)
            records = to_records(self.plan.spec, asked, scores, version, role)
            yield records if role == "shadow" else self._as_served(records, asked, number)

    def _as_served(self, records: pa.Table, asked: pa.Table, number: int) -> pa.Table:
        reason, latency = self.traffic.service(asked, number)
        failed = reason != ""
        score = np.where(failed, 0.5, records["score"].to_numpy())
        columns: dict[str, pa.Array[pa.Scalar[pa.DataType]]] = {
            "tier": pa.array(np.where(failed, "default", "model").tolist(), pa.string()),
            "reason": pa.array(reason.tolist(), pa.string()),
            "latency_ms": pa.array(latency),
            "score": pa.array(score),
            "prediction": pa.array((score >= self.plan.spec.threshold).astype(np.float64)),
        }
        for name, values in columns.items():
            records = records.set_column(records.column_names.index(name), name, values)
        return records

    def _queue(self, records: pa.Table) -> None:
        spec, shadow = self.plan.spec, records["role"][0].as_py() == "shadow"

        def send() -> Receipt:
            receipt = self.between.log.append(spec, records)
            if not shadow:
                hours = micros(records, "timestamp") // (HOUR // MICRO)
                self._stored.update(hours.tolist())
            return receipt

        self._unsent.append(send)

    def _learn(self, window: Window) -> None:
        """Queue the labels that come in a window."""
        due, spec = self.traffic.labels(window), self.plan.spec
        if due.num_rows:
            self._unsent.append(lambda: self.between.log.append_labels(spec, due))

    def _send(self) -> None:
        """Send what waits, oldest first, until something fails: it is sent again with the next."""
        while self._unsent:
            try:
                self._unsent[0]()
            except (HomeostatError, Killed):
                return
            del self._unsent[0]
