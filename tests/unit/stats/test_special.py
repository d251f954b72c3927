"""SciPy is the oracle: single precision would already do for a p-value, these have nine digits."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import special as oracle

from homeostat.stats import special

FREEDOM = st.floats(1.0, 3e4)
LEVEL = st.floats(1e-9, 1.0 - 1e-9)


def expect(found: float, oracles: float) -> None:
    assert found == pytest.approx(float(oracles), rel=1e-7, abs=1e-290)


@given(FREEDOM, st.floats(0.01, 10.0))
def test_chi_square(freedom: float, ratio: float) -> None:
    expect(special.chi2_sf(freedom, freedom * ratio), oracle.chdtrc(freedom, freedom * ratio))


def test_chi_square_at_its_ends() -> None:
    assert special.chi2_sf(3.0, 0.0) == 1.0
    assert special.chi2_sf(3.0, math.inf) == 0.0


@given(FREEDOM, LEVEL)
@example(1.0, 1.0 - 1e-9)
def test_quantile_of_chi_square(freedom: float, level: float) -> None:
    expect(special.chi2_isf(freedom, level), oracle.chdtri(freedom, level))


@given(FREEDOM, FREEDOM, st.floats(0.01, 30.0))
def test_f(dfn: float, dfd: float, x: float) -> None:
    expect(special.f_sf(dfn, dfd, x), oracle.fdtrc(dfn, dfd, x))


def test_f_at_its_ends() -> None:
    assert special.f_sf(3.0, 10.0, 0.0) == 1.0
    assert special.f_sf(3.0, 10.0, math.inf) == 0.0


@given(FREEDOM, st.floats(-40.0, 40.0))
@example(29992.0, 1e-5)
def test_student(freedom: float, t: float) -> None:
    expect(special.t_sf(freedom, t), oracle.stdtr(freedom, -t))


@given(FREEDOM, LEVEL)
def test_quantile_of_student(freedom: float, level: float) -> None:
    found = special.t_quantile(freedom, level)
    assert found == pytest.approx(float(oracle.stdtrit(freedom, level)), rel=1e-6, abs=1e-9)


@given(st.floats(-37.0, 37.0))
def test_normal(z: float) -> None:
    expect(special.normal_sf(z), oracle.ndtr(-z))


@given(LEVEL)
def test_quantile_of_normal(level: float) -> None:
    assert special.normal_quantile(level) == pytest.approx(float(oracle.ndtri(level)), abs=1e-12)


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_no_quantile_at_the_ends(level: float) -> None:
    with pytest.raises(ValueError, match="p must be in the range"):
        special.normal_quantile(level)


@given(st.floats(0.01, 15.0))
def test_kolmogorov(x: float) -> None:
    expect(special.kolmogorov_sf(x), oracle.kolmogorov(x))


def test_kolmogorov_at_its_end() -> None:
    assert special.kolmogorov_sf(0.0) == special.kolmogorov_sf(1e-200) == 1.0


@given(st.floats(1e-6, 1.0 - 1e-6))
def test_log_odds_and_back(share: float) -> None:
    expect(special.logit(share), oracle.logit(share))
    expect(special.expit(special.logit(share)), share)


@given(st.floats(-1e4, 1e4))
def test_shares_of_any_log_odds(log_odds: float) -> None:
    expect(special.expit(log_odds), oracle.expit(log_odds))


@given(st.floats(0.01, 1e5))
def test_derivatives_of_log_gamma(x: float) -> None:
    assert special.digamma(x) == pytest.approx(float(oracle.digamma(x)), rel=1e-7, abs=1e-7)
    assert special.trigamma(x) == pytest.approx(float(oracle.polygamma(1, x)), rel=1e-6)
