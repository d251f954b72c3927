"""In which ways a column can change: each with how large the change is and how likely by chance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.comparison.config import ComparisonConfig
from homeostat.detectors.comparison.unseen import exchanged
from homeostat.domain.model import ColumnKind
from homeostat.profiles.compare import RARE, bin_reference, rebin
from homeostat.profiles.profile import ColumnProfile
from homeostat.stats.distances import shares, total_variation
from homeostat.stats.special import normal_quantile, normal_sf, t_sf
from homeostat.stats.tables import chi2_counts, proportion_test

CELLS = 10
SCORE_CELLS = 50  # finer cells lose nothing of a shift: the scores' variance is 0.99 of the normal
ROWS_A_CELL = 10  # of the smaller side, so that the chi-squared tail holds
LEAST_EXPECTED = 10.0
MOST_CATEGORIES = 200
TAIL = 0.01  # values beyond the reference's extremes score as its 1 % quantiles
NARROW = 32.0  # standard deviations in a mean from which on a bin, 0.8 % wide, hides a shift
FEW = 50  # rows in the rarest field of a two by two table below which its test is exact

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Aspect:
    """One way to change.

    Attributes
    ----------
    name : str
        ``location``, ``shape``, ``categories``, ``exchanged`` or ``missing``.
    effect, threshold : float
        Size of the change, and the size from which it matters.
    p_value : float
        Of no change; 1 where there is nothing to test.
    signed : float
        The effect with its direction, where there is one.
    """

    name: str
    effect: float
    threshold: float
    p_value: float
    signed: float

    @property
    def score(self) -> float:
        """Effect in units of its threshold."""
        return self.effect / self.threshold


def aspects(
    reference: ColumnProfile, current: ColumnProfile, config: ComparisonConfig
) -> tuple[Aspect, ...]:
    """Measure each way in which a column can change.

    If a side has too few values (`comparable`), that is the missing rate alone.

    Parameters
    ----------
    reference, current : ColumnProfile
        Of one kind, with at least one row each.
    config : ComparisonConfig

    Examples
    --------
    >>> from homeostat.profiles.build import profile_numbers
    >>> rng = np.random.default_rng(1)
    >>> before, after = (profile_numbers(rng.normal(mean, size=5000)) for mean in (0.0, 0.2))
    >>> found = aspects(before, after, ComparisonConfig())
    >>> [aspect.name for aspect in found], round(found[0].signed, 1)
    (['location', 'shape', 'missing'], 0.2)
    """
    missing = _missing(reference, current, config)
    if not comparable(reference, current, config):
        return (missing,)
    if reference.kind is ColumnKind.NUMERIC:
        ways = [_location(reference, current, config), _shape(reference, current, config)]
    else:
        ways = [_categories(reference, current, config)]
        if reference.kind is ColumnKind.CATEGORICAL:
            effect, p_value = exchanged(reference, current)
            ways.append(Aspect("exchanged", effect, config.min_moved, p_value, effect))
    return (*ways, missing)


def comparable(reference: ColumnProfile, current: ColumnProfile, config: ComparisonConfig) -> bool:
    """Whether both sides have enough values to compare more than how many are missing."""
    return min(reference.present, current.present) >= config.min_rows


def moved(before: Counts, after: Counts) -> float:
    """Return the share of rows that moved: total variation less what chance alone makes of it.

    Chance adds in squares; what it adds to each cell is its binomial deviation.

    Examples
    --------
    >>> moved(np.array([100, 100]), np.array([100, 100]))
    0.0
    >>> round(moved(np.array([50_000, 50_000]), np.array([60_000, 40_000])), 3)
    0.1
    """
    pooled = shares(before + after)
    noise = 1.0 / float(before.sum()) + 1.0 / float(after.sum())
    spread = float(np.sqrt(pooled * (1.0 - pooled) * noise * 2.0 / math.pi).sum()) / 2.0
    return math.sqrt(max(0.0, total_variation(before, after) ** 2 - spread**2))


def homogeneity(before: Counts, after: Counts, least: float = LEAST_EXPECTED) -> float:
    """Return the p-value of no difference between two rows of counts; 1 if there is one cell.

    Pearson's test, with cells put together in which fewer than `least` rows of the smaller side are
    expected, so that chance follows its law; two cells are tested exactly.
    """
    before, after = _pool(before, after, least)
    if before.size < 2:
        return 1.0
    if before.size == 2:
        return two_shares(int(before[0]), int(before.sum()), int(after[0]), int(after.sum()))
    return chi2_counts(before, after).p_value


def two_shares(x: int, n: int, y: int, m: int) -> float:
    """Return the p-value of two equal shares ``x / n`` and ``y / m``; 1 if there is none to test.

    Fisher's exact test, the smaller tail doubled, where a field has few rows; else the z-test.

    Examples
    --------
    >>> round(two_shares(8, 10, 1, 6), 4), two_shares(0, 10, 0, 10)
    (0.049, 1.0)
    """
    if not (n and m) or x + y in {0, n + m}:
        return 1.0
    if min(x + y, n + m - x - y) * min(n, m) / (n + m) >= FEW:
        return proportion_test(x, n, y, m).p_value
    return min(1.0, 2.0 * _hypergeometric_tail(x, n, y, m))


def _hypergeometric_tail(x: int, n: int, y: int, m: int) -> float:
    """Return the smaller tail of `x` given the margins."""
    if x + y > (n + m) / 2:
        x, y = n - x, m - y
    total = x + y
    if x * m < y * n:  # the tail below x is the tail above y of the other side
        x, n, m = y, m, n
    # From x upwards the probabilities fall, each by a known ratio.
    term = math.exp(_log_choose(n, x) + _log_choose(m, total - x) - _log_choose(n + m, total))
    tail = 0.0
    while term > 1e-17 * tail:
        tail += term
        term *= (n - x) * (total - x) / ((x + 1) * (m - total + x + 1))
        x += 1
    return tail


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _pool(before: Counts, after: Counts, expected: float) -> tuple[Counts, Counts]:
    """Put cells together that are too rare on the smaller side, into one that is not."""
    both = before + after
    least = expected * float(both.sum()) / float(min(before.sum(), after.sum()))
    rare = both < least
    if not rare.any():
        return before, after
    pair = np.stack((before, after))
    common, rest = pair[:, ~rare], pair[:, rare].sum(axis=1, keepdims=True)
    pooled = np.concatenate((common, rest), axis=1)
    if rest.sum() < least and common.shape[1] > 1:
        smallest = int(common.sum(axis=0).argmin())
        pooled[:, smallest] += rest[:, 0]
        pooled = pooled[:, :-1]
    pooled = pooled[:, pooled.sum(axis=0) > 0]
    return pooled[0], pooled[1]


def _shape(reference: ColumnProfile, current: ColumnProfile, config: ComparisonConfig) -> Aspect:
    binning = bin_reference(reference, CELLS)
    before, after = rebin(reference, binning), rebin(current, binning)
    effect = moved(before, after)
    cells = max(2, min(CELLS, min(reference.present, current.present) // ROWS_A_CELL))
    if cells < CELLS:
        coarse = bin_reference(reference, cells)
        before, after = rebin(reference, coarse), rebin(current, coarse)
    # Of cells that hold a share of the reference, pooling those that happen to be rare in the
    # current rows would be a choice by what is tested: only cells that ties left empty are rare.
    p_value = homogeneity(before, after, ROWS_A_CELL / 2)
    return Aspect("shape", effect, config.min_moved, p_value, effect)


def _categories(
    reference: ColumnProfile, current: ColumnProfile, config: ComparisonConfig
) -> Aspect:
    values = list({*reference.values, *current.values})
    pair = np.array([reference.rows_with(values), current.rows_with(values)], dtype=np.int64)
    total = pair.sum(axis=0)
    order = sorted(range(len(values)), key=lambda k: (-total[k], values[k]))[:MOST_CATEGORIES]
    if reference.other or current.other:
        # Counts of rare values are estimates there: only what is frequent can be compared.
        order = [k for k in order if total[k] * RARE >= reference.present + current.present]
    rest = np.array([[reference.present], [current.present]]) - pair[:, order].sum(1, keepdims=True)
    before, after = np.concatenate((pair[:, order], rest), axis=1)
    effect = moved(before, after)
    p_value = homogeneity(before, after)
    return Aspect("categories", effect, config.min_moved, p_value, effect)


def _location(reference: ColumnProfile, current: ColumnProfile, config: ComparisonConfig) -> Aspect:
    """Measure a shift on normal scores (van der Waerden 1952), test it by ranks.

    The size is on scores of the reference's cells, as the owner means it. The test is Mann and
    Whitney's (1947) on all bins, in which neither side is special: cells cut at the rows of a small
    reference would make its own rows look low.
    """
    if _narrow(reference) and _narrow(current):
        shift, p_value = _mean_shift(reference, current)
        return Aspect("location", abs(shift), config.min_shift, p_value, shift)
    binning = bin_reference(reference, SCORE_CELLS)
    before, after = rebin(reference, binning), rebin(current, binning)
    change = after / after.sum() - before / before.sum()
    shift = float(change @ _normal_scores(before))
    return Aspect("location", abs(shift), config.min_shift, _rank_test(reference, current), shift)


def _narrow(column: ColumnProfile) -> bool:
    """Whether values lie so close together, for their size, that a bin hides how they differ."""
    return NARROW * math.sqrt(column.variance) < abs(column.mean)


def _mean_shift(reference: ColumnProfile, current: ColumnProfile) -> tuple[float, float]:
    """Return the shift of the mean in standard deviations, and its p-value (Welch 1947).

    From exact sums. Of two constants the scores are as far apart as they can be.
    """
    change = current.mean - reference.mean
    n, m = reference.present, current.present
    if not (change and reference.variance + current.variance):
        apart = -2.0 * _normal_quantile(TAIL)
        shift = math.copysign(apart, change) if change else 0.0
        return shift, two_shares(0, n, m, m) if change else 1.0
    parts = [reference.variance / (n - 1), current.variance / (m - 1)]
    dof = sum(parts) ** 2 / (parts[0] ** 2 / (n - 1) + parts[1] ** 2 / (m - 1))
    p_value = 2.0 * t_sf(dof, abs(change) / math.sqrt(sum(parts)))
    return change / math.sqrt(reference.variance or current.variance), p_value


def _rank_test(reference: ColumnProfile, current: ColumnProfile) -> float:
    """Return the p-value of equal mean ranks, with ties; 1 if all rows are tied."""
    known, seen = (side.counts.astype(np.float64) for side in (reference, current))
    n, m = float(known.sum()), float(seen.sum())
    upto = np.concatenate(([0.0], np.cumsum(known)))
    place = np.searchsorted(reference.bins, current.bins)
    tied = reference.bins[np.minimum(place, known.size - 1)] == current.bins
    equal = np.where(tied, known[np.minimum(place, known.size - 1)], 0.0)
    wins = float(seen @ (upto[place] + equal / 2.0))
    cubes = float((known**3).sum()) + float(((seen + equal) ** 3 - equal**3).sum())
    rows = n + m
    variance = n * m / 12.0 * (rows + 1.0 - (cubes - rows) / (rows * (rows - 1.0)))
    if variance <= n * m * rows * 1e-15:
        return 1.0
    return 2.0 * normal_sf(abs(wins - n * m / 2.0) / math.sqrt(variance))


def _missing(reference: ColumnProfile, current: ColumnProfile, config: ComparisonConfig) -> Aspect:
    x, y = reference.count - reference.present, current.count - current.present
    change = current.share(y) - reference.share(x)
    p_value = two_shares(x, reference.count, y, current.count)
    return Aspect("missing", abs(change), config.min_missing, p_value, change)


def _normal_scores(counts: Counts) -> NDArray[np.float64]:
    """Return each cell's mean on the normal scale; without rows, that of its place."""
    upto = np.concatenate(([0], np.cumsum(counts))) / float(counts.sum())
    edges = np.array([_normal_quantile(level) for level in upto.tolist()])
    density = np.where(np.isfinite(edges), np.exp(-(edges**2) / 2.0), 0.0) / math.sqrt(2 * math.pi)
    width = np.diff(upto)
    limit = -_normal_quantile(TAIL)
    place = np.clip(edges[1:], -limit, limit)
    filled = width > 0
    means = np.divide(density[:-1] - density[1:], width, out=place, where=filled)
    clipped: NDArray[np.float64] = np.clip(means, -limit, limit)
    return clipped


@lru_cache(maxsize=4096)
def _normal_quantile(level: float) -> float:
    if level in {0.0, 1.0}:
        return math.copysign(math.inf, level - 0.5)
    return normal_quantile(level)
