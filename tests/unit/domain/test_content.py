"""The hash of rows: the same rows have the same one, and no others."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.domain.content import content_hash, schema_hash
from homeostat.domain.model import Column, ColumnKind, Schema

T0 = datetime(2024, 1, 1, tzinfo=UTC)
BASE = pa.table(
    {
        "prediction_id": ["a", "b", "c"],
        "timestamp": pa.array([T0, T0, T0 + timedelta(hours=1)], pa.timestamp("us", "UTC")),
        "amount": [1.0, None, float("nan")],
        "count": pa.array([1, 2, None], pa.int64()),
        "flag": [True, None, False],
        "country": ["DE", "", None],
        "tags": [["x"], [], None],
        "day": [date(2024, 1, 1), None, date(2024, 1, 2)],
        "took": pa.array([1, None, 3], pa.duration("us")),
    }
)


@given(st.permutations(range(3)), st.permutations(BASE.column_names))
def test_order_does_not_count(rows: list[int], columns: list[str]) -> None:
    assert content_hash(BASE.take(rows).select(columns)) == content_hash(BASE)


def test_neither_does_how_values_lie_in_memory(tmp_path: pytest.TempPathFactory) -> None:
    table = BASE.drop_columns(["tags"])
    place = table.column_names.index("country")
    folded = table.set_column(place, "country", table["country"].dictionary_encode())
    narrow = table.set_column(3, "count", table["count"].cast(pa.int32()))
    chunked = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    file = f"{tmp_path}/rows.parquet"
    pq.write_table(table, file)
    for other in (folded, narrow, chunked, pq.read_table(file)):
        assert content_hash(other) == content_hash(table)


CHANGES = {
    "a number": BASE.set_column(2, "amount", pa.array([1.0, None, 2.0])),
    "missing and not a number": BASE.set_column(2, "amount", pa.array([1.0, np.nan, None])),
    "missing and nothing": BASE.set_column(2, "amount", pa.array([1.0, 0.0, np.nan])),
    "a text": BASE.set_column(5, "country", pa.array(["DE", "", ""])),
    "a time": BASE.set_column(1, "timestamp", pa.array([T0, T0, T0], pa.timestamp("us", "UTC"))),
    "a list": BASE.set_column(6, "tags", pa.array([["x"], ["y"], None])),
    "a kind": BASE.set_column(3, "count", pa.array([1.0, 2.0, None])),
    "fewer rows": BASE.slice(0, 2),
    "fewer columns": BASE.drop_columns(["flag"]),
    "a name": BASE.rename_columns([*BASE.column_names[:-1], "taken"]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_everything_else_counts(name: str) -> None:
    hashes = [content_hash(table) for table in CHANGES.values()]
    assert content_hash(BASE) not in hashes
    assert hashes.count(content_hash(CHANGES[name])) == 1


def test_rows_without_ids_keep_their_order() -> None:
    rows = pa.table({"amount": [1.0, 2.0]})
    assert content_hash(rows) != content_hash(rows.take([1, 0]))
    assert content_hash(rows.slice(0, 0)) == content_hash(rows.slice(0, 0))


def test_a_schema_is_its_names_kinds_and_lists() -> None:
    one = Column("amount", ColumnKind.NUMERIC)
    two = Column("country", ColumnKind.CATEGORICAL, categories=("DE", "FR"))
    known = schema_hash(Schema((one, two)))
    assert known == schema_hash(Schema((Column("amount", ColumnKind.NUMERIC, minimum=0.0), two)))
    assert known != schema_hash(Schema((two, one)))
    assert known != schema_hash(Schema((one, Column("country", ColumnKind.CATEGORICAL))))
