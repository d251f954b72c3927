"""Functions of a row by which sides are compared, and tests that learn where to look."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from homeostat.diagnosis.sides import SCORE, Sides
from homeostat.stats.classifier import fit_quadratic
from homeostat.stats.overlap import apply_ridge, fit_ridge, weighted_gaps
from homeostat.stats.special import chi2_sf, normal_quantile

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

FOLDS = 5
MAX_FUNCTIONS = 160
PENALTY = 5.0
_STEPS = 10  # of a score
_STEPPED = 4  # scores that get steps
_FLAT = 1e-9
_LEARN = 4_000  # rows of a side from which odds are learnt


def make_basis(sides: Sides) -> tuple[Floats, Floats, Indices]:
    """Return standardised functions of reference and current rows, and the column of each.

    Features, squares of numbers, steps of the score, and products of the score with features.
    """
    both = np.vstack((sides.before.rows, sides.now.rows))
    owners = sides.owners
    counts = np.bincount(owners)
    scores = [p for p, name in enumerate(sides.names) if name.startswith(SCORE)]
    parts, origin = [both], [owners]
    heads = [int(np.searchsorted(owners, p)) for p in range(len(sides.tables[0].numbers))]
    if heads:
        parts.append(both[:, heads] ** 2)
        origin.append(owners[heads])
    for place in scores[:_STEPPED]:
        score = both[:, np.searchsorted(owners, place)]
        levels = np.quantile(score[: len(sides.before)], np.linspace(0, 1, _STEPS + 1)[1:-1])
        edges = np.unique(levels)
        parts.append((score[:, None] > edges).astype(np.float64))
        origin.append(np.full(edges.size, place))
    if scores and counts.size > 1:
        score = both[:, np.searchsorted(owners, scores[0])]
        others = np.flatnonzero(owners != scores[0])
        parts.append(both[:, others] * score[:, None])
        origin.append(owners[others])
    functions, columns = np.hstack(parts), np.concatenate(origin)
    spread = functions.std(axis=0)
    kept = np.flatnonzero(spread > _FLAT)[:MAX_FUNCTIONS]
    functions = (functions[:, kept] - functions[:, kept].mean(axis=0)) / spread[kept]
    n = len(sides.before)
    return functions[:n], functions[n:], columns[kept].astype(np.int64)


def deal(rows: int, rng: np.random.Generator) -> Indices:
    """Return a fold for each row, as equal in size as can be."""
    return (rng.permutation(rows) % FOLDS).astype(np.int64)


def held_out_odds(sides: Sides, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return cross-fitted log-odds of being current, as if both sides had as many rows."""
    rows = np.vstack((sides.before.rows, sides.now.rows))
    n, m = len(sides.before), len(sides.now)
    labels = np.repeat([0.0, 1.0], [n, m])
    folds = np.concatenate((deal(n, rng), deal(m, rng)))
    odds = np.zeros(n + m)
    for fold in range(FOLDS):
        held = folds == fold
        learn = np.concatenate(
            [_some(np.flatnonzero(~held & (labels == side)), rng) for side in (0.0, 1.0)]
        )
        model = fit_quadratic(rows[learn], labels[learn], sides.owners, 60, 30)
        ones = float(labels[learn].mean())
        odds[held] = model.log_odds(rows[held]) - np.log(ones / (1.0 - ones))
    return odds[:n], odds[n:]


def _some(places: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    return places if places.size <= _LEARN else rng.choice(places, _LEARN, replace=False)


def expectations(
    functions: tuple[Floats, Floats], targets: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return what reference labels make one expect of each row's targets, cross-fitted.

    Parameters
    ----------
    functions : tuple of ndarray of float64
        Of reference rows (n, k) and current rows (m, k).
    targets : ndarray of float64, shape (n, t)

    Returns
    -------
    tuple of ndarray of float64
        Shapes (n, t) and (m, t).
    """
    before, now = functions
    folds = deal(len(before), rng)
    held_out, mean = np.zeros(targets.shape), np.zeros((len(now), targets.shape[1]))
    for fold in range(FOLDS):
        held = folds == fold
        weights = np.ones(int(np.count_nonzero(~held)))
        model = fit_ridge(before[~held], targets[~held], weights, PENALTY)
        held_out[held] = apply_ridge(model, before[held])
        mean += apply_ridge(model, now) / FOLDS
    return held_out, mean


def domain_z(
    before: Floats, now: Floats, days: tuple[Indices, Indices] | None, rng: np.random.Generator
) -> float:
    """Return how well a direction learnt on earlier folds tells the sides apart on later ones.

    Standard normal if both sides are alike: each fold is judged by what was learnt on those before
    it only. Folds are of whole days where both sides have enough; otherwise what sets the few days
    apart is learnt and judged on the same days, and counts by Scheffe's bound only.
    """
    folds, apart = deal_days((len(before), len(now)), days, rng)
    total = weights = 0.0
    for one, two in _chain(folds):
        learn = np.vstack((before[one[0]], now[two[0]]))
        sizes = np.repeat(
            [1.0 / one[0].sum(), 1.0 / two[0].sum()], [int(one[0].sum()), int(two[0].sum())]
        )
        labels = np.repeat([-1.0, 1.0], [int(one[0].sum()), int(two[0].sum())])
        model = fit_ridge(learn, labels, sizes, PENALTY)
        scores = [apply_ridge(model, side)[:, None] for side in (before[one[1]], now[two[1]])]
        flat = [np.full(len(side), 1.0 / len(side)) for side in scores]
        weight = float(np.sqrt(one[0].sum()))
        theirs = _days_of(days, (one[1], two[1]))
        total += weight * float(weighted_gaps(scores[0], scores[1], flat[0], flat[1], theirs).z[0])
        weights += weight**2
    z = float(total / np.sqrt(weights))
    return z if apart else scheffe(z, before.shape[1])


def residual_z(
    functions: tuple[Floats, Floats],
    residuals: tuple[Floats, Floats],
    weights: tuple[Floats, Floats],
    days: tuple[Indices, Indices] | None,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Return evidence that residuals follow rows otherwise than they did, and its size.

    On each fold, the difference of two ridge regressions of the residuals, fitted on the folds
    before it, is correlated with the residuals of each side. Days are dealt as in `domain_z`.

    Returns
    -------
    tuple of float
        A standard normal if nothing changed, large if something did; a correlation.
    """
    folds, apart = deal_days((len(residuals[0]), len(residuals[1])), days, rng)
    total = squares = effects = 0.0
    for halves in _chain(folds):
        models = [
            fit_ridge(functions[s][half[0]], residuals[s][half[0]], weights[s][half[0]], 50.0)
            for s, half in enumerate(halves)
        ]
        seen = []
        for s, half in enumerate(halves):
            rows = functions[s][half[1]]
            guess = apply_ridge(models[1], rows) - apply_ridge(models[0], rows)
            seen.append((residuals[s][half[1]] * guess)[:, None])
        shares = [weights[s][half[1]] / weights[s][half[1]].sum() for s, half in enumerate(halves)]
        theirs = _days_of(days, (halves[0][1], halves[1][1]))
        gaps = weighted_gaps(seen[0], seen[1], shares[0], shares[1], theirs)
        weight = float(np.sqrt(halves[0][0].sum()))
        total += weight * float(gaps.z[0])
        squares += weight**2
        effects += weight**2 * float(gaps.effect[0])
    z = float(total / np.sqrt(squares))
    return z if apart else scheffe(z, functions[0].shape[1]), effects / squares


def scheffe(z: float, directions: int) -> float:
    """Return the normal number as rare as the best of all combinations of normal numbers.

    Examples
    --------
    >>> round(scheffe(3.0, 1), 2), scheffe(3.0, 20) < 0.0
    (2.78, True)
    """
    if z <= 0.0:
        return z
    tail = chi2_sf(float(directions), z * z)
    return -normal_quantile(min(max(tail, 1e-300), 1.0 - 1e-12))


def deal_days(
    sizes: tuple[int, int], days: tuple[Indices, Indices] | None, rng: np.random.Generator
) -> tuple[tuple[Indices, Indices], bool]:
    """Return a fold for each row, of whole days if both sides have at least as many as folds.

    The second is whether rows of different folds are independent.
    """
    if days is None:
        return (deal(sizes[0], rng), deal(sizes[1], rng)), True
    places = [np.unique(side, return_inverse=True)[1] for side in days]
    counts = [int(place.max()) + 1 for place in places]
    if min(counts) < FOLDS:
        return (deal(sizes[0], rng), deal(sizes[1], rng)), False
    dealt = [deal(count, rng)[place] for count, place in zip(counts, places, strict=True)]
    return (dealt[0], dealt[1]), True


def _days_of(
    days: tuple[Indices, Indices] | None, rows: tuple[NDArray[np.bool_], NDArray[np.bool_]]
) -> tuple[Indices, Indices] | None:
    return None if days is None else (days[0][rows[0]], days[1][rows[1]])


def _chain(
    folds: tuple[Indices, Indices],
) -> Iterator[tuple[tuple[NDArray[np.bool_], NDArray[np.bool_]], ...]]:
    """Yield, for each fold but the first, the rows of earlier folds and its own, of each side."""
    for fold in range(1, FOLDS):
        yield tuple((side < fold, side == fold) for side in folds)
