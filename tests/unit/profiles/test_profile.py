import pickle
from functools import reduce

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.domain.model import ColumnKind
from homeostat.profiles import profile as profiles
from homeostat.profiles.build import profile_numbers, profile_table
from homeostat.profiles.format import to_bytes
from homeostat.profiles.pairs import MOST_COLUMNS, merge_pairs
from homeostat.profiles.profile import EMPTY, ColumnProfile, Profile, merge_all
from homeostat.profiles.sketch import CategorySketch

Row = dict[str, float | str | bool | None]

KINDS = {
    "amount": ColumnKind.NUMERIC,
    "shop": ColumnKind.CATEGORICAL,
    "online": ColumnKind.BOOLEAN,
}
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "amount": st.none() | st.floats() | st.sampled_from([0.0, -0.0, 1e300, 5e-324]),
            "shop": st.none() | st.sampled_from("abcdefgh") | st.text("äß界", max_size=3),
            "online": st.none() | st.booleans(),
        }
    ),
    max_size=30,
)


def profiled(rows: list[Row]) -> Profile:
    schema = pa.schema([("amount", pa.float64()), ("shop", pa.string()), ("online", pa.bool_())])
    return profile_table(pa.Table.from_pylist(rows, schema=schema), KINDS, pairs=True)


@given(ROWS, st.data())
def test_any_split_in_any_order_gives_the_same_bytes(rows: list[Row], data: st.DataObject) -> None:
    owners = data.draw(st.lists(st.integers(0, 4), min_size=len(rows), max_size=len(rows)))
    parts = [
        profiled([row for row, owner in zip(rows, owners, strict=True) if owner == part])
        for part in range(5)
    ]
    whole = profiled(data.draw(st.permutations(rows)))
    first, *others = data.draw(st.permutations(parts))
    one_by_one = reduce(Profile.merge, others, first)
    at_once = merge_all(data.draw(st.permutations(parts)))
    pairs = parts[0].merge(parts[1]).merge(parts[2].merge(parts[3])).merge(parts[4])
    assert len(set(map(to_bytes, (whole, one_by_one, at_once, pairs)))) == 1
    assert whole == one_by_one == at_once == pairs


@pytest.fixture
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let columns overflow at three distinct values."""
    monkeypatch.setattr(profiles, "CATEGORY_LIMIT", 3)


@pytest.mark.usefixtures("_few")
@given(ROWS, st.data())
def test_an_overflown_column_is_right_within_its_error(
    rows: list[Row], data: st.DataObject
) -> None:
    names = [row["shop"] for row in rows if row["shop"] is not None]
    truth = {name: names.count(name) for name in names}
    owners = data.draw(st.lists(st.integers(0, 2), min_size=len(rows), max_size=len(rows)))
    parts = [
        profiled([row for row, owner in zip(rows, owners, strict=True) if owner == part])
        for part in range(3)
    ]
    shuffled = profiled(data.draw(st.permutations(rows)))
    assert to_bytes(shuffled) == to_bytes(profiled(rows))
    found = [
        merge_all(parts),
        parts[0].merge(parts[1]).merge(parts[2]),
        parts[2].merge(parts[0].merge(parts[1])),
        shuffled,
    ]
    for column in (profile.columns["shop"] for profile in found):
        assert (column.sketch is not None) == (column.other > 0) == (len(truth) > 3)
        assert sum(column.values.values()) + column.other == column.present == len(names)
        assert column.distinct == pytest.approx(len(truth), abs=1)  # the empty text is left out
        for name, rows_with in truth.items():
            low, high = column.bounds(name)
            assert low <= rows_with <= high
            assert high - low <= len(names) // 4
        estimates = column.rows_with([*truth, "never seen"])
        assert sum(estimates) <= column.present
        assert estimates[-1] == 0
    one, other = (profile.columns["shop"] for profile in found[1:3])
    if one.sketch is not None and other.sketch is not None:
        assert one.sketch.registers.tolist() == other.sketch.registers.tolist()


def test_merging_with_nothing_changes_nothing() -> None:
    whole = profiled([{"amount": 1.0, "shop": "a", "online": True}])
    assert EMPTY.merge(whole) == whole.merge(EMPTY) == whole


def test_a_column_that_only_one_profile_has_is_kept() -> None:
    one, other = (
        Profile(1, {name: profile_numbers(np.array([value]))})
        for name, value in (("a", 1.0), ("b", 2.0))
    )
    both = one.merge(other)
    assert (both.rows, both.columns["a"].count, both.columns["b"].mean) == (2, 1, 2.0)


def test_a_column_of_two_kinds_is_refused() -> None:
    one, other = (
        Profile(0, {"x": ColumnProfile(kind)}) for kind in (ColumnKind.NUMERIC, ColumnKind.BOOLEAN)
    )
    with pytest.raises(ValueError, match="column 'x' is boolean in one profile and numeric"):
        one.merge(other)


def test_moments_are_those_of_the_finite_values() -> None:
    values = np.random.default_rng(1).lognormal(size=1000)
    column = profile_numbers(np.concatenate((values, [np.nan, np.inf, -np.inf])), missing=2)
    assert (column.count, column.present, column.missing) == (1005, 1000, 2)
    assert (column.nan, column.infinite) == (1, 2)
    assert column.mean == pytest.approx(values.mean(), rel=1e-14)
    assert column.variance == pytest.approx(values.var(), rel=1e-12)
    assert column.sum == pytest.approx(values.sum(), rel=1e-14)
    assert (column.minimum, column.maximum) == (values.min(), values.max())


@pytest.mark.parametrize(
    "column",
    [
        profile_numbers(np.array([np.nan])),
        ColumnProfile(ColumnKind.CATEGORICAL, 1, values={"a": 1}),
    ],
)
def test_without_numbers_there_are_no_moments(column: ColumnProfile) -> None:
    assert np.isnan(column.mean)
    assert np.isnan(column.variance)


def test_a_share_of_no_rows_is_unknown() -> None:
    assert np.isnan(ColumnProfile(ColumnKind.NUMERIC).share(0))


def test_distinct_values_are_counted_exactly_and_estimated_beyond_the_limit() -> None:
    few = profile_table(pa.table({"shop": ["a", "b", "a"]}), {"shop": ColumnKind.CATEGORICAL})
    assert few.columns["shop"].distinct == 2
    names = [f"customer {i}" for i in range(40_000)]
    many = profile_table(pa.table({"shop": names}), {"shop": ColumnKind.CATEGORICAL})
    column = many.columns["shop"]
    assert (column.values, column.other) == ({}, 40_000)
    assert column.distinct == pytest.approx(40_000, rel=0.03)


def test_distinct_values_are_never_more_than_rows() -> None:
    sketch = CategorySketch(least=50, unknown=10)
    column = ColumnProfile(ColumnKind.CATEGORICAL, count=10, other=10, sketch=sketch)
    assert column.distinct == 10


def test_a_heavy_hitter_among_many_values_is_found_whatever_was_merged() -> None:
    rng = np.random.default_rng(2)
    drawn = rng.integers(0, 40_000, size=60_000)
    drawn[rng.random(60_000) < 0.02] = 7
    names = np.char.add("c", drawn.astype(str))
    table = pa.table({"shop": names})
    kinds = {"shop": ColumnKind.CATEGORICAL}
    merged = merge_all(profile_table(table.slice(at, 6000), kinds) for at in range(0, 60_000, 6000))
    values, counts = np.unique(names, return_counts=True)
    truth = dict(zip(values.tolist(), counts.tolist(), strict=True))
    column = merged.columns["shop"]
    assert next(iter(column.values.items())) == ("c7", truth["c7"])
    assert column.bounds("c7")[0] > 0.99 * truth["c7"]
    error = 60_000 // (profiles.CATEGORY_LIMIT + 1)
    assert all(abs(rows - truth[name]) <= error for name, rows in column.values.items())
    assert sum(column.values.values()) + column.other == 60_000
    assert column.distinct == pytest.approx(len(truth), rel=0.03)


def test_a_profile_of_an_overflown_column_can_be_pickled() -> None:
    table = pa.table({"shop": [f"{i}" for i in range(profiles.CATEGORY_LIMIT + 1)]})
    profile = profile_table(table, {"shop": ColumnKind.CATEGORICAL}, pairs=True)
    assert pickle.loads(pickle.dumps(profile)) == profile


PAIRED = {"x": ColumnKind.NUMERIC, "y": ColumnKind.NUMERIC}


def paired(rows: int, *, pairs: bool = True, names: str = "xy") -> Profile:
    table = pa.table({name: np.arange(float(rows)) for name in names})
    return profile_table(table, {name: PAIRED[name] for name in names}, pairs=pairs)


def test_pairs_are_merged_where_every_profile_with_rows_has_them() -> None:
    one = paired(4)
    assert one.merge(paired(3)).pairs == merge_pairs([one.pairs, paired(3).pairs])
    assert one.merge(EMPTY) == EMPTY.merge(one) == one
    assert one.merge(paired(0)).pairs == one.merge(paired(0, pairs=False)).pairs == one.pairs
    assert EMPTY.merge(EMPTY).pairs is None


def test_pairs_that_some_rows_lack_are_lost() -> None:
    assert paired(4).merge(paired(3, pairs=False)).pairs is None
    assert paired(3, pairs=False).merge(paired(4)).pairs is None
    assert paired(4).merge(paired(4, names="yx")).pairs is None


def test_only_the_first_numeric_columns_are_paired() -> None:
    names = [f"c{i}" for i in range(MOST_COLUMNS + 2)]
    table = pa.table({name: [1.0, 2.0] for name in names} | {"shop": ["a", "b"]})
    kinds = {"shop": ColumnKind.CATEGORICAL} | dict.fromkeys(names, ColumnKind.NUMERIC)
    pairs = profile_table(table, kinds, pairs=True).pairs
    assert pairs is not None
    assert pairs.names == tuple(names[:MOST_COLUMNS])
    assert profile_table(table, kinds).pairs is None


def test_a_profile_cannot_be_changed() -> None:
    column = profile_numbers(np.array([1.0]))
    with pytest.raises(ValueError, match="read-only"):
        column.counts[0] = 2
    with pytest.raises(AttributeError):
        column.count = 2


def test_profiles_are_equal_by_content() -> None:
    one, other = (profile_numbers(np.array(values)) for values in ([1.0, 2.0], [2.0, 1.0]))
    assert one == other
    assert one != profile_numbers(np.array([1.0, 2.001]))
    assert one != profile_numbers(np.array([1.0]))
    assert one != "a profile"
    assert profile_numbers(np.array([np.nan])) == profile_numbers(np.array([np.nan]))
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)
