"""How badly each simple story explains the mean of the labels that inputs make one expect."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from homeostat.diagnosis.basis import expectations
from homeostat.diagnosis.sides import Side, Sides
from homeostat.domain.model import Task

Floats = NDArray[np.float64]


def strain(
    sides: Sides,
    functions: tuple[Floats, Floats],
    expected: tuple[Floats, Floats],
    residuals: tuple[Floats, Floats],
    shares: tuple[Floats, Floats],
    rng: np.random.Generator,
) -> tuple[float, float, float]:
    """Return how badly each story explains the mean of what was expected.

    If labels moved by d and their expectation by e, covariate shift says e = d, concept drift
    e = 0, label shift e = d times the gap of expectations between the classes. In squared
    Mahalanobis distances, so that targets that say nothing do not blur those that do.
    """
    if sides.task is Task.REGRESSION:
        middle, spread = float(np.median(sides.before.labels)), float(sides.before.labels.std())
        targets = [
            np.clip((side.labels - middle) / (spread or 1.0), -4.0, 4.0)[:, None]
            for side in (sides.before, sides.now)
        ]
        expected = expectations(functions, targets[0], rng)
        residuals = targets[0] - expected[0], targets[1] - expected[1]
    counts = np.maximum(np.bincount(sides.before.groups, minlength=sides.groups), 1)
    mixed = (shares[1] / counts)[sides.before.groups]
    mixed = mixed / (mixed.sum() or 1.0)
    inner = [
        centred(values, side, sides.groups)
        for values, side in zip(expected, (sides.before, sides.now), strict=True)
    ]
    flat = (
        np.full(len(sides.before), 1.0 / len(sides.before)),
        np.full(len(sides.now), 1.0 / len(sides.now)),
    )
    label = _distance(
        mixed @ expected[0], flat[1] @ expected[1], inner[0], inner[1], mixed, flat[1]
    )
    covariate, concept = (
        _distance(flat[0] @ a, flat[1] @ b, a - flat[0] @ a, b - flat[1] @ b, *flat)
        for a, b in (residuals, expected)
    )
    return covariate, label, concept


def centred(values: Floats, side: Side, groups: int) -> Floats:
    """Take from each row the mean of its group."""
    found = values.copy()
    for group in range(groups):
        rows = side.groups == group
        if rows.any():
            found[rows] -= found[rows].mean(axis=0)
    return found


def _distance(
    before: Floats, now: Floats, one: Floats, two: Floats, first: Floats, second: Floats
) -> float:
    """Return the squared Mahalanobis distance of two weighted means, from centred rows."""
    covariance = (one * (first**2)[:, None]).T @ one + (two * (second**2)[:, None]).T @ two
    gap = now - before
    return float(gap @ np.linalg.pinv(covariance, rcond=1e-6) @ gap)
