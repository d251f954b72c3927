"""Many tests at once: adjusted p-values, combined evidence, and which of them to name.

Everywhere a NaN stands for "no test was possible" (see `homeostat.stats.significance`): it is never
rejected and does not count as a test, so that a column without rows makes no other column harder to
find. Whether a test was possible must not depend on what it would have found.

=========================  ===================================  ============================
function                   holds                                if the tests are
=========================  ===================================  ============================
`bonferroni`, `holm`       chance of any false rejection        dependent in any way
`benjamini_hochberg`       expected share of false rejections   independent, or positively so
`benjamini_yekutieli`      the same                             dependent in any way
`e_bh`                     the same, and over time              dependent in any way
`cauchy`                   level of one test of them all        dependent, for small levels
`average_e`                an e-value of them all               dependent in any way
=========================  ===================================  ============================
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

_FLOOR = 1e-300  # its tangent is still finite
_CEILING = 0.1  # of one test in `cauchy`: a p-value counts as at most 1 - 0.1 / tests


def rejected(adjusted: ArrayLike, level: float) -> tuple[int, ...]:
    """Name the tests whose adjusted p-value is at most `level`.

    Parameters
    ----------
    adjusted : array_like
        Shape (m,), from `bonferroni`, `holm`, `benjamini_hochberg` or `benjamini_yekutieli`.
    level : float
        In [0, 1]: the error rate that the adjustment controls.

    Returns
    -------
    tuple of int
        Indices, in increasing order.

    Examples
    --------
    >>> p_values = [0.001, float("nan"), 0.03, 0.04]
    >>> rejected(holm(p_values), 0.05), rejected(benjamini_hochberg(p_values), 0.05)
    ((0,), (0, 2, 3))
    """
    if not 0.0 <= level <= 1.0:
        raise ValueError(f"an error rate lies in [0, 1], not {level}")
    return tuple(np.flatnonzero(np.asarray(adjusted, dtype=np.float64) <= level).tolist())


def bonferroni(p_values: ArrayLike) -> FloatArray:
    """Adjust p-values so that the chance of any false rejection is at most the level.

    Parameters
    ----------
    p_values : array_like
        Shape (m,), in [0, 1] or NaN for "no test".

    Returns
    -------
    ndarray of float64, shape (m,)
        ``min(1, m p)``; NaN where there was no test.

    Raises
    ------
    ValueError
        If the p-values are not one-dimensional or one is outside [0, 1].

    Examples
    --------
    >>> bonferroni([0.01, 0.4, float("nan"), 0.6]).tolist()
    [0.03, 1.0, nan, 1.0]
    """
    return _adjust(p_values, lambda ordered: ordered * ordered.size)


def holm(p_values: ArrayLike) -> FloatArray:
    """Adjust p-values as `bonferroni` does, step by step: never weaker, for the same promise.

    The i-th smallest of m becomes the largest of ``(m - j + 1) p_(j)`` over ``j <= i`` (Holm, "A
    simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics
    1979). Parameters, result and errors as in `bonferroni`.

    Examples
    --------
    >>> holm([0.25, 0.01, 0.5]).tolist()
    [0.5, 0.03, 0.5]
    """

    def step_down(ordered: FloatArray) -> FloatArray:
        return np.maximum.accumulate(ordered * np.arange(ordered.size, 0, -1))

    return _adjust(p_values, step_down)


def benjamini_hochberg(p_values: ArrayLike) -> FloatArray:
    """Adjust p-values so that the expected share of false rejections is at most the level.

    The i-th smallest of m becomes the smallest of ``m p_(j) / j`` over ``j >= i`` (Benjamini &
    Hochberg, "Controlling the false discovery rate", JRSS-B 1995). Holds for independent tests and
    for positively dependent ones (Benjamini & Yekutieli 2001); `benjamini_yekutieli` holds for any.
    Parameters, result and errors as in `bonferroni`.

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.03, 0.5, 0.02]).tolist()
    [0.04, 0.04, 0.5, 0.04]
    """
    return _adjust(p_values, _step_up)


def benjamini_yekutieli(p_values: ArrayLike) -> FloatArray:
    """Adjust p-values as `benjamini_hochberg` does, but for tests that depend in any way.

    Its values times ``1 + 1/2 + ... + 1/m`` (Benjamini & Yekutieli, "The control of the false
    discovery rate in multiple testing under dependency", Annals of Statistics 2001). Parameters,
    result and errors as in `bonferroni`.

    Examples
    --------
    >>> benjamini_yekutieli([0.01, 0.25]).tolist()
    [0.03, 0.375]
    """

    def penalised(ordered: FloatArray) -> FloatArray:
        return _step_up(ordered) * float(np.sum(1.0 / np.arange(1, ordered.size + 1)))

    return _adjust(p_values, penalised)


def e_bh(evidence: ArrayLike, threshold: float) -> tuple[int, ...]:
    """Name the streams that have changed, by the e-Benjamini-Hochberg rule.

    The k largest are named, for the largest k whose k-th largest evidence is at least
    ``threshold * streams / k``. Then the average over all streams is at least `threshold`: whoever
    is named first, the average e-detector has alarmed too, so its run length bounds the false
    alarms of all streams together, whatever their dependence (Wang & Ramdas, JRSS-B 2022;
    Dandapanthula & Ramdas, "Multiple testing in multi-stream sequential change detection", 2025).
    With e-values in place of evidence the expected share of false names is at most
    ``1 / threshold``.

    Parameters
    ----------
    evidence : array_like
        Shape (m,), never negative; infinite is allowed, NaN is no stream.
    threshold : float

    Returns
    -------
    tuple of int
        Indices, in increasing order.

    Examples
    --------
    >>> e_bh([0.5, 900.0, 500.0, 0.2], threshold=200.0)
    (1, 2)
    """
    values = np.asarray(evidence, dtype=np.float64)
    order = np.argsort(-values, kind="stable")  # NaN last
    streams = int(np.count_nonzero(~np.isnan(values)))
    ranks = np.arange(1, streams + 1)
    passing = np.flatnonzero(values[order[:streams]] * ranks >= threshold * streams)
    if passing.size == 0:
        return ()
    return tuple(sorted(int(index) for index in order[: passing[-1] + 1]))


def average_e(e_values: ArrayLike) -> float:
    """Combine e-values that depend in any way into one: their mean.

    The only admissible symmetric way (Vovk & Wang, "E-values: calibration, combination and
    applications", Annals of Statistics 2021). Independent e-values may be multiplied instead.

    Parameters
    ----------
    e_values : array_like
        Shape (m,), never negative; infinite is allowed, NaN is no test.

    Returns
    -------
    float
        1, no evidence either way, where there was no test at all.

    Raises
    ------
    ValueError
        If an e-value is negative.

    Examples
    --------
    >>> average_e([30.0, 1.0, float("nan"), 0.5]), average_e([])
    (10.5, 1.0)
    """
    values = np.asarray(e_values, dtype=np.float64)
    values = values[~np.isnan(values)]
    if bool(np.any(values < 0.0)):
        raise ValueError(f"an e-value is never negative: {values.min()}")
    return float(values.mean()) if values.size else 1.0


def cauchy(p_values: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Combine p-values into the p-value of "nothing is wrong anywhere".

    Under the null ``tan((1/2 - p) pi)`` is a Cauchy variable, and so is a weighted mean of m of
    them, exactly if they are independent and in its far tail however they depend (Liu & Xie,
    "Cauchy combination test", JASA 2020). For large levels and moderate dependence it is liberal:
    with 35 tests correlated by 0.5, 6.5 % at a level of 5 %, 1.3 % at 1 %.

    Parameters
    ----------
    p_values : array_like
        Shape (m,), in [0, 1] or NaN for "no test". A 0 makes the result 0. Tests of discrete data
        have p-values of 1, where the tangent is minus infinity and would silence every other test;
        so one counts as at most ``1 - 0.1 / m``.
    weights : array_like, optional
        Shape (m,), finite, never negative; equal by default. They are scaled to sum to 1 over the
        tests that were possible.

    Returns
    -------
    float
        NaN without a test of positive weight.

    Raises
    ------
    ValueError
        If a p-value is outside [0, 1], or weights do not fit.

    Examples
    --------
    >>> round(cauchy([0.001, 0.5, 0.9, 1.0]), 5), cauchy([0.0, 0.5]), cauchy([0.5, 0.5])
    (0.00421, 0.0, 0.5)
    """
    values = _p_values(p_values)
    shares = np.ones_like(values) if weights is None else np.asarray(weights, dtype=np.float64)
    if shares.shape != values.shape or not bool(np.all(np.isfinite(shares) & (shares >= 0.0))):
        raise ValueError("weights are finite, never negative, and one for each p-value")
    counts = ~np.isnan(values) & (shares > 0.0)
    values, shares = values[counts], shares[counts]
    if values.size == 0:
        return math.nan
    if not values.all():
        return 0.0
    if values.size == 1:
        return float(values[0])
    capped = np.clip(values, _FLOOR, 1.0 - _CEILING / values.size)
    # Near 0 the tangent is 1 / (pi p), where 1/2 - p would lose every digit of p.
    quantiles = 1.0 / np.tan(capped * np.pi)
    statistic = float(np.average(quantiles, weights=shares))
    return math.atan2(1.0, statistic) / math.pi


def _adjust(p_values: ArrayLike, rule: Callable[[FloatArray], FloatArray]) -> FloatArray:
    """Apply a rule for ascending p-values to those that are p-values, in their own order."""
    values = _p_values(p_values)
    adjusted = np.full_like(values, np.nan)
    order = np.argsort(values, kind="stable")[: np.count_nonzero(~np.isnan(values))]
    adjusted[order] = np.minimum(rule(values[order]), 1.0)
    return adjusted


def _step_up(ordered: FloatArray) -> FloatArray:
    scaled = ordered * ordered.size / np.arange(1, ordered.size + 1)
    return np.minimum.accumulate(scaled[::-1])[::-1]


def _p_values(p_values: ArrayLike) -> FloatArray:
    values = np.asarray(p_values, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"p-values come in one dimension, not in {values.ndim}")
    wrong = (values < 0.0) | (values > 1.0)
    if bool(wrong.any()):
        raise ValueError(f"a p-value lies in [0, 1], not {values[wrong][0]}")
    return values
