"""A probabilistic classifier that sees moved means, spreads and correlations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

_SETTLED = 1e-8  # share of the loss by which a step must improve it to be worth another
_FLAT = 1e-9  # variance below which a feature says nothing


@dataclass(frozen=True, slots=True, eq=False)
class Logistic:
    """Log-odds that are linear in the features: ``rows @ weights + intercept``."""

    weights: Floats
    intercept: float

    def log_odds(self, rows: Floats) -> Floats:
        """Return the log-odds of label 1, shape (rows,)."""
        odds: Floats = rows @ self.weights + self.intercept
        return odds


def fit_logistic(rows: Floats, labels: Floats, penalty: float) -> Logistic:
    """Fit a logistic regression by Newton's method.

    Minimises ``sum(log_loss) + penalty / 2 * sum(weights^2)``; the intercept is not penalised.

    Parameters
    ----------
    rows : ndarray of float64, shape (rows, features)
        Finite.
    labels : ndarray of float64, shape (rows,)
        0 or 1, both present.
    penalty : float
        Above 0, so that the minimum exists where classes can be told apart without error and where
        there are more features than rows.

    Raises
    ------
    ValueError
        If a class is absent or the penalty is not positive.

    Examples
    --------
    >>> rows = np.array([[-1.0], [0.0], [1.0], [2.0]])
    >>> model = fit_logistic(rows, np.array([0.0, 1.0, 0.0, 1.0]), penalty=1.0)
    >>> model.weights.round(3).tolist(), round(model.intercept, 3)
    ([0.453], -0.226)
    """
    if penalty <= 0.0:
        raise ValueError(f"the penalty must be positive, not {penalty}")
    ones = float(labels.sum())
    if not 0.0 < ones < labels.size:
        raise ValueError("a classifier needs rows of both classes; only one is present")
    features = np.column_stack((rows, np.ones(labels.size)))
    shrink = np.append(np.full(rows.shape[1], penalty), 0.0)
    weights = np.append(np.zeros(rows.shape[1]), np.log(ones / (labels.size - ones)))
    loss = _loss(features, labels, weights, shrink)
    gain = np.inf
    while gain > _SETTLED * max(1.0, loss):
        step, size = _newton(features, labels, weights, shrink), 1.0
        # Halved until it helps: from far away a full step may overshoot.
        while (after := _loss(features, labels, weights - size * step, shrink)) > loss:
            size /= 2.0
        weights, loss, gain = weights - size * step, after, loss - after
    return Logistic(weights[:-1], float(weights[-1]))


@dataclass(frozen=True, slots=True, eq=False)
class Quadratic:
    """A logistic regression on features and products of two of them, from `fit_quadratic`.

    Attributes
    ----------
    used : ndarray of int64, shape (k,)
        Features that it looks at.
    means, scales : ndarray of float64, shape (k,)
        They are standardised with these first.
    linear : ndarray of int64, shape (l,)
        Places in `used` of those that count alone.
    pairs : ndarray of int64, shape (q, 2)
        Places in `used` of the factors of each product; a square has the same twice.
    offsets, spreads : ndarray of float64, shape (q,)
        Products are standardised with these.
    model : Logistic
        On the l features and then the q products.
    """

    used: Indices
    means: Floats
    scales: Floats
    linear: Indices
    pairs: Indices
    offsets: Floats
    spreads: Floats
    model: Logistic

    def log_odds(self, rows: Floats) -> Floats:
        """Return the log-odds of label 1, shape (rows,)."""
        standard = (rows[:, self.used] - self.means) / self.scales
        products = standard[:, self.pairs[:, 0]] * standard[:, self.pairs[:, 1]]
        products = (products - self.offsets) / self.spreads
        return self.model.log_odds(np.hstack((standard[:, self.linear], products)))


def fit_quadratic(
    rows: Floats,
    labels: Floats,
    owners: Indices,
    max_features: int = 200,
    max_products: int = 64,
) -> Quadratic:
    """Fit a logistic regression that also sees changed spreads and correlations.

    Parameters
    ----------
    rows : ndarray of float64, shape (rows, features)
        Finite; best bounded or nearly so, as `homeostat.stats.encoding` makes them.
    labels : ndarray of float64, shape (rows,)
        0 or 1, both present.
    owners : ndarray of int64, shape (features,)
        Which column each feature comes from: products are taken across columns, and squares.
    max_features, max_products : int
        The features and products whose means differ most between the labels, at most.

    Raises
    ------
    ValueError
        If a class is absent.

    Notes
    -----
    Few columns change at once, and every term that says nothing adds noise. A feature counts if its
    means differ by at least a standard error, a product if by more than the largest of as many
    that say nothing would, ``sqrt(2 log products)`` (Donoho & Johnstone's universal threshold). The
    penalty is the number of terms: a prior under which the log-odds have a variance of one.
    Deterministic.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> rows, labels = rng.normal(size=(2000, 3)), np.repeat([0.0, 1.0], 1000)
    >>> rows[:1000, 1] += rows[:1000, 0]
    >>> model = fit_quadratic(rows, labels, np.arange(3))
    >>> bool(model.log_odds(np.array([[2.0, -2.0, 0.0]]))[0] > 1.0)
    True
    """
    ones = float(labels.sum())
    if not 0.0 < ones < labels.size:
        raise ValueError("a classifier needs rows of both classes; only one is present")
    sharpness = float(np.sqrt(ones * (labels.size - ones) / labels.size))
    means, spread = rows.mean(axis=0), rows.std(axis=0)
    used = np.flatnonzero(spread > _FLAT)
    used = used[_largest(_gaps(rows[:, used], labels), max_features)]
    means, scales = means[used], spread[used]
    standard = (rows[:, used] - means) / scales
    linear = np.flatnonzero(_gaps(standard, labels) * sharpness >= 1.0)
    pairs = _choose_pairs(standard, labels, owners[used], max_products)
    products = standard[:, pairs[:, 0]] * standard[:, pairs[:, 1]]
    offsets, spreads = products.mean(axis=0), products.std(axis=0)
    terms = np.hstack((standard[:, linear], (products - offsets) / spreads))
    model = fit_logistic(terms, labels, penalty=max(1.0, float(terms.shape[1])))
    return Quadratic(used, means, scales, linear, pairs, offsets, spreads, model)


def _choose_pairs(standard: Floats, labels: Floats, owners: Indices, count: int) -> Indices:
    """Return the pairs whose product differs in mean between the labels, shape (q, 2)."""
    one = labels == 1.0
    rows, ones = labels.size, int(np.count_nonzero(one))
    squares = standard**2
    # The mean square of a product is that of the squares' product: all pairs take three matrices.
    among_ones = standard[one].T @ standard[one] / ones
    among_zeros = standard[~one].T @ standard[~one] / (rows - ones)
    mean = (ones * among_ones + (rows - ones) * among_zeros) / rows
    variance = squares.T @ squares / rows - mean**2
    # The square of an indicator says nothing new: given the feature it does not vary.
    together = (squares * standard).mean(axis=0)
    apart = owners[:, None] != owners
    np.fill_diagonal(apart, np.diag(variance) - together**2 > _FLAT)
    first, second = np.nonzero(np.triu(apart & (variance > _FLAT)))
    place = (first, second)
    error = np.sqrt(variance[place] * (1.0 / ones + 1.0 / (rows - ones)))
    gap = np.abs(among_ones[place] - among_zeros[place]) / error
    level = np.sqrt(2.0 * np.log(max(1, gap.size)))
    chosen = _largest(np.where(gap > level, gap, 0.0), min(count, int(np.sum(gap > level))))
    return np.stack((first[chosen], second[chosen]), axis=1).astype(np.int64)


def _gaps(rows: Floats, labels: Floats) -> Floats:
    """Return how many standard deviations the labels' means are apart, for each feature."""
    one = labels == 1.0
    gaps: Floats = np.abs(rows[one].mean(axis=0) - rows[~one].mean(axis=0)) / rows.std(axis=0)
    return gaps


def _largest(values: Floats, count: int) -> Indices:
    """Return where the largest values are, in order of place."""
    return np.sort(np.argsort(-values, kind="stable")[:count]).astype(np.int64)


def _loss(features: Floats, labels: Floats, weights: Floats, shrink: Floats) -> float:
    odds = features @ weights
    # log(1 + e^x) - y x, without overflow
    each = np.logaddexp(0.0, odds) - labels * odds
    return float(each.sum() + 0.5 * (shrink @ weights**2))


def _newton(features: Floats, labels: Floats, weights: Floats, shrink: Floats) -> Floats:
    chance = 1.0 / (1.0 + np.exp(-np.clip(features @ weights, -500.0, 500.0)))
    gradient = features.T @ (chance - labels) + shrink * weights
    curvature = features.T @ (features * (chance * (1.0 - chance))[:, None])
    curvature[np.diag_indices_from(curvature)] += shrink + _FLAT
    return np.linalg.solve(curvature, gradient).astype(np.float64)
