"""Runs experiments: starts and ends them, looks at them at each tick, does what that shows."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from homeostat.domain.decision import Decision as Entry
from homeostat.domain.errors import ConflictError, DataError, NotFoundError
from homeostat.domain.model import ModelSpec
from homeostat.domain.window import floor
from homeostat.engine.arms import arms_key, publish_arms, standing, withdraw_arms
from homeostat.engine.commands import Command, Inbox, Request, inbox_key
from homeostat.engine.experiments_ledger import Keeper, Ledger, frequent, of_segments
from homeostat.engine.ports import Ports, Records, Registry, UnitOfWork
from homeostat.engine.watch import rollout_key
from homeostat.rollout.experiment.analyse import analyse
from homeostat.rollout.experiment.life import (
    AUTOMATIC,
    ExperimentState,
    Stage,
    Stepped,
    look_early,
    step,
    stop,
)
from homeostat.rollout.experiment.plan import ExperimentPlan
from homeostat.rollout.experiment.report import Report
from homeostat.rollout.state import RolloutState

CHAMPION = "champion"
"""Stands for the version that serves when the experiment begins."""
MOST_KEPT = 50
MOST_SEGMENTS = 20


@dataclass(frozen=True, slots=True)
class Experiments:
    """All experiments of a model, oldest first; one of them, the last, may be open."""

    states: tuple[ExperimentState, ...] = ()

    @property
    def open(self) -> ExperimentState | None:
        """The one that has arms."""
        last = self.states[-1:]
        return last[0] if last and last[0].open else None

    def named(self, name: str) -> ExperimentState | None:
        """Return the newest of that name."""
        found = [state for state in self.states if state.plan.name == name]
        return found[-1] if found else None

    def having(self, state: ExperimentState) -> Experiments:
        """Return them with another last one."""
        return Experiments((*self.states[:-1], state))


def experiments_key(model: str) -> str:
    """Return the state key of a model's experiments."""
    return f"experiments:{model}"


def ledger_key(model: str, name: str) -> str:
    """Return the state key of what an experiment has measured."""
    return f"measured:{model}:{name}"


def experiments_of(records: Records, model: str) -> Experiments:
    """Return what is on record of a model's experiments."""
    return records.read(experiments_key(model), Experiments) or Experiments()


def report_of(records: Records, state: ExperimentState) -> Report:
    """Return what an experiment's tallies say now."""
    plan = state.plan
    ledger = records.read(ledger_key(plan.model, plan.name), Ledger) or Ledger()
    return _report(plan, ledger)


def _report(plan: ExperimentPlan, ledger: Ledger) -> Report:
    whole, segments = of_segments(ledger.due(plan), plan.design.arms)
    return analyse(plan.design, whole, frequent(segments, MOST_SEGMENTS))


def start(
    records: Records,
    registry: Registry,
    plan: ExperimentPlan,
    actor: str,
    now: datetime,
    reason: str = "",
) -> ExperimentState:
    """Begin an experiment: from the engine's next tick on its arms are published.

    Parameters
    ----------
    records : Records
    registry : Registry
        Has the versions.
    plan : ExperimentPlan
        An arm may be `CHAMPION`.
    actor : str
    now : datetime
    reason : str

    Raises
    ------
    DataError
        If another experiment or somebody else has the arms, or an arm is named twice.
    NotFoundError
        If nothing serves yet, or a version is not registered.
    ArtifactError
        If a version's artifact is not what was registered.
    """
    model = plan.model
    with records.begin() as uow:
        ledger = ledger_key(model, plan.name)
        uow.prepare((experiments_key(model), rollout_key(model), arms_key(model), ledger))
        known = uow.load(experiments_key(model), Experiments) or Experiments()
        running = known.open
        if running is not None:
            raise DataError(
                f"the experiment {running.plan.name} of {model} is {running.stage}; one at a time:"
                f" homeostat experiment stop {running.plan.name}"
            )
        rollout = uow.load(rollout_key(model), RolloutState)
        if rollout is None or not rollout.champion:
            raise NotFoundError(f"{model} has no champion yet: homeostat adopt HISTORY makes one")
        plan = _resolved(plan, rollout.champion)
        for version in plan.design.arms:
            registry.path(model, version)
        told = reason or f"{', '.join(plan.design.arms)} by {plan.traffic:.0%} of the traffic"
        state = ExperimentState(plan, Stage.RUNNING, actor, now, told)
        _publish(uow, state, actor, now)
        kept = tuple(each for each in known.states if each.plan.name != plan.name)
        uow.save(experiments_key(model), Experiments((*kept, state)[-MOST_KEPT:]))
        uow.load(ledger, Ledger)
        uow.save(ledger, Ledger())
        uow.decide(Entry(model, now, actor, "start_experiment", plan.name, told))
    return state


def _resolved(plan: ExperimentPlan, champion: str) -> ExperimentPlan:
    arms = tuple(champion if arm == CHAMPION else arm for arm in plan.design.arms)
    if len(set(arms)) < len(arms):
        raise DataError(
            f"{plan.name} has {champion} twice, which is the champion: name another version"
        )
    return replace(plan, design=replace(plan.design, arms=arms))


def end(
    records: Records,
    model: str,
    name: str,
    actor: str,
    now: datetime,
    reason: str = "",
    *,
    promote: bool = False,
) -> ExperimentState:
    """End an experiment by hand, and with `promote` submit the version that waits to the rollout.

    Raises
    ------
    NotFoundError
        If it is not open.
    DataError
        If nothing waits to be promoted.
    """
    with records.begin() as uow:
        uow.prepare((experiments_key(model), inbox_key(model), arms_key(model)))
        known = uow.load(experiments_key(model), Experiments) or Experiments()
        state = known.open
        if state is None or state.plan.name != name:
            raise NotFoundError(f"{model} has no running experiment {name!r}")
        if promote and state.stage is not Stage.WAITING:
            raise DataError(f"{name} has no version to ship: {state.reason or 'nothing is shown'}")
        why = reason or ("the winner is rolled out" if promote else "stopped by hand")
        found = stop(state, actor, why, now)
        _commit(uow, known, replace(found, submit=state.winner if promote else ""), actor, now)
    return found.state


def owner_of(name: str) -> str:
    """Return under which name the arms of an experiment are published."""
    return f"experiment:{name}"


def _publish(uow: UnitOfWork, state: ExperimentState, actor: str, now: datetime) -> None:
    plan, owner = state.plan, owner_of(state.plan.name)
    publish_arms(
        uow, plan.model, plan.shares, owner=owner, actor=actor, reason=state.reason, now=now,
        experiment=f"{owner}@{state.started.isoformat()}",  # dealt out anew if it is run again
    )  # fmt: skip


def _commit(uow: UnitOfWork, known: Experiments, found: Stepped, actor: str, now: datetime) -> None:
    """Write down what became of the open experiment, and pass its arms on."""
    state, before = found.state, known.open
    model = state.plan.model
    uow.save(experiments_key(model), known.having(state))
    uow.decide(*found.entries)
    if not state.open:
        why, owner = state.reason, owner_of(state.plan.name)
        withdraw_arms(uow, model, actor=actor, reason=why, now=now, owner=owner)
    elif before is not None and before.plan.shares != state.plan.shares:
        _publish(uow, state, actor, now)
    if found.submit:
        inbox = uow.load(inbox_key(model), Inbox) or Inbox()
        why = f"won the experiment {state.plan.name}: {state.reason}"
        command = Command(Request.SUBMIT, model, actor, found.submit, why, now)
        uow.save(inbox_key(model), Inbox((*inbox.commands, command)))


@dataclass(frozen=True)
class Laboratory:
    """Looks after the open experiment of each model."""

    ports: Ports

    def tend(self, spec: ModelSpec, now: datetime) -> None:
        """Look at a model's open experiment, if there is one and its time has come.

        Raises
        ------
        HomeostatError
            If the log or the records cannot be read; the next tick tries again.
        """
        with suppress(ConflictError):  # somebody stopped it at this moment
            self._tend(spec, now)

    def _tend(self, spec: ModelSpec, now: datetime) -> None:
        model, records = spec.name, self.ports.records
        state = experiments_of(records, model).open
        if state is None:
            return
        begin = floor(now, state.plan.every)
        due = state.looked is None or begin > state.looked
        with records.begin() as uow:
            ledger = ledger_key(model, state.plan.name)
            keys = (experiments_key(model), ledger, rollout_key(model), arms_key(model))
            uow.prepare((*keys, inbox_key(model)))
            known = uow.load(experiments_key(model), Experiments) or Experiments()
            state = known.open
            if state is None:
                return
            found = self._withdrawn(uow, state, now)
            if found is None and due:
                found = self._look(uow, spec, replace(state, looked=begin), now)
            if found is not None:
                _commit(uow, known, found, AUTOMATIC, now)

    def _withdrawn(self, uow: UnitOfWork, state: ExperimentState, now: datetime) -> Stepped | None:
        """End it if what it compares is not what serves any more."""
        plan = state.plan
        rollout = uow.load(rollout_key(plan.model), RolloutState)
        bad = [arm for arm in plan.design.arms if rollout is not None and arm in rollout.aborted]
        why = ""
        if bad:
            why = f"version {bad[0]} was aborted or rolled back"
        elif (arms := standing(uow, plan.model)).owner != owner_of(plan.name):
            why = f"its arms were withdrawn: {arms.reason or 'others were published'}"
        return stop(state, AUTOMATIC, why, now) if why else None

    def _look(
        self, uow: UnitOfWork, spec: ModelSpec, state: ExperimentState, now: datetime
    ) -> Stepped:
        plan = state.plan
        before = uow.load(ledger_key(plan.model, plan.name), Ledger) or Ledger()
        ledger = Keeper(plan, self.ports.log, spec, now).update(before, state.started)
        if ledger != before:
            uow.save(ledger_key(plan.model, plan.name), ledger)
        met, _ = of_segments(ledger.met(), plan.design.arms)
        return step(state, _report(plan, ledger), look_early(plan, met), now)
