"""Confidence sequences: coverage at every moment, widths, and what refutes them."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import integrate, stats

from homeostat.stats import estimates, intervals
from homeostat.stats.sequences import (
    ConfidenceSequence,
    asymptotic,
    empirical_bernstein,
    hoeffding,
    normal_mixture,
    proportion,
)

Floats = NDArray[np.float64]
Bounded = Callable[..., ConfidenceSequence]
BOUNDED: list[Bounded] = [hoeffding, empirical_bernstein]
EACH = pytest.mark.parametrize("sequence", BOUNDED)


def ever_missed(sequence: ConfidenceSequence, mean: float) -> bool:
    return bool(np.any((sequence.lower > mean) | (sequence.upper < mean)))


def width(interval: intervals.Interval | estimates.Estimate) -> float:
    return interval.upper - interval.lower


@pytest.mark.statistical
@EACH
@pytest.mark.parametrize("name", ["coin", "rare", "beta", "two_points"])
def test_the_mean_is_ever_missed_no_more_often_than_promised(sequence: Bounded, name: str) -> None:
    rng = np.random.default_rng(11)
    size = (400, 2000)
    rows, mean = {
        "coin": lambda: (rng.integers(0, 2, size).astype(float), 0.5),
        "rare": lambda: ((rng.random(size) < 0.03).astype(float), 0.03),
        "beta": lambda: (rng.beta(2.0, 6.0, size), 0.25),
        "two_points": lambda: (np.where(rng.random(size) < 0.5, 0.45, 0.55), 0.5),
    }[name]()
    missed = np.mean([ever_missed(sequence(row, level=0.9), mean) for row in rows])
    assert missed <= 0.1 + 3.0 * math.sqrt(0.09 / len(rows))


@pytest.mark.statistical
def test_an_interval_of_fixed_size_drawn_anew_with_every_row_is_missed_often() -> None:
    # What sequences are for; at each single size the interval is right.
    z = np.cumsum(np.random.default_rng(12).normal(size=(400, 2000)), axis=1)
    n = np.arange(1, 2001)
    assert np.mean(np.any(np.abs(z / np.sqrt(n)) > 1.645, axis=1)) > 0.6
    reach = np.array([normal_mixture(0.0, k, 1.0, 0.9).upper for k in n.tolist()])
    assert np.mean(np.any(np.abs(z / n) > reach, axis=1)) <= 0.1


def test_hoeffding_by_its_formula_row_by_row() -> None:
    rows = [0.2, 0.9, 0.4]
    stakes = gains = cost = 0.0
    lower, upper = 0.0, 1.0
    found = hoeffding(rows, level=0.95)
    for t, row in enumerate(rows, 1):
        bet = min(1.0, math.sqrt(8.0 * math.log(40.0) / (t * math.log(t + 1.0))))
        stakes, gains, cost = stakes + bet, gains + bet * row, cost + bet**2 / 8.0
        reach = (math.log(40.0) + cost) / stakes
        lower, upper = max(lower, gains / stakes - reach), min(upper, gains / stakes + reach)
        assert found.lower[t - 1] == pytest.approx(lower)
        assert found.upper[t - 1] == pytest.approx(upper)


def test_empirical_bernstein_by_its_formula_row_by_row() -> None:
    rows = np.random.default_rng(13).beta(2.0, 9.0, 300).tolist()
    stakes = gains = cost = 0.0
    total, squares, mean, variance = 0.5, 0.25, 0.5, 0.25
    lower, upper = 0.0, 1.0
    found = empirical_bernstein(rows, level=0.9)
    for t, row in enumerate(rows, 1):
        bet = min(0.5, math.sqrt(2.0 * math.log(20.0) / (variance * t * math.log(1.0 + t))))
        psi = (-math.log(1.0 - bet) - bet) / 4.0
        stakes, gains, cost = stakes + bet, gains + bet * row, cost + 4.0 * (row - mean) ** 2 * psi
        total += row
        mean = total / (t + 1)
        squares += (row - mean) ** 2
        variance = squares / (t + 1)
        reach = (math.log(20.0) + cost) / stakes
        lower, upper = max(lower, gains / stakes - reach), min(upper, gains / stakes + reach)
        assert found.lower[t - 1] == pytest.approx(lower)
        assert found.upper[t - 1] == pytest.approx(upper)


@EACH
def test_bounds_close_in_on_the_mean(sequence: Bounded) -> None:
    rows = np.random.default_rng(14).beta(2.0, 20.0, 20_000)
    found = sequence(rows)
    assert np.all(np.diff(found.lower) >= 0.0)
    assert np.all(np.diff(found.upper) <= 0.0)
    assert float(np.mean(rows)) in found.last
    assert width(sequence(rows[:2000]).last) > 2.0 * width(found.last)


def test_widths_beside_the_interval_of_a_fixed_size() -> None:
    rows = np.random.default_rng(15).beta(2.0, 20.0, 10_000)  # sd 0.06 in a range of 1
    fixed = width(estimates.mean(rows))
    assert 1.2 < width(empirical_bernstein(rows).last) / fixed < 2.0
    assert width(hoeffding(rows).last) / fixed > 15.0
    sd = float(rows.std())
    at_best = width(asymptotic(float(rows.mean()), rows.size, sd, tuned_for=10_000))
    assert at_best / fixed == pytest.approx(1.55, abs=0.01)
    share = proportion(1000, 10_000)
    assert 1.5 < width(share) / width(intervals.wilson(1000, 10_000)) < 2.1


@EACH
def test_other_bounds_only_move_and_scale(sequence: Bounded) -> None:
    rows = np.random.default_rng(16).random(50)
    unit, moved = sequence(rows), sequence(40.0 * rows - 10.0, low=-10.0, high=30.0)
    np.testing.assert_allclose(moved.lower, 40.0 * unit.lower - 10.0, atol=1e-12)
    np.testing.assert_allclose(moved.upper, 40.0 * unit.upper - 10.0, atol=1e-12)


@EACH
def test_no_rows_and_one_row(sequence: Bounded) -> None:
    assert math.isnan(sequence([]).last.lower)
    one = sequence([0.3]).last
    assert 0.0 <= one.lower <= 0.3 <= one.upper <= 1.0


@EACH
def test_constant_rows_narrow_to_a_point(sequence: Bounded) -> None:
    assert 0.7 in sequence(np.full(5000, 0.7)).last
    assert width(sequence(np.full(5000, 0.7)).last) < 0.07


@EACH
def test_a_mean_that_moves_crosses_the_bounds(sequence: Bounded) -> None:
    last = sequence(np.repeat([0.1, 0.9], 2000)).last
    assert last.lower > last.upper


@EACH
@pytest.mark.parametrize("wrong", [-0.1, 1.1, math.nan, math.inf])
def test_rows_out_of_bounds_are_refused(sequence: Bounded, wrong: float) -> None:
    with pytest.raises(ValueError, match="take out or clip"):
        sequence([0.5, wrong])


@EACH
@pytest.mark.parametrize(("low", "high"), [(1.0, 0.0), (0.0, 0.0), (0.0, math.inf), (math.nan, 1)])
def test_bounds_that_are_none_are_refused(sequence: Bounded, low: float, high: float) -> None:
    with pytest.raises(ValueError, match="finite and ascending"):
        sequence([0.5], low=low, high=high)


@pytest.mark.parametrize("level", [0.0, 1.0, math.nan])
def test_levels_out_of_range_are_refused(level: float) -> None:
    for call in (
        lambda: hoeffding([0.5], level=level),
        lambda: empirical_bernstein([0.5], level=level),
        lambda: normal_mixture(0.0, 1, 1.0, level),
        lambda: asymptotic(0.0, 5, 1.0, level),
        lambda: proportion(1, 2, level),
    ):
        with pytest.raises(ValueError, match="confidence level"):
            call()


@pytest.mark.parametrize(("n", "tuned_for"), [(10, 1000.0), (500, 500.0), (20_000, 100.0)])
def test_the_normal_mixture_bound_is_where_the_mixture_reaches_one_over_alpha(
    n: int, tuned_for: float
) -> None:
    # The bound's definition: the likelihood ratio averaged over a normal prior of the mean.
    reach = normal_mixture(0.0, n, 1.0, 0.95, tuned_for).upper
    twice = -2.0 * math.log(0.05)
    prior_sd = math.sqrt((twice + math.log1p(twice)) / tuned_for)

    def capital(mean: float) -> float:
        ratio = math.exp(mean * n * reach - n * mean**2 / 2.0)
        return float(ratio * stats.norm.pdf(mean, scale=prior_sd))

    spread = 12.0 / math.sqrt(n)
    mixed, _ = integrate.quad(capital, reach - spread, reach + spread, limit=500)
    assert mixed == pytest.approx(20.0, rel=1e-6)


@pytest.mark.parametrize("tuned_for", [30.0, 1000.0, 50_000.0])
def test_the_normal_mixture_is_narrowest_where_it_is_tuned(tuned_for: float) -> None:
    def reach(tuning: float) -> float:
        return normal_mixture(0.0, tuned_for, 1.0, tuned_for=tuning).upper

    assert reach(tuned_for) <= 1.001 * min(reach(tuned_for * f) for f in (0.5, 0.8, 1.25, 2.0))
    assert reach(10.0 * tuned_for) < 1.35 * reach(tuned_for)


def test_the_normal_mixture_scales() -> None:
    one, ten = normal_mixture(0.0, 50, 1.0), normal_mixture(3.0, 50, 10.0)
    assert ten.upper - 3.0 == pytest.approx(10.0 * one.upper)
    assert normal_mixture(2.0, 50, 0.0) == intervals.Interval(2.0, 2.0)


def test_too_few_rows_and_nan_give_nan() -> None:
    for found in (
        normal_mixture(0.0, 0, 1.0),
        normal_mixture(0.0, math.nan, 1.0),
        normal_mixture(math.nan, 5, 1.0),
        normal_mixture(0.0, 5, math.nan),
        asymptotic(0.0, 1, 0.0),
    ):
        assert math.isnan(found.lower)
        assert math.isnan(found.upper)


def test_scales_and_tunings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="scale"):
        normal_mixture(0.0, 5, -1.0)
    with pytest.raises(ValueError, match="tune"):
        normal_mixture(0.0, 5, 1.0, tuned_for=0.0)


@pytest.mark.statistical
def test_the_asymptotic_sequence_covers_skewed_rows_from_a_hundred_on() -> None:
    rows = np.random.default_rng(17).exponential(1.0, (400, 3000))
    n = np.arange(1, 3001)
    means = np.cumsum(rows, axis=1) / n
    variances = np.maximum(np.cumsum(rows**2, axis=1) / n - means**2, 0.0)
    reach = np.array([asymptotic(0.0, k, 1.0, 0.9, 500.0).upper for k in n.tolist()])
    missed = np.abs(means - 1.0) > np.sqrt(variances) * reach
    assert np.mean(np.any(missed[:, 100:], axis=1)) <= 0.1 + 3.0 * math.sqrt(0.09 / 400)


@pytest.mark.statistical
@pytest.mark.parametrize("share", [0.5, 0.02])
def test_a_share_is_ever_missed_no_more_often_than_promised(share: float) -> None:
    rng = np.random.default_rng(18)
    looks = np.unique(np.geomspace(1, 1000, 30).astype(int))
    missed = 0
    for _ in range(150):
        counts = np.cumsum(rng.random(1000) < share)
        found = [proportion(int(counts[n - 1]), n, 0.9) for n in looks.tolist()]
        missed += any(share not in interval for interval in found)
    assert missed / 150 <= 0.1 + 3.0 * math.sqrt(0.09 / 150)


@given(st.integers(1, 400), st.floats(0.0, 1.0), st.sampled_from([0.5, 1.0, 4.0]))
def test_a_share_is_refuted_where_the_mixture_reaches_one_over_alpha(
    n: int, part: float, prior: float
) -> None:
    # SciPy's beta-binomial over its binomial is the mixture's capital.
    successes = round(part * n)
    found = proportion(successes, n, 0.95, prior)
    mixed = stats.betabinom.logpmf(successes, n, prior, prior)
    for bound in (found.lower, found.upper):
        if 0.0 < bound < 1.0:
            capital = mixed - stats.binom.logpmf(successes, n, bound)
            assert capital == pytest.approx(math.log(20.0), abs=1e-6)
    assert successes / n in found


def test_shares_at_the_ends() -> None:
    assert proportion(0, 0) == intervals.Interval(0.0, 1.0)
    none, every = proportion(0, 50), proportion(50, 50)
    assert none.lower == 0.0
    assert every.upper == 1.0
    assert none.upper == pytest.approx(1.0 - every.lower)
    assert proportion(10, 1_000_000_000).upper < 1e-7


@pytest.mark.parametrize(("successes", "n"), [(-1, 5), (6, 5), (0, -1)])
def test_counts_that_are_no_share_are_refused(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="no share"):
        proportion(successes, n)


def test_a_prior_is_positive() -> None:
    with pytest.raises(ValueError, match="prior"):
        proportion(1, 2, prior=0.0)
