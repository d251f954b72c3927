"""Files of every kind give the same profiles as the table that they hold."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc_csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from homeostat.adapters.datasets import open_dataset
from homeostat.domain.errors import DataError
from homeostat.domain.model import ColumnKind
from homeostat.profiles.build import profile_table

NUMERIC, CATEGORICAL, BOOLEAN = ColumnKind


def rows(count: int = 3000, seed: int = 1) -> pa.Table:
    rng = np.random.default_rng(seed)
    holes = rng.random(count) < 0.1
    return pa.table(
        {
            "amount": pa.array(rng.lognormal(size=count), mask=holes),
            "items": pa.array(rng.poisson(3.0, count)),
            "shop": pa.array(np.array(["a", "b", "c"])[rng.integers(0, 3, count)], mask=holes),
            "paid": pa.array(rng.random(count) < 0.5),
        }
    )


KINDS = {"shop": CATEGORICAL, "amount": NUMERIC, "items": NUMERIC, "paid": BOOLEAN}


def write_stream(table: pa.Table, path: Path) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, 700)


def write_gzip(table: pa.Table, path: Path) -> None:
    with gzip.open(path, "wb") as sink:
        pc_csv.write_csv(table, sink)


WRITERS: dict[str, Callable[[pa.Table, Path], object]] = {
    "plain.parquet": pq.write_table,
    "groups.pq": lambda table, path: pq.write_table(table, path, row_group_size=700),
    "codes.parquet": lambda table, path: pq.write_table(
        table.set_column(2, "shop", table["shop"].dictionary_encode()), path
    ),
    "text.csv": pc_csv.write_csv,
    "packed.csv.gz": write_gzip,
    "tabs.TSV": lambda table, path: pc_csv.write_csv(
        table, path, pc_csv.WriteOptions(delimiter="\t")
    ),
    "new.feather": pyarrow.feather.write_feather,
    "plain.arrow": lambda table, path: pyarrow.feather.write_feather(
        table, path, compression="uncompressed", chunksize=100
    ),
    "stream.arrows": write_stream,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_file_gives_the_profile_of_its_table(name: str, tmp_path: Path) -> None:
    table = rows()
    WRITERS[name](table, tmp_path / name)
    dataset = open_dataset(str(tmp_path / name))
    found = dataset.profile(KINDS)
    assert found.profile == profile_table(table, KINDS)
    assert list(found.profile.columns) == list(KINDS)
    assert not found.problems
    assert dataset.names == ("amount", "items", "shop", "paid")
    assert dataset.rows in {3000, None}


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_file_is_read_whole_and_in_batches(name: str, tmp_path: Path) -> None:
    table = rows()
    WRITERS[name](table, tmp_path / name)
    dataset = open_dataset(tmp_path / name)
    wanted = pa.table({"shop": table["shop"], "amount": table["amount"]})
    assert dataset.to_table(["shop", "amount"]).cast(wanted.schema) == wanted
    assert dataset.to_table().column_names == table.column_names
    batches = list(dataset.batches(["shop", "amount"], rows=500))
    assert pa.concat_tables(batches).cast(wanted.schema) == wanted
    assert max(batch.num_rows for batch in batches) <= 500


@pytest.mark.parametrize("size", [10, 256, 2990, 5000])
def test_a_sample_is_the_same_rows_whatever_the_file(size: int, tmp_path: Path) -> None:
    table = rows()
    found = []
    for name, write in WRITERS.items():
        write(table, tmp_path / name)
        sample = open_dataset(tmp_path / name).profile(KINDS, sample=size).sample
        assert sample.column_names == list(KINDS)
        shop = sample["shop"].cast(pa.string())
        found.append(sample.set_column(0, "shop", shop))
    assert found[0].num_rows == min(size, 3000)
    assert all(sample.to_pydict() == found[0].to_pydict() for sample in found[1:])
    values = table["amount"].to_pylist()
    places = [values.index(value) for value in found[0]["amount"].to_pylist() if value is not None]
    assert places == sorted(places)


def test_a_sample_is_spread_evenly_over_long_files(tmp_path: Path) -> None:
    count = 300_000
    place = np.arange(count)
    table = pa.table({"place": place, "week": place % 7})
    kinds = dict.fromkeys(table.column_names, NUMERIC)
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=30_000)
    sample = open_dataset(tmp_path / "x.parquet").profile(kinds, sample=1000).sample
    gaps = np.diff(sample["place"].to_numpy())
    assert gaps.max() < 3 * count / 1000
    weekdays = np.bincount(sample["week"].to_numpy())
    assert weekdays.max() - weekdays.min() <= 10


def test_a_table_longer_than_a_chunk_is_profiled_a_column_at_a_time(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    table = pa.table(
        {"x": rng.normal(size=1_200_000), "c": np.array(["u", "v"])[rng.integers(0, 2, 1_200_000)]}
    )
    kinds = {"x": NUMERIC, "c": CATEGORICAL}
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=1_200_000)
    pyarrow.feather.write_feather(table, tmp_path / "x.arrow", chunksize=1_200_000)
    expected = profile_table(table, kinds)
    told: list[float] = []
    for name in ("x.parquet", "x.arrow"):
        found = open_dataset(tmp_path / name).profile(kinds, sample=100, progress=told.append)
        assert found.profile == expected
        assert found.sample.num_rows == 100
        assert told[-1] == 1.0
        assert told == sorted(told)
        assert len(told) > 2
        told.clear()


def test_personal_columns_are_hidden(tmp_path: Path) -> None:
    pq.write_table(rows(), tmp_path / "x.parquet")
    found = open_dataset(tmp_path / "x.parquet").profile(KINDS, personal={"shop"})
    assert found.profile == profile_table(rows(), KINDS, {"shop"})


def test_thousands_of_columns_are_profiled(tmp_path: Path) -> None:
    values = np.random.default_rng(2).normal(size=(2000, 20))
    table = pa.table({f"x{i}": column for i, column in enumerate(values)})
    kinds = dict.fromkeys(table.column_names, NUMERIC)
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=11)
    assert open_dataset(tmp_path / "x.parquet").profile(kinds).profile == profile_table(
        table, kinds
    )


def test_files_without_rows_have_empty_profiles(tmp_path: Path) -> None:
    for name in ("x.parquet", "x.csv", "x.feather"):
        WRITERS[{"x.csv": "text.csv", "x.feather": "new.feather"}.get(name, "plain.parquet")](
            rows(0), tmp_path / name
        )
        dataset = open_dataset(tmp_path / name)
        found = dataset.profile(KINDS, sample=5)
        assert found.profile == profile_table(rows(0), KINDS)
        assert found.sample.num_rows == 0
        assert dataset.to_table().num_rows == 0


def test_no_columns_still_count_rows(tmp_path: Path) -> None:
    pq.write_table(rows(), tmp_path / "x.parquet")
    pc_csv.write_csv(rows(), tmp_path / "x.csv")
    for name in ("x.parquet", "x.csv"):
        assert open_dataset(tmp_path / name).profile({}).profile.rows == 3000


def test_an_absent_column_is_named(tmp_path: Path) -> None:
    pq.write_table(rows(), tmp_path / "x.parquet")
    dataset = open_dataset(tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"x\.parquet has no column 'y'; check the names"):
        dataset.profile({"y": NUMERIC})
    with pytest.raises(DataError, match="no column 'y'"):
        dataset.to_table(["y"])
    with pytest.raises(DataError, match="no column 'y'"):
        list(dataset.batches(["y"]))


def test_names_with_dots_are_columns_of_their_own(tmp_path: Path) -> None:
    table = pa.table({"a": [1.0, 2.0], "a.b": [3.0, 4.0], "c": [{"d": 1}, {"d": 2}], "c.d": [5, 6]})
    pq.write_table(table, tmp_path / "x.parquet")
    kinds = dict.fromkeys(("a", "a.b", "c.d"), NUMERIC)
    assert open_dataset(tmp_path / "x.parquet").profile(kinds).profile == profile_table(
        table, kinds
    )
