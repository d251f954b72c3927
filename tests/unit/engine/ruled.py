"""A model under care of the engine that ticks cheaply: no reference, and an owner's alert rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from homeostat.adapters.models.scorer import RegistryScorer
from homeostat.alerting.episode import IncidentState, Stage
from homeostat.domain.model import ModelVersion
from homeostat.domain.record import LABEL_SCHEMA, prediction_schema
from homeostat.domain.verdict import Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.engine.loop import Engine
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import Ports
from homeostat.engine.series import SeriesMemory, series_key
from homeostat.engine.watch import (
    Baseline,
    Watch,
    baseline_key,
    fresh,
    incident_key,
    rollout_key,
    watch_key,
)
from homeostat.entrypoints.settings import load
from homeostat.entrypoints.settings.plan import model_plan
from homeostat.rollout.state import RolloutState
from homeostat.rollout.state import Stage as RolloutStage
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import (
    MemoryLog,
    MemoryNotifier,
    MemoryRecords,
    MemoryRegistry,
    MemoryRoutes,
)

START = datetime(2024, 1, 1, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
FEATURES = ("amount", "age", "country", "device", "hour")
HEAD = """\
receivers: {duty: {type: console}}
ALERTS
models:
  - name: toy
    task: binary
    features: {amount: numeric, age: numeric, country: numeric, device: numeric, hour: numeric}
    labels: {maturity: 1h}
    business: {saved: {value: label > 0, alert: false}}
    monitors: {performance: {window: 1h}, service: {max_degraded: null}}
    diagnosis: {enabled: false}
"""
MODEL = "toy"


def plan_of(folder: Path, alerts: str) -> ModelPlan:
    """Return the model's plan under a deployment's alerts, without the costly monitors."""
    path = folder / "homeostat.yaml"
    path.write_text(HEAD.replace("ALERTS", alerts))
    plan = model_plan(load(path))
    return replace(plan, estimation=None, early=None, importance=None)


@dataclass
class Site:
    """One model, its engine and its ports in memory."""

    plan: ModelPlan
    folder: Path
    now: datetime = START
    problems: list[str] = field(default_factory=list)
    _ids: int = 0

    def __post_init__(self) -> None:
        clock = SimulatedClock(self.now)
        registry = MemoryRegistry()
        artifact = self.folder / "model"
        artifact.write_text("")
        card = ModelVersion(MODEL, "1", "", "", START, trained_until=START - 29 * DAY)
        registry.register(card, artifact)
        self.notifier = MemoryNotifier()
        self.ports = Ports(
            MemoryRecords(clock), MemoryLog(clock), registry, RegistryScorer(registry),
            MemoryRoutes(), {"duty": self.notifier}, {},
        )  # fmt: skip
        self.clock = clock
        self.engine = Engine(self.ports, {MODEL: self.plan})
        champion = RolloutState(MODEL, RolloutStage.CHAMPION, "1")
        self.put(rollout_key(MODEL), champion)
        watch = fresh(MODEL, "1", self.now, ("matured",))
        watch = replace(watch, since=START - 13 * DAY, restated_until=START)
        self.put(watch_key(MODEL), watch)
        self.put(series_key(MODEL), SeriesMemory(START))

    def follow(self, plan: ModelPlan) -> None:
        """Go on with another configuration, as after a restart."""
        self.plan = plan
        self.engine = Engine(self.ports, {MODEL: plan})

    def put(self, key: str, state: object) -> None:
        with self.ports.records.begin() as uow:
            uow.load(key, object)
            uow.save(key, state)

    def refer(self, baseline: Baseline, **metrics: float) -> None:
        self.put(baseline_key(MODEL, "1"), replace(baseline, metrics=tuple(metrics.items())))
        self.follow(self.plan)

    def judge(self, *verdicts: Verdict) -> None:
        """Let monitors have said this."""
        watch = self.ports.records.read(watch_key(MODEL), Watch)
        assert watch is not None
        self.put(watch_key(MODEL), watch.noting(verdicts))

    def answer(
        self,
        rows: int,
        by: timedelta = 5 * MINUTE,
        *,
        failed: int = 0,
        reason: str = "error",
        latency: float | Sequence[float] | None = None,
        right: float | None = None,
        yes: float = 0.5,
    ) -> None:
        """Live through a stretch with so many answers, of which some failed, and tick.

        Of the rows a part `right` is answered as their label says, which comes at once; without it
        no label comes. A part `yes` of the labels is 1.
        """
        begin, self.now = self.now, self.now + by
        self.clock.set(self.now)
        if rows:
            self._log(rows, begin, by, failed, reason, latency, right, yes)
        self.problems += self.engine.tick(self.now)

    def _log(
        self,
        rows: int,
        begin: datetime,
        by: timedelta,
        failed: int,
        reason: str,
        latency: float | Sequence[float] | None,
        right: float | None,
        yes: float,
    ) -> None:
        spec = self.plan.spec
        ids = [str(self._ids + number) for number in range(rows)]
        self._ids += rows
        truth = (np.arange(rows) * 0.618 % 1.0 < yes).astype(int)
        wrong = np.arange(rows) * 0.755 % 1.0 >= (1.0 if right is None else right)
        score = np.where(wrong, 1 - truth, truth) * 0.8 + 0.1
        waited = np.broadcast_to(np.asarray(5.0 if latency is None else latency), rows)
        known: dict[str, object] = {
            "prediction_id": ids,
            "timestamp": [begin + by * (number / rows) for number in range(rows)],
            "entity": [""] * rows,
            "version": ["1"] * rows,
            "role": ["champion"] * rows,
            "tier": ["rules"] * failed + ["model"] * (rows - failed),
            "reason": [reason] * failed + [""] * (rows - failed),
            "score": score,
            "prediction": (score > 0.5).astype(float),
            "latency_ms": waited,
        }
        schema = prediction_schema(spec)
        columns = {f.name: known.get(f.name, pa.nulls(rows, f.type)) for f in schema}
        self.ports.log.append(spec, pa.table(columns, schema=schema))
        if right is not None:
            labels = {
                "prediction_id": ids,
                "label": truth.astype(float),
                "arrival": [self.now] * rows,
            }
            self.ports.log.append_labels(spec, pa.table(labels, schema=LABEL_SCHEMA))

    def incident(self, rule: str) -> IncidentState | None:
        return self.ports.records.read(incident_key(MODEL, rule), IncidentState)

    def stage(self, rule: str) -> Stage | None:
        found = self.incident(rule)
        return None if found is None else found.stage

    @property
    def told(self) -> list[tuple[str, str]]:
        """Rule and action of all that was told."""
        return [(notice.rule, notice.action.value) for notice in self.notifier.attempts]


def verdict(
    monitor: Monitor, subject: str, status: Status = Status.DRIFT, rows: int = 100
) -> Verdict:
    nan = float("nan")
    return Verdict(
        monitor, MODEL, subject, Window(START - DAY, START), status, 1.0, 0.1, 900.0, 100.0, nan,
        1000, rows, f"{subject} {status}",
    )  # fmt: skip
