"""Damage of any kind is found, and mended as far as can be proven."""

import contextlib
import os
import re
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.predlog.erase import Target, erase
from homeostat.adapters.predlog.repair import Repaired, repair
from homeostat.adapters.predlog.segments import damaged_names
from homeostat.adapters.predlog.verify import Trouble, Verified, verify
from homeostat.adapters.records import DatabaseRecords
from homeostat.adapters.records.tables import log_files, log_segments
from homeostat.domain.columns import texts
from homeostat.domain.errors import StorageError
from homeostat.domain.retention import Retention
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import ALL, HOUR, NOW, SPEC, T0, labels, predictions

DAY = timedelta(days=1)


def opened(folder: Path, rule: Retention | None = None) -> FilePredictionLog:
    records = DatabaseRecords(f"sqlite:///{folder}/records.db", SimulatedClock(NOW))
    rules = {} if rule is None else {SPEC.name: rule}
    return FilePredictionLog(folder / "log", records, retention=rules)


def fill(log: FilePredictionLog, days: int = 2) -> None:
    for day in range(days):
        ids = [f"{day}-{i}" for i in range(4)]
        log.append(SPEC, predictions(ids, T0 + day * DAY))
        log.append_labels(SPEC, labels(ids, 1.0, T0 + day * DAY + HOUR))
        log.append(SPEC, predictions(ids, T0 + day * DAY, version="2", role="shadow"))
    log.roll(NOW)


def files(folder: Path, end: str = "parquet", kind: str = "predictions") -> list[Path]:
    return sorted((folder / "log" / kind).rglob(f"*.{end}"))


def troubles(found: Verified) -> list[Trouble]:
    return [finding.trouble for finding in found.problems]


def mend(log: FilePredictionLog) -> Repaired:
    return repair(log.upkeep, "test", NOW)


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 0x10
    path.write_bytes(content)


def test_a_whole_log_has_no_findings(tmp_path: Path) -> None:
    log = opened(tmp_path)
    assert verify(log.upkeep) == Verified(0, 0, 0, 0, 0, (), ())
    fill(log)
    log.append(SPEC, predictions(["landed"], T0 + 5 * DAY))
    found = verify(opened(tmp_path).upkeep)
    assert (found.files, found.rows, found.segments, found.profiles) == (3, 24, 1, 2)
    assert (found.problems, found.strangers, found.unchecked) == ((), (), 0)
    log.tidy(NOW, eager=True)
    assert verify(log.upkeep).problems == ()
    assert mend(log).mended == ()


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_no_flipped_bit_of_any_file_goes_unseen(tmp_path: Path, data: st.DataObject) -> None:
    if not (tmp_path / "log").exists():
        fill(opened(tmp_path))
    log = opened(tmp_path)
    paths = [path for end in ("parquet", "keys") for path in files(tmp_path, end)]
    path = data.draw(st.sampled_from(paths))
    place = data.draw(st.integers(0, path.stat().st_size - 1))
    flip(path, place)
    try:
        (finding,) = verify(log.upkeep).problems
    finally:
        flip(path, place)
    assert finding.trouble in {Trouble.DAMAGED, Trouble.KEYS}
    assert finding.path == path.relative_to(tmp_path / "log").with_suffix(".parquet").as_posix()


@pytest.mark.parametrize(
    "spoil",
    [Path.unlink, lambda path: path.write_bytes(b"junk"), lambda path: flip(path, 40)],
    ids=["gone", "short", "flipped"],
)
def test_key_files_are_made_anew(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    log = opened(tmp_path)
    fill(log)
    first, second = files(tmp_path, "keys")
    files(tmp_path, "keys", "labels")[0].write_bytes(second.read_bytes())
    spoil(first)
    assert troubles(verify(log.upkeep)) == [Trouble.KEYS] * 2
    done = mend(log)
    assert (len(done.mended), done.lost, done.left.problems) == (2, 0, ())
    again = opened(tmp_path)
    assert again.append(SPEC, predictions([f"0-{i}" for i in range(4)])).duplicates == 4
    assert set(again.labelled(SPEC, ALL, NOW).column("label").to_pylist()) == {1.0}


def test_a_file_that_is_gone_is_taken_from_the_catalogue(tmp_path: Path) -> None:
    log, reader = opened(tmp_path), opened(tmp_path)
    fill(log)
    files(tmp_path)[0].unlink()
    assert troubles(verify(log.upkeep)) == [Trouble.MISSING]
    with pytest.raises(StorageError, match="homeostat data repair"):
        log.rows(SPEC, ALL)
    done = mend(log)
    assert (done.lost, done.left.problems) == (8, ())
    for one in (log, reader):
        assert one.rows(SPEC, ALL).num_rows == 8


def test_whole_row_groups_of_a_damaged_file_are_recovered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homeostat.adapters.predlog.parquet.ROW_GROUP", 100)
    log = opened(tmp_path)
    ids = [f"id {i}" for i in range(300)]
    log.append(SPEC, predictions(ids, T0, step=timedelta(seconds=1)))
    log.roll(NOW)
    (path,) = files(tmp_path)
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    flip(path, column.data_page_offset + column.total_compressed_size // 2)
    for keys in (True, False):
        assert troubles(verify(log.upkeep)) == [Trouble.DAMAGED]
        if keys:
            continue
        files(tmp_path, "keys")[0].unlink()
    done = mend(log)
    (mended,) = done.mended
    assert (mended.recovered, mended.lost, done.left.problems) == (200, 100, ())
    assert texts(opened(tmp_path).rows(SPEC, ALL), "prediction_id") == ids[:100] + ids[200:]
    relative = path.relative_to(tmp_path / "log")
    assert (tmp_path / "log" / "damaged" / relative).exists()
    assert not path.exists()
    records = DatabaseRecords(f"sqlite:///{tmp_path}/records.db", SimulatedClock(NOW))
    (decision,) = records.decisions(SPEC.name)
    assert (decision.action, dict(decision.evidence)) == (
        "repair_rows",
        {"predictions": 100, "recovered": 200},
    )


def test_a_file_of_which_nothing_can_be_read_is_set_aside(tmp_path: Path) -> None:
    log = opened(tmp_path)
    fill(log)
    path = files(tmp_path)[0]
    path.write_bytes(b"j" * path.stat().st_size)
    done = mend(log)
    assert (done.lost, done.left.problems) == (8, ())
    assert opened(tmp_path).rows(SPEC, ALL).num_rows == 8


def test_rows_without_any_checksum_are_not_taken_on_trust(tmp_path: Path) -> None:
    log = opened(tmp_path)
    fill(log, 1)
    (path,) = files(tmp_path)
    table = pq.read_table(path, partitioning=None)
    old = path.with_name("old.parquet")
    pq.write_table(table.set_column(7, "score", pa.array([0.75] * 8)), old)
    path.unlink()
    files(tmp_path, "keys")[0].rename(old.with_suffix(".keys"))
    renamed = old.relative_to(tmp_path / "log").as_posix()
    with log.upkeep.catalogue.database.write() as connection:
        change = sa.update(log_files).where(log_files.c.kind == "PREDICTIONS")
        connection.execute(change.values(path=renamed, bytes=old.stat().st_size))
    log = opened(tmp_path)
    found = verify(log.upkeep)
    assert (found.unchecked, troubles(found)) == (1, [Trouble.KEYS])
    old.write_bytes(old.read_bytes() + b" ")
    assert troubles(verify(log.upkeep)) == [Trouble.DAMAGED]
    old.with_suffix(".keys").unlink()
    assert mend(log).lost == 8


def test_damaged_segments_are_found_and_set_aside(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append(SPEC, predictions(["a"]))
    log.append(SPEC, predictions(["b"], T0 + HOUR))
    log.close()
    (segment,) = (tmp_path / "log" / "landing").iterdir()
    flip(segment, 100)
    log = opened(tmp_path)
    assert troubles(verify(log.upkeep)) == [Trouble.SEGMENT]
    done = mend(log)
    assert [one.path for one in done.mended] == [f"landing/{segment.name}.damaged"]
    assert done.left.problems == ()
    assert damaged_names(tmp_path / "log" / "landing") == []
    assert (tmp_path / "log" / "damaged" / "landing" / f"{segment.name}.damaged").exists()
    assert texts(log.rows(SPEC, ALL), "prediction_id") == ["b"]


def test_a_segment_that_is_gone_is_told_once(tmp_path: Path) -> None:
    log = opened(tmp_path)
    fill(log)
    log.close()
    (segment,) = (tmp_path / "log" / "landing").iterdir()
    segment.unlink()
    log = opened(tmp_path)
    assert troubles(verify(log.upkeep)) == [Trouble.SEGMENT_GONE]
    assert mend(log).left.problems == ()
    with log.upkeep.catalogue.database.read() as connection:
        assert connection.execute(sa.select(log_segments)).all() == []


def test_strangers_are_listed_and_left_alone(tmp_path: Path) -> None:
    log = opened(tmp_path)
    fill(log)
    path = files(tmp_path)[0]
    for name in ("x.parquet", "x.keys", "y.txt"):
        (path.parent / name).write_bytes(b"?")
    (tmp_path / "log" / "notes.txt").write_text("mine")
    found = verify(log.upkeep)
    assert found.problems == ()
    assert [Path(name).name for name in found.strangers] == [
        "notes.txt",
        "x.keys",
        "x.parquet",
        "y.txt",
    ]
    assert mend(log).left.strangers == found.strangers


def test_a_catalogue_that_says_other_than_files_and_profiles_is_found(tmp_path: Path) -> None:
    log = opened(tmp_path)
    fill(log)
    database = log.upkeep.catalogue.database
    with database.write() as connection:
        rows = connection.execute(sa.select(log_files)).mappings().all()
        first = next(row for row in rows if row["kind"] == "PREDICTIONS")
        connection.execute(sa.delete(log_files).where(log_files.c.number == first["number"]))
    assert troubles(verify(log.upkeep)) == [Trouble.PROFILES]
    twice = {**first, "path": first["path"].replace("-0000-", "-9999-")}
    for end in (".parquet", ".keys"):
        source, target = (
            (tmp_path / "log" / p).with_suffix(end) for p in (first["path"], twice["path"])
        )
        target.write_bytes(source.read_bytes())
    with database.write() as connection:
        connection.execute(sa.insert(log_files), [dict(first), {**twice, "number": 77}])
    found = verify(log.upkeep)
    assert sorted(troubles(found)) == [Trouble.DOUBLE, Trouble.PROFILES]
    assert [finding.rows for finding in found.problems] == [8, 4]
    with database.write() as connection:
        wrong = sa.update(log_files).where(log_files.c.number == 77)
        connection.execute(wrong.values(rows=9))
    assert Trouble.DAMAGED in troubles(verify(log.upkeep))


def test_what_retention_and_erasure_remove_is_accounted_for(tmp_path: Path) -> None:
    log = opened(tmp_path, Retention(DAY, 30 * DAY, 4000 * DAY, DAY))
    fill(log, 3)
    log.tidy(T0 + 31 * DAY)
    assert log.rows(SPEC, ALL).num_rows == 16
    erase(log, SPEC, Target(True, ("card 1",)), "test", NOW, tmp_path)
    assert log.rows(SPEC, ALL).num_rows == 12
    assert verify(log.upkeep).problems == ()


def test_files_that_leave_the_log_meanwhile_are_no_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, other = opened(tmp_path), opened(tmp_path)
    fill(log)
    whole = os.path.exists
    done: list[bool] = []

    def slow(path: Path) -> bool:
        if not done:
            done.append(True)
            erase(other, SPEC, Target(False, ("0-0",)), "test", NOW, tmp_path)
        return whole(path)

    monkeypatch.setattr(Path, "exists", slow)
    assert verify(log.upkeep).problems == ()


def test_a_damaged_page_of_the_records_is_found(tmp_path: Path) -> None:
    """Of a path, in the index of paths: the table itself reads as before."""
    log = opened(tmp_path)
    log.append(SPEC, predictions(["a"]))
    log.roll(NOW)
    path = files(tmp_path)[0].relative_to(tmp_path / "log").as_posix()
    log.upkeep.catalogue.database.close()
    database = tmp_path / "records.db"
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(database.read_bytes())
    places = [at.start() for at in re.finditer(re.escape(path.encode()), bytes(content))]
    content[places[-1] + 3] ^= 1
    database.write_bytes(content)
    found = verify(opened(tmp_path).upkeep).problems
    assert {problem.trouble for problem in found} == {Trouble.RECORDS}
    assert "missing from index" in found[0].text
