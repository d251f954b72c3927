"""A small deterministic world: one model, 480 requests a day, labels within a day."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from homeostat.adapters.models.scorer import RegistryScorer
from homeostat.alerting.rules import default_rules
from homeostat.detectors.drift.detector import DriftConfig
from homeostat.detectors.performance.detector import PerformanceConfig
from homeostat.detectors.quality.detector import QualityConfig
from homeostat.detectors.service.detector import ServiceConfig
from homeostat.detectors.volume.detector import VolumeConfig
from homeostat.domain.columns import micros
from homeostat.domain.model import Column, ColumnKind, LabelSpec, ModelSpec, Schema, Task
from homeostat.domain.record import LABEL_SCHEMA, TIMESTAMP
from homeostat.domain.route import Route
from homeostat.domain.window import EPOCH, Window
from homeostat.engine.adopt import adopt, split_history, train_first
from homeostat.engine.backtest import to_records
from homeostat.engine.loop import Engine
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import Ports
from homeostat.engine.watch import Watch, rollout_key, watch_key
from homeostat.retraining.policy import RetrainingPolicy
from homeostat.rollout.state import RolloutPolicy, RolloutState
from homeostat.serving.split import takes_part
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import (
    MemoryLog,
    MemoryNotifier,
    MemoryRecords,
    MemoryRegistry,
    MemoryRoutes,
)
from homeostat.simulation.invariants import Scene
from simulation.fitting import memory_trainer

MODEL = "toy"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TICK = 6 * HOUR
BEFORE = datetime(2024, 1, 1, tzinfo=UTC)
START = BEFORE + 20 * DAY
PER_HOUR = 20
MICROS = 3_600_000_000
SHIFT, FILLED = 0.8, 0.7
SPEC = ModelSpec(
    name=MODEL,
    task=Task.BINARY,
    schema=Schema(
        (Column("signal", ColumnKind.NUMERIC), Column("amount", ColumnKind.NUMERIC, minimum=0.0))
    ),
    labels=LabelSpec(DAY),
    entity="customer",
    classes=("no", "yes"),
)
PLAN = ModelPlan(
    spec=SPEC,
    drift=DriftConfig(every=DAY, share=0.2),
    quality=QualityConfig(every=TICK, share=0.15),
    volume=VolumeConfig(every=TICK, share=0.1, match="none"),
    performance=PerformanceConfig(),
    service=ServiceConfig(every=TICK, share=0.05),
    metric_window=DAY,
    rules=default_rules(("duty",)),
    rollout=RolloutPolicy(
        shadow_min=12 * HOUR,
        shadow_min_rows=200,
        ramp=(0.2, 0.5),
        step_min=12 * HOUR,
        probation=3 * DAY,
    ),
    retraining=RetrainingPolicy(
        performance_windows=1,
        drift_share=None,
        cooldown=2 * DAY,
        min_rows=1200,
        window=2 * DAY,
        holdout=DAY,
        timeout=20 * DAY,
    ),
)


@dataclass(frozen=True)
class Fate:
    """What happens in the world: the concept flips, amounts arrive in cents, labels stay away.

    Signals shift; from a midnight on yes-labels are rarer; two in five signals are filled in.
    """

    seed: int = 0
    flips: datetime | None = None
    cents: Window | None = None
    silent: Window | None = None
    shifts: datetime | None = None
    mixes: datetime | None = None
    blank: Window | None = None

    def traffic(self, window: Window) -> pa.Table:
        """Return the window's requests with their labels and when those arrive, by time."""
        days = range((window.start - EPOCH) // DAY, (window.end - EPOCH) // DAY + 1)
        return _between(pa.concat_tables([_day(self, day) for day in days]), "timestamp", window)

    def labels(self, window: Window) -> pa.Table:
        """Return the labels that arrive in a window, by arrival."""
        rows = self.traffic(Window(window.start - DAY, window.end))
        if self.silent is not None:
            rows = rows.filter(pc.invert(_within(rows, "timestamp", self.silent)))
        return _between(rows, "arrival", window).select(LABEL_SCHEMA.names).sort_by("arrival")

    def holds(self, moments: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which rows come after the flip, and which have amounts in cents."""
        flipped = np.zeros(moments.size, dtype=bool)
        cents = np.zeros(moments.size, dtype=bool)
        if self.flips is not None:
            flipped = moments >= _micro(self.flips)
        if self.cents is not None:
            cents = (moments >= _micro(self.cents.start)) & (moments < _micro(self.cents.end))
        return flipped, cents


@lru_cache(maxsize=200)
def _day(fate: Fate, number: int) -> pa.Table:
    rng = np.random.default_rng([fate.seed, number])
    size = 24 * PER_HOUR
    moments = np.sort(rng.integers(0, 24 * MICROS, size)) + number * 24 * MICROS
    flipped, cents = fate.holds(moments)
    signal = rng.normal(size=size)
    if fate.shifts is not None:
        signal += np.where(moments >= _micro(fate.shifts), SHIFT, 0.0)
    amount = rng.lognormal(3.0, 0.5, size) * np.where(cents, 100.0, 1.0)
    chance = 1 / (1 + np.exp(np.where(flipped, 3.0, -3.0) * signal))
    label = (rng.random(size) < chance).astype(np.float64)
    if fate.mixes is not None and number * 24 * MICROS >= _micro(fate.mixes):
        signal, label = _mixed(rng, size)
    delay = rng.integers(2, 20, size) * MICROS
    if fate.blank is not None:
        blank = (moments >= _micro(fate.blank.start)) & (moments < _micro(fate.blank.end))
        signal = np.where(blank & (rng.random(size) < 0.4), FILLED, signal)
    return pa.table(
        {
            "prediction_id": [f"{number}-{i}" for i in range(size)],
            "timestamp": pa.array(moments, TIMESTAMP),
            "entity": [f"c{i}" for i in rng.integers(0, 400, size)],
            "signal": signal,
            "amount": amount,
            "label": label,
            "arrival": pa.array(moments + delay, TIMESTAMP),
        }
    )


def _mixed(rng: np.random.Generator, size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw signals and labels of which three in four of the yes-labels are left out."""
    drawn = rng.normal(size=4 * size)
    yes = rng.random(drawn.size) < 1 / (1 + np.exp(-3.0 * drawn))
    kept = np.flatnonzero(~yes | (rng.random(drawn.size) < 0.25))[:size]
    return drawn[kept], yes[kept].astype(np.float64)


def _micro(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def _within(table: pa.Table, column: str, window: Window) -> pa.Array:
    at = micros(table, column)
    return pa.array((at >= _micro(window.start)) & (at < _micro(window.end)))


def _between(table: pa.Table, column: str, window: Window) -> pa.Table:
    return table.filter(_within(table, column, window))


@dataclass
class World:
    """The engine, its ports, and a fate that it does not know."""

    engine: Engine
    clock: SimulatedClock
    fate: Fate
    problems: list[str] = field(default_factory=list)

    @property
    def ports(self) -> Ports:
        """The ports of the engine."""
        return self.engine.ports

    @property
    def rollout(self) -> RolloutState:
        """Where the rollout stands."""
        state = self.ports.records.read(rollout_key(MODEL), RolloutState)
        assert state is not None
        return state

    @property
    def watch(self) -> Watch:
        """What the engine remembers."""
        state = self.ports.records.read(watch_key(MODEL), Watch)
        assert state is not None
        return state

    @property
    def scene(self) -> Scene:
        """How it stands."""
        plan, now = self.engine.plans[MODEL], self.clock.now()
        return Scene(self.ports, plan, now, tuple(self.problems))

    def adopt(self) -> None:
        """Train the first version on the time before, and install it."""
        history = split_history(PLAN, self.fate.traffic(Window(BEFORE, START)))
        training = train_first(PLAN, self.ports.trainers[MODEL], history, START)
        plan = self.engine.plans[MODEL]
        adopt(plan, self.ports, history, training, START)
        self.problems += self.engine.tick(START)

    def advance(self, by: timedelta = TICK) -> None:
        """Live through one step: requests are answered, labels arrive, the engine ticks."""
        window = Window(self.clock.now(), self.clock.advance(by))
        for records in self.answers(window):
            self.ports.log.append(SPEC, records)
        self.ports.log.append_labels(SPEC, self.fate.labels(window))
        self.problems += self.engine.tick(window.end)

    def answers(self, window: Window) -> Iterator[pa.Table]:
        """Answer a window's requests as the published route says, shadows included."""
        rows = self.fate.traffic(window)
        route = self.ports.routes.current(MODEL) or Route(MODEL)
        keys = rows["entity"].to_pylist()
        weight = route.weight if route.challenger else 0.0
        moved = takes_part(f"{MODEL}/{route.challenger}", keys, weight)
        answering = {route.champion: ~moved, route.challenger: moved}
        for version, chosen in answering.items():
            role = "champion" if version == route.champion else "challenger"
            yield from self._scored(rows.filter(pa.array(chosen)), version, role)
        for version in route.shadows:
            left = ~answering.get(version, np.zeros(len(keys), dtype=bool))
            yield from self._scored(rows.filter(pa.array(left)), version, "shadow")

    def _scored(self, rows: pa.Table, version: str, role: str) -> Iterator[pa.Table]:
        if rows.num_rows:
            scores = self.ports.scorer.score(SPEC, version, rows)
            yield to_records(SPEC, rows, scores, version, role)


def memory_world(folder: Path, fate: Fate, plan: ModelPlan = PLAN) -> World:
    """Return a world over ports in memory, its first version adopted at `START`."""
    clock = SimulatedClock(START)
    registry = MemoryRegistry()
    ports = Ports(
        records=MemoryRecords(clock),
        log=MemoryLog(clock),
        registry=registry,
        scorer=RegistryScorer(registry),
        routes=MemoryRoutes(),
        notifiers={"duty": MemoryNotifier()},
        trainers={MODEL: memory_trainer(folder)},
    )
    world = World(Engine(ports, {MODEL: plan}), clock, fate)
    world.adopt()
    return world


def approved(plan: ModelPlan) -> ModelPlan:
    """Return the plan with promotions that a person has to approve."""
    return replace(plan, rollout=replace(plan.rollout, approval=True))
