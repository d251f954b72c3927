import os
import subprocess
import sys
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
    with pytest.raises(StorageError, match=r"x-foot\w+-crc\w+\.parquet cannot be read"):
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


FLIPPED = """
import sys
from pathlib import Path
from databases import open_records
from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.predlog.repair import repair
from homeostat.domain.errors import StorageError
from homeostat.simulation.conformance.log import ALL, NOW, SPEC, predictions

folder = Path(sys.argv[1])
log = FilePredictionLog(folder / "log", open_records(folder))
log.append(SPEC, predictions(["a", "b"]))
log.roll(NOW)
(path,) = (folder / "log").rglob("*.parquet")
good = path.read_bytes()
start = len(good) - 8 - int.from_bytes(good[-8:-4], "little")
for at in [*range(start, len(good), 23), *range(len(good) - 8, len(good))]:
    bad = bytearray(good)
    bad[at] ^= 1
    path.write_bytes(bad)
    log = FilePredictionLog(folder / "log", open_records(folder))
    for ask in (lambda: log.rows(SPEC, ALL), lambda: log.rows(SPEC, ALL, ["amount"])):
        try:
            ask()
        except StorageError as error:
            assert "its footer is damaged" in str(error), (at, str(error))
        else:
            raise AssertionError(f"nobody noticed the flipped bit at {at}")
assert repair(log.upkeep, "me", NOW).lost == 2
print("ended well")
"""


def test_a_flipped_bit_of_a_footer_is_found_before_anything_is_read(tmp_path: Path) -> None:
    here = Path(__file__).resolve().parents[3]
    paths = [str(here), str(here.parent / "src")]
    done = subprocess.run(
        [sys.executable, "-c", FLIPPED, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "ended well"), done.stderr
