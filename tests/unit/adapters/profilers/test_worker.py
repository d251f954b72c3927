"""What a task of the distributed profile job does, without Spark around it."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from homeostat.adapters.profilers import worker
from homeostat.adapters.profilers.worker import Cut, Job, Profiling, Renamed, gather, merge
from homeostat.domain.model import ColumnKind
from homeostat.profiles.build import profile_table
from homeostat.profiles.format import from_bytes, to_bytes
from homeostat.profiles.profile import Profile, category_rank, merge_all

HOUR = 3_600_000_000
NOON = int(datetime(2024, 1, 1, 12, tzinfo=UTC).timestamp()) * 1_000_000
KINDS = {"amount": ColumnKind.NUMERIC, "shop": ColumnKind.CATEGORICAL}
ALL = (*KINDS, "at", "land")


def rows(count: int, seed: int = 7) -> pa.Table:
    rng = np.random.default_rng(seed)
    amounts = rng.normal(size=count) * 10.0 ** rng.integers(-9, 9, count)
    amounts[:: max(1, count // 7)] = np.nan
    hidden = rng.random(count) < 0.1
    at = NOON + rng.integers(-5 * HOUR, 5 * HOUR, count)
    return pa.table(
        {
            "amount": pa.array(amounts, mask=hidden),
            "shop": rng.choice(["a", "b", "ö"], count),
            "at": pa.array(at, pa.timestamp("us", "UTC")),
            "land": pa.array(rng.choice(["DE", "FR"], count), mask=~hidden),
        }
    )


def sent(table: pa.Table, size: int) -> list[pa.RecordBatch]:
    """Rows as Spark sends them: in small batches, under other names."""
    names = [f"c{place}" for place in range(table.num_columns)]
    return table.rename_columns(names).to_batches(max_chunksize=size)


def told(batches: list[pa.RecordBatch]) -> list[dict[str, object]]:
    return pa.Table.from_batches(batches).to_pylist()


def profiles(batches: list[pa.RecordBatch]) -> list[Profile]:
    return [from_bytes(part["part"]) for part in told(batches)]


@pytest.mark.parametrize("size", [1, 17, 1000])
def test_a_partition_gives_the_profile_of_its_rows(size: int) -> None:
    table = rows(300)
    job = Job(Renamed(ALL), Profiling(KINDS))
    (found,) = profiles(list(job.parts(sent(table, size))))
    assert to_bytes(found) == to_bytes(profile_table(table, KINDS))


def test_large_profiles_are_handed_on_before_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_HELD", 1000)
    monkeypatch.setattr(worker, "_ROWS", 50)
    table = rows(300)
    parts = profiles(list(Job(Renamed(ALL), Profiling(KINDS)).parts(sent(table, 10))))
    assert len(parts) > 2
    assert merge_all(parts) == profile_table(table, KINDS)


def test_batches_are_gathered_up_to_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = sent(rows(100), 10)
    assert [table.num_rows for table in gather(batches)] == [100]
    monkeypatch.setattr(worker, "_BYTES", batches[0].nbytes * 2)
    assert max(table.num_rows for table in gather(batches)) <= 30
    assert not list(gather([]))


def test_times_are_written_in_utc_whatever_the_session_zone() -> None:
    kinds = {"at": ColumnKind.CATEGORICAL}
    zones = [
        pa.table({"at": pa.array([NOON], pa.timestamp("us", zone))})
        for zone in ("UTC", "Asia/Tokyo")
    ]
    job = Job(Renamed(("at",)), Profiling(kinds))
    first, second = (profiles(list(job.parts(sent(table, 1)))) for table in zones)
    assert first == second == [profile_table(zones[0], kinds)]


@pytest.mark.parametrize("hide", [False, True])
def test_windows_and_segments_divide_the_rows(hide: bool) -> None:
    table = rows(500)
    personal = frozenset({"land"} if hide else ())
    job = Job(Renamed(ALL), Profiling(KINDS, personal, Cut("at", HOUR, ("land", "shop"))))
    parts = told(list(job.parts(sent(table, 100))))
    assert merge_all(from_bytes(part["part"]) for part in parts) == profile_table(table, KINDS)
    germany = f"#{category_rank('DE'):016x}" if hide else "DE"
    at, land, shop = (table.column(name).to_pylist() for name in ("at", "land", "shop"))
    chosen = [
        row for row in range(500) if at[row].hour == 11 and land[row] == "DE" and shop[row] == "ö"
    ]
    expected = profile_table(table.take(chosen), KINDS)
    found = [
        from_bytes(part["part"])
        for part in parts
        if part["start"] == NOON - HOUR and part["segment"] == f'["{germany}", "\\u00f6"]'
    ]
    assert found == [expected]
    assert any(part["segment"].startswith("[null") for part in parts)


def test_windows_before_1970_begin_before_their_rows() -> None:
    table = pa.table({"at": pa.array([-1, 0], pa.timestamp("us"))})
    job = Job(Renamed(("at",)), Profiling({}, cut=Cut("at", HOUR)))
    parts = told(list(job.parts(sent(table, 2))))
    assert [part["start"] for part in parts] == [-HOUR, 0]


def test_dates_are_midnights() -> None:
    table = pa.table({"at": pa.array([19_723], pa.date32())})
    job = Job(Renamed(("at",)), Profiling({}, cut=Cut("at", HOUR)))
    (part,) = told(list(job.parts(sent(table, 1))))
    assert part["start"] == NOON - 12 * HOUR


def test_a_row_without_a_time_is_a_problem() -> None:
    table = pa.table({"at": pa.array([None, NOON], pa.timestamp("us"))})
    job = Job(Renamed(("at",)), Profiling({}, cut=Cut("at", HOUR)))
    (part,) = told(list(job.parts(sent(table, 2))))
    assert "column 'at' is null" in part["problem"]
    assert part["part"] is None


def test_what_cannot_be_read_is_a_problem_not_a_crash() -> None:
    table = pa.table({"amount": ["1.5", "much"]})
    job = Job(Renamed(("amount",)), Profiling({"amount": ColumnKind.NUMERIC}))
    (part,) = told(list(job.parts(sent(table, 1))))
    assert part["problem"].startswith("column 'amount' cannot be read as numbers")


def test_merging_adds_up_each_cell() -> None:
    tables = [rows(200, seed) for seed in range(5)]
    job = Job(Renamed(ALL), Profiling(KINDS, cut=Cut("at", HOUR, ("shop",))))
    parts = [batch for table in tables for batch in job.parts(sent(table, 50))]
    merged = told(list(merge(parts)))
    cells = [(part["start"], part["segment"]) for part in merged]
    assert len(set(cells)) == len(cells)
    whole = profile_table(pa.concat_tables(tables), KINDS)
    assert merge_all(from_bytes(part["part"]) for part in merged) == whole


def test_a_problem_outlives_merging() -> None:
    bad = pa.table({"amount": ["b"]}), pa.table({"amount": ["a"]})
    job = Job(Renamed(("amount",)), Profiling({"amount": ColumnKind.NUMERIC}))
    good = list(job.parts(sent(pa.table({"amount": [1.0]}), 1)))
    problems = [batch for table in bad for batch in job.parts(sent(table, 1))]
    (part,) = told(list(merge([*good, *problems])))
    assert "'a'" in part["problem"]
    assert not told([*merge([])])
