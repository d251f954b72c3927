"""What is followed in a column."""

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from homeostat.detectors.drift.aspects import Aspect, Lens, Limits, focus
from homeostat.domain.model import ColumnKind
from homeostat.profiles.build import profile_numbers, profile_table
from homeostat.profiles.profile import ColumnProfile


def categories(values: list[str | None]) -> ColumnProfile:
    table = pa.table({"c": pa.array(values, pa.string())})
    return profile_table(table, {"c": ColumnKind.CATEGORICAL}).columns["c"]


def change(lens: Lens, before: ColumnProfile, after: ColumnProfile) -> dict[Aspect, float]:
    size = lens.look(after) - lens.look(before)
    return lens.effects(size, np.full(size.size, 1e-9))


def test_location_is_the_mean_normal_score() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=20_000), rng.normal(0.3, 1.0, 20_000)
    found = change(focus("x", profile_numbers(x), 1000.0), profile_numbers(x), profile_numbers(y))
    ranks = np.searchsorted(np.sort(x), y) / x.size
    expected = stats.norm.ppf(np.clip(ranks, 1e-5, 1 - 1e-5)).mean()
    assert found[Aspect.LOCATION] == pytest.approx(expected, abs=0.01)
    assert found[Aspect.LOCATION] == pytest.approx(0.3, abs=0.02)


def test_spread_grows_with_the_variance_and_location_does_not() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=20_000), 1.3 * rng.normal(size=20_000)
    found = change(focus("x", profile_numbers(x), 1000.0), profile_numbers(x), profile_numbers(y))
    assert found[Aspect.SPREAD] == pytest.approx(0.6, abs=0.1)
    assert abs(found[Aspect.LOCATION]) < 0.03


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_effects_know_no_unit_and_no_tail(scale: float) -> None:
    rng = np.random.default_rng(2)
    x, y = rng.standard_cauchy(5000), rng.standard_cauchy(5000) + 0.5
    plain = change(focus("x", profile_numbers(x), 1e3), profile_numbers(x), profile_numbers(y))
    x, y = x * scale, y * scale
    scaled = change(focus("x", profile_numbers(x), 1e3), profile_numbers(x), profile_numbers(y))
    for aspect, size in plain.items():
        assert scaled[aspect] == pytest.approx(size, abs=0.02)


def test_shares_that_moved_are_the_total_variation() -> None:
    before = categories(["a"] * 50 + ["b"] * 30 + ["c"] * 20)
    after = categories(["a"] * 40 + ["b"] * 30 + ["c"] * 25 + ["new"] * 5)
    found = change(focus("x", before, 1000.0), before, after)
    assert found[Aspect.SHAPE] == pytest.approx(0.1, abs=0.01)
    assert found[Aspect.MISSING] == pytest.approx(0.0, abs=1e-9)
    assert set(found) == {Aspect.SHAPE, Aspect.MISSING}


def test_missing_values_are_an_aspect_of_their_own() -> None:
    before = categories(["a"] * 980 + [None] * 20)
    after = categories(["a"] * 880 + [None] * 120)
    found = change(focus("x", before, 1000.0), before, after)
    assert found[Aspect.MISSING] == pytest.approx(0.1, abs=0.005)
    assert found[Aspect.SHAPE] == pytest.approx(0.0, abs=1e-4)


def test_a_window_without_values_only_tells_that_they_are_missing() -> None:
    before = profile_numbers(np.arange(5000.0))
    values = focus("x", before, 1000.0).look(profile_numbers(np.empty(0), missing=5000))
    assert np.isnan(values[:-1]).all()
    assert values[-1] == pytest.approx(np.pi, abs=0.1)


@pytest.mark.parametrize("rows", [100, 1000, 10_000])
def test_windows_of_any_size_agree_about_rare_categories(rows: int) -> None:
    """Fewer rows are no drift: traffic falls to a hundredth and shares stay as they were."""
    rng = np.random.default_rng(4)
    shares = np.array([0.97, 0.02, 0.005, 0.003, 0.002])
    usual = categories(np.repeat(list("abcde"), rng.multinomial(100_000, shares)).tolist())
    lens = focus("x", usual, 10_000.0)
    seen = []
    for _ in range(300):
        counts = rng.multinomial(rows, usual_shares(usual))
        seen.append(lens.look(categories(np.repeat(list("abcde"), counts).tolist())))
    off = np.mean(seen, axis=0) * np.sqrt(rows)
    assert np.abs(off).max() < 4.0 / np.sqrt(300)


def usual_shares(column: ColumnProfile) -> np.ndarray:
    counts = np.array([column.values[value] for value in "abcde"], dtype=float)
    return counts / counts.sum()


def test_numbers_that_vary_little_beside_their_size_are_seen() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(1e6, 1.0, 5000), rng.normal(1e6 + 0.5, 1.2, 5000)
    found = change(focus("x", profile_numbers(x), 1e3), profile_numbers(x), profile_numbers(y))
    assert found[Aspect.LOCATION] == pytest.approx(0.5, abs=0.1)
    assert found[Aspect.SPREAD] == pytest.approx(1.2**2 + 0.5**2 - 1.0, abs=0.15)


def test_rare_categories_are_followed_together() -> None:
    before = categories(["a"] * 900 + ["b"] * 90 + ["c"] * 9 + ["d"])
    assert focus("x", before, 100.0).names == ("a", "b", "other categories", "missing values")
    assert len(focus("x", before, 10_000.0).names) == 6


def test_a_column_of_few_values_gets_a_cell_for_each() -> None:
    lens = focus("x", profile_numbers(np.repeat([0.0, 1.0, 2.0], [700, 200, 100])), 1000.0)
    cells = [name for name in lens.names if name.startswith("cell")]
    assert len(cells) >= 3
    assert lens.shares[:-1].sum() == pytest.approx(1.0)


def test_a_constant_column_shows_another_constant() -> None:
    before = profile_numbers(np.full(1000, 7.0))
    lens = focus("x", before, 1000.0)
    assert (lens.unit > 0.0).all()
    same = change(lens, before, profile_numbers(np.full(100, 7.0)))
    other = change(lens, before, profile_numbers(np.full(100, 8.0)))
    assert same[Aspect.LOCATION] == 0.0
    assert other[Aspect.LOCATION] > 3.0
    assert other[Aspect.SHAPE] == pytest.approx(1.0, abs=0.01)


def test_a_column_that_hardly_varies_is_not_blown_up() -> None:
    """Two rows in a thousand with another value are no shift by standard deviations."""
    before = profile_numbers(np.repeat([0.3, 0.0], [998, 2]))
    after = profile_numbers(np.repeat([0.3, 0.0], [996, 4]))
    found = change(focus("x", before, 1000.0), before, after)
    limits = Limits()
    assert all(abs(size) < limits.of(aspect) for aspect, size in found.items())


def test_weights_add_up_for_each_kind() -> None:
    for column in (profile_numbers(np.arange(500.0)), categories(["a", "b"] * 50)):
        assert focus("x", column, 100.0).weights.sum() == pytest.approx(1.0)


def test_small_windows_get_fewer_cells() -> None:
    column = profile_numbers(np.arange(10_000.0))
    counts = [
        sum(name.startswith("cell") for name in focus("x", column, rows).names)
        for rows in (10.0, 30.0, 1000.0)
    ]
    assert counts == [2, 6, 10]


@pytest.mark.statistical
@pytest.mark.parametrize("rows", [200, 2000])
def test_series_vary_as_their_unit_says(rows: int) -> None:
    rng = np.random.default_rng(3)
    lens = focus("x", profile_numbers(rng.lognormal(0.0, 2.0, 100_000)), float(rows))
    seen = np.stack([lens.look(profile_numbers(rng.lognormal(0.0, 2.0, rows))) for _ in range(400)])
    ratio = seen[:, :-1].var(axis=0) * rows / lens.unit[:-1]
    assert ratio == pytest.approx(np.ones(ratio.size), abs=0.3)
