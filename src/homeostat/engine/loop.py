"""The engine: observe, judge, decide, act. One `tick` drives live, backtest and simulation."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from homeostat.alerting.episode import IncidentState
from homeostat.alerting.notices import retold
from homeostat.domain.errors import ConflictError, HomeostatError
from homeostat.domain.model import ModelSpec
from homeostat.domain.route import Route
from homeostat.engine.act import TRAINING, Dispatcher
from homeostat.engine.aliases import mirror
from homeostat.engine.arms import arms_key, follow, laid_over
from homeostat.engine.bandit_state import bandit_key
from homeostat.engine.commands import Inbox, inbox_key
from homeostat.engine.early import early_key
from homeostat.engine.estimates import estimates_key
from homeostat.engine.experiments import Laboratory
from homeostat.engine.explanations import explanation_key
from homeostat.engine.importance import importance_key
from homeostat.engine.inputs import References
from homeostat.engine.late import late_key
from homeostat.engine.manifests import Manifests
from homeostat.engine.mishaps import located
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import Ports
from homeostat.engine.prompt import FOR_THE_TURN, obey_commands, publish
from homeostat.engine.removed import end_removed, removed
from homeostat.engine.series import series_key
from homeostat.engine.silencing import SILENCES
from homeostat.engine.training import TrainingRows
from homeostat.engine.turn import Turn
from homeostat.engine.unreached import unreached_key
from homeostat.engine.watch import (
    Watch,
    drift_key,
    guardrails_key,
    incident_key,
    retraining_key,
    rollout_key,
    rules_key,
    tallies_key,
    watch_key,
)
from homeostat.rollout.state import RolloutState


@dataclass
class Engine:
    """Keeps a set of models healthy.

    Everything that matters is in the records; the engine itself can be thrown away and made anew
    between any two ticks.

    Parameters
    ----------
    ports : Ports
    plans : mapping of model name to ModelPlan
    seed : int
        Of the generators for bootstrap intervals; one for each model and tick.
    """

    ports: Ports
    plans: Mapping[str, ModelPlan]
    seed: int = 0
    _references: References = field(init=False)
    _dispatcher: Dispatcher = field(init=False)
    _laboratory: Laboratory = field(init=False)
    _left: dict[str, tuple[str, ...]] | None = field(default=None, init=False)
    _open: dict[str, tuple[IncidentState, ...]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        specs: dict[str, ModelSpec] = {name: plan.spec for name, plan in self.plans.items()}
        self._references = References(self.ports.records)
        self._laboratory = Laboratory(self.ports)
        self._dispatcher = Dispatcher(
            self.ports.records,
            self.ports.notifiers,
            self.ports.trainers,
            specs,
            TrainingRows(self.ports.log, self.ports.scorer),
            self.ports.manners,
            Manifests(self.ports.records, self.ports.log),
        )

    def tick(self, now: datetime) -> tuple[str, ...]:
        """Observe, judge, decide and act once for every model.

        Returns
        -------
        tuple of str
            What failed, in words. A failure of one model does not touch the others; nothing of its
            tick is kept and the next tick tries again.
        """
        # A training that was recorded and not yet started must not be polled as if it were lost.
        self._dispatcher.run(now, TRAINING)
        problems = [told for plan in self.plans.values() for told in self._tend(plan, now)]
        problems += self._leave(now)
        self._dispatcher.run(now)
        return (*problems, *self._renew(now))

    def _renew(self, now: datetime) -> tuple[str, ...]:
        """Tell receivers that forget by themselves which incidents are open."""
        opened = (state for states in self._open.values() for state in states)
        return self._dispatcher.renew([n for state in opened for n in retold(state)], now)

    def _tend(self, plan: ModelPlan, now: datetime) -> Iterator[str]:
        """Obey, decide and publish for one model; yield what failed.

        What a person asked for is carried out first and by itself, so that a roll-back does not
        wait for a log that cannot be read; routes come before notifications.
        """
        for part in (self._obey, self._decide, self._experiment):
            problems: list[str] = []
            try:
                routes = part(plan, now, problems)
            except ConflictError:
                return  # another engine was first; its decisions are in the records
            except HomeostatError as error:
                yield f"{plan.spec.name}: {error}"
            except Exception as error:  # noqa: BLE001 - one model's fault must not stop the others
                yield f"{plan.spec.name}: a fault in Homeostat: {located(error)}"
            else:
                yield from self._publish(routes, now)
            yield from problems
        yield from self._mirror(plan, now)

    def _mirror(self, plan: ModelPlan, now: datetime) -> Iterator[str]:
        """Make the registry's aliases what the rollout state says; after the routes, for people."""
        try:
            state = self.ports.records.read(rollout_key(plan.spec.name), RolloutState)
            if state is not None:
                mirror(self.ports.registry, state, now)
        except ConflictError:
            return  # somebody moves them at this moment; the next tick looks again
        except HomeostatError as error:
            yield f"{plan.spec.name}: aliases not moved: {error}"

    def _leave(self, now: datetime) -> Iterator[str]:
        """End what is open of models that are not configured any more; once, as none leaves later.

        A model of which that failed is looked at again by the next tick.
        """
        if self._left is None:
            self._left = removed(self.ports.records, self.plans)
        for model in tuple(self._left):
            try:
                with self.ports.records.begin() as uow:
                    end_removed(model, uow, self._left[model], now)
            except ConflictError:
                continue  # somebody asked for something meanwhile
            except HomeostatError as error:
                yield f"{model}, which is not configured any more: {error}"
            else:
                del self._left[model]

    def _publish(self, routes: Sequence[Route], now: datetime) -> Iterator[str]:
        """Make the published routes what the rollout states ask for."""
        for wanted in routes:
            try:
                publish(self.ports.records, self.ports.routes, wanted, now)
            except HomeostatError as error:
                yield f"{wanted.model}: route not published: {error}"

    def _obey(self, plan: ModelPlan, now: datetime, _problems: list[str]) -> tuple[Route, ...]:
        """Carry out commands about the rollout; the others are left for the turn."""
        return obey_commands(self.ports.records, self.ports.registry, plan, now)

    def _decide(self, plan: ModelPlan, now: datetime, problems: list[str]) -> tuple[Route, ...]:
        """Take the model's turn; append what failed in it and left the rest alone."""
        name = plan.spec.name
        with self.ports.records.begin() as uow:
            uow.prepare(state_keys(plan))
            rollout = uow.load(rollout_key(name), RolloutState)
            watch = uow.load(watch_key(name), Watch)
            if rollout is None or watch is None or not rollout.champion:
                return ()  # not adopted yet
            inbox = uow.load(inbox_key(name), Inbox) or Inbox()
            turn = Turn(self.ports, self._references, plan, uow, now, self._rng(name, now))
            wanted = turn.run(watch, rollout, inbox.commands)
            after = uow.load(rollout_key(name), RolloutState) or rollout
            wanted = laid_over(wanted, follow(uow, after, now))
            # What is about the rollout came after the commands were obeyed, or they could not be.
            later = (c for c in inbox.commands if c.request not in FOR_THE_TURN)
            left = Inbox((*later, *turn.waiting))
            if left != inbox:
                uow.save(inbox_key(name), left)
        self._open[name] = tuple(turn.opened)
        problems += (f"{name}: {problem}" for problem in turn.bulkhead.problems)
        return (wanted,)

    def _experiment(
        self, plan: ModelPlan, now: datetime, _problems: list[str]
    ) -> tuple[Route, ...]:
        """Look at the open experiment; what it changes in the arms is published with the next."""
        self._laboratory.tend(plan.spec, now)
        return ()

    def _rng(self, model: str, now: datetime) -> np.random.Generator:
        told = f"{self.seed}:{model}:{now.isoformat()}".encode()
        return np.random.default_rng(int.from_bytes(hashlib.sha256(told).digest()[:8], "big"))


def state_keys(plan: ModelPlan) -> tuple[str, ...]:
    """Return the keys of all states that a tick of the model reads."""
    name = plan.spec.name
    incidents = (incident_key(name, rule.name) for rule in plan.rules)
    rolling = (rollout_key, guardrails_key, arms_key, bandit_key)
    own = (*rolling, watch_key, drift_key, late_key, inbox_key, retraining_key, rules_key)
    series = (series_key(name),) if plan.business or plan.thresholds else ()
    asked = () if plan.importance is None else (importance_key(name),)
    guessed = () if plan.estimation is None else (estimates_key(name),)
    early = () if plan.early is None else (early_key(name),)
    explained = () if plan.diagnosis is None else (explanation_key(name),)
    counted = (tallies_key(name),) if any(rule.own for rule in plan.rules) else ()
    further = (unreached_key(name), *series, *asked, *guessed, *early, *explained, *counted)
    return (SILENCES, *(key(name) for key in own), *further, *incidents)
