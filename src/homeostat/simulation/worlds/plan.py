"""The model of a world and its owner's decisions: nearly nothing but defaults."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from homeostat.alerting.rules import default_rules
from homeostat.detectors.calibration.detector import CalibrationConfig
from homeostat.detectors.drift.detector import DriftConfig
from homeostat.detectors.performance.detector import PerformanceConfig
from homeostat.detectors.quality.detector import QualityConfig
from homeostat.detectors.service.detector import ServiceConfig
from homeostat.detectors.volume.detector import VolumeConfig
from homeostat.domain.model import Column, ColumnKind, LabelSpec, ModelSpec, Schema, Task
from homeostat.engine.plan import ModelPlan
from homeostat.retraining.policy import RetrainingPolicy
from homeostat.rollout.state import RolloutPolicy
from homeostat.simulation.worlds.traffic import CHANNELS, MATURITY

MODEL, PAGER = "world", "pager"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SPEC = ModelSpec(
    name=MODEL,
    task=Task.BINARY,
    schema=Schema(
        (
            Column("signal", ColumnKind.NUMERIC),
            Column("amount", ColumnKind.NUMERIC, minimum=0.0),
            Column("channel", ColumnKind.CATEGORICAL, categories=CHANNELS),
        )
    ),
    labels=LabelSpec(MATURITY),
    entity="customer",
    classes=("no", "yes"),
)
PLAN = ModelPlan(
    spec=SPEC,
    drift=DriftConfig(every=DAY, share=0.2),
    quality=QualityConfig(every=HOUR, share=0.15),
    volume=VolumeConfig(every=HOUR, share=0.1),
    performance=PerformanceConfig(every=DAY, share=0.2),
    calibration=CalibrationConfig(share=0.05),
    service=ServiceConfig(every=HOUR, share=0.05),
    metric_window=DAY,
    rules=default_rules((PAGER,)),
    rollout=RolloutPolicy(
        shadow_min=12 * HOUR, shadow_min_rows=500, ramp=(0.2, 0.5), step_min=6 * HOUR
    ),
    retraining=RetrainingPolicy(
        performance_windows=1,
        drift_share=None,
        cooldown=2 * DAY,
        min_rows=2000,
        window=3 * DAY,
        holdout=DAY,
        timeout=20 * DAY,
    ),
)


def plan_of(*, approval: bool) -> ModelPlan:
    """Return the plan; with `approval` a person has to approve promotions."""
    return replace(PLAN, rollout=replace(PLAN.rollout, approval=approval))
