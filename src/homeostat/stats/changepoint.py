"""Evidence that the mean of a series has shifted, from windows whose variation is not known.

Each series holds one summary a window (a mean, a share). Windows of healthy traffic vary by more
than sampling, by an amount nobody knows, and the reference's own mean is an estimate. So the
reference's windows and those since are looked at as one sample: for every window k at which the
mean may have shifted, the Bayes factor of "shifted at k" against "one mean" under the right Haar
prior on mean and variance is an e-value, whatever the true mean and variance are (Perez-Ortiz,
Lardy, de Heide & Grunwald, "E-statistics, group invariance and anytime-valid testing", Annals of
Statistics 2024; closed form: Gonen, Johnson, Lu & Westfall, American Statistician 2005). Their sum
over k is an e-detector (Shin, Ramdas & Rinaldo 2023): while nothing shifts, the expected number of
windows until it reaches A is at least A. That is exact for normal summaries of equally variable,
exchangeable windows; what makes it sharper here (variances shared between series, weights that
follow from estimated variances) holds approximately, and what makes it more careful (sampling as
the least variance, tails as heavy as the reference's) lowers it. Simulations check both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from homeostat.stats.shrinkage import fit_common

Floats = NDArray[np.float64]

SPREADS = (4.0, 64.0)
"""Variances of a shift, in units of a window's own, that share the prior."""

DENSITY = 0.5
"""Times of change are kept at ages so far apart, relative to their age."""

PRIOR_WINDOWS = 14
"""Reference windows from which their own variation is taken at its word."""

_LOG_MAX = 600.0


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """What the reference's windows say about each series; arrays of shape (series,).

    Attributes
    ----------
    mean : ndarray
        Weighted mean of the windows.
    weight, windows : ndarray
        Sum of the windows' weights, and their number.
    squares : ndarray
        Weighted squares about the mean; in units in which sampling alone gives 1 a window.
    freedom : ndarray
        Degrees of freedom of `squares`.
    tails : ndarray
        Those of the t distribution that windows follow: fewer, if some are out of the ordinary.
    excess : ndarray
        Variance between windows beyond sampling.
    unit : ndarray
        Variance of one row: sampling adds ``unit / rows`` to a window's variance.
    rows : ndarray
        Of a typical window.
    wander : ndarray
        Standard deviation of slow movements within the reference; assumed if it is short.
    """

    mean: Floats
    weight: Floats
    windows: Floats
    squares: Floats
    freedom: Floats
    tails: Floats
    excess: Floats
    unit: Floats
    rows: Floats
    wander: Floats

    @property
    def scale(self) -> Floats:
        """Variance of a typical window."""
        return self.excess + self.unit / self.rows

    def weigh(self, rows: Floats | float, stretch: Floats | float = 0.0) -> Floats:
        """Return the weights of a window: one over its variance, ``1 + stretch`` times larger."""
        return 1.0 / ((self.excess + self.unit / rows) * (1.0 + stretch))


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """Windows since the reference.

    Attributes
    ----------
    seen : int
        Windows so far.
    starts : tuple of int
        Windows at which a change may have begun, ascending.
    total : ndarray, shape (4, series)
        Weight, number, weighted sum and weighted squares of deviations from the baseline's mean.
    since : ndarray, shape (starts, 2, series)
        Weight and weighted sum of the windows from each start on.
    """

    seen: int
    starts: tuple[int, ...]
    total: Floats
    since: Floats


def fit_baseline(
    values: Floats,
    rows: Floats,
    unit: Floats,
    leverage: Floats | float = 0.0,
    lost: Floats | float = 0.0,
    prior: float = 0.0,
    kinds: NDArray[np.intp] | None = None,
    stretches: int = 0,
) -> Baseline:
    """Learn mean and variation of each series from the reference's windows, in order of time.

    Parameters
    ----------
    values, rows : ndarray, shape (windows, series)
        Summaries, rhythm taken out, NaN for none; and the rows behind each, above 0.
    unit : ndarray, shape (series,)
        Variance of one row.
    leverage, lost : float or ndarray, shapes (windows, series) and (series,)
        Share of each window's own noise, and degrees of freedom, that taking out the rhythm cost.
    prior : float
        Variance between windows, per `unit`, that fewer than `PRIOR_WINDOWS` do not show.
    kinds : ndarray of intp, shape (series,), optional
        Series of one kind tell one another how much windows vary.
    stretches : int
        Parts between which slow movements show; 0: of 7 windows, at most 8.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> base = fit_baseline(rng.normal(5.0, 0.1, (28, 1)), np.full((28, 1), 100.0), np.ones(1))
    >>> base.mean.round(1).tolist(), base.windows.tolist()
    ([5.0], [28.0])
    """
    known = ~np.isnan(values)
    count = known.sum(axis=0).astype(np.float64)
    safe = np.maximum(count, 1.0)
    centre = np.where(known, values, 0.0).sum(axis=0) / safe
    apart = np.where(known, values - centre, 0.0) / np.sqrt(1.0 - np.asarray(leverage))
    sampled = np.where(known, unit / rows, 0.0).sum(axis=0) / safe
    freedom = np.maximum(count - 1.0 - lost, 0.0)
    spread = (apart**2).sum(axis=0) / np.maximum(count - 1.0, 1.0)
    ratio = np.where(freedom > 0.0, spread / np.maximum(sampled, 1e-300), 1.0)
    ratio, freedom = _share(ratio, freedom, kinds)
    # Windows cannot vary less than sampling makes them: agreement beyond that is luck.
    excess = (np.maximum(ratio, 1.0) - 1.0) * sampled
    weights = np.where(known, 1.0 / (excess + unit / rows), 0.0)
    weight = weights.sum(axis=0)
    mean = centre + (weights * apart).sum(axis=0) / np.maximum(weight, 1e-300)
    typical = np.maximum(np.where(known, rows, 0.0).sum(axis=0) / safe, 1.0)
    pseudo = np.maximum(0.0, PRIOR_WINDOWS - count)
    assumed = (unit / typical + prior * unit) / (excess + unit / typical)
    squares = freedom + pseudo * np.maximum(assumed, 1.0)
    apart[~known] = np.nan
    tails, freedom = _tails(apart), freedom + pseudo
    wander = np.where(pseudo > 0.0, np.sqrt(prior * unit), _wander(apart, stretches))
    return Baseline(
        mean, weight, count, squares, freedom, tails, excess, unit, typical, wander
    )  # fmt: skip


def _share(ratio: Floats, freedom: Floats, kinds: NDArray[np.intp] | None) -> tuple[Floats, Floats]:
    """Pull the variances of each kind towards what they have in common."""
    pulled, total = ratio.copy(), freedom.copy()
    for kind in np.unique(kinds) if kinds is not None else ():
        members = kinds == kind
        common = fit_common(ratio[members], freedom[members])
        total[members] += common.freedom
        both = freedom[members] * ratio[members] + common.freedom * common.variance
        pulled[members] = both / np.maximum(total[members], 1e-300)
    return np.where(total > 0.0, pulled, ratio), total


def _tails(apart: Floats) -> Floats:
    """Return the degrees of freedom of the t distribution with the windows' kurtosis.

    Days out of the ordinary make tails heavier than normal ones. One series shows that poorly (its
    standard error is about one), so all are averaged, and a series of its own only counts beyond
    two standard errors. Of fewer than `PRIOR_WINDOWS` windows the tails are as heavy as those of a
    variance that only they show.
    """
    known = (~np.isnan(apart)).sum(axis=0).astype(np.float64)
    few = known < PRIOR_WINDOWS
    count = np.maximum(known, 4.0)
    second, fourth = (np.nan_to_num(apart**power).sum(axis=0) / count for power in (2, 4))
    varied = (second > 0.0) & ~few
    ratio = fourth / np.where(varied, second, 1.0) ** 2
    lean = (count - 1.0) / ((count - 2.0) * (count - 3.0))
    excess = np.where(varied, lean * ((count + 1.0) * ratio - 3.0 * (count - 1.0)), 0.0)
    pooled = float(excess[varied].mean()) if varied.any() else 0.0
    heavy = np.maximum(np.maximum(pooled, excess - 2.0), 1e-9)
    return np.where(few, np.maximum(known - 1.0, 3.0), 4.0 + 6.0 / heavy)


def _wander(apart: Floats, stretches: int) -> Floats:
    """Return how much means over stretches of windows vary beyond what single windows explain."""
    windows = len(apart)
    if windows < PRIOR_WINDOWS:
        return np.zeros(apart.shape[1])
    parts = np.array_split(np.nan_to_num(apart), stretches or min(8, windows // 7))
    means = np.stack([part.mean(axis=0) for part in parts])
    length = windows / len(parts)
    within = np.mean([part.var(axis=0, ddof=1) for part in parts], axis=0)
    beyond: Floats = np.sqrt(np.maximum(means.var(axis=0, ddof=1) - within / length, 0.0))
    return beyond


def fresh(series: int) -> Tally:
    """Return the tally before the first window."""
    return Tally(0, (), np.zeros((4, series)), np.zeros((0, 2, series)))


def update(tally: Tally, baseline: Baseline, values: Floats, weights: Floats) -> Tally:
    """Add one window.

    Parameters
    ----------
    tally : Tally
    baseline : Baseline
    values : ndarray, shape (series,)
        Its summaries, rhythm taken out.
    weights : ndarray, shape (series,)
        `Baseline.weigh`; 0 where a series has no value.
    """
    used = weights > 0.0
    moved = np.where(used, values - baseline.mean, 0.0)
    part = np.stack([weights, weights * moved])
    total = tally.total + np.stack([weights, used, weights * moved, weights * moved**2])
    since = np.concatenate([tally.since, np.zeros((1, *part.shape))]) + part
    starts = (*tally.starts, tally.seen)
    seen = tally.seen + 1
    kept = _thin(starts, seen)
    return Tally(seen, tuple(starts[i] for i in kept), total, since[kept])


def _thin(starts: tuple[int, ...], seen: int) -> list[int]:
    """Return which starts to keep: of two whose neighbours are close for their age, one goes.

    Which are kept depends on time alone, never on what was seen, so the evidence stays valid.
    """
    kept = list(range(len(starts)))
    place = 1
    while place < len(kept) - 1:
        older, newer = starts[kept[place - 1]], starts[kept[place + 1]]
        if newer - older <= max(1.0, DENSITY * (seen - newer)):
            del kept[place]
        else:
            place += 1
    return kept


def forget(tally: Tally, series: NDArray[np.bool_]) -> Tally:
    """Return the tally with some series as if no window had been seen since the reference."""
    return replace(
        tally,
        total=np.where(series, 0.0, tally.total),
        since=np.where(series, 0.0, tally.since),
    )


def log_factors(tally: Tally, baseline: Baseline) -> Floats:
    """Return log Bayes factors, shape (starts, series); -inf where a start has no window."""
    weight, count, moved, squares = tally.total
    after, late = tally.since[:, 0], tally.since[:, 1]
    whole = baseline.weight + weight
    before = whole - after
    usable = (after > 0.0) & (before > 0.0)
    after, before = np.where(usable, after, 1.0), np.where(usable, before, 1.0)
    gap = late / after - (moved - late) / before
    size = after * before / (after + before)
    explained = size * gap**2
    one_mean = baseline.squares + np.maximum(squares - moved**2 / np.maximum(whole, 1e-300), 0.0)
    freedom = np.maximum(baseline.freedom + count - 1.0, 1.0)
    apart = np.maximum(one_mean - explained, 1e-12 * one_mean) / freedom
    square = explained / apart
    freedom = np.minimum(freedom, baseline.tails)
    logs = np.full((len(SPREADS), *size.shape), -np.inf)
    for place, spread in enumerate(SPREADS):
        gain = spread * baseline.scale * size
        ratio = np.log1p(square / freedom) - np.log1p(square / (freedom * (1.0 + gain)))
        logs[place] = 0.5 * (freedom + 1.0) * ratio - 0.5 * np.log1p(gain)
    top = logs.max(axis=0)
    mixed = top + np.log(np.exp(logs - top).mean(axis=0))
    return np.where(usable, np.minimum(mixed, _LOG_MAX), -np.inf)


@dataclass(frozen=True, slots=True, eq=False)
class Shift:
    """What a tally says; arrays of shape (series,) but for ``evidence``.

    Attributes
    ----------
    evidence : ndarray, shape (groups,)
        E-detectors: averages over each group's series; 0 before the first window.
    parts : ndarray
        What each series contributes to its group's evidence.
    size : ndarray
        Mean since the change less the baseline's mean, averaged over when the group's change may
        have been.
    error : ndarray
        Its standard error.
    """

    evidence: Floats
    parts: Floats
    size: Floats
    error: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Series that are judged together, such as those of one column.

    Attributes
    ----------
    owner : ndarray of intp, shape (series,)
        Group of each series.
    weights : ndarray, shape (series,)
        Part of the group's evidence that each carries; they add up to 1 in a group.
    size : int
        Number of groups.
    """

    owner: NDArray[np.intp]
    weights: Floats
    size: int

    def add(self, values: Floats) -> Floats:
        """Return sums over each group, shape (..., groups), of values of shape (..., series)."""
        found = np.zeros((self.size, *values.shape[:-1]))
        np.add.at(found, self.owner, np.moveaxis(values, -1, 0))
        return np.moveaxis(found, 0, -1)


def measure(tally: Tally, baseline: Baseline, groups: Groups) -> Shift:
    """Return evidence and size of shifts.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> base = fit_baseline(rng.normal(5.0, 0.1, (28, 1)), np.full((28, 1), 100.0), np.ones(1))
    >>> tally = fresh(1)
    >>> for value in (5.05, 5.5, 5.6):
    ...     tally = update(tally, base, np.array([value]), base.weigh(100.0))
    >>> found = measure(tally, base, Groups(np.zeros(1, dtype=np.intp), np.ones(1), 1))
    >>> bool(found.evidence[0] > 1000), found.size.round(1).tolist()
    (True, [0.6])
    """
    nothing = np.zeros(baseline.mean.size)
    if not tally.starts:
        return Shift(np.zeros(groups.size), nothing, nothing, np.sqrt(baseline.scale))
    factors = np.exp(log_factors(tally, baseline)) * groups.weights
    by_start = groups.add(factors)
    evidence = by_start.sum(axis=0)
    share = (by_start / np.where(evidence > 0.0, evidence, 1.0))[:, groups.owner]
    weight = (share * tally.since[:, 0]).sum(axis=0)
    means = tally.since[:, 1] / np.where(tally.since[:, 0] > 0.0, tally.since[:, 0], 1.0)
    size = (share * means).sum(axis=0)
    error = np.sqrt(1.0 / np.where(weight > 0.0, weight, 1.0 / baseline.scale))
    return Shift(evidence, factors.sum(axis=0), size, error)
