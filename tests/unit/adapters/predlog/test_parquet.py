from pathlib import Path

import pytest

from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.predlog.keys import make_keys
from homeostat.adapters.predlog.parquet import FileStore
from homeostat.adapters.predlog.place import Folder
from homeostat.domain.errors import StorageError
from homeostat.simulation.conformance.log import predictions


def test_cache_gives_up_the_oldest_columns_and_reads_them_again(tmp_path: Path) -> None:
    table = predictions(["a", "b"])
    place, room = Folder(tmp_path, fsync=False), int(1.5 * table.nbytes)
    store = FileStore(place, 1, fsync=False, cache_bytes=room)
    files = [store.write(Kind.PREDICTIONS, "m", "2024-01-01", name, [table]) for name in "xy"]
    for file in files:
        assert store.read(file).equals(table.replace_schema_metadata())
    for file in files:
        (tmp_path / file.path).unlink()
    assert store.read(files[1]).equals(table.replace_schema_metadata())
    with pytest.raises(StorageError, match=r"x-crc\w+\.parquet cannot be read"):
        store.read(files[0])


def test_sweep_keeps_what_is_registered(tmp_path: Path) -> None:
    store = FileStore(Folder(tmp_path), 1)
    kept, stranger = (
        store.write(Kind.PREDICTIONS, "m", "2024-01-01", name, [predictions(["a"])])
        for name in "xy"
    )
    store.sweep({kept.path})
    left = {path.name for path in (tmp_path / stranger.path).parent.iterdir()}
    assert left == {Path(kept.path).name, Path(kept.path).with_suffix(".keys").name}


@pytest.mark.parametrize(
    "damage", [b"", b"junk", b"HSK1" + bytes(100)], ids=["empty", "short", "other"]
)
def test_keys_are_made_anew_from_the_file(tmp_path: Path, damage: bytes) -> None:
    table = predictions(["b", "a"])
    store = FileStore(Folder(tmp_path), 1)
    file = store.write(Kind.PREDICTIONS, "m", "2024-01-01", "x", [table])
    (tmp_path / file.path).with_suffix(".keys").write_bytes(damage)
    again, before = store.keys(file), make_keys(Kind.PREDICTIONS, table, 1)
    assert again.keys.tolist() == before.keys.tolist()
    assert again.rows.tolist() == before.rows.tolist()
    (tmp_path / file.path).unlink()
    store.forget(file)
    with pytest.raises(StorageError):
        store.keys(file)
