"""Shares of classes without labels, against expectation maximisation and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2_contingency, chisquare, kstest

from homeostat.stats.label_shift import Priors, by_priors, estimate_priors, misfit, with_priors


def drawn(seed: int, rows: int, shares: list[float]) -> np.ndarray:
    """Chances, calibrated for equal classes, of rows with these shares of classes."""
    rng = np.random.default_rng(seed)
    label = rng.choice(len(shares), rows, p=shares)
    seen = rng.normal(np.eye(len(shares))[label] * 1.5, 1.0)
    odds = np.exp(1.5 * seen)
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def climbed(chances: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Shares by expectation maximisation, with one more row of the old shares."""
    shares = before.copy()
    for _ in range(3000):
        shares = (with_priors(chances, before, shares).sum(axis=0) + before) / (len(chances) + 1)
    return shares


@pytest.mark.parametrize(
    "shares",
    [[0.9, 0.1], [0.5, 0.5], [0.1, 0.2, 0.7], [0.0, 1.0], [0.3, 0.0, 0.1, 0.6]],
    ids=str,
)
def test_shares_are_those_that_expectation_maximisation_climbs_to(shares: list[float]) -> None:
    before = np.full(len(shares), 1.0 / len(shares))
    chances = drawn(1, 400, shares)
    found = estimate_priors(chances, before)
    np.testing.assert_allclose(found.shares, climbed(chances, before), atol=1e-6)
    assert found.shares.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(found.covariance.sum(axis=0), 0.0, atol=1e-12)


def test_shares_lie_as_far_from_the_truth_as_their_covariance_says() -> None:
    before = np.full(3, 1.0 / 3.0)
    truth = np.array([0.2, 0.3, 0.5])
    squares = []
    for seed in range(200):
        found = estimate_priors(drawn(seed, 500, truth.tolist()), before)
        gap = (found.shares - truth)[:2]
        squares.append(float(gap @ np.linalg.solve(found.covariance[:2, :2], gap)))
    # Chi-squared with two degrees of freedom has mean 2 and a standard error of 0.14 here.
    assert np.mean(squares) == pytest.approx(2.0, abs=0.5)


@pytest.mark.parametrize("rows", [0, 50], ids=["no rows", "chances that tell nothing"])
def test_shares_stay_where_nothing_is_told(rows: int) -> None:
    before = np.array([0.2, 0.8])
    found = estimate_priors(np.tile(before, (rows, 1)), before)
    np.testing.assert_allclose(found.shares, before, atol=1e-9)
    assert found.covariance[0, 0] == pytest.approx(0.2 * 0.8)


def test_derivatives_by_shares_are_those_of_differences() -> None:
    before, shares = np.array([0.3, 0.3, 0.4]), np.array([0.2, 0.5, 0.3])
    chances, worth = drawn(2, 60, [0.3, 0.3, 0.4]), np.random.default_rng(3).random((60, 3))

    def figure(of: np.ndarray) -> float:
        return float(np.sum(with_priors(chances, before, of) * worth))

    found = by_priors(worth, with_priors(chances, before, shares), shares)
    for k, way in enumerate(np.eye(3) * 1e-6):
        slope = (figure(shares + way) - figure(shares - way)) / 2e-6
        assert found[k] == pytest.approx(slope, rel=1e-5)


def test_a_misfit_to_known_shares_is_pearson_and_of_two_samples_is_contingency() -> None:
    parts = np.array([[2, 3, 5], [6, 3, 1]])
    counts = np.array([40, 35, 25])
    shares = Priors(np.array([0.6, 0.4]), np.zeros((2, 2)))
    found, freedom = misfit(counts, parts * 10**9, shares, 100)
    expected = np.array([0.6, 0.4]) @ (parts / 10.0) * 100
    assert found == pytest.approx(chisquare(counts, expected).statistic, rel=1e-6)
    assert freedom == 2
    one = Priors(np.array([1.0, 0.0]), np.zeros((2, 2)))
    both = np.array([[400, 300, 300], [1, 1, 1]])
    near = misfit(np.array([390, 310, 300]), both, one, 1000)[0]
    oracle = chi2_contingency(np.array([[390, 310, 300], both[0]])).statistic
    assert near == pytest.approx(oracle, rel=0.05)


def test_a_mixture_of_the_classes_fits_and_another_distribution_does_not() -> None:
    chances, tall = [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        parts = np.array([[0.5, 0.3, 0.2], [0.1, 0.3, 0.6]])
        before = np.array([rng.multinomial(2000, part) for part in parts])
        shares = Priors(np.array([0.7, 0.3]), np.zeros((2, 2)))
        now = rng.multinomial(1000, shares.shares @ parts)
        chances.append(misfit(now, before, shares, 1000)[0])
        doubt = Priors(shares.shares, 0.03**2 * np.array([[1.0, -1.0], [-1.0, 1.0]]))
        moved = rng.multinomial(1000, np.array([0.76, 0.24]) @ parts)
        assert misfit(moved, before, doubt, 1000)[0] <= misfit(moved, before, shares, 1000)[0]
        tall.append(misfit(rng.multinomial(1000, [0.3, 0.5, 0.2]), before, doubt, 1000)[0])
    assert kstest(chances, "chi2", args=(2,)).pvalue > 0.001
    assert min(tall) > 30.0
