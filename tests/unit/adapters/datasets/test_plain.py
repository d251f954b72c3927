from __future__ import annotations

import gzip
import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homeostat.adapters.datasets.plain import LONGEST_LINE, PlainFile, plain_files
from homeostat.domain.errors import DataError, NotFoundError


def one(path: Path) -> PlainFile:
    (file,) = plain_files(path)
    return file


def rows(file: PlainFile, most: int = 1000) -> dict[int, dict[str, Any]]:
    """Return what could be read, by place."""
    found: dict[int, dict[str, Any]] = {}
    for batch in file.batches(most):
        assert batch.table.num_rows == len(batch.rows) <= most
        pairs = zip(batch.rows.tolist(), batch.table.to_pylist(), strict=True)
        for place, row in pairs:
            assert place not in found
            found[place] = row
    return found


def unread(file: PlainFile) -> list[tuple[int, str, str]]:
    return [(u.row, u.text, u.reason) for batch in file.batches() for u in batch.unread]


def test_text_stays_text(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('id,n\n007,1\n,NA\n"a\nb",true\n')
    assert rows(one(path)) == {
        0: {"id": "007", "n": "1"},
        1: {"id": None, "n": "NA"},
        2: {"id": "a\nb", "n": "true"},
    }


@pytest.mark.parametrize("most", [2, 1000])
def test_rows_with_other_numbers_of_cells_are_told_by_their_place(
    tmp_path: Path, most: int
) -> None:
    path = tmp_path / "a.csv"
    good = [f"{n},{n}" for n in range(5)]
    path.write_text("\n".join(["a,b", "1,2,3", *good[:2], "x", *good[2:], "1,2,3", ""]))
    file = one(path)
    assert {place: row["a"] for place, row in rows(file, most).items()} == {
        1: "0", 2: "1", 4: "2", 5: "3", 6: "4",
    }  # fmt: skip
    assert unread(file) == [
        (0, "1,2,3", "has 3 cells, not 2"),
        (3, "x", "has 1 cells, not 2"),
        (7, "1,2,3", "has 3 cells, not 2"),
    ]


def test_places_over_several_blocks(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    lines = [f"{n},{'x' * 90}" + (",bad" if n % 30_011 == 7 else "") for n in range(100_000)]
    with gzip.open(path, "wt", compresslevel=1) as out:
        out.write("\n".join(["a,b", *lines]))
    file = one(path)
    bad = [row for row, _, _ in unread(file)]
    assert bad == [n for n in range(100_000) if n % 30_011 == 7]
    seen = 0
    for batch in file.batches(20_000):
        assert batch.table.column("a").to_pylist() == list(map(str, batch.rows.tolist()))
        seen += len(batch.rows)
    assert seen + len(bad) == 100_000


def test_numbers_with_commas(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a;b\n1,5;x,y\n-2;3,25\n")
    assert rows(one(path)) == {0: {"a": "1.5", "b": "x,y"}, 1: {"a": "-2", "b": "3.25"}}


def test_typed_files_keep_their_types(tmp_path: Path) -> None:
    table = pa.table({"a": [1, None, 3], "b": [[1.5], [], None]})
    pq.write_table(table, tmp_path / "a.parquet")
    with pa.ipc.new_file(str(tmp_path / "a.arrow"), table.schema) as writer:
        writer.write_table(table)
    for name in ("a.parquet", "a.arrow"):
        assert list(rows(one(tmp_path / name), 2).values()) == table.to_pylist()


def test_a_row_or_header_without_end_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('a,b\n"' + "x" * (9 << 20))
    with pytest.raises(DataError, match=r"a\.csv has a row of more than 4,194,304 bytes"):
        list(one(tmp_path / "a.csv").batches())
    (tmp_path / "b.csv").write_text(",".join(f"c{n}" for n in range(10_001)) + "\n")
    (tmp_path / "b.jsonl").write_text(json.dumps({f"c{n}": n for n in range(10_001)}))
    for name in ("b.csv", "b.jsonl"):
        with pytest.raises(DataError, match=rf"{name} has 10,001 columns"):
            list(one(tmp_path / name).batches())


def test_few_rows_at_a_time_where_they_are_large(tmp_path: Path) -> None:
    rows_ = [f"{n:02d}" * 2**20 for n in range(40)]
    pq.write_table(pa.table({"body": rows_}), tmp_path / "a.parquet", compression="zstd")
    sizes = [len(batch.rows) for batch in one(tmp_path / "a.parquet").batches()]
    assert sum(sizes) == 40
    assert max(sizes) <= 17


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = ['{"a": 1}', "", '{"a": "x", "b": [1, 2]}', "{", "[1]", '{"b": {"c": null}}']
    path.write_text("\n".join(lines))
    file = one(path)
    assert rows(file) == {
        0: {"a": "1", "b": None},
        2: {"a": "x", "b": "[1,2]"},
        5: {"a": None, "b": '{"c":null}'},
    }
    assert [(row, text) for row, text, _ in unread(file)] == [(3, "{"), (4, "[1]")]
    assert rows(file, 1)[5] == {"a": None, "b": {"c": None}}, "columns of all lines so far"
    packed = tmp_path / "b.ndjson.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert rows(one(packed)) == rows(file)


def test_json_lines_without_end_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson.gz"
    path.write_bytes(gzip.compress(b"[" * (LONGEST_LINE + 2**21), compresslevel=1))
    with pytest.raises(DataError, match="write one JSON object a line"):
        list(one(path).batches())


def test_nothing_in_a_file_of_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_text("\n\n")
    assert list(one(path).batches()) == []


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_a_column_named_twice(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.csv").write_text("a,a\n1,2\n")
    pq.write_table(pa.table([[1], [2]], names=["a", "a"]), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="names column 'a' more than once"):
        list(one(tmp_path / name).batches())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.parquet", b"no parquet"),
        ("a.csv.gz", gzip.compress(b"a,b\n1,2\n" * 1000)[:30]),
        ("a.csv", b'a,b\n"' + b"x" * (9 << 20)),
        ("a.ndjson.gz", b"no gzip"),
        ("a.arrow", b"ARROW1 and then nothing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_damaged_files_are_told(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=name):
        list(one(tmp_path / name).batches())


def test_a_folder_and_what_is_known_of_files(tmp_path: Path) -> None:
    for name in ("b.ndjson", "a.csv", "_no.csv", ".no.csv", "c.txt"):
        (tmp_path / name).write_text("a\n1\n")
    files = plain_files(tmp_path)
    assert [Path(file.name).name for file in files] == ["a.csv", "b.ndjson"]
    assert files[0].digest() == hashlib.sha256(b"a\n1\n").hexdigest()[:20]
    os.utime(tmp_path / "a.csv", ns=(0, 1_700_000_000_123_456_789))
    assert files[0].modified == datetime(2023, 11, 14, 22, 13, 20, 123_456, tzinfo=UTC)
    with pytest.raises(NotFoundError):
        plain_files(tmp_path / "d.csv")
    with pytest.raises(DataError, match="unknown kind"):
        plain_files(tmp_path / "c.txt")


def test_a_file_elsewhere_has_no_time(tmp_path: Path) -> None:
    import fsspec  # type: ignore[import-untyped]

    with fsspec.open("memory://labels/a.ndjson", "wb") as out:
        out.write(json.dumps({"a": 1}).encode())
    (file,) = plain_files("memory://labels")
    assert (file.modified, rows(file)) == (None, {0: {"a": 1}})
