"""What is peculiar about a history: said, so that nobody wonders about what comes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from homeostat.domain.columns import micros, texts
from homeostat.domain.window import EPOCH

DAY, HOUR = 86_400_000_000, 3_600_000_000
SHOWN = 3
FEWEST = 20
"""Rows of a day, and of an hour of its neighbours, from which on anything is said of it."""
CHANGES = frozenset({3, 4, 9, 10, 11})
"""Months in which clocks are changed somewhere, on Sundays before four."""
PRIME = np.uint64(0x9E3779B97F4A7C15)
KNOWN = frozenset({"prediction_id", "timestamp", "arrival", "entity"})
"""Columns that differ between copies of a row."""


def peculiarities(rows: pa.Table, features: Sequence[str]) -> tuple[str, ...]:
    """Say what is peculiar: days without rows, copied days, local times, labels before predictions.

    Parameters
    ----------
    rows : pyarrow.Table
        As of `homeostat.entrypoints.history.read_history`, by time.
    features : sequence of str
        Those that are empty at first, or from some day on, are named.

    Examples
    --------
    >>> from datetime import UTC
    >>> days = [datetime(2024, 1, n, tzinfo=UTC) for n in (1, 2, 5)]
    >>> peculiarities(pa.table({"timestamp": days, "arrival": days}), [])
    ('there are no rows on 2 of 5 days: 2024-01-03 to 2024-01-04',)
    """
    if not rows.num_rows:
        return ()
    stamps = micros(rows, "timestamp")
    return (
        *_gaps(stamps // DAY),
        *_copies(rows, stamps // DAY),
        *_clock_changes(stamps),
        *_before(rows, stamps),
        *(said for name in features for said in _appears(rows, name, stamps)),
    )


def versions_said(table: pa.Table, name: str, timestamp: str) -> tuple[str, ...]:
    """Say which versions answered, if there are several in a column of the file."""
    if name not in table.column_names:
        return ()
    names = pc.coalesce(table[name].cast(pa.string()), pa.scalar("(none)"))
    counts = Counter(texts(pa.table({name: names}), name))
    if len(counts) < 2:
        return ()
    told: list[str] = []
    for version, count in sorted(counts.items(), key=lambda each: (-each[1], each[0]))[:SHOWN]:
        chosen = np.asarray(pc.equal(names, pa.scalar(version)), np.bool_)
        mine = table.filter(pa.array(chosen))[timestamp]
        first, last = pc.min(mine).as_py(), pc.max(mine).as_py()
        told.append(f"{version} ({count:,} rows, {_day(first)} to {_day(last)})")
    more = f" and {len(counts) - SHOWN} more" if len(counts) > SHOWN else ""
    return (
        (
            f"{len(counts)} versions answered: {', '.join(told)}{more}; they are judged as one; to "
            "judge one alone, name a column that is true in its rows in history.where"
        ),
    )


def _day(moment: object) -> str:
    return f"{moment:%Y-%m-%d}" if isinstance(moment, datetime | date) else str(moment)[:10]


def _named(day: int) -> str:
    return f"{EPOCH + timedelta(days=day):%Y-%m-%d}"


def _gaps(days: NDArray[np.int64]) -> Iterator[str]:
    there = np.unique(days)
    whole = int(there[-1] - there[0]) + 1
    missing = whole - there.size
    if not missing:
        return
    places = np.flatnonzero(np.diff(there) > 1)
    spans = [(int(there[i]) + 1, int(there[i + 1]) - 1) for i in places[:SHOWN]]
    named = [_named(a) if a == b else f"{_named(a)} to {_named(b)}" for a, b in spans]
    more = f" and {places.size - SHOWN} further gaps" if places.size > SHOWN else ""
    told = ", ".join(named)
    yield f"there are no rows on {missing} of {whole} days: {told}{more}"


def _hashes(rows: pa.Table) -> NDArray[np.uint64]:
    """Return a number of what each row holds, the same for the same content."""
    found = np.zeros(rows.num_rows, np.uint64)
    for name in rows.column_names:
        if name in KNOWN:
            continue
        column = rows[name]
        if pa.types.is_floating(column.type):
            values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
            codes = np.ascontiguousarray(values, np.float64).view(np.uint64)
        else:
            encoded = column.combine_chunks().dictionary_encode()
            indices = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
            codes = indices.astype(np.int64).view(np.uint64)
        found = (found ^ codes) * PRIME
        found ^= found >> np.uint64(29)
    return found


def _copies(rows: pa.Table, days: NDArray[np.int64]) -> Iterator[str]:
    """Say which days hold the same rows as an earlier one, whatever their ids."""
    starts = np.flatnonzero(np.diff(days, prepend=days[0] - 1))
    counts = np.diff(np.append(starts, days.size))
    seen: dict[tuple[int, int], int] = {}
    copies: list[tuple[int, int]] = []
    sums = np.add.reduceat(_hashes(rows), starts)
    for start, count, total in zip(starts.tolist(), counts.tolist(), sums.tolist(), strict=True):
        day = int(days[start])
        if count >= FEWEST and seen.setdefault((count, total), day) != day:
            copies.append((day, seen[count, total]))
    if copies:
        named = ", ".join(f"{_named(day)} (as {_named(of)})" for day, of in copies[:SHOWN])
        more = f" and {len(copies) - SHOWN} more" if len(copies) > SHOWN else ""
        yield (
            f"{len(copies)} days hold the same rows as an earlier one: {named}{more}; they count "
            "as rows of their own"
        )


def _clock_changes(stamps: NDArray[np.int64]) -> Iterator[str]:
    """Say on which Sundays an hour is missing, or has twice its rows, as local times have it."""
    hours, counts = np.unique(stamps // HOUR, return_counts=True)
    known = dict(zip(hours.tolist(), counts.tolist(), strict=True))
    first, last = int(stamps[0] // DAY), int(stamps[-1] // DAY)
    told: list[str] = []
    for day in range(first + 7, last - 6):
        at = EPOCH + timedelta(days=day)
        if at.weekday() != 6 or at.month not in CHANGES:
            continue
        for hour in range(4):
            place = 24 * day + hour
            usual = [known.get(place + 24 * step, 0) for step in (-7, -1, 1, 7)]
            here = known.get(place, 0)
            if min(usual) >= FEWEST and not here:
                told.append(f"{at:%Y-%m-%d} has no rows from {hour:02}:00 to {hour + 1:02}:00")
            elif min(usual) >= FEWEST and here > 1.6 * max(usual):
                told.append(f"{at:%Y-%m-%d} has twice the rows from {hour:02}:00")
    if told:
        yield (
            f"times look like local ones, with daylight saving: {'; '.join(told[:SHOWN])}; days "
            "are taken to be UTC: give times with their zone"
        )


def _before(rows: pa.Table, stamps: NDArray[np.int64]) -> Iterator[str]:
    # Nulls become NaN, which is before nothing; a float holds microseconds until the year 2255.
    arrivals = np.asarray(rows["arrival"].cast(pa.int64()).to_numpy(), np.float64)
    early = np.flatnonzero(arrivals < stamps)
    if early.size:
        named = "row"
        if "prediction_id" in rows.column_names:
            named = texts(rows.slice(int(early[0]), 1), "prediction_id")[0]
        yield (
            f"{early.size:,} labels were known before their predictions were made (first: "
            f"{named}); they count from the prediction on; are two columns mixed up?"
        )


def _appears(rows: pa.Table, name: str, stamps: NDArray[np.int64]) -> Iterator[str]:
    column = rows[name]
    there = np.asarray(column.is_valid().to_numpy(), np.bool_)
    if pa.types.is_floating(column.type):
        values = column.to_numpy(zero_copy_only=False)
        there &= ~np.isnan(np.asarray(values, np.float64))
    places = np.flatnonzero(there)
    if not places.size:
        yield f"feature {name} is empty in all rows"
        return
    first, last = int(stamps[places[0]] // DAY), int(stamps[places[-1]] // DAY)
    if first > stamps[0] // DAY + 1:
        yield f"feature {name} is empty before {_named(first)}"
    if last < stamps[-1] // DAY - 1:
        yield f"feature {name} is empty after {_named(last)}"
