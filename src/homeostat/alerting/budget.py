"""How strict settings may be so that pages stay within a budget, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from homeostat.stats.intervals import Interval, poisson

SURE = 3.0
"""Weeks without a page that show, at 95 %, a rate below one page in that many weeks: -log(0.05)."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Pages a week that settings chosen without a week gave in it, over all weeks.

    Attributes
    ----------
    rate : float
    interval : Interval
        95 %, as wide as the counts of the weeks vary.
    """

    rate: float
    interval: Interval


def allotted(counts: Sequence[int], budget: float) -> tuple[int, ...]:
    """Return how many pages each rule may keep so that all keep within the budget.

    All come down to one level, those below it keep what they have, and what is left over goes, one
    by one, to those that page least. Nobody gets less from a larger budget.

    Parameters
    ----------
    counts : sequence of int
        Pages of each rule.
    budget : float
        Pages that all may have together.

    Examples
    --------
    >>> allotted([1, 9, 4], 8.0), allotted([2, 1, 1], 2.5), allotted([1, 2], 3.0)
    ((1, 3, 4), (0, 1, 1), (1, 2))
    """
    left = math.floor(budget)
    found = [0] * len(counts)
    order = sorted(range(len(counts)), key=lambda place: (counts[place], place))
    while left and any(found[place] < counts[place] for place in order):
        for place in order:
            if left and found[place] < counts[place]:
                found[place] += 1
                left -= 1
    return tuple(found)


def strictest(counts: Sequence[Sequence[int]], most: float) -> int | None:
    """Return the place of the strictest setting that pages at most so often, or None.

    Those that are less strict keep within it too: a stricter setting may page less by chance, where
    it joins two incidents into one.

    Parameters
    ----------
    counts : sequence of sequence of int
        Pages of each week by setting, the strictest first.
    most : float
        Pages in all these weeks.

    Examples
    --------
    >>> strictest([[3, 1], [0, 1], [1, 1], [0, 1]], 1.0)
    3
    """
    found = None
    for place in reversed(range(len(counts))):
        if sum(counts[place]) > most:
            break
        found = place
    return found


def left_out(counts: Sequence[Sequence[int]], weeks: float, most: float) -> LeftOut:
    """Return what a choice made on other weeks gives: each week is left out once.

    Where no setting keeps within its part on the others, the least strict one is taken.

    Parameters
    ----------
    counts : sequence of sequence of int
        Pages of each week by setting, the strictest first.
    weeks : float
        Length of the history; its last week may be cut.
    most : float
        Pages in all these weeks.

    Examples
    --------
    >>> found = left_out([[2, 0, 0, 0], [0, 0, 0, 0]], 4.0, 1.0)
    >>> found.rate, round(found.interval.upper, 2)
    (0.5, 2.79)
    """
    parts = len(counts[0])
    seen: list[int] = []
    for week in range(parts):
        others = [[*row[:week], *row[week + 1 :]] for row in counts]
        place = strictest(others, most * (parts - 1) / parts)
        seen.append(counts[-1 if place is None else place][week])
    return LeftOut(sum(seen) / weeks, rate_interval(seen, weeks))


def rate_interval(counts: Sequence[int], weeks: float) -> Interval:
    """Return the 95 % interval of pages a week, wider where weeks differ more than by chance.

    Examples
    --------
    >>> even, uneven = rate_interval([1, 1, 1, 1], 4.0), rate_interval([4, 0, 0, 0], 4.0)
    >>> round(even.upper, 2), round(uneven.upper, 2)
    (2.56, 5.57)
    """
    total = sum(counts)
    spread = 1.0
    if total and len(counts) > 1:
        mean = total / len(counts)
        variance = sum((count - mean) ** 2 for count in counts) / (len(counts) - 1)
        spread = max(1.0, variance / mean)
    found = poisson(total / spread)
    return Interval(found.lower * spread / weeks, found.upper * spread / weeks)


def weeks_needed(rate: float) -> float:
    """Return the weeks without a page that would show that there are at most so many.

    Examples
    --------
    >>> weeks_needed(0.5)
    6.0
    """
    return SURE / rate
