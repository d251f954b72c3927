"""Rows put in order at once and in pieces, against sorting a table."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.adapters.predlog import order
from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.predlog.memory import Landed
from homeostat.adapters.predlog.order import SORT, in_order, pieces_in_order
from homeostat.simulation.conformance.log import T0, predictions

SECONDS = st.lists(st.integers(0, 20), min_size=1, max_size=30)


def as_they_came(seconds: list[int], group: int) -> list[pa.Table]:
    ids = [f"{(7 * place) % 31}" for place in range(len(seconds))]
    rows = pa.concat_tables(
        predictions([name], T0 + timedelta(seconds=second))
        for name, second in zip(ids, seconds, strict=True)
    )
    return [rows.slice(start, group) for start in range(0, len(rows), group)]


@settings(deadline=None, max_examples=40)
@given(SECONDS | SECONDS.map(sorted), st.integers(1, 9), st.integers(1, 9))
def test_pieces_are_what_sorting_the_table_gives(seconds: list[int], group: int, size: int) -> None:
    table = pa.concat_tables(as_they_came(seconds, group))
    expected = table.sort_by(SORT[Kind.PREDICTIONS])
    assert in_order(table, Kind.PREDICTIONS).equals(expected)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(order, "PIECE", size)
        pieces = list(pieces_in_order(table, Kind.PREDICTIONS))
    assert pa.concat_tables(pieces).equals(expected)
    assert {len(piece) for piece in pieces[:-1]} <= {size}


@settings(deadline=None, max_examples=20)
@given(SECONDS, st.integers(1, 9), st.integers(1, 12))
def test_joined_blocks_are_the_rows_that_were_frozen(
    seconds: list[int], group: int, most: int
) -> None:
    landed = Landed("timestamp")
    tables = as_they_came(seconds, group)
    for table in tables:
        landed.add(table)
    landed.freeze()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("homeostat.adapters.predlog.memory.JOINED", most)
        landed.join()
    assert pa.concat_tables([block.table for block in landed.frozen]).equals(
        pa.concat_tables(tables)
    )
    assert all(len(block.table) >= most for block in landed.frozen[:-1])
    assert landed.rows == len(seconds)
    landed.drop()
    assert (landed.rows, landed.bytes, landed.frozen) == (0, 0, [])
