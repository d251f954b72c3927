"""Bandits: which versions traffic is dealt to by what it brings."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal, Self

from pydantic import Field, model_validator

from homeostat.entrypoints.settings.model import Model
from homeostat.entrypoints.settings.part import Part
from homeostat.entrypoints.settings.values import (
    Count,
    Duration,
    Name,
    Share,
    Weight,
    nearest,
    wrong,
)
from homeostat.rollout.bandit.design import Bandit, Delay, Kind

FEWEST, MOST = 2, 20
MOST_BATCHES = 2_000
"""Of a maturity: what is read again with each batch would be too much."""


class BanditPart(Part):
    """A bandit; a person starts it (homeostat bandit start)."""

    name: Name
    """Unique in this file."""
    model: Name
    """Whose traffic it deals."""
    arms: tuple[str, ...]
    """Versions of the model, two or more."""
    reward: Kind = Kind.CONVERSION
    """conversion (0 or 1), value (an amount) or score (a number that only some give)."""
    of: str = ""
    """Outcome that is the reward; default: the label."""
    better: Literal["higher", "lower"] = "higher"
    """Whether a reward is something good, or a loss."""
    discount: Share = 1.0
    """Weight of a batch in the next one: 1 never forgets, 0.9 remembers ten batches."""
    floor: Weight = 0.05
    """Least share of an arm."""
    traffic: Share = 1.0
    """Share of all entities that take part; champion and challenger have the rest."""
    every: Duration = timedelta(days=1)
    """Length of a batch, in which shares stay as they are."""
    delay: Delay = Delay.MATURED
    """matured (only answers whose labels are complete) or weighted (each by the chance that its
    reward would have come)."""
    least: Count = 100
    """Answers that count which every arm needs before shares move for the first time."""
    seed: int = Field(default=0, ge=0, strict=True)
    """Of its draws."""

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if not FEWEST <= len(self.arms) <= MOST:
            problem = f"needs {FEWEST} to {MOST} versions, not {len(self.arms)}"
            raise wrong(problem, "name those that traffic is dealt to", "arms")
        for number, arm in enumerate(self.arms):
            if not arm.strip():
                raise wrong("an arm needs the name of a version", "write one", "arms", number)
            if arm in self.arms[:number]:
                raise wrong(f"{arm!r} is named twice", "keep it once", "arms", number)
        if self.floor * len(self.arms) >= 1:
            problem = f"{len(self.arms)} arms with such a floor take everything"
            raise wrong(problem, f"write less than {1 / len(self.arms):.3g}", "floor")
        if self.reward is Kind.SCORE and self.delay is Delay.WEIGHTED:
            problem = "weighted counts what did not come as 0, and a score is none"
            raise wrong(problem, "use matured", "delay")
        return self

    def bandit(self) -> Bandit:
        """Return the domain's view of it."""
        given = self.model_dump(exclude={"of", "reward"})
        return Bandit(**given, outcome=self.of, kind=self.reward)


def check_bandits(found: Sequence[BanditPart], models: Sequence[Model]) -> None:
    """Raise about the first bandit that names what is not there."""
    known = {model.name: model for model in models}
    seen: dict[str, int] = {}
    for number, part in enumerate(found):
        if part.name in seen:
            problem = f"{part.name!r} is also the name of bandits.{seen[part.name]}"
            raise wrong(problem, "rename one of them", "bandits", number, "name")
        seen[part.name] = number
        model = known.get(part.model)
        if model is None:
            problem, remedy = f"no model is named {part.model!r}", nearest(part.model, known)
            raise wrong(problem, remedy, "bandits", number, "model")
        if part.of and part.of not in model.outcomes:
            problem = f"{part.model} has no outcome {part.of!r}"
            remedy = nearest(part.of, model.outcomes) if model.outcomes else "name it in outcomes"
            raise wrong(problem, remedy, "bandits", number, "of")
        if model.labels.maturity > MOST_BATCHES * part.every:
            problem = f"labels take more than {MOST_BATCHES} such batches"
            raise wrong(problem, "write a longer time", "bandits", number, "every")
