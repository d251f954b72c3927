"""The level of tests on order where many rows are tied."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from homeostat.stats import ordered
from homeostat.stats.pooled import pool, pool_counts
from homeostat.stats.significance import Significance
from homeostat.stats.tied_null import anderson_weights, cramer_weights, is_tied, tied_sf

Sample = NDArray[np.float64]
Test = Callable[..., Significance]
QUADRATIC: list[Test] = [ordered.cramer_von_mises, ordered.anderson_darling]


def allowed(level: float, times: int) -> float:
    """Three standard errors above a level."""
    return level + 3.0 * float(np.sqrt(level / times))


def rates(test: Test, draw: Callable[[int], Sample], n: int, m: int, times: int) -> list[float]:
    found = np.array([test(draw(n), draw(m)).p_value for _ in range(times)])
    return [float(np.mean(found <= level)) for level in (0.2, 0.05)]


@pytest.mark.parametrize("test", [ordered.ks, ordered.kuiper, *QUADRATIC])
@pytest.mark.parametrize("kind", ["binary", "counts", "many zeros", "capped"])
@pytest.mark.statistical
def test_level_holds_with_ties(test: Test, kind: str) -> None:
    rng = np.random.default_rng(11)
    draws: dict[str, Callable[[int], Sample]] = {
        "binary": lambda k: rng.binomial(1, 0.3, k).astype(float),
        "counts": lambda k: rng.poisson(2, k).astype(float),
        "many zeros": lambda k: rng.exponential(size=k) * (rng.random(k) < 0.3),
        "capped": lambda k: np.minimum(rng.normal(size=k), 1.2),
    }
    found = rates(test, draws[kind], 40, 60, 250)
    assert found[0] <= allowed(0.2, 250)
    assert found[1] <= allowed(0.05, 250)
    if test in QUADRATIC:  # not by being conservative
        assert found[0] >= 0.1


@pytest.mark.parametrize("weights", [cramer_weights, anderson_weights])
def test_cells_have_the_mean_and_tail_of_shuffled_rows(
    weights: Callable[[Sample, float, float], object],
) -> None:
    rng = np.random.default_rng(1)
    pooled = np.array([30, 5, 12, 1, 1, 40, 11])
    test = {cramer_weights: QUADRATIC[0], anderson_weights: QUADRATIC[1]}[weights]
    n, m = 60, 40
    now = rng.multivariate_hypergeometric(pooled, m, size=3000, method="count")
    both = [pool_counts(pooled - drawn, drawn) for drawn in now]
    quadratic = weights(both[0].rows(), n, m)
    found = np.array([quadratic.statistic(pair.gaps()) for pair in both])
    share = np.cumsum(pooled) / 100.0
    expected = quadratic.mean(share, 100.0**2 / (n * m * 99.0))
    assert found.mean() == pytest.approx(expected, rel=0.06)
    for quantile in (0.5, 0.9, 0.99):
        tail = tied_sf(both[0], weights, float(np.quantile(found, quantile)))
        assert tail == pytest.approx(1.0 - quantile, abs=0.03)
    rows = [np.repeat(np.arange(7), side) for side in (pooled - now[0], now[0])]
    assert 0.0 < test(*rows).p_value <= 1.0


def test_one_heavy_value_is_enough_and_two_rows_in_forty_are_not() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=20), rng.normal(size=30)
    assert not is_tied(pool(x, y))
    assert not is_tied(pool(x, np.append(y, x[0])))
    assert is_tied(pool(x * (x > 0), y))
