from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial.distance import jensenshannon

from homeostat.domain.model import ColumnKind
from homeostat.profiles import compare
from homeostat.profiles.build import profile_numbers, profile_table
from homeostat.profiles.profile import ColumnProfile
from homeostat.profiles.sketch import CategorySketch

Floats = NDArray[np.float64]
Pair = tuple[Floats, Floats]

SAMPLES = {
    "normal": lambda rng, n: rng.normal(size=n),
    "lognormal": lambda rng, n: rng.lognormal(3, 2, n),
    "zero inflated": lambda rng, n: rng.exponential(5, n) * (rng.random(n) < 0.3),
    "counts": lambda rng, n: rng.poisson(4, n).astype(float),
    "score": lambda rng, n: rng.beta(0.5, 6, n),
    "huge mean": lambda rng, n: 1e6 + 1e6 * rng.normal(size=n),
}
FLOATS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60).map(np.array)


@pytest.fixture(params=SAMPLES)
def pair(request: pytest.FixtureRequest) -> Pair:
    """Raw samples of a reference and of a somewhat changed current window."""
    rng = np.random.default_rng(1)
    return SAMPLES[request.param](rng, 20_000), SAMPLES[request.param](rng, 3000) * 1.2


def categories(values: list[str | None] | list[str]) -> ColumnProfile:
    kinds = {"x": ColumnKind.CATEGORICAL}
    return profile_table(pa.table({"x": pa.array(values, pa.string())}), kinds).columns["x"]


def test_ks_agrees_with_scipy_on_the_raw_samples(pair: Pair) -> None:
    found = compare.ks(*map(profile_numbers, pair))
    expected = stats.ks_2samp(*pair)
    assert found.statistic == pytest.approx(expected.statistic, abs=0.006)
    assert found.statistic <= expected.statistic + 1e-12


def test_wasserstein_agrees_with_scipy_on_the_raw_samples(pair: Pair) -> None:
    found = compare.wasserstein(*map(profile_numbers, pair))
    size = np.abs(np.concatenate(pair)).mean()
    assert found == pytest.approx(stats.wasserstein_distance(*pair), abs=0.008 * size)


def test_wasserstein_of_samples_far_apart_spans_the_gap() -> None:
    near, far = profile_numbers(np.array([0.0, 1.0])), profile_numbers(np.array([10.0, 11.0]))
    assert compare.wasserstein(near, far) == pytest.approx(10.0, rel=0.01)


def test_cell_counts_are_those_of_the_raw_samples(pair: Pair) -> None:
    binning = compare.bin_reference(profile_numbers(pair[0]))
    edges = np.array([-np.inf, *binning.edges, np.inf])
    for sample in pair:
        # Negative bins hold their right edge; no sample value lies on one.
        expected = np.histogram(sample, edges)[0]
        assert compare.rebin(profile_numbers(sample), binning).tolist() == expected.tolist()


def test_distances_over_cells_agree_with_the_raw_samples(pair: Pair) -> None:
    profiles = [profile_numbers(sample) for sample in pair]
    edges = np.array([-np.inf, *compare.bin_reference(profiles[0]).edges, np.inf])
    p, q = (np.histogram(sample, edges)[0] for sample in pair)
    used = (p + q) > 0
    x, y = p / p.sum(), q / q.sum()
    assert compare.js_distance(*profiles) == pytest.approx(jensenshannon(x, y, base=2))
    assert compare.total_variation(*profiles) == pytest.approx(np.abs(x - y).sum() / 2)
    affinity = np.sqrt(x * y).sum()
    assert compare.hellinger(*profiles) == pytest.approx(np.sqrt(1 - affinity))
    table = np.stack((p, q))[:, used]
    expected = stats.chi2_contingency(table, correction=False)
    assert compare.chi2(*profiles).statistic == pytest.approx(expected.statistic)
    smooth = (table + 0.5) / (table + 0.5).sum(axis=1, keepdims=True)
    psi = np.sum((smooth[1] - smooth[0]) * np.log(smooth[1] / smooth[0]))
    assert compare.psi(*profiles) == pytest.approx(psi)


def test_statistics_gathers_them_all(pair: Pair) -> None:
    profiles = [profile_numbers(sample) for sample in pair]
    found = compare.statistics(*profiles)
    assert found == {
        "psi": compare.psi(*profiles),
        "js": compare.js_distance(*profiles),
        "hellinger": compare.hellinger(*profiles),
        "total_variation": compare.total_variation(*profiles),
        "chi2": compare.chi2(*profiles).statistic,
        "chi2_p": compare.chi2(*profiles).p_value,
        "ks": compare.ks(*profiles).statistic,
        "ks_p": compare.ks(*profiles).p_value,
        "wasserstein": compare.wasserstein(*profiles),
    }


def test_quantiles_agree_with_numpy_on_the_raw_sample(pair: Pair) -> None:
    levels = np.array([0.0, 0.01, 0.1, 0.5, 0.9, 0.99, 1.0])
    found = compare.quantiles(profile_numbers(pair[0]), levels)
    expected = np.quantile(pair[0], levels, method="inverted_cdf")
    assert found == pytest.approx(expected, rel=0.008, abs=1e-9)


@given(FLOATS, st.lists(st.floats(0, 1), min_size=1, max_size=5).map(np.array))
def test_quantiles_stay_in_range_and_in_order(values: Floats, levels: Floats) -> None:
    found = compare.quantiles(profile_numbers(values), np.sort(levels))
    assert (np.diff(found) >= 0).all()
    assert values.min() <= found[0]
    assert found[-1] <= values.max()


def test_a_smooth_reference_gets_cells_of_equal_shares() -> None:
    column = profile_numbers(np.random.default_rng(2).normal(size=50_000))
    counts = compare.rebin(column, compare.bin_reference(column, cells=10))
    assert counts.size == 10
    assert counts / 50_000 == pytest.approx(np.full(10, 0.1), abs=0.003)


def test_a_constant_is_told_from_values_on_either_side() -> None:
    binning = compare.bin_reference(profile_numbers(np.full(100, 5.0)))
    current = profile_numbers(np.array([4.0, 5.0, 5.0, 6.0, 7.0]))
    assert compare.rebin(current, binning).tolist() == [1, 2, 2]


def test_many_zeros_have_their_own_cell() -> None:
    values = np.concatenate((np.zeros(60), np.arange(1.0, 41.0)))
    binning = compare.bin_reference(profile_numbers(values), cells=5)
    assert binning.edges == (0.0, 1.0, 21.0)
    current = profile_numbers(np.array([-1.0, 0.0, 0.0, 1.0]))
    assert compare.rebin(current, binning).tolist() == [1, 2, 1, 0]


def test_small_whole_numbers_have_a_cell_each() -> None:
    values = np.repeat([1.0, 2.0, 3.0], [50, 30, 20])
    assert compare.bin_reference(profile_numbers(values)).edges == (1.0, 2.0, 3.0, 3.015625)


@given(FLOATS, FLOATS, st.integers(2, 20))
def test_every_usable_row_falls_into_one_cell(
    reference: Floats, current: Floats, cells: int
) -> None:
    binning = compare.bin_reference(profile_numbers(reference), cells=cells)
    counts = compare.rebin(profile_numbers(current), binning)
    assert counts.size == binning.cells
    assert counts.sum() == current.size
    assert (counts >= 0).all()


@given(FLOATS, FLOATS)
def test_distances_do_not_depend_on_how_rows_were_split(reference: Floats, current: Floats) -> None:
    assume(current.size > 1)
    whole = compare.statistics(profile_numbers(reference), profile_numbers(current))
    again = compare.statistics(profile_numbers(reference[::-1]), profile_numbers(current[::-1]))
    assert whole == pytest.approx(again, nan_ok=True, rel=0)


def test_categories_are_compared_by_frequency() -> None:
    reference = categories(["a"] * 60 + ["b"] * 30 + ["c"] * 10)
    current = categories(["a"] * 10 + ["b"] * 30 + ["d"] * 10 + [None])
    binning = compare.bin_reference(reference, categories=2)
    assert binning.categories == ("a", "b")
    assert binning.cells == 3
    assert compare.rebin(reference, binning).tolist() == [60, 30, 10]
    assert compare.rebin(current, binning).tolist() == [10, 30, 10]
    found = compare.statistics(reference, current)
    assert "ks" not in found
    table = [[60, 30, 10, 0], [10, 30, 0, 10]]
    expected = stats.chi2_contingency(table, correction=False)
    assert found["chi2"] == pytest.approx(expected.statistic)
    assert found["total_variation"] == pytest.approx(0.5)


def crowd(rng: np.random.Generator, rows: int, share: float = 0.0) -> list[str]:
    """Draw from 50,000 values, one of which has a share of its own."""
    drawn = rng.integers(0, 50_000, rows)
    drawn[rng.random(rows) < share] = 7
    return [f"customer {i}" for i in drawn.tolist()]


def test_a_heavy_hitter_among_many_values_has_a_cell() -> None:
    rng = np.random.default_rng(5)
    reference, current = categories(crowd(rng, 60_000, 0.2)), categories(crowd(rng, 30_000, 0.3))
    assert min(reference.other, current.other) > 0
    binning = compare.bin_reference(reference)
    assert binning.categories == ("customer 7",)
    for column, share in ((reference, 0.2), (current, 0.3)):
        counts = compare.rebin(column, binning)
        assert counts.sum() == column.present
        assert counts[0] == pytest.approx(share * column.present, rel=0.05)
    found = compare.statistics(reference, current)
    assert found["total_variation"] == pytest.approx(0.1, abs=0.01)
    assert found["chi2_p"] < 1e-100
    few = categories(crowd(rng, 2_000, 0.2))
    assert few.sketch is None
    assert compare.statistics(reference, few)["chi2_p"] > 1e-4


def test_the_most_frequent_of_many_rare_values_are_so_by_chance() -> None:
    rng = np.random.default_rng(6)
    reference, current = (categories(crowd(rng, 60_000)) for _ in range(2))
    assert reference.values
    assert compare.bin_reference(reference).categories == ()
    assert compare.rebin(current, compare.bin_reference(reference)).tolist() == [60_000]
    assert not compare.statistics(reference, current)["psi"] > 0.0


def test_estimates_never_exceed_the_rows() -> None:
    sketch = CategorySketch({"a": 5, "b": 4}, error=2)
    column = ColumnProfile(ColumnKind.CATEGORICAL, 10, values={"a": 7}, other=3, sketch=sketch)
    binning = compare.Binning(ColumnKind.CATEGORICAL, categories=("a", "b", "c"))
    assert compare.rebin(column, binning).tolist() == [5, 4, 0, 1]
    assert compare.rebin(column, replace(binning, categories=("a",))).tolist() == [7, 3]


def test_kinds_are_not_mixed() -> None:
    with pytest.raises(ValueError, match="a categorical column cannot be counted in numeric cells"):
        compare.rebin(categories(["a"]), compare.Binning(ColumnKind.NUMERIC))


@pytest.mark.parametrize("kind", ColumnKind)
def test_no_rows_are_never_at_distance_zero(kind: ColumnKind) -> None:
    some = {
        ColumnKind.NUMERIC: profile_numbers(np.array([1.0, 2.0])),
        ColumnKind.CATEGORICAL: categories(["a", "b"]),
        ColumnKind.BOOLEAN: ColumnProfile(ColumnKind.BOOLEAN, 1, values={"true": 1}),
    }[kind]
    none = ColumnProfile(kind)
    for sides in ((none, some), (some, none), (none, none)):
        assert all(map(np.isnan, compare.statistics(*sides).values()))


def test_no_rows_have_no_quantiles() -> None:
    found = compare.quantiles(ColumnProfile(ColumnKind.NUMERIC), np.array([0.5]))
    assert np.isnan(found).all()
