from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from homeostat.detectors.comparison.config import ComparisonConfig
from homeostat.detectors.comparison.evidence import aspects, homogeneity, moved, two_shares
from homeostat.domain.model import ColumnKind
from homeostat.profiles.build import profile_numbers
from homeostat.profiles.profile import ColumnProfile

CONFIG = ComparisonConfig()
COUNTS = st.lists(st.integers(0, 500), min_size=2, max_size=8).map(np.array)


def numbers(values: NDArray[np.float64], missing: int = 0) -> ColumnProfile:
    return profile_numbers(np.asarray(values, dtype=np.float64), missing=missing)


def categories(counts: dict[str, int]) -> ColumnProfile:
    known = {value: rows for value, rows in counts.items() if rows}
    return ColumnProfile(ColumnKind.CATEGORICAL, sum(counts.values()), values=known)


@given(st.integers(0, 60), st.integers(1, 60), st.integers(0, 60), st.integers(1, 60))
def test_few_rows_are_tested_exactly(x: int, n: int, y: int, m: int) -> None:
    x, y = min(x, n), min(y, m)
    tails = [
        stats.fisher_exact([[x, n - x], [y, m - y]], alternative=side).pvalue
        for side in ("less", "greater")
    ]
    expected = 1.0 if x + y in {0, n + m} else min(1.0, 2.0 * min(tails))
    assert two_shares(x, n, y, m) == pytest.approx(expected, rel=1e-6)


def test_many_rows_are_tested_by_the_normal_law() -> None:
    expected = stats.chi2_contingency([[500, 9500], [600, 9400]], correction=False).pvalue
    assert two_shares(500, 10_000, 600, 10_000) == pytest.approx(expected)
    assert two_shares(0, 0, 1, 2) == 1.0


def test_common_cells_are_tested_as_scipy_does() -> None:
    before, after = np.array([500, 300, 200]), np.array([450, 350, 200])
    expected = stats.chi2_contingency([before, after], correction=False).pvalue
    assert homogeneity(before, after) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("before", "after"),
    [([100], [50]), ([100, 0, 0], [100, 0, 0]), ([1000, 1, 0], [1000, 0, 1])],
)
def test_one_cell_tells_nothing(before: list[int], after: list[int]) -> None:
    assert homogeneity(np.array(before), np.array(after)) == 1.0


@given(COUNTS, COUNTS)
def test_p_values_and_shares_stay_in_range(
    before: NDArray[np.int64], after: NDArray[np.int64]
) -> None:
    size = min(before.size, after.size)
    before, after = before[:size] + 1, after[:size] + 1
    assert 0.0 <= homogeneity(before, after) <= 1.0
    assert 0.0 <= moved(before, after) <= 1.0


@given(
    st.lists(st.integers(-5, 20), min_size=2, max_size=40),
    st.lists(st.integers(-5, 20), min_size=2, max_size=40),
)
def test_a_shift_is_tested_by_ranks_with_ties(before: list[int], after: list[int]) -> None:
    tiny = replace(CONFIG, min_rows=2)
    found = aspects(numbers(np.array(before)), numbers(np.array(after)), tiny)[0].p_value
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = stats.mannwhitneyu(before, after, method="asymptotic", use_continuity=False)
    if len({*before, *after}) == 1:
        assert found == 1.0
    else:
        assert found == pytest.approx(expected.pvalue, rel=1e-9)


@pytest.mark.parametrize("shift", [-0.3, 0.05, 0.1, 0.5])
def test_a_shift_is_measured_in_standard_deviations(shift: float) -> None:
    rng = np.random.default_rng(1)
    before = numbers(100.0 + 20.0 * rng.normal(size=100_000))
    after = numbers(100.0 + 20.0 * rng.normal(shift, 1.0, size=100_000))
    assert aspects(before, after, CONFIG)[0].signed == pytest.approx(shift, rel=0.06, abs=0.01)


@pytest.mark.parametrize(("mean", "sd", "shift"), [(1e6, 1.0, 100.0), (-1013.0, 1.0, 3.0)])
def test_a_shift_inside_a_bin_is_seen(mean: float, sd: float, shift: float) -> None:
    rng = np.random.default_rng(1)
    before, after = rng.normal(mean, sd, 500), rng.normal(mean + shift, sd, 300)
    found = aspects(numbers(before), numbers(after), CONFIG)[0]
    assert found.signed == pytest.approx(shift / sd, rel=0.1)
    assert found.p_value < 1e-9


def test_the_mean_of_a_narrow_column_is_tested_as_scipy_does() -> None:
    rng = np.random.default_rng(2)
    before, after = rng.normal(1013.0, 1.0, 40), rng.normal(1013.4, 2.0, 60)
    found = aspects(numbers(before), numbers(after), CONFIG)[0]
    expected = stats.ttest_ind(before, after, equal_var=False).pvalue
    assert found.p_value == pytest.approx(expected, rel=1e-3)


def test_constants_that_share_a_bin_are_told_apart() -> None:
    before, after = numbers(np.full(50, 1e6)), numbers(np.full(50, 1e6 + 100))
    found, same = (aspects(before, side, CONFIG)[0] for side in (after, before))
    assert found.score > 10
    assert found.p_value < 1e-9
    assert (same.effect, same.p_value) == (0.0, 1.0)
    varied = numbers(np.random.default_rng(3).normal(1e6 + 100, 1.0, 50))
    assert aspects(before, varied, CONFIG)[0].signed > 10


def test_outliers_do_not_make_a_shift() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=10_000)
    wild = values.copy()
    wild[:10] = 1e9
    location, shape, _ = aspects(numbers(values), numbers(wild), CONFIG)
    assert location.score < 0.2
    assert shape.score < 0.2


def test_a_wider_spread_is_a_change_of_shape() -> None:
    rng = np.random.default_rng(3)
    found = aspects(numbers(rng.normal(size=5000)), numbers(2 * rng.normal(size=5000)), CONFIG)
    location, shape, _ = found
    assert shape.score > 2
    assert shape.p_value < 1e-9
    assert location.score < 1


def test_a_constant_that_moves_is_seen_and_one_that_stays_is_not() -> None:
    same, other = numbers(np.full(100, 5.0)), numbers(np.full(100, 6.0))
    assert all(way.effect == 0.0 and way.p_value == 1.0 for way in aspects(same, same, CONFIG))
    location, shape, _ = aspects(same, other, CONFIG)
    assert shape.effect > 0.9
    assert max(location.p_value, shape.p_value) < 1e-9


def test_missing_rows_are_an_aspect_of_their_own() -> None:
    rng = np.random.default_rng(4)
    before = numbers(rng.normal(size=990), missing=10)
    after = numbers(np.append(rng.normal(size=950), [np.nan] * 25 + [np.inf] * 25))
    missing = aspects(before, after, CONFIG)[-1]
    assert missing.signed == pytest.approx(0.04)
    assert missing.p_value < 1e-4


def test_categories_beyond_the_counted_ones_are_compared_as_one() -> None:
    many = ColumnProfile(ColumnKind.CATEGORICAL, 1000, values={"a": 500, "b": 1}, other=499)
    found = aspects(many, categories({"a": 500, "c": 500}), CONFIG)[0]
    assert found.effect == pytest.approx(0.5, abs=0.01)
    assert aspects(many, many, CONFIG)[0].effect == 0.0


def zipf(n: int, rng: np.random.Generator) -> ColumnProfile:
    weights = 1.0 / np.arange(1, 101) ** 1.2
    drawn = rng.multinomial(n, weights / weights.sum())
    return categories({str(place): int(rows) for place, rows in enumerate(drawn)})


WORLDS = {
    "normal": lambda n, rng: numbers(rng.normal(size=n)),
    "narrow": lambda n, rng: numbers(rng.normal(1013.0, 1.0, n)),
    "heavy tails": lambda n, rng: numbers(rng.standard_cauchy(n)),
    "counts": lambda n, rng: numbers(rng.poisson(2, n)),
    "mostly zero": lambda n, rng: numbers(rng.exponential(5, n) * (rng.random(n) < 0.1)),
    "one percent missing": lambda n, rng: numbers(
        rng.normal(size=n - (k := int(rng.binomial(n, 0.01)))), missing=k
    ),
    "rare categories": zipf,
}


@pytest.mark.statistical
@pytest.mark.unwatched
@pytest.mark.parametrize(("n", "m"), [(30, 30), (30, 2000), (2000, 100)])
@pytest.mark.parametrize("world", WORLDS)
def test_p_values_are_small_no_more_often_than_they_say(world: str, n: int, m: int) -> None:
    rng = np.random.default_rng(6)
    runs, level, config = 400, 0.05, ComparisonConfig(min_rows=20)
    drawn = [
        [way.p_value for way in aspects(WORLDS[world](n, rng), WORLDS[world](m, rng), config)]
        for _ in range(runs)
    ]
    false = (np.array(drawn) <= level).sum(axis=0)
    assert (false <= stats.binom.ppf(0.9999, runs, level)).all()
