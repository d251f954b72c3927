"""What is remembered of a model's bandit."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from homeostat.domain.window import Window
from homeostat.rollout.bandit.delays import Earned
from homeostat.rollout.bandit.repeats import Repeats


@dataclass(frozen=True, slots=True)
class Quiet:
    """A stretch in which no reward of an arm came although they should have: it says nothing."""

    version: str
    window: Window


@dataclass(frozen=True, slots=True)
class ArmState:
    """What is known of an arm.

    Attributes
    ----------
    version : str
    best : float
        Chance that it is the best.
    rows : float
        Answers that count, after forgetting, each as far as its reward would be known.
    mean : float
        Reward of one; 0 without any.
    settled : Earned
        Of answers that are not read again, each in full.
    repeats : Repeats
        Of the same answers, by groups of entities: what they are worth together.
    """

    version: str
    best: float = 0.0
    rows: float = 0.0
    mean: float = 0.0
    settled: Earned = field(default_factory=Earned)
    repeats: Repeats = field(default_factory=Repeats)


@dataclass(frozen=True, slots=True)
class BanditState:
    """The newest bandit of a model.

    Attributes
    ----------
    name : str
    on : bool
        Whether it runs.
    champion : str
        Who served when it began, and serves everybody when it ends.
    since, until, settled_until : datetime
        Its beginning, the end of its newest batch, and up to where rows are not read again.
    arms : tuple of ArmState
    batches : int
    moved : bool
        Whether every arm has had enough answers for shares to move.
    quiet : tuple of Quiet
    held : str
        Why shares stay as they are; empty: they do not.
    reason, actor : str
        Why it was started or has ended, and who wanted it.
    ended : datetime or None
    """

    name: str
    on: bool
    champion: str
    since: datetime
    until: datetime
    settled_until: datetime
    arms: tuple[ArmState, ...]
    batches: int = 0
    moved: bool = False
    quiet: tuple[Quiet, ...] = ()
    held: str = ""
    reason: str = ""
    actor: str = ""
    ended: datetime | None = None


def bandit_key(model: str) -> str:
    """Return the state key of a model's bandit."""
    return f"bandit:{model}"


def owner_of(name: str) -> str:
    """Return the name under which a bandit publishes arms."""
    return f"bandit:{name}"
