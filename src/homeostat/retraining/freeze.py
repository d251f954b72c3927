"""Times in which no training starts: a sale, an audit, the nights of the backup."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class Calendar(Protocol):
    """Times of any kind: hours of the week, or a stretch of days."""

    def hold(self, moment: datetime) -> bool:
        """Whether a moment is in them."""
        ...


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, ``start <= t < end``.

    Examples
    --------
    >>> from datetime import UTC
    >>> sale = Span(datetime(2026, 11, 27, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
    >>> [sale.hold(datetime(2026, month, day, tzinfo=UTC)) for month, day in ((11, 30), (12, 1))]
    [True, False]
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start >= self.end:
            raise ValueError(f"a freeze must end after it starts, not {self.start} to {self.end}")

    def hold(self, moment: datetime) -> bool:
        """Whether a moment is in it."""
        return self.start <= moment < self.end


@dataclass(frozen=True, slots=True)
class Freeze:
    """Times in which no training starts, and what they are called."""

    name: str
    times: Calendar


def frozen_by(freezes: Iterable[Freeze], moment: datetime) -> Iterator[str]:
    """Say, in words, which freezes hold at a moment.

    Examples
    --------
    >>> from datetime import UTC
    >>> sale = Span(datetime(2026, 11, 27, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
    >>> list(frozen_by([Freeze("sale", sale)], datetime(2026, 11, 28, tzinfo=UTC)))
    ['no training starts during: sale']
    """
    for freeze in freezes:
        if freeze.times.hold(moment):
            yield f"no training starts during: {freeze.name}"
