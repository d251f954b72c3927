"""Rows that are stored twice, and losses that other losses must not hide."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from databases import open_records
from homeostat.adapters.predlog import FilePredictionLog, doubles
from homeostat.adapters.predlog.catalogue import Change, FileEntry
from homeostat.adapters.predlog.doubles import Held, stored_twice
from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.predlog.keys import Keys, in_key_order
from homeostat.adapters.predlog.parquet import key_path
from homeostat.adapters.predlog.repair import repair
from homeostat.adapters.predlog.verify import Trouble, verify
from homeostat.adapters.records.tables import log_files
from homeostat.simulation.conformance.log import HOUR, NOW, SPEC, T0, predictions

ROWS = st.lists(st.tuples(st.integers(0, 2**64 - 1) | st.integers(0, 3), st.integers(0, 2)))


@pytest.fixture
def log(tmp_path: Path) -> FilePredictionLog:
    return FilePredictionLog(tmp_path / "log", open_records(tmp_path), fsync=False)


def rolled(log: FilePredictionLog, *ids: str, hour: int = 0) -> FileEntry:
    """Store rows and return their file."""
    before = {file.path for file in log.upkeep.files(SPEC.name)[Kind.PREDICTIONS]}
    log.append(SPEC, predictions(ids, T0 + hour * HOUR))
    log.roll(NOW)
    after = log.upkeep.files(SPEC.name)[Kind.PREDICTIONS]
    (file,) = (file for file in after if file.path not in before)
    return file


def stored_again(log: FilePredictionLog, file: FileEntry, score: float | None = None) -> None:
    """Have the catalogue list a file's rows once more, with another score maybe."""
    table = log.upkeep.store.read(file)
    if score is not None:
        scores = pa.array([score] * len(table), pa.float64())
        table = table.set_column(table.column_names.index("score"), "score", scores)
    again = log.upkeep.store.write(file.kind, file.model, file.day, f"again{score}", [table])
    log.upkeep.catalogue.register(Change([again]), NOW)


def unlisted(log: FilePredictionLog, file: FileEntry) -> None:
    """Have the catalogue lose a file, without a decision that says so."""
    with log.upkeep.catalogue.database.write() as connection:
        connection.execute(sa.delete(log_files).where(log_files.c.path == file.path))


def found(log: FilePredictionLog) -> list[tuple[Trouble, int]]:
    return sorted((one.trouble, one.rows) for one in verify(log.upkeep).problems)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ROWS, max_size=4), st.integers(1, 7))
def test_repetitions_are_counted_whatever_the_blocks(
    log: FilePredictionLog, files: list[list[tuple[int, int]]], block: int
) -> None:
    held = []
    for rows in files:
        keys = np.array([key for key, _ in rows], np.uint64)
        details = np.array([version << 32 for _, version in rows], np.uint64)
        places = np.arange(len(rows), dtype=np.uint32)
        file = FileEntry(Kind.PREDICTIONS, "m", "2024-01-01", "none", len(rows), 0, 0, 0)
        held.append(Held(file, in_key_order(keys, details, places)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(doubles, "BLOCK", block)
        twice = stored_twice(log.upkeep.store, held)
    every = Counter(row for rows in files for row in rows)
    assert twice == every.total() - len(every)


def test_rows_with_one_hash_are_told_apart_by_their_names(log: FilePredictionLog) -> None:
    file = rolled(log, "a", "b", "c")
    same = np.zeros(3, np.uint64)
    keys = Keys(same, np.array([1, 1, 2], np.uint64), np.array([2, 0, 1], np.uint32))
    assert stored_twice(log.upkeep.store, [Held(file, keys)]) == 0


def test_one_prediction_with_two_contents_is_stored_twice(log: FilePredictionLog) -> None:
    file = rolled(log, "a", "b")
    rolled(log, "c")
    stored_again(log, file, 0.75)
    # The profile does not count the rows that nobody rolled.
    assert found(log) == [(Trouble.DOUBLE, 2), (Trouble.PROFILES, 2)]
    stored_again(log, file)
    assert found(log) == [(Trouble.DOUBLE, 4), (Trouble.PROFILES, 4)]


def test_a_key_file_that_is_wrong_explains_no_loss(log: FilePredictionLog, tmp_path: Path) -> None:
    one, other = rolled(log, "a", "b"), rolled(log, "c", "d")
    (tmp_path / "log" / key_path(one.path)).write_bytes(b"junk")
    unlisted(log, other)
    assert found(log) == [(Trouble.KEYS, 0), (Trouble.PROFILES, 2)]


def test_a_file_that_is_gone_explains_losses_of_its_hours_only(
    log: FilePredictionLog, tmp_path: Path
) -> None:
    gone, other = rolled(log, "a", "b", "c"), rolled(log, "d", "e", hour=1)
    (tmp_path / "log" / gone.path).unlink()
    assert found(log) == [(Trouble.MISSING, 3)]
    unlisted(log, other)
    assert found(log) == [(Trouble.MISSING, 3), (Trouble.PROFILES, 2)]
    repair(log.upkeep, "me", NOW)
    assert found(log) == [(Trouble.PROFILES, 2)]


def test_a_file_that_is_gone_whose_rows_are_elsewhere_explains_no_loss(
    log: FilePredictionLog, tmp_path: Path
) -> None:
    gone, other = rolled(log, "a", "b", "c"), rolled(log, "d", "e")
    stored_again(log, gone)
    (tmp_path / "log" / gone.path).unlink()
    (finding,) = verify(log.upkeep).problems
    assert (finding.trouble, finding.rows) == (Trouble.MISSING, 0)
    assert finding.text == "the file is gone; 3 of its rows are in other files"
    unlisted(log, other)
    assert found(log) == [(Trouble.MISSING, 0), (Trouble.PROFILES, 2)]
    assert repair(log.upkeep, "me", NOW).lost == 0
    assert found(log) == [(Trouble.PROFILES, 2)]
