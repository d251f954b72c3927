"""Records of a made-up past: verdicts and decisions written down as if at some ticks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from homeostat.alerting.replay import Episode
from homeostat.alerting.rules import AlertRule
from homeostat.detectors.series import limits
from homeostat.detectors.series.limits import LimitConfig
from homeostat.domain.decision import Decision
from homeostat.domain.limit import LimitState
from homeostat.domain.point import Point
from homeostat.domain.verdict import MetricPoint, Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.engine.plan import MetricThreshold, ModelPlan
from homeostat.engine.replay import replay
from homeostat.engine.replay_series import Listener
from homeostat.engine.tape import Past, Recorded, Tape
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryRecords, MemoryRegistry
from simulation.world import DAY, HOUR, MODEL, PLAN, START
from unit.engine.bench import verdict


def hour(number: float) -> datetime:
    return START + number * HOUR


def judged(
    monitor: Monitor,
    status: Status,
    end: datetime,
    subject: str = "",
    length: timedelta = HOUR,
    **more: object,
) -> Verdict:
    made = replace(verdict(monitor, subject, status), window=Window(end - length, end))
    return replace(made, **more)  # type: ignore[arg-type]


def decision(action: str, at: datetime, subject: str = "1", actor: str = "homeostat") -> Decision:
    return Decision(MODEL, at, actor, action, subject, "because")


@dataclass
class Diary:
    """Records, and the plan that they are read with."""

    plan: ModelPlan = PLAN
    records: MemoryRecords = field(default_factory=lambda: MemoryRecords(SimulatedClock(START)))
    registry: MemoryRegistry = field(default_factory=MemoryRegistry)

    def note(self, *verdicts: Verdict) -> None:
        with self.records.begin() as uow:
            uow.judge(*verdicts)

    def decide(self, *decisions: Decision) -> None:
        with self.records.begin() as uow:
            uow.decide(*decisions)

    def measure(self, *points: MetricPoint) -> None:
        with self.records.begin() as uow:
            uow.measure(*points)

    def answered(self, ends: Iterable[float], length: float = 1.0, rows: int = 100) -> None:
        """Note that requests were answered in the time before each tick."""
        for end in ends:
            self.note(
                judged(
                    Monitor.SERVICE,
                    Status.OK,
                    hour(end),
                    "availability",
                    length * HOUR,
                    n_current=rows,
                )
            )

    def read(
        self, until: float, ticks: Sequence[datetime] = (), start: float = 0.0
    ) -> tuple[Tape, Past]:
        recorded = Recorded(self.records, self.plan, HOUR, ticks)
        return recorded.read(Window(hour(start), hour(until)))

    def heard(self, until: float) -> Tape:
        """Return the tape with what rules on series say."""
        tape, past = self.read(until)
        said = Listener(self.plan, self.records, self.registry).heard(tape, past)
        return tape.with_signals((at, rule, signal) for at, told in said for rule, signal in told)

    def episodes(self, until: float) -> list[tuple[str, float, float | None]]:
        return shown(replay(self.plan.rules, self.heard(until)))


def shown(episodes: Iterable[Episode]) -> list[tuple[str, float, float | None]]:
    """Return the rule, and the hours at which it fired and resolved."""
    return [
        (e.rule, (e.began - START) / HOUR, None if e.ended is None else (e.ended - START) / HOUR)
        for e in episodes
    ]


def with_rules(*rules: AlertRule, **more: object) -> ModelPlan:
    return replace(PLAN, rules=rules, **more)  # type: ignore[arg-type]


def limit(name: str, below: float) -> MetricThreshold:
    return MetricThreshold(f"{name} limit", name, LimitConfig(below=below))


def figures(
    threshold: MetricThreshold, values: Sequence[float], rows: Sequence[int] = ()
) -> tuple[Verdict, ...]:
    """Return the verdicts on hourly figures, as the engine would have made them."""
    assert isinstance(threshold.config, LimitConfig)
    state, made = LimitState(), list[Verdict]()
    for number, value in enumerate(values):
        window = Window(hour(number), hour(number + 1))
        point = Point(window, value, 0.01, rows[number] if rows else 100)
        state, found = limits.evaluate(threshold.config, state, MODEL, threshold.name, point)
        made.append(found)
    return tuple(made)


def measured(
    name: str, number: float, value: float, n: int = 100, length: timedelta = DAY
) -> MetricPoint:
    window = Window(hour(number), hour(number) + length)
    return MetricPoint(
        MODEL, "1", name, window, value, value - 0.02, value + 0.02, n, 1.0, "matured"
    )
