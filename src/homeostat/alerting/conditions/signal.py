"""What a condition says of a model at one moment, and what it looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from homeostat.alerting.conditions.trail import Trail
from homeostat.domain.limit import LimitState
from homeostat.domain.point import Point
from homeostat.stats.band import BandState

ZERO = timedelta(0)


@dataclass(frozen=True, slots=True)
class Signal:
    """What a rule's verdicts or figures say together.

    ``active`` is None where they do not tell: too little data, errors, nothing judged.
    ``subjects`` are what it is about, the strongest first.
    """

    active: bool | None
    reason: str
    subjects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Series:
    """Figures of one kind, one after another.

    Attributes
    ----------
    name : str
        A metric that is written per window, or something that is counted in each tick.
    every : timedelta
        Time between two figures; zero: there is one in each tick, of that moment.
    segment : str
        Whose figures they are, such as ``country=FR``; empty: those of all rows.

    Examples
    --------
    >>> str(Series("auc", timedelta(days=1), "country=FR"))
    'auc of country=FR'
    """

    name: str
    every: timedelta
    segment: str = ""

    def __str__(self) -> str:
        return f"{self.name} of {self.segment}" if self.segment else self.name

    @property
    def gauge(self) -> bool:
        """Whether each figure is of a moment and not of a stretch of time."""
        return self.every == ZERO


@dataclass(frozen=True, slots=True)
class Facts:
    """What a condition may know besides its figures.

    ``reference`` is what the champion's figure was on rows held out of its training; None where
    that is not known. ``gap`` is the time since the tick before.
    """

    now: datetime
    reference: float | None = None
    gap: timedelta = ZERO


@dataclass(frozen=True, slots=True)
class State:
    """What is kept of a condition between two ticks; each kind uses what it needs.

    One class for all kinds, so that it is read back from the records quickly.

    Attributes
    ----------
    run : LimitState
        Figures in a row beyond a limit.
    trail : Trail
        Figures of the past.
    since : datetime or None
        When the newest figure came, or was missed.
    band : BandState or None
        What a seasonal band has learnt.
    """

    run: LimitState = field(default_factory=LimitState)
    trail: Trail = field(default_factory=Trail)
    since: datetime | None = None
    band: BandState | None = None


class SeriesCondition(Protocol):
    """A condition on the figures of a series.

    To add a kind: a frozen dataclass with these three in a module of its own, its name in
    `conditions.kinds`, what it keeps in `State`, its form in homeostat.yaml
    (`entrypoints.settings.rules`) and from there to here (`entrypoints.settings.rules_plan`).
    """

    @property
    def series(self) -> Series:
        """What it looks at."""
        ...

    @property
    def reach(self) -> timedelta:
        """How far back the figures that it begins with go."""
        ...

    def evaluate(
        self, state: State, points: Sequence[Point], facts: Facts, /
    ) -> tuple[State, Signal | None]:
        """Take in the figures that are new, in order of time; called at each tick.

        Parameters
        ----------
        state : State
            What was returned last; ``State()`` at first.
        points : sequence of Point
            Often empty. A value that is not finite is a figure that is missing.
        facts : Facts

        Returns
        -------
        state, Signal
            A signal of None: as before.
        """
        ...
