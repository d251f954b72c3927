import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from homeostat.stats.encoding import Table, fit_encoder, normal_scores, stack

VALUES = st.lists(
    st.one_of(
        st.integers(-5, 5).map(float),
        st.floats(allow_nan=False),
        st.sampled_from([np.nan, np.inf, -np.inf]),
    ),
    min_size=1,
    max_size=50,
).map(np.array)


@given(VALUES)
def test_normal_scores_are_quantiles_of_mid_ranks(values: NDArray[np.float64]) -> None:
    there = ~np.isnan(values)
    expected = stats.norm.ppf((stats.rankdata(values[there]) - 0.5) / max(1, there.sum()))
    found = normal_scores(values)
    assert found[there] == pytest.approx(expected, rel=1e-12, abs=1e-14)
    assert np.isnan(found[~there]).all()


def test_normal_scores_are_accurate_far_out() -> None:
    rows = 1_000_001
    found = normal_scores(np.arange(float(rows)))
    for place in (0, 1, 500, 74_999, 75_001, 500_000):
        expected = stats.norm.ppf((place + 0.5) / rows)
        assert found[place] == pytest.approx(expected, rel=1e-13, abs=1e-9)
        assert found[-1 - place] == pytest.approx(-found[place], rel=1e-9, abs=1e-9)


@given(VALUES, VALUES)
def test_a_number_becomes_its_score_in_the_reference(
    reference: NDArray[np.float64], current: NDArray[np.float64]
) -> None:
    encoder = fit_encoder(Table({"x": reference}))
    known = reference[~np.isnan(reference)]
    found = encoder.transform(Table({"x": current}))
    assert np.isfinite(found).all()
    assert found[:, 1].tolist() == np.isnan(current).tolist()
    for value, score in zip(current, found[:, 0], strict=True):
        if np.isnan(value) or not known.size:
            assert score == 0.0
            continue
        level = np.mean(known < value) + np.mean(known == value) / 2
        edge = 0.25 / known.size
        assert score == pytest.approx(stats.norm.ppf(np.clip(level, edge, 1 - edge)), abs=1e-12)


def test_many_values_are_kept_in_few_steps_and_still_scored_well() -> None:
    rng = np.random.default_rng(2)
    reference = rng.standard_cauchy(20_000)
    encoder = fit_encoder(Table({"x": reference}))
    assert encoder.numbers[0].knots.size <= 512
    current = rng.standard_cauchy(2_000)
    level = np.searchsorted(np.sort(reference), current) / reference.size
    found = encoder.transform(Table({"x": current}))[:, 0]
    middle = (level > 0.05) & (level < 0.95)
    assert found[middle] == pytest.approx(stats.norm.ppf(level[middle]), abs=0.02)
    assert np.corrcoef(found, stats.norm.ppf(np.clip(level, 1e-5, 1 - 1e-5)))[0, 1] > 0.999


@given(st.lists(st.integers(-2, 6), min_size=1, max_size=80), st.lists(st.integers(-2, 9)))
def test_a_category_becomes_exactly_one_indicator(reference: list[int], current: list[int]) -> None:
    codes = np.array(reference, dtype=np.int64)
    encoder = fit_encoder(Table({}, {"c": codes}), max_categories=3, min_count=2)
    kept = encoder.categories[0].codes.tolist()
    counts = {code: reference.count(code) for code in set(reference) if code >= 0}
    frequent = sorted(counts, key=lambda code: (-counts[code], code))
    assert kept == sorted([code for code in frequent if counts[code] >= 2][:3])
    found = encoder.transform(Table({}, {"c": np.array(current, dtype=np.int64)}))
    assert found.shape == (len(current), len(kept) + 2)
    for row, code in zip(found.tolist(), current, strict=True):
        place = len(kept) + 1 if code < 0 else kept.index(code) if code in kept else len(kept)
        assert row == [float(index == place) for index in range(len(kept) + 2)]


def test_features_know_their_column() -> None:
    table = Table({"a": np.zeros(30), "b": np.ones(30)}, {"c": np.arange(30) % 2})
    encoder = fit_encoder(table)
    assert encoder.names == table.names == ("a", "b", "c")
    assert encoder.owners.tolist() == [0, 0, 1, 1, 2, 2, 2, 2]
    assert encoder.transform(table).shape == (30, 8)


def test_an_empty_reference_column_still_shows_when_values_appear() -> None:
    encoder = fit_encoder(Table({"x": np.full(5, np.nan)}))
    assert encoder.transform(Table({"x": np.array([np.nan, 3.0])})).tolist() == [[0, 1], [0, 0]]


def test_rows_are_taken_and_stacked_in_order() -> None:
    table = Table({"x": np.array([1.0, 2.0, 3.0])}, {"c": np.array([4, 5, 6])})
    both = stack((table.take([2, 0]), table))
    assert both.numbers["x"].tolist() == [3.0, 1.0, 1.0, 2.0, 3.0]
    assert both.categories["c"].tolist() == [6, 4, 4, 5, 6]


def test_tables_that_cannot_be_are_refused() -> None:
    x, c = np.zeros(2), np.zeros(2, dtype=np.int64)
    with pytest.raises(ValueError, match="at least one column"):
        Table({})
    with pytest.raises(ValueError, match="'x' is both a number and a category"):
        Table({"x": x}, {"x": c})
    with pytest.raises(ValueError, match=r"'x' has shape \(2,\), 'y' \(3,\)"):
        Table({"x": x, "y": np.zeros(3)})
    with pytest.raises(ValueError, match="one-dimensional"):
        Table({"x": np.zeros((2, 2))})
    with pytest.raises(ValueError, match="no tables"):
        stack([])
    with pytest.raises(ValueError, match="'x' differs"):
        stack([Table({"x": x}), Table({}, {"x": c})])
    with pytest.raises(ValueError, match="no column 'x', 'c'"):
        fit_encoder(Table({"x": x}, {"c": c})).transform(Table({"z": x}))
