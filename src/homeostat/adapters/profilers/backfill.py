"""Profiles of hours made anew from rows, and put where rolls put those that they make."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import cast

import pyarrow as pa

from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.predlog.hours import HOUR, MOST_SEGMENTS, Replaced
from homeostat.adapters.predlog.log import FilePredictionLog
from homeostat.adapters.predlog.pools import HourKey, SegmentKey
from homeostat.adapters.predlog.roll import personal_columns, profile_kinds, told_segments
from homeostat.adapters.predlog.shares import LoggedRows, logged_rows
from homeostat.adapters.profilers.engine import Engine, Found
from homeostat.adapters.profilers.logwork import HourlyProfiles
from homeostat.adapters.profilers.parts import Cell, Part
from homeostat.adapters.records.codec import to_micros
from homeostat.domain.errors import ConflictError, DataError
from homeostat.domain.model import ColumnKind, ModelSpec
from homeostat.domain.record import TIMESTAMP
from homeostat.domain.segments import REST
from homeostat.domain.window import Window
from homeostat.profiles.cast import read_columns
from homeostat.profiles.profile import Profile, merge_all

STRETCH = timedelta(days=7)
"""Time whose profiles are held at once."""
TRIES = 3

Hours = dict[HourKey, Profile]
Segments = dict[SegmentKey, Profile]


@dataclass(frozen=True, slots=True)
class RawColumns:
    """Which columns of files are what; ``version`` holds it, or ``versioned`` is it for all."""

    timestamp: str = "timestamp"
    version: str = ""
    versioned: str = ""


def backfill_log(
    log: FilePredictionLog, spec: ModelSpec, window: Window, engine: Engine
) -> Replaced:
    """Make the profiles of a window's hours anew from the log's files.

    Hours of which rows or columns have left the log (retention, erasure) keep the profiles that
    they have.

    Parameters
    ----------
    log : FilePredictionLog
        Appends, reads and, but for a moment at the end of each week, rolls go on meanwhile.
    spec : ModelSpec
        Its columns, and its segments: also those that it did not have when rows were rolled.
    window : Window
        Whole hours.
    engine : Engine

    Raises
    ------
    ConflictError
        If the window's files change whenever they have been read.
    StorageError, UserError
        If the log cannot be read or written, or the engine fails.
    """
    _check_hours(window)
    done = Replaced()
    for part in _stretches(window):
        done = done.plus(_backfilled(log, spec, part, engine))
    return done


def _backfilled(
    log: FilePredictionLog, spec: ModelSpec, window: Window, engine: Engine
) -> Replaced:
    kinds = profile_kinds(spec)
    segments = told_segments(spec)
    columns = (*kinds, "version", "role", *(name for names in segments for name in names))
    work = HourlyProfiles(kinds, frozenset(personal_columns(spec)), segments)
    for _ in range(TRIES):
        rows = logged_rows(log, spec, window, columns, landed=False)
        found = _hours(spec.name, engine.logged(rows, work))
        with log.upkeep.alone():
            there = logged_rows(log, spec, window, columns, landed=False)
            if _paths(rows) == _paths(there):
                return log.upkeep.catalogue.replace_profiles(*found, kinds)
    raise ConflictError(
        f"the files of {window} changed each time while they were read; end the window before "
        "the rows that still come, or try again"
    )


def backfill_files(
    log: FilePredictionLog,
    spec: ModelSpec,
    location: str,
    columns: RawColumns,
    engine: Engine,
    now: datetime,
) -> Replaced:
    """Make profiles of hours from files whose rows the log does not have.

    Hours that have profiles, or of which the log has rows, are left alone.

    Parameters
    ----------
    log : FilePredictionLog
    spec : ModelSpec
    location : str
        Files with the model's features and ``score``, as of `Engine.files`.
    columns : RawColumns
    engine : Engine
    now : datetime

    Raises
    ------
    DataError
        If a column is absent or cannot be read.
    NotFoundError, StorageError, UserError
        If there is nothing, the records cannot be written, or the engine fails.
    """
    kinds = profile_kinds(spec)
    segments = told_segments(spec)
    hourly = HourlyProfiles(kinds, frozenset(personal_columns(spec)), segments)
    read = {columns.timestamp: ColumnKind.CATEGORICAL, **kinds}
    if columns.version:
        read[columns.version] = ColumnKind.CATEGORICAL
    hours, parts = _hours(spec.name, engine.files(location, read, RawHours(columns, hourly)))
    with log.upkeep.alone():
        log.upkeep.empty_landing(now)
        taken = {hour for _, _, hour in hours if _has_rows(log, spec.name, hour)}
        hours = {key: profile for key, profile in hours.items() if key[2] not in taken}
        parts = {key: profile for key, profile in parts.items() if key[4] not in taken}
        catalogue = log.upkeep.catalogue
        done = catalogue.replace_profiles(hours, parts, kinds, fresh=True)
    return replace(done, left=done.left + len(taken))


@dataclass(frozen=True, slots=True)
class RawHours:
    """Profiles of hours of rows that are no records of the log, as work."""

    columns: RawColumns
    hourly: HourlyProfiles

    def cells(self, table: pa.Table) -> Iterator[tuple[Cell, Part]]:
        """Yield the profiles; raises ValueError if the rows have no times or versions."""
        names = self.columns
        read, readings = read_columns(table, self.hourly.kinds)
        broken = [name for name, reading in readings.items() if reading.error]
        if broken:
            raise ValueError(f"column {broken[0]!r}: {readings[broken[0]].error}")
        try:
            times = table.column(names.timestamp).cast(pa.timestamp("us", "UTC")).cast(TIMESTAMP)
        except pa.ArrowException as error:
            raise ValueError(f"column {names.timestamp!r} holds no times: {error}") from error
        version = table.column(names.version).cast(pa.string()) if names.version else None
        if version is None:
            version = pa.chunked_array([pa.array([names.versioned] * len(table), pa.string())])
        for name, column in ((names.timestamp, times), (names.version, version)):
            if column.null_count:
                raise ValueError(f"column {name!r} is null in some rows; filter them out first")
        rows = read.append_column("timestamp", times).append_column("version", version)
        role = pa.chunked_array([pa.repeat("champion", len(table))])
        yield from self.hourly.cells(rows.append_column("role", role))


def _hours(model: str, found: Found) -> tuple[Hours, Segments]:
    """Return the profiles of hours and, of the most frequent segments and the rest, of segments."""
    hours: Hours = {}
    parted: dict[tuple[str, str, int], dict[str, Profile]] = defaultdict(dict)
    for (hour, text), part in found.items():
        version, *segment = json.loads(text)
        if segment:
            parted[version, segment[0], hour][segment[1]] = cast("Profile", part)
        else:
            hours[model, version, hour] = cast("Profile", part)
    segments: Segments = {}
    for (version, columns, hour), profiles in parted.items():
        for name, profile in _most_frequent(profiles):
            segments[model, version, columns, name, hour] = profile
    return hours, segments


def _most_frequent(profiles: Mapping[str, Profile]) -> Iterator[tuple[str, Profile]]:
    ordered = sorted(profiles, key=lambda name: (-profiles[name].rows, name))
    for name in ordered[:MOST_SEGMENTS]:
        yield name, profiles[name]
    rest = [profiles[name] for name in ordered[MOST_SEGMENTS:]]
    if rest:
        yield REST, merge_all(rest)


def _check_hours(window: Window) -> None:
    if any(to_micros(moment) % HOUR for moment in (window.start, window.end)):
        raise DataError(f"{window} does not begin and end at whole hours")


def _stretches(window: Window) -> Iterator[Window]:
    start = window.start
    while start < window.end:
        end = min(start + STRETCH, window.end)
        yield Window(start, end)
        start = end


def _paths(rows: LoggedRows) -> set[str]:
    return {file.path for file in rows.files}


def _has_rows(log: FilePredictionLog, model: str, hour: int) -> bool:
    files = log.upkeep.files(model)[Kind.PREDICTIONS]
    return any(file.first < hour + HOUR and file.last >= hour for file in files)
