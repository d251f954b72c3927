"""Rows of several files and of landed tables in one order, and their labels."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.predlog.parts import STRETCH, taken
from homeostat.adapters.records import DatabaseRecords
from homeostat.domain.columns import floats, texts
from homeostat.domain.record import TIMESTAMP
from homeostat.domain.window import Window
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import ALL, HOUR, NOW, SPEC, T0, labels, predictions

TICK = timedelta(microseconds=1)


@pytest.fixture
def log(tmp_path: Path) -> FilePredictionLog:
    records = DatabaseRecords(f"sqlite:///{tmp_path}/records.db", SimulatedClock(NOW))
    return FilePredictionLog(tmp_path / "log", records, fsync=False, settle_rows=1)


@pytest.mark.parametrize("columns", [None, ["amount"]], ids=["all", "one"])
def test_rows_of_one_time_are_in_the_order_of_their_ids(
    log: FilePredictionLog, columns: list[str] | None
) -> None:
    rng = np.random.default_rng(1)
    names = [f"{number:03d}" for number in rng.permutation(120)]
    for place in range(0, 120, 20):
        some = names[place : place + 20]
        table = predictions(some, step=timedelta(0))
        moments = [T0 + int(name) // 4 * TICK for name in some]
        amounts = pa.array([float(name) for name in some])
        table = table.set_column(1, "timestamp", pa.array(moments, TIMESTAMP))
        at = table.column_names.index("amount")
        log.append(SPEC, table.set_column(at, "amount", amounts))
        if place < 80:
            log.roll(NOW)
    found = log.rows(SPEC, ALL, columns)
    assert floats(found, "amount") == [float(number) for number in range(120)]
    labelled = log.labelled(SPEC, ALL, NOW, columns)
    assert floats(labelled, "amount") == floats(found, "amount")


@pytest.mark.parametrize("jumbled", [0, 1, 10, 3 * STRETCH], ids=str)
def test_taking_keeps_the_order_asked_for(jumbled: int) -> None:
    rng = np.random.default_rng(jumbled)
    size = 3 * STRETCH
    order = np.roll(np.arange(size), STRETCH + 7)
    places = rng.choice(size, jumbled, replace=False)
    order[np.sort(places)] = order[places]
    table = pa.table({"n": np.arange(size), "text": [str(number) for number in range(size)]})
    found = taken(pa.concat_tables([table.slice(0, 5000), table.slice(5000)]), order)
    found.validate(full=True)
    assert found.equals(table.take(order))


def test_labels_are_found_by_answers_on_both_sides_of_midnight(log: FilePredictionLog) -> None:
    midnight = T0 + 24 * HOUR
    log.append(SPEC, predictions(["a"], midnight - HOUR))
    log.append(SPEC, predictions(["a"], midnight + HOUR, version="2", role="shadow"))
    log.append_labels(SPEC, labels(["a"], 1.0, midnight + 2 * HOUR))
    for _ in range(2):
        for window in (Window(T0, midnight), Window(midnight, NOW)):
            assert floats(log.labelled(SPEC, window, NOW), "label") == [1.0]
        log.roll(NOW)


def test_labels_of_a_part_of_a_file(log: FilePredictionLog) -> None:
    names = [str(number) for number in range(60)]
    log.append(SPEC, predictions(names))
    log.append_labels(SPEC, labels(names[::2], 1.0, NOW))
    log.append_labels(SPEC, labels(names[::4], 0.0, NOW - HOUR))
    log.roll(NOW)
    log.append_labels(SPEC, labels(names[1::2], 0.0, NOW))
    window = Window(T0 + 10 * timedelta(minutes=1), T0 + 30 * timedelta(minutes=1))
    found = log.labelled(SPEC, window, NOW, ["prediction_id"])
    assert texts(found, "prediction_id") == names[10:30]
    assert floats(found, "label") == [1.0, 0.0] * 10
