"""After an erasure nothing of an entity is left, and the report proves it."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.predlog.erase import Erasure, Target, erase
from homeostat.adapters.predlog.parquet import FileStore
from homeostat.adapters.predlog.prove import Searched, search
from homeostat.adapters.records import DatabaseRecords
from homeostat.domain.columns import texts
from homeostat.domain.errors import StorageError
from homeostat.domain.model import Column, ColumnKind, Schema
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import ALL, NOW, SPEC, T0, labels, predictions

DAY = timedelta(days=1)
ADA, BOB = "ada@example.org", "bob@example.org"


def opened(folder: Path) -> FilePredictionLog:
    records = DatabaseRecords(f"sqlite:///{folder}/records.db", SimulatedClock(NOW))
    return FilePredictionLog(folder / "log", records)


def sent(day: int, spec_rows: int = 4) -> pa.Table:
    ids = [f"{day}-{i}" for i in range(spec_rows)]
    table = predictions(ids, T0 + day * DAY)
    owners = pa.array([ADA if i % 2 else BOB for i in range(spec_rows)], pa.string())
    return table.set_column(table.column_names.index("entity"), "entity", owners)


def fill(log: FilePredictionLog) -> None:
    for day in range(3):
        log.append(SPEC, sent(day))
        ids = [f"{day}-{i}" for i in range(4)]
        log.append_labels(SPEC, labels(ids, 1.0, T0 + 20 * DAY))
        log.roll(NOW)
    log.append(SPEC, sent(3))
    bad = sent(4).set_column(7, "score", pa.array([None, None, 0.5, 0.5], pa.float64()))
    log.append(SPEC, bad)


def held_files(log: FilePredictionLog) -> set[str]:
    """Return the files that a log knows of, without having it look again."""
    days = log.upkeep.state.files.values()
    return {file.path for by_day in days for files in by_day.values() for file in files}


def forget_ada(log: FilePredictionLog, folder: Path) -> Erasure:
    return erase(log, SPEC, Target(True, (ADA,)), "test", NOW, folder)


def test_an_entity_leaves_every_file_table_and_byte(tmp_path: Path) -> None:
    log, reader = opened(tmp_path), opened(tmp_path)
    fill(log)
    log.tidy(NOW, eager=True)
    profile = log.profile(SPEC, ALL)
    assert len(reader.rows(SPEC, ALL)) == 18
    assert search(tmp_path, log.upkeep.catalogue.database, [ADA]).found
    done = forget_ada(log, tmp_path)
    assert done.complete
    assert (done.predictions, done.labels, done.quarantined) == (9, 6, 1)
    assert sum(f.rows for f in done.files) == 15
    assert done.searched.by_bytes
    assert done.searched.files > 4
    assert not any(ADA.encode() in path.read_bytes() for path in tmp_path.rglob("*.*"))
    for one in (log, reader, opened(tmp_path)):
        left = one.labelled(SPEC, ALL, NOW)
        assert set(texts(left, "entity")) == {BOB}
        assert left.num_rows == 9
    assert log.profile(SPEC, ALL).rows == profile.rows, "counts stay"
    assert [json.loads(q.row)["entity"] for q in log.quarantined()] == [BOB]
    assert not forget_ada(log, tmp_path).files, "a second time there is nothing to do"


def test_the_decision_log_names_no_one(tmp_path: Path) -> None:
    log = opened(tmp_path)
    fill(log)
    done = forget_ada(log, tmp_path)
    records = DatabaseRecords(f"sqlite:///{tmp_path}/records.db", SimulatedClock(NOW))
    rows, proof = records.decisions(SPEC.name)
    assert (rows.action, dict(rows.evidence)) == ("erase_rows", {"predictions": 9, "labels": 6})
    assert (proof.action, proof.reason) == ("erase", "nothing is left")
    assert proof.subject == rows.subject == done.token
    assert done.token.startswith("entity #")
    assert forget_ada(log, tmp_path).token == done.token, "who asks again can tell"


def test_one_prediction_is_erased_by_its_id(tmp_path: Path) -> None:
    log = opened(tmp_path)
    fill(log)
    done = erase(log, SPEC, Target(False, ("1-1",)), "test", NOW, tmp_path)
    assert (done.predictions, done.labels, done.complete) == (1, 1, True)
    assert not done.searched.by_bytes, "three bytes turn up by chance"
    assert "1-1" not in texts(log.rows(SPEC, ALL), "prediction_id")


def test_a_value_inside_longer_ones_is_told_apart(tmp_path: Path) -> None:
    log = opened(tmp_path)
    rows = predictions([f"p{i}" for i in range(30)])  # entities "card 0" to "card 29"
    log.append(SPEC, rows)
    log.roll(NOW)
    log.append(SPEC, predictions(["bad"], score=float("nan")).set_column(
        6, "entity", pa.array(["card 22"])))  # fmt: skip
    done = erase(log, SPEC, Target(True, ("card 2",)), "test", NOW, tmp_path)
    assert done.complete
    assert done.predictions == 1
    assert "the records database" in done.searched.longer
    assert len(log.rows(SPEC, ALL)) == 29


def test_profiles_forget_the_name_and_keep_the_count(tmp_path: Path) -> None:
    columns = (*SPEC.schema.columns, Column("card", ColumnKind.CATEGORICAL))
    spec = replace(SPEC, schema=Schema(columns), entity="card")
    log = opened(tmp_path)
    owners = pa.array([ADA, BOB, ADA], pa.string())
    rows = predictions(["a", "b", "c"]).append_column("card", owners)
    log.append(spec, rows)
    log.roll(NOW)
    done = erase(log, spec, Target(True, (ADA,)), "test", NOW, tmp_path)
    assert done.complete
    assert (done.predictions, done.profiles) == (2, 1)
    assert log.profile(spec, ALL).columns["card"].values == {BOB: 1, "(erased)": 2}


def test_a_segment_that_another_process_writes_is_given_up(tmp_path: Path) -> None:
    log, server = opened(tmp_path), opened(tmp_path)
    fill(server)
    first = forget_ada(log, tmp_path)
    assert first.held
    assert not first.complete
    assert any("landing" in name for name in first.searched.found)
    assert server.append(SPEC, predictions(["later"], T0 + 9 * DAY)).accepted == 1
    assert forget_ada(log, tmp_path).complete
    server.roll(NOW)
    assert len(server.rows(SPEC, ALL)) == len(log.rows(SPEC, ALL)) == 10


def test_an_idle_process_gives_its_segment_up_when_it_rolls(tmp_path: Path) -> None:
    log, server = opened(tmp_path), opened(tmp_path)
    fill(server)
    assert forget_ada(log, tmp_path).held
    server.roll(NOW)
    assert forget_ada(log, tmp_path).complete
    assert list((tmp_path / "log" / "landing").iterdir()) == []


def test_an_idle_process_lets_go_of_what_was_erased(tmp_path: Path) -> None:
    log, server, reader = (opened(tmp_path) for _ in range(3))
    fill(server)
    assert len(reader.rows(SPEC, ALL)) == 18
    old, held = held_files(reader), server.upkeep.state.bytes
    assert forget_ada(log, tmp_path).held
    assert server.upkeep.state.bytes == held > 0
    server.release()
    assert forget_ada(log, tmp_path).complete
    assert reader.upkeep.state.bytes > 0
    for idle in (server, reader):
        idle.release()
        assert idle.upkeep.state.bytes == 0
        assert not old & held_files(idle)
    assert server.append(SPEC, sent(3).slice(0, 1)).duplicates == 1, "what it stored is known still"


def test_damaged_files_that_may_hold_it_are_deleted(tmp_path: Path) -> None:
    log = opened(tmp_path)
    fill(log)
    folder = tmp_path / "log" / "damaged" / "model=fraud%20%2F%20model"
    folder.mkdir(parents=True)
    (folder / "x.parquet").write_bytes(b"junk")
    (tmp_path / "log" / "landing" / "1.seg.damaged").write_bytes(b"..." + ADA.encode())
    (tmp_path / "log" / "landing" / "2.seg.damaged").write_bytes(b"..." + BOB.encode())
    done = forget_ada(log, tmp_path)
    assert done.complete
    assert len(done.damaged) == 2
    assert (tmp_path / "log" / "landing" / "2.seg.damaged").exists()


def test_a_reader_of_a_file_that_is_gone_reads_its_successor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, reader = opened(tmp_path), opened(tmp_path)
    fill(log)
    read, calls = FileStore.read, 0

    def late(self: FileStore, *args: object, **kwargs: object) -> pa.Table:
        nonlocal calls
        calls += 1
        if calls == 1:
            forget_ada(log, tmp_path)
        return read(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(FileStore, "read", late)
    assert set(texts(reader.rows(SPEC, ALL), "entity")) == {BOB}


def test_appends_go_on_where_a_file_was_taken_away(tmp_path: Path) -> None:
    log = opened(tmp_path)
    fill(log)
    server = opened(tmp_path)  # knows the files, and has looked into none of them
    forget_ada(log, tmp_path)
    assert server.append(SPEC, sent(0)).duplicates == 2
    other = opened(tmp_path)
    for path in (tmp_path / "log" / "predictions").rglob("*.*"):
        path.unlink()
    with pytest.raises(StorageError, match="repair"):
        other.append(SPEC, sent(1))


def test_a_failed_deletion_is_told_and_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = opened(tmp_path)
    fill(log)

    def full(*_: object) -> None:
        raise OSError("no")

    monkeypatch.setattr(FileStore, "sweep", full)
    with pytest.raises(StorageError, match="no"):
        forget_ada(log, tmp_path)
    monkeypatch.undo()
    assert forget_ada(log, tmp_path).complete


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from homeostat.adapters.predlog.parquet import FileStore
from test_erase import fill, forget_ada, opened
folder = Path(sys.argv[1])
log = opened(folder)
fill(log)
FileStore.sweep = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
forget_ada(log, folder)
"""


def test_kill_between_register_and_unlink_leaves_nothing_to_chance(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(Path(__file__).parent)]
    child = subprocess.run(command, env=dict(os.environ), check=False)
    assert child.returncode == -signal.SIGKILL
    log = opened(tmp_path)
    assert set(texts(log.rows(SPEC, ALL), "entity")) == {BOB}
    assert search(tmp_path, log.upkeep.catalogue.database, [ADA]).found
    assert forget_ada(log, tmp_path).complete


def test_a_file_with_another_footer_than_it_was_written_with_is_not_opened(
    tmp_path: Path,
) -> None:
    """PyArrow may end the process over it. What such a file holds is judged by its bytes."""
    log = opened(tmp_path)
    fill(log)
    path = next((tmp_path / "log" / "predictions").rglob("*.parquet"))
    (tmp_path / "aside").mkdir()
    database = log.upkeep.catalogue.database

    def judged(name: str) -> Searched:
        (tmp_path / "aside" / name).write_bytes(path.read_bytes())
        return search(tmp_path / "aside", database, ["ada@example"])

    assert path.name in judged(path.name).longer
    other = re.sub("-foot[0-9a-f]{8}", "-foot00000000", path.name)
    found = judged(other)
    assert other in found.found
    assert path.name in found.longer
