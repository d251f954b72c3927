"""Correlations between columns, and whether they have changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.stats.encoding import normal_scores
from homeostat.stats.special import normal_sf

Floats = NDArray[np.float64]

MIN_VARIED = 10
"""Rows that a correlation needs on either side of "the usual value or another one"."""

_PERFECT = 1.0 - 1e-9  # correlations beyond are of copies


@dataclass(frozen=True, slots=True, eq=False)
class Correlations:
    """Rank correlations of all pairs of columns of one sample.

    Attributes
    ----------
    r : ndarray of float64, shape (columns, columns)
        Correlations of the normal scores; NaN where a pair has fewer than `MIN_VARIED` rows in
        common or a column differs from its most frequent value in fewer.
    z : ndarray of float64, shape (columns, columns)
        Fisher's transform ``atanh(r)``, with what few rows take away put back.
    rows : ndarray of float64, shape (columns, columns)
        Rows in which both are present.
    spread : ndarray of float64, shape (columns, columns)
        Variance of one row's influence on `z`: 1 for normal columns, more where tails depend on
        each other. The variance of `z` is about ``spread / (rows - 3)``.
    """

    r: Floats
    z: Floats
    rows: Floats
    spread: Floats


def correlate(columns: Floats) -> Correlations:
    """Correlate the normal scores of all pairs of columns.

    Ranks make the result robust to heavy tails and independent of the columns' own distributions;
    on normal scores it loses nothing where those are normal ("Gaussian rank correlation", Boudt,
    Cornelissen & Croux 2012).

    Parameters
    ----------
    columns : ndarray of float64, shape (rows, columns)
        NaN is missing: each pair uses the rows where both are present. Infinities are extremes.

    Notes
    -----
    A row (x, y) of standardised scores moves r by ``x y - r (x^2 + y^2) / 2``; its variance is
    taken from the fourth moments of the sample rather than assumed to be the normal
    ``(1 - r^2)^2``. That is the influence on a rank correlation where one score's mean is linear in
    the other; elsewhere the variance is up to half too large, by simulation, and at worst a tenth
    too small.

    The ranks of few rows blur: of columns correlated by 0.99, 200 rows show 0.988 on average, more
    than a standard error of `z` away. What is missing, and the variance that comes with it, are
    formulas fitted to simulations of normal columns (r up to 0.9995, 50 to 2000 rows). What they
    leave is at most a fifth of a standard error up to 0.99, and two thirds at 0.998 in 50 rows.

    Examples
    --------
    >>> x = np.arange(100.0)
    >>> found = correlate(np.stack((x, np.exp(x), np.flip(x), x % 10), axis=1))
    >>> found.r[0].round(2).tolist()
    [1.0, 1.0, -1.0, 0.15]
    """
    scores = np.empty(columns.shape, dtype=np.float64)
    for index in range(columns.shape[1]):
        scores[:, index] = normal_scores(columns[:, index])
    varied = np.array([_varied(column) >= MIN_VARIED for column in scores.T], dtype=np.bool_)
    with np.errstate(divide="ignore", invalid="ignore"):
        rows, r, spread = _moments(scores)
        r[(rows < MIN_VARIED) | ~(varied[:, None] & varied)] = np.nan
        z, spread = _sharpen(r, rows, spread)
    return Correlations(r, z, rows, spread)


@dataclass(frozen=True, slots=True, eq=False)
class CorrelationChange:
    """Two correlation matrices compared, pair by pair.

    Attributes
    ----------
    pairs : ndarray of int64, shape (m, 2)
        Columns of each pair that could be compared, first below second.
    reference, current : ndarray of float64, shape (m,)
        Its correlations.
    z : ndarray of float64, shape (m,)
        Difference of Fisher's transforms, current minus reference, in standard errors.
    p_values : ndarray of float64, shape (m,)
        Two-sided, of each pair alone.
    """

    pairs: NDArray[np.int64]
    reference: Floats
    current: Floats
    z: Floats
    p_values: Floats


def compare_correlations(
    reference: Correlations, current: Correlations, between: Floats | float = 0.0
) -> CorrelationChange:
    """Test each pair of columns for a changed correlation.

    Parameters
    ----------
    reference, current : Correlations
        Of the same columns.
    between : float or ndarray of float64, shape (columns, columns)
        Variance of Fisher's transform between windows that their rows do not explain, ≥ 0, from
        `pool_correlations`.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> before, now = rng.normal(size=(400, 3)), rng.normal(size=(400, 3))
    >>> now[:, 2] += now[:, 0]
    >>> change = compare_correlations(correlate(before), correlate(now))
    >>> change.pairs[change.p_values < 1e-6].tolist()
    [[0, 2]]
    """
    usable = np.isfinite(reference.r) & np.isfinite(current.r)
    first, second = np.nonzero(np.triu(usable, k=1))
    place = (first, second)
    n, m = reference.rows[place], current.rows[place]
    before, now = reference.spread[place], current.spread[place]
    # One sample's fourth moments may miss the tails that the other shows: take the larger estimate.
    pooled = (n * before + m * now) / (n + m)
    before, now = np.maximum(before, pooled), np.maximum(now, pooled)
    extra = np.broadcast_to(np.asarray(between, dtype=np.float64), reference.r.shape)[place]
    error = np.sqrt(before / (n - 3.0) + now / (m - 3.0) + extra)
    z = (current.z[place] - reference.z[place]) / error
    p_values = np.array([2.0 * normal_sf(abs(value)) for value in z.tolist()])
    pairs = np.stack(place, axis=1).astype(np.int64)
    return CorrelationChange(pairs, reference.r[place], current.r[place], z, p_values)


def pool_correlations(windows: Sequence[Correlations]) -> tuple[Correlations, Floats]:
    """Average the correlations of windows and estimate how much these vary on their own.

    Ranks are those within windows, so that columns that move together from window to window, by
    weekday or batch, do not look correlated.

    Parameters
    ----------
    windows : sequence of Correlations
        At least one; all of the same columns.

    Returns
    -------
    Correlations
        Fisher's transforms averaged by rows; ``spread`` says how uncertain they are.
    ndarray of float64, shape (columns, columns)
        Variance of Fisher's transform between windows beyond that of their rows; 0 for one window.

    Raises
    ------
    ValueError
        If there are no windows.

    Notes
    -----
    How many times more than their rows explain a pair's windows vary is half its own estimate, half
    that of all pairs, and never less than the latter: a dozen windows say little about one pair.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> pooled, between = pool_correlations(
    ...     [correlate(rng.normal(size=(200, 2))) for _ in range(5)]
    ... )
    >>> int(pooled.rows[0, 1]), bool(abs(pooled.r[0, 1]) < 0.1), bool(between[0, 1] < 0.01)
    (1000, True, True)
    """
    if not windows:
        raise ValueError("there are no windows to pool; give at least one")
    r = np.stack([window.r for window in windows])
    there = np.isfinite(r)
    rows = np.where(there, np.stack([window.rows for window in windows]), 0.0)
    z = np.where(there, np.stack([window.z for window in windows]), 0.0)
    spread = np.where(there, np.stack([window.spread for window in windows]), 0.0)
    counts = there.sum(axis=0)
    free = np.maximum(rows - 3.0, 0.0)
    noise = spread / np.where(there, free, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = (free * z).sum(axis=0) / free.sum(axis=0)
        excess = np.where(noise > 0.0, (z - centre) ** 2 / noise, 0.0).sum(axis=0)
        freedom = np.maximum(counts - 1, 0)
        times = _overdispersion(excess, freedom)
        between = np.maximum(times - 1.0, 0.0) * noise.sum(axis=0) / counts
        between = np.where(counts > 0, between, 0.0)
        shares = free / free.sum(axis=0)
        error = (shares**2 * (noise + np.where(freedom > 0, between, 0.0))).sum(axis=0)
    total = rows.sum(axis=0)
    return Correlations(np.tanh(centre), centre, total, error * (total - 3.0)), between


def _overdispersion(excess: Floats, freedom: NDArray[np.int64]) -> Floats:
    """Return how many times more than their rows explain the windows of each pair vary."""
    pairs = np.triu(freedom, k=1)
    usual = float(excess[pairs > 0].sum() / pairs.sum()) if pairs.any() else 1.0
    own = np.where(freedom > 0, excess / freedom, usual)
    return np.maximum((own + usual) / 2.0, usual)


def _varied(scores: Floats) -> int:
    """Return how many values differ from the most frequent one."""
    _, counts = np.unique(scores[~np.isnan(scores)], return_counts=True)
    return int(counts.sum() - counts.max(initial=0))


def _moments(scores: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the rows of each pair, and over these the correlation and its spread."""
    present = ~np.isnan(scores)
    x1, mask = np.where(present, scores, 0.0), present.astype(np.float64)
    rows = mask.T @ mask
    x2 = x1 * x1
    x3 = x2 * x1
    m10, m20, m30, m40 = (power.T @ mask / rows for power in (x1, x2, x3, x2 * x2))
    m11, m21, m31, m22 = (x1.T @ x1 / rows, x2.T @ x1 / rows, x3.T @ x1 / rows, x2.T @ x2 / rows)
    a, b = m10, m10.T
    variance = m20 - a * a
    together = m11 - a * b
    fourth = m40 - 4.0 * a * m30 + 6.0 * a**2 * m20 - 3.0 * a**4
    cubed = m31 - b * m30 - 3.0 * a * (m21 - b * m20) + 3.0 * a**2 * (m11 - a * b)
    squares = m22 - 2.0 * (b * m21 + a * m21.T) + b**2 * m20 + a**2 * m20.T
    squares += 4.0 * a * b * m11 - 3.0 * (a * b) ** 2
    variance = np.where(variance > 1e-12, variance, np.nan)
    s, t = variance, variance.T
    r = np.clip(together / np.sqrt(s * t), -1.0, 1.0)
    k22 = squares / (s * t)
    k31 = cubed / (s * np.sqrt(s * t))
    k40 = fourth / s**2
    influence = k22 - r * (k31 + k31.T) + r * r / 4.0 * (k40 + k40.T + 2.0 * k22)
    spread = np.where(np.abs(r) > _PERFECT, 1.0, influence / (1.0 - r * r) ** 2)
    return rows, r, spread


def _sharpen(r: Floats, rows: Floats, spread: Floats) -> tuple[Floats, Floats]:
    """Return Fisher's transform and its spread, corrected for what the ranks of few rows lose."""
    z = _fisher(r)
    free = rows / np.cosh(z) ** 2  # rows (1 - r^2)
    width = np.sqrt(rows * free)
    lost = 3.3 * np.tanh(z) ** 5 / (width + 5.0)
    stretch = 1.0 + np.abs(lost) * width / (width + 5.0)
    return z + lost, spread * (1.0 + (1.0 + free) ** -0.75) * stretch**2


def _fisher(r: Floats) -> Floats:
    return np.arctanh(np.clip(r, -_PERFECT, _PERFECT))
