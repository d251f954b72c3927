"""Where a model stands, as figures to scrape: verdicts, drift, incidents, retraining, rollout."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from homeostat.alerting.episode import IncidentState
from homeostat.alerting.episode import Stage as IncidentStage
from homeostat.domain.clock import Clock
from homeostat.domain.errors import NotFoundError
from homeostat.domain.verdict import Monitor, Status, Verdict
from homeostat.engine.late import LateMemory, late_key
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import Records, Registry, UnitOfWork
from homeostat.engine.watch import Watch, incident_key, retraining_key, rollout_key
from homeostat.entrypoints.exposition import Sheet
from homeostat.entrypoints.monitoring.definitions import MOST, OTHER
from homeostat.retraining.run import RunState
from homeostat.retraining.run import Stage as RunStage
from homeostat.rollout.state import RolloutState
from homeostat.rollout.state import Stage as RolloutStage

COUNTED = 300.0
"""Seconds for which the alarms of a budget's period are not counted again."""
FIRED = "fire"
"""What the decision log calls an alarm."""


@dataclass
class Watched:
    """Reads where models stand from the records.

    Parameters
    ----------
    records : Records
    registry : Registry
    clock : Clock
    """

    records: Records
    registry: Registry
    clock: Clock
    _alarms: dict[str, tuple[float, int]] = field(default_factory=dict, init=False)
    _trained: dict[tuple[str, str], datetime] = field(default_factory=dict, init=False)

    def put(
        self, sheet: Sheet, plan: ModelPlan, uow: UnitOfWork, watch: Watch | None
    ) -> RolloutState:
        """Write down what is known of one model, and return where its rollout stands."""
        model = plan.spec.name
        rollout = uow.load(rollout_key(model), RolloutState) or RolloutState(model)
        run = uow.load(retraining_key(model), RunState) or RunState(model)
        sheet.put("homeostat_model", model, plan.spec.task, rollout.champion, number=1)
        sheet.put("homeostat_watched_features", model, number=len(plan.spec.schema.names))
        self._put_version(sheet, rollout, watch)
        _put_rollout(sheet, rollout)
        _put_run(sheet, run)
        _put_incidents(sheet, plan, uow)
        self._put_budget(sheet, plan)
        late = uow.load(late_key(model), LateMemory) or LateMemory()
        sheet.put("homeostat_late_rows", model, number=late.rows)
        sheet.put("homeostat_late_labels", model, number=late.labels + late.corrected)
        if watch is not None:
            put_verdicts(sheet, model, watch.latest, plan.spec.schema.names)
            _put_faults(sheet, model, watch)
        return rollout

    def _put_version(self, sheet: Sheet, rollout: RolloutState, watch: Watch | None) -> None:
        if not rollout.champion:
            return
        model, version = rollout.model, rollout.champion
        trained = self._trained_until(model, version)
        if trained is not None:
            at = trained.timestamp()
            sheet.put("homeostat_champion_trained_timestamp_seconds", model, version, number=at)
        since = rollout.promoted_at or (watch.since if watch else None)
        if since is not None:
            at = since.timestamp()
            sheet.put("homeostat_champion_since_timestamp_seconds", model, version, number=at)

    def _trained_until(self, model: str, version: str) -> datetime | None:
        """Return up to when a version knows the world; cards never change."""
        if (model, version) not in self._trained:
            try:
                card = self.registry.get(model, version)
            except NotFoundError:
                return None
            self._trained[model, version] = card.trained_until or card.created
        return self._trained[model, version]

    def _put_budget(self, sheet: Sheet, plan: ModelPlan) -> None:
        """Write down what the owner accepts, and the alarms of the newest period."""
        model, budget, moment = plan.spec.name, plan.performance.budget, self.clock.monotonic()
        counted = self._alarms.get(model)
        if counted is None or moment - counted[0] >= COUNTED:
            since = self.clock.now() - budget.period
            fired = sum(d.action == FIRED for d in self.records.decisions(model, since))
            self._alarms[model] = counted = (moment, fired)
        sheet.put("homeostat_alarms_accepted", model, number=budget.alarms)
        sheet.put("homeostat_alarms_fired", model, number=counted[1])


def _put_incidents(sheet: Sheet, plan: ModelPlan, uow: UnitOfWork) -> None:
    model, stages = plan.spec.name, Counter[IncidentStage]()
    for rule in plan.rules:
        found = uow.load(incident_key(model, rule.name), IncidentState)
        state = found or IncidentState(model, rule.name)
        severity = state.severity if state.open else rule.severity
        labels = (model, rule.name, severity)
        sheet.put("homeostat_incident_open", *labels, number=int(state.open))
        number = state.episode
        sheet.put("homeostat_incident_episodes", model, rule.name, number=number)
        stages[state.stage] += 1
    for stage in IncidentStage:
        sheet.put("homeostat_incidents", model, stage, number=stages[stage])


def put_verdicts(
    sheet: Sheet, model: str, latest: Iterable[Verdict], features: Sequence[str]
) -> None:
    """Write the newest verdicts down: by status, and the drift of each feature.

    Every monitor that has judged has a figure for every status, so that a rule on one of them never
    waits for a series to begin.
    """
    by_monitor: dict[Monitor, list[Verdict]] = {}
    for verdict in latest:
        by_monitor.setdefault(verdict.monitor, []).append(verdict)
    for monitor, verdicts in by_monitor.items():
        labels, statuses = (model, monitor), Counter(verdict.status for verdict in verdicts)
        for status in Status:
            sheet.put("homeostat_verdicts", *labels, status, number=statuses[status])
        rows = max(verdict.n_current for verdict in verdicts)
        end = max(verdict.window.end for verdict in verdicts).timestamp()
        sheet.put("homeostat_judged_rows", *labels, number=rows)
        sheet.put("homeostat_judged_timestamp_seconds", *labels, number=end)
        _put_largest(sheet, "homeostat_verdict_score_ratio", labels, map(effect, verdicts))
        _put_largest(sheet, "homeostat_verdict_evidence_ratio", labels, map(evidence, verdicts))
    drift = by_monitor.get(Monitor.DATA_DRIFT, [])
    whole = [v for v in drift if v.subject in set(features)]
    drifted = [v.subject for v in drift if v.status is Status.DRIFT and v.subject]
    over_all = sum(subject in set(features) for subject in drifted)
    sheet.put("homeostat_drifted_features", model, number=over_all)
    sheet.put("homeostat_drifted_segments", model, number=len(drifted) - over_all)
    for monitor, verdicts in (
        (Monitor.DATA_DRIFT, whole),
        (Monitor.PREDICTION_DRIFT, by_monitor.get(Monitor.PREDICTION_DRIFT, [])),
    ):
        _put_drift(sheet, model, monitor, verdicts)


def effect(verdict: Verdict) -> float:
    """Return the score over the effect from which the owner cares; NaN if there is neither."""
    return _over(verdict.score, verdict.effect_threshold)


def evidence(verdict: Verdict) -> float:
    """Return the evidence over that at which the alarm budget is spent."""
    return _over(verdict.evidence, verdict.evidence_threshold)


def _over(figure: float, threshold: float) -> float:
    return abs(figure) / abs(threshold) if threshold and not math.isnan(threshold) else math.nan


def _put_largest(
    sheet: Sheet, name: str, labels: tuple[str, str], figures: Iterable[float]
) -> None:
    known = [figure for figure in figures if not math.isnan(figure)]
    if known:
        sheet.put(name, *labels, number=max(known))


def _put_drift(sheet: Sheet, model: str, monitor: Monitor, verdicts: Sequence[Verdict]) -> None:
    """Write down the `MOST` features that have drifted or come closest, and the rest as one."""
    ordered = sorted(verdicts, key=_closeness, reverse=True)
    shown = {verdict.subject or OTHER: [verdict] for verdict in ordered[:MOST]}
    if ordered[MOST:]:
        shown[OTHER] = ordered[MOST:]
    for feature, mine in shown.items():
        for name, figures in (
            ("homeostat_drift_score_ratio", map(effect, mine)),
            ("homeostat_drift_evidence_ratio", map(evidence, mine)),
        ):
            known = [figure for figure in figures if not math.isnan(figure)]
            if known:
                sheet.put(name, model, monitor, feature, number=max(known))


def _closeness(verdict: Verdict) -> tuple[bool, float, str]:
    return verdict.status is Status.DRIFT, _known(evidence(verdict)), verdict.subject


def _known(figure: float) -> float:
    return -1.0 if math.isnan(figure) else figure


def _put_faults(sheet: Sheet, model: str, watch: Watch) -> None:
    sheet.put("homeostat_data_faults", model, number=len(watch.broken))
    for column in sorted(watch.broken)[:MOST]:
        sheet.put("homeostat_data_fault_open", model, column, number=1)


def _put_run(sheet: Sheet, run: RunState) -> None:
    sheet.put("homeostat_retraining_runs", run.model, number=run.number)
    _put_stage(sheet, "homeostat_retraining_stage", run.model, run.stage, RunStage)


def _put_rollout(sheet: Sheet, rollout: RolloutState) -> None:
    model = rollout.model
    _put_stage(sheet, "homeostat_rollout_stage", model, rollout.stage, RolloutStage)
    sheet.put("homeostat_rollout_weight_ratio", model, number=rollout.weight)
    if rollout.since is not None:
        since = rollout.since.timestamp()
        sheet.put("homeostat_rollout_since_timestamp_seconds", model, number=since)


def _put_stage(
    sheet: Sheet,
    name: str,
    model: str,
    here: RunStage | RolloutStage,
    stages: Iterable[RunStage | RolloutStage],
) -> None:
    for stage in stages:
        sheet.put(name, model, stage, number=int(stage is here))
