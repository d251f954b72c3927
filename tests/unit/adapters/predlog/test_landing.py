"""Several calls at once: one table, one write, and each call its own receipt."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from databases import open_records
from homeostat.adapters.predlog import FilePredictionLog
from homeostat.domain.columns import texts
from homeostat.domain.errors import DataError, StorageError
from homeostat.engine.ports import Receipt
from homeostat.simulation.conformance.log import ALL, NOW, SPEC, T0, labels, predictions

STILL = timedelta(0)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[FilePredictionLog]:
    opened = FilePredictionLog(tmp_path / "log", open_records(tmp_path), fsync=False)
    yield opened
    opened.close()


def changed(table: pa.Table, name: str, column: list[Any]) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(column))


def ids(log: FilePredictionLog) -> list[str]:
    return texts(log.rows(SPEC, ALL), "prediction_id")


def test_each_call_is_told_of_its_own_rows(log: FilePredictionLog) -> None:
    plain = predictions(["a", "b"])
    wrong = changed(predictions(["c", "d"]), "score", ["high", "low"])
    unknown = predictions(["e"]).append_column("height", pa.array([1.0]))
    nameless = changed(predictions(["f", ""]), "score", [1, 0])
    late = predictions(["g"], NOW + timedelta(days=1))
    again = predictions(["h", "b"]).replace_schema_metadata({"pandas": "{}"})
    found = log.append_each(
        SPEC, "predictions", [plain, wrong, unknown, nameless, late, again, plain.slice(0, 0)]
    )
    receipts = [answer for answer in found if isinstance(answer, Receipt)]
    counts = [(r.accepted, r.duplicates, [e.row for e in r.rejected]) for r in receipts]
    assert counts == [(2, 0, []), (0, 0, [0, 1]), (1, 0, [1]), (0, 0, [0]), (1, 1, []), (0, 0, [])]
    assert isinstance(found[2], DataError)
    assert "unknown column 'height'" in str(found[2])
    assert ids(log) == ["a", "f", "h", "b"]
    assert sorted(kept.column for kept in log.quarantined()) == [
        "prediction_id", "score", "score", "timestamp",
    ]  # fmt: skip


def test_together_or_one_by_one_is_the_same(log: FilePredictionLog, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    calls = [
        predictions([str(key) for key in rng.integers(0, 60, rng.integers(0, 9))], step=STILL)
        for _ in range(30)
    ]
    other = FilePredictionLog(tmp_path / "other", open_records(tmp_path / "b"), fsync=False)
    singly = [other.append(SPEC, call) for call in calls]
    assert log.append_each(SPEC, "predictions", calls) == singly
    assert ids(log) == ids(other)
    marks = [labels([str(key)], float(key % 2), T0) for key in rng.integers(0, 60, 30)]
    marked = [other.append_labels(SPEC, each) for each in marks]
    assert log.append_each(SPEC, "labels", marks) == marked
    other.close()


def test_a_refused_row_that_cannot_be_kept_fails_its_call_alone(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    log = FilePredictionLog(tmp_path / "log", records, fsync=False)
    records.close()
    (tmp_path / "records.db").unlink(missing_ok=True)
    (tmp_path / "records.db").mkdir()
    good, bad = log.append_each(SPEC, "predictions", [predictions(["a"]), predictions([""])])
    assert good == Receipt(1)
    assert isinstance(bad, StorageError)
    log.close()


@pytest.mark.parametrize("behind", [0, 2**40], ids=["rolls are behind", "rolls keep up"])
def test_finished_segments_are_read_as_before(log: FilePredictionLog, behind: int) -> None:
    log._landing.behind, log._writer.segment_bytes = behind, 1
    keys = [f"{number}" for number in range(9)]
    for key in keys:
        log.append(SPEC, predictions([key]))
        log.append_labels(SPEC, labels([key], 1.0, T0))
    assert ids(log) == keys
    assert log.append(SPEC, predictions(keys, step=STILL)).duplicates == len(keys)
    assert log.roll(NOW) == 2 * len(keys)
    log.append(SPEC, predictions(["z"]))
    assert ids(log) == [*keys, "z"]
    assert log.labelled(SPEC, ALL, NOW).column("label").to_pylist() == [1.0] * 9 + [None]
