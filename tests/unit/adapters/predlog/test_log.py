import errno
import os
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from databases import open_records
from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.predlog.catalogue import Catalogue
from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.records import DatabaseRecords
from homeostat.domain.columns import texts
from homeostat.domain.errors import StorageError
from homeostat.domain.model import Column, ColumnKind, ModelSpec, Schema, Task
from homeostat.domain.window import Window
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import ALL, HOUR, NOW, SPEC, T0, labels, predictions

pytestmark = pytest.mark.usefixtures("both")


def opened(folder: Path) -> FilePredictionLog:
    return FilePredictionLog(folder / "log", open_records(folder))


def ids(log: FilePredictionLog, window: Window = ALL) -> list[str]:
    return texts(log.rows(SPEC, window), "prediction_id")


def parquet_files(folder: Path) -> list[Path]:
    return sorted((folder / "log").rglob("*.parquet"))


def segments(folder: Path) -> list[Path]:
    return sorted((folder / "log" / "landing").iterdir())


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    first = opened(tmp_path)
    first.append(SPEC, predictions(["a", "b"]))
    first.append_labels(SPEC, labels(["a"], 1.0, T0 + HOUR))
    first.roll(NOW)
    first.append(SPEC, predictions(["c"], T0 + HOUR))
    first.append_labels(SPEC, labels(["c"], 0.0, T0 + HOUR))
    first.close()
    second = opened(tmp_path)
    assert ids(second) == ["a", "b", "c"]
    assert second.labelled(SPEC, ALL, NOW).column("label").to_pylist() == [1.0, None, 0.0]
    assert second.append(SPEC, predictions(["a", "b"])).duplicates == 2
    assert second.append(SPEC, predictions(["c"], T0 + HOUR)).duplicates == 1
    assert second.append_labels(SPEC, labels(["c"], 0.0, T0 + HOUR)).duplicates == 1
    assert second.profile(SPEC, ALL).rows == 3
    assert second.roll(NOW) == 2
    assert second.profile(SPEC, ALL).rows == 3


def test_files_are_plain_parquet_by_model_and_day(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append(SPEC, predictions(["b", "a"], T0 + 23 * HOUR, step=2 * HOUR))
    log.append_labels(SPEC, labels(["a"], 1.0, T0))
    log.roll(NOW)
    model = "model=fraud%20%2F%20model"
    names = [
        path.relative_to(tmp_path / "log").parent.as_posix() for path in parquet_files(tmp_path)
    ]
    assert names == [
        f"labels/{model}/day=recent",
        f"predictions/{model}/day=2024-01-01",
        f"predictions/{model}/day=2024-01-02",
    ]
    table = pq.ParquetFile(parquet_files(tmp_path)[1]).read()
    assert table.column("prediction_id").to_pylist() == ["b"]


def test_torn_tail_is_ignored(tmp_path: Path) -> None:
    log = opened(tmp_path)
    for name in "abc":
        log.append(SPEC, predictions([name]))
    (segment,) = segments(tmp_path)
    log.close()
    whole = segment.read_bytes()
    for damaged in (whole[:-1] + bytes([whole[-1] ^ 1]), whole[:-1] + b"\1" * 4096, whole[:-1]):
        segment.write_bytes(damaged)
        assert ids(opened(tmp_path)) == ["a", "b"]
    later = opened(tmp_path)
    assert later.append(SPEC, predictions(["c"])).accepted == 1
    assert later.roll(NOW) == 3
    assert ids(later) == ["a", "b", "c"]
    assert not segments(tmp_path)[1:]
    assert segment not in segments(tmp_path)
    assert later.status().damaged == 0


def test_damage_within_a_segment_costs_its_frame_only_and_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = opened(tmp_path)
    for name in "abc":
        log.append(SPEC, predictions([name]))
    (segment,) = segments(tmp_path)
    log.close()
    whole = bytearray(segment.read_bytes())
    whole[len(whole) // 2] ^= 1
    segment.write_bytes(whole)
    later = opened(tmp_path)
    assert ids(later) == ["a", "c"]
    assert f"segment {segment} is damaged" in caplog.text
    assert later.roll(NOW) == 2
    kept = segment.with_name(segment.name + ".damaged")
    assert segments(tmp_path) == [kept]
    assert kept.read_bytes() == whole
    assert f"it is kept as {kept}" in caplog.text
    assert (later.status().damaged, later.status().segments) == (1, 0)
    again = opened(tmp_path)
    assert ids(again) == ["a", "c"]
    assert again.append(SPEC, predictions(["b"])).accepted == 1, "the client may send it again"
    assert again.roll(NOW) == 1
    assert again.profile(SPEC, ALL).rows == 3


def test_full_disk_acknowledges_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = opened(tmp_path)
    log.append(SPEC, predictions(["a"]))
    write = os.write

    def full(descriptor: int, data: memoryview) -> int:
        if len(data) < 100:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[: len(data) - 50])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(StorageError, match="No space left"):
            log.append(SPEC, predictions(["b"]))
        with pytest.raises(StorageError, match="No space left"):
            log.append_labels(SPEC, labels(["a"], 1.0, T0))
        assert ids(log) == ["a"]
    assert log.append(SPEC, predictions(["b"])).accepted == 1
    assert log.append_labels(SPEC, labels(["a"], 1.0, T0)).accepted == 1
    assert ids(log) == ["a", "b"]
    assert ids(opened(tmp_path)) == ["a", "b"]


def test_failed_sync_acknowledges_nothing_and_retry_stores_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = opened(tmp_path)
    log.append(SPEC, predictions(["a"]))

    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        with pytest.raises(StorageError, match="nothing of this call was stored"):
            log.append(SPEC, predictions(["b"]))
    log.append(SPEC, predictions(["b"]))
    log.roll(NOW)
    assert ids(log) == ["a", "b"]
    assert log.profile(SPEC, ALL).rows == 2


def test_roll_on_a_full_disk_moves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = opened(tmp_path)
    log.append(SPEC, predictions(["a", "b"]))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pq, "ParquetWriter", full)
        with pytest.raises(StorageError, match="No space left"):
            log.roll(NOW)
    assert ids(log) == ["a", "b"]
    assert log.roll(NOW) == 2
    assert ids(log) == ["a", "b"]


def test_roll_that_dies_before_its_commit_left_only_strangers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = opened(tmp_path)
    log.append(SPEC, predictions(["a", "b"]))

    def die(*_: object) -> None:
        raise StorageError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(Catalogue, "register", die)
        with pytest.raises(StorageError):
            log.roll(NOW)
    assert len(parquet_files(tmp_path)) == 1
    for survivor in (log, opened(tmp_path)):
        assert ids(survivor) == ["a", "b"]
    log.close()
    assert opened(tmp_path).roll(NOW) == 2
    assert len(parquet_files(tmp_path)) == 2
    opened(tmp_path).tidy(NOW)
    assert len(parquet_files(tmp_path)) == 1
    assert ids(opened(tmp_path)) == ["a", "b"]
    assert opened(tmp_path).profile(SPEC, ALL).rows == 2


def test_roll_that_dies_after_its_commit_moved_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = opened(tmp_path)
    log.append(SPEC, predictions(["a", "b"]))
    log.close()

    def die(*_: object) -> None:
        raise StorageError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(Catalogue, "drop", die)
        with pytest.raises(StorageError):
            log.roll(NOW)
    survivor = opened(tmp_path)
    assert ids(survivor) == ["a", "b"]
    assert survivor.roll(NOW) == 0
    assert survivor.profile(SPEC, ALL).rows == 2


def test_two_writers_share_a_root(tmp_path: Path) -> None:
    gateway, server = opened(tmp_path), opened(tmp_path)
    gateway.append(SPEC, predictions(["a", "b"]))
    server.append(SPEC, predictions(["c"], T0 + HOUR))
    assert ids(server) == ids(gateway) == ["a", "b", "c"]
    assert server.roll(NOW) == 3
    gateway.append(SPEC, predictions(["d"], T0 + 2 * HOUR))
    assert ids(server) == ids(gateway) == ["a", "b", "c", "d"]
    assert len(segments(tmp_path)) == 2, "segments that are written to stay"
    assert gateway.roll(NOW) == 1
    assert ids(server) == ids(gateway) == ["a", "b", "c", "d"]
    assert server.profile(SPEC, ALL).rows == gateway.profile(SPEC, ALL).rows == 4
    server.close()
    gateway.roll(NOW)
    assert len(segments(tmp_path)) == 1
    assert ids(opened(tmp_path)) == ["a", "b", "c", "d"]


def test_row_sent_to_two_writers_counts_once(tmp_path: Path) -> None:
    gateway, server = opened(tmp_path), opened(tmp_path)
    for log in (gateway, server):
        assert log.append(SPEC, predictions(["a", "b"])).accepted == 2
    assert ids(server) == ["a", "b"]
    server.roll(NOW)
    assert ids(server) == ids(gateway) == ids(opened(tmp_path)) == ["a", "b"]
    assert gateway.profile(SPEC, ALL).rows == 2


def test_labels_and_orphans_are_seen_across_processes(tmp_path: Path) -> None:
    gateway, server = opened(tmp_path), opened(tmp_path)
    server.append_labels(SPEC, labels(["a", "z"], 1.0, T0))
    assert server.orphans(SPEC, NOW) == gateway.orphans(SPEC, NOW) == 2
    gateway.append(SPEC, predictions(["a"]))
    gateway.roll(NOW)
    assert server.orphans(SPEC, NOW) == 1
    gateway.append_labels(SPEC, labels(["b"], 1.0, T0))
    gateway.roll(NOW)
    assert server.orphans(SPEC, NOW) == 2
    assert server.labelled(SPEC, ALL, NOW).column("label").to_pylist() == [1.0]


def test_concurrent_appenders_share_syncs_and_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = opened(tmp_path)
    sync, syncs = os.fsync, []

    def counted(descriptor: int) -> None:
        syncs.append(descriptor)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", counted)

    def send(worker: int) -> None:
        for number in range(10):
            receipt = log.append(SPEC, predictions([f"{worker}-{number}", f"shared-{number}"]))
            assert receipt.accepted + receipt.duplicates == 2
            if number == 5:
                log.roll(NOW)

    threads = [threading.Thread(target=send, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids(log)) == len(set(ids(log))) == 90
    assert ids(opened(tmp_path)) == ids(log)
    log.roll(NOW)
    assert log.profile(SPEC, ALL).rows == 90


def test_quarantine_is_readable_and_keeps_a_row_once(tmp_path: Path) -> None:
    log = opened(tmp_path)
    rows = predictions(["a", ""])
    for _ in range(2):
        log.append(SPEC, rows)
    (entry,) = log.quarantined()
    assert (entry.model, entry.kind, entry.column) == (SPEC.name, Kind.PREDICTIONS, "prediction_id")
    assert entry.reason == "is missing"
    assert '"amount": 1.0' in entry.row
    assert entry.at == NOW
    log.append_labels(SPEC, labels(["a"], 5.0, T0))
    assert [q.kind for q in log.quarantined(SPEC.name)] == [Kind.LABELS, Kind.PREDICTIONS]
    assert len(log.quarantined(limit=1)) == 1
    assert log.quarantined("other") == ()
    log.refuse(SPEC, "labels", [("a\0b", "is\0odd", "{}")])
    assert log.quarantined()[0].kind is Kind.LABELS


def test_rows_from_before_probabilities_have_none(tmp_path: Path) -> None:
    log = opened(tmp_path)
    many = replace(SPEC, task=Task.MULTICLASS)
    log.append(SPEC, predictions(["a"], score=1.0))
    log.roll(NOW)
    log.append(SPEC, predictions(["b"], T0 + HOUR, score=1.0))
    chances = pa.array([[0.25, 0.75]])
    rows = predictions(["c"], T0 + 2 * HOUR, score=1.0)
    log.append(many, rows.append_column("probabilities", chances))
    for _ in range(2):
        column = opened(tmp_path).rows(many, ALL, ["probabilities"]).column("probabilities")
        assert column.to_pylist() == [None, None, [0.25, 0.75]]
        assert log.roll(NOW) in {2, 0}
    assert log.append(many, predictions(["a"], score=1.0)).duplicates == 1


def test_features_may_change_between_and_within_rolls(tmp_path: Path) -> None:
    log = opened(tmp_path)
    columns = (Column("amount", ColumnKind.CATEGORICAL), Column("age", ColumnKind.NUMERIC))
    newer = ModelSpec(SPEC.name, SPEC.task, Schema(columns), SPEC.labels)
    changed = predictions(["b"]).drop_columns(["amount", "country"])
    changed = changed.append_column("amount", pa.array(["high"]))
    changed = changed.append_column("age", pa.array([40.0]))
    log.append(SPEC, predictions(["a"]))
    log.append(newer, changed)
    log.append(SPEC, predictions(["c"]))
    for _ in range(2):
        table = log.rows(newer, ALL)
        assert table.column("amount").to_pylist() == [None, "high", None]
        assert log.rows(SPEC, ALL).column("amount").to_pylist() == [0.0, None, 0.0]
        log.roll(NOW)
    log.append(newer, changed.set_column(0, "prediction_id", pa.array(["d"])))
    log.roll(NOW)
    assert log.profile(newer, ALL).rows == 4
    assert log.profile(newer, ALL).columns["amount"].kind is ColumnKind.CATEGORICAL


def test_status_counts_without_reading(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append(SPEC, predictions(["a", "b"]))
    log.append_labels(SPEC, labels(["a"], 1.0, T0))
    landed = log.status()
    assert (landed.predictions, landed.labels, landed.rows, landed.landed) == (2, 1, 3, 3)
    assert (landed.files, landed.bytes, landed.segments) == (0, 0, 1)
    log.roll(NOW)
    log.append(SPEC, predictions(["c"]))
    rolled = log.status()
    assert (rolled.predictions, rolled.labels, rolled.landed, rolled.files) == (3, 1, 1, 2)
    assert rolled.bytes == sum(path.stat().st_size for path in parquet_files(tmp_path))


def test_damaged_or_missing_file_is_a_storage_error(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append(SPEC, predictions(["a"]))
    log.roll(NOW)
    parquet_files(tmp_path)[0].write_bytes(b"junk")
    with pytest.raises(StorageError, match="cannot be read"):
        opened(tmp_path).rows(SPEC, ALL)
    parquet_files(tmp_path)[0].unlink()
    with pytest.raises(StorageError, match="cannot be read"):
        opened(tmp_path).rows(SPEC, ALL)


def test_root_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a file")
    with pytest.raises(StorageError, match="cannot be made"):
        opened(tmp_path)


def test_without_fsync_the_log_behaves_the_same(tmp_path: Path) -> None:
    records = DatabaseRecords(f"sqlite:///{tmp_path}/r.db", SimulatedClock(NOW), "OFF")
    log = FilePredictionLog(tmp_path / "log", records, fsync=False)
    log.append(SPEC, predictions(["a"]))
    log.roll(NOW)
    assert ids(log) == ["a"]
    assert log.profile(SPEC, Window(T0, T0 + timedelta(minutes=30))).rows == 1
