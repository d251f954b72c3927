"""A gateway on simulated time whose model versions can be made to fail, hang or lie."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
from moody import Backend

from homeostat.adapters.models import Term, save_linear
from homeostat.domain.model import (
    Audit,
    Column,
    ColumnKind,
    LabelSpec,
    ModelSpec,
    ModelVersion,
    Schema,
    Task,
)
from homeostat.domain.window import Window
from homeostat.entrypoints.gateway import Gateway, LogWriter, RouteTable, ServedModel
from homeostat.entrypoints.gateway.answered import Answered, predictions
from homeostat.entrypoints.gateway.batch import Batch, to_batch
from homeostat.serving.breaker import BreakerConfig
from homeostat.serving.fallback import Fallback
from homeostat.serving.plan import Answerer, Reason, Role
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes.log import MemoryLog
from homeostat.simulation.fakes.models import MemoryRegistry

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
WEIGHTS = {"v1": 0.1, "v2": 0.2, "v3": 0.3, "light": 0.0}


def answers(
    spec: ModelSpec, name: str, score: float = 0.5, rows: int = 2, milliseconds: float = 1.0
) -> Answered:
    """The champion's answers to a request of its own."""
    names = pa.array([f"{name}{i}" for i in range(rows)])
    batch = to_batch(spec, pa.table({"prediction_id": names}), NOW, "")
    roles, tiers = [Role.CHAMPION] * rows, [Answerer.MODEL] * rows
    reasons, scores = [Reason.NONE] * rows, [score] * rows
    figures = scores, predictions(spec, scores), None, milliseconds
    return Answered(spec, batch, ["v1"] * rows, roles, tiers, reasons, *figures)


@dataclass
class World:
    """Everything around a gateway."""

    root: Path
    clock: SimulatedClock = field(default_factory=lambda: SimulatedClock(NOW))
    backend: Backend = field(default_factory=lambda: Backend(calls=[]))
    registry: MemoryRegistry = field(default_factory=MemoryRegistry)

    def __post_init__(self) -> None:
        self.log = MemoryLog(self.clock)
        columns = (
            Column("amount", ColumnKind.NUMERIC, minimum=0.0, maximum=1000.0),
            Column("age", ColumnKind.NUMERIC),
            Column("land", ColumnKind.CATEGORICAL),
        )
        labels = LabelSpec(timedelta(days=30), Audit("audited", timedelta(days=3)))
        self.spec = ModelSpec("fraud", Task.BINARY, Schema(columns), labels, entity="card")
        for version, weight in WEIGHTS.items():
            terms = [Term("age", weight)] if version == "light" else [Term("amount", weight)]
            save_linear(self.root / version, 0.0, [*terms, Term("age", 0.0)])
            self.register(version)

    def register(self, version: str, flavour: str = "linear") -> None:
        card = ModelVersion("fraud", version, flavour, "", NOW)
        self.registry.register(card, self.root / version)

    def gateway(
        self,
        fallback: Fallback | None = None,
        breaker: BreakerConfig | None = None,
        deadline: float = 5.0,
        workers: int = 4,
        waiting: int = 8,
        capacity: int = 10_000,
        batch: int = 0,
    ) -> Gateway:
        served = ServedModel(
            self.spec,
            fallback or Fallback(default=0.125),
            breaker or BreakerConfig(faults=2, window=600.0, cooldown=60.0, successes=1),
            deadline,
            workers,
            waiting,
            batch,
        )
        routes = RouteTable(self.registry, [served], self.clock, self.backend.load)
        return Gateway(routes, LogWriter(self.log, capacity), self.clock)

    def logged(self) -> pa.Table:
        return self.log.rows(self.spec, self.everything())

    @staticmethod
    def everything() -> Window:
        day = timedelta(days=1)
        return Window(NOW - day, NOW + day)

    def batch(self, rows: pa.Table) -> Batch:
        return to_batch(self.spec, rows, NOW, "")
