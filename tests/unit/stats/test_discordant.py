import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from homeostat.stats.discordant import discordant_e, mcnemar, mcnemar_exact
from homeostat.stats.significance import NOTHING

COUNTS = st.integers(0, 3000)


@settings(max_examples=25)
@given(COUNTS, COUNTS)
def test_exact_is_scipys_binomial_test(b: int, c: int) -> None:
    if b + c:
        expected = stats.binomtest(b, b + c, 0.5).pvalue
        assert mcnemar_exact(b, c).p_value == pytest.approx(expected, rel=1e-8, abs=1e-300)


@settings(max_examples=25)
@given(st.integers(1, 3000), COUNTS)
def test_the_limit_is_a_chi_squared(b: int, c: int) -> None:
    found = mcnemar(b, c)
    assert found.statistic == pytest.approx((b - c) ** 2 / (b + c))
    assert found.p_value == pytest.approx(stats.chi2.sf(found.statistic, 1), rel=1e-8)
    assert mcnemar(b, c, corrected=True).p_value >= found.p_value


def test_without_a_difference_there_is_nothing_to_test() -> None:
    assert mcnemar(0, 0) is NOTHING
    assert mcnemar_exact(0, 0) is NOTHING
    assert mcnemar(7, 7, corrected=True).p_value == 1.0


@pytest.mark.parametrize("counts", [(-1, 2), (2, -1)], ids=["first", "second"])
def test_counts_are_counts(counts: tuple[int, int]) -> None:
    for test in (mcnemar, mcnemar_exact, discordant_e):
        with pytest.raises(ValueError, match="never negative"):
            test(*counts)


def test_evidence_is_one_sided_and_finite() -> None:
    assert discordant_e(5, 15) < 0.2
    assert discordant_e(0, 5000) == 0.0
    assert math.isfinite(discordant_e(5000, 0))


def test_a_fair_coin_is_expected_to_gain_nothing() -> None:
    """Over all outcomes of twelve discordant rows; on average at most 1, here exactly 1."""
    total = sum(math.comb(12, k) / 2**12 * discordant_e(k, 12 - k) for k in range(13))
    assert total == pytest.approx(1.0, abs=1e-9)
