import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special

from homeostat.stats import mixtures
from homeostat.stats.intervals import Interval

NODES, WEIGHTS = np.polynomial.legendre.leggauss(200)


@settings(max_examples=40)
@given(st.floats(-60.0, 60.0), st.floats(0.0, 500.0), st.floats(0.5, 200.0), st.booleans())
def test_a_normal_mixture_is_the_average_over_normal_alternatives(
    total: float, time: float, prior: float, one_sided: bool
) -> None:
    """The integral of exp(lambda s - lambda^2 v / 2) over a (half-)normal prior, by quadrature."""
    mean, reach = total / (time + prior), 12.0 / math.sqrt(time + prior)
    low, high = mean - reach, mean + reach
    if one_sided:
        low, high = max(0.0, low), max(0.0, mean) + reach
    slopes = (high - low) / 2.0 * NODES + (high + low) / 2.0
    # The exponent is quadratic in the slope: shift it by its largest value.
    logs = slopes * total - slopes**2 * (time + prior) / 2.0
    top = logs.max()
    area = float(WEIGHTS @ np.exp(logs - top)) * (high - low) / 2.0
    expected = top + math.log(area) + 0.5 * math.log(prior / (2.0 * math.pi))
    expected += math.log(2.0) if one_sided else 0.0
    found = mixtures.log_normal_mixture(total, time, prior, one_sided=one_sided)
    assert found == pytest.approx(expected, abs=1e-8)


def test_far_on_the_wrong_side_there_is_no_evidence() -> None:
    def at(total: float) -> float:
        return mixtures.log_normal_mixture(total, 1.0, 1.0, one_sided=True)

    assert at(-1e6) < at(-60.0) < at(-42.0) < at(-40.0) < 0.0
    assert at(-42.5) == pytest.approx(at(-42.4), abs=0.01)  # where the tail is replaced


@settings(max_examples=30)
@given(st.floats(1.0, 1e5), st.sampled_from([0.001, 0.05, 0.3]), st.booleans())
def test_a_bound_is_where_evidence_reaches_its_threshold(
    time: float, alpha: float, one_sided: bool
) -> None:
    prior = mixtures.normal_prior(1000.0, alpha, one_sided=one_sided)
    bound = mixtures.normal_bound(time, alpha, prior, one_sided=one_sided)
    log = mixtures.log_normal_mixture(bound, time, prior, one_sided=one_sided)
    assert log == pytest.approx(-math.log(alpha), abs=1e-9)


@pytest.mark.parametrize("alpha", [0.0, 1.0, 0.6], ids=str)
def test_an_error_rate_is_checked(alpha: float) -> None:
    with pytest.raises(ValueError, match="error rate"):
        mixtures.normal_prior(100.0, alpha, one_sided=True)
    with pytest.raises(ValueError, match="positive number of rows"):
        mixtures.normal_prior(0.0)


@settings(max_examples=30)
@given(st.lists(st.integers(0, 40), min_size=2, max_size=4), st.floats(0.5, 200.0))
def test_multinomial_evidence_is_a_dirichlet_average(counts: list[int], weight: float) -> None:
    shares = np.arange(1.0, len(counts) + 1.0)
    shares /= shares.sum()
    alpha = weight * shares
    expected = (
        special.gammaln(weight)
        - special.gammaln(weight + sum(counts))
        + float(np.sum(special.gammaln(alpha + counts) - special.gammaln(alpha)))
        - float(np.asarray(counts) @ np.log(shares))
    )
    found = mixtures.log_multinomial(counts, shares.tolist(), weight)
    assert found == pytest.approx(expected, abs=1e-7)


def test_multinomial_evidence_is_an_e_value() -> None:
    """Its expectation over all outcomes of ten tosses is exactly one."""
    total = sum(
        math.comb(10, k) * 0.3**k * 0.7 ** (10 - k)
        * math.exp(mixtures.log_multinomial((k, 10 - k), (0.3, 0.7), 5.0))
        for k in range(11)
    )  # fmt: skip
    assert total == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(
    ("counts", "shares", "weight"),
    [([1], [0.5, 0.5], 1.0), ([1, 1], [0.0, 1.0], 1.0), ([1, 1], [0.4, 0.4], 1.0), ([1], [1.0], 0)],
    ids=["sizes", "zero share", "sum", "weight"],
)
def test_shares_are_checked(counts: list[float], shares: list[float], weight: float) -> None:
    with pytest.raises(ValueError, match="share"):
        mixtures.log_multinomial(counts, shares, weight)


def test_shares_are_bounded_whatever_was_seen() -> None:
    assert mixtures.share_interval(0, 500).lower == 0.0
    assert mixtures.share_interval(500, 500).upper == 1.0
    assert mixtures.share_interval(0, 500).upper == pytest.approx(
        1.0 - mixtures.share_interval(500, 500).lower
    )
    nothing = mixtures.share_interval(0, 0)
    assert math.isnan(nothing.lower)
    assert math.isnan(nothing.upper)
    with pytest.raises(ValueError, match="no share"):
        mixtures.share_interval(3, 2)


@pytest.mark.statistical
def test_a_share_interval_holds_at_all_times() -> None:
    rng = np.random.default_rng(0)
    hits = np.cumsum(rng.random((50, 400)) < 0.03, axis=1)
    missed = 0
    for row in hits:
        looks = [mixtures.share_interval(int(row[n - 1]), n) for n in range(100, 401, 100)]
        missed += any(0.03 not in interval for interval in looks)
    assert missed <= 0.05 * 50


def test_a_wider_level_holds_more() -> None:
    narrow, wide = (mixtures.share_interval(30, 200, level) for level in (0.8, 0.99))
    assert narrow.lower in wide
    assert narrow.upper in wide
    assert isinstance(wide, Interval)


@settings(max_examples=30)
@given(st.integers(0, 300), st.integers(0, 300))
def test_the_coin_is_an_average_over_coins(wins: int, losses: int) -> None:
    """By quadrature over the coins' odds, one-sided and two-sided."""
    both = math.exp(mixtures.log_coin(wins, losses))
    upper = math.exp(mixtures.log_coin(wins, losses, one_sided=True))
    lower = math.exp(mixtures.log_coin(losses, wins, one_sided=True))
    assert (upper + lower) / 2.0 == pytest.approx(both, rel=1e-9)

    def likelihood(p: float) -> float:
        return 2.0 * math.exp(
            (wins + losses) * math.log(2.0) + wins * math.log(p) + losses * math.log1p(-p)
        )

    if wins + losses <= 40:
        assert upper == pytest.approx(integrate.quad(likelihood, 0.5, 1.0)[0], rel=1e-6)


def test_hopeless_coins_have_no_evidence() -> None:
    assert mixtures.log_coin(0, 5000, one_sided=True) == -math.inf
