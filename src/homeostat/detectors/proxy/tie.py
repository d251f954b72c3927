"""How well an early signal foretells a later label, and what it says of rows without one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.stats import crosstab, ranking
from homeostat.stats.estimates import Estimate, missing, within
from homeostat.stats.intervals import Interval, normal
from homeostat.stats.special import normal_quantile, normal_sf

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

CELLS = 10
ENOUGH_ROWS = 100
ENOUGH_LABELS = 20
ENOUGH_WINDOWS = 3
ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Halves:
    """The correlation in the earlier and in the later half of the matured rows.

    ``p_value`` is one-sided, against "it has not weakened". Days are taken to be alike.
    """

    earlier: Estimate
    later: Estimate
    p_value: float

    @property
    def weakened(self) -> bool:
        """Whether the signal has come to say less."""
        return self.p_value < ALPHA


@dataclass(frozen=True, slots=True, eq=False)
class Tie:
    """What a signal says of a label, with 95 % intervals.

    Attributes
    ----------
    correlation : Estimate
        Phi of two yes/no columns, point-biserial of a number.
    auc : Estimate
    precision, recall, lift : Estimate
        Of a yes/no signal; lift is the precision over the rate of all.
    edges : ndarray of float64
        Between the cells of the signal: tenths of a number.
    rates, rows : ndarray of float64, shape (cells,)
        Rate of the label in each cell, and the rows it rests on.
    wander : float
        Standard deviation by which rates of whole windows miss, beyond sampling.
    halves : Halves or None
        None without times.
    reason : str
        Why nothing can be told; empty if it can.
    """

    correlation: Estimate
    auc: Estimate
    precision: Estimate
    recall: Estimate
    lift: Estimate
    edges: Floats
    rates: Floats
    rows: Floats
    wander: float = 0.0
    halves: Halves | None = None
    reason: str = ""


def fit_tie(
    signal: Floats, labels: Floats, times: NDArray[np.int64] | None = None, length: int = 0
) -> Tie:
    """Learn from rows old enough for their labels to be complete.

    Parameters
    ----------
    signal, labels : ndarray of float64, shape (n,)
        No NaN; labels 0 or 1.
    times : ndarray of int64, shape (n,), optional
        Microseconds.
    length : int
        Of a window in microseconds, to learn how much rates wander; 0: they are taken not to.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> labels = (rng.random(5000) < 0.2) * 1.0
    >>> signal = np.where(rng.random(5000) < 0.8, labels, 0.0)
    >>> tie = fit_tie(signal, labels)
    >>> round(tie.recall.value, 1), tie.precision.value, tie.halves
    (0.8, 1.0, None)
    """
    positive = int(labels.sum())
    least = min(positive, labels.size - positive)
    if labels.size < ENOUGH_ROWS or least < ENOUGH_LABELS or np.unique(signal).size < 2:
        return _untold(labels.size, least, np.unique(signal).size)
    binary = bool(np.isin(signal, (0.0, 1.0)).all())
    levels = np.linspace(0.0, 1.0, CELLS + 1)[1:-1]
    edges = np.array([0.5]) if binary else np.unique(np.quantile(signal, levels))
    cells = np.searchsorted(edges, signal, side="right")
    rows = np.bincount(cells, minlength=edges.size + 1).astype(np.float64)
    rates = (np.bincount(cells, labels, minlength=rows.size) + 0.5) / (rows + 1.0)
    none = missing("the signal is a number, not yes or no", labels.size)
    precision, recall, lift = none, none, none
    if binary:
        table = crosstab.crosstab(labels, signal, 2)
        precision, recall = crosstab.precision(table), crosstab.recall(table)
        lift = _lift(signal, labels)
    order = np.argsort(signal, kind="stable")
    return Tie(
        correlation(signal, labels),
        ranking.auc_estimate(ranking.rank(labels[order], signal[order])),
        precision,
        recall,
        lift,
        edges,
        rates,
        rows,
        0.0 if times is None or not length else _wander(rates, cells, labels, times // length),
        None if times is None else _halves(signal, labels, times),
    )


def _untold(rows: int, least: int, values: int) -> Tie:
    if values < 2 and rows >= ENOUGH_ROWS:
        reason = "the signal has one value only"
    else:
        reason = (
            f"{rows:,} matured rows have label and signal, {least:,} of the rarer class: "
            f"{ENOUGH_ROWS} and {ENOUGH_LABELS} are needed"
        )
    none = missing(reason, rows)
    return Tie(none, none, none, none, none, *(np.empty(0),) * 3, reason=reason)


def correlation(first: Floats, second: Floats) -> Estimate:
    """Return Pearson's correlation with an interval by its influence, on Fisher's scale.

    Examples
    --------
    >>> correlation(np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0, 1.0])).value
    1.0
    >>> correlation(np.zeros(3), np.ones(3)).problem
    'one value only'
    """
    found = _fisher(first, second)
    if found is None:
        return missing("one value only", first.size)
    value, error = found
    around = normal(math.atanh(min(max(value, -1.0 + 1e-12), 1.0 - 1e-12)), error)
    return within(value, Interval(math.tanh(around.lower), math.tanh(around.upper)), first.size)


def _fisher(first: Floats, second: Floats) -> tuple[float, float] | None:
    """Return the correlation, and the standard error of its Fisher transform."""
    spreads = (float(first.std()), float(second.std())) if first.size else (0.0, 0.0)
    if not min(spreads) > 0.0:
        return None
    x, y = (first - first.mean()) / spreads[0], (second - second.mean()) / spreads[1]
    value = min(max(float((x * y).mean()), -1.0), 1.0)
    moved = x * y - value * (x * x + y * y) / 2.0
    return value, float(moved.std()) / math.sqrt(first.size) / max(1.0 - value * value, 1e-12)


def _lift(signal: Floats, labels: Floats) -> Estimate:
    both, asked, base = signal * labels, float(signal.mean()), float(labels.mean())
    if not both.any():
        return missing("no row has both the signal and the label", labels.size)
    value = float(both.mean()) / (asked * base)
    moved = both / both.mean() - signal / asked - labels / base + 1.0
    around = normal(math.log(value), float(moved.std()) / math.sqrt(labels.size))
    return within(value, Interval(math.exp(around.lower), math.exp(around.upper)), labels.size)


def _halves(signal: Floats, labels: Floats, times: NDArray[np.int64]) -> Halves:
    order = np.argsort(times, kind="stable")
    parts = np.array_split(order, 2)
    found = [_fisher(signal[part], labels[part]) for part in parts]
    told = [correlation(signal[part], labels[part]) for part in parts]
    first, second = found
    if first is None or second is None:
        return Halves(told[0], told[1], 1.0)
    # What the later half has lost counts whichever way the signal points.
    lost = [math.copysign(1.0, first[0]) * math.atanh(0.999999 * one[0]) for one in (first, second)]
    error = max(math.hypot(first[1], second[1]), 1e-12)
    return Halves(told[0], told[1], normal_sf((lost[0] - lost[1]) / error))


def _wander(rates: Floats, cells: Places, labels: Floats, blocks: NDArray[np.int64]) -> float:
    _, owner, counts = np.unique(blocks, return_inverse=True, return_counts=True)
    if counts.size < ENOUGH_WINDOWS:
        return 0.0
    chances = rates[cells]
    missed = np.bincount(owner, labels - chances) / counts
    expected = np.bincount(owner, chances * (1.0 - chances)) / counts**2
    return math.sqrt(max(float((missed**2 - expected).mean()), 0.0))


def foretell(tie: Tie, signal: Floats, level: float = 0.95) -> Estimate:
    """Return what the rate of the label will come to among rows with this signal.

    Its interval holds the rate to be realized: the rows' own chance, the error of the tie, and how
    much rates of windows wandered before. It rests on the tie staying as it was.

    Parameters
    ----------
    tie : Tie
    signal : ndarray of float64, shape (m,)
        No NaN.

    Examples
    --------
    >>> labels = np.tile([0.0, 0.0, 0.0, 1.0], 100)
    >>> round(foretell(fit_tie(labels, labels), np.array([0.0, 1.0])).value, 2)
    0.5
    """
    if tie.reason or not signal.size:
        return missing(tie.reason or "no row has the signal yet", signal.size)
    cells = np.searchsorted(tie.edges, signal, side="right")
    shares = np.bincount(cells, minlength=tie.rates.size) / signal.size
    spread = tie.rates * (1.0 - tie.rates)
    own = float(shares @ spread) / signal.size
    learned = float((shares**2) @ (spread / np.maximum(tie.rows, 1.0)))
    error = math.sqrt(own + learned + tie.wander**2)
    value = float(shares @ tie.rates)
    reach = normal_quantile((1.0 + level) / 2.0) * error
    bounds = Interval(max(value - reach, 0.0), min(value + reach, 1.0))
    return within(value, bounds, signal.size)
