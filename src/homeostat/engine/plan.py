"""Everything the owner decided about one model, as the engine takes it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from homeostat.alerting.escalation import EscalationStep
from homeostat.alerting.rules import AlertRule, parents_first
from homeostat.detectors.calibration.detector import CalibrationConfig
from homeostat.detectors.drift.detector import DriftConfig
from homeostat.detectors.importance.permutation import ImportanceConfig
from homeostat.detectors.performance.detector import PerformanceConfig
from homeostat.detectors.quality.detector import QualityConfig
from homeostat.detectors.series.dynamic import SeriesConfig
from homeostat.detectors.series.limits import LimitConfig
from homeostat.detectors.service.detector import ServiceConfig
from homeostat.detectors.value.metric import ValueMetric
from homeostat.detectors.volume.detector import VolumeConfig
from homeostat.domain.errors import ConfigError
from homeostat.domain.model import ModelSpec
from homeostat.domain.verdict import BudgetShare, Monitor
from homeostat.retraining.policy import RetrainingPolicy
from homeostat.rollout.bandit.design import Bandit
from homeostat.rollout.state import RolloutPolicy

ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class ImportancePolicy:
    """How often the champion's importances are measured, and how carefully."""

    every: timedelta = timedelta(days=30)
    config: ImportanceConfig = field(default_factory=ImportanceConfig)


@dataclass(frozen=True, slots=True)
class EstimationPolicy:
    """From how many labelled rows performance without labels is estimated, at most."""

    rows: int = 5_000


@dataclass(frozen=True, slots=True)
class EarlyPolicy:
    """From how many rows of a window it is measured before its labels are complete, at most.

    As many rows with complete labels tell how long labels take.
    """

    rows: int = 3_000


@dataclass(frozen=True, slots=True)
class ExplanationPolicy:
    """How many rows from before and since a change are looked at, with and without labels."""

    rows: int = 2_000


@dataclass(frozen=True, slots=True)
class DegradedPolicy:
    """What share of the answers fallback tiers may give, whatever the reason.

    Attributes
    ----------
    limit : LimitConfig
        With ``above``; set by the owner, so that it spends nothing of the alarm budget.
    every : timedelta
        Length of a window; one judgement each.
    """

    limit: LimitConfig = field(
        default_factory=lambda: LimitConfig(
            above=0.1, windows=2, min_rows=30, monitor=Monitor.SERVICE
        )
    )
    every: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class ReferencePolicy:
    """Which windows inputs and scores are compared with.

    Attributes
    ----------
    kind : {"fixed", "rolling", "previous"}
        The version's own windows, from before it was promoted; or the newest `windows` before an
        anchor that moves on every `renew` windows; or the previous `windows`, renewed as a whole.
    windows, renew : int
    segments : int
        Most segments whose inputs are compared too, those with the most rows. They share the alarm
        budget of drift with all rows.
    """

    kind: Literal["fixed", "rolling", "previous"] = "fixed"
    windows: int = 28
    renew: int = 7
    segments: int = 8

    @property
    def step(self) -> int:
        """Windows after which the reference moves on."""
        return self.windows if self.kind == "previous" else self.renew


@dataclass(frozen=True, slots=True)
class MetricThreshold:
    """A threshold on the figures of one metric.

    Attributes
    ----------
    name : str
        Unique in the model; the subject of its verdicts.
    metric : str
        Name of the metric points, such as ``auc`` or a business metric.
    config : SeriesConfig or LimitConfig
        Follows from history, or is set by the owner.
    since : datetime or None
        History from before does not count: set it to accept a new level.
    segment : str
        Whose figures they are, such as ``country=FR``; empty: those of all rows.
    """

    name: str
    metric: str
    config: SeriesConfig | LimitConfig
    since: datetime | None = None
    segment: str = ""


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """A model's spec, monitors, alert rules and policies.

    Attributes
    ----------
    spec : ModelSpec
    drift, quality, volume, performance, service
        Configurations of the monitors, with their shares of the alarm budget. Drift spends its
        share twice (inputs and scores), service too (availability and latency).
    metric_window : timedelta
        Length of the windows in which metrics such as AUC are written.
    rules : tuple of AlertRule
    rollout : RolloutPolicy
    retraining : RetrainingPolicy or None
        None: candidates only come from outside.
    importance : ImportancePolicy or None
        None: importances are not measured.
    calibration : CalibrationConfig or None
        Of binary models, with a share of the alarm budget; None: it is not judged.
    estimation : EstimationPolicy or None
        None: performance is not estimated before labels come.
    early : EarlyPolicy or None
        None: windows are not measured before their labels are complete.
    diagnosis : ExplanationPolicy or None
        None: what changed is diagnosed from verdicts only.
    reference : ReferencePolicy
        Of the drift monitors.
    gate_margin : float
        Share of the champion's loss by which a candidate may be worse, on the hold-out and, as a
        challenger, on live rows; negative asks the candidate to be that much better.
    business : tuple of ValueMetric
        What predictions are worth.
    thresholds : tuple of MetricThreshold
        On any metric; the dynamic ones have shares of the alarm budget too.
    degraded : DegradedPolicy or None
        None: the share of answers by fallback tiers is not judged.
    escalation : tuple of EscalationStep
        Of critical incidents that nobody takes on, by time.
    bandits : tuple of Bandit
        Those that a person may start.
    stepped : tuple of AlertRule
        The rules in the order in which they are stepped: those that inhibit others first.
    apart : frozenset of str
        Receivers that group incidents by themselves, such as Alertmanager.

    Raises
    ------
    ConfigError
        If the monitors together may spend more than the largest budget that one of them has a share
        of.
    """

    spec: ModelSpec
    drift: DriftConfig
    quality: QualityConfig
    volume: VolumeConfig
    performance: PerformanceConfig
    service: ServiceConfig
    metric_window: timedelta
    rules: tuple[AlertRule, ...]
    rollout: RolloutPolicy
    retraining: RetrainingPolicy | None = None
    importance: ImportancePolicy | None = None
    calibration: CalibrationConfig | None = None
    estimation: EstimationPolicy | None = None
    early: EarlyPolicy | None = None
    diagnosis: ExplanationPolicy | None = None
    gate_margin: float = 0.0
    reference: ReferencePolicy = ReferencePolicy()
    business: tuple[ValueMetric, ...] = ()
    thresholds: tuple[MetricThreshold, ...] = ()
    degraded: DegradedPolicy | None = None
    escalation: tuple[EscalationStep, ...] = ()
    stepped: tuple[AlertRule, ...] = field(init=False, repr=False, compare=False, default=())
    apart: frozenset[str] = frozenset()
    bandits: tuple[Bandit, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "stepped", parents_first(self.rules))
        dynamic = [t.config for t in self.thresholds if isinstance(t.config, SeriesConfig)]
        calibration = [] if self.calibration is None else [self.calibration]
        once = (self.quality, self.volume, self.performance, *calibration, *dynamic)
        twice = (self.drift, self.service)
        spenders: tuple[BudgetShare, ...] = (*once, *twice, *twice)
        whole = max(spender.budget.rate for spender in spenders)
        spent = math.fsum(spender.rate for spender in spenders) / whole
        if spent > 1.0 + ROUNDING:
            raise ConfigError(
                f"the monitors of {self.spec.name} spend {spent:.3g} times the alarm budget",
                "lower their shares until they add up to at most 1",
            )
