"""Tests on which categories occur: unseen ones, and how many distinct ones.

A reference is a sample: it has not seen all there is, so new categories do appear in healthy
windows, and more of them the more rows there are. Given the pooled counts, the null draws the
current rows from all rows at random. A category of c rows is then unseen in the reference with the
probability that all c are drawn, ``prod (m - i) / (N - i)``, which for large c is nothing and for
c = 1 is m / N: the rule of three and Good-Turing's estimate, without their approximation.

Categories seen once follow the hypergeometric distribution exactly, the others as if independent of
each other, which widens the tails: they are negatively associated. Where there are too many to
convolve, the normal limit with the variance given the number of rows drawn; or, if few big
categories make up that variance, Cantelli's bound. No p-value is below 1e-27.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.stats.exact_null import binomial, hypergeometric
from homeostat.stats.significance import NOTHING, Significance
from homeostat.stats.special import normal_sf

FloatArray = NDArray[np.float64]

_CELLS = 20_000  # longest distribution that is convolved
_NEVER = 1e-30
_LEAST = 1e-27


def new_category_test(reference: NDArray[np.int64], current: NDArray[np.int64]) -> Significance:
    """Test whether more rows than chance allows lie in categories that the reference has not.

    One-sided. Of 2,837 tables of up to 12 rows that were enumerated, none has a p-value below 0.1
    that is more than 3 % smaller than the exact one.

    Parameters
    ----------
    reference, current : ndarray of int64, shape (categories,)
        Rows of every category of either side, one place each.

    Returns
    -------
    Significance
        The statistic is the share of current rows in unseen categories, in [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> usual = new_category_test(np.array([700, 300, 0]), np.array([70, 29, 1]))
    >>> flood = new_category_test(np.array([700, 300, 0]), np.array([70, 20, 10]))
    >>> round(usual.p_value, 2), flood.statistic, flood.p_value < 1e-9
    (0.09, 0.1, True)
    """
    drawn = _draw(reference, current)
    if drawn is None:
        return NOTHING
    seen = int(current[reference == 0].sum())
    share = _all_drawn(drawn, drawn.m)
    weight = drawn.sizes.astype(np.float64)
    spread = drawn.many * weight**2 * share
    overlap = spread.sum() ** 2 * drawn.n / (drawn.m * drawn.total)
    exact = _distribution(drawn, drawn.sizes, share)
    if exact is None:
        variance = float((spread * (1.0 - share)).sum() - overlap)
        mean = float((drawn.many * weight * share).sum())
        largest = float((weight * (share > _NEVER)).max())
        p_value = _tail(seen - 0.5 - mean, variance, largest)
    else:
        lowest, probabilities = exact
        p_value = float(probabilities[max(0, seen - lowest) :].sum())
    return Significance(seen / drawn.m, float(np.clip(p_value, _LEAST, 1.0)))


def cardinality_test(reference: NDArray[np.int64], current: NDArray[np.int64]) -> Significance:
    """Test whether the current side has more or fewer distinct categories than its rows allow.

    What is expected is the pooled sample rarefied to as many rows (Hurlbert 1971); two-sided.

    Parameters
    ----------
    reference, current : ndarray of int64, shape (categories,)
        Rows of every category of either side, one place each.

    Returns
    -------
    Significance
        The statistic is the distinct count over the expected one.

    Examples
    --------
    >>> import numpy as np
    >>> reference, current = np.full(50, 20), np.zeros(50, dtype=np.int64)
    >>> current[:10] = 20
    >>> found = cardinality_test(reference, current)
    >>> round(found.statistic, 2), found.p_value < 1e-9
    (0.2, True)
    """
    drawn = _draw(reference, current)
    if drawn is None:
        return NOTHING
    distinct = int((current > 0).sum())
    absent = _all_drawn(drawn, drawn.n)
    mean = float((drawn.many * (1.0 - absent)).sum())
    exact = _distribution(drawn, np.ones_like(drawn.sizes), 1.0 - absent)
    if exact is None:
        overlap = float((drawn.many * drawn.sizes * absent).sum()) ** 2
        overlap *= drawn.m / (drawn.n * drawn.total)
        variance = float((drawn.many * absent * (1.0 - absent)).sum()) - overlap
        tail = _tail(abs(distinct - mean) - 0.5, variance, 1.0)
    else:
        lowest, probabilities = exact
        place = distinct - lowest
        above = float(probabilities[max(0, place) :].sum())
        tail = min(above, float(probabilities[: max(0, place + 1)].sum()))
    return Significance(distinct / mean, float(np.clip(2.0 * tail, _LEAST, 1.0)))


@dataclass(frozen=True, slots=True, eq=False)
class _Drawn:
    """`m` rows out of `total`, in `many` categories of each of `sizes` rows."""

    n: int
    m: int
    sizes: NDArray[np.int64]
    many: NDArray[np.int64]

    @property
    def total(self) -> int:
        return self.n + self.m


def _draw(reference: NDArray[np.int64], current: NDArray[np.int64]) -> _Drawn | None:
    n, m = int(reference.sum()), int(current.sum())
    if not (n and m):
        return None
    pooled = reference + current
    sizes, many = np.unique(pooled[pooled > 0], return_counts=True)
    return _Drawn(n, m, sizes.astype(np.int64), many.astype(np.int64))


def _all_drawn(drawn: _Drawn, rows: int) -> FloatArray:
    """Return for each size how probable it is that `rows` drawn rows include all of a category."""
    steps = np.arange(min(int(drawn.sizes[-1]), rows), dtype=np.float64)
    ratio = (rows - steps) / (drawn.total - steps)
    upto = np.concatenate(([0.0], np.cumsum(np.log(ratio))))
    found = np.exp(upto[np.minimum(drawn.sizes, steps.size)])
    return np.where(drawn.sizes > steps.size, 0.0, found)


def _distribution(
    drawn: _Drawn, worth: NDArray[np.int64], share: FloatArray
) -> tuple[int, FloatArray] | None:
    """Return the distribution of the sum of `worth` over categories, each with its share.

    None if it would be too long.
    """
    lowest, probabilities = 0, np.ones(1)
    for size, many, value, p in zip(
        drawn.sizes.tolist(), drawn.many.tolist(), worth.tolist(), share.tolist(), strict=True
    ):
        if size == 1:
            start, found = hypergeometric(drawn.total, many, drawn.m)
        else:
            start, found = binomial(many, p)
        likely = np.flatnonzero(found > _NEVER)
        start, found = start + int(likely[0]), found[likely[0] : likely[-1] + 1]
        lowest += start * value
        if probabilities.size + (found.size - 1) * value > _CELLS:
            return None
        probabilities = _add_multiples(probabilities, found, value)
    return lowest, probabilities


def _add_multiples(probabilities: FloatArray, found: FloatArray, value: int) -> FloatArray:
    """Return the distribution of a sum with `value` times another variable."""
    if value == 1:
        return np.convolve(probabilities, found)
    result = np.zeros(probabilities.size + (found.size - 1) * value)
    for times, p in enumerate(found.tolist()):
        result[times * value : times * value + probabilities.size] += p * probabilities
    return result


def _tail(excess: float, variance: float, largest: float) -> float:
    """Return how probable such an excess is if no category counts more than `largest`."""
    variance = max(variance, 0.25)
    if largest > 1.0 and largest**2 > variance / 25.0:
        return variance / (variance + max(0.0, excess) ** 2)
    return normal_sf(excess / math.sqrt(variance))
