"""A market in which an experiment is run: customers who come back, two versions, late outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.domain.model import (
    Column,
    ColumnKind,
    LabelSpec,
    ModelSpec,
    ModelVersion,
    Schema,
    Task,
)
from homeostat.domain.record import OUTCOME_SCHEMA, TIMESTAMP, prediction_schema
from homeostat.domain.route import Route
from homeostat.engine.arms import arms_of, laid_over
from homeostat.engine.experiments import Laboratory, experiments_of, report_of, start
from homeostat.engine.ports import Ports
from homeostat.engine.watch import rollout_key
from homeostat.rollout.experiment.design import Experiment, Kind, Metric, Role
from homeostat.rollout.experiment.life import ExperimentState
from homeostat.rollout.experiment.plan import ExperimentPlan, Source
from homeostat.rollout.experiment.report import Report
from homeostat.rollout.state import RolloutState, Stage
from homeostat.serving.plan import assign
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryLog, MemoryRecords, MemoryRegistry, MemoryRoutes

MODEL = "shop"
DAY = timedelta(days=1)
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
SPEC = ModelSpec(
    MODEL,
    Task.BINARY,
    Schema(
        (
            Column("country", ColumnKind.CATEGORICAL),
            Column("before", ColumnKind.NUMERIC),
        )
    ),
    LabelSpec(2 * DAY),
    entity="customer",
    classes=("no", "yes"),
    outcomes=("bought", "money", "views"),
)
PAID = Metric("paid", Kind.CONVERSION)
SPENT = Metric("spent", Kind.REVENUE, Role.GUARDRAIL, margin=0.5)
ERRORS = Metric("errors", Kind.ERROR_RATE, Role.GUARDRAIL, margin=0.9)
SLOW = Metric("slow", Kind.LATENCY, Role.GUARDRAIL, margin=0.6)
DESIGN = Experiment("checkout", ("v1", "v2"), (PAID,), 20_000, shares=(0.5, 0.5))
PLAN = ExperimentPlan(MODEL, DESIGN, (Source("paid", of="bought"),), wait=2 * DAY)


@dataclass(frozen=True)
class Manner:
    """How a version does: who buys, how slow and how often it fails, and whether outcomes come."""

    buys: float = 0.1
    slow: float = 50.0
    fails: float = 0.1
    told: bool = True
    lost: float = 0.0


@dataclass
class Market:
    """A model with two versions, customers by the day, and a laboratory."""

    ports: Ports
    clock: SimulatedClock
    manners: Mapping[str, Manner]
    rng: np.random.Generator
    customers: int = 1500
    log: MemoryLog = field(init=False)

    def __post_init__(self) -> None:
        assert isinstance(self.ports.log, MemoryLog)
        self.log = self.ports.log

    @property
    def state(self) -> ExperimentState:
        """The newest experiment."""
        return experiments_of(self.ports.records, MODEL).states[-1]

    @property
    def report(self) -> Report:
        """What its tallies say."""
        return report_of(self.ports.records, self.state)

    def begin(self, plan: ExperimentPlan = PLAN) -> ExperimentState:
        """Start an experiment."""
        return start(self.ports.records, self.ports.registry, plan, "ana", self.clock.now())

    def live(self, days: int) -> None:
        """Live through days: customers come, outcomes arrive a day later, the laboratory looks."""
        laboratory = Laboratory(self.ports)
        for _ in range(days):
            self.day()
            laboratory.tend(SPEC, self.clock.now())

    def day(self) -> None:
        """Customers of a day: a third of them have been there the day before."""
        now, rng = self.clock.now(), self.rng
        number, size = (now - BEGIN) // DAY, self.customers
        who = number * size + np.arange(size)
        who = np.concatenate((who, who[: size // 3] - size, who[: size // 3]))
        keys = [f"c{each}" for each in who.tolist()]
        route = laid_over(Route(MODEL, "v1"), arms_of(self.ports.records, MODEL))
        versions, roles = assign(route, keys)
        manners = [self.manners.get(version, Manner()) for version in versions]
        ids = [f"{number}-{row}" for row in range(len(keys))]
        seconds = np.sort(rng.integers(6 * 3600, 18 * 3600, len(keys)))
        moments = [now + timedelta(seconds=each) for each in seconds.tolist()]
        fails = rng.random(len(keys)) < [manner.fails for manner in manners]
        kept = rng.random(len(keys)) >= [manner.lost for manner in manners]
        given: dict[str, object] = {
            "prediction_id": ids,
            "timestamp": pa.array(moments, TIMESTAMP),
            "version": versions,
            "role": [str(role) for role in roles],
            "tier": np.where(fails, "rules", "model"),
            "reason": [""] * len(keys),
            "entity": keys,
            "score": np.full(len(keys), 0.5),
            "latency_ms": rng.gamma(4.0, [manner.slow for manner in manners]),
            "country": np.where(who % 4 == 0, "FR", "DE"),
            "before": (who % 7).astype(np.float64),
        }
        schema = prediction_schema(SPEC)
        columns = {f.name: given.get(f.name, pa.nulls(len(keys), f.type)) for f in schema}
        rows = pa.table(columns, schema=schema).filter(pa.array(kept))
        self.clock.advance(DAY)
        self.log.append(SPEC, rows)
        bought = (rng.random(len(keys)) < [manner.buys for manner in manners]) & (
            who // size == number
        )
        told = np.flatnonzero(kept & [manner.told for manner in manners])
        self.tell("bought", [ids[row] for row in told], bought[told].astype(np.float64), now + DAY)

    def tell(self, outcome: str, ids: list[str], values: NDArray[np.float64], at: datetime) -> None:
        """Tell outcomes, which count from a moment on."""
        size = len(ids)
        columns = [ids, pa.array(values, pa.float64()), [at] * size, [outcome] * size]
        self.log.append_labels(SPEC, pa.table(columns, schema=OUTCOME_SCHEMA))

    def actions(self) -> list[str]:
        """What was decided."""
        return [made.action for made in self.ports.records.decisions(MODEL)]


def market(seed: int, *, folder: Path, customers: int = 1500, **manners: Manner) -> Market:
    """Return a market whose champion is v1."""
    clock = SimulatedClock(BEGIN)
    registry = MemoryRegistry()
    for name in ("v1", "v2", "v3"):
        artifact = folder / name
        artifact.write_text(name)
        registry.register(ModelVersion(MODEL, name, "linear", "", BEGIN), artifact)
    ports = Ports(
        records=MemoryRecords(clock),
        log=MemoryLog(clock),
        registry=registry,
        scorer=None,  # type: ignore[arg-type]
        routes=MemoryRoutes(),
        notifiers={},
        trainers={},
    )
    with ports.records.begin() as uow:
        uow.save(rollout_key(MODEL), RolloutState(MODEL, Stage.CHAMPION, "v1"))
    return Market(ports, clock, manners, np.random.default_rng(seed), customers)
