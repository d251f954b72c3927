"""A deployment in memory of which every kind of figure can be told."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from homeostat.alerting.episode import IncidentState, Stage
from homeostat.alerting.rules import default_rules
from homeostat.detectors.drift.detector import DriftConfig
from homeostat.detectors.performance.detector import PerformanceConfig
from homeostat.detectors.quality.detector import QualityConfig
from homeostat.detectors.service.detector import ServiceConfig
from homeostat.detectors.value.metric import parse_metric
from homeostat.detectors.volume.detector import VolumeConfig
from homeostat.domain.decision import Decision, Severity
from homeostat.domain.effect import Notify, NotifyAction
from homeostat.domain.expression import Type
from homeostat.domain.model import Column, ColumnKind, LabelSpec, ModelSpec, Schema, Task
from homeostat.domain.verdict import MetricPoint, Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.engine.early import early_key
from homeostat.engine.estimates import estimates_key
from homeostat.engine.late import LateMemory, late_key
from homeostat.engine.plan import EarlyPolicy, EstimationPolicy, ModelPlan
from homeostat.engine.ports import Settled
from homeostat.engine.series import SeriesMemory, series_key
from homeostat.engine.watch import (
    Fault,
    Progress,
    fresh,
    incident_key,
    retraining_key,
    rollout_key,
    watch_key,
)
from homeostat.entrypoints.monitoring.control import ControlFigures
from homeostat.entrypoints.worker import Pulse
from homeostat.retraining.run import RunState
from homeostat.retraining.run import Stage as RunStage
from homeostat.rollout.state import RolloutPolicy, RolloutState
from homeostat.rollout.state import Stage as RolloutStage
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryRecords, MemoryRegistry

DAY = timedelta(days=1)
NOW = datetime(2024, 3, 1, tzinfo=UTC)
SINCE = NOW - 60 * DAY
HOSTILE = 'a"b\\c\nd: <script>' + "é" * 10_000
FEATURES = (*(f"f{number:02}" for number in range(24)), HOSTILE)
SPEC = ModelSpec(
    "fraud",
    Task.BINARY,
    Schema(tuple(Column(name, ColumnKind.NUMERIC) for name in FEATURES)),
    LabelSpec(DAY),
    classes=("no", "yes"),
)
PLAN = ModelPlan(
    spec=SPEC,
    drift=DriftConfig(every=DAY, share=0.2),
    quality=QualityConfig(every=DAY, share=0.15),
    volume=VolumeConfig(every=DAY, share=0.1),
    performance=PerformanceConfig(),
    service=ServiceConfig(every=DAY, share=0.05),
    metric_window=DAY,
    rules=default_rules(("duty",)),
    rollout=RolloutPolicy(),
    estimation=EstimationPolicy(),
    early=EarlyPolicy(),
    business=(parse_metric("saved", "mean(score)", {"score": Type.NUMBER}),),
)


@dataclass
class Deployed:
    """A deployment, and what it exports."""

    clock: SimulatedClock
    records: MemoryRecords
    figures: ControlFigures

    def save(self, **states: object) -> None:
        """Store states under their keys, ``__`` in place of a colon."""
        with self.records.begin() as uow:
            for key, state in states.items():
                name = key.replace("__", ":")
                uow.load(name, type(state))
                uow.save(name, state)


def verdict(monitor: Monitor, subject: str, score: float, status: Status = Status.OK) -> Verdict:
    """Return a verdict on yesterday whose evidence is ten times its score."""
    return Verdict(
        monitor, "fraud", subject, Window(NOW - DAY, NOW), status,
        score, 0.5, 10 * score, 40.0, 0.5, 1000, 480, "because",
    )  # fmt: skip


def point(
    name: str, value: float, day: int, *, n: int = 100, cohort: str = "matured", version: str = "2"
) -> MetricPoint:
    """Return a metric of a day, counted back from now."""
    window = Window(NOW - (day + 1) * DAY, NOW - day * DAY)
    return MetricPoint(
        "fraud", version, name, window, value, value - 0.1, value + 0.1, n, 0.75, cohort
    )


def deployed(points: tuple[MetricPoint, ...] = ()) -> Deployed:
    """Return a deployment of one model that nothing is known of but some metrics."""
    clock = SimulatedClock(NOW)
    records = MemoryRecords(clock)
    with records.begin() as uow:
        uow.measure(*points)
    figures = ControlFigures(
        records, MemoryRegistry(), {"fraud": PLAN}, clock, Pulse(), DAY, lambda: {"duty": 2}
    )
    return Deployed(clock, records, figures)


def busy() -> Deployed:
    """Return a deployment in which everything happens at once."""
    points = (
        *(point("accuracy", 0.9, day) for day in range(40, 50)),
        point("accuracy", 0.7, 41, n=300),
        point("accuracy", 0.8, 2, n=120),
        point("accuracy", 0.85, 1, n=90, version="1"),
        point("estimated_accuracy", 0.78, 0, cohort="estimated"),
        point("accuracy", 0.77, 0, cohort="weighted"),
        point("saved", 12.5, 1, version="1"),
        point("saved", 13.5, 1),
        point("importance:f01", 0.2, 1),
        replace(point("accuracy", 0.1, 1), segment="country=FR"),
    )
    found = deployed(points)
    watch = fresh("fraud", "2", SINCE, ("matured",))
    drifts = [verdict(Monitor.DATA_DRIFT, name, n / 100) for n, name in enumerate(FEATURES)]
    drifts += [
        verdict(Monitor.DATA_DRIFT, "f03", 0.9, Status.DRIFT),
        verdict(Monitor.DATA_DRIFT, "f03 [country=FR]", 0.9, Status.DRIFT),
        verdict(Monitor.DATA_DRIFT, "", 0.04, Status.DRIFT),
        verdict(Monitor.PREDICTION_DRIFT, "score", float("nan"), Status.NO_DATA),
        verdict(Monitor.CALIBRATION, "calibration", 0.25),
    ]
    found.save(
        watch__fraud=replace(
            watch.noting(tuple(drifts)),
            metrics_until=(("matured", NOW - DAY),),
            faults=(Fault("f01", NOW - DAY), Fault(HOSTILE, NOW - DAY), Fault("f02", SINCE, NOW)),
        ),
        rollout__fraud=RolloutState(
            "fraud", RolloutStage.CANARY, "2", ("1",), "3", 1, 0.25,
            since=NOW - DAY, promoted_at=NOW - 50 * DAY,
        ),
        retraining__fraud=RunState("fraud", 4, RunStage.TRAINING),
        late__fraud=LateMemory(rows=5, labels=6, corrected=1),
        estimates__fraud=Progress(NOW),
        early__fraud=Progress(NOW),
        series__fraud=SeriesMemory(valued_until=NOW),
        incident__fraud__data_drift=IncidentState(
            "fraud", "data_drift", Stage.FIRING, 3, Severity.CRITICAL, fired_at=NOW - DAY
        ),
    )  # fmt: skip
    keys = (watch_key, rollout_key, retraining_key, late_key, estimates_key, early_key, series_key)
    known = (*(key("fraud") for key in keys), incident_key("fraud", "data_drift"))
    assert all(key in found.records.keys("") for key in known)
    _notify(found.records)
    return found


def _notify(records: MemoryRecords) -> None:
    with records.begin() as uow:
        uow.decide(
            Decision("fraud", NOW - 100 * DAY, "homeostat", "fire", "old", "because"),
            Decision("fraud", NOW - DAY, "homeostat", "fire", "fraud:data_drift:3", "because"),
            Decision("fraud", NOW - DAY, "homeostat", "promote", "2", "because"),
        )
        uow.intend(
            *(
                Notify(
                    incident, NotifyAction.TRIGGER, "duty", Severity.CRITICAL, "fraud",
                    "t", "b", "r", NOW,
                )
                for incident in ("one", "two")
            )
        )  # fmt: skip
    number = records.pending(NOW)[0].number
    with records.begin() as uow:
        uow.settle(Settled(number, "pending", NOW + DAY, "refused"))
