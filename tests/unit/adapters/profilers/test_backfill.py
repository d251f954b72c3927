"""Profiles of past hours made anew: the same as a roll makes, and never less than there was."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from databases import open_records
from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.predlog.catalogue import Change
from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.predlog.hours import MOST_SEGMENTS, Replaced
from homeostat.adapters.predlog.shares import LoggedRows
from homeostat.adapters.profilers.backfill import RawColumns, backfill_files, backfill_log
from homeostat.adapters.profilers.engine import Found, Pool
from homeostat.adapters.profilers.worker import Work
from homeostat.domain.errors import ConflictError, DataError, StorageError
from homeostat.domain.model import ColumnKind, ModelSpec
from homeostat.domain.window import Window
from homeostat.profiles.format import to_bytes
from homeostat.simulation.conformance.log import HOUR, NOW, SPEC, T0, predictions

both = pytest.mark.usefixtures("both")

BY_LAND = replace(SPEC, segments=("country",))
DAY = Window(T0, T0 + timedelta(days=1))
RAW = RawColumns("at", "model")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[FilePredictionLog]:
    opened = reopened(tmp_path)
    yield opened
    opened.close()


def reopened(folder: Path) -> FilePredictionLog:
    return FilePredictionLog(folder / "log", open_records(folder))


def lands(names: list[str], prefix: str = "", at: timedelta = timedelta(0)) -> pa.Table:
    rows = predictions([f"{prefix}{i}" for i in range(len(names))], T0 + at, step=timedelta(0))
    return rows.set_column(rows.column_names.index("country"), "country", pa.array(names))


def drop_files(folder: Path) -> None:
    for path in (folder / "log" / "predictions").rglob("*.parquet"):
        path.unlink()


def raw(rows: pa.Table) -> pa.Table:
    """Return rows as somebody else's files have them."""
    kept = rows.select(["score", "amount", "country", "timestamp", "version"])
    return kept.rename_columns(["score", "amount", "country", "at", "model"])


def test_hours_from_before_the_model_had_segments_get_their_profiles(
    log: FilePredictionLog, tmp_path: Path
) -> None:
    log.append(SPEC, lands(["DE", "FR", "DE"], "a"))
    log.append(SPEC, lands(["FR"], "b", HOUR))
    log.roll(NOW)
    whole = to_bytes(log.profile(BY_LAND, DAY))
    read = to_bytes(log.profile(BY_LAND, DAY, segment="country=DE"))
    assert backfill_log(log, BY_LAND, DAY, Pool()) == Replaced(2, 4, 0, 3, 0)
    drop_files(tmp_path)
    after = reopened(tmp_path)
    assert to_bytes(after.profile(BY_LAND, DAY)) == whole
    assert to_bytes(after.profile(BY_LAND, DAY, segment="country=DE")) == read


@both
def test_a_profile_that_is_missing_or_wrong_is_made_again(
    log: FilePredictionLog, tmp_path: Path
) -> None:
    log.append(BY_LAND, lands(["DE", "FR", "DE"], "a"))
    log.append(BY_LAND, lands(["FR"], "b", HOUR))
    log.roll(NOW)
    whole = to_bytes(log.profile(BY_LAND, DAY))
    log.upkeep.catalogue.prune(SPEC.name, profiles=2**62, quarantine=0)
    assert log.profile(BY_LAND, DAY).rows == 0
    assert backfill_log(log, BY_LAND, DAY, Pool()) == Replaced(2, 4, 2, 3, 0)
    assert to_bytes(log.profile(BY_LAND, DAY)) == whole


@both
def test_profiles_of_rows_that_have_left_the_log_stay(log: FilePredictionLog) -> None:
    for name in "ab":
        log.append(BY_LAND, lands(["DE", "FR"], name))
        log.append(BY_LAND, lands(["FR"], f"{name}+", HOUR))
        log.roll(NOW)
    whole = to_bytes(log.profile(BY_LAND, DAY))
    gone, _ = log.upkeep.files(SPEC.name)[Kind.PREDICTIONS]
    log.upkeep.change(Change(removed=[gone]), NOW)
    assert backfill_log(log, BY_LAND, DAY, Pool()) == Replaced(left=2)
    assert to_bytes(log.profile(BY_LAND, DAY)) == whole


@both
def test_only_the_most_frequent_segments_are_told_apart(log: FilePredictionLog) -> None:
    many = [f"land {i:03}" for i in range(MOST_SEGMENTS + 20)]
    log.append(SPEC, lands([*many, "land 115"]))
    log.roll(NOW)
    done = backfill_log(log, BY_LAND, DAY, Pool())
    assert done.segments == MOST_SEGMENTS + 1
    assert log.profile(BY_LAND, DAY, segment="country=land 115").rows == 2
    assert log.profile(BY_LAND, DAY, segment="country=land 119").rows == 1


@dataclass
class Busy:
    """An engine beside which rows are rolled, so many times."""

    log: FilePredictionLog
    times: int
    runs: int = 0

    def logged(self, rows: LoggedRows, work: Work) -> Found:
        found = Pool().logged(rows, work)
        if self.runs < self.times:
            self.log.append(BY_LAND, lands(["IT"], f"meanwhile {self.times} {self.runs} "))
            self.log.roll(NOW)
        self.runs += 1
        return found

    def files(self, location: str, columns: Mapping[str, ColumnKind], work: Work) -> Found:
        return Pool().files(location, columns, work)


def test_rows_that_are_rolled_meanwhile_count_once(log: FilePredictionLog) -> None:
    log.append(BY_LAND, lands(["DE", "FR"]))
    log.roll(NOW)
    log.append(BY_LAND, lands(["FR"], "landed"))
    engine = Busy(log, 1)
    assert backfill_log(log, BY_LAND, DAY, engine).rows == 4
    assert engine.runs == 2
    assert log.profile(BY_LAND, DAY).rows == 4
    with pytest.raises(ConflictError, match="changed each time"):
        backfill_log(log, BY_LAND, DAY, Busy(log, 9))
    assert log.profile(BY_LAND, DAY).rows == 7


def test_files_of_others_give_the_profiles_that_a_roll_would(
    log: FilePredictionLog, tmp_path: Path
) -> None:
    rows = pa.concat_tables([lands(["DE", "FR"], "a"), lands(["FR"], "b", 30 * HOUR)])
    pq.write_table(raw(rows), tmp_path / "raw.parquet")
    path = str(tmp_path / "raw.parquet")
    log.append(BY_LAND, lands(["IT"], "own", 2 * HOUR))
    assert backfill_files(log, BY_LAND, path, RAW, Pool(), NOW) == Replaced(2, 3, 2, 3, 0)
    other = FilePredictionLog(tmp_path / "other", open_records(tmp_path))
    twin = replace(BY_LAND, name="twin")
    other.append(twin, pa.concat_tables([rows, lands(["IT"], "own", 2 * HOUR)]))
    other.roll(NOW)
    long = Window(T0, T0 + timedelta(days=3))
    for segment in ("", "country=FR"):
        mine, theirs = (to_bytes(log.profile(s, long, segment=segment)) for s in (BY_LAND, twin))
        assert mine == theirs
    assert backfill_files(log, BY_LAND, path, RAW, Pool(), NOW) == Replaced(left=2)


def test_hours_of_which_the_log_has_rows_are_left_alone(
    log: FilePredictionLog, tmp_path: Path
) -> None:
    pq.write_table(raw(lands(["DE", "FR"], "a")), tmp_path / "raw.parquet")
    log.append(BY_LAND, lands(["IT"], "own"))
    versioned = replace(RAW, version="", versioned="7")
    done = backfill_files(log, BY_LAND, str(tmp_path / "raw.parquet"), versioned, Pool(), NOW)
    assert done == Replaced(left=1)
    assert log.profile(BY_LAND, DAY, "7").rows == 0
    later = raw(lands(["DE", "FR"], "a", 5 * HOUR))
    pq.write_table(later, tmp_path / "raw.parquet")
    done = backfill_files(log, BY_LAND, str(tmp_path / "raw.parquet"), versioned, Pool(), NOW)
    assert done.rows == log.profile(BY_LAND, DAY, "7").rows == 2


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("at", ["noon"], "'at' holds no times"),
        ("at", [None], "'at' is null"),
        ("model", [None], "'model' is null"),
        ("amount", [[1.0]], "'amount'"),
    ],
    ids=["text", "no time", "no version", "list"],
)
def test_rows_that_cannot_be_read_are_told(
    log: FilePredictionLog, tmp_path: Path, column: str, values: list[object], message: str
) -> None:
    rows = raw(lands(["DE"]))
    rows = rows.set_column(rows.column_names.index(column), column, pa.array(values))
    pq.write_table(rows, tmp_path / "raw.parquet")
    with pytest.raises(DataError, match=message):
        backfill_files(log, BY_LAND, str(tmp_path / "raw.parquet"), RAW, Pool(), NOW)


def test_windows_are_whole_hours(log: FilePredictionLog) -> None:
    with pytest.raises(DataError, match="whole hours"):
        backfill_log(log, SPEC, Window(T0, T0 + timedelta(minutes=90)), Pool())


def test_a_file_that_is_gone_stops_it(log: FilePredictionLog, tmp_path: Path) -> None:
    log.append(BY_LAND, lands(["DE"]))
    log.roll(NOW)
    drop_files(tmp_path)
    spec: ModelSpec = BY_LAND
    with pytest.raises(StorageError, match="cannot be read"):
        backfill_log(reopened(tmp_path), spec, DAY, Pool())
