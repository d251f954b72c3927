"""Steps a model's retraining: triggers, guards, training, evaluation gate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.domain.decision import Decision
from homeostat.domain.effect import Effect, StartTraining
from homeostat.domain.errors import HomeostatError, StorageError
from homeostat.domain.manifest import TrainingManifest, manifest_key
from homeostat.domain.model import ModelVersion
from homeostat.engine.act import LONGEST_LIFE
from homeostat.engine.cohort import MATURED
from homeostat.engine.commands import Command, Request
from homeostat.engine.facts import gather, since_onset
from homeostat.engine.hindsight import unseen
from homeostat.engine.mishaps import MISHAPS, located
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import PredictionLog, Records, Registry, Scorer, Trainer, Training
from homeostat.engine.refit import Refit, card_of
from homeostat.engine.training import (
    baseline_of,
    labelled_rows,
    one_each,
    reference_of,
    score_floats,
    volumes_of,
)
from homeostat.engine.trial import Trial, value_columns
from homeostat.engine.watch import Baseline, Watch
from homeostat.retraining import run
from homeostat.retraining.planning import plan as plan_run
from homeostat.retraining.policy import (
    Facts,
    Guard,
    Outcome,
    RetrainingPolicy,
    Trigger,
    TriggerKind,
    guards,
    triggers,
)
from homeostat.retraining.run import RunState, Stage, step
from homeostat.rollout.state import RolloutState

Floats = NDArray[np.float64]
OVERTAKES = frozenset({TriggerKind.MANUAL, TriggerKind.SCHEDULE})


@dataclass(frozen=True, slots=True)
class Workshop:
    """The ports that retraining needs."""

    records: Records
    log: PredictionLog
    registry: Registry
    scorer: Scorer
    trainer: Trainer | None
    stopwatch: Callable[[], float] | None = None


@dataclass(frozen=True, slots=True)
class Retrained:
    """A run after this tick, what follows from it, and the baseline of an accepted candidate."""

    state: RunState
    effects: tuple[Effect, ...] = ()
    decisions: tuple[Decision, ...] = ()
    baseline: Baseline | None = None

    def then(self, event: run.Event, now: datetime) -> Retrained:
        """Step once."""
        state, effects, decisions = step(self.state, event, now)
        return replace(
            self,
            state=state,
            effects=(*self.effects, *effects),
            decisions=(*self.decisions, *decisions),
        )


def retrain(
    plan: ModelPlan,
    workshop: Workshop,
    state: RunState,
    watch: Watch,
    rollout: RolloutState,
    commands: tuple[Command, ...],
    now: datetime,
    rng: np.random.Generator,
) -> Retrained:
    """Move the model's newest run on as far as it goes in this tick."""
    policy = plan.retraining
    if policy is None or workshop.trainer is None:
        text = f"{plan.spec.name} has no retraining configured"
        asked = (c for c in commands if c.request is Request.RETRAIN)
        refused = (Decision(plan.spec.name, now, c.actor, "refuse", "", text) for c in asked)
        return Retrained(state, decisions=tuple(refused))
    facts = gather(
        plan, policy, workshop.records, workshop.registry, state, watch, rollout, commands, now
    )
    found = _request(
        policy, Retrained(state, decisions=_further(commands, now)), facts, watch, commands, now
    )
    found = _clear(policy, found, facts, watch, rollout, plan, now)
    if found.state.stage is Stage.TRAINING:
        found = _follow(policy, workshop, workshop.trainer, found, watch, now)
    if found.state.stage is Stage.EVALUATING:
        found = _judge(plan, policy, workshop, found, rollout, rng, now)
    if found.state.stage is Stage.REFITTING:
        found = _follow_refit(plan, policy, workshop, workshop.trainer, found, watch, now)
    return found


def _further(commands: tuple[Command, ...], now: datetime) -> tuple[Decision, ...]:
    """Answer all but the first of those who ask at the same time."""
    asked = [c for c in commands if c.request is Request.RETRAIN]
    return tuple(
        Decision(c.model, now, c.actor, "refuse", "", f"{asked[0].actor} asked at the same time")
        for c in asked[1:]
    )


def _request(
    policy: RetrainingPolicy,
    found: Retrained,
    facts: Facts,
    watch: Watch,
    commands: tuple[Command, ...],
    now: datetime,
) -> Retrained:
    asked = triggers(policy, facts)
    if found.state.stage is Stage.GUARDED:
        hurry = _paced(policy, found.state, facts)
        may = OVERTAKES | {TriggerKind.EMERGENCY} if hurry else OVERTAKES
        asked = tuple(trigger for trigger in asked if trigger.kind in may)
    if not asked:
        return replace(found, state=replace(found.state, put_off=""))
    trigger = asked[0]
    if not _may_ask(policy, found.state, trigger, facts):
        by_hand = trigger.kind is TriggerKind.MANUAL
        return _declined(found, facts, now) if by_hand else _put_off(policy, found, trigger, facts)
    if _too_soon(policy, found.state, trigger, now):
        return _put_off(policy, found, trigger, facts)
    asker = next((c.actor for c in commands if c.request is Request.RETRAIN), "homeostat")
    actor = asker if trigger.kind is TriggerKind.MANUAL else "homeostat"
    # A scheduled run claims no change of the world, so it need not wait for labels from after it.
    onset = None if trigger.kind is TriggerKind.SCHEDULE else watch.drop_since
    return found.then(run.Requested(trigger, onset, actor), now)


def _declined(found: Retrained, facts: Facts, now: datetime) -> Retrained:
    """Tell a person that a run is under way already."""
    state = found.state
    text = f"{state.run_id} is {state.stage} already"
    refusal = Decision(state.model, now, facts.requested_by, "refuse", state.run_id, text)
    return replace(found, decisions=(*found.decisions, refusal))


def _put_off(
    policy: RetrainingPolicy, found: Retrained, trigger: Trigger, facts: Facts
) -> Retrained:
    """Say once why what is due is not asked for yet; a run under way says so itself."""
    state = found.state
    why = f"{facts.rolling_out} is under rollout" if facts.rolling_out else ""
    if not why and state.resting:
        why = f"cooldown until {max(state.starts) + policy.cooldown:%Y-%m-%d %H:%M}"
    said = f"{trigger.kind}: {why}" if why else ""
    if not said or said == state.put_off:
        return found
    text = f"{trigger.reason}; not now: {why}"
    decision = Decision(state.model, facts.now, run.AUTOMATIC, "postpone_retraining", "", text)
    return replace(
        found,
        state=replace(state, put_off=said),
        decisions=(*found.decisions, decision),
    )


def _may_ask(policy: RetrainingPolicy, state: RunState, trigger: Trigger, facts: Facts) -> bool:
    """Whether a run may begin: while a challenger rolls out its promotion may be the remedy.

    A person may also take over a run that waits, so that it waits no longer for the cooldown, an
    emergency one that waits for cooldown or budget, and the schedule one that has waited a whole
    period for the labels of a changed world.
    """
    waits = state.stage is Stage.GUARDED
    if trigger.kind is TriggerKind.MANUAL:
        return state.resting or waits
    if trigger.kind is TriggerKind.EMERGENCY:
        return (state.resting or waits) and not facts.rolling_out
    period, since = policy.schedule, state.requested_at
    late = period is not None and since is not None and facts.now - since >= period
    owned = state.trigger is not None and state.trigger.kind in OVERTAKES
    overtakes = waits and late and not owned
    return (state.resting or overtakes) and not facts.rolling_out


def _paced(policy: RetrainingPolicy, state: RunState, facts: Facts) -> bool:
    """Whether a run waits for cooldown or budget, which those in a hurry need not."""
    kind = TriggerKind.PERFORMANCE if state.trigger is None else state.trigger.kind
    objections = guards(policy, facts, kind).objections
    return any(guard in {Guard.COOLDOWN, Guard.BUDGET} for guard, _ in objections)


def _too_soon(policy: RetrainingPolicy, state: RunState, trigger: Trigger, now: datetime) -> bool:
    """Whether the last training is too recent; an emergency waits only for another emergency's."""
    if trigger.kind is TriggerKind.MANUAL or not state.starts:
        return False
    again = state.trigger is not None and state.trigger.kind is TriggerKind.EMERGENCY
    if trigger.kind is TriggerKind.EMERGENCY and not again:
        return False
    return now - max(state.starts) < policy.cooldown


def _clear(
    policy: RetrainingPolicy,
    found: Retrained,
    facts: Facts,
    watch: Watch,
    rollout: RolloutState,
    plan: ModelPlan,
    now: datetime,
) -> Retrained:
    """Ask the guards about a run that has not begun to train."""
    state = found.state
    if state.stage not in {Stage.REQUESTED, Stage.GUARDED} or state.trigger is None:
        return found
    facts = since_onset(plan, facts, state, watch, now)
    result = guards(policy, facts, state.trigger.kind)
    if result.outcome is not Outcome.OK:
        return found.then(run.Guarded(result), now)
    matured_until = min(now - plan.spec.labels.maturity, dict(watch.metrics_until)[MATURED])
    faults = tuple(fault.window(now) for fault in watch.faults)
    planned = plan_run(policy, rollout.champion, matured_until, now, faults, state.onset)
    known = {
        fault.window(now): f"{fault.column}: {fault.reason or 'data fault'}"
        for fault in watch.faults
    }
    planned = replace(planned, reasons=tuple(known[window] for window in planned.excluded))
    return found.then(run.Guarded(result, planned), now)


def _follow(
    policy: RetrainingPolicy,
    workshop: Workshop,
    trainer: Trainer,
    found: Retrained,
    watch: Watch,
    now: datetime,
) -> Retrained:
    state = found.state
    tainted = run.tainted(state, tuple(fault.window(now) for fault in watch.faults))
    if tainted is not None:
        text = f"a data fault found meanwhile covers part of its data ({tainted})"
        return found.then(run.Cancel(text), now)
    if state.started_at is None or state.started_at >= now:
        return found
    if _begins(workshop.records, state.run_id, now):
        return _overdue(policy, found, "not begun", now)
    training = trainer.poll(state.model, state.run_id)
    if not training.done:
        found = replace(found, state=replace(state, progress=training.progress))
        return _overdue(policy, found, "still training", now)
    if training.problem or training.artifact is None or state.plan is None:
        return found.then(run.TrainingFailed(training.problem or "no artifact"), now)
    card = card_of(state, training, _manifest(workshop, state), now)
    return found.then(_registered(workshop.registry, card, training.artifact), now)


def _manifest(workshop: Workshop, state: RunState) -> TrainingManifest | None:
    return workshop.records.read(manifest_key(state.model, state.training_id), TrainingManifest)


def _registered(registry: Registry, card: ModelVersion, artifact: Path) -> run.Event:
    """Register a candidate; the same again if that was done and the answer lost.

    Raises
    ------
    StorageError
        If the registry is away: it is tried again at the next tick.
    """
    try:
        registered = registry.register(card, artifact)
    except StorageError:
        raise
    except HomeostatError as error:
        return run.TrainingFailed(f"cannot be registered: {error}")
    return run.TrainingDone(registered.version)


def _begins(records: Records, run_id: str, now: datetime) -> bool:
    """Whether the trainer was not told of the run yet: it would take it for a lost one."""
    waiting = (pending.effect for pending in records.pending(now + LONGEST_LIFE))
    return any(isinstance(one, StartTraining) and one.run_id == run_id for one in waiting)


def _overdue(policy: RetrainingPolicy, found: Retrained, what: str, now: datetime) -> Retrained:
    late = run.overdue(found.state, policy, now)
    return found.then(run.Cancel(f"{what} after {policy.timeout}"), now) if late else found


def _judge(
    plan: ModelPlan,
    policy: RetrainingPolicy,
    workshop: Workshop,
    found: Retrained,
    rollout: RolloutState,
    rng: np.random.Generator,
    now: datetime,
) -> Retrained:
    """Let champion and candidate score the hold-out, and remember what the candidate did there."""
    state, spec = found.state, plan.spec
    if state.plan is None:
        return found.then(run.TrainingFailed("the run has no plan"), now)
    window, excluded = state.plan.holdout, state.plan.excluded
    outcomes = value_columns(plan)
    rows = labelled_rows(workshop.log, spec, window, state.plan.as_of, excluded, outcomes)
    try:
        # A champion that has trained on these rows would seem better than it is.
        old = unseen(workshop.registry, spec.name, rollout.champion, window.start)
        old = old or rollout.champion
        trial = Trial(
            plan, policy.gate, workshop.scorer, workshop.registry, old, state.candidate, rows, rng,
            workshop.stopwatch, policy.expected,
        )  # fmt: skip
        champion = score_floats(workshop.scorer, spec, old, rows)
        candidate = score_floats(workshop.scorer, spec, state.candidate, rows)
        result = trial.judge(champion, candidate)
    except StorageError:
        raise  # log or registry is away: the same again at the next tick
    except HomeostatError as error:
        return found.then(run.TrainingFailed(f"cannot score the hold-out: {error}"), now)
    except MISHAPS as error:  # the same at each tick: the run would never end
        return found.then(run.TrainingFailed(f"cannot be judged: {located(error)}"), now)
    again = state.plan.refit is not None
    found = found.then(run.Evaluated(result, again), now)
    if again or not result.accepted:
        return found
    return _settle(plan, workshop, found, rows, candidate)


def _settle(
    plan: ModelPlan, workshop: Workshop, found: Retrained, rows: pa.Table, scores: Floats
) -> Retrained:
    """Remember what the accepted version, or the one judged in its place, did on the hold-out."""
    state, spec, planned = found.state, plan.spec, found.state.plan
    assert planned is not None  # there is a hold-out
    history = labelled_rows(
        workshop.log, spec, planned.training, planned.as_of, planned.excluded
    ).select(["timestamp", *spec.schema.names])
    trained = reference_of(plan, history, None, None)
    held_out = reference_of(plan, rows, scores, planned.holdout.start)
    reference = one_each((*trained, *held_out))
    workshop.records.save_reference(spec.name, state.candidate, reference)
    volumes = volumes_of(history, plan.volume.every, planned.excluded)
    return replace(found, baseline=baseline_of(plan, state.candidate, rows, scores, volumes))


def _follow_refit(
    plan: ModelPlan,
    policy: RetrainingPolicy,
    workshop: Workshop,
    trainer: Trainer,
    found: Retrained,
    watch: Watch,
    now: datetime,
) -> Retrained:
    """Wait for the refit; what serves has the record of the candidate that was judged."""
    state, spec, planned = found.state, plan.spec, found.state.plan
    if planned is None or state.started_at is None or state.started_at >= now:
        return found
    fault = run.tainted(state, tuple(each.window(now) for each in watch.faults))
    begins = _begins(workshop.records, state.training_id, now)
    training = Training(False) if begins else trainer.poll(state.model, state.training_id)
    outcomes = value_columns(plan)
    rows = labelled_rows(
        workshop.log, spec, planned.holdout, planned.as_of, planned.excluded, outcomes
    )
    try:
        scores = score_floats(workshop.scorer, spec, state.candidate, rows)
    except StorageError:
        raise
    except HomeostatError as error:
        return found.then(run.Cancel(f"cannot score the hold-out: {error}"), now)
    refit = Refit(
        plan, policy, workshop.log, workshop.scorer, workshop.registry, _manifest(workshop, state)
    )
    outcome = refit.outcome(state, training, fault, rows, scores, now)
    if outcome is None:
        return found
    return _settle(plan, workshop, found.then(outcome, now), rows, scores)
