"""What is known about a model when the engine asks whether to retrain it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from homeostat.domain.decision import Cause
from homeostat.domain.model import ModelVersion, Task
from homeostat.domain.verdict import MetricPoint, Monitor, Status
from homeostat.engine.cohort import MATURED
from homeostat.engine.commands import Command, Request
from homeostat.engine.estimates import ESTIMATED, PREFIX
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import Records, Registry
from homeostat.engine.watch import Watch
from homeostat.retraining.policy import Facts, RetrainingPolicy
from homeostat.retraining.run import RunState
from homeostat.rollout.state import RolloutState


def gather(
    plan: ModelPlan,
    policy: RetrainingPolicy,
    records: Records,
    registry: Registry,
    state: RunState,
    watch: Watch,
    rollout: RolloutState,
    commands: tuple[Command, ...],
    now: datetime,
) -> Facts:
    """Return what is known about a model when its retraining is decided."""
    card = _card(registry, plan, rollout.champion)
    trained_until = card.trained_until if card else None
    new_rows = sum(
        m.rows for m in watch.matured if trained_until is None or m.window.start >= trained_until
    )
    asked = next((c for c in commands if c.request is Request.RETRAIN), None)
    return Facts(
        now=now,
        drops=watch.drops if _retrainable(watch) else 0,
        metrics=_recent_metrics(plan, policy, records, rollout, now),
        estimates=_recent_estimates(plan, policy, records, rollout, now),
        concept_drift=_concept_drift(watch),
        performance_drop=_performance_drop(watch) if _retrainable(watch) else 0.0,
        share_drifted=_share_drifted(watch),
        data_faults=tuple(fault.reason for fault in watch.open_faults),
        trained_until=trained_until,
        trained_rows=card.rows if card else 0,
        new_rows=new_rows,
        starts=state.starts,
        rolling_out=rollout.challenger,
        requested_by=asked.actor if asked else "",
        request_reason=asked.reason if asked else "",
    )


def since_onset(
    plan: ModelPlan, facts: Facts, state: RunState, watch: Watch, now: datetime
) -> Facts:
    """Count the matured labels that a run now could use of the world as it is since the onset."""
    until = now - plan.spec.labels.maturity
    usable = [m for m in watch.matured if m.window.end <= until]
    if state.onset is not None:
        usable = [m for m in usable if m.window.end > state.onset]
    rows = sum(m.rows for m in usable)
    if plan.spec.task is Task.REGRESSION:
        return replace(facts, labelled_rows=rows, labels_per_class=())
    names = plan.spec.classes or ("0", "1")
    totals = [sum(m.counts[i] for m in usable) for i in range(len(names))]
    by_class = tuple(zip(names, totals, strict=True))
    return replace(facts, labelled_rows=rows, labels_per_class=by_class)


def _card(registry: Registry, plan: ModelPlan, version: str) -> ModelVersion | None:
    known = registry.versions(plan.spec.name)
    return next((card for card in known if card.version == version), None)


def _recent_metrics(
    plan: ModelPlan,
    policy: RetrainingPolicy,
    records: Records,
    rollout: RolloutState,
    now: datetime,
) -> tuple[tuple[tuple[str, float], ...], ...]:
    if not policy.performance_floor:
        return ()
    count = policy.performance_windows or 1
    since = now - plan.spec.labels.maturity - plan.metric_window * (count + 1)
    windows: dict[datetime, list[MetricPoint]] = {}
    for point in records.metrics(plan.spec.name, since=since):
        if point.cohort == MATURED and point.version == rollout.champion:
            windows.setdefault(point.window.start, []).append(point)
    return tuple(tuple((p.name, p.value) for p in windows[start]) for start in sorted(windows))


def _recent_estimates(
    plan: ModelPlan,
    policy: RetrainingPolicy,
    records: Records,
    rollout: RolloutState,
    now: datetime,
) -> tuple[tuple[tuple[str, float], ...], ...]:
    """Return the upper ends of the newest windows' estimates, by the metrics' own names."""
    if not policy.estimated_floor:
        return ()
    since = now - plan.metric_window * ((policy.performance_windows or 1) + 1)
    windows: dict[datetime, list[tuple[str, float]]] = {}
    for point in records.metrics(plan.spec.name, since=since):
        if point.cohort == ESTIMATED and point.version == rollout.champion:
            upper = (point.name.removeprefix(PREFIX), point.upper)
            windows.setdefault(point.window.start, []).append(upper)
    return tuple(tuple(windows[start]) for start in sorted(windows))


def _concept_drift(watch: Watch) -> str:
    found = watch.diagnosis
    if found is None or found.cause is not Cause.CONCEPT_DRIFT or not found.retrain:
        return ""
    return found.text


def _retrainable(watch: Watch) -> bool:
    """Whether a drop may be learnt from: a bad version or dead backend is no change outside."""
    return watch.diagnosis is None or watch.diagnosis.retrain


def _performance_drop(watch: Watch) -> float:
    if watch.drop_since is None:
        return 0.0
    losses = [v for v in watch.verdicts(Monitor.PERFORMANCE) if v.status is Status.DRIFT]
    rises = [v.score / max(v.detail("baseline_loss"), 1e-6) for v in losses if v.score > 0]
    return max(rises, default=0.0)


def _share_drifted(watch: Watch) -> float:
    overall = [v for v in watch.verdicts(Monitor.DATA_DRIFT) if not v.subject]
    return max((v.detail("share_drifted", 0.0) for v in overall), default=0.0)
