"""Label files that are dropped into a folder, by friends and by others."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homeostat.adapters.predlog.log import FilePredictionLog
from homeostat.adapters.records.database import DatabaseRecords
from homeostat.domain.errors import StorageError
from homeostat.domain.model import Handling, ModelSpec
from homeostat.engine.ports import Receipt
from homeostat.entrypoints.imports.bring import LogStore
from homeostat.entrypoints.imports.convert import Piece
from homeostat.entrypoints.imports.folder import QUIET, Drop, LabelFolders
from homeostat.entrypoints.imports.naming import Rows
from homeostat.entrypoints.settings.model import History
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import ALL, NOW, SPEC, predictions

LABELS = "prediction_id,label\na,fraud\nb,0\n"
YESTERDAY = NOW - timedelta(days=1)
IDS = ["a", "b", "c"]


class BrokenError(Exception):
    """The process ends here."""


@dataclass
class World:
    folder: Path
    log: FilePredictionLog
    clock: SimulatedClock
    spec: ModelSpec = SPEC
    stopped: bool = False
    fails: list[Exception] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.restart()

    def restart(self) -> None:
        drop = Drop(self.spec, History(), self.folder)
        self.folders = LabelFolders((drop,), self.store, self.clock, lambda: self.stopped)

    def store(self, spec: ModelSpec, rows: Rows, piece: Piece) -> Receipt:
        receipt = LogStore(self.log, self.clock)(spec, rows, piece)
        if self.fails:
            raise self.fails.pop()
        return receipt

    def put(self, name: str, content: str | bytes = LABELS, at: datetime = YESTERDAY) -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        os.utime(path, (at.timestamp(), at.timestamp()))
        return path

    def there(self, part: str = ".") -> list[str]:
        return sorted(path.name for path in (self.folder / part).iterdir() if path.is_file())

    @property
    def labels(self) -> list[float | None]:
        table = self.log.labelled(SPEC, ALL, NOW + timedelta(days=1), ["score"])
        found: list[float | None] = table.column("label").to_pylist()
        return found


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    clock = SimulatedClock(NOW)
    records = DatabaseRecords(f"sqlite:///{tmp_path}/records.db", clock)
    log = FilePredictionLog(tmp_path / "log", records, fsync=False)
    log.append(SPEC, predictions(IDS))
    yield World(tmp_path / "in", log, clock)
    log.close()
    records.close()


def test_files_are_taken_once_and_moved(world: World) -> None:
    world.put("a.csv")
    world.put("b.ndjson", json.dumps({"prediction_id": "c", "label": 1}))
    table = pa.table({"id": ["b"], "target": [1.0]})
    pq.write_table(table, world.folder / "c.parquet")
    os.utime(world.folder / "c.parquet", (NOW.timestamp() - 60, NOW.timestamp() - 60))
    world.put("d.csv.gz", gzip.compress(b"prediction_id,label\na,1\n"))
    assert world.folders.look() == ()
    assert world.labels == [1.0, 1.0, 1.0]
    assert (world.there(), world.there(".taking")) == ([], [])
    assert world.there("done") == ["a.csv", "b.ndjson", "c.parquet", "d.csv.gz"]
    assert world.folders.look() == ()
    assert world.log.status().labels == 4


def test_a_later_file_corrects_an_earlier_one_whatever_their_names(world: World) -> None:
    world.put("z.csv", at=YESTERDAY)
    world.put("a.csv", "prediction_id,label\na,0\nb,1\n", at=YESTERDAY + timedelta(hours=1))
    world.folders.look()
    assert world.labels == [0.0, 1.0, None]
    world.put("z.csv", at=YESTERDAY)
    world.folders.look()
    assert world.labels == [0.0, 1.0, None]
    assert world.there("done") == ["a.csv", "z-2.csv", "z.csv"]


def test_what_is_still_being_written_waits(world: World) -> None:
    path = world.put("a.csv", "prediction_id,label\na,1\n", at=NOW)
    for name in (".b.csv", "_b.csv", "b.csv.tmp", "b.csv.part", "b.csv~"):
        world.put(name)
    world.folders.look()
    with path.open("a") as out:
        out.write("b,1\n")
    os.utime(path, (NOW.timestamp(), NOW.timestamp()))
    world.clock.advance(QUIET / 2)
    world.folders.look()
    assert "a.csv" in world.there()
    world.clock.advance(QUIET)
    world.folders.look()
    assert world.labels == [1.0, 1.0, None]
    assert (len(world.there()), world.there("done")) == (5, ["a.csv"])


def test_a_file_that_grows_while_it_is_read_is_read_again(world: World) -> None:
    world.put("a.csv", "prediction_id,label\na,1\n")
    store = world.store

    def slow(spec: ModelSpec, rows: Rows, piece: Piece) -> Receipt:
        world.folders.store = store
        with (world.folder / ".taking" / "a.csv").open("a") as out:
            out.write("b,1\n")
        return store(spec, rows, piece)

    world.folders.store = slow
    world.folders.look()
    assert (world.there("done"), world.labels) == ([], [1.0, None, None])
    world.folders.look()
    assert (world.there("done"), world.labels) == (["a.csv"], [1.0, 1.0, None])


def test_times_of_the_future_wait_until_they_are_quiet_and_are_set_back(world: World) -> None:
    world.put("a.csv", at=NOW + timedelta(days=400))
    world.folders.look()
    world.clock.advance(QUIET)
    world.fails = [StorageError("the disk is full")]
    (problem,) = world.folders.look()
    assert "a.csv waits: the disk is full" in problem
    world.clock.advance(timedelta(hours=1))
    assert world.folders.look() == ()
    assert (world.there("done"), world.labels) == (["a.csv"], [1.0, 0.0, None])
    assert world.log.status().labels == 2, "the second reading found them known"


def test_refused_rows_are_told_beside_the_file(world: World) -> None:
    world.put("a.csv", LABELS + "c,maybe\nd,1,2\n,1\n")
    world.folders.look()
    assert world.there("done") == ["a.csv", "a.csv.txt"]
    text = (world.folder / "done" / "a.csv.txt").read_text()
    assert "5 rows read: 2 labels taken, 0 known already, 3 refused" in text
    assert "row 3: label must be one of legitimate, fraud, not 'maybe'" in text
    assert "row 4:  has 3 cells, not 2" in text
    assert "row 5: prediction_id is missing" in text
    assert len(world.log.quarantined(SPEC.name)) == 3


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"id\na\n", "no column says label"),
        ("a.csv", b"id,label\na,maybe\n", "row 1: label must be one of"),
        ("a.csv", b"id,label\n" + b"a,x\n" * 20_000, "more than 10,000 rows were refused"),
        ("a.parquet", b"PAR1", "cannot be read"),
        ("a.ndjson", b"{\n[]\n", "row 2:  is no JSON object"),
        ("a.dat", b"id,label\n", "unknown kind"),
        ("a.csv.gz", b"id,label\na,1\n", "cannot be read"),
        ("a\x1b[2J\n.csv", b"x\n1\n", "no column says prediction_id"),
        ("x" * 245 + ".csv", b"x\n1\n", "no column says prediction_id"),
        ("\udcff.csv", b"x", ""),
        ("--help", b"x", "unknown kind"),
    ],
)  # fmt: skip
def test_files_that_are_no_labels(world: World, name: str, content: bytes, said: str) -> None:
    world.put(name, content)
    world.put("good.csv")
    assert world.folders.look() == ()
    assert (world.there(), world.there(".taking")) == ([], [])
    assert len(world.there("failed")) == 2
    (report,) = (world.folder / "failed").glob("*.txt")
    text = report.read_text()
    assert said in text
    assert "\x1b" not in text
    assert world.labels == [1.0, 0.0, None]


def test_what_is_no_plain_file(world: World, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("prediction_id,label\na,my secret\n")
    (world.folder / "link.csv").symlink_to(tmp_path / "secret.csv")
    (world.folder / "nowhere.csv").symlink_to(tmp_path / "nothing")
    os.mkfifo(world.folder / "pipe.csv")
    (world.folder / "sub").mkdir()
    (world.folder / "sub" / "x.csv").write_text(LABELS)
    world.folders.look()
    world.clock.advance(2 * QUIET)
    world.folders.look()
    reports = list((world.folder / "failed").glob("*.txt"))
    assert len(reports) == 3
    assert all("it is no plain file" in report.read_text() for report in reports)
    assert (world.folder / "sub" / "x.csv").exists()
    assert world.log.quarantined(SPEC.name) == ()


def test_a_crash_between_taking_and_moving(world: World) -> None:
    world.put("a.csv")
    world.fails = [BrokenError()]
    with pytest.raises(BrokenError):
        world.folders.look()
    assert world.there(".taking") == ["a.csv"]
    later = world.put("a.csv", "prediction_id,label\nc,1\n", at=NOW - timedelta(minutes=1))
    world.restart()
    world.clock.advance(timedelta(hours=1))
    world.folders.look()
    assert later.exists(), "its name is taken until the first one has moved"
    world.folders.look()
    assert (world.labels, world.there("done")) == ([1.0, 0.0, 1.0], ["a-2.csv", "a.csv"])
    assert world.log.status().labels == 3


def test_it_stops_soon_and_leaves_the_rest(world: World) -> None:
    for name in ("a.csv", "b.csv"):
        world.put(name)
    store = world.store

    def last(spec: ModelSpec, rows: Rows, piece: Piece) -> Receipt:
        world.stopped = True
        return store(spec, rows, piece)

    world.folders.store = last
    assert world.folders.look() == ()
    assert world.there(".taking") == ["a.csv", "b.csv"]
    world.stopped = False
    world.folders.store = store
    world.folders.look()
    assert world.there("done") == ["a.csv", "b.csv"]


def test_a_folder_that_cannot_be_used_is_told(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    bad = Drop(SPEC, History(), tmp_path / "file")
    world.folders.drops = (bad, *world.folders.drops)
    world.put("a.csv")
    (problem,) = world.folders.look()
    assert problem.startswith(f"the label folder {tmp_path / 'file'} of fraud / model: ")
    assert world.there("done") == ["a.csv"]


def test_what_may_be_personal_is_not_written_beside_the_file(world: World) -> None:
    world.spec = replace(SPEC, entity_handling=Handling.DROP)
    world.restart()
    world.put("a.csv", LABELS + "c,ada@example.org\n")
    world.folders.look()
    text = (world.folder / "done" / "a.csv.txt").read_text()
    assert "row 3: label must be one of legitimate, fraud\n" in text
    assert "ada" not in text


ODD = {
    "far date": ("arrival", pa.array([2**30, 19_700], pa.date32())),
    "far time": ("arrival", pa.array([2**40, 1_700_000_000], pa.timestamp("s"))),
    "far time of a zone": ("arrival", pa.array([2**40, 1_700_000_000], pa.timestamp("s", "UTC"))),
    "date for an id": ("prediction_id", pa.array([2**30, 19_700], pa.date32())),
    "zone of nowhere": ("prediction_id", pa.array([1, 2], pa.timestamp("us", "Mars/Base"))),
    "date for a label": ("label", pa.array([2**30, 19_700], pa.date32())),
}


@pytest.mark.parametrize("odd", ODD)
def test_a_file_of_odd_values_keeps_no_other_one_waiting(world: World, odd: str) -> None:
    name, column = ODD[odd]
    usual: dict[str, pa.Array[pa.Scalar[pa.DataType]]] = {
        "prediction_id": pa.array(["c", "a"]),
        "label": pa.array([1.0, 1.0]),
    }
    path = world.put("1.parquet", b"", YESTERDAY - timedelta(hours=1))
    pq.write_table(pa.table({**usual, name: column}), path)
    os.utime(path, (YESTERDAY.timestamp(), YESTERDAY.timestamp() - 3600))
    world.put("2.csv")
    assert not world.folders.look()
    assert "2.csv" in world.there("done")
    told = next((world.folder / part / "1.parquet.txt") for part in ("done", "failed")
                if "1.parquet.txt" in world.there(part)).read_text()  # fmt: skip
    assert "row 1: " in told
    assert world.labels == [1.0, 0.0, None]


def test_what_nobody_thought_of_in_a_file_is_a_failed_file(world: World) -> None:
    world.put("1.csv", at=YESTERDAY - timedelta(hours=1))
    world.put("2.csv")
    world.fails = [LookupError("a type of next year")]
    assert not world.folders.look()
    assert (world.there("failed"), world.there("done")) == (["1.csv", "1.csv.txt"], ["2.csv"])
    told = (world.folder / "failed/1.csv.txt").read_text()
    assert "something in it cannot be read: LookupError" in told
