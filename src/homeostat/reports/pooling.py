"""One figure from the figures of many windows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from homeostat.domain.verdict import MetricPoint
from homeostat.domain.window import Window

REACH = 1.959964
NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Pooled:
    """A mean over windows by their rows, with a 95 % interval.

    Attributes
    ----------
    value, lower, upper : float
        Bounds are NaN if a window has none.
    n, windows : int
        Rows and windows behind it.
    coverage : float
        Share of their predictions whose label is known, by rows.
    span : Window
        From the first window to the last one.
    """

    value: float
    lower: float
    upper: float
    n: int
    windows: int
    coverage: float
    span: Window

    @property
    def half(self) -> float:
        """Half the interval's width."""
        return (self.upper - self.lower) / 2.0


@dataclass(frozen=True, slots=True)
class Difference:
    """How much later a figure is than before, with a 95 % interval."""

    value: float
    lower: float
    upper: float

    @property
    def clear(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.lower > 0.0 or self.upper < 0.0


def pooled(points: Sequence[MetricPoint]) -> Pooled | None:
    """Return the mean of windows, each counting by its rows; None if there are none.

    Windows are taken to be independent. If they differ by more than their own intervals say, the
    interval is wider by the root of chi-squared per degree of freedom (the scale factor of the
    Particle Data Group: *Review of Particle Physics*, section 5.2.2). A mean of the windows' AUC
    is not the AUC of all rows together.

    Examples
    --------
    >>> from datetime import UTC, datetime, timedelta
    >>> day, start = timedelta(days=1), datetime(2024, 1, 1, tzinfo=UTC)
    >>> def point(k, value, n):
    ...     window = Window(start + k * day, start + (k + 1) * day)
    ...     return MetricPoint("m", "v", "auc", window, value, value - 0.02, value + 0.02, n)
    >>> found = pooled([point(0, 0.9, 100), point(1, 0.92, 300)])
    >>> round(found.value, 3), round(found.half, 4), found.n
    (0.915, 0.0245, 400)
    """
    if not points:
        return None
    weights = [max(point.n, 1) for point in points]
    whole = math.fsum(weights)
    value = math.fsum(w * p.value for w, p in zip(weights, points, strict=True)) / whole
    halves = [(point.upper - point.lower) / 2.0 for point in points]
    spread = math.sqrt(
        math.fsum((w * h / whole) ** 2 for w, h in zip(weights, halves, strict=True))
    )
    reach = spread * _excess([p.value for p in points], halves, value)
    bounds = (value - reach, value + reach) if math.isfinite(reach) else (NAN, NAN)
    return Pooled(
        value,
        *bounds,
        sum(point.n for point in points),
        len({point.window for point in points}),
        math.fsum(w * p.coverage for w, p in zip(weights, points, strict=True)) / whole,
        Window(min(p.window.start for p in points), max(p.window.end for p in points)),
    )


def _excess(values: Sequence[float], halves: Sequence[float], centre: float) -> float:
    known = [
        ((value - centre) / (half / REACH)) ** 2
        for value, half in zip(values, halves, strict=True)
        if 0.0 < half < math.inf
    ]
    return max(1.0, math.sqrt(math.fsum(known) / (len(known) - 1))) if len(known) > 1 else 1.0


def difference(after: Pooled | None, before: Pooled | None) -> Difference | None:
    """Return by how much the later figure is higher; None unless both are known with intervals.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> day = Window(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC))
    >>> one, two = (Pooled(v, v - 0.03, v + 0.03, 9, 1, 1.0, day) for v in (0.9, 0.8))
    >>> found = difference(one, two)
    >>> round(found.value, 2), round(found.lower, 3), found.clear
    (0.1, 0.058, True)
    """
    if after is None or before is None:
        return None
    value = after.value - before.value
    reach = math.hypot(after.half, before.half)
    return Difference(value, value - reach, value + reach) if math.isfinite(reach) else None


def answers(points: Sequence[MetricPoint]) -> tuple[MetricPoint, ...]:
    """Return one point a window, by time: of the version with most rows in it."""
    ordered = sorted(points, key=lambda point: (point.window, point.n, point.version))
    return tuple(list(group)[-1] for _, group in groupby(ordered, key=lambda point: point.window))


def thinned(points: Sequence[MetricPoint], most: int) -> tuple[MetricPoint, ...]:
    """Pool neighbours of a series by time so that at most so many points are left.

    A gap between windows is never pooled over.
    """
    if len(points) <= most:
        return tuple(points)
    size = -(-len(points) // max(most // 2, 1))
    runs: list[list[MetricPoint]] = []
    for point in points:
        last = runs[-1] if runs else []
        if last and len(last) < size and last[-1].window.end == point.window.start:
            last.append(point)
        else:
            runs.append([point])
    return tuple(_joined(run) for run in runs)


def _joined(run: Sequence[MetricPoint]) -> MetricPoint:
    found, first = pooled(run), run[0]
    assert found is not None
    bounds = (found.value, found.lower, found.upper)
    return MetricPoint(
        first.model, first.version, first.name, found.span, *bounds, found.n, found.coverage,
        first.cohort, first.segment,
    )  # fmt: skip
