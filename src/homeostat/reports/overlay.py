"""Two distributions of one column drawn over each other, as coordinates for SVG."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.profiles.compare import quantiles
from homeostat.profiles.profile import ColumnProfile
from homeostat.reports.wording import number
from homeostat.stats.bitbins import left_edge

WIDTH, HEIGHT, BASE = 560, 180, 150
CELLS = 48
FEW_ROWS = 2000  # rows below which half as many cells are drawn
SHOWN = 0.005  # share of the rows beyond either end of the axis
DECADES = 100.0  # positive values that span more than this ratio are drawn on a logarithmic axis
MOST_BARS = 12
LABEL_LENGTH = 40

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Curves:
    """A numeric column: an outline for each side over the same cells.

    Attributes
    ----------
    reference, current : str
        Points of a polygon and of a polyline, in a box of `WIDTH` by `HEIGHT`.
    ticks : tuple of (float, str)
        Places on the axis and their labels.
    peak : float
        Largest share of rows in a cell: what the full height stands for.
    logarithmic : bool
    outside : tuple of float
        Share of the reference's and of the current rows beyond the axis.
    """

    reference: str
    current: str
    ticks: tuple[tuple[float, str], ...]
    peak: float
    logarithmic: bool
    outside: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Bar:
    """A category's share of the rows on both sides, and as lengths up to 100."""

    label: str
    reference: float
    current: float
    reference_length: float
    current_length: float


def curves(reference: ColumnProfile, current: ColumnProfile) -> Curves | None:
    """Lay out a numeric column of both sides; None if either has no numbers.

    Heights are shares of rows per cell; cells are equally wide, so that the area is the same.

    Examples
    --------
    >>> from homeostat.profiles.build import profile_numbers
    >>> before, after = (profile_numbers(np.arange(n, n + 100.0)) for n in (0, 20))
    >>> found = curves(before, after)
    >>> [label for _, label in found.ticks], found.logarithmic
    (['0', '20', '40', '60', '80', '100'], False)
    """
    if not (reference.present and current.present):
        return None
    ends = np.concatenate(
        [quantiles(c, np.array([SHOWN, 1 - SHOWN])) for c in (reference, current)]
    )
    low, high = float(ends.min()), float(ends.max())
    # Zeros lie in a bin that begins at the smallest number above them.
    logarithmic = min(reference.minimum, current.minimum) > 0.0 and high / low > DECADES
    cells = CELLS if min(reference.present, current.present) >= FEW_ROWS else CELLS // 2
    if logarithmic:
        edges = np.geomspace(low / 1.05, high * 1.05, cells + 1)
    elif _whole(reference) and _whole(current):
        width = max(1.0, float(math.ceil((high - low + 1) / cells)))
        edges = np.arange(float(math.floor(low)) - 0.5, high + width, width)
    else:
        margin = (high - low) * 0.02 or max(abs(low), 1.0) * 0.5
        edges = np.linspace(low - margin, high + margin, cells + 1)
    ours, theirs = _shares(reference, edges), _shares(current, edges)
    peak = float(max(ours.max(), theirs.max())) or 1.0
    outlines = [_outline(shares / peak) for shares in (ours, theirs)]
    return Curves(
        f"0,{BASE} {outlines[0]} {WIDTH},{BASE}",
        outlines[1],
        _ticks(float(edges[0]), float(edges[-1]), logarithmic=logarithmic),
        peak,
        logarithmic,
        (max(0.0, 1.0 - float(ours.sum())), max(0.0, 1.0 - float(theirs.sum()))),
    )


def bars(reference: ColumnProfile, current: ColumnProfile) -> tuple[Bar, ...]:
    """Lay out the most frequent categories of both sides, and all others together.

    Examples
    --------
    >>> from homeostat.domain.model import ColumnKind
    >>> before = ColumnProfile(ColumnKind.CATEGORICAL, 4, values={"a": 3, "b": 1})
    >>> after = ColumnProfile(ColumnKind.CATEGORICAL, 4, values={"a": 1, "b": 3})
    >>> [(bar.label, bar.reference, bar.current) for bar in bars(before, after)]
    [('a', 0.75, 0.25), ('b', 0.25, 0.75)]
    """
    sizes = [max(1, side.present) for side in (reference, current)]
    known = list({*reference.values, *current.values})
    counted = reference.rows_with(known), current.rows_with(known)
    rows = dict(zip(known, zip(*counted, strict=True), strict=True))
    share = {v: (one / sizes[0], two / sizes[1]) for v, (one, two) in rows.items()}
    largest = sorted(known, key=lambda value: (-sum(share[value]), value))[:MOST_BARS]
    found = [(_short(value), share[value][0], share[value][1]) for value in largest]
    rest = (
        max(0.0, reference.present / sizes[0] - sum(one for _, one, _ in found)),
        max(0.0, current.present / sizes[1] - sum(two for _, _, two in found)),
    )
    if max(rest) > 1e-9:
        left = max(reference.distinct, current.distinct) - len(found)
        found.append((f"all others (about {max(left, 1):,})", rest[0], rest[1]))
    longest = max((max(one, two) for _, one, two in found), default=1.0) or 1.0
    return tuple(
        Bar(label, one, two, round(100 * one / longest, 2), round(100 * two / longest, 2))
        for label, one, two in found
    )


def _short(text: str) -> str:
    if not text.strip():
        return "(empty text)"
    return text if len(text) <= LABEL_LENGTH else f"{text[: LABEL_LENGTH - 1]}…"


def _whole(column: ColumnProfile) -> bool:
    """Whether all values are whole numbers, as far as the histogram can tell."""
    left, right = left_edge(column.bins), left_edge(column.bins + 1)
    fine = right - left < 1.0
    return bool(fine.any() and (left[fine] == np.floor(left[fine])).all())


def _shares(column: ColumnProfile, edges: Floats) -> Floats:
    """Return the share of usable rows in each cell; rows lie evenly within their bin."""
    left, right = (
        np.clip(left_edge(bins), column.minimum, column.maximum)
        for bins in (column.bins, column.bins + 1)
    )
    # A constant bin has no width to spread its rows over: give it the smallest.
    right = np.maximum(right, np.nextafter(left, np.inf))
    places = np.stack((left, right), axis=1).ravel()
    upto = np.cumsum(column.counts)
    heights = np.stack((upto - column.counts, upto), axis=1).ravel()
    # Between the smallest numbers there are, slopes overflow; what is lost counts a cell later.
    with np.errstate(over="ignore", invalid="ignore"):
        sloped = np.nan_to_num(np.interp(edges, places, heights, left=0.0), nan=0.0)
    below = np.maximum.accumulate(np.clip(sloped, 0.0, upto[-1]))
    found: Floats = np.diff(below) / upto[-1]
    return found


def _outline(heights: Floats) -> str:
    """Return a stair of the heights, each in [0, 1]."""
    step = WIDTH / heights.size
    points = []
    for place, height in enumerate(heights.tolist()):
        y = BASE - height * (BASE - 10)
        points += [f"{place * step:.1f},{y:.1f}", f"{(place + 1) * step:.1f},{y:.1f}"]
    return " ".join(points)


def _ticks(low: float, high: float, *, logarithmic: bool) -> tuple[tuple[float, str], ...]:
    if logarithmic:
        powers = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
        every = max(1, len(powers) // 5)
        values = [10.0**power for power in powers][::every]
        start, span = math.log(low), math.log(high) - math.log(low)
        places = [(math.log(value) - start) / span * WIDTH for value in values]
    else:
        rough = (high - low) / 5
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * unit for unit in (1, 2, 5, 10, 20) if power * unit >= rough * 0.7)
        first = math.ceil(low / step)
        values = [k * step for k in range(first, math.floor(high / step) + 1)]
        places = [(value - low) / (high - low) * WIDTH for value in values]
    return tuple(
        (round(place, 1), number(value)) for place, value in zip(places, values, strict=True)
    )
