"""Runs a bandit: each batch from the rewards on record to shares, and those to the route.

One bandit of a model at a time. A person starts it. It ends by hand, when its champion goes or is
not well, or when its arms are taken away; then everybody meets the champion again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from homeostat.domain.decision import Cause, Decision, Diagnosis
from homeostat.domain.errors import DataError, HomeostatError
from homeostat.domain.verdict import DEGRADED, Monitor, Status
from homeostat.engine.arms import publish_arms, standing, withdraw_arms
from homeostat.engine.bandit_learning import Learning
from homeostat.engine.bandit_state import ArmState, BanditState, bandit_key, owner_of
from homeostat.engine.commands import Command, Request
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import PredictionLog, Registry, UnitOfWork
from homeostat.engine.watch import Watch
from homeostat.rollout.bandit.delays import Earned
from homeostat.rollout.bandit.design import Bandit, Kind
from homeostat.rollout.bandit.thompson import Reward, thompson

AUTOMATIC = "homeostat"
FEWEST = 2
MOVE = 0.005
"""Smallest change of a share that is worth moving entities for."""


@dataclass(frozen=True)
class Dealer:
    """Carries a model's bandit one tick on.

    Parameters
    ----------
    plan : ModelPlan
    uow : UnitOfWork
    log : PredictionLog
    registry : Registry
    now : datetime
    """

    plan: ModelPlan
    uow: UnitOfWork
    log: PredictionLog
    registry: Registry
    now: datetime

    def run(self, watch: Watch, champion: str, commands: Iterable[Command]) -> None:
        """Obey, look whether it may go on, and deal a batch if one is due."""
        key = bandit_key(self.plan.spec.name)
        before = state = self.uow.load(key, BanditState)
        for command in commands:
            if command.request is Request.START_BANDIT:
                state = self._start(state, command, watch, champion)
            elif command.request is Request.STOP_BANDIT:
                state = self._stop(state, command)
        if state is not None and state.on:
            state = self._carry(state, watch, champion)
        if state is not None and state != before:
            self.uow.save(key, state)

    def _start(
        self, state: BanditState | None, command: Command, watch: Watch, champion: str
    ) -> BanditState | None:
        name, actor, reason = command.subject, command.actor, command.reason
        design = self._design(name)
        refused = self._refusal(state, design, name) or _unwell(watch)
        if not refused and design is not None:
            told = reason or "even shares to begin with"
            refused = self._publish(name, design.even, actor, told)
        if refused or design is None:
            self._decide("refuse", name, f"start_bandit: {refused}", actor)
            return state
        self._decide("start_bandit", name, reason, actor)
        at = self.now
        arms = tuple(ArmState(arm, 1.0 / len(design.arms)) for arm in design.arms)
        return BanditState(
            name,
            True,
            champion,
            at,
            at,
            at,
            arms,
            reason=reason,
            actor=actor,
        )

    def _refusal(self, state: BanditState | None, design: Bandit | None, name: str) -> str:
        """Return why a bandit cannot begin; empty if it can."""
        if design is None:
            known = ", ".join(bandit.name for bandit in self.plan.bandits) or "none"
            return f"no bandit {name!r} of {self.plan.spec.name}; there are: {known}"
        if state is not None and state.on:
            return f"the bandit {state.name} runs; stop it first"
        for arm in design.arms:
            try:
                self.registry.path(self.plan.spec.name, arm)
            except HomeostatError as error:
                return str(error)
        return ""

    def _stop(self, state: BanditState | None, command: Command) -> BanditState | None:
        if state is None or not state.on or command.subject not in {"", state.name}:
            name = command.subject
            self._decide("refuse", name, "stop_bandit: it does not run", command.actor)
            return state
        return self._end(state, command.reason or "asked for by hand", command.actor)

    def _end(self, state: BanditState, reason: str, actor: str = AUTOMATIC) -> BanditState:
        model = self.plan.spec.name
        owner = owner_of(state.name)
        withdraw_arms(self.uow, model, actor=actor, reason=reason, now=self.now, owner=owner)
        self._decide("stop_bandit", state.name, reason, actor)
        return replace(state, on=False, held="", reason=reason, actor=actor, ended=self.now)

    def _carry(self, state: BanditState, watch: Watch, champion: str) -> BanditState:
        design = self._design(state.name)
        arms = standing(self.uow, self.plan.spec.name)
        if arms.owner != owner_of(state.name):
            return self._end(state, f"its arms were taken away: {arms.reason}")
        over = _over(state, design, champion) or _unwell(watch)
        state = replace(state, arms=tuple(a for a in state.arms if a.version in arms.shares))
        if not over and len(state.arms) < FEWEST:
            over = "fewer than two arms are left"
        if over or design is None:
            return self._end(state, over)
        batches = (self.now - state.since) // design.every
        if batches <= state.batches:
            return state
        return self._batch(state, design, batches, watch, arms.shares)

    def _batch(
        self,
        state: BanditState,
        design: Bandit,
        batches: int,
        watch: Watch,
        shares: Mapping[str, float],
    ) -> BanditState:
        """Learn from what is on record by the end of the newest whole batch, and deal."""
        found = Learning(self.plan, design, self.log, watch, state, batches).learn()
        state = found.state
        if found.stale:
            return self._end(state, found.held)
        if found.held:
            if found.held != state.held:
                self._decide("hold_bandit", state.name, found.held)
            return replace(state, held=found.held)
        totals = found.earned
        waits = "" if state.moved else _waits(totals, design.least)
        if waits:
            return replace(state, held=waits)
        reward = Reward.BERNOULLI if design.kind is Kind.CONVERSION else Reward.GAUSSIAN
        rng = np.random.default_rng([design.seed, batches])
        dealt = thompson(totals, rng, reward, design.floor, better=design.better)
        arms = tuple(replace(arm, best=dealt.best[arm.version]) for arm in state.arms)
        state = replace(state, arms=arms, moved=True, held="")
        wanted = {name: share * design.traffic for name, share in dealt.of.items()}
        if max(abs(share - shares[name]) for name, share in wanted.items()) < MOVE:
            return state
        refused = self._publish(state.name, wanted, AUTOMATIC, _told(state))
        return self._end(state, refused) if refused else state

    def _publish(self, name: str, shares: Mapping[str, float], actor: str, reason: str) -> str:
        """Publish shares; return why they were refused, empty if they were not."""
        try:
            publish_arms(
                self.uow, self.plan.spec.name, shares,
                owner=owner_of(name), actor=actor, reason=reason, now=self.now,
            )  # fmt: skip
        except DataError as error:
            return str(error)
        return ""

    def _design(self, name: str) -> Bandit | None:
        return next((bandit for bandit in self.plan.bandits if bandit.name == name), None)

    def _decide(self, action: str, subject: str, reason: str, actor: str = AUTOMATIC) -> None:
        made = Decision(self.plan.spec.name, self.now, actor, action, subject, reason)
        self.uow.decide(made)


def _waits(totals: Mapping[str, Earned], least: int) -> str:
    """Return why it is too early to move shares; empty if it is not."""
    for name, arm in totals.items():
        if arm.n < least:
            return f"{name} has {arm.n:.0f} of {least} answers that count"
        if not arm.squares:
            return f"no reward of {name} has come yet"
    return ""


def _over(state: BanditState, design: Bandit | None, champion: str) -> str:
    """Return why there is nothing to go on with; empty if there is."""
    if design is None or {arm.version for arm in state.arms} - set(design.arms):
        return "homeostat.yaml has it no more, or with other arms"
    if champion != state.champion:
        return f"{champion} is champion now, in place of {state.champion}"
    return ""


def _unwell(watch: Watch) -> str:
    """Return why the route is to be the champion's alone; empty: all is well."""
    diagnosis: Diagnosis | None = watch.diagnosis
    if diagnosis is not None and diagnosis.cause in {Cause.BAD_VERSION, Cause.MODEL_DOWN}:
        return f"the champion is not well: {diagnosis.text}"
    service = (v for v in watch.verdicts(Monitor.SERVICE) if v.subject != DEGRADED)
    failing = "; ".join(v.reason for v in service if v.status is Status.DRIFT)
    return f"the service is not well: {failing}" if failing else ""


def _told(state: BanditState) -> str:
    arms = (
        f"{arm.version} {arm.mean:.4g} of {arm.rows:.0f} answers, best with {arm.best:.1%}"
        for arm in state.arms
    )
    return f"batch {state.batches}: {'; '.join(arms)}"
