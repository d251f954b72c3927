from pathlib import Path

from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.predlog.parquet import FileStore
from homeostat.simulation.conformance.log import predictions


def test_cache_gives_up_the_oldest_files_and_reads_them_again(tmp_path: Path) -> None:
    table = predictions(["a", "b"])
    store = FileStore(tmp_path, fsync=False, cache_bytes=int(1.5 * table.nbytes))
    files = [store.write(Kind.PREDICTIONS, "m", "2024-01-01", name, table) for name in "xy"]
    for file in files:
        store.remember(file, table)
    (tmp_path / files[1].path).unlink()
    assert store.read(files[1]) is table
    again = store.read(files[0])
    assert again is not table
    assert again.equals(table)


def test_sweep_keeps_what_is_registered(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    kept, stranger = (
        store.write(Kind.PREDICTIONS, "m", "2024-01-01", name, predictions(["a"])) for name in "xy"
    )
    store.sweep({kept.path})
    assert (tmp_path / kept.path).exists()
    assert not (tmp_path / stranger.path).exists()
