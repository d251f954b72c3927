"""One model, one tick: judge, diagnose, decide, and write it all into one unit of work."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

import numpy as np

from homeostat.alerting.episode import IncidentState
from homeostat.detectors.calibration.detector import CalibrationState
from homeostat.detectors.performance.detector import PerformanceState
from homeostat.diagnosis.diagnose import DiagnosisConfig, Symptoms, diagnose
from homeostat.domain.decision import Decision, Diagnosis
from homeostat.domain.errors import HomeostatError
from homeostat.domain.route import Route
from homeostat.domain.verdict import MetricPoint, Monitor, Verdict
from homeostat.engine.bandits import Dealer
from homeostat.engine.commands import Command, Request
from homeostat.engine.degraded import judge_degraded
from homeostat.engine.drift import judge_drift
from homeostat.engine.early import early_key, measure_early
from homeostat.engine.estimates import Estimates, estimates_key
from homeostat.engine.explanations import (
    ExplanationMemory,
    Explanations,
    explanation_key,
    unsound,
)
from homeostat.engine.guardrails import GuardrailMemory, held_by_guardrails, look_at_canary
from homeostat.engine.harm import Sight, guard
from homeostat.engine.hindsight import Hindsight
from homeostat.engine.importance import (
    ImportanceMemory,
    Importances,
    Measured,
    importance_key,
)
from homeostat.engine.incidents import alert, end
from homeostat.engine.inputs import (
    References,
    Seen,
    judge_quality,
    judge_service,
    judge_volume,
)
from homeostat.engine.late import LateMemory, late_key, look, noting
from homeostat.engine.maintenance import Retrained, Workshop, retrain
from homeostat.engine.mishaps import Bulkhead
from homeostat.engine.outcomes import Found, judge_losses, measure_windows, paired_evidence
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import Ports, UnitOfWork
from homeostat.engine.refine import note, refine
from homeostat.engine.restate import Restated, restate
from homeostat.engine.retire import retire
from homeostat.engine.rewind import rewind
from homeostat.engine.rollouts import Means, Rolled, advance, roll
from homeostat.engine.series import (
    SeriesMemory,
    judge_series,
    measure_value_windows,
    series_key,
)
from homeostat.engine.signals import Heard, hear
from homeostat.engine.signals_figures import Sources
from homeostat.engine.signals_served import Served
from homeostat.engine.watch import (
    DriftMemory,
    Fault,
    Pairing,
    Progress,
    Watch,
    baseline_key,
    drift_key,
    guardrails_key,
    retraining_key,
    rollout_key,
    watch_key,
)
from homeostat.retraining.run import RunState
from homeostat.retraining.run import Stage as RunStage
from homeostat.rollout.events import Submitted
from homeostat.rollout.state import RolloutState, route

AUTOMATIC = "homeostat"
ON_LABELS = frozenset({Monitor.PERFORMANCE, Monitor.CALIBRATION})
ABOUT_VERSION = ON_LABELS | {Monitor.PREDICTION_DRIFT}


@dataclass(frozen=True)
class Judged:
    """A watch after all monitors, and what they found."""

    watch: Watch
    verdicts: tuple[Verdict, ...]
    points: tuple[MetricPoint, ...]
    decisions: tuple[Decision, ...]
    withdrawn: tuple[MetricPoint, ...]
    served: Served | None


@dataclass(frozen=True)
class Turn:
    """What one tick of one model works with."""

    ports: Ports
    references: References
    plan: ModelPlan
    uow: UnitOfWork
    now: datetime
    rng: np.random.Generator
    bulkhead: Bulkhead = field(default_factory=Bulkhead)
    opened: list[IncidentState] = field(default_factory=list)
    waiting: list[Command] = field(default_factory=list)

    def run(self, watch: Watch, rollout: RolloutState, commands: tuple[Command, ...]) -> Route:
        """Take the turn and return the route that it asks for; nothing is kept if it raises."""
        stored, rolled = watch, Rolled(rollout)
        watch, rewound = rewind(self.plan, self.uow, watch, self.now)
        for_importance, for_estimates, for_rows, for_early = self.rng.spawn(4)
        judged = self._judge(
            self._follow_champion(watch, rolled.state), rolled.state, for_estimates
        )
        found, broken, noted = self._diagnose(judged.watch, rolled.state, for_rows)
        after = replace(judged.watch, diagnosis=found)
        champion = rolled.state.champion
        points = self._measure_importance(judged.watch, champion, for_importance)
        points = (*judged.points, *points)
        heard = self._hear(after, champion, points, judged.served)
        ended = end(self.plan, self.uow, heard.gone, self.now)
        alerted = alert(self.plan, self.uow, after.latest, found, commands, self.now, heard)
        self.opened.extend(state for state in alerted.states if state.open)
        memory = self._look_at_canary(after, rollout)
        sight = Sight(self.ports.log, self.ports.registry, memory)
        rolled = guard(self.plan, rolled, after, found, sight, self.now)
        learnable = unsound(self.plan, after, broken, self.now)
        rolled, retrained = self._retrain(learnable, rolled, commands)
        means = Means(self.ports.log, self.ports.scorer, self.ports.registry)
        held = held_by_guardrails(self.plan, memory)
        rolled = advance(self.plan, rolled, after, means, self.now, held)
        after = self._follow_champion(after, rolled.state)
        dealer = Dealer(self.plan, self.uow, self.ports.log, self.ports.registry, self.now)
        deal = partial(dealer.run, after, rolled.state.champion, commands)
        self.bulkhead.run("bandit", deal, None)
        self.uow.judge(*judged.verdicts)
        self.uow.withdraw(*judged.withdrawn)
        self.uow.measure(*points)
        self._measure_early(judged.watch, rolled.state.champion, for_early)
        self.uow.decide(*rewound, *judged.decisions, *noted, *ended.decisions, *alerted.decisions)
        self.uow.decide(*retrained.decisions, *rolled.decisions)
        self.uow.intend(*ended.effects, *alerted.effects, *retrained.effects)
        if after != stored:
            self.uow.save(watch_key(after.model), after)
        if rolled.state != rollout:
            self.uow.save(rollout_key(after.model), rolled.state)
        return route(rolled.state, self.now, after.broken)

    def _judge(self, watch: Watch, rollout: RolloutState, rng: np.random.Generator) -> Judged:
        plan, log, now = self.plan, self.ports.log, self.now
        baseline = self.references.baseline(watch.model, watch.reference)
        reference = self.references.fitted(plan, watch.reference)
        seen = Seen(log, plan.spec)
        quality, decisions = judge_quality(plan, seen, watch, reference, now)
        quality = _untainted(watch, quality)
        drift, doubts = self._judge_drift(quality.watch, rollout.champion)
        volume = judge_volume(plan, seen, drift.watch, reference, now)
        degraded = judge_degraded(plan, log, volume.watch, now)
        service = judge_service(plan, log, degraded.watch, now)
        parts = [retire(plan, watch, now), quality, drift, volume, degraded, service]
        if baseline is not None:
            hindsight = Hindsight(log, self.ports.scorer, self.ports.registry)
            watch = parts[-1].watch
            losses = partial(judge_losses, plan, log, watch, rollout, baseline, hindsight, now)
            parts.append(self.bulkhead.run("performance", losses, Found(watch)))
        parts.append(measure_windows(plan, log, parts[-1].watch, rollout, now))
        watch = parts[-1].watch
        estimate = partial(self._estimate, watch, rollout.champion, rng)
        parts.append(self.bulkhead.run("estimates", estimate, Found(watch)))
        points = tuple(point for part in parts for point in part.points)
        series = partial(self._judge_series, watch, rollout.champion, points)
        parts.append(self.bulkhead.run("series", series, Found(watch)))
        verdicts = tuple(verdict for part in parts for verdict in part.verdicts)
        points += parts[-1].points
        again = partial(self._restate, watch, rollout.champion)
        restated = self.bulkhead.run("restating metrics", again, Restated(watch))
        points += restated.points
        told = tuple(decision for part in parts for decision in part.decisions)
        decided = (*decisions, *doubts, *told, *restated.decisions)
        watch = restated.watch.noting(verdicts)
        return Judged(watch, verdicts, points, decided, restated.withdrawn, service.served)

    def _hear(
        self,
        watch: Watch,
        champion: str,
        points: tuple[MetricPoint, ...],
        served: Served | None,
    ) -> Heard:
        """Show the owner's alert rules what is new."""
        ports = self.ports
        baseline = self.references.baseline(watch.model, watch.reference)
        sources = Sources(ports.records, ports.registry, watch, champion, points, served, baseline)
        return hear(self.plan, self.uow, sources, self.now, self.bulkhead)

    def _restate(self, watch: Watch, champion: str) -> Restated:
        """Look for late rows and labels, and measure again what they changed."""
        plan, log, now, key = self.plan, self.ports.log, self.now, late_key(watch.model)
        before = self.uow.load(key, LateMemory) or LateMemory()
        memory, arrived = look(plan, log, before, watch.since, now)
        found = restate(plan, log, self.ports.records, watch, champion, now, arrived)
        memory = noting(memory, arrived, found.labels, found.corrected, now)
        if memory != before:
            self.uow.save(key, memory)
        return found

    def _look_at_canary(self, watch: Watch, rollout: RolloutState) -> GuardrailMemory:
        """Show a canary's answers to its guardrails."""
        key, ports = guardrails_key(watch.model), self.ports
        before = self.uow.load(key, GuardrailMemory) or GuardrailMemory()
        published = None
        if rollout.weight:
            with suppress(HomeostatError):  # then nobody knows what gateways obeyed
                published = ports.routes.current(watch.model)
        memory = look_at_canary(self.plan, ports.log, watch, rollout, before, published, self.now)
        if memory != before:
            self.uow.save(key, memory)
        return memory

    def _judge_drift(self, watch: Watch, champion: str) -> tuple[Found, tuple[Decision, ...]]:
        """Judge drift; its evidence is large and changes once a window, so it has its own key."""
        key = drift_key(watch.model)
        memory = self.uow.load(key, DriftMemory) or DriftMemory()
        fixed = self.references.drift(self.plan, self.ports.log, watch, self.now)
        judged = judge_drift(self.plan, self.ports.log, watch, memory, fixed, champion, self.now)
        if judged.memory != memory:
            self.uow.save(key, judged.memory)
        return judged.found, judged.decisions

    def _judge_series(self, watch: Watch, champion: str, points: tuple[MetricPoint, ...]) -> Found:
        """Measure business value, and judge all series that have a threshold."""
        plan = self.plan
        if not plan.business and not plan.thresholds:
            return Found(watch)
        key = series_key(watch.model)
        before = self.uow.load(key, SeriesMemory) or SeriesMemory()
        faults = tuple(fault.window(self.now) for fault in watch.faults)
        memory, values = measure_value_windows(
            plan, self.ports.log, before, watch.since, faults, self.now
        )
        memory, verdicts = judge_series(
            plan, self.ports.records, memory, champion, (*points, *values)
        )
        if memory != before:
            self.uow.save(key, memory)
        return Found(watch, verdicts, values)

    def _estimate(self, watch: Watch, champion: str, rng: np.random.Generator) -> Found:
        """Estimate what has no labels yet."""
        if self.plan.estimation is None:
            return Found(watch)
        key = estimates_key(watch.model)
        before = self.uow.load(key, Progress) or Progress()
        estimates = Estimates(self.ports.log, self.ports.registry)
        found = estimates.estimate(self.plan, before, champion, watch, self.now, rng)
        if found.memory != before:
            self.uow.save(key, found.memory)
        return Found(watch, points=found.points)

    def _measure_early(self, watch: Watch, champion: str, rng: np.random.Generator) -> None:
        """Measure windows whose labels are not complete; nothing is judged by that."""
        if self.plan.early is None:
            return
        key = early_key(watch.model)
        before = self.uow.load(key, Progress) or Progress()
        found = measure_early(self.plan, self.ports.log, before, champion, watch, self.now, rng)
        if found.memory != before:
            self.uow.save(key, found.memory)
            self.uow.measure(*found.points)

    def _measure_importance(
        self, watch: Watch, champion: str, rng: np.random.Generator
    ) -> tuple[MetricPoint, ...]:
        if self.plan.importance is None:
            return ()
        key, ports = importance_key(watch.model), self.ports
        before = self.uow.load(key, ImportanceMemory) or ImportanceMemory()
        importances = Importances(ports.log, ports.scorer, ports.registry)
        measure = partial(importances.measure, self.plan, before, champion, watch, self.now, rng)
        found = self.bulkhead.run("importance", measure, Measured(before))
        if found.memory != before:
            self.uow.save(key, found.memory)
        if found.problem:
            text = f"importance of columns not measured: {found.problem}"
            self.uow.decide(
                Decision(watch.model, self.now, AUTOMATIC, "skip_importance", champion, text)
            )
        return found.points

    def _diagnose(
        self, watch: Watch, rollout: RolloutState, rng: np.random.Generator
    ) -> tuple[Diagnosis | None, tuple[Fault, ...], tuple[Decision, ...]]:
        """Name the cause by verdicts, and by rows; say which rows are not to be learnt from."""
        age = self.now - rollout.promoted_at if rollout.promoted_at else None
        previous = rollout.previous if rollout.on_probation(self.now) else ""
        symptoms = Symptoms(
            verdicts=watch.latest,
            champion=rollout.champion,
            version_age=age,
            previous=previous,
            previous_better_e=paired_evidence(watch.warm).better_e,
        )
        found = diagnose(symptoms, DiagnosisConfig(young=self.plan.rollout.probation))
        before = memory = ExplanationMemory()
        if self.plan.diagnosis is not None:
            key = explanation_key(watch.model)
            before = self.uow.load(key, ExplanationMemory) or before
            explanations = Explanations(self.ports.log, self.ports.registry)
            look = partial(
                explanations.look, self.plan, before, rollout.champion, watch, found, self.now, rng
            )
            memory = self.bulkhead.run("explanations", look, before)
            if memory != before:
                self.uow.save(key, memory)
        told = refine(found, memory.explanation)
        noted = note(
            watch.model,
            self.now,
            (watch.diagnosis, told),
            (before.explanation, memory.explanation),
        )
        return told, memory.faults, noted

    def _retrain(
        self, watch: Watch, rolled: Rolled, commands: tuple[Command, ...]
    ) -> tuple[Rolled, Retrained]:
        name = self.plan.spec.name
        before = self.uow.load(retraining_key(name), RunState) or RunState(name)
        ports = self.ports
        workshop = Workshop(
            ports.records, ports.log, ports.registry, ports.scorer, ports.trainers.get(name),
            ports.stopwatch,
        )  # fmt: skip
        step = partial(
            retrain, self.plan, workshop, before, watch, rolled.state, commands, self.now, self.rng
        )
        found = self.bulkhead.run("retraining", step, None)
        if found is None:
            self.waiting.extend(c for c in commands if c.request is Request.RETRAIN)
            return rolled, Retrained(before)
        if found.state != before:
            self.uow.save(retraining_key(name), found.state)
        if found.baseline is not None:
            self.uow.save(baseline_key(name, found.baseline.version), found.baseline)
        if found.state.stage is RunStage.ACCEPTED and before.stage is not RunStage.ACCEPTED:
            event = Submitted(found.state.candidate, found.state.reason)
            rolled = roll(self.plan, rolled, event, self.now)
        return rolled, found

    def _follow_champion(self, watch: Watch, rollout: RolloutState) -> Watch:
        """Drop the evidence about a champion that no longer serves and take up the new one's."""
        if watch.reference != rollout.champion and self.references.baseline(
            watch.model, rollout.champion
        ):
            watch = replace(watch, reference=rollout.champion)
        if watch.loss.version in {"", rollout.champion}:
            return watch
        kept = tuple(v for v in watch.latest if v.monitor not in ABOUT_VERSION)
        return replace(
            watch,
            loss=PerformanceState(version=rollout.champion),
            calibration=CalibrationState(),
            drop_since=None,
            drops=0,
            latest=kept,
        )


def _untainted(before: Watch, found: Found) -> Found:
    """Drop the evidence on performance that rows of a fault just found may have spoilt."""
    after = found.watch
    new = set(after.open_faults) - set(before.open_faults)
    if not any(fault.start < before.loss_until for fault in new):
        return found
    kept = tuple(v for v in after.latest if v.monitor not in ON_LABELS)
    clean = replace(
        after,
        loss=PerformanceState(version=after.loss.version),
        calibration=CalibrationState(),
        challenger=Pairing(),
        warm=Pairing(),
        drop_since=None,
        drops=0,
        latest=kept,
    )
    return replace(found, watch=clean)
