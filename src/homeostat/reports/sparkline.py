"""A curve the size of a word, for documents that run no script (Tufte 2006)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

WIDTH, HEIGHT = 240, 36
MARGIN = 3


@dataclass(frozen=True, slots=True)
class Sparkline:
    """Coordinates ready for SVG: one polyline per unbroken run, and dots for runs of one value.

    ``low`` and ``high`` are the values at the bottom and the top.
    """

    lines: tuple[str, ...]
    dots: tuple[tuple[float, float], ...]
    low: float
    high: float


def sparkline(values: Sequence[float | None]) -> Sparkline | None:
    """Lay out evenly spaced values; None and non-finite values break the line.

    Examples
    --------
    >>> sparkline([1.0, 3.0, None, 2.0])
    Sparkline(lines=('3,33 81,3',), dots=((237.0, 18.0),), low=1.0, high=3.0)
    >>> sparkline([None]) is None
    True
    """
    known = [value for value in values if value is not None and isfinite(value)]
    if not known:
        return None
    low, high = min(known), max(known)
    step = (WIDTH - 2 * MARGIN) / max(len(values) - 1, 1)
    runs: list[list[tuple[float, float]]] = [[]]
    for index, value in enumerate(values):
        if value is None or not isfinite(value):
            runs.append([])
            continue
        share = (value - low) / (high - low) if high > low else 0.5
        y = HEIGHT - MARGIN - share * (HEIGHT - 2 * MARGIN)
        runs[-1].append((round(MARGIN + index * step, 1), round(y, 1)))
    return Sparkline(
        lines=tuple(" ".join(f"{x:g},{y:g}" for x, y in run) for run in runs if len(run) > 1),
        dots=tuple(run[0] for run in runs if len(run) == 1),
        low=low,
        high=high,
    )
