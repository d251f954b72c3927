"""Object stores by their addresses."""

from contextlib import closing
from pathlib import Path

import pytest
from pyarrow import fs

from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.predlog.keyfile import SUFFIX
from homeostat.adapters.predlog.place import TOLD, AwayError, Folder
from homeostat.adapters.predlog.stores import Storage, object_store
from homeostat.adapters.predlog.verify import verify
from homeostat.adapters.records import DatabaseRecords
from homeostat.domain.errors import StorageError
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import ALL, NOW, SPEC, predictions
from objects import ENVIRONMENT


@pytest.mark.parametrize(
    ("address", "environ", "kind", "base"),
    [
        ("s3://bucket/a/b/", {}, fs.S3FileSystem, "bucket/a/b"),
        ("gs://bucket/a", {}, fs.GcsFileSystem, "bucket/a"),
        (
            "abfss://box@account.dfs.core.windows.net/a",
            {"AZURE_STORAGE_KEY": "a2V5"},
            fs.AzureFileSystem,
            "box/a",
        ),
    ],
    ids=["s3", "gs", "abfss"],
)
def test_addresses(
    tmp_path: Path, address: str, environ: dict[str, str], kind: type[fs.FileSystem], base: str
) -> None:
    storage = Storage(address, "http://127.0.0.1:9", "us-east-1")
    place = object_store(storage, environ)(tmp_path, 1)
    assert isinstance(place.files, kind)
    assert (place.base, place.name) == (base, address.rstrip("/"))


def test_another_salt_is_another_owner(tmp_path: Path) -> None:
    make = object_store(Storage("memory://bucket/owners"), {})
    assert make(tmp_path, 1).owner == make(tmp_path, 1).owner != make(tmp_path, 2).owner


def test_unknown_stores_say_what_may_be_missing() -> None:
    with pytest.raises(StorageError, match=r"nowhere://b/p cannot be used: .*pip install"):
        object_store(Storage("nowhere://b/p"), {})


def test_stores_of_fsspec(tmp_path: Path) -> None:
    place = object_store(Storage("memory://bucket/logs"), {})(tmp_path, 1)
    file, keys = "labels/model=m/day=recent/x.parquet", f"labels/model=m/day=recent/x{SUFFIX}"
    for path in (file, keys):
        with place.bench("labels") as bench:
            (bench / "x").write_bytes(path.encode())
            place.put(bench / "x", path)
    assert place.names("labels") == [keys, file]
    assert place.names("predictions") == []
    assert place.size(file) == len(file)
    with place.whole(file) as copy:
        assert copy.read_bytes() == file.encode()
        assert copy.suffix == ".parquet"
    near = place.near(keys)
    assert near.read_bytes() == keys.encode()
    place.delete(keys)
    assert not near.exists()
    with pytest.raises(FileNotFoundError):
        place.near(keys)
    place.delete(keys)
    assert place.size(keys) is None
    assert place.trouble == ""
    place.recognise()
    assert not list((tmp_path / "bench").iterdir())


def test_store_that_has_just_failed_is_left_alone_ever_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    closed = Storage("s3://bucket/logs", "http://127.0.0.1:9", "us-east-1", 1.0, attempts=1)
    place, seconds = object_store(closed, {})(tmp_path, 1), 0.0
    place.clock = lambda: seconds
    away, well = place.files, object_store(Storage("memory://bucket/logs"), {})(tmp_path, 1).files
    pauses = list[float]()
    for _ in range(7):
        place.files = away
        with pytest.raises(AwayError, match="s3://bucket/logs cannot be used: "):
            place.size("labels/x.parquet")
        place.files, began = well, seconds
        with pytest.raises(AwayError, match="s3://bucket/logs cannot be used: "), place.bench(""):
            pass
        seconds = place._until
        pauses.append(seconds - began)
    assert pauses == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    assert place.size("labels/x.parquet") is None
    assert place.trouble == ""


def test_log_with_files_in_its_folder_does_not_start_elsewhere(tmp_path: Path) -> None:
    records = DatabaseRecords(f"sqlite:///{tmp_path}/records.db", SimulatedClock(NOW))
    away = object_store(Storage("memory://bucket/moved"), {})
    with closing(FilePredictionLog(tmp_path / "log", records)) as log:
        log.append(SPEC, predictions(["a"]))
        log.roll(NOW)
    with pytest.raises(StorageError, match=r"log are in /.*the settings name memory://"):
        FilePredictionLog(tmp_path / "log", records, place=away)
    place = away(tmp_path / "log", log.upkeep.store.salt)
    for path in (p for kind in ("predictions", "labels") for p in Folder(log.root).names(kind)):
        place.put(log.root / path, path)
        (log.root / path).unlink(missing_ok=True)
    (log.root / TOLD).write_text("memory://bucket/moved\n")
    with closing(FilePredictionLog(tmp_path / "log", records, place=away)) as log:
        assert log.rows(SPEC, ALL).column("prediction_id").to_pylist() == ["a"]
        assert not verify(log.upkeep).problems
    (log.root / TOLD).unlink()
    (log.root / TOLD).mkdir()
    with pytest.raises(StorageError, match="Is a directory"):
        FilePredictionLog(tmp_path / "log", records, place=away)
    records.close()
