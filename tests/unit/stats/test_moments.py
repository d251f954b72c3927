import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from homeostat.stats.moments import PairSums, adjusted, mean, ratio

Floats = NDArray[np.float64]

ROWS = st.lists(st.tuples(st.floats(-100.0, 100.0), st.floats(0.1, 100.0)), min_size=3, max_size=40)


def sums(y: Floats, x: Floats) -> PairSums:
    return PairSums(float(y.size), *map(float, (y.sum(), y @ y, x.sum(), x @ x, x @ y)))


def columns(rows: list[tuple[float, float]]) -> tuple[Floats, Floats]:
    table = np.array(rows)
    return table[:, 0], table[:, 1]


@settings(max_examples=25)
@given(ROWS)
def test_moments_are_those_of_the_rows(rows: list[tuple[float, float]]) -> None:
    y, x = columns(rows)
    found = mean(sums(y, x))
    assert found.n == y.size
    assert found.mean == pytest.approx(y.mean(), abs=1e-9)
    assert found.variance == pytest.approx(y.var(ddof=1), rel=1e-6, abs=1e-8)


@settings(max_examples=20)
@given(ROWS, ROWS)
def test_sums_of_parts_are_those_of_the_whole(
    one: list[tuple[float, float]], other: list[tuple[float, float]]
) -> None:
    whole = sums(*columns(one + other))
    parts = sums(*columns(one)) + sums(*columns(other))
    for name in PairSums.__slots__:
        assert getattr(parts, name) == pytest.approx(getattr(whole, name), rel=1e-9, abs=1e-6)


def test_the_error_of_a_ratio_is_that_of_its_linearization() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(1, 9, 4000).astype(float)
    y = rng.binomial(x.astype(int), 0.3).astype(float)
    found = ratio(sums(y, x))
    linear = (y - found.mean * x) / x.mean()
    assert found.mean == pytest.approx(y.sum() / x.sum())
    assert found.error == pytest.approx(linear.std(ddof=1) / np.sqrt(4000), rel=1e-9)


def test_the_error_of_a_ratio_is_what_repetition_shows() -> None:
    rng = np.random.default_rng(1)
    x = rng.poisson(3.0, (2000, 200)) + 1.0
    y = x * rng.normal(0.4, 0.2, (2000, 200))
    values = [ratio(sums(b, a)) for a, b in zip(x, y, strict=True)]
    seen = np.std([found.mean for found in values])
    assert seen == pytest.approx(np.mean([found.error for found in values]), rel=0.06)


def test_cuped_is_the_regression_with_arm_effects() -> None:
    rng = np.random.default_rng(2)
    arms = []
    for effect in (0.0, 0.5, 1.0):
        x = rng.normal(10.0, 2.0, 500)
        arms.append((effect + 0.8 * x + rng.normal(0.0, 1.0, 500), x))
    found = adjusted([sums(y, x) for y, x in arms])
    design = np.zeros((1500, 4))
    for place, (_, x) in enumerate(arms):
        design[500 * place : 500 * (place + 1), place] = 1.0
        design[500 * place : 500 * (place + 1), 3] = x
    weights = np.linalg.lstsq(design, np.concatenate([y for y, _ in arms]), rcond=None)[0]
    for place in (1, 2):
        gap = found[place].mean - found[0].mean
        assert gap == pytest.approx(weights[place] - weights[0], rel=1e-9)
    y, x = arms[0]
    plain, correlation = y.var(ddof=1), np.corrcoef(x, y)[0, 1]
    assert found[0].variance == pytest.approx(plain * (1.0 - correlation**2), rel=0.01)


def test_a_covariate_that_says_nothing_changes_nothing() -> None:
    flat = PairSums(n=4.0, y=10.0, yy=30.0, x=8.0, xx=16.0, xy=20.0)
    assert adjusted([flat, flat]) == (mean(flat), mean(flat))


def test_nothing_has_no_moments() -> None:
    nothing = PairSums()
    for found in (mean(nothing), ratio(nothing), adjusted([nothing, nothing])[0]):
        assert found.n == 0.0
        assert np.isnan(found.mean)
        assert np.isnan(found.error)
    one = mean(PairSums(n=1.0, y=3.0, yy=9.0))
    assert (one.mean, one.n) == (3.0, 1.0)
    assert np.isnan(one.variance)
    assert np.isnan(ratio(PairSums(n=2.0, y=1.0, yy=1.0)).mean)


@pytest.mark.parametrize("value", [0.1, 1e8 + 0.1, -3e-9], ids=["small", "large", "tiny"])
def test_rounding_is_no_variance(value: float) -> None:
    y = np.full(7001, value)
    assert mean(sums(y, y)).variance == 0.0
    assert ratio(sums(np.abs(y), np.abs(y))).variance == 0.0
    assert adjusted([sums(y, np.arange(7001.0))])[0].variance == 0.0


def test_a_companion_that_explains_all_leaves_no_variance() -> None:
    x = np.random.default_rng(3).normal(0.0, 1.0, 500)
    positive = np.abs(x)
    quotient = ratio(sums(0.3 * positive, positive))
    assert quotient.mean == pytest.approx(0.3)
    left = adjusted([sums(3.1 * x, x)])[0]
    assert left.mean == pytest.approx(3.1 * x.mean())
    assert quotient.variance == left.variance == 0.0
