"""What a test returns, and one policy for what samples may contain.

NaN is no value and is dropped; so is a row whose weight is not positive and finite. Tests on ranks
and distribution functions (`ordered`, `location.mann_whitney`) keep infinities as the extremes that
they are; tests of means (`location`) have no mean to test then and give NaN, as do rows of matrices
in `kernels` that are dropped if any of their numbers is not finite. An empty side, or nothing that
could differ, gives `NOTHING`; data never raises.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class Significance:
    """A statistic and its p-value.

    Attributes
    ----------
    statistic : float
        As each test defines it.
    p_value : float
        In [0, 1]; NaN where there was nothing to test.
    dof : float
        Degrees of freedom; 0 for tests without.
    """

    statistic: float
    p_value: float
    dof: float = 0


NOTHING = Significance(float("nan"), float("nan"))


def present(values: ArrayLike) -> NDArray[np.float64]:
    """Return a sample as float64 without NaN.

    Examples
    --------
    >>> present([1.0, float("nan"), float("inf")]).tolist()
    [1.0, inf]
    """
    sample = np.asarray(values, dtype=np.float64)
    missing = np.isnan(sample)
    return sample[~missing] if missing.any() else sample


def present_weighted(
    values: ArrayLike, weights: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a sample without NaN and its weights, scaled to sum to Kish's effective rows.

    ``(sum w)^2 / sum w^2`` (Kish 1965) is how many rows of equal weight would say as much about a
    mean, if weights and values are unrelated.

    Raises
    ------
    ValueError
        If there is not one weight a value.

    Examples
    --------
    >>> values, weights = present_weighted([5.0, 6.0, 7.0, 8.0], [2.0, 2.0, 0.0, 0.0])
    >>> values.tolist(), weights.tolist()
    ([5.0, 6.0], [1.0, 1.0])
    """
    sample, weight = np.asarray(values, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    if sample.shape != weight.shape:
        raise ValueError(f"{weight.size} weights for {sample.size} values; give one a value")
    used = ~np.isnan(sample) & (weight > 0.0) & np.isfinite(weight)
    sample, weight = sample[used], weight[used]
    if weight.size:
        weight /= weight.max()  # squares of extreme weights would leave float64
        weight *= weight.sum() / (weight @ weight)
    return sample, weight
