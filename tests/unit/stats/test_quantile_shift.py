import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.stats.mixtures import log_multinomial, share_concentration
from homeostat.stats.quantile_shift import Counted, counted, quantile_ratio, same_quantile_p

SAMPLES = st.lists(st.integers(1, 12).map(float), min_size=1, max_size=60)


def least(values: list[float], at: float, share: float, weight: float) -> float:
    """Take the least evidence of all numbers of rows that may lie below a quantile."""
    n = len(values)
    below, within = sum(v < at for v in values), sum(v <= at for v in values)
    steps = np.linspace(below, within, 50) if within > below else [float(below)]
    return min(log_multinomial((k, n - k), (share, 1.0 - share), weight) for k in steps)


@settings(max_examples=15)
@given(SAMPLES, SAMPLES, st.sampled_from([0.1, 0.5, 0.9]))
def test_it_is_the_least_evidence_over_all_quantiles(
    one: list[float], other: list[float], share: float
) -> None:
    weight = share_concentration(50.0)
    logs = [
        least(one, at, share, weight) + least(other, at, share, weight)
        for at in sorted({*one, *other})
    ]
    found = same_quantile_p(counted(np.array(one)), counted(np.array(other)), share, 50.0)
    assert math.log(found) == pytest.approx(-max(0.0, min(logs)), abs=5e-3)


@settings(max_examples=15)
@given(SAMPLES, SAMPLES)
def test_sides_may_be_swapped(one: list[float], other: list[float]) -> None:
    a, b = counted(np.array(one)), counted(np.array(other))
    assert same_quantile_p(a, b, 0.9) == pytest.approx(same_quantile_p(b, a, 0.9))
    ratio, inverse = quantile_ratio(a, b, 0.9), quantile_ratio(b, a, 0.9)
    assert ratio.lower == pytest.approx(1.0 / inverse.upper if inverse.upper else math.inf)


@pytest.mark.parametrize("share", [0.5, 0.95], ids=str)
def test_the_interval_holds_the_ratios_that_the_test_does_not_refute(share: float) -> None:
    rng = np.random.default_rng(0)
    a, b = counted(rng.lognormal(0.0, 1.0, 900)), counted(1.3 * rng.lognormal(0.0, 1.0, 700))
    interval = quantile_ratio(a, b, share)
    for ratio, inwards in ((interval.lower, 1.0002), (interval.upper, 0.9998)):
        for factor, refuted in ((inwards, False), (1.0 / inwards, True)):
            scaled = Counted(a.values * ratio * factor, a.counts)
            assert (same_quantile_p(scaled, b, share) < 0.05) is refuted


@pytest.mark.statistical
def test_looking_again_and_again_is_safe() -> None:
    rng = np.random.default_rng(1)
    found = 0
    for _ in range(50):
        a, b = rng.exponential(1.0, 600), rng.exponential(1.0, 600)
        looks = range(100, 601, 100)
        found += any(
            same_quantile_p(counted(a[:n]), counted(b[:n]), 0.9, 300.0) <= 0.05 for n in looks
        )
    assert found <= 2


def test_few_rows_say_nothing_and_none_say_less() -> None:
    few, none = counted(np.array([1.0, 2.0])), counted(np.array([math.nan]))
    assert same_quantile_p(few, few, 0.95) == 1.0
    interval = quantile_ratio(few, few, 0.95)
    assert (interval.lower, interval.upper) == (0.0, math.inf)
    assert math.isnan(same_quantile_p(few, none, 0.5))
    assert math.isnan(quantile_ratio(none, few, 0.5).lower)
    assert math.isnan(none.quantile(0.5))


def test_all_rows_alike_is_a_quantile_like_any_other() -> None:
    one, two = counted(np.full(400, 3.0)), counted(np.full(400, 6.0))
    assert same_quantile_p(one, one, 0.5) == 1.0
    assert same_quantile_p(one, two, 0.5) < 1e-6
    interval = quantile_ratio(one, two, 0.5)
    assert (interval.lower, interval.upper) == (2.0, 2.0)


def test_ratios_are_of_positive_numbers() -> None:
    zero, one = counted(np.array([0.0, 1.0])), counted(np.array([1.0]))
    with pytest.raises(ValueError, match="positive values"):
        quantile_ratio(zero, one, 0.5)


@settings(max_examples=30)
@given(SAMPLES, st.floats(0.01, 0.99))
def test_a_quantile_is_numpys_inverted_distribution(rows: list[float], share: float) -> None:
    expected = np.quantile(rows, share, method="inverted_cdf")
    if abs(share * len(rows) - round(share * len(rows))) > 1e-9:
        assert counted(np.array(rows)).quantile(share) == expected
