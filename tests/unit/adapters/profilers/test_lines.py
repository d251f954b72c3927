"""CSV in lines, as Spark hands them to its tasks, against pyarrow reading the file."""

import io
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.csv as pc_csv
import pytest

from homeostat.adapters.datasets.delimited import text_cells
from homeostat.adapters.profilers.lines import BLOCK, infer_lines
from homeostat.domain.model import ColumnKind
from homeostat.profiles.build import profile_table
from homeostat.profiles.profile import merge_all

TEXT = 'id,amount,shop,zip,fresh,note\n1,2,"a,b",01,true,\n2,3.5,,02,false,\n3,NaN,"q""t",7,,\n'
KINDS = {
    "amount": ColumnKind.NUMERIC,
    "shop": ColumnKind.CATEGORICAL,
    "zip": ColumnKind.CATEGORICAL,
    "fresh": ColumnKind.BOOLEAN,
    "note": ColumnKind.CATEGORICAL,
}


def batch(lines: Sequence[str], files: Sequence[int | None]) -> pa.RecordBatch:
    return pa.record_batch(
        {"value": pa.array(lines, pa.string()), "file": pa.array(files, pa.int64())}
    )


def test_lines_are_read_as_pyarrow_reads_the_file() -> None:
    lines = TEXT.splitlines()
    read = infer_lines(lines, ",", KINDS)
    (table,) = read.tables([batch(lines, [5] * len(lines))])
    whole = text_cells(pc_csv.read_csv(io.BytesIO(TEXT.encode())))
    assert profile_table(table, KINDS) == profile_table(whole, KINDS)


def test_each_file_has_its_header_and_later_blocks_have_none() -> None:
    head, *rows = TEXT.splitlines()
    read = infer_lines([head, *rows], ",", KINDS)
    parts = [
        batch([head, rows[0], f"\ufeff{head}", rows[1]], [1, 1, 2, 2]),
        batch([rows[2]], [None]),
        batch([head], [3]),
    ]
    whole = text_cells(pc_csv.read_csv(io.BytesIO(TEXT.encode())))
    for batches in ([parts], [[part] for part in parts]):
        tables = [table for some in batches for table in read.tables(some)]
        found = merge_all(profile_table(table, KINDS) for table in tables)
        assert found == profile_table(whole, KINDS)


def test_a_file_that_goes_on_in_the_next_batch_has_one_header(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("homeostat.adapters.profilers.worker._ROWS", 1)
    read = infer_lines(["x", "1"], ",", {"x": ColumnKind.NUMERIC})
    tables = read.tables([batch(["x", "1"], [1, 1]), batch(["2"], [1])])
    assert [table.column("x").to_pylist() for table in tables] == [[1.0], [2.0]]


def test_whole_numbers_may_have_decimals_later() -> None:
    read = infer_lines(["x,b", "1,"], ",", {"x": ColumnKind.NUMERIC, "b": ColumnKind.BOOLEAN})
    (table,) = read.tables([batch(["2.5,true"], [None])])
    assert table.to_pylist() == [{"x": 2.5, "b": True}]


def test_types_are_decided_on_the_first_mebibyte() -> None:
    lines = ["x", *["1" * 9] * (BLOCK // 10 + 1), "late"]
    read = infer_lines(lines, ",", {"x": ColumnKind.CATEGORICAL})
    assert read.types["x"] == pa.int64()
    with pytest.raises(ValueError, match="late"):
        list(read.tables([batch(["late"], [None])]))


def test_rows_are_counted_without_columns() -> None:
    (table,) = infer_lines(["x", "1"], ",", {}).tables([batch(["x", "1", "2"], [1, 1, 1])])
    assert table.num_rows == 2


def test_other_headers_are_refused() -> None:
    read = infer_lines(["x\ty", "1\t2"], "\t", {"x": ColumnKind.NUMERIC})
    with pytest.raises(ValueError, match="differ in their headers"):
        list(read.tables([batch(["y\tx", "1\t2"], [1, 1])]))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "no line to read"),
        (["a,b", "1,2"], "no column 'x'"),
        (["x,x", "1,2"], "columns twice: 'x'"),
        (["x,y", "1,2,3"], "Expected 2 columns"),
    ],
)
def test_what_is_no_table_is_refused(lines: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        infer_lines(lines, ",", {"x": ColumnKind.NUMERIC})
