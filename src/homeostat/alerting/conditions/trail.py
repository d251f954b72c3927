"""The figures of the past, the older the coarser."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from homeostat.domain.point import Point

FINENESS = 8


@dataclass(frozen=True, slots=True)
class Piece:
    """Figures of one stretch of time: their mean, weighted by rows, and how many there were."""

    start: datetime
    end: datetime
    mean: float
    rows: int
    count: int = 1


@dataclass(frozen=True, slots=True)
class Trail:
    """Means of past figures over stretches that are an eighth of their age, or one figure.

    So they tell the mean of any span back from now, its far edge off by a sixteenth at most, and
    there are few of them however long it is.

    Examples
    --------
    >>> from datetime import UTC
    >>> from homeostat.domain.window import Window
    >>> start, minute = datetime(2024, 1, 1, tzinfo=UTC), timedelta(minutes=1)
    >>> trail = Trail()
    >>> for n in range(1_000):
    ...     at = start + n * minute
    ...     trail = trail.adding(Point(Window(at, at + minute), n, 0.0, 10), 1_000 * minute)
    >>> len(trail.pieces), trail.over(at, at + minute).count
    (65, 1)
    >>> whole = trail.over(start, at + minute)
    >>> whole.mean, whole.rows, whole.count
    (499.5, 10000, 1000)
    """

    pieces: tuple[Piece, ...] = ()

    def adding(self, point: Point, reach: timedelta) -> Trail:
        """Return the trail with one more figure, later than all others, and none beyond reach."""
        now, oldest = point.window.end, point.window.end - reach
        pieces = [p for p in self.pieces if p.end > oldest]
        pieces.append(Piece(point.window.start, now, point.value, point.rows))
        merged = pieces[:1]
        for piece in pieces[1:]:
            last = merged[-1]
            if FINENESS * (piece.end - last.start) <= now - piece.end:
                merged[-1] = _joined(last, piece)
            else:
                merged.append(piece)
        return Trail(tuple(merged))

    def over(self, since: datetime, until: datetime) -> Piece | None:
        """Return the mean of the stretches whose middles lie in ``since <= t < until``."""
        found: Piece | None = None
        for piece in reversed(self.pieces):
            middle = piece.start + (piece.end - piece.start) / 2
            if middle < since:
                break
            if middle < until:
                found = piece if found is None else _joined(piece, found)
        return found


def _joined(one: Piece, other: Piece) -> Piece:
    """Return two pieces as one; those without rows weigh as much as their number of figures."""
    rows = one.rows + other.rows
    mine, its = (one.rows, other.rows) if rows else (one.count, other.count)
    mean = (one.mean * mine + other.mean * its) / (mine + its)
    return Piece(one.start, other.end, mean, rows, one.count + other.count)
