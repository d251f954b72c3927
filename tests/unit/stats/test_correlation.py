import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from homeostat.stats.correlation import (
    MIN_VARIED,
    compare_correlations,
    correlate,
    pool_correlations,
)

Floats = NDArray[np.float64]


def scores(column: Floats) -> Floats:
    return stats.norm.ppf((stats.rankdata(column) - 0.5) / column.size)


def influence(x: Floats, y: Floats) -> float:
    """The variance of a row's influence on Fisher's transform, row by row."""
    x, y = (x - x.mean()) / x.std(), (y - y.mean()) / y.std()
    r = float(np.mean(x * y))
    return float(np.mean((x * y - r * (x**2 + y**2) / 2) ** 2)) / (1 - r * r) ** 2


def allowance(r: float, rows: float) -> float:
    """The spread's formula for few rows."""
    free = rows * (1 - r * r)
    width = np.sqrt(rows * free)
    return (1 + (1 + free) ** -0.75) * (1 + 3.3 * abs(r) ** 5 * width / (width + 5) ** 2) ** 2


@given(st.integers(0, 2**32 - 1), st.integers(0, 30))
def test_correlations_are_pearsons_of_normal_scores(seed: int, largest: int) -> None:
    rng = np.random.default_rng(seed)
    columns = rng.integers(0, largest, (40, 3), endpoint=True).astype(float)
    columns[:, 2] += rng.choice([0.0, 0.5, 100.0]) * columns[:, 1]
    found = correlate(columns)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        if math.isnan(found.r[i, j]):
            continue
        x, y = scores(columns[:, i]), scores(columns[:, j])
        assert found.r[i, j] == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-9)
        if abs(found.r[i, j]) < 0.999:
            expected = influence(x, y) * allowance(found.r[i, j], 40)
            assert found.spread[i, j] == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert found.rows.tolist() == [[40.0] * 3] * 3
    varied = [40 - np.unique(column, return_counts=True)[1].max() for column in columns.T]
    assert np.isfinite(np.diag(found.r)).tolist() == [count >= MIN_VARIED for count in varied]


def test_ranks_alone_count() -> None:
    rng = np.random.default_rng(1)
    columns = rng.normal(size=(300, 4))
    columns[:, 1] += columns[:, 0]
    bent = np.stack(
        (np.exp(9 * columns[:, 0]), columns[:, 1] ** 3, -columns[:, 2], columns[:, 3]), axis=1
    )
    flipped = correlate(columns).r * np.outer([1, 1, -1, 1], [1, 1, -1, 1])
    assert correlate(bent).r == pytest.approx(flipped)
    normal = correlate(rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], 50_000))
    assert normal.r[0, 1] == pytest.approx(0.6, abs=0.01)
    assert normal.spread[0, 1] == pytest.approx(1.0, abs=0.05)


def test_spearman_says_nearly_the_same() -> None:
    rng = np.random.default_rng(2)
    columns = rng.standard_t(3, size=(2000, 5)) @ rng.normal(size=(5, 5))
    found, spearman = correlate(columns).r, stats.spearmanr(columns).statistic
    assert found == pytest.approx(2 * np.sin(np.pi / 6 * spearman), abs=0.05)


def test_pairs_use_the_rows_where_both_are_present() -> None:
    rng = np.random.default_rng(3)
    columns = rng.normal(size=(400, 2)) + rng.normal(size=(400, 1))
    gone = rng.random((400, 2)) < [0.3, 0.1]
    gone[:, 1] |= columns[:, 0] > 1.5  # not at random
    x, y = np.where(gone, np.nan, columns).T
    found = correlate(np.stack((x, y), axis=1))
    both = ~gone.any(axis=1)
    a, b = (np.full(400, np.nan) for _ in range(2))
    a[~gone[:, 0]], b[~gone[:, 1]] = scores(x[~gone[:, 0]]), scores(y[~gone[:, 1]])
    assert found.rows[0, 1] == both.sum()
    assert found.r[0, 1] == pytest.approx(stats.pearsonr(a[both], b[both]).statistic)
    expected = influence(a[both], b[both]) * allowance(found.r[0, 1], both.sum())
    assert found.spread[0, 1] == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["normal", "tails that go together", "curved"])
def test_the_spread_is_that_of_repeated_samples(kind: str) -> None:
    rng = np.random.default_rng(4)
    transforms, spreads = [], []
    for _ in range(800):
        x = rng.normal(size=(200, 2)) @ np.array([[1.0, 0.8], [0.0, 0.6]])
        if kind == "tails that go together":
            x /= np.sqrt(rng.chisquare(2, size=(200, 1)))
        if kind == "curved":
            x[:, 1] = x[:, 1] + x[:, 0] ** 2
        found = correlate(x)
        transforms.append(found.z[0, 1])
        spreads.append(found.spread[0, 1])
    ratio = np.mean(spreads) / (197 * np.var(transforms))
    # Where one column is no line of the other the spread is too large, never much too small.
    assert 0.85 <= ratio <= (1.6 if kind == "curved" else 1.15)


@pytest.mark.parametrize("correlation", [0.0, 0.8, 0.95, 0.99])
@pytest.mark.parametrize("rows", [50, 200, 1000])
def test_few_rows_do_not_look_less_correlated(correlation: float, rows: int) -> None:
    rng = np.random.default_rng(12)
    own = np.sqrt(1.0 - correlation**2)
    found = []
    for _ in range(60_000 // rows):
        x = rng.normal(size=(rows, 1))
        y = correlation * x + own * rng.normal(size=(rows, 1))
        found.append(correlate(np.hstack((x, y))))
    z = np.array([each.z[0, 1] for each in found])
    off = (z.mean() - np.arctanh(correlation)) * np.sqrt(rows - 3)
    assert abs(off) < 0.2 + 2.5 / np.sqrt(z.size)
    spread = np.mean([each.spread[0, 1] for each in found])
    assert z.var() * (rows - 3) < spread * (1.1 + 3.5 * np.sqrt(2 / z.size))


def tied(rng: np.random.Generator, rows: int) -> Floats:
    return (rng.random((rows, 8)) < 0.08) * rng.exponential(size=(rows, 8))


def factor(rng: np.random.Generator, rows: int, own: float, tails: float) -> Floats:
    x = rng.normal(size=(rows, 1)) + own * rng.normal(size=(rows, 8))
    return x / np.sqrt(rng.chisquare(tails, size=(rows, 1)) / tails)


def missing(rng: np.random.Generator, rows: int) -> Floats:
    x = factor(rng, rows, 1.0, 1e9)
    x[rng.random(x.shape) < 0.2] = np.nan
    return x


WORLDS: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "independent": lambda rng, rows: rng.normal(size=(rows, 8)),
    "strongly correlated": lambda rng, rows: factor(rng, rows, 0.1, 1e9),
    "tails that go together": lambda rng, rows: factor(rng, rows, 1.0, 2.0),
    "both": lambda rng, rows: factor(rng, rows, 0.3, 2.0),
    "heavy": lambda rng, rows: np.exp(3.0 * factor(rng, rows, 1.0, 5.0).clip(-50, 50)),
    "mostly ties": tied,
    "rare": lambda rng, rows: (rng.random((rows, 8)) < 0.06).astype(float),
    "missing": missing,
}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize(("n", "m"), [(200, 200), (1000, 200), (200, 1000)])
def test_equal_correlations_are_rarely_called_different(world: str, n: int, m: int) -> None:
    rng = np.random.default_rng(5)
    smallest, every = [], []
    for _ in range(100):
        before, now = (correlate(WORLDS[world](rng, rows)) for rows in (n, m))
        p_values = compare_correlations(before, now).p_values
        smallest.append(p_values.min(initial=1.0) * p_values.size if p_values.size else 1.0)
        every.extend((p_values < 0.05).tolist())
    assert np.mean(np.array(smallest) < 0.05) <= 0.11  # 0.05 and 2.75 standard errors
    assert np.mean(every or [0.0]) <= 0.07


def test_the_test_is_not_timid_where_rows_are_independent() -> None:
    rng = np.random.default_rng(6)
    found = [
        compare_correlations(*(correlate(rng.normal(size=(300, 8))) for _ in range(2))).p_values
        for _ in range(150)
    ]
    assert np.mean(np.array(found) < 0.05) == pytest.approx(0.05, abs=0.012)


def test_a_copy_that_stays_one_has_not_changed_and_one_that_parts_has() -> None:
    rng = np.random.default_rng(7)
    x = rng.normal(size=(500, 3))
    x[:, 1] = x[:, 0]
    y = rng.normal(size=(500, 3))
    same, parted = y.copy(), y.copy()
    same[:, 1], parted[:, 1] = y[:, 0], y[:, 0] + 0.5 * y[:, 1]
    before = correlate(x)
    kept = compare_correlations(before, correlate(same))
    assert (kept.z[0], kept.p_values[0]) == pytest.approx((0.0, 1.0))
    assert compare_correlations(before, correlate(parted)).p_values[0] < 1e-100


def test_windows_are_pooled_by_rows() -> None:
    rng = np.random.default_rng(8)
    shape = np.array([[1.0, 0.5], [0.0, 1.0]])
    parts = [correlate(rng.normal(size=(rows, 2)) @ shape) for rows in (100, 400, 1500)]
    pooled, between = pool_correlations(parts)
    weights = np.array([97.0, 397.0, 1497.0])
    expected = np.average([part.z[0, 1] for part in parts], weights=weights)
    assert pooled.z[0, 1] == pytest.approx(expected)
    assert pooled.r[0, 1] == pytest.approx(np.tanh(expected))
    assert pooled.rows[0, 1] == 2000
    alone, nothing = pool_correlations(parts[:1])
    assert alone.z[0, 1] == pytest.approx(parts[0].z[0, 1])
    assert alone.spread[0, 1] == pytest.approx(parts[0].spread[0, 1])
    assert not nothing.any()
    assert (between >= 0).all()


def test_variation_between_windows_is_estimated() -> None:
    rng = np.random.default_rng(9)
    windows = []
    for _ in range(40):
        slope = rng.normal(0.0, 0.3)
        x = rng.normal(size=(500, 4))
        x[:, 1:] += slope * x[:, :1]
        windows.append(correlate(x))
    _, between = pool_correlations(windows)
    assert between[0, 1] == pytest.approx(0.09, abs=0.05)
    now, usual = windows[0], pool_correlations(windows[1:])[0]
    strict, lenient = (compare_correlations(usual, now, extra) for extra in (0.0, between))
    assert (np.abs(lenient.z) <= np.abs(strict.z)).all()


def test_pairs_absent_from_every_window_stay_unknown() -> None:
    rng = np.random.default_rng(10)
    x = rng.normal(size=(60, 3))
    x[:, 2] = np.nan
    full = np.column_stack((x[:, :2], rng.normal(size=60)))
    pooled, between = pool_correlations([correlate(x), correlate(x)])
    assert np.isnan(pooled.r[0, 2])
    assert np.isfinite(between).all()
    once, _ = pool_correlations([correlate(x), correlate(full)])
    assert once.rows[0, 2] == 60
    assert compare_correlations(pooled, correlate(full)).pairs.tolist() == [[0, 1]]
    with pytest.raises(ValueError, match="no windows"):
        pool_correlations([])


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_few_rows_have_no_correlations(rows: int) -> None:
    found = correlate(np.random.default_rng(11).normal(size=(rows, 3)))
    assert np.isnan(found.r).all()
    assert compare_correlations(found, found).z.size == 0
