"""What its owner decided about a bandit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Kind(StrEnum):
    """What a reward is, and what it means that none came."""

    CONVERSION = "conversion"
    """0 or 1; 0 where nothing came until labels are complete."""
    VALUE = "value"
    """An amount; 0 where nothing came until labels are complete."""
    SCORE = "score"
    """A number that some give, such as a rating; where nothing came nothing is known."""


class Delay(StrEnum):
    """How rewards that are still on their way are counted."""

    MATURED = "matured"
    """Only answers whose labels are complete count."""
    WEIGHTED = "weighted"
    """Each answer counts by the chance that its reward would have come by now."""


@dataclass(frozen=True, slots=True)
class Bandit:
    """A bandit on a model's traffic.

    Attributes
    ----------
    name, model : str
    arms : tuple of str
        Versions, two or more.
    outcome : str
        Which number is the reward; empty: the label.
    kind : Kind
    better : {"higher", "lower"}
        Lower: the reward is a loss.
    discount : float
        In (0, 1]: weight of a batch in the next one. 1 never forgets; 0.9 remembers ten batches.
    floor : float
        Least share of an arm in the traffic of the bandit, positive.
    traffic : float
        Share of all entities that take part, in (0, 1]; champion and challenger have the rest.
    every : timedelta
        Length of a batch: shares stay as they are meanwhile.
    delay : Delay
    least : int
        Answers whose rewards are known (or counted by their chance to be) that every arm must have
        before shares move for the first time.
    seed : int
        Of the draws from the posterior.

    Raises
    ------
    ValueError
        If one of them is out of its range.

    Examples
    --------
    >>> Bandit("prices", "shop", ("v7", "v8"), "bought").even
    {'v7': 0.5, 'v8': 0.5}
    """

    name: str
    model: str
    arms: tuple[str, ...]
    outcome: str = ""
    kind: Kind = Kind.CONVERSION
    better: str = "higher"
    discount: float = 1.0
    floor: float = 0.05
    traffic: float = 1.0
    every: timedelta = timedelta(days=1)
    delay: Delay = Delay.MATURED
    least: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        if len(self.arms) < 2 or len(set(self.arms)) < len(self.arms) or "" in self.arms:
            raise ValueError("a bandit needs two or more versions, each once")
        if not 0.0 < self.floor * len(self.arms) < 1.0:
            raise ValueError(f"floors are positive, and {len(self.arms)} of them less than 1")
        if not (0.0 < self.discount <= 1.0 and 0.0 < self.traffic <= 1.0):
            raise ValueError("discount and traffic lie in (0, 1]")
        if self.better not in {"higher", "lower"}:
            raise ValueError("better is higher or lower")
        if self.every <= timedelta(0) or self.least < 1:
            raise ValueError("a batch takes time, and an arm needs at least 1 answer")
        if self.kind is Kind.SCORE and self.delay is Delay.WEIGHTED:
            raise ValueError("a score that did not come is no 0: count matured ones")

    @property
    def even(self) -> dict[str, float]:
        """Shares that know nothing."""
        return {arm: self.traffic / len(self.arms) for arm in self.arms}
