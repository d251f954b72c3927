from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from homeostat.stats import ordered
from homeostat.stats.significance import NOTHING, Significance

Sample = NDArray[np.float64]
Test = Callable[..., Significance]

TESTS: list[Test] = [
    ordered.ks,
    ordered.kuiper,
    ordered.cramer_von_mises,
    ordered.anderson_darling,
]
ON_COUNTS: list[Test] = [
    ordered.ks_counts,
    ordered.kuiper_counts,
    ordered.cramer_von_mises_counts,
    ordered.anderson_darling_counts,
]
PAIRS = list(zip(TESTS, ON_COUNTS, strict=True))
QUADRATIC = TESTS[2:]
SIZES = [(4, 5), (10, 12), (100, 50), (15, 3000), (700, 900)]

SAMPLE = st.lists(st.integers(-20, 20).map(float), min_size=3, max_size=40).map(np.array)


def two_normal(n: int, m: int, shift: float = 0.3) -> tuple[Sample, Sample]:
    rng = np.random.default_rng(n * m)
    return rng.normal(size=n), rng.normal(shift, size=m)


def rates(test: Test, draw: Callable[[int], Sample], n: int, m: int, times: int) -> list[float]:
    found = np.array([test(draw(n), draw(m)).p_value for _ in range(times)])
    return [float(np.mean(found <= level)) for level in (0.2, 0.05)]


def allowed(level: float, times: int) -> float:
    """Three standard errors above a level."""
    return level + 3.0 * float(np.sqrt(level / times))


@pytest.mark.filterwarnings("ignore:ks_2samp")  # SciPy gives up on some and takes the limit
@given(SAMPLE, SAMPLE)
def test_ks_agrees_with_scipy(x: Sample, y: Sample) -> None:
    expected = stats.ks_2samp(x, y, method="exact")
    found = ordered.ks(x, y)
    assert found.statistic == pytest.approx(expected.statistic)
    assume(expected.pvalue < 0.999)  # where the limit that it takes is another number
    assert found.p_value == pytest.approx(expected.pvalue)


@pytest.mark.parametrize(("n", "m"), [(50, 61), (100, 301), (400, 401)])
@pytest.mark.parametrize("shift", [0.0, 0.1, 0.2, 0.3])
def test_ks_limit_is_near_the_exact_p_value(n: int, m: int, shift: float) -> None:
    x, y = two_normal(n, m, shift)
    limit = ordered.ks(x, y, method="asymptotic").p_value
    assert limit == pytest.approx(ordered.ks(x, y, method="exact").p_value, rel=0.1)


def test_ks_takes_the_limit_where_paths_are_too_many() -> None:
    x, y = two_normal(1500, 1500)
    assert ordered.ks(x, y) == ordered.ks(x, y, method="asymptotic")
    x, y = two_normal(500, 3000)
    assert ordered.ks(x, y) == ordered.ks(x, y, method="asymptotic")
    exact = ordered.ks(x, y, method="exact").p_value
    assert exact == pytest.approx(stats.ks_2samp(x, y, method="exact").pvalue, rel=1e-9)


@pytest.mark.parametrize(("n", "m"), SIZES)
@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_cramer_von_mises_agrees_with_scipy(n: int, m: int, shift: float) -> None:
    x, y = two_normal(n, m, shift)
    expected = stats.cramervonmises_2samp(x, y, method="asymptotic")
    found = ordered.cramer_von_mises(x, y, method="asymptotic")
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-9)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-4, abs=1e-9)


def test_cramer_von_mises_counts_paths_for_few_rows() -> None:
    x, y = two_normal(10, 12)
    expected = stats.cramervonmises_2samp(x, y, method="exact").pvalue
    assert ordered.cramer_von_mises(x, y).p_value == pytest.approx(expected)
    x, y = two_normal(15, 15)
    assert ordered.cramer_von_mises(x, y) == ordered.cramer_von_mises(x, y, method="asymptotic")
    expected = stats.cramervonmises_2samp(x, y, method="exact").pvalue
    assert ordered.cramer_von_mises(x, y, method="exact").p_value == pytest.approx(expected)


@pytest.mark.filterwarnings("ignore:p-value")
@pytest.mark.parametrize(("n", "m"), SIZES)
@pytest.mark.parametrize("shift", [0.0, 0.3, 0.6])
def test_anderson_darling_agrees_with_scipy(n: int, m: int, shift: float) -> None:
    x, y = two_normal(n, m, shift)
    expected = stats.anderson_ksamp([x, y], variant="midrank")
    found = ordered.anderson_darling(x, y)
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-9)
    if 0.001 < expected.pvalue < 0.25:  # SciPy interpolates within a table and cuts at its ends
        assert found.p_value == pytest.approx(expected.pvalue, rel=0.05)


@pytest.mark.filterwarnings("ignore:p-value")
@given(SAMPLE, SAMPLE)
def test_anderson_darling_with_ties_has_scipys_statistic(x: Sample, y: Sample) -> None:
    assume(np.unique(np.concatenate((x, y))).size > 1)
    expected = stats.anderson_ksamp([x, y], variant="midrank").statistic
    assert ordered.anderson_darling(x, y).statistic == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_anderson_darling_of_huge_samples_uses_the_limit_of_the_variance() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=60_000), rng.normal(0.01, size=60_000)
    counts = [np.histogram(side, np.linspace(-6, 6, 1000))[0] for side in (x, y)]
    small = ordered.anderson_darling_counts(*[np.minimum(side, 40) for side in counts])
    assert np.isfinite(small.statistic)
    found, binned = ordered.anderson_darling(x, y), ordered.anderson_darling_counts(*counts)
    assert found.p_value == pytest.approx(binned.p_value, rel=0.1)


@given(SAMPLE, SAMPLE)
def test_kuiper_is_the_sum_of_both_one_sided_gaps(x: Sample, y: Sample) -> None:
    up = stats.ks_2samp(x, y, alternative="less").statistic
    down = stats.ks_2samp(x, y, alternative="greater").statistic
    assert ordered.kuiper(x, y).statistic == pytest.approx(up + down)


def test_kuiper_does_not_care_where_the_circle_is_cut() -> None:
    rng = np.random.default_rng(4)
    hours, later = rng.integers(0, 24, 200), rng.integers(2, 20, 150)
    found = ordered.kuiper(hours, later)
    for cut in (5, 11, 20):
        turned = ordered.kuiper((hours + cut) % 24, (later + cut) % 24)
        assert turned.statistic == pytest.approx(found.statistic)
    assert found.p_value < 0.01


@pytest.mark.parametrize(("on_rows", "on_counts"), PAIRS)
@given(x=SAMPLE, y=SAMPLE)
def test_counts_say_what_the_rows_say(on_rows: Test, on_counts: Test, x: Sample, y: Sample) -> None:
    cells = np.arange(-20.5, 21.5)
    found = on_counts(*[np.histogram(side, cells)[0] for side in (x, y)])
    expected = on_rows(x, y)
    assert found.statistic == pytest.approx(expected.statistic, nan_ok=True)
    assert found.p_value == pytest.approx(expected.p_value, nan_ok=True)


@pytest.mark.parametrize("test", TESTS)
@given(x=SAMPLE, y=SAMPLE)
def test_order_is_all_that_counts(test: Test, x: Sample, y: Sample) -> None:
    found = test(x, y)
    assert test(x**3, y**3).p_value == pytest.approx(found.p_value, nan_ok=True)
    assert test(-x, -y).p_value == pytest.approx(found.p_value, nan_ok=True, abs=1e-7)
    assert test(y, x).p_value == pytest.approx(found.p_value, nan_ok=True, abs=1e-7)
    assert np.isnan(found.p_value) or 0.0 <= found.p_value <= 1.0


@pytest.mark.parametrize("test", TESTS)
def test_infinities_are_extremes_and_missing_values_nothing(test: Test) -> None:
    x, y = two_normal(30, 40)
    plain = test(np.append(x, [50.0, -50.0]), np.append(y, 60.0))
    found = test(np.append(x, [np.inf, np.nan, -np.inf]), np.append(y, [np.nan, np.inf]))
    assert found.statistic == pytest.approx(plain.statistic, rel=0.3)
    one_value_more = test(np.append(x, [60.0, -50.0]), np.append(y, 60.0))
    assert found == one_value_more


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize(
    ("x", "y"),
    [([], [1.0, 2.0]), ([1.0, 2.0], []), ([], []), ([np.nan, np.nan], [1.0, 2.0])],
)
def test_an_empty_side_gives_no_p_value(test: Test, x: list[float], y: list[float]) -> None:
    assert str(test(x, y)) == str(NOTHING)


@pytest.mark.parametrize("test", TESTS)
def test_weights_that_are_all_zero_leave_nothing(test: Test) -> None:
    assert str(test([1.0, 2.0], [1.0, 3.0], [0.0, 0.0])) == str(NOTHING)


@pytest.mark.parametrize("test", QUADRATIC)
def test_one_value_throughout_leaves_nothing_to_test(test: Test) -> None:
    assert str(test([2.0] * 9, [2.0] * 5)) == str(NOTHING)


def test_one_value_throughout_has_no_gap() -> None:
    for test in (ordered.ks, ordered.kuiper):
        assert test([2.0] * 9, [2.0] * 5) == Significance(0.0, 1.0)


@pytest.mark.parametrize("test", TESTS)
def test_one_row_proves_nothing(test: Test) -> None:
    for pair in (([1.0], [2.0]), ([1.0], np.arange(9.0)), ([2.0], [2.0, 3.0])):
        found = test(*pair).p_value
        assert np.isnan(found) or found > 0.05
    assert np.isnan(ordered.anderson_darling([1.0], [2.0, 3.0]).p_value)
    assert np.isnan(ordered.cramer_von_mises([1.0], [2.0], method="asymptotic").p_value)


@pytest.mark.parametrize("test", TESTS)
def test_a_constant_that_changed_is_found(test: Test) -> None:
    assert test(np.zeros(100), np.ones(100)).p_value < 1e-12


@pytest.mark.parametrize("test", TESTS)
def test_equal_weights_have_the_limit_of_plain_rows(test: Test) -> None:
    x, y = two_normal(900, 1200, 0.1)
    found = test(x, y, np.full(900, 3.0), np.full(1200, 0.2))
    expected = test(x, y)
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.p_value == pytest.approx(expected.p_value)


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.statistical
def test_weights_unrelated_to_values_keep_the_level(test: Test) -> None:
    rng = np.random.default_rng(8)
    times = 200
    found = [
        test(rng.normal(size=200), rng.normal(size=150), rng.exponential(size=200)).p_value
        for _ in range(times)
    ]
    for level in (0.2, 0.05):
        assert np.mean(np.array(found) <= level) <= allowed(level, times)


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize(("n", "m"), [(8, 9), (20, 200), (150, 100)])
@pytest.mark.statistical
def test_level_holds_without_ties(test: Test, n: int, m: int) -> None:
    rng = np.random.default_rng(n)
    found = rates(test, rng.standard_normal, n, m, 250)
    assert found[0] == pytest.approx(0.18, abs=0.08)
    assert found[1] <= allowed(0.05, 250)


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.statistical
def test_a_shift_and_a_scale_are_found(test: Test) -> None:
    rng = np.random.default_rng(12)
    for centre, scale in ((0.5, 1.0), (0.0, 2.0)):
        found = [
            test(rng.normal(size=200), rng.normal(centre, scale, 200)).p_value for _ in range(40)
        ]
        assert np.mean(np.array(found) < 0.05) > 0.8


@pytest.mark.parametrize("test", TESTS)
def test_a_million_rows_against_ten(test: Test) -> None:
    rng = np.random.default_rng(13)
    many = rng.normal(size=1_000_000)
    assert test(many, rng.normal(size=10)).p_value > 0.01
    assert test(many, rng.normal(6.0, 1.0, 10)).p_value < 1e-4


@pytest.mark.parametrize("test", ON_COUNTS)
def test_counts_of_billions_of_rows(test: Test) -> None:
    reference = np.array([3, 4, 3]) * 10**9
    assert test(reference, reference // 2).p_value == pytest.approx(1.0)
    assert test(reference, reference + np.array([10**6, 0, 0])).p_value < 1e-6
