"""What operators do to a model's traffic at once, and what they are shown of its rollout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import partial

import numpy as np

from homeostat.adapters.routes import RecordsRoutes
from homeostat.domain.errors import DataError, HomeostatError
from homeostat.engine.arms import (
    OPERATOR,
    Arms,
    arms_of,
    by_hand,
    publish_arms,
    set_shadow,
    withdraw_arms,
)
from homeostat.engine.commands import Command, Request, submit
from homeostat.engine.paired_report import PairedReport, paired_report
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import PredictionLog, Records, Registry
from homeostat.engine.prompt import carry_out
from homeostat.engine.watch import Watch, watch_key
from homeostat.entrypoints import current

SEED = 0
"""Of the bootstrap: who looks twice at the same rows sees the same interval."""


@dataclass(frozen=True, slots=True)
class RolledBack:
    """What a roll-back came to.

    Attributes
    ----------
    model, served, serves : str
        The champion before, and now.
    withdrawn : str
        The challenger that was withdrawn.
    reason : str
        Why it is so now.
    problem : str
        Why it is left to the next tick; empty if it was done.
    refused : str
        Why nothing came of it.
    """

    model: str
    served: str
    serves: str
    withdrawn: str = ""
    reason: str = ""
    problem: str = ""
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Steering:
    """Changes what answers for a model, in its records; gateways follow within a second.

    Parameters
    ----------
    records : Records
    registry : Registry
    plan : ModelPlan
    """

    records: Records
    registry: Registry
    plan: ModelPlan

    @property
    def model(self) -> str:
        """Its name."""
        return self.plan.spec.name

    def roll_back(self, actor: str, reason: str, now: datetime) -> RolledBack:
        """Go back to the previous champion, or withdraw the challenger; what was asked is durable.

        Raises
        ------
        ConflictError
            If other writers were first several times in a row, before it was on record.
        """
        before = current.rollout(self.records, self.model)
        submit(self.records, Command(Request.ROLL_BACK, self.model, actor, "", reason), now)
        problem = self._carry_out(now)
        after = current.rollout(self.records, self.model)
        gone = before.challenger if before.challenger != after.challenger else ""
        done = RolledBack(self.model, before.champion, after.champion, gone, after.reason, problem)
        if problem or gone or after.champion != before.champion:
            return done
        answers = self.records.decisions(self.model, now)
        said = (d.reason for d in answers if d.action == "refuse" and d.actor == actor)
        return replace(done, refused=next(said, "see homeostat decisions"))

    def set_arms(
        self, shares: Mapping[str, float], actor: str, reason: str, now: datetime, salt: str = ""
    ) -> Arms:
        """Give each version its share of all entities; none ends the arms, whoever's they are.

        Raises
        ------
        DataError
            As `publish_arms`.
        NotFoundError, ArtifactError
            If a version is not registered, or not what it was.
        """
        for version in shares:
            self._check(version)
        change = partial(
            publish_arms, model=self.model, shares=shares, owner=OPERATOR, actor=actor,
            reason=reason, now=now, experiment=salt,
        )  # fmt: skip
        if not shares:
            change = partial(withdraw_arms, model=self.model, actor=actor, reason=reason, now=now)
        made = by_hand(self.records, change)
        self._carry_out(now)
        return made

    def set_shadow(self, version: str, actor: str, reason: str, now: datetime, *, on: bool) -> Arms:
        """Have a version score copies of requests, or no more; raises as `set_arms`."""
        if on:
            self._check(version)
        change = partial(
            set_shadow, model=self.model, version=version, on=on, actor=actor, reason=reason,
            now=now,
        )  # fmt: skip
        made = by_hand(self.records, change)
        self._carry_out(now)
        return made

    def _check(self, version: str) -> None:
        if not version:
            raise DataError("name a version")
        self.registry.path(self.model, version)

    def _carry_out(self, now: datetime) -> str:
        routes = RecordsRoutes(self.records)
        try:
            carry_out(self.records, self.registry, routes, self.plan, now)
        except HomeostatError as error:
            return str(error)
        return ""


def compared(
    records: Records, log: PredictionLog, plan: ModelPlan, now: datetime
) -> PairedReport | None:
    """Return how the challenger compares with the champion; None while there is none."""
    model = plan.spec.name
    watch, state = records.read(watch_key(model), Watch), current.rollout(records, model)
    return paired_report(plan, log, watch, state, now, np.random.default_rng(SEED))


def shown(
    records: Records, log: PredictionLog, plan: ModelPlan, now: datetime
) -> dict[str, object]:
    """Return a model's rollout, what stands beside it and the paired report, for JSON."""
    model = plan.spec.name
    return {"rollout": current.rollout(records, model), **beside(arms_of(records, model))} | {
        "paired": compared(records, log, plan, now)
    }


def beside(arms: Arms) -> dict[str, object]:
    """Return arms and shadows for JSON, shares instead of slots."""
    told = {key: value for key, value in asdict(arms).items() if key not in {"arms", "shadows"}}
    return {"arms": told | {"shares": arms.shares}, "shadows": list(arms.shadows)}
