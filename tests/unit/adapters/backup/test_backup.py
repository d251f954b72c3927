"""A backup is of one moment, whole, and never written over anything."""

from __future__ import annotations

import json
import shutil
import tarfile
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Self

import pytest
import sqlalchemy as sa

from homeostat.adapters.backup import Backup, back_up, restore
from homeostat.adapters.models import Term, save_linear
from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.records import DatabaseRecords
from homeostat.adapters.registry import LocalRegistry
from homeostat.domain.columns import texts
from homeostat.domain.decision import Decision
from homeostat.domain.errors import ConflictError, DataError, NotFoundError, StorageError
from homeostat.domain.model import ModelVersion
from homeostat.domain.route import Route
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import ALL, HOUR, NOW, SPEC, T0, labels, predictions

WHY = Decision("fraud", NOW, "me", "promote", "v1", "because")


class Place:
    """A deployment in a folder."""

    def __init__(self, folder: Path, url: str = "") -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.records = DatabaseRecords(url or f"sqlite:///{folder}/records.db", SimulatedClock(NOW))
        self.models = folder / "models"

    @property
    def log(self) -> FilePredictionLog:
        return FilePredictionLog(self.folder / "log", self.records)

    def fill(self) -> None:
        log = self.log
        log.append(SPEC, predictions(["a", "b", ""], T0 + 23 * HOUR, step=2 * HOUR))
        log.append_labels(SPEC, labels(["a"], 1.0, T0 + 30 * HOUR))
        log.roll(NOW)
        log.append(SPEC, predictions(["c"]))
        log.close()
        with self.records.begin() as unit:
            unit.save("route:fraud", Route("fraud", "1"))
            unit.decide(WHY)
        made = self.folder / "made"
        save_linear(made, 0.0, [Term("amount", 2.0, 100.0, 15.0)])
        card = ModelVersion("fraud", "1", "linear", "", NOW)
        LocalRegistry(self.models, SimulatedClock(NOW)).register(card, made)

    def back_up(self, target: Path, *, link: bool = True) -> Backup:
        return back_up(self.records, self.log, self.models, target, NOW, link=link)

    def restore(self, source: Path) -> Backup:
        return restore(self.records, self.folder / "log", self.models, source)

    def check(self) -> None:
        log = self.log
        table = log.labelled(SPEC, ALL, NOW)
        assert texts(table, "prediction_id") == ["c", "a", "b"]
        assert table.column("label").to_pylist() == [None, 1.0, None]
        assert log.profile(SPEC, ALL).rows == 3
        assert [entry.column for entry in log.quarantined()] == ["prediction_id"]
        assert log.append(SPEC, predictions(["c"])).duplicates == 1
        assert log.append(SPEC, predictions(["d"])).accepted == 1
        assert log.roll(NOW) == 1
        assert log.tidy(NOW + timedelta(days=2), eager=True) == 3
        assert texts(log.rows(SPEC, ALL), "prediction_id") == ["c", "d", "a", "b"]
        assert self.records.read("route:fraud", Route) == Route("fraud", "1")
        with self.records.begin() as unit:
            unit.decide(WHY)
        assert self.records.decisions() == (WHY, WHY)
        registry = LocalRegistry(self.models, SimulatedClock(NOW))
        assert registry.path("fraud", "1").name == "made"
        log.close()


@pytest.mark.parametrize("way", ["folder", "copies", "tar"])
def test_a_restored_backup_is_what_was_and_goes_on(tmp_path: Path, way: str) -> None:
    old, target = Place(tmp_path / "old"), tmp_path / ("b.tar" if way == "tar" else "b")
    old.fill()
    made = old.back_up(target, link=way != "copies")
    assert (made.began, made.rows["decisions"], made.rows["log_files"]) == (NOW, 1, 4)
    shutil.rmtree(tmp_path / "old")
    new = Place(tmp_path / "new")
    assert new.restore(target) == made
    new.check()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["new", target.name])


def test_records_may_change_their_database(tmp_path: Path, postgres_url: str) -> None:
    old, new = Place(tmp_path / "old"), Place(tmp_path / "new", postgres_url)
    old.fill()
    old.back_up(tmp_path / "one")
    new.restore(tmp_path / "one")
    new.back_up(tmp_path / "two")
    new.check()
    new.records.close()
    back = Place(tmp_path / "back")
    back.restore(tmp_path / "two")
    back.check()


class Traffic:
    """Writers that append to a log, and one that rolls and tidies it, until told to stop."""

    def __init__(self, log: FilePredictionLog) -> None:
        self.log, self.acknowledged, self.stop = log, list[str](), threading.Event()
        self.threads = [threading.Thread(target=self.append, args=(n,)) for n in range(3)]
        self.threads.append(threading.Thread(target=self.keep_up))

    def append(self, writer: int) -> None:
        for call in range(10_000):
            ids = [f"{writer}-{call}-{row}" for row in range(5)]
            at = T0 + timedelta(minutes=call)
            # Over two days: one call becomes several files.
            assert self.log.append(SPEC, predictions(ids, at, step=7 * HOUR)).accepted == 5
            self.acknowledged.append(f"{writer}-{call}")
            if self.stop.is_set():
                return

    def keep_up(self) -> None:
        while not self.stop.is_set():
            self.log.roll(NOW)
            self.log.tidy(NOW, eager=True)

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join()


def test_while_rows_come_a_backup_has_whole_calls_and_all_from_before(tmp_path: Path) -> None:
    old = Place(tmp_path / "old")
    before = list[list[str]]()
    with Traffic(old.log) as traffic:
        for number in range(4):
            while len(traffic.acknowledged) < 20 * (number + 1):
                traffic.stop.wait(0.01)
            before.append(list(traffic.acknowledged))
            old.back_up(tmp_path / f"b{number}")
    for number, calls in enumerate(before):
        new = Place(tmp_path / f"new{number}")
        new.restore(tmp_path / f"b{number}")
        found = set(texts(new.log.rows(SPEC, ALL), "prediction_id"))
        whole = {name.rpartition("-")[0] for name in found}
        assert len(found) == 5 * len(whole), "no call is there by half"
        assert set(calls) <= whole, "what was acknowledged before is there"
        assert len(new.log.rows(SPEC, ALL)) == len(found), "and once"
        assert new.log.profile(SPEC, ALL).rows == len(found), "profiles are of the same rows"


def test_nothing_is_ever_overwritten(tmp_path: Path) -> None:
    old, target = Place(tmp_path / "old"), tmp_path / "b"
    old.fill()
    old.back_up(target)
    with pytest.raises(ConflictError, match="b exists; backups never overwrite"):
        old.back_up(target)
    with pytest.raises(ConflictError, match="is not empty"):
        old.restore(target)
    busy = Place(tmp_path / "busy")
    with busy.records.begin() as unit:
        unit.save("a", Route("fraud"))
    with pytest.raises(ConflictError, match="database is not empty"):
        busy.restore(target)
    assert not (tmp_path / "busy" / "log").exists()
    assert busy.records.keys("") == ("a",)


def flip(folder: Path) -> None:
    path = next((folder / "log").rglob("*.parquet"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()  # it is another name of the deployment's own file
    path.write_bytes(content)


def lose(folder: Path) -> None:
    next((folder / "models").rglob("card.json")).unlink()


def edit(**values: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (flip, "is damaged: log/.* is not what was backed up"),
        (lose, r"lacks models/.*card.json: No such file"),
        (edit(format=2), "is of format 2"),
        (edit(revision="0001"), "schema revision 0001"),
        (edit(files={"log/../../x": {"bytes": 1, "sha256": ""}}), "which is no part of a backup"),
        (edit(files={"/etc/passwd": {"bytes": 1, "sha256": ""}}), "which is no part of a backup"),
        (edit(files=3), "is no backup"),
        (lambda folder: (folder / "manifest.json").unlink(), "is no backup"),
    ],
    ids=["flipped", "lost", "format", "revision", "upwards", "absolute", "manifest", "none"],
)
def test_a_damaged_backup_is_refused_before_anything_is_written(
    tmp_path: Path, damage: Callable[[Path], None], said: str
) -> None:
    old, new = Place(tmp_path / "old"), Place(tmp_path / "new")
    old.fill()
    old.back_up(tmp_path / "b")
    damage(tmp_path / "b")
    with pytest.raises(DataError, match=said):
        new.restore(tmp_path / "b")
    assert sorted(p.name for p in new.folder.iterdir() if not p.name.startswith("records")) == []
    assert new.records.decisions() == ()


def test_what_is_no_backup_is_told(tmp_path: Path) -> None:
    new = Place(tmp_path / "new")
    with pytest.raises(NotFoundError, match="there is no backup"):
        new.restore(tmp_path / "b")
    (tmp_path / "b.tar").write_bytes(b"no tar at all")
    with pytest.raises(DataError, match="is no backup"):
        new.restore(tmp_path / "b.tar")


def test_a_tar_file_cannot_write_outside(tmp_path: Path) -> None:
    new = Place(tmp_path / "new")
    (tmp_path / "x").write_text("x")
    with tarfile.open(tmp_path / "b.tar", "w") as packed:
        packed.add(tmp_path / "x", arcname="../escaped")
    with pytest.raises(DataError, match="is no backup"):
        new.restore(tmp_path / "b.tar")
    assert not list(tmp_path.rglob("escaped"))


def test_a_file_that_is_gone_fails_the_backup_and_leaves_nothing(tmp_path: Path) -> None:
    old = Place(tmp_path / "old")
    old.fill()
    next((old.folder / "log").rglob("*.parquet")).unlink()
    with pytest.raises(StorageError, match="cannot be written"):
        old.back_up(tmp_path / "b")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["old"]


def test_a_missing_key_file_is_no_loss(tmp_path: Path) -> None:
    old, new = Place(tmp_path / "old"), Place(tmp_path / "new")
    old.fill()
    next((old.folder / "log").rglob("*.keys")).unlink()
    old.back_up(tmp_path / "b")
    new.restore(tmp_path / "b")
    new.check()


def test_a_restore_that_fails_in_the_database_can_be_tried_again(tmp_path: Path) -> None:
    old, new = Place(tmp_path / "old"), Place(tmp_path / "new")
    old.fill()
    old.back_up(tmp_path / "b")

    def break_off(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if statement.startswith("INSERT INTO decisions"):
            raise sa.exc.OperationalError(statement, None, OSError("the machine stops"))

    engine = new.records.database._engine
    sa.event.listen(engine, "before_cursor_execute", break_off)
    with pytest.raises(StorageError, match="the machine stops"):
        new.restore(tmp_path / "b")
    sa.event.remove(engine, "before_cursor_execute", break_off)
    assert not (new.folder / "log").exists()
    assert new.records.decisions() == ()
    new.restore(tmp_path / "b")
    new.check()
