"""The log's files in an object store that fails: nothing lost, nothing doubled, nothing silent."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from faults.store_world import World, cold, flipped, ids
from homeostat.adapters.backup.backup import back_up, restore
from homeostat.adapters.predlog import FilePredictionLog, objects
from homeostat.adapters.predlog.erase import Target, erase
from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.predlog.objects import SMALL, ObjectStore
from homeostat.adapters.predlog.parquet import FileStore
from homeostat.adapters.predlog.place import CACHE, AwayError
from homeostat.adapters.predlog.repair import repair
from homeostat.adapters.predlog.verify import Trouble, verify
from homeostat.adapters.records import DatabaseRecords
from homeostat.domain.columns import texts
from homeostat.domain.errors import ConflictError, StorageError
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import ALL, NOW, SPEC, T0, labels, predictions
from objects import Fault, Relay, Server, well

LATER = NOW + timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.fixture
def world(tmp_path: Path, s3: Server) -> Iterator[World]:
    relay = Relay(s3.port)
    yield World(tmp_path, s3, relay, s3.bucket())
    relay.end()


@pytest.mark.parametrize(
    ("fault", "part"),
    [
        (Fault.SLOW_DOWN, "keys"),
        (Fault.SLOW_DOWN, "parquet"),
        (Fault.UNANSWERED, "keys"),
        (Fault.UNANSWERED, "parquet"),
        (Fault.HANG, "parquet"),
    ],
    ids=["slow-down-keys", "slow-down-file", "unanswered-keys", "unanswered-file", "hang-file"],
)
def test_failed_upload_waits_and_is_done_once(world: World, fault: Fault, part: str) -> None:
    with world.log() as log:
        log.append(SPEC, predictions(["a", "b"]))
        world.relay.failing(fault, "PUT", f".{part}")
        with pytest.raises(StorageError, match="cannot be used"):
            log.roll(NOW)
        assert "cannot be used" in log.status().trouble
        assert log.append(SPEC, predictions(["b", "c"], T0 + timedelta(minutes=1))).accepted == 1
        assert ids(log) == ["a", "b", "c"]
        world.relay.rule = well
        with pytest.raises(StorageError, match="cannot be used"):
            log.roll(NOW)  # it is left alone for a moment
        world.skip()
        assert log.roll(NOW) == 3
        assert (log.status().landed, log.status().trouble) == (0, "")
        log.tidy(LATER)
        assert len(world.objects()) == len(world.objects(".keys")) == log.status().files
        assert not verify(log.upkeep).problems
    with world.log() as log:
        assert ids(log) == ["a", "b", "c"]
        assert log.append(SPEC, predictions(["a", "b"])).accepted == 0


@pytest.mark.parametrize(
    ("fault", "small"),
    [
        (Fault.SLOW_DOWN, SMALL),
        (Fault.RESET, SMALL),
        (Fault.RESET, 0),
        (Fault.TRUNCATED, SMALL),
        (Fault.TRUNCATED, 0),
        (Fault.HANG, SMALL),
    ],
    ids=["slow-down", "reset", "reset-in-pieces", "truncated", "truncated-in-pieces", "hang"],
)
def test_window_is_whole_or_an_error_says_what_is_missing(
    world: World, fault: Fault, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "SMALL", small)
    with world.log() as log:
        log.append(SPEC, predictions(["a"]))
        log.append(SPEC, predictions(["b"], T0 + DAY))
        log.roll(NOW)
        cold(log)
        world.relay.failing(fault, "GET", "2024-01-02", 1)
        assert ids(log) == ["a", "b"], "one failure is tried again"
        cold(log)
        world.relay.failing(fault, "GET", "2024-01-02")
        with pytest.raises(StorageError, match=r"day=2024-01-02/\S+ with 1 rows|day=2024-01-02"):
            log.rows(SPEC, ALL)
        with pytest.raises(StorageError):
            verify(log.upkeep)
        with pytest.raises(StorageError):
            repair(log.upkeep, "test", NOW)
        world.relay.rule = well
        world.skip()
        assert ids(log) == ["a", "b"]
        assert not verify(log.upkeep).problems


@pytest.mark.parametrize("small", [SMALL, 0], ids=["whole", "in-pieces"])
def test_bit_that_flips_on_the_way_is_noticed(
    world: World, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "SMALL", small)
    with world.log() as log:
        log.append(SPEC, predictions([f"{n:04d}" for n in range(3000)], step=timedelta(seconds=1)))
        log.roll(NOW)
        expected = log.rows(SPEC, ALL)
        cold(log)
        assert log.rows(SPEC, ALL).equals(expected)
        cold(log)
        world.relay.failing(Fault.FLIPPED, "GET", ".parquet")
        with pytest.raises(StorageError, match="cannot be read"):
            log.rows(SPEC, ALL)
        world.relay.rule = well
        world.skip()
        assert log.rows(SPEC, ALL).equals(expected)
        assert not verify(log.upkeep).problems


def test_outage_of_the_store_stops_neither_appends_nor_restarts(world: World) -> None:
    with world.log() as log:
        log.append(SPEC, predictions(["a", "b"]))
        log.append_labels(SPEC, labels(["a"], 1.0, NOW))
        log.roll(NOW)
    world.relay.rule = lambda _method, _path: Fault.RESET
    with world.log() as log:
        asked = len(world.relay.seen)
        receipt = log.append(SPEC, predictions(["b", "c"], T0 + timedelta(minutes=1)))
        assert (receipt.accepted, receipt.duplicates) == (1, 1), "keys are near"
        assert log.append_labels(SPEC, labels(["b"], 0.0, NOW)).accepted == 1
        assert len(world.relay.seen) == asked
        for _ in range(2):
            with pytest.raises(StorageError, match="cannot roll"):
                log.roll(NOW)
            with pytest.raises(StorageError, match="ask again"):
                log.labelled(SPEC, ALL, NOW)
        with pytest.raises(StorageError):
            log.tidy(NOW)
        with pytest.raises(StorageError):
            verify(log.upkeep)
        assert not list((world.folder / "log" / "bench").iterdir())
        world.relay.rule = well
        world.skip()
        log.roll(NOW)
        found = log.labelled(SPEC, ALL, NOW)
        assert sorted(texts(found, "prediction_id")) == ["a", "b", "c"]
        assert found.column("label").to_pylist() == [1.0, 0.0, None]
        assert not verify(log.upkeep).problems


def test_kill_between_upload_and_register_counts_once(world: World) -> None:
    here = Path(__file__).parent
    path = os.pathsep.join([str(here.parents[1] / "src"), str(here.parent)])
    command = [sys.executable, str(here / "uploader.py")]
    arguments = [str(world.folder), str(world.server.port), world.bucket]
    done = subprocess.run(command + arguments, env={**os.environ, "PYTHONPATH": path}, check=False)
    assert done.returncode == -9
    assert len(world.objects()) == 1
    with world.log() as log:
        assert ids(log) == ["killed 1", "killed 2"]
        assert log.status().files == 0
        assert len(verify(log.upkeep).strangers) == 2
        assert log.roll(NOW) == 2
        log.tidy(LATER)
        assert ids(log) == ["killed 1", "killed 2"]
        assert len(world.objects()) == log.status().files == 1
        found = verify(log.upkeep)
        assert (found.problems, found.strangers) == ((), ())


@pytest.mark.parametrize(
    ("end", "damage", "trouble", "left"),
    [
        (".parquet", flipped, Trouble.DAMAGED, ["b"]),
        (".parquet", None, Trouble.MISSING, ["b"]),
        (".keys", flipped, Trouble.KEYS, ["a", "b"]),
        (".keys", None, Trouble.KEYS, ["a", "b"]),
    ],
    ids=["file-flipped", "file-gone", "keys-flipped", "keys-gone"],
)
def test_what_is_wrong_in_the_store_is_told_and_mended(
    world: World,
    end: str,
    damage: Callable[[bytes], bytes] | None,
    trouble: Trouble,
    left: list[str],
) -> None:
    with world.log() as log:
        log.append(SPEC, predictions(["a"]))
        log.append(SPEC, predictions(["b"], T0 + DAY))
        log.roll(NOW)
        cold(log)
        (path,) = (path for path in world.objects(end) if "2024-01-01" in path)
        client = world.server.client()
        if damage is None:
            client.delete_file(path)
        else:
            with client.open_input_file(path) as source:
                content = source.read()
            with client.open_output_stream(path) as sink:
                sink.write(damage(content))
        assert [finding.trouble for finding in verify(log.upkeep).problems] == [trouble]
        if len(left) < 2:
            with pytest.raises(StorageError, match="2024-01-01"):
                log.rows(SPEC, ALL)
        mended = repair(log.upkeep, "test", NOW)
        assert not mended.left.problems
        assert ids(log) == left
        aside = list((world.folder / "log" / "damaged").rglob("*.parquet"))
        assert len(aside) == (trouble is Trouble.DAMAGED)


def test_wrong_place_is_not_taken_for_an_empty_one(world: World) -> None:
    with world.log() as log:
        log.append(SPEC, predictions(["a"]))
        log.roll(NOW)
        client = world.server.client()
        for path in world.server.paths(world.bucket):
            client.delete_file(path)
        with pytest.raises(StorageError, match="names no log as its own"):
            repair(log.upkeep, "test", NOW)
        assert log.status().files == 1


def test_place_of_another_log_is_refused(world: World, tmp_path: Path) -> None:
    with world.log() as log:
        log.append(SPEC, predictions(["a"]))
        log.roll(NOW)
    world.folder = tmp_path / "other"
    world.folder.mkdir()
    with world.log() as other:
        other.append(SPEC, predictions(["b"]))
        with pytest.raises(StorageError, match="belongs to another prediction log"):
            other.roll(NOW)
        assert ids(other) == ["b"]
        with pytest.raises(StorageError, match="belongs to another prediction log"):
            other.tidy(NOW)
    assert len(world.objects()) == 1


def test_log_does_not_move_by_itself(world: World) -> None:
    with world.log() as log:
        log.append(SPEC, predictions(["a"]))
        log.roll(NOW)
    records = DatabaseRecords(f"sqlite:///{world.folder}/records.db", SimulatedClock(NOW))
    with pytest.raises(StorageError, match=r"are in s3://.*copy the folders"):
        FilePredictionLog(world.folder / "log", records)
    records.close()


def test_erasure_reaches_the_store(world: World) -> None:
    with world.log() as log:
        log.append(SPEC, predictions(["first", "second", "third"]))
        log.roll(NOW)
        done = erase(log, SPEC, Target(False, ("second",)), "test", NOW, world.folder)
        assert done.complete
        assert done.predictions == 1
        assert any("versions" in note for note in done.notes)
        assert len(world.objects()) == len(world.objects(".keys")) == 1
        assert ids(log) == ["first", "third"]


def test_backup_goes_to_another_place_and_only_to_an_empty_one(world: World) -> None:
    folder = world.folder
    with world.log() as log:
        log.append(SPEC, predictions(["a", "b"]))
        records = DatabaseRecords(f"sqlite:///{folder}/records.db", SimulatedClock(NOW))
        back_up(records, log, folder / "models", folder / "backup", NOW)
        records.close()
    world.folder = folder / "again"
    world.folder.mkdir()
    records = DatabaseRecords(f"sqlite:///{world.folder}/records.db", SimulatedClock(NOW))
    targets = world.folder / "log", world.folder / "models"
    with pytest.raises(ConflictError, match="is not empty"):
        restore(records, *targets, folder / "backup", world.place)
    assert not targets[0].exists()
    assert len(world.objects()) == 1, "what was there stays"
    first, world.bucket = world.bucket, world.server.bucket()
    world.relay.failing(Fault.SLOW_DOWN, "PUT", ".parquet")
    with pytest.raises(StorageError, match="cannot be restored"):
        restore(records, *targets, folder / "backup", world.place)
    world.relay.rule = well
    world.skip()
    assert not targets[0].exists()
    with world.server.client().open_output_stream(f"{world.bucket}/some/notes.txt") as sink:
        sink.write(b"beside the log")
    for path in world.objects(".keys"):
        world.server.client().delete_file(path)
    restore(records, *targets, folder / "backup", world.place)
    records.close()
    with world.log() as log:
        assert ids(log) == ["a", "b"]
        assert not verify(log.upkeep).problems
        assert not verify(log.upkeep).strangers
        assert not list(targets[0].rglob("*.parquet"))
    world.bucket = first
    assert len(world.objects()) == 1


def test_key_files_near_are_bounded_and_fetched_again(world: World) -> None:
    with world.log(most_keys=400) as log:
        for day in range(6):
            log.append(SPEC, predictions([f"{day}-{n}" for n in range(9)], T0 + day * DAY))
            log.roll(NOW)
        held = list((world.folder / "log" / CACHE).rglob("*.keys"))
        assert 0 < sum(path.stat().st_size for path in held) <= 400
        cold(log)
        assert log.append(SPEC, predictions(["0-3"], T0 + timedelta(minutes=3))).accepted == 0
        log.append_labels(SPEC, labels([f"{day}-0" for day in range(6)], 1.0, NOW))
        log.roll(NOW)
        assert log.labelled(SPEC, ALL, NOW).column("label").null_count == 48
        near = next((world.folder / "log" / CACHE).rglob("*.keys"))
        near.write_bytes(flipped(near.read_bytes()))
        cold(log)
        assert log.labelled(SPEC, ALL, NOW).column("label").null_count == 48


def test_files_that_are_merged_and_old_leave_the_store(world: World) -> None:
    with world.log() as log:
        for name in "abc":
            log.append(SPEC, predictions([name]))
            log.roll(NOW)
        assert log.tidy(NOW, eager=True) == 3
        assert len(world.objects()) == 4, "readers may be at the old ones"
        log.tidy(LATER)
        assert len(world.objects()) == len(world.objects(".keys")) == 1
        assert ids(log) == ["a", "b", "c"]
        assert log.upkeep.files(SPEC.name)[Kind.PREDICTIONS][0].rows == 3


def test_stale_benches_are_deleted(world: World) -> None:
    with world.log() as log:
        place = log.upkeep.store.place
        assert isinstance(place, ObjectStore)
        with place.bench("") as live:
            stale = live.parent / "stale"
            stale.mkdir()
            os.utime(stale, (1.0, 1.0))
            log.tidy(NOW)
            assert (live.exists(), stale.exists()) == (True, False)


def test_rows_whose_repetitions_cannot_be_looked_for_are_refused(world: World) -> None:
    with world.log(most_keys=200) as log:
        for day in range(3):
            log.append(SPEC, predictions(["a", "b"], T0 + day * DAY))
            log.roll(NOW)
        cold(log)
        for held in (world.folder / "log" / CACHE).rglob("*2024-01-01/*.keys"):
            held.unlink()
        world.relay.rule = lambda _method, _path: Fault.SLOW_DOWN
        with pytest.raises(StorageError, match=r"day=2024-01-01/.* nothing is lost; ask again"):
            log.append(SPEC, predictions(["a"]))
        assert log.append(SPEC, predictions(["c"], T0 + 4 * DAY)).accepted == 1
        world.relay.rule = well
        world.skip()
        assert log.append(SPEC, predictions(["a"])).accepted == 0


def test_upload_in_parts_that_fails_leaves_nothing_that_is_not_swept(world: World) -> None:
    place = world.place(world.folder, 1)
    content = os.urandom(25 * 2**20)
    path = "labels/model=m/day=recent/x.parquet"

    def put() -> None:
        with place.bench("labels") as bench:
            (bench / "x").write_bytes(content)
            place.put(bench / "x", path)

    world.relay.failing(Fault.SLOW_DOWN, "PUT", "partNumber=2")
    with pytest.raises(AwayError):
        put()
    world.skip()
    assert place.size(path) != len(content)
    FileStore(place, 1).sweep(set())
    assert world.objects() == []
    assert world.server.uploads(world.bucket) == 0
    world.relay.rule = well
    put()
    with place.whole(path) as copy:
        assert copy.read_bytes() == content
