"""Profiles by the real Spark, on two cores, against those of one machine."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq
import pytest

import homeostat as hs
from homeostat.adapters.profilers.spark import (
    profile_dataframe,
    profile_location,
    profile_path,
    profile_windows,
)
from homeostat.domain.errors import DataError, NotFoundError, UserError
from homeostat.domain.model import ColumnKind
from homeostat.entrypoints.files import pieces_of
from homeostat.profiles.build import profile_table
from homeostat.profiles.format import to_bytes
from homeostat.profiles.profile import merge_all
from sparks import started

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ROOT = Path(__file__).parents[2]
ROWS = 4_000
START = datetime(2024, 3, 9, 22, tzinfo=UTC)
KINDS = {
    "amount.net": ColumnKind.NUMERIC,
    "count": ColumnKind.NUMERIC,
    "price": ColumnKind.NUMERIC,
    "small": ColumnKind.NUMERIC,
    "nothing": ColumnKind.NUMERIC,
    "fresh": ColumnKind.BOOLEAN,
    "flag": ColumnKind.NUMERIC,
    "shop": ColumnKind.CATEGORICAL,
    "customer": ColumnKind.CATEGORICAL,
    "at": ColumnKind.CATEGORICAL,
    "day": ColumnKind.CATEGORICAL,
}


def rows() -> pa.Table:
    rng = np.random.default_rng(20240309)
    amounts = rng.normal(size=ROWS) * 10.0 ** rng.integers(-300, 300, ROWS)
    special = [np.nan, np.inf, -np.inf, 0.0, -0.0, 5e-324, 1.7e308, -1.7e308]
    amounts[: 40 * len(special)] = np.repeat(special, 40)
    rng.shuffle(amounts)
    hidden = rng.random(ROWS) < 0.1
    at = [START + timedelta(minutes=int(minutes)) for minutes in rng.integers(0, 2880, ROWS)]
    return pa.table(
        {
            "amount.net": pa.array(amounts, mask=hidden),
            "count": pa.array(rng.integers(-(2**62), 2**62, ROWS), mask=~hidden),
            "price": pa.array(
                [Decimal(int(cents)) / 100 for cents in rng.integers(0, 10**6, ROWS)]
            ),
            "small": pa.array(rng.normal(size=ROWS).astype(np.float32)),
            "nothing": pa.array([None] * ROWS, pa.float64()),
            "fresh": pa.array(rng.random(ROWS) < 0.3, mask=hidden),
            "flag": pa.array(rng.random(ROWS) < 0.5),
            "shop": pa.array(rng.choice(["a", "ö", "", "\U0001f600 'x'"], ROWS), mask=hidden),
            "customer": pa.array([f"c{number % 3900}" for number in range(ROWS)]),
            "at": pa.array(at, pa.timestamp("us", "UTC")),
            "day": pa.array([moment.date() for moment in at]),
        }
    )


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    two = {"spark.master": "local[2]", "spark.sql.shuffle.partitions": "8"}
    with started(tmp_path_factory.mktemp("spark"), **two) as running:
        yield running


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return rows()


@pytest.fixture(scope="module")
def folder(table: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("parquet")
    for number in range(4):
        deeper = path / f"part {number}"
        deeper.mkdir()
        pq.write_table(
            table.slice(number * 1000, 1000), deeper / "rows.parquet", row_group_size=300
        )
    return path


@pytest.fixture(scope="module")
def frame(session: SparkSession, folder: Path) -> DataFrame:
    return session.read.option("recursiveFileLookup", "true").parquet(str(folder))


def test_a_folder_of_parquet_gives_the_local_bytes(
    session: SparkSession, folder: Path, table: pa.Table
) -> None:
    found = profile_path(session, str(folder), KINDS)
    assert found == profile_table(table, KINDS)
    assert list(found.columns) == list(KINDS)
    assert to_bytes(found) == to_bytes(profile_table(table, KINDS))


@pytest.mark.parametrize("partitions", [1, 3, 70])
def test_partitions_and_order_leave_no_trace(
    frame: DataFrame, table: pa.Table, partitions: int
) -> None:
    split = frame.repartition(partitions, "customer").sortWithinPartitions("small")
    personal = ("customer", "amount.net")
    found = profile_dataframe(split, KINDS, personal)
    assert to_bytes(found) == to_bytes(profile_table(table, KINDS, personal))


def test_no_rows_and_no_columns(frame: DataFrame, table: pa.Table) -> None:
    assert profile_dataframe(frame.where("false"), KINDS) == profile_table(table[:0], KINDS)
    assert profile_dataframe(frame, {}).rows == ROWS


def test_windows_and_segments_add_up(frame: DataFrame, table: pa.Table) -> None:
    every = timedelta(hours=6)
    found = profile_windows(frame.repartition(5), KINDS, "at", every, ["fresh", "shop"])
    assert merge_all(found.values()) == profile_table(table, KINDS)
    assert next(iter(found))[0].start == datetime(2024, 3, 9, 18, tzinfo=UTC)
    fresh, shops = (table.column(name).to_pylist() for name in ("fresh", "shop"))
    texts = [None if value is None else str(value).lower() for value in fresh]
    assert {segment for _, segment in found} == set(zip(texts, shops, strict=True))


def test_windows_are_those_of_the_rows(frame: DataFrame, table: pa.Table) -> None:
    found = profile_windows(frame, {"small": KINDS["small"]}, "at", timedelta(days=1))
    days = [moment.date() for moment in table.column("at").to_pylist()]
    assert [window.start.date() for window, _ in found] == sorted(set(days))
    for (window, segment), profile in found.items():
        inside = table.filter(pa.array([day == window.start.date() for day in days]))
        assert segment == ()
        assert profile == profile_table(inside, {"small": KINDS["small"]})


def test_csv_is_parsed_as_on_one_machine(session: SparkSession, tmp_path: Path) -> None:
    kinds = {name: KINDS[name] for name in ("count", "price", "small", "fresh", "shop", "at")}
    table = rows().select(list(kinds))
    for number, name in enumerate(("a.csv", "b.csv", "c.csv.gz")):
        with pa.BufferOutputStream() as sink:
            pc_csv.write_csv(table.slice(number * 1000, 1000), sink)
            text = sink.getvalue().to_pybytes()
        if name == "b.csv":
            text = b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n")
        (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    pieces = [piece for path in sorted(tmp_path.iterdir()) for piece in pieces_of(path)]
    local = merge_all(profile_table(piece, kinds) for piece in pieces)
    session.conf.set("spark.sql.files.maxPartitionBytes", "20000")
    try:
        found = profile_path(session, str(tmp_path), kinds)
    finally:
        session.conf.unset("spark.sql.files.maxPartitionBytes")
    assert to_bytes(found) == to_bytes(local)


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ({"absent": ColumnKind.NUMERIC}, "no column 'absent'"),
        ({"at": ColumnKind.NUMERIC}, "column 'at' is of Spark's type timestamp"),
        ({"day": ColumnKind.BOOLEAN}, "column 'day' is of Spark's type date"),
        ({"shop": ColumnKind.NUMERIC}, "column 'shop' cannot be read as numbers"),
        ({"shop": ColumnKind.BOOLEAN}, "column 'shop' cannot be read as boolean"),
    ],
)
def test_wrong_columns_are_named(
    frame: DataFrame, kinds: dict[str, ColumnKind], message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        profile_dataframe(frame, kinds)
    assert "\n" not in str(caught.value)


def test_awkward_frames(session: SparkSession) -> None:
    frame = session.sql("select 1 as a, 2 as a, 3 as A, array(1) as list")
    assert profile_dataframe(frame, {"A": ColumnKind.NUMERIC}).columns["A"].mean == 3.0
    with pytest.raises(DataError, match="2 columns 'a'"):
        profile_dataframe(frame, {"a": ColumnKind.NUMERIC})
    with pytest.raises(DataError, match="'list' is of Spark's type array<int>"):
        profile_dataframe(frame, {"list": ColumnKind.CATEGORICAL})


def test_windows_need_a_time(session: SparkSession, frame: DataFrame) -> None:
    with pytest.raises(
        DataError, match="column 'shop' is of Spark's type string, which cannot tell"
    ):
        profile_windows(frame, {}, "shop", timedelta(days=1))
    with pytest.raises(ValueError, match="longer than 0:00:00"):
        profile_windows(frame, {}, "at", timedelta())
    gap = session.sql("select timestamp_ntz'2024-01-01' as at union all select null")
    with pytest.raises(DataError, match="column 'at' is null"):
        profile_windows(gap, {}, "at", timedelta(days=1))


def test_a_failing_job_is_told_in_one_line(session: SparkSession) -> None:
    frame = session.sql("select cast(v as int) as a from values ('1'), ('x') as t(v)")
    with pytest.raises(UserError, match="CAST_INVALID_INPUT") as caught:
        profile_dataframe(frame, {"a": ColumnKind.NUMERIC})
    assert "\n" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_wrong_locations(session: SparkSession, tmp_path: Path) -> None:
    numbers = {"x": ColumnKind.NUMERIC}
    with pytest.raises(NotFoundError, match="does not exist"):
        profile_path(session, str(tmp_path / "absent"), numbers)
    with pytest.raises(NotFoundError, match="no file"):
        profile_path(session, str(tmp_path), numbers)
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    with pytest.raises(DataError, match=r"a\.csv: the header has no column 'z'"):
        profile_path(session, str(tmp_path / "a.csv"), {"z": ColumnKind.NUMERIC})
    (tmp_path / "b.csv").write_text("y,x\n1,2\n")
    with pytest.raises(DataError, match="differ in their headers"):
        profile_path(session, str(tmp_path), numbers)
    (tmp_path / "c.parquet").write_bytes(b"PAR1 this is none PAR1")
    with pytest.raises(DataError, match="several kinds"):
        profile_path(session, str(tmp_path), numbers)
    with pytest.raises(UserError, match="Spark's job failed") as caught:
        profile_path(session, str(tmp_path / "c.parquet"), numbers)
    assert "\n" not in str(caught.value)
    (tmp_path / "d.txt").write_text("x\n")
    with pytest.raises(DataError, match="unknown kind"):
        profile_path(session, str(tmp_path), numbers)


def test_the_running_session_is_used_and_left_open(
    session: SparkSession, folder: Path, table: pa.Table
) -> None:
    kinds = {"small": ColumnKind.NUMERIC}
    assert profile_location(str(folder), kinds) == profile_table(table, kinds)
    assert session.range(2).count() == 2


def test_the_guide_runs_as_it_stands(
    session: SparkSession, capsys: pytest.CaptureFixture[str]
) -> None:
    guide = (ROOT / "docs" / "guide" / "scale-out.md").read_text(encoding="utf-8")
    code, printed = (
        guide.partition(f"```{kind}\n")[2].partition("```")[0] for kind in ("python", "text")
    )
    exec(compile(code, "scale-out.md", "exec"), {})
    assert capsys.readouterr().out == printed


ALONE = """
import sys
from homeostat.adapters.profilers.spark import profile_location
from homeostat.domain.errors import UserError
from homeostat.domain.model import ColumnKind
try:
    one = {"spark.master": "local[1]", "spark.sql.shuffle.partitions": "1"}
    one["spark.driver.extraJavaOptions"] = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
    found = profile_location(sys.argv[1], {"small": ColumnKind.NUMERIC}, options=one)
except UserError as error:
    sys.exit(f"told: {error}")
print(found.rows)
"""


def alone(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name != "PYSPARK_PYTHON"}
    return subprocess.run(
        [sys.executable, "-c", ALONE, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env=clean | {"PYTHONPATH": str(ROOT / "src")} | environment,
    )


def test_a_process_of_its_own_needs_no_setting(session: SparkSession, folder: Path) -> None:
    done = alone(folder)
    assert done.stdout.strip() == str(ROWS), done.stderr


def test_without_java_it_says_what_to_install(session: SparkSession, folder: Path) -> None:
    done = alone(folder, PATH=str(folder), JAVA_HOME="")
    assert "told: Spark could not start Java; install a Java runtime" in done.stderr


def test_the_command_takes_spark_as_its_engine(session: SparkSession, tmp_path: Path) -> None:
    del session  # it is used by the job
    path = tmp_path / "rows.parquet"
    pq.write_table(rows().select(["amount.net", "shop", "fresh"]), path)
    local, distributed = (hs.profile(path, engine=engine) for engine in ("local", "spark"))
    assert to_bytes(distributed) == to_bytes(local)
    assert distributed.assumptions == local.assumptions
    with pytest.raises(DataError, match="give the path"):
        hs.profile({"x": [1.0, 2.0]}, engine="spark")
