"""Histories as they are: gaps, copies, local times, labels too early, features that come later."""

from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

from homeostat.domain.columns import micros
from homeostat.domain.errors import DataError
from homeostat.domain.record import TIMESTAMP
from homeostat.entrypoints.history import Told, tell_history
from homeostat.entrypoints.settings import load
from unit.entrypoints.test_elsewhere import A_DAY, START, world, written

DAY = timedelta(days=1)


def told(folder: Path, table: pa.Table) -> Told:
    file = written(folder, table)
    return tell_history(load(folder / "homeostat.yaml"), "late", file)


def days(table: pa.Table) -> np.ndarray:
    return np.arange(table.num_rows) // A_DAY


def moved(table: pa.Table, by: timedelta) -> pa.Table:
    for name in ("timestamp", "label_timestamp"):
        place = table.column_names.index(name)
        later = micros(table, name) + by // timedelta(microseconds=1)
        table = table.set_column(place, name, pa.array(later, TIMESTAMP))
    return table


def test_a_usual_history_has_no_notes(tmp_path: Path) -> None:
    assert told(tmp_path, world()).notes == ()


def test_gaps_are_said(tmp_path: Path) -> None:
    table = world()
    table = table.filter(pa.array(~np.isin(days(table), [5, 6, 20, 22, 24, 26])))
    assert told(tmp_path, table).notes == (
        (
            "there are no rows on 6 of 40 days: 2025-01-06 to 2025-01-07, 2025-01-21, 2025-01-23 "
            "and 2 further gaps"
        ),
    )


def test_a_copied_day_is_said(tmp_path: Path) -> None:
    table = world()
    later = moved(table.slice(3 * A_DAY, A_DAY), 7 * DAY)
    both = pa.concat_tables([table.slice(0, 10 * A_DAY), later, table.slice(11 * A_DAY)])
    (note,) = told(tmp_path, both).notes
    assert "1 days hold the same rows as an earlier one: 2025-01-11 (as 2025-01-04)" in note


def test_rows_that_come_again_are_taken_once(tmp_path: Path) -> None:
    table = world().slice(0, 5 * A_DAY)
    ids = pa.array([f"p{i}" for i in range(table.num_rows)])
    table = table.append_column("prediction_id", ids)
    again = pa.concat_tables([table, table.slice(A_DAY, A_DAY)])
    found = told(tmp_path, again)
    assert found.notes == (("70 rows come more than once, the same in every column; each is taken "
                           "once"),)  # fmt: skip
    assert found.rows.equals(told(tmp_path, table).rows)
    other = again.set_column(0, "timestamp", pa.array([START] * again.num_rows))
    label = np.append(np.zeros(table.num_rows), np.ones(A_DAY))
    with pytest.raises(DataError, match="more than once"):
        told(tmp_path, other.set_column(4, "label", pa.array(label)))


@pytest.mark.parametrize(
    ("zone", "words"),
    [
        ("Europe/Lisbon", "2025-03-30 has no rows from 01:00 to 02:00"),
        ("America/New_York", "2025-11-02 has twice the rows from 01:00"),
        ("Asia/Tokyo", ""),
    ],
)
def test_local_times_with_daylight_saving_are_said(tmp_path: Path, zone: str, words: str) -> None:
    begin = 80 if "Lisbon" in zone else 296
    count = 18 * 24 * 25
    there = [START + begin * DAY + timedelta(minutes=2.4 * n) for n in range(count)]
    local = [moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None) for moment in there]
    base = world().take(np.arange(count) % (40 * A_DAY))
    rng = np.random.default_rng(3)
    base = base.set_column(1, "amount", pa.array(rng.normal(size=count)))
    times = pa.array(local, pa.timestamp("us"))
    base = base.set_column(0, "timestamp", times).set_column(5, "label_timestamp", times)
    found = told(tmp_path, base).notes
    assert (not found) if not words else (words in found[0] and "give times" in found[0])
    zoned = pa.array(there, pa.timestamp("us", "UTC")).cast(pa.timestamp("us", zone))
    base = base.set_column(0, "timestamp", zoned).set_column(5, "label_timestamp", zoned)
    assert told(tmp_path, base).notes == ()


def test_labels_before_predictions_are_said(tmp_path: Path) -> None:
    table = world()
    known = table["label_timestamp"].to_pylist()
    known[7] = START - DAY
    table = table.set_column(5, "label_timestamp", pa.array(known))
    (note,) = told(tmp_path, table).notes
    assert note.startswith("1 labels were known before their predictions were made (first: row-7)")


def test_features_that_come_later_and_go_are_said(tmp_path: Path) -> None:
    table = world()
    amount = np.where(days(table) < 12, np.nan, table["amount"].to_numpy())
    country = [
        c if d < 30 else None
        for c, d in zip(table["country"].to_pylist(), days(table), strict=False)
    ]
    table = table.set_column(1, "amount", pa.array(amount))
    table = table.set_column(2, "country", pa.array(country))
    assert told(tmp_path, table).notes == (
        "feature amount is empty before 2025-01-13",
        "feature country is empty after 2025-01-30",
    )
    table = table.set_column(1, "amount", pa.nulls(table.num_rows, pa.float64()))
    assert "feature amount is empty in all rows" in told(tmp_path, table).notes


def test_two_versions_at_once_are_said(tmp_path: Path) -> None:
    table = world()
    names = np.where(days(table) < 30, "1", "2").astype(object)
    (note,) = told(tmp_path, table.append_column("version", pa.array(names))).notes
    assert note.startswith(
        "2 versions answered: 1 (2,100 rows, 2025-01-01 to 2025-01-30), "
        "2 (700 rows, 2025-01-31 to 2025-02-09); they are judged as one"
    )
    names = np.array(["1", "2", "3", None, "5"], object)[np.arange(table.num_rows) % 5]
    (note,) = told(tmp_path, table.append_column("version", pa.array(names))).notes
    assert "5 versions answered" in note
    assert "and 2 more" in note
    one = pa.array(["1"] * table.num_rows)
    assert told(tmp_path, table.append_column("version", one)).notes == ()
