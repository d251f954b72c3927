from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from homeostat.domain.model import ColumnKind
from homeostat.profiles.build import profile_table
from homeostat.profiles.pairs import SCORE_LIMIT, Pairs, correlation, merge_pairs, pairs_of
from homeostat.stats.bitbins import BIN_COUNT, blur

VALUES = st.none() | st.floats() | st.sampled_from([0.0, -0.0, 1.0, 1e300, -1e300, 5e-324])
ROWS = st.lists(st.tuples(VALUES, VALUES, VALUES), max_size=40)


def table_of(rows: Sequence[Sequence[float | None]]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else ([], [], [])
    return pa.table({n: pa.array(c, pa.float64()) for n, c in zip("abc", columns, strict=True)})


def score(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The documented score, written anew."""
    with np.errstate(over="ignore"):
        exact = np.clip(np.arcsinh(1024.0 * blur(values)), -32.0, 32.0)
    return np.where(np.isfinite(values), np.rint(exact * 4096.0), np.nan)


def whole(limbs: NDArray[np.int64]) -> NDArray[np.object_]:
    return limbs[0].astype(object) * 2**32 + limbs[1]


@given(ROWS)
def test_sums_are_those_of_the_rows_that_two_columns_share(
    rows: list[tuple[float | None, ...]],
) -> None:
    pairs = pairs_of(table_of(rows))
    scores = score(np.array(rows, dtype=np.float64).reshape(-1, 3)).astype(object)
    for i in range(3):
        for j in range(3):
            both = [row for row in scores.tolist() if row[i] == row[i] and row[j] == row[j]]
            assert pairs.counts[i, j] == len(both)
            assert pairs.sums[i, j] == sum(int(row[i]) for row in both)
            assert whole(pairs.squares)[i, j] == sum(int(row[i]) ** 2 for row in both)
            expected = sum(int(row[i]) * int(row[j]) for row in both) if i <= j else 0
            assert whole(pairs.products)[i, j] == expected


@given(ROWS, st.data())
def test_any_split_in_any_order_gives_the_same_sums(
    rows: list[tuple[float | None, ...]], data: st.DataObject
) -> None:
    owners = data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)))
    parts = [
        pairs_of(table_of([r for r, o in zip(rows, owners, strict=True) if o == part]))
        for part in range(4)
    ]
    together = pairs_of(table_of(data.draw(st.permutations(rows))))
    assert merge_pairs(data.draw(st.permutations(parts))) == together
    assert merge_pairs([merge_pairs(parts[:2]), merge_pairs(parts[2:])]) == together


def test_blocks_of_a_long_table_are_summed_exactly() -> None:
    rng = np.random.default_rng(1)
    values = rng.standard_cauchy((20_001, 4))
    values[rng.random(values.shape) < 0.1] = np.nan
    values[:, 0] = rng.normal(size=20_001)
    values[rng.random(20_001) < 0.05, 1] = np.inf
    table = pa.table({n: values[:, i] for i, n in enumerate("abcd")})
    scores = score(values)
    there = ~np.isnan(scores)
    exact = [[int(v) for v in column] for column in np.nan_to_num(scores).T.tolist()]
    pairs = pairs_of(table)
    assert pairs.counts.tolist() == (there.T.astype(int) @ there.astype(int)).tolist()
    for i in range(4):
        for j in range(i, 4):
            product = sum(x * y for x, y in zip(exact[i], exact[j], strict=True))
            assert whole(pairs.products)[i, j] == product
    chunks = pa.concat_tables([table.slice(at, 3333) for at in range(0, 20_001, 3333)])
    assert pairs_of(chunks) == pairs


def test_correlation_agrees_with_pandas_on_rows_in_common() -> None:
    rng = np.random.default_rng(2)
    base = rng.normal(size=(3000, 1))
    values = np.exp(base * [1.0, -1.0, 0.3, 0.0] + rng.normal(size=(3000, 4)))
    values[rng.random(values.shape) < 0.2] = np.nan
    found = correlation(pairs_of(pa.table({n: values[:, i] for i, n in enumerate("abcd")})))
    expected = pd.DataFrame(score(values)).corr().to_numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert (found == found.T).all()


def test_a_correlation_with_unchanged_marginals_is_seen() -> None:
    rng = np.random.default_rng(3)
    normal = rng.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], size=20_000)
    table = pa.table({"a": 100 + 10 * normal[:, 0], "b": 50 + 5 * normal[:, 1]})
    assert correlation(pairs_of(table))[0, 1] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [(1.0, 2.0, 3.0)],
        [(1.0, 2.0, 3.0), (2.0, 3.0, 4.0)],
        [(1.0, np.nan, 1.0), (2.0, None, 1.0), (3.0, np.inf, 1.0), (3.0, 5.0, 1.0)],
    ],
)
def test_too_few_rows_and_constants_have_no_correlation(rows: list[tuple[float, ...]]) -> None:
    found = correlation(pairs_of(table_of(rows)))
    assert np.isnan(found[~np.eye(3, dtype=bool)]).all()
    assert np.isnan(found[1:, 1:]).all()


def test_extremes_of_the_same_sign_stay_in_range() -> None:
    found = correlation(pairs_of(table_of([(5e-324, 1e300, -1e300), (1e308, -1e308, 1e308)] * 3)))
    assert np.nanmax(np.abs(found)) == 1.0
    assert found[0, 1] == -1.0


def test_a_trillion_rows_do_not_overflow() -> None:
    rows = [(1e300, -1e300, 1e300), (-1e300, 1e300, 1.0), (1e300, -1e300, -3.0), (1.0, 2.0, 3.0)]
    pairs = pairs_of(table_of(rows))
    total, rows_seen = pairs, 4
    while rows_seen < 10**12:
        total, rows_seen = merge_pairs([total] * 16), rows_seen * 16
    factor = rows_seen // 4
    assert total.counts.tolist() == (pairs.counts * factor).tolist()
    assert total.sums.tolist() == (pairs.sums * factor).tolist()
    assert whole(total.squares).tolist() == (whole(pairs.squares) * factor).tolist()
    assert whole(total.products).tolist() == (whole(pairs.products) * factor).tolist()
    np.testing.assert_allclose(correlation(total), correlation(pairs), atol=1e-15)


def test_scores_are_far_from_where_rounding_could_differ_between_machines() -> None:
    """Each machine's arcsinh may be off by a last bit; no score is that near to a half."""
    bits = np.arange(BIN_COUNT, dtype=np.uint64) << np.uint64(45)
    middle = blur(bits.view(np.float64))
    middle = middle[np.isfinite(middle) & (np.abs(middle) < 1e12)]
    exact = np.arcsinh(1024.0 * middle) * 4096.0
    exact = exact[np.abs(exact) < SCORE_LIMIT]
    assert np.abs(np.abs(exact - np.floor(exact)) - 0.5).min() > 1e-6


def test_no_value_is_used_as_it_was() -> None:
    values = np.random.default_rng(4).lognormal(size=(500, 2))
    one, other = (pa.table({"a": v[:, 0], "b": v[:, 1]}) for v in (values, blur(values)))
    assert pairs_of(one) == pairs_of(other)
    kinds = dict.fromkeys("ab", ColumnKind.NUMERIC)
    hidden = profile_table(one, kinds, {"a", "b"}, pairs=True)
    assert hidden.pairs == pairs_of(one)


def test_columns_of_any_number_type_are_read() -> None:
    table = pa.table({"a": [1, 2, None], "b": pa.array([1.5, 2.5, 3.5], pa.float32())})
    assert pairs_of(table).counts.tolist() == [[2, 2], [2, 3]]
    assert pairs_of(table.select([])).names == ()
    nothing = pa.table({"a": pa.nulls(3), "b": [1, 2, 3]})
    assert pairs_of(nothing).counts.tolist() == [[0, 0], [0, 3]]


def test_pairs_of_different_columns_are_not_merged() -> None:
    one, other = (pairs_of(pa.table({name: [1.0]})) for name in "ab")
    with pytest.raises(ValueError, match="different columns"):
        merge_pairs([one, other])


def test_pairs_are_values() -> None:
    one, other = (pairs_of(table_of(rows)) for rows in ([(1.0, 2.0, 3.0)], [(1.0, 2.0, 4.0)]))
    assert one == Pairs(one.names, *one.arrays)
    assert one != other
    assert one != "pairs"
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)
    with pytest.raises(ValueError, match="read-only"):
        one.counts[0, 0] = 2
