import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from homeostat.stats.chance_better import chance_better
from homeostat.stats.log_gamma import log_gamma
from homeostat.stats.special import beta_sf

PARAMETERS = st.tuples(st.floats(0.5, 2000.0), st.floats(0.5, 2000.0))


@settings(max_examples=6)
@given(PARAMETERS, PARAMETERS)
def test_it_is_the_integral_of_density_and_distribution(
    a: tuple[float, float], b: tuple[float, float]
) -> None:
    points = sorted({*stats.beta(*b).ppf([0.001, 0.5, 0.999]).tolist()})
    expected = integrate.quad(
        lambda x: stats.beta.pdf(x, *b) * stats.beta.cdf(x, *a),
        0.0,
        1.0,
        points=points,
        limit=200,
        epsabs=1e-7,
    )[0]
    assert chance_better(a, b) == pytest.approx(expected, abs=2e-6)


def test_it_is_antisymmetric_and_even_between_equals() -> None:
    assert chance_better((3.0, 9.0), (3.0, 9.0)) == pytest.approx(0.5, abs=1e-9)
    one, other = (40.0, 900.0), (2.0, 3.0)
    assert chance_better(one, other) + chance_better(other, one) == pytest.approx(1.0, abs=1e-12)
    assert chance_better((1e6, 9e6), (1.01e6, 9e6)) == pytest.approx(1.0)


def test_improper_parameters_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1/2"):
        chance_better((0.0, 1.0), (1.0, 1.0))


def test_the_gamma_function_of_arrays() -> None:
    from scipy import special

    x = np.geomspace(1e-9, 1e8, 200)
    assert log_gamma(x) == pytest.approx(special.gammaln(x), rel=1e-9, abs=1e-10)
    assert log_gamma(np.empty(0)).size == 0


@settings(max_examples=30)
@given(st.floats(0.5, 500.0), st.floats(0.5, 500.0), st.floats(0.001, 0.999))
def test_the_tail_of_a_beta_variable(a: float, b: float, x: float) -> None:
    assert beta_sf(a, b, x) == pytest.approx(stats.beta.sf(x, a, b), rel=1e-8, abs=1e-12)
