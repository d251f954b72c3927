"""Which of three simple stories fits: inputs moved, the mix of labels moved, or what they mean.

Covariate shift leaves P(label | inputs) as it was, label shift P(inputs | label), pure concept
drift P(inputs). Each of the three is tested as a hypothesis of its own.

Where both sides have timestamps, rows of a day may have an effect in common: how days of the
reference differ is part of what is left to chance when a change is claimed: in inputs, labels given
inputs, and the mix of labels. Which story fits a change that is beyond days is told from rows as if
independent: an error made wide by days would let any story pass. Without timestamps rows are taken
as independent throughout.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.diagnosis.basis import (
    domain_z,
    expectations,
    held_out_odds,
    make_basis,
    residual_z,
)
from homeostat.diagnosis.sides import Sides
from homeostat.diagnosis.strain import centred, strain
from homeostat.domain.model import Task
from homeostat.stats.metrics import auc
from homeostat.stats.overlap import Gaps, Weights, overlap_weights, weighted_gaps
from homeostat.stats.special import chi2_sf, normal_sf

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

_SPARSE = 5  # rows of a class below which it says nothing by itself


@dataclass(frozen=True, slots=True)
class Departure:
    """How far the data are from a hypothesis: p-value and standardised size."""

    p_value: float
    effect: float


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What speaks against each story.

    Attributes
    ----------
    inputs : Departure
        From "inputs are as they were"; the size is the larger of ``sqrt(pi) (2 AUC - 1)`` of
        telling rows apart, the gap of normal means that such an AUC belongs to, and of the largest
        gap of a function's means in standard deviations.
    by_label : Departure
        From "for a given label inputs are as they were".
    labels : Departure
        From "labels follow from inputs as they did".
    mix : Departure
        From "labels are as frequent as they were"; the size is the largest change of log-odds.
    mixed_inputs : Departure
        From "inputs are some mixture of what the classes were".
    offset : Departure
        From "labels follow from inputs as they did but for a constant change of log-odds".
    strain : tuple of float
        Squared standard errors by which the mean expected label contradicts covariate shift, label
        shift and concept drift.
    weights : Weights
    shares : tuple of ndarray
        Of the groups of labels, before and now.
    residuals : tuple of ndarray
        Targets minus expectations, before and now.
    functions : tuple of ndarray
    columns : ndarray of int64
        Column of each function.
    input_gaps, label_gaps : Gaps
        Of each function, and of each function times the first target's residual.
    """

    inputs: Departure
    by_label: Departure
    labels: Departure
    mix: Departure
    mixed_inputs: Departure
    offset: Departure
    strain: tuple[float, float, float]
    weights: Weights
    shares: tuple[Floats, Floats]
    residuals: tuple[Floats, Floats]
    functions: tuple[Floats, Floats]
    columns: Indices
    input_gaps: Gaps
    label_gaps: Gaps


def weigh_inputs(sides: Sides, rng: np.random.Generator) -> Departure:
    """Test whether inputs, of rows with and without labels, are as they were."""
    one, two, _ = make_basis(sides)
    return _inputs((one, two), held_out_odds(sides, rng), sides.days, rng)[0]


def weigh(sides: Sides, rng: np.random.Generator) -> Evidence:
    """Test all stories on labelled rows of both sides.

    Parameters
    ----------
    sides : Sides
        Labelled rows only, some tens of each.
    rng : Generator
    """
    one, two, columns = make_basis(sides)
    functions = (one, two)
    odds = held_out_odds(sides, rng)
    inputs, input_gaps = _inputs(functions, odds, sides.days, rng)
    weights = overlap_weights(*odds)
    expected = expectations(functions, sides.before.targets, rng)
    residuals = (sides.before.targets - expected[0], sides.now.targets - expected[1])
    labels, label_gaps = _labels(functions, residuals, weights, sides.days, rng)
    shares = _shares(sides)
    mix = _mix(sides, shares)
    by_label = _by_label(sides, functions, shares, rng)
    return Evidence(
        inputs,
        by_label,
        labels,
        mix,
        _mixed_inputs(sides, functions, expected),
        _offset(sides, functions, expected, weights, rng),
        strain(sides, functions, expected, residuals, shares, rng),
        weights,
        shares,
        residuals,
        functions,
        columns,
        input_gaps,
        label_gaps,
    )


def _flat(rows: int) -> Floats:
    return np.full(rows, 1.0 / rows)


def _inputs(
    functions: tuple[Floats, Floats],
    odds: tuple[Floats, Floats],
    days: tuple[Indices, Indices] | None,
    rng: np.random.Generator,
) -> tuple[Departure, Gaps]:
    one, two = functions
    gaps = weighted_gaps(one, two, _flat(len(one)), _flat(len(two)), days)
    p_value = 2.0 * min(gaps.p_value, normal_sf(domain_z(one, two, days, rng)))
    area = auc(np.repeat([0.0, 1.0], [len(one), len(two)]), np.concatenate(odds))
    largest = float(np.abs(gaps.effect).max(initial=0.0))
    # The gap of normal means that this area belongs to, near 0: sqrt(pi) (2 AUC - 1).
    effect = max(float(np.sqrt(np.pi)) * (2.0 * area - 1.0), largest)
    return Departure(min(1.0, p_value), effect), gaps


def _labels(
    functions: tuple[Floats, Floats],
    residuals: tuple[Floats, Floats],
    weights: Weights,
    days: tuple[Indices, Indices] | None,
    rng: np.random.Generator,
) -> tuple[Departure, Gaps]:
    count = residuals[0].shape[1]
    found, first = [], None
    for target in range(count):
        parts = [side[:, target] for side in residuals]
        rows = [
            np.column_stack((part, part[:, None] * side))
            for part, side in zip(parts, functions, strict=True)
        ]
        gaps = weighted_gaps(rows[0], rows[1], weights.before, weights.now, days)
        first = first or gaps
        z, size = residual_z(
            functions, (parts[0], parts[1]), (weights.before, weights.now), days, rng
        )
        p_value = 2.0 * min(gaps.p_value, normal_sf(z))
        found.append(Departure(p_value, max(abs(float(gaps.effect[0])), size)))
    assert first is not None
    p_value = min(1.0, count * min(item.p_value for item in found))
    return Departure(p_value, max(item.effect for item in found)), first


def _shares(sides: Sides) -> tuple[Floats, Floats]:
    one, two = (
        np.bincount(side.groups, minlength=sides.groups).astype(np.float64)
        for side in (sides.before, sides.now)
    )
    return one / one.sum(), two / two.sum()


def _mix(sides: Sides, shares: tuple[Floats, Floats]) -> Departure:
    n, m = len(sides.before), len(sides.now)
    pooled = (n * shares[0] + m * shares[1]) / (n + m)
    seen = pooled > 0.0
    gap = shares[1][seen] - shares[0][seen]
    statistic = float((gap**2 / pooled[seen]).sum()) * n * m / (n + m)
    freedom = max(1, int(np.count_nonzero(seen)) - 1)
    one, two = (
        (share[seen] * size + 0.5) / (size + 1.0)
        for share, size in zip(shares, (n, m), strict=True)
    )
    odds = np.log(two / (1.0 - two)) - np.log(one / (1.0 - one))
    error = np.sqrt(pooled[seen] * (1.0 - pooled[seen]) * (1.0 / n + 1.0 / m))
    # Of many classes a rare one may double by chance: only those count that moved beyond it.
    sure = np.abs(gap) > 3.0 * np.maximum(error, 1e-12)
    effect = float(np.abs(odds[sure]).max(initial=0.0))
    p_value = chi2_sf(freedom, statistic)
    if sides.days is not None:
        kinds = np.flatnonzero(seen)
        rows = [
            (side.groups[:, None] == kinds).astype(np.float64) for side in (sides.before, sides.now)
        ]
        p_value = max(
            p_value, weighted_gaps(rows[0], rows[1], _flat(n), _flat(m), sides.days).p_value
        )
    return Departure(p_value, effect)


def _by_label(
    sides: Sides,
    functions: tuple[Floats, Floats],
    shares: tuple[Floats, Floats],
    rng: np.random.Generator,
) -> Departure:
    """Compare inputs label by label, and all together under today's mix of labels."""
    one, two = functions
    if sides.task is Task.REGRESSION:
        one, two = _within(sides, functions)
    tests: list[Gaps] = []
    mixed = np.zeros(len(one))
    counts = [
        np.bincount(side.groups, minlength=sides.groups) for side in (sides.before, sides.now)
    ]
    for group in range(sides.groups):
        ours, theirs = sides.before.groups == group, sides.now.groups == group
        if counts[0][group]:
            mixed[ours] = shares[1][group] / counts[0][group]
        if min(counts[0][group], counts[1][group]) >= _SPARSE:
            flat = _flat(int(counts[0][group])), _flat(int(counts[1][group]))
            tests.append(weighted_gaps(one[ours], two[theirs], *flat))
    total = mixed.sum()
    if not total:  # labels that never were before
        return Departure(0.0, 1.0)
    whole = weighted_gaps(one, two, mixed / total, _flat(len(two)))
    whole = _less_mix(whole, sides, functions=(one, two), weights=mixed / total)
    tests.append(whole)
    many = sum(gaps.z.size for gaps in tests)
    largest = max(float(np.abs(gaps.z).max(initial=0.0)) for gaps in tests)
    p_value = 2.0 * many * normal_sf(largest)
    drawn = _redraw(sides, shares, rng)
    learned = 1.0
    if drawn.size > 50:
        learned = normal_sf(domain_z(one[drawn], two, None, rng))
    effect = float(np.abs(whole.effect).max(initial=0.0))
    return Departure(min(1.0, 2.0 * min(p_value, learned)), effect)


def _less_mix(gaps: Gaps, sides: Sides, functions: tuple[Floats, Floats], weights: Floats) -> Gaps:
    """Take out of the error what the mix of labels brings: both sides have the same."""
    one, two = functions
    before, now = (
        centred(values, side, sides.groups)
        for values, side in ((one, sides.before), (two, sides.now))
    )
    inner = weighted_gaps(before, now, weights, _flat(len(now)))
    error = np.maximum(inner.error, 1e-12)
    z = np.where(gaps.z == 0.0, 0.0, gaps.gap / error)
    return Gaps(gaps.gap, inner.error, z, gaps.effect, inner.freedom)


def _within(sides: Sides, functions: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """Take out of each function how it goes with the number within a group of numbers."""
    one, two = functions[0].copy(), functions[1].copy()
    for group in range(sides.groups):
        ours, theirs = sides.before.groups == group, sides.now.groups == group
        label = sides.before.labels[ours]
        if np.count_nonzero(ours) <= _SPARSE or not label.std() > 0.0:
            continue
        centred = label - label.mean()
        slope = centred @ one[ours] / float(centred @ centred)
        # Tails that no reference row has are no ground for a straight line.
        reach = np.clip(sides.now.labels[theirs], label.min(), label.max()) - label.mean()
        one[ours] -= centred[:, None] * slope
        two[theirs] -= reach[:, None] * slope
    return one, two


def _redraw(sides: Sides, shares: tuple[Floats, Floats], rng: np.random.Generator) -> Indices:
    """Return as many reference rows as have today's mix of labels."""
    counts = np.bincount(sides.before.groups, minlength=sides.groups)
    wanted = shares[1] > 0.0
    size = float((counts[wanted] / shares[1][wanted]).min())
    drawn = [
        rng.permutation(np.flatnonzero(sides.before.groups == group))[: round(size * share)]
        for group, share in enumerate(shares[1])
    ]
    return np.sort(np.concatenate(drawn)).astype(np.int64)


def _mixed_inputs(
    sides: Sides, functions: tuple[Floats, Floats], expected: tuple[Floats, Floats]
) -> Departure:
    """Test functions that have the same mean in each class before: they must keep it.

    From each function its share in the expected labels is taken, so that the class means agree;
    the mix that the inputs imply, which labels after a change of concept do not tell, drops out.
    """
    one, two = functions
    groups = [sides.before.groups == g for g in range(sides.groups)]
    groups = [rows for rows in groups if np.count_nonzero(rows) >= _SPARSE]
    if len(groups) < 2:
        return Departure(1.0, 0.0)
    scores = np.stack([expected[0][rows].mean(axis=0) for rows in groups])
    means = np.stack([one[rows].mean(axis=0) for rows in groups])
    slopes = np.linalg.lstsq(scores - scores[0], means - means[0], rcond=1e-3)[0]
    left = one - expected[0] @ slopes, two - expected[1] @ slopes
    gaps = weighted_gaps(left[0], left[1], _flat(len(one)), _flat(len(two)))
    return Departure(gaps.p_value, float(np.abs(gaps.effect).max(initial=0.0)))


def _offset(
    sides: Sides,
    functions: tuple[Floats, Floats],
    expected: tuple[Floats, Floats],
    weights: Weights,
    rng: np.random.Generator,
) -> Departure:
    """Test whether a constant change of log-odds explains how labels follow from inputs."""
    if sides.task is Task.REGRESSION:
        moved = sides.now.targets[:, 0] - expected[1][:, 0]
        before = sides.before.targets[:, 0] - expected[0][:, 0]
        shift = weights.now @ moved - weights.before @ before
        residuals = before[:, None], (moved - shift)[:, None]
    else:
        parts = [
            _shifted(sides, expected, weights, target)
            for target in range(sides.before.targets.shape[1])
        ]
        residuals = (
            np.column_stack([part[0] for part in parts]),
            np.column_stack([part[1] for part in parts]),
        )
    return _labels(functions, residuals, weights, None, rng)[0]


def _shifted(
    sides: Sides, expected: tuple[Floats, Floats], weights: Weights, target: int
) -> tuple[Floats, Floats]:
    """Return residuals after the change of log-odds under which those of now average out."""
    chances = [np.clip(side[:, target], 1e-4, 1.0 - 1e-4) for side in expected]
    before = sides.before.targets[:, target] - expected[0][:, target]
    aim = float(weights.now @ sides.now.targets[:, target] - weights.before @ before)
    odds = np.log(chances[1] / (1.0 - chances[1]))
    low, high = -8.0, 8.0
    for _ in range(40):
        middle = (low + high) / 2.0
        mean = float(weights.now @ (1.0 / (1.0 + np.exp(-odds - middle))))
        low, high = (middle, high) if mean < aim else (low, middle)
    moved = 1.0 / (1.0 + np.exp(-odds - (low + high) / 2.0))
    return before, sides.now.targets[:, target] - moved
