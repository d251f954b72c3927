"""From homeostat.yaml to the configurations of detectors, policies and serving."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from homeostat.alerting.escalation import EscalationStep
from homeostat.alerting.rules import AlertRule, default_rules
from homeostat.detectors.calibration.detector import CalibrationConfig
from homeostat.detectors.drift.detector import DriftConfig, Limits
from homeostat.detectors.importance.permutation import ImportanceConfig
from homeostat.detectors.performance.detector import PerformanceConfig
from homeostat.detectors.quality.detector import QualityConfig
from homeostat.detectors.series.dynamic import SeriesConfig, usual_history
from homeostat.detectors.series.limits import LimitConfig
from homeostat.detectors.service.detector import ServiceConfig
from homeostat.detectors.volume.detector import VolumeConfig
from homeostat.domain.choice import RowChoice
from homeostat.domain.model import ModelSpec, Task
from homeostat.domain.verdict import AlarmBudget, Monitor
from homeostat.engine.plan import (
    DegradedPolicy,
    EarlyPolicy,
    EstimationPolicy,
    ExplanationPolicy,
    ImportancePolicy,
    MetricThreshold,
    ModelPlan,
    ReferencePolicy,
)
from homeostat.entrypoints.settings.deployment import Settings
from homeostat.entrypoints.settings.model import Model
from homeostat.entrypoints.settings.monitors import (
    Diagnosis,
    Drift,
    Estimation,
    Importance,
    Service,
    Threshold,
)
from homeostat.entrypoints.settings.receivers import Alertmanager
from homeostat.entrypoints.settings.rules_plan import own_rules, rule_part
from homeostat.entrypoints.settings.upkeep import Gate, Override, Retraining, TrainingData
from homeostat.retraining.freeze import Freeze
from homeostat.retraining.gate.limits import GateLimits
from homeostat.retraining.policy import RetrainingPolicy
from homeostat.retraining.rows import DataPolicy
from homeostat.rollout.guardrails import GuardrailPolicy
from homeostat.rollout.state import RolloutPolicy
from homeostat.serving.breaker import BreakerConfig
from homeostat.serving.fallback import Cached, Fallback, Lighter, Tier, parse_rules

# How the alarm budget is divided. Drift spends its share twice (inputs and scores), service too
# (availability and latency): 2 x 0.2 + 0.25 + 0.15 + 0.1 + 2 x 0.05 = 1. Calibration, where it is
# judged, is paid by performance; dynamic thresholds on metrics together get a part of each.
DRIFT, PERFORMANCE, QUALITY, VOLUME, SERVICE = 0.2, 0.25, 0.15, 0.1, 0.05
CALIBRATION = 0.05
SERIES = 0.1


def model_plan(settings: Settings, name: str = "") -> ModelPlan:
    """Return what the owner decided about a model, as the engine takes it.

    Raises
    ------
    NotFoundError
        If there is no such model.
    """
    model = settings.model(name)
    monitors = model.monitors
    budget = AlarmBudget(model.budget.alarms, model.budget.per)
    thresholds = _thresholds(model, budget)
    if any(isinstance(threshold.config, SeriesConfig) for threshold in thresholds):
        budget = AlarmBudget(model.budget.alarms * (1.0 - SERIES), model.budget.per)
    calibration = _calibration(model, budget)
    return ModelPlan(
        spec=model.spec(),
        drift=_drift(monitors.drift, budget),
        quality=QualityConfig(
            budget=budget,
            every=monitors.quality.window,
            share=QUALITY,
            min_rows=monitors.quality.min_rows,
            min_rise=monitors.quality.min_rise,
            min_breach=monitors.quality.min_breach,
        ),
        volume=VolumeConfig(
            budget=budget,
            every=monitors.volume.window,
            share=VOLUME,
            min_change=monitors.volume.min_change,
            match=monitors.volume.match,
        ),
        performance=PerformanceConfig(
            budget=budget,
            every=monitors.performance.window,
            share=PERFORMANCE - (0.0 if calibration is None else calibration.share),
            margin=monitors.performance.margin,
            min_rows=monitors.performance.min_rows,
            scale=monitors.performance.scale,
        ),
        service=_service(settings, monitors.service, budget),
        calibration=calibration,
        metric_window=monitors.performance.window,
        rules=_rules(settings, model),
        rollout=_rollout(model),
        retraining=None if model.retraining is None else _policy(model.retraining),
        importance=_importance(monitors.importance),
        estimation=_estimation(monitors.estimation),
        early=_early(model),
        bandits=tuple(part.bandit() for part in settings.bandits if part.model == model.name),
        diagnosis=_diagnosis(model.diagnosis),
        reference=_reference(monitors.drift),
        business=tuple(model.metric(name) for name in model.business),
        thresholds=thresholds,
        degraded=_degraded(monitors.service),
        escalation=_escalation(settings, model),
        apart=frozenset(n for n, r in settings.receivers.items() if isinstance(r, Alertmanager)),
        gate_margin=0.0 if model.retraining is None else model.retraining.margin,
    )


def _thresholds(model: Model, budget: AlarmBudget) -> tuple[MetricThreshold, ...]:
    """Return the thresholds on business metrics and those that are asked for."""
    monitors = model.monitors
    watched = {name: part for name, part in model.business.items() if part.alert}
    count = len(watched) + sum(part.dynamic is not None for part in monitors.thresholds)
    share = SERIES / max(1, count)

    def plain(metric: str, history: timedelta | None = None) -> SeriesConfig:
        every = model.every(metric)
        return SeriesConfig(budget, every, share, history=history or usual_history(every))

    found = [
        MetricThreshold(
            name,
            name,
            replace(
                plain(name),
                ways="below" if part.better == "higher" else "above",
                min_rows=part.min_rows,
                min_change=part.min_change or 0.0,
                monitor=Monitor.VALUE,
            ),
            part.since,
        )
        for name, part in watched.items()
    ]
    return (*found, *(_threshold(part, plain) for part in monitors.thresholds))


def _threshold(
    part: Threshold, plain: Callable[[str, timedelta | None], SeriesConfig]
) -> MetricThreshold:
    if part.dynamic is None:
        limit = LimitConfig(part.above, part.below, part.windows, part.min_rows, part.sure)
        return MetricThreshold(part.name, part.metric, limit, segment=part.segment)
    config = replace(
        plain(part.metric, part.history),
        ways=part.dynamic,
        min_rows=part.min_rows,
        min_change=part.min_change or 0.0,
    )
    return MetricThreshold(part.name, part.metric, config, part.since, part.segment)


def _drift(drift: Drift, budget: AlarmBudget) -> DriftConfig:
    limits = Limits(
        drift.min_shift,
        drift.min_spread,
        drift.min_share,
        drift.min_missing,
        drift.min_correlation,
    )
    match = "weekday" if drift.reference == "same_weekday" else drift.match
    return DriftConfig(budget, drift.window, DRIFT, drift.min_rows, limits, match)


def _service(settings: Settings, service: Service, budget: AlarmBudget) -> ServiceConfig:
    return ServiceConfig(
        budget=budget,
        every=settings.server.tick,
        share=SERVICE,
        max_fallback=service.max_fallback,
        max_latency_ms=service.max_latency.total_seconds() * 1000,
    )


def _degraded(service: Service) -> DegradedPolicy | None:
    if service.max_degraded is None:
        return None
    limit = replace(DegradedPolicy().limit, above=service.max_degraded, min_rows=service.min_rows)
    return DegradedPolicy(limit, service.degraded_window)


def _calibration(model: Model, budget: AlarmBudget) -> CalibrationConfig | None:
    part = model.monitors.calibration
    if not part.enabled or model.task is not Task.BINARY:
        return None
    return CalibrationConfig(
        budget=budget,
        every=model.monitors.performance.window,
        share=CALIBRATION,
        tolerance=part.tolerance,
        cells=part.cells,
        min_rows=part.min_rows,
    )


def _importance(importance: Importance) -> ImportancePolicy | None:
    if not importance.enabled:
        return None
    config = ImportanceConfig(rows=importance.rows, columns=importance.columns)
    return ImportancePolicy(importance.every, config)


def _estimation(estimation: Estimation) -> EstimationPolicy | None:
    return EstimationPolicy(estimation.rows) if estimation.enabled else None


def _early(model: Model) -> EarlyPolicy | None:
    part = model.monitors.early
    return EarlyPolicy(part.rows) if part.enabled and model.labels.audit is None else None


def _diagnosis(diagnosis: Diagnosis) -> ExplanationPolicy | None:
    return ExplanationPolicy(diagnosis.rows) if diagnosis.enabled else None


def _reference(drift: Drift) -> ReferencePolicy:
    kind = "rolling" if drift.reference == "same_weekday" else drift.reference
    return ReferencePolicy(kind, drift.reference_windows, drift.renew, drift.segments)


def _rollout(model: Model) -> RolloutPolicy:
    """Return the policy; probation only counts from when the first labels can be known."""
    told = model.rollout.model_dump()
    guardrails = GuardrailPolicy(**told.pop("guardrails"))
    policy = RolloutPolicy(**told, guardrails=guardrails)
    labels = model.labels
    first = labels.audit.maturity if labels.audit else labels.maturity
    return replace(policy, probation=policy.probation + first)


def _rules(settings: Settings, model: Model) -> tuple[AlertRule, ...]:
    alerts = model.alerts
    receivers = alerts.receivers or tuple(settings.receivers)
    rules = default_rules(receivers, settings.runbooks.rstrip("/"))
    changed = (_changed(rule, alerts.overrides.get(rule.name)) for rule in rules)
    own = own_rules(settings.alerts.rules, model, receivers, settings.runbooks.rstrip("/"))
    return tuple(_routed(rule, settings, model) for rule in (*changed, *own))


def _escalation(settings: Settings, model: Model) -> tuple[EscalationStep, ...]:
    own = model.alerts.escalation
    return tuple(step.step() for step in (settings.alerts.escalation if own is None else own))


def _routed(rule: AlertRule, settings: Settings, model: Model) -> AlertRule:
    """Add the routes that are for such incidents; receivers that are named go before routes."""
    override = model.alerts.overrides.get(rule.name)
    part = rule_part(settings.alerts.rules, model, rule.name) if rule.own else override
    if model.alerts.receivers or (part is not None and part.receivers is not None):
        return rule
    routes = (part.route() for part in settings.routes)
    team = model.alerts.team
    mine = tuple(r for r in routes if r.covers(rule.severity, model.name, team))
    return replace(rule, routes=mine)


def _changed(rule: AlertRule, override: Override | None) -> AlertRule:
    if override is None:
        return rule
    return replace(
        rule,
        hold=rule.hold if override.hold is None else override.hold,
        keep_firing=rule.keep_firing if override.keep_firing is None else override.keep_firing,
        severity=override.severity or rule.severity,
        receivers=rule.receivers if override.receivers is None else override.receivers,
    )


def _policy(retraining: Retraining) -> RetrainingPolicy:
    apart = {
        *("trainer", "limits", "floor", "estimated_floor", "freeze", "margin", "gate", "data"),
        "checks",
    }
    return RetrainingPolicy(
        **retraining.model_dump(exclude=apart),
        performance_floor=tuple(retraining.floor.items()),
        estimated_floor=tuple(retraining.estimated_floor.items()),
        gate=_gate_limits(retraining.gate),
        freezes=tuple(Freeze(name, part.times()) for name, part in retraining.freeze.items()),
        data=_data_policy(retraining.data),
    )


def _data_policy(data: TrainingData) -> DataPolicy:
    own = {"refit", "early", "kinds", "agreement"}
    choice = RowChoice(**data.model_dump(exclude=own))
    return DataPolicy(choice, **data.model_dump(include=own))


def _gate_limits(gate: Gate) -> GateLimits:
    size = None if gate.size_mb is None else round(gate.size_mb * 1_000_000)
    return GateLimits(**gate.model_dump(exclude={"size_mb"}), size=size)


def model_fallback(model: Model, spec: ModelSpec) -> Fallback:
    """Return who answers when the model cannot; without any tier, the score 0."""
    tiers: list[Tier] = []
    default = 0.0
    for part in model.fallback:
        if part.cached is not None:
            tiers.append(Cached(part.cached.ttl))
        if part.lighter is not None:
            tiers.append(Lighter(part.lighter.version, part.lighter.share))
        if part.rules is not None:
            pairs = [(rule.when, rule.score) for rule in part.rules]
            tiers.append(parse_rules(pairs, spec.schema))
        if part.default is not None:
            default = part.default.score
    return Fallback(tuple(tiers), default)


def breaker_config(settings: Settings) -> BreakerConfig:
    """Return when the gateway's breakers open and how they close."""
    breaker = settings.gateway.breaker
    return BreakerConfig(
        faults=breaker.faults,
        window=breaker.window.total_seconds(),
        share=breaker.share,
        cooldown=breaker.cooldown.total_seconds(),
        probes=breaker.probes,
        successes=breaker.successes,
        lease=breaker.lease.total_seconds(),
        last=breaker.last or 0,
        minimum=breaker.minimum,
        run=breaker.run or 0,
        slow=breaker.slow.total_seconds() if breaker.slow else math.inf,
        slow_share=breaker.slow_share,
        interval=breaker.interval.total_seconds(),
    )
