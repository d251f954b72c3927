"""How rarely something comes, told by the highest values of past stretches of time.

Time is cut into blocks, and of each block only the highest value of each of several statistics is
kept. If blocks are alike, a new one's highest value is as likely to be the highest, second highest
... of all as any other's, whatever the distribution and however the points within a block hang
together: no statistic needs to be independent, normal or without ties. So ``(blocks + 1) / (blocks
as high + 1)`` is how many blocks there are to one as high: its return period (block maxima, as
hydrology has them: Gumbel 1958; the ranks are conformal: Vovk, Gammerman and Shafer 2005). Beyond
the highest one an exponential tail on the log scale carries on.

Several statistics are made one: each is told on a log scale, in its own blocks' spreads from their
median, and the largest counts. The blocks' own figures are made one by the same rule, so that one
ranking holds for all together and nothing is lost to looking several times.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

FEWEST, MOST = 28, 56
"""Blocks that are remembered: so many at first, then the newer half, and never more than `MOST`.
While a series is being learnt its deviations are larger; they do not set the measure for long."""
FLOOR, CEILING = -50.0, 50.0
"""Of the common scale: nothing at all, and something where there never was anything."""
_PRIOR_SPREAD, _PRIOR_BLOCKS = 0.3, 2.0
_FURTHEST = 20.0


@dataclass(frozen=True, slots=True)
class Peaks:
    """Highest values of past blocks, and of the one under way.

    Attributes
    ----------
    past : tuple of tuple of float
        For each block, the newest last, the highest value of each statistic; at most `MOST`.
    now : tuple of float
        Those of the block under way.
    middles, spreads : tuple of float
        For each statistic the median over past blocks and the mean distance from it, of logarithms.
    heights : tuple of float
        Of past blocks, on the common scale.
    height : float
        Of the block under way.
    seen : int
        Blocks so far.

    Examples
    --------
    Of one statistic, highest in three blocks at 2, 3 and 4:

    >>> peaks = Peaks.of(1)
    >>> for value in (3.0, 2.0, 4.0):
    ...     peaks = peaks.noting((value,)).closed()
    >>> [round(peaks.blocks_to_one(peaks.on_scale((value,))), 2) for value in (1.0, 2.5, 4.1, 8.0)]
    [1.0, 1.33, 4.4, 58.34]
    """

    past: tuple[tuple[float, ...], ...]
    now: tuple[float, ...]
    middles: tuple[float, ...]
    spreads: tuple[float, ...]
    heights: tuple[float, ...] = ()
    height: float = FLOOR
    seen: int = 0

    @staticmethod
    def of(statistics: int) -> Peaks:
        """Return what is known of so many statistics before the first block."""
        zeros = (0.0,) * statistics
        return Peaks((), zeros, zeros, (1.0,) * statistics)

    def on_scale(self, values: Sequence[float]) -> float:
        """Return where values of all statistics, none negative, lie on the common scale."""
        return max(self.one_on_scale(at, value) for at, value in enumerate(values))

    def one_on_scale(self, at: int, value: float) -> float:
        """Return where a value of one statistic lies on the common scale."""
        if value <= 0.0:
            return FLOOR
        if self.middles[at] <= 0.0:
            return CEILING
        height = (math.log(value) - math.log(self.middles[at])) / self.spreads[at]
        return min(max(height, FLOOR), CEILING)

    def at_height(self, at: int, height: float) -> float:
        """Return the value of a statistic that lies there on the common scale."""
        return self.middles[at] * math.exp(min(height * self.spreads[at], _FURTHEST))

    def blocks_to_one(self, height: float) -> float:
        """Return how many blocks there are, about, to one that is as high; at least 1."""
        known = (*self.heights, self.height)
        as_high = sum(other >= height for other in known)
        periods = len(known) / (as_high + 1)
        if as_high:
            return max(1.0, periods)
        return periods * math.exp(min(height - max(known), _FURTHEST))

    def limit(self, periods: float) -> float:
        """Return the height above which there are at least so many blocks to one."""
        known = sorted((*self.heights, self.height), reverse=True)
        allowed = int(len(known) / periods) - 1
        if allowed >= 0:
            return known[allowed]
        return known[0] + math.log(periods / len(known))

    def noting(self, values: Sequence[float]) -> Peaks:
        """Return the peaks after a point of the block under way."""
        height = max(self.height, self.on_scale(values))
        now = tuple(max(pair) for pair in zip(self.now, values, strict=True))
        return replace(self, now=now, height=height)

    def closed(self) -> Peaks:
        """Return the peaks after the end of the block under way."""
        seen = self.seen + 1
        past = (*self.past, self.now)[-min(MOST, max(FEWEST, seen // 2)) :]
        columns = [_middle(column) for column in zip(*past, strict=True)]
        middles, spreads = zip(*columns, strict=True)
        blank = Peaks(past, (0.0,) * len(self.now), middles, spreads, seen=seen)
        return replace(blank, heights=tuple(blank.on_scale(block) for block in past))


def _middle(values: tuple[float, ...]) -> tuple[float, float]:
    """Return median and mean distance of logarithms; a mean where most are zero."""
    middle = sorted(values)[len(values) // 2] or math.fsum(values) / len(values) or max(values)
    off = [abs(math.log(value) - math.log(middle)) for value in values if value > 0.0]
    return middle, (math.fsum(off) + _PRIOR_BLOCKS * _PRIOR_SPREAD) / (len(off) + _PRIOR_BLOCKS)
