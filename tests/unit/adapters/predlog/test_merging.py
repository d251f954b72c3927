"""Files are merged by batches into what sorting all their rows at once gives."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeostat.adapters.predlog import merging, parquet
from homeostat.adapters.predlog.catalogue import FileEntry
from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.predlog.merging import merged
from homeostat.adapters.predlog.order import SORT
from homeostat.adapters.predlog.parquet import FileStore
from homeostat.adapters.predlog.place import Folder
from homeostat.domain.errors import StorageError
from homeostat.simulation.conformance.log import T0, predictions

DAY = "2024-01-01"
FILES = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=12), min_size=1, max_size=5)


def rows_at(number: int, seconds: list[int]) -> pa.Table:
    """Return a file's rows at these seconds."""
    tables = [
        predictions([f"{number}-{place}"], T0 + timedelta(seconds=second))
        for place, second in enumerate(seconds)
    ]
    order = SORT[Kind.PREDICTIONS]
    return pa.concat_tables(tables).replace_schema_metadata({"told": "here"}).sort_by(order)


def stored(folder: Path, tables: list[pa.Table]) -> tuple[FileStore, list[FileEntry]]:
    store = FileStore(Folder(folder, fsync=False), 1, fsync=False)
    return store, [
        store.write(Kind.PREDICTIONS, "m", DAY, f"{number}", [table])
        for number, table in enumerate(tables)
    ]


@settings(
    deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(FILES, st.integers(1, 5), st.integers(1, 9))
def test_rows_come_by_time_in_whole_row_groups(
    tmp_path: Path, times: list[list[int]], batch: int, group: int
) -> None:
    tables = [rows_at(number, seconds) for number, seconds in enumerate(times)]
    expected = pa.concat_tables(tables).sort_by(SORT[Kind.PREDICTIONS])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet, "ROW_GROUP", group + 2)
        store, files = stored(tmp_path, tables)
        patch.setattr(merging, "BATCH", batch)
        patch.setattr(merging, "ROW_GROUP", group)
        found = list(merged(store, files))
    assert {len(table) for table in found[:-1]} <= {group}
    assert 0 < len(found[-1]) <= group
    assert pa.concat_tables(found).equals(expected)
    assert all(table.schema.metadata == {b"told": b"here"} for table in found)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    store, files = stored(tmp_path, [rows_at(number, [number]) for number in range(3)])
    path = tmp_path / files[1].path
    content = bytearray(path.read_bytes())
    chunk = pq.read_metadata(path).row_group(0).column(0)
    content[chunk.data_page_offset + chunk.total_compressed_size - 1] ^= 1
    path.write_bytes(content)
    with pytest.raises(StorageError, match=f"{path.name} cannot be read"):
        list(merged(store, files))


def test_no_row_is_lost_to_a_damaged_head_of_a_page(tmp_path: Path) -> None:
    store, (file,) = stored(tmp_path, [rows_at(0, [0])])
    path, (expected,) = tmp_path / file.path, merged(store, [file])
    whole = path.read_bytes()
    start, told = pq.read_metadata(path).row_group(0).column(0).data_page_offset, 0
    for place in range(8 * start, 8 * (start + 16)):
        content = bytearray(whole)
        content[place // 8] ^= 1 << place % 8
        path.write_bytes(content)
        try:
            assert pa.concat_tables(merged(store, [file])).equals(expected)
        except StorageError:
            told += 1
    assert told


def test_who_writes_holds_one_piece_at_a_time(tmp_path: Path) -> None:
    store = FileStore(Folder(tmp_path, fsync=False), 1, fsync=False)
    made = list[weakref.ref[pa.Table]]()

    def pieces() -> Iterator[pa.Table]:
        for second in range(4):
            assert not any(one() for one in made), "an earlier one is still held"
            table = rows_at(second, [second])
            made.append(weakref.ref(table))
            yield table
            del table

    file = store.write(Kind.PREDICTIONS, "m", DAY, "x", pieces())
    assert pq.read_metadata(tmp_path / file.path).num_rows == 4
