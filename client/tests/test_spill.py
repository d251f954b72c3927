"""The folder: whole files or none, bounded, read by whoever comes next."""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path

import pytest

from homeostat_client.batch import Batch
from homeostat_client.spill import JOINED, Spill, folder_for, rows_of
from odd_peers import Peer, answer, receipt
from real_server import Make, free_port, until

LIMIT = 1 << 20


def batch(key: str, rows: int = 3, size: int = 20) -> Batch:
    return Batch("predictions", key, tuple(b"%s-%d" % (b"x" * size, n) for n in range(rows)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = folder_for("http://h:1", "a model/of mine", str(tmp_path))
    assert found is not None
    return found


def test_what_is_written_is_read_by_another(folder: Path) -> None:
    kept = Spill(folder, LIMIT).write(batch("k"))
    other = Spill(folder, LIMIT)
    assert other.names() == [kept.name]
    assert other.read(kept.name) == batch("k")
    assert rows_of(kept.name) == 3
    path = folder / kept.name
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(folder.stat().st_mode)) == (
        0o600,
        0o700,
    )


def test_small_batches_share_a_file_until_it_is_read(folder: Path) -> None:
    spill = Spill(folder, LIMIT)
    for key in "abc":
        spill.write(batch(key))
    (name,) = spill.names()
    found = spill.read(name)
    assert found is not None
    assert found.rows == batch("a").rows * 3
    spill.write(batch("d"))
    spill.write(batch("e", rows=JOINED // 20))
    spill.write(Batch("labels", "f", (b"1",)))
    spill.write(batch("g"), alone=True)
    spill.write(batch("h"))
    assert len(spill.names()) == 6
    assert spill.waiting() == sum(rows_of(name) for name in spill.names())


def test_rows_that_are_sent_do_not_return_with_new_ones(folder: Path) -> None:
    ours, other = Spill(folder, LIMIT), Spill(folder, LIMIT)
    other.remove(ours.write(batch("a")).name)
    kept = ours.write(batch("b"))
    assert ours.read(kept.name) == batch("b")


@pytest.mark.parametrize("place", [0, 5, 40, -1])
@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_file_is_set_aside_and_counted(
    tmp_path: Path, make: Make, place: int, damage: str
) -> None:
    away = make(f"http://127.0.0.1:{free_port()}")
    with Peer(lambda _, body: receipt(body)) as peer:
        folder = folder_for(peer.url, "fraud", str(tmp_path / "spill"))
        assert folder is not None
        name = Spill(folder, LIMIT).write(batch("k")).name
        content = bytearray((folder / name).read_bytes())
        content[place] ^= 1
        damaged = {"flip": bytes(content), "cut": bytes(content[: place or 1]), "empty": b""}
        (folder / name).write_bytes(damaged[damage])
        client = make(peer.url)
        client.log_prediction({"a": 1}, 0.5)
        until(lambda: client.counters.dropped.get("spill_damaged"), "noticed")
        assert client.flush(60)
        assert client.counters.dropped == {"spill_damaged": 3}
        assert client.counters.sent == 1
    assert [path.suffix for path in folder.iterdir() if path.name != ".replay"] == [".damaged"]
    away.close(0.0)


def test_the_oldest_go_when_the_folder_is_full(folder: Path) -> None:
    spill = Spill(folder, 100_000)
    kept = [spill.write(batch(str(n), rows=10, size=1000), alone=True) for n in range(20)]
    assert sum(found.evicted for found in kept) == 10 * (20 - len(spill.names()))
    assert spill.names() == [found.name for found in kept[-len(spill.names()) :]]
    assert sum(path.stat().st_size for path in folder.glob("*.spill")) <= 100_000
    assert len(spill.names()) >= 8
    assert not spill.write(batch("huge", rows=10, size=20_000)).name


def test_names_grow_when_the_clock_goes_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spill = Spill(folder, LIMIT)
    first = spill.write(batch("a"), alone=True).name
    monkeypatch.setattr(time, "time_ns", lambda: 1_000)
    second = spill.write(batch("b"), alone=True).name
    assert spill.names() == [first, second]


def test_what_is_of_no_use_goes_when_it_is_old(folder: Path) -> None:
    day = 86_400
    ages = {"old.tmp": 3600, "new.tmp": 0, "old.damaged": 8 * day, "new.damaged": 6 * day}
    for name, age in ages.items():
        (folder / name).write_bytes(b"half")
        os.utime(folder / name, (time.time() - age,) * 2)
    Spill(folder, LIMIT).write(batch("a"))
    assert sorted(path.name for path in folder.glob("[no]*")) == ["new.damaged", "new.tmp"]


def test_one_process_replays_at_a_time(folder: Path) -> None:
    first, second = Spill(folder, LIMIT), Spill(folder, LIMIT)
    assert first.claim()
    assert first.claim()
    assert not second.claim()
    first.release()
    assert second.claim()
    second.release()


def test_records_on_their_way_to_disk_are_never_out_of_sight(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sees nothing pending may be killed: all is on disk or with the server."""
    fsync = os.fsync

    def slow(handle: int) -> None:
        time.sleep(0.003)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", slow)
    with Peer(lambda *_: answer(503)) as peer:
        client = make(peer.url, batch_rows=2, flush_interval=0.01)
        for logged in range(1, 120):
            client.log_prediction({"a": 1}, 0.5)
            found = client.counters
            assert found.pending + found.waiting >= logged
            time.sleep(0.001)
        assert client.counters.waiting


def test_a_full_disk_costs_nothing_while_memory_lasts(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    client = make(url, max_bytes=4000)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        client.log_prediction({"a": 1}, 0.5)
        until(lambda: "spill" in client._shipper.ledger._words, "noticed")
        assert client.counters.pending == 1
        for _ in range(20):
            client.log_prediction({"a": "x" * 500}, 0.5)
            until(lambda: not client._shipper.predictions, "collected")
        found = client.counters
        assert found.dropped["memory_full"] > 0
        assert found.pending + found.dropped["memory_full"] == found.queued == 21
    client.log_prediction({"a": 1}, 0.5)
    until(lambda: client.counters.pending == 0, "there is room again")
    client.close(0.0)
    assert "No space left on device" in caplog.text


def test_a_folder_that_cannot_be_written_is_said_and_memory_is_used(
    tmp_path: Path, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    with Peer(lambda _, body: receipt(body)) as peer:
        client = make(peer.url, spill=str(tmp_path / "file"))
        client.log_prediction({"a": 1}, 0.5)
        assert client.flush(60)
        client.close()
    assert "no folder can be made" in caplog.text


def test_what_cannot_be_removed_is_not_sent_again_and_again(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    up: list[bool] = []
    with Peer(lambda _, body: receipt(body) if up else answer(503)) as peer:
        client = make(peer.url)
        client.log_prediction({"a": 1}, 0.5, "first")
        until(lambda: client.counters.waiting, "on disk")

        def read_only(*_: object, **__: object) -> None:
            raise OSError(errno.EROFS, "Read-only file system")

        monkeypatch.setattr(Path, "unlink", read_only)
        up.append(True)
        until(lambda: client.counters.sent == 1, "replayed")
        for _ in range(3):
            client.log_prediction({"a": 1}, 0.5)
            assert client.flush(60)
        monkeypatch.undo()
        assert client.counters.sent == 4


def test_a_folder_of_a_stranger_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "temporary"))
    monkeypatch.setenv("XDG_STATE_HOME", "~/no home")
    homeless = folder_for("http://h:1", "m", None)
    assert homeless is not None
    assert homeless.is_relative_to(tmp_path / "temporary")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    own = folder_for("http://h:1", "m", None)
    assert own is not None
    assert own.parent == tmp_path / "state" / "homeostat"
    own.rmdir()
    own.parent.rmdir()
    (tmp_path / "elsewhere").mkdir()
    own.parent.symlink_to(tmp_path / "elsewhere")
    found = folder_for("http://h:1", "m", None)
    assert found is not None
    assert found.is_relative_to(tmp_path / "temporary")
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert folder_for("http://h:1", "m", None) is None


def test_servers_and_models_have_folders_of_their_own(tmp_path: Path) -> None:
    pairs = [("http://a", "m"), ("http://b", "m"), ("http://a", "../m"), ("http://a", ".. m")]
    folders = {folder_for(server, model, str(tmp_path)) for server, model in pairs}
    assert len(folders) == 4
    assert {found.parent for found in folders if found is not None} == {tmp_path}
