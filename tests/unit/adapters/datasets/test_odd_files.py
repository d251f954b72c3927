"""What is wrong with one column, or one file, is said; the rest is read."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homeostat.adapters.datasets import Dataset, open_dataset
from homeostat.domain.errors import DataError, NotFoundError
from homeostat.domain.model import ColumnKind

NUMERIC, CATEGORICAL, BOOLEAN = ColumnKind
BLOCK = 4 << 20  # bytes from which the types of a CSV file are told


def written(path: Path, text: str | bytes) -> Dataset:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return open_dataset(path)


def late(header: str, line: str, odd: str) -> str:
    """Return a CSV text whose odd line comes after the types have been told."""
    return f"{header}\n" + f"{line}\n" * (BLOCK // len(line)) + f"{odd}\n{line}\n"


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pa.array([1, 2, None], pa.uint64()), NUMERIC),
        (pa.array(np.array([1, 2, 0], np.float16), mask=np.array([False, False, True])), NUMERIC),
        (pa.array([Decimal("1.00"), Decimal("2.00"), None]), NUMERIC),
        (pa.array([1, 2, None]).dictionary_encode(), NUMERIC),
        (pa.array(["1", " 2.0 ", "NA"]), NUMERIC),
        (pa.array(["1", "2.0", None], pa.string_view()), NUMERIC),
        (pa.array([True, False, None]), BOOLEAN),
        (pa.array([True, False, None]), CATEGORICAL),
        (pa.array(["x", "y", None], pa.large_string()), CATEGORICAL),
        (pa.array(["x", "y", None], pa.string_view()), CATEGORICAL),
        (pa.array(["x", "y", None]).dictionary_encode(), CATEGORICAL),
        (pa.array([date(2024, 1, 1), date(2024, 1, 2), None]), CATEGORICAL),
        (pa.array([datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC), None]),
         CATEGORICAL),
        (pa.array([datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=2))), datetime(2024, 1, 2),
                   None], pa.timestamp("us", "Europe/Berlin")), CATEGORICAL),
        (pa.array([1, 2, None]), CATEGORICAL),
        (pa.array([b"x", b"y", None]), CATEGORICAL),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("ending", [".parquet", ".arrow"])
def test_columns_of_every_plain_type_are_profiled(
    values: pa.Array, kind: ColumnKind, ending: str, tmp_path: Path
) -> None:
    table = pa.table({"x": values, "n": [1, 2, 3]})
    path = tmp_path / f"x{ending}"
    if ending == ".parquet":
        pq.write_table(table, path)
    else:
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    found = open_dataset(path).profile({"x": kind, "n": NUMERIC}, sample=2)
    column = found.profile.columns["x"]
    assert not found.problems
    assert (column.kind, column.count, column.missing, column.present) == (kind, 3, 1, 2)
    assert len(column.values) == (0 if kind is NUMERIC else 2)
    assert found.sample.num_rows == 2


def test_integers_beyond_float64_are_rounded(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": pa.array([2**63 + 1], pa.uint64())}), tmp_path / "x.parquet")
    found = open_dataset(tmp_path / "x.parquet").profile({"x": NUMERIC})
    assert found.profile.columns["x"].maximum == 2.0**63


def test_a_column_that_is_not_of_its_kind_is_counted_as_text(tmp_path: Path) -> None:
    table = pa.table(
        {
            "good": [1.0, 2.0, 3.0],
            "words": ["1", "two", "two"],
            "flag": ["true", "perhaps", "true"],
            "when": [datetime(2024, 1, 1, tzinfo=UTC)] * 3,
            "nested": [{"a": 1}, {"a": 2}, None],
            "list": [[1.0], [2.0], []],
        }
    )
    pq.write_table(table, tmp_path / "x.parquet")
    kinds = dict.fromkeys(table.column_names, NUMERIC) | {"flag": BOOLEAN, "list": CATEGORICAL}
    found = open_dataset(tmp_path / "x.parquet").profile(kinds, sample=2)
    columns = found.profile.columns
    assert columns["good"].sum == 6.0
    assert columns["words"].values == {"1": 1, "two": 2}
    assert columns["flag"].values == {"true": 2, "perhaps": 1}
    assert columns["when"].kind is CATEGORICAL
    assert set(columns) == {"good", "words", "flag", "when"}
    assert set(found.problems) == set(kinds) - {"good"}
    assert found.problems["words"].startswith("column 'words' cannot be read as numbers")
    assert found.sample["words"].type == pa.string()


def test_a_late_word_in_a_csv_column_of_numbers_makes_only_it_text(tmp_path: Path) -> None:
    text = late("a,b,c", "1,2,x", "many,2.5,x")
    dataset = written(tmp_path / "x.csv", text)
    lines = text.count("\n") - 1
    found = dataset.profile({"a": NUMERIC, "b": NUMERIC, "c": CATEGORICAL}, sample=lines)
    assert set(found.problems) == {"a"}
    assert found.profile.columns["a"].values == {"1": lines - 1, "many": 1}
    assert found.profile.columns["b"].maximum == 2.5
    assert found.profile.columns["c"].values == {"x": lines}
    assert found.profile.rows == lines
    assert found.sample["a"].type == pa.string()
    table = dataset.to_table()
    assert [str(kind) for kind in table.schema.types] == ["string", "double", "string"]
    assert table["a"][-2].as_py() == "many"
    with pytest.raises(DataError, match=r"x\.csv: column 'a' has values of several types"):
        list(dataset.batches(["c", "a"]))


def test_a_late_fraction_in_a_csv_column_of_integers_is_a_number(tmp_path: Path) -> None:
    dataset = written(tmp_path / "x.csv", late("a,b", "1,2", "1.5,NA"))
    found = dataset.profile({"a": NUMERIC, "b": NUMERIC})
    assert not found.problems
    assert (found.profile.columns["a"].maximum, found.profile.columns["b"].missing) == (1.5, 1)


def test_empty_cells_are_missing_in_text_too(tmp_path: Path) -> None:
    found = written(tmp_path / "x.csv", 'n,t\n1,a\n,\nNA,""\n2,NA\n').profile(
        {"n": NUMERIC, "t": CATEGORICAL}
    )
    assert found.profile.columns["n"].missing == 2
    assert found.profile.columns["t"].missing == 2
    assert found.profile.columns["t"].values == {"a": 1, "NA": 1}


def test_text_may_hold_lines_and_bytes_that_are_no_text(tmp_path: Path) -> None:
    dataset = written(tmp_path / "x.csv", b'n,t,u\n1,"a\nb",x\n2,\xff,\xfe\n')
    found = dataset.profile({"n": NUMERIC, "t": CATEGORICAL, "u": CATEGORICAL})
    assert found.profile.columns["t"].values == {"a\nb": 1, "�": 1}
    assert dataset.to_table()["u"].to_pylist() == ["x", "�"]
    late_bytes = late("n,t", "1,x", "2,?").encode().replace(b"?", b"\xff")
    found = written(tmp_path / "y.csv", late_bytes).profile({"n": NUMERIC, "t": CATEGORICAL})
    assert found.profile.columns["t"].values["�"] == 1
    assert found.profile.columns["n"].maximum == 2.0


def test_a_csv_column_without_a_value_is_missing(tmp_path: Path) -> None:
    dataset = written(tmp_path / "x.csv", "a,b\n,1\n,2\n")
    found = dataset.profile({"a": NUMERIC, "b": NUMERIC})
    assert found.profile.columns["a"].missing == 2
    found = dataset.profile({"a": CATEGORICAL})
    assert found.profile.columns["a"].missing == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"x,y\n1,2\n3\n", "cannot be read: CSV parse error"),
        ("a.csv.gz", gzip.compress(b"x,y\n1,2\n", mtime=0)[:-9], "cannot be read"),
        ("a.csv", b"x,x,y,y,z\n1,2,3,4,5\n", "names column 'x', 'y' more than once"),
        ("a.csv", b"\xff,y\n1,2\n", "cannot be read"),
        ("a.parquet", b"PAR1 and then nothing", "cannot be read"),
        ("a.arrow", b"ARROW1 and then nothing", "cannot be read"),
        ("a.arrows", b"something else", "cannot be read"),
        ("a.feather", b"FEA1....", "Feather file of version 1"),
        ("a.xlsx", b"x", r"unknown kind; use a file that ends in \.parquet"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as raised:
        open_dataset(tmp_path / name)
    assert str(tmp_path / name) in str(raised.value)


def damage(path: Path, at: float) -> None:
    content = bytearray(path.read_bytes())
    begin = int(len(content) * at)
    content[begin : begin + 2000] = b"\xff" * 2000
    path.write_bytes(content)


@pytest.mark.parametrize("use", [
    lambda dataset: dataset.profile({"x": NUMERIC}),
    lambda dataset: dataset.to_table(),
])  # fmt: skip
def test_damage_inside_a_parquet_file_is_told(
    use: Callable[[Dataset], object], tmp_path: Path
) -> None:
    table = pa.table({"x": np.random.default_rng(1).integers(0, 50, 100_000)})
    pq.write_table(table, tmp_path / "x.parquet", compression="gzip")
    damage(tmp_path / "x.parquet", 0.5)
    with pytest.raises(DataError, match=r"x\.parquet.* cannot be read"):
        use(open_dataset(tmp_path / "x.parquet"))


def test_an_arrow_file_that_is_cut_short_is_told(tmp_path: Path) -> None:
    table = pa.table({"x": np.arange(50_000)})
    path = str(tmp_path / "x.arrows")
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, 10_000)
    whole = (tmp_path / "x.arrows").read_bytes()
    (tmp_path / "x.arrows").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"x\.arrows cannot be read"):
        open_dataset(tmp_path / "x.arrows").profile({"x": NUMERIC})


def test_a_place_without_files_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no file"):
        open_dataset(tmp_path / "absent.csv")
    with pytest.raises(DataError, match="has no data files; they must end in one of"):
        open_dataset(tmp_path)
    with pytest.raises(DataError, match="is not a file"):
        open_dataset("/dev/null")


class TestFolders:
    def test_files_of_several_kinds_are_one_table(self, tmp_path: Path) -> None:
        (tmp_path / "b").mkdir()
        (tmp_path / "_temporary").mkdir()
        (tmp_path / "a.csv").write_text("n,t\n1,x\n2,y\n")
        pq.write_table(pa.table({"t": ["y"], "n": [3.5]}), tmp_path / "b" / "c.parquet")
        (tmp_path / "_temporary" / "d.csv").write_text("other\n1\n")
        (tmp_path / ".hidden.csv").write_text("other\n1\n")
        (tmp_path / "readme.txt").write_text("no data")
        for dataset in (open_dataset(tmp_path), open_dataset(f"file://{tmp_path}")):
            assert dataset.schema == pa.schema({"n": pa.float64(), "t": pa.string()})
            assert dataset.rows is None
            found = dataset.profile({"n": NUMERIC, "t": CATEGORICAL}, sample=9)
            assert found.profile.columns["n"].sum == 6.5
            assert found.profile.columns["t"].values == {"x": 1, "y": 2}
            assert found.sample.to_pydict() == {"n": [1.0, 2.0, 3.5], "t": ["x", "y", "y"]}
            assert dataset.to_table()["n"].to_pylist() == [1.0, 2.0, 3.5]

    def test_rows_of_parquet_files_add_up(self, tmp_path: Path) -> None:
        for name in ("a.parquet", "b.parquet"):
            pq.write_table(pa.table({"t": pa.array(["x", "y"]).dictionary_encode()}),
                           tmp_path / name)  # fmt: skip
        pq.write_table(pa.table({"t": ["z"]}), tmp_path / "c.parquet")
        dataset = open_dataset(tmp_path)
        assert dataset.rows == 5
        assert dataset.schema.field("t").type == pa.string()
        found = dataset.profile({"t": CATEGORICAL}, sample=4)
        assert found.profile.columns["t"].values == {"x": 2, "y": 2, "z": 1}
        assert found.sample.num_rows == 4

    def test_a_guessed_type_gives_way_to_text(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("n,t\n1,5\n")
        (tmp_path / "b.csv").write_text("n,t\n2,x\n")
        dataset = open_dataset(tmp_path)
        assert dataset.schema.field("t").type == pa.string()
        assert dataset.profile({"t": CATEGORICAL}).profile.columns["t"].values == {"5": 1, "x": 1}
        assert dataset.to_table()["t"].to_pylist() == ["5", "x"]

    def test_a_late_word_in_one_file_makes_the_column_text(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("n\n1\n")
        (tmp_path / "b.csv").write_text(late("n", "1", "one"))
        found = open_dataset(tmp_path).profile({"n": NUMERIC}, sample=10**8)
        assert found.profile.columns["n"].values["one"] == 1
        assert found.sample["n"].type == pa.string()
        assert found.sample.num_rows == found.profile.rows

    def test_a_guess_that_fails_touches_no_file_of_known_types(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"n": [1, 2]}), tmp_path / "a.parquet")
        table = pa.table({"n": [3, 4]})
        path = str(tmp_path / "b.arrow")
        with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        (tmp_path / "c.csv").write_text(late("n", "5", "6.5"))
        column = open_dataset(tmp_path).to_table()["n"]
        assert column.type == pa.float64()
        assert column.slice(0, 5).to_pylist() == [1.0, 2.0, 3.0, 4.0, 5.0]

    def test_a_value_beyond_the_type_of_all_files_is_told(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"n": [-1]}), tmp_path / "a.parquet")
        big = pa.array([2**64 - 1], pa.uint64())
        pq.write_table(pa.table({"n": big}), tmp_path / "b.parquet")
        dataset = open_dataset(tmp_path)
        with pytest.raises(DataError, match=r"b\.parquet: column 'n' cannot be read as int64"):
            dataset.to_table()

    @pytest.mark.parametrize(
        ("first", "second", "message"),
        [
            ({"x": [1], "y": [1]}, {"x": [1]}, r"b\.parquet has no column 'y', but .*a\.parquet"),
            ({"x": [1]}, {"x": [1], "y": [1]}, r"a\.parquet has no column 'y', but .*b\.parquet"),
            ({"x": [1]}, {"x": ["a"]}, r"b\.parquet: column 'x' is string, but int64 in the files"),
        ],
    )
    def test_files_that_do_not_fit_are_named(
        self, first: dict[str, list[object]], second: dict[str, list[object]], message: str,
        tmp_path: Path
    ) -> None:  # fmt: skip
        pq.write_table(pa.table(first), tmp_path / "a.parquet")
        pq.write_table(pa.table(second), tmp_path / "b.parquet")
        with pytest.raises(DataError, match=message):
            open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "prices"),
    [
        ("a.csv", "shop;price\nx;1,5\ny;-2,25\n", [1.5, -2.25]),
        ("a.csv", 'shop;price\r\nx;"1,5"\r\ny;2\r\n', [1.5, 2.0]),
        ("a.csv", "shop|price\nx, y|1.5\ny|2\n", [1.5, 2.0]),
        ("a.csv", "shop\tprice\nx;y\t1.5\ny\t2\n", [1.5, 2.0]),
        ("a.csv", '"shop;s",price\nx,1.5\ny,2\n', [1.5, 2.0]),
        ("a.csv", "shop;price\nx;1,5\ny;2.5\n", ["1,5", "2.5"]),
        ("a.tsv", "price\n1,5 and more\n", ["1,5 and more"]),
    ],
    ids=["semicolons", "quoted", "bars", "tabs", "quoted-header", "both-points", "one-column-tsv"],
)
def test_what_separates_values_is_told_from_the_header(
    tmp_path: Path, name: str, text: str, prices: list[object]
) -> None:
    (tmp_path / name).write_text(text, newline="")
    assert open_dataset(tmp_path / name).to_table()["price"].to_pylist() == prices
