"""Samples in which some rows are likelier than others.

Every row has a known chance to be drawn, above 0. Weighing what was drawn by one over that chance
makes totals unbiased whatever the chances were; good chances make them precise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def inclusion_probabilities(priority: Floats, size: int, floor: float = 0.1) -> Floats:
    """Return the chance of each row to be drawn, in proportion to its priority.

    For the mean of a loss the best priority is the root of the expected squared distance of the
    row's loss from that mean (Sawade, Landwehr, Bickel & Scheffer, "Active risk estimation", 2010).
    Expectations can be wrong, so a share of the sample is spread evenly (Hesterberg 1995): no
    weight is then more than ``1 / floor`` times that of an even sample.

    Parameters
    ----------
    priority : ndarray of float64, shape (n,)
        At least 0; on any scale. All 0: every row has the same chance.
    size : int
        Rows to draw; at least n means all.
    floor : float
        Share that is spread evenly, in (0, 1].

    Returns
    -------
    ndarray of float64, shape (n,)
        In (0, 1]; their sum is `size`, or n if that is less.

    Raises
    ------
    ValueError
        If a priority is negative or no number, or the floor is outside (0, 1].

    Examples
    --------
    >>> inclusion_probabilities(np.array([0.0, 1.0, 2.0, 3.0]), 2, floor=0.2).round(2).tolist()
    [0.1, 0.37, 0.63, 0.9]
    """
    if not np.isfinite(priority).all() or (priority < 0.0).any():
        raise ValueError("priorities are finite numbers of at least 0")
    if not 0.0 < floor <= 1.0:
        raise ValueError(f"the floor is a share in (0, 1], not {floor}")
    count = priority.size
    if size >= count:
        return np.ones(count)
    largest = float(priority.max(initial=0.0))
    scaled = priority / largest if largest else np.ones(count)
    mixed = floor + (1.0 - floor) * scaled / float(scaled.mean())
    chances = np.zeros(count)
    certain = np.zeros(count, np.bool_)
    while True:
        left = size - int(certain.sum())
        chances = np.where(certain, 1.0, mixed * (left / float(mixed[~certain].sum())))
        beyond = (chances >= 1.0) & ~certain
        if not beyond.any():
            return chances
        certain |= beyond


def systematic(chances: Floats, rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw rows by one random start and equal steps through the rows in random order.

    Each row is drawn with its very chance, and the number drawn is the sum of the chances, rounded
    up or down (Madow 1949).

    Returns
    -------
    ndarray of intp
        Row numbers, ascending.

    Examples
    --------
    >>> systematic(np.array([0.5, 0.5, 1.0, 0.5, 0.5]), np.random.default_rng(0)).size
    3
    """
    order = rng.permutation(chances.size)
    passed = np.cumsum(chances[order])
    # Sums of many chances miss whole numbers by rounding: the last step must not depend on that.
    passed = np.where(np.abs(passed - np.round(passed)) < 1e-9, np.round(passed), passed)
    steps = np.floor(passed - rng.random()).astype(np.int64)
    drawn = np.diff(steps, prepend=-1) > 0
    return np.sort(order[drawn])
