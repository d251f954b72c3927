import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom, ks_2samp, kstwo

from homeostat.stats.smirnov import DURBIN_ROWS, one_sample_sf, two_sample_sf

SIZES = st.integers(1, 60)


@given(SIZES, SIZES, st.integers(0, 2**32), st.booleans())
def test_two_samples_agree_with_scipy(n: int, m: int, seed: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=n), rng.normal(0.5, size=m)
    if ties:
        x, y = np.round(x), np.round(y)
    found = two_sample_sf(gap(x, y), n, m)
    # At the smallest gaps SciPy's own count of paths may exceed all of them; it is one there.
    try:
        expected = float(ks_2samp(x, y, method="exact").pvalue)
    except RuntimeWarning:
        expected = 1.0
    assert found == pytest.approx(expected, rel=1e-10)


def gap(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    at = np.concatenate((x, y))[:, None]
    return float(np.abs((x <= at).mean(axis=1) - (y <= at).mean(axis=1)).max())


@pytest.mark.parametrize(
    ("n", "m", "shift"), [(1000, 1000, 0.1), (997, 1000, 0.3), (200, 5000, 0.2), (10_000, 800, 0.1)]
)
def test_two_large_samples_agree_with_scipy(n: int, m: int, shift: float) -> None:
    rng = np.random.default_rng(n)
    expected = ks_2samp(rng.normal(size=n), rng.normal(shift, size=m), method="exact")
    found = two_sample_sf(float(expected.statistic), n, m)
    assert found == pytest.approx(expected.pvalue, rel=1e-9)


@given(SIZES, SIZES)
def test_two_samples_at_the_ends(n: int, m: int) -> None:
    assert two_sample_sf(0.0, n, m) == 1.0
    assert two_sample_sf(1.0, n, m) == two_sample_sf(1.0, m, n)
    assert two_sample_sf(1.0, n, n) == pytest.approx(2.0 / float(binomial(2 * n, n)), rel=1e-10)


def binomial(n: int, k: int) -> float:
    return float(np.prod([(n - k + i) / i for i in range(1, k + 1)]))


@pytest.mark.parametrize("n", [1, 2, 3, 10, 50, DURBIN_ROWS])
def test_one_small_sample_agrees_with_scipy(n: int) -> None:
    for statistic in np.linspace(0.0, 1.0, 41).tolist():
        expected = float(kstwo.sf(statistic, n))
        assert one_sample_sf(statistic, n) == pytest.approx(expected, abs=1e-11)


@pytest.mark.parametrize("n", [DURBIN_ROWS + 1, 300, 5_000, 100_000])
def test_one_large_sample_agrees_with_scipy(n: int) -> None:
    for scaled in (0.0, 0.04, 0.2, 0.4, 0.6, 0.9, 1.2, 1.36, 1.63, 2.0, 3.0, 6.0):
        expected = float(kstwo.sf(scaled / np.sqrt(n), n))
        assert one_sample_sf(scaled / np.sqrt(n), n) == pytest.approx(expected, abs=3e-6)


def test_two_samples_hold_their_level() -> None:
    rng = np.random.default_rng(3)
    wrong = 0
    for _ in range(500):
        x, y = rng.normal(size=60), rng.normal(size=47)
        wrong += two_sample_sf(gap(x, y), 60, 47) <= 0.05
    assert wrong <= 40


@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_two_samples_agree_with_counted_paths_at_every_height(
    n: int, m: int, data: st.DataObject
) -> None:
    common = int(np.lcm(n, m))
    height = data.draw(st.integers(1, common))
    i, j = np.meshgrid(np.arange(n + 1), np.arange(m + 1), indexing="ij")
    inside = np.abs(i * (common // n) - j * (common // m)) < height
    paths = np.zeros((n + 1, m + 1))
    for a, b in np.ndindex(n + 1, m + 1):
        before = (paths[a - 1, b] if a else 0.0) + (paths[a, b - 1] if b else 0.0)
        paths[a, b] = inside[a, b] * (before if a or b else 1.0)
    expected = 1.0 - paths[n, m] / binom(n + m, 0.5).pmf(n) / 2.0 ** (n + m)
    assert two_sample_sf(height / common, n, m) == pytest.approx(expected, abs=1e-12)
