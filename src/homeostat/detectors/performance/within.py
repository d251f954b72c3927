"""How the mean loss moves by itself within a day: the rhythm, and what hours do beside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.stats.blocks import HOURS, PRIOR_BLOCKS, between_variance
from homeostat.stats.special import normal_quantile

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PIECES = 12
"""Parts of an hour that are looked at for bursts."""

SPANS = (1, 2, 4, 8)
"""Lengths of bursts that are looked for, in such parts."""

LUCK = 0.2
"""Chance that a reference without bursts is taken to have one."""


@dataclass(frozen=True, slots=True)
class Within:
    """What is known of the hours of a day.

    Attributes
    ----------
    usual : tuple of float
        Mean of each hour of the day (UTC).
    variance : float
        Of one row.
    effect : float
        Variance of an hour's mean about the usual one and the day's: what hours do by themselves,
        and the error of the usual mean.
    """

    usual: tuple[float, ...]
    variance: float
    effect: float

    def rising(self, hours: Ints) -> Floats:
        """Return by how much the rhythm may raise the mean from one part of an hour to another.

        Examples
        --------
        >>> climbing = Within(tuple(0.1 + 0.01 * hour for hour in range(24)), 0.09, 0.0)
        >>> climbing.rising(np.array([5, 24])).round(3).tolist()
        [0.005, 0.0]
        """
        usual = np.asarray(self.usual)
        slope = (usual[(hours + 1) % HOURS] - usual[(hours - 1) % HOURS]) / 2.0
        found: Floats = np.maximum(0.0, slope) / 2.0
        return found

    def level(self, hours: Ints, rows: Floats, totals: Floats) -> tuple[Floats, Floats]:
        """Return what the rows before each piece tell of the mean of its hour.

        Parameters
        ----------
        hours : ndarray of int64
            Shape (n,): hour of each piece, in order, all of one day.
        rows, totals : ndarray
            Shape (n,): how many rows each has, and their losses.

        Returns
        -------
        ndarray, ndarray
            Shape (n,): mean above the usual one, and the variance of its error; infinite where
            nothing was before.

        Examples
        --------
        >>> known = Within((0.2,) * 24, 0.16, 0.0)
        >>> rows = np.array([1600.0, 1600.0])
        >>> above, error = known.level(np.array([5, 5]), rows, np.array([336.0, 999.0]))
        >>> round(float(above[1]), 3), float(error[1]), float(error[0])
        (0.01, 0.0001, inf)
        """
        left = totals - rows * np.asarray(self.usual)[hours % HOURS]
        first = np.flatnonzero(np.diff(hours, prepend=hours[0] - 1))
        owner = np.cumsum(np.isin(np.arange(hours.size), first)) - 1
        sizes, sums = np.add.reduceat(rows, first), np.add.reduceat(left, first)
        # What earlier hours tell of the day, each with an effect of its own.
        weights = 1.0 / (self.variance / sizes + self.effect)
        total = np.concatenate(([0.0], np.cumsum(weights)[:-1]))
        moved = np.concatenate(([0.0], np.cumsum(weights * sums / sizes)[:-1]))
        with np.errstate(divide="ignore", invalid="ignore"):
            day = np.where(total > 0.0, moved / total, 0.0)
            sure = 1.0 / (1.0 / total + self.effect)
            seen = np.cumsum(rows) - rows
            lost = np.cumsum(left) - left
            seen, lost = seen - seen[first][owner], lost - lost[first][owner]
            precision = sure[owner] + seen / self.variance
            mean = (sure[owner] * day[owner] + lost / self.variance) / precision
            return np.where(precision > 0.0, mean, 0.0), 1.0 / precision


def learn(values: Floats, hours: Ints, assumed: float) -> Within | None:
    """Learn from a reference how hours of a day differ.

    Parameters
    ----------
    values : ndarray
        Shape (n,), in order of time.
    hours : ndarray of int64
        Shape (n,): hours since some midnight; each hour of the day has rows.
    assumed : float
        Standard deviation of hour effects where none are seen.

    Returns
    -------
    Within or None
        None where rows come in bursts, of which a rise could be one.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> hours = np.arange(24 * 7).repeat(3600)
    >>> found = learn((rng.random(hours.size) < 0.2).astype(float), hours, 0.0025)
    >>> round(found.usual[3], 2), found.effect**0.5 < 0.005
    (0.21, True)
    """
    of_day = hours % HOURS
    counts = np.bincount(of_day, minlength=HOURS).astype(np.float64)
    usual = np.bincount(of_day, weights=values, minlength=HOURS) / counts
    left = values - usual[of_day]
    days, day = np.unique(hours // HOURS, return_inverse=True)
    left -= (np.bincount(day, weights=left) / np.bincount(day))[day]
    variance = float(left.var())
    if variance == 0.0:
        return None
    _, owner = np.unique(hours, return_inverse=True)
    lost = days.size + HOURS - 1
    seen = float(owner.max()) + 1.0 - lost
    found = between_variance(left, hours, lost)
    prior = PRIOR_BLOCKS * HOURS
    effect = (prior * assumed**2 + max(seen, 0.0) * found) / (prior + max(seen, 0.0))
    if _bursts(left, owner, variance):
        return None
    error = variance / float(counts.min()) + effect / days.size
    return Within(tuple(usual.tolist()), variance, effect + error)


def _bursts(left: Floats, owner: Ints, variance: float) -> bool:
    """Return whether parts of an hour are off the hour's mean by more than luck."""
    size = np.bincount(owner).astype(np.float64)
    first = np.cumsum(size) - size
    part = ((np.arange(owner.size) - first[owner]) * PIECES / size[owner]).astype(np.int64)
    place = owner * PIECES + part
    rows = np.bincount(place, minlength=size.size * PIECES).reshape(-1, PIECES)
    sums = np.bincount(place, weights=left, minlength=size.size * PIECES).reshape(-1, PIECES)
    sums -= rows * (sums.sum(axis=1) / size)[:, None]
    tested = size.size * PIECES * len(SPANS) * 2.0
    most = normal_quantile(1.0 - LUCK / tested)
    for span in SPANS:
        cover = np.lib.stride_tricks.sliding_window_view
        n, off = (cover(whole, span, axis=1).sum(axis=-1) for whole in (rows, sums))
        free = n * (1.0 - n / size[:, None]) * variance
        usable = free > 25.0  # few errors are not normal
        if bool(np.any(np.abs(off[usable]) > most * np.sqrt(free[usable]))):
            return True
    apart = left - (np.bincount(owner, weights=left) / size)[owner]
    return between_variance(apart, place, size.size, careful=1.5) > 0.0
