"""Damaged, full, read-only and slow disks: noticed, told, and the rest is served."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.records import DatabaseRecords
from homeostat.domain.errors import StorageError
from homeostat.domain.window import Window
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import ALL, HOUR, NOW, SPEC, T0, labels, predictions

DAY = timedelta(days=1)


@contextmanager
def opened(folder: Path, settle_rows: int = 1) -> Iterator[FilePredictionLog]:
    records = DatabaseRecords(f"sqlite:///{folder}/records.db", SimulatedClock(NOW))
    log = FilePredictionLog(folder / "log", records, settle_rows=settle_rows)
    try:
        yield log
    finally:
        log.close()
        records.close()


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pa.Table]:
    """Files of two days with labels, and a landed segment."""
    folder = tmp_path_factory.mktemp("healthy")
    with opened(folder) as log:
        for day in range(2):
            names = [f"{day}-{i}" for i in range(200)]
            log.append(SPEC, predictions(names, T0 + day * DAY))
            log.append_labels(SPEC, labels(names, 1.0, T0 + day * DAY + HOUR))
        log.roll(NOW)
        log.append(SPEC, predictions([f"l-{i}" for i in range(20)], T0 + 2 * DAY))
        log.append(SPEC, predictions([f"m-{i}" for i in range(20)], T0 + 3 * DAY))
        table = log.labelled(SPEC, ALL, NOW)
    with opened(folder) as log:
        assert log.labelled(SPEC, ALL, NOW).equals(table)
    return folder, table


def damage(path: Path, way: str, rng: np.random.Generator) -> None:
    if way == "deleted":
        path.unlink()
        return
    content = bytearray(path.read_bytes())
    if way == "short":
        del content[len(content) // 2 :]
    else:
        place = int(rng.integers(8 * len(content)))
        content[place // 8] ^= 1 << place % 8
    path.write_bytes(content)


def copies(healthy: Path, target: Path, suffix: str) -> Iterator[tuple[Path, Path]]:
    """Yield each file of a suffix in a copy of its own."""
    for number, path in enumerate(sorted((healthy / "log").rglob(f"*{suffix}"))):
        copy = target / str(number)
        shutil.copytree(healthy, copy)
        yield copy, copy / path.relative_to(healthy)


FLIPS = ["bit-1", "bit-2", "bit-3", "bit-4"]
CASES = [
    *((suffix, way) for suffix in (".parquet", ".keys", "salt") for way in ("deleted", "short")),
    *((suffix, way) for suffix in (".parquet", ".keys", "salt", ".seg") for way in FLIPS),
]


@pytest.mark.parametrize(("suffix", "way"), CASES)
def test_damage_is_never_silent(
    healthy: tuple[Path, pa.Table],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    suffix: str,
    way: str,
) -> None:
    source, whole = healthy
    rng = np.random.default_rng([len(suffix), *way.encode()])
    for folder, path in copies(source, tmp_path, suffix):
        damage(path, way, rng)
        caplog.clear()
        said = ""
        try:
            with caplog.at_level(logging.WARNING), opened(folder) as log:
                read = log.labelled(SPEC, ALL, NOW)
                known = log.append(SPEC, predictions(["0-0", "1-0"], T0, step=DAY)).duplicates
                same = read.equals(whole) and known == 2
        except StorageError as error:
            said, same = str(error), False
        said += " ".join(record.getMessage() for record in caplog.records)
        assert same or path.name in said or path.stem in said, (path, way)


@pytest.mark.parametrize("way", ["deleted", "short"])
def test_the_rest_is_served(healthy: tuple[Path, pa.Table], tmp_path: Path, way: str) -> None:
    source, whole = healthy
    shutil.copytree(source, tmp_path / "copy")
    (path,) = (tmp_path / "copy" / "log" / "predictions").glob("*/day=2024-01-01/*.parquet")
    damage(path, way, np.random.default_rng(1))
    with opened(tmp_path / "copy") as log:
        with pytest.raises(StorageError, match=f"{path.name} cannot be read"):
            log.labelled(SPEC, ALL, NOW)
        assert log.labelled(SPEC, Window(T0 + DAY, NOW), NOW).equals(whole.slice(200))
        assert log.append(SPEC, predictions(["new"], T0 + 4 * DAY)).accepted == 1
        assert log.roll(NOW) == 41
        assert len(log.rows(SPEC, Window(T0 + DAY, NOW))) == 241


def test_a_damaged_database_says_what_to_do(healthy: tuple[Path, pa.Table], tmp_path: Path) -> None:
    source, _ = healthy
    for name, place in (("head", 0), ("pages", 4096)):
        shutil.copytree(source, tmp_path / name)
        path = tmp_path / name / "records.db"
        content = bytearray(path.read_bytes())
        content[place:] = np.random.default_rng(1).bytes(len(content) - place)
        path.write_bytes(content)
        with pytest.raises(StorageError, match="latest backup"), opened(tmp_path / name) as log:
            log.labelled(SPEC, ALL, NOW)
