"""The log as Delta tables: each row once, whatever was repeated, rewritten or killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable, write_deltalake

from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.predlog.delta import Published, publish
from homeostat.adapters.records import DatabaseRecords
from homeostat.domain.errors import DataError, StorageError
from homeostat.domain.model import Column, ColumnKind, Schema
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import ALL, HOUR, NOW, SPEC, T0, labels, predictions

MONEY = replace(SPEC, outcomes=("lost",))
DAY = 24 * HOUR


def opened(folder: Path) -> FilePredictionLog:
    records = DatabaseRecords(f"sqlite:///{folder}/records.db", SimulatedClock(NOW))
    return FilePredictionLog(folder / "log", records, settle_rows=40)


@pytest.fixture
def log(tmp_path: Path) -> FilePredictionLog:
    return opened(tmp_path)


def read(folder: Path, kind: str) -> pa.Table:
    table = DeltaTable(folder / kind).to_pyarrow_table()
    assert table.column("_day").null_count == 0
    return table.drop_columns(["_day"])


def published(folder: Path) -> pa.Table:
    found = read(folder, "predictions")
    return found.sort_by([(n, "ascending") for n in ("timestamp", "prediction_id", "version")])


def test_what_is_new_is_added_and_read_back_by_another_reader(
    log: FilePredictionLog, tmp_path: Path
) -> None:
    target = tmp_path / "delta"
    log.append(MONEY, predictions([f"a{i}" for i in range(30)], T0, step=HOUR))
    log.append_labels(MONEY, labels(["a1", "a2"], 1.0, T0 + 3 * DAY))
    assert publish(log, MONEY, str(target), NOW) == Published(30, 2)
    assert published(target).equals(log.rows(MONEY, ALL).select(published(target).column_names))
    log.append(MONEY, predictions(["b1", "b2"], T0 + HOUR))
    log.append_labels(MONEY, labels(["a1"], 12.5, T0 + 4 * DAY, "lost"))
    log.append_labels(MONEY, labels(["a1"], 0.0, T0 + 4 * DAY))
    assert publish(log, MONEY, str(target), NOW) == Published(2, 2)
    version = DeltaTable(target / "predictions").version()
    assert publish(log, MONEY, str(target), NOW) == Published(0, 0)
    assert DeltaTable(target / "predictions").version() == version
    assert published(target).equals(log.rows(MONEY, ALL).select(published(target).column_names))
    told = read(target, "labels").sort_by([("arrival", "ascending"), ("label", "ascending")])
    assert told.select(["prediction_id", "label", "outcome"]).to_pylist() == [
        {"prediction_id": "a1", "label": 1.0, "outcome": ""},
        {"prediction_id": "a2", "label": 1.0, "outcome": ""},
        {"prediction_id": "a1", "label": 0.0, "outcome": ""},
        {"prediction_id": "a1", "label": 12.5, "outcome": "lost"},
    ]
    dataset = DeltaTable(target / "predictions").to_pyarrow_dataset()
    assert dataset.count_rows(filter=pc.field("_day") == "2024-01-02") == 6


def test_files_that_replace_others_bring_only_what_is_new(
    log: FilePredictionLog, tmp_path: Path
) -> None:
    target = str(tmp_path / "delta")
    added = Published(0, 0)
    for part in range(6):
        ids = [f"{part} {i}" for i in range(20)]
        log.append(SPEC, predictions(ids, T0))
        log.append_labels(SPEC, labels(ids, 1.0, T0 + part * HOUR))
        log.roll(NOW)
        if part % 2:
            # Merged files hold rows that are published beside others that are not.
            assert log.tidy(NOW, eager=True)
        if part in {0, 3}:
            done = publish(log, SPEC, target, NOW)
            added = Published(added.predictions + done.predictions, added.labels + done.labels)
    assert added == Published(80, 80)
    assert publish(log, SPEC, target, NOW) == Published(40, 40)
    assert publish(log, SPEC, target, NOW, everything=True) == Published(0, 0)
    assert published(tmp_path / "delta").equals(log.rows(SPEC, ALL))
    assert read(tmp_path / "delta", "labels").num_rows == 120


def test_columns_come_and_go(log: FilePredictionLog, tmp_path: Path) -> None:
    target = tmp_path / "delta"
    log.append(SPEC, predictions(["old"]))
    publish(log, SPEC, str(target), NOW)
    columns = (SPEC.schema.columns[0], Column("age", ColumnKind.NUMERIC))
    changed = replace(SPEC, schema=Schema(columns))
    rows = predictions(["new"], T0 + HOUR).drop_columns(["country"])
    log.append(changed, rows.append_column("age", pa.array([41.0])))
    publish(log, changed, str(target), NOW)
    found = {
        str(r["prediction_id"]): (r["country"], r["age"]) for r in published(target).to_pylist()
    }
    assert found == {"old": ("DE", None), "new": (None, 41.0)}


def test_a_column_of_another_type_is_refused_in_words(
    log: FilePredictionLog, tmp_path: Path
) -> None:
    target = str(tmp_path / "delta")
    log.append(SPEC, predictions(["old"]))
    publish(log, SPEC, target, NOW)
    columns = (Column("amount", ColumnKind.CATEGORICAL), SPEC.schema.columns[1])
    changed = replace(SPEC, schema=Schema(columns))
    rows = predictions(["new"], T0 + HOUR)
    place = rows.column_names.index("amount")
    log.append(changed, rows.set_column(place, "amount", pa.array(["much"])))
    with pytest.raises(DataError, match=r"'amount' is double in .* and string in the log; publish"):
        publish(log, changed, target, NOW)
    assert published(tmp_path / "delta").num_rows == 1


def test_the_table_of_another_model_is_left_alone(log: FilePredictionLog, tmp_path: Path) -> None:
    target = tmp_path / "delta"
    write_deltalake(target / "predictions", pa.table({"a": [1]}), name="other")
    log.append(SPEC, predictions(["a"]))
    with pytest.raises(DataError, match="is of 'other'; give each model"):
        publish(log, SPEC, str(target), NOW)
    assert DeltaTable(target / "predictions").to_pyarrow_table().num_rows == 1


def test_a_model_cannot_have_the_column_of_the_partitions(
    log: FilePredictionLog, tmp_path: Path
) -> None:
    spec = replace(SPEC, schema=Schema((Column("_day", ColumnKind.NUMERIC),)))
    rows = predictions(["a"]).drop_columns(["amount", "country"])
    log.append(spec, rows.append_column("_day", pa.array([1.0])))
    with pytest.raises(DataError, match="has a column '_day'"):
        publish(log, spec, str(tmp_path / "delta"), NOW)


def test_a_target_that_cannot_be_written_is_named(log: FilePredictionLog, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    log.append(SPEC, predictions(["a"]))
    with pytest.raises(StorageError, match=r"the Delta table .*file/predictions"):
        publish(log, SPEC, str(tmp_path / "file"), NOW)


PUBLISHER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_delta import opened
from homeostat.adapters.predlog.delta import publish
from homeostat.simulation.conformance.log import NOW, SPEC
folder = Path(sys.argv[1])
log = opened(folder)
print("ready", flush=True)
publish(log, SPEC, str(folder / "delta"), NOW, at_once=40)
"""


def test_a_publication_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    log = opened(tmp_path)
    ids = [f"{day} {i}" for day in range(30) for i in range(20)]
    log.append(SPEC, predictions(ids, T0, step=timedelta(hours=1)))
    log.append_labels(SPEC, labels(ids, 1.0, T0 + 30 * DAY))
    log.roll(NOW)
    log.close()
    # Files of the processes, not of this test.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    rng = np.random.default_rng(3)
    unfinished = 0
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", PUBLISHER, str(tmp_path), str(Path(__file__).parent)],
            stdout=subprocess.PIPE,
            env=environment,
        )
        assert process.stdout is not None
        with process.stdout as said:
            assert said.readline() == b"ready\n"
            Event().wait(rng.uniform(0.02, 0.15))
            process.kill()
        unfinished += process.wait(30) == -signal.SIGKILL
    assert unfinished
    again = opened(tmp_path)
    publish(again, SPEC, str(tmp_path / "delta"), NOW)
    assert published(tmp_path / "delta").equals(again.rows(SPEC, ALL))
    assert read(tmp_path / "delta", "labels").num_rows == len(ids)


def test_a_label_that_two_files_hold_is_published_once(
    log: FilePredictionLog, tmp_path: Path
) -> None:
    log.append(MONEY, predictions(["a"], T0))
    log.append(MONEY, predictions(["a"], T0 + 5 * DAY, version="2"))
    log.append_labels(MONEY, labels(["a", *(f"z{i}" for i in range(40))], 1.0, T0 + 6 * DAY))
    log.roll(NOW)
    assert log.status().labels == 42, "the label of a lies at both days of its predictions"
    log.append_labels(MONEY, labels(["a"], 1.0, T0 + 6 * DAY))
    assert publish(log, MONEY, str(tmp_path / "delta"), NOW) == Published(2, 41)
    assert read(tmp_path / "delta", "labels").num_rows == 41
