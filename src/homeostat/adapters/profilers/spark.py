"""The profile job on Spark: one profile a partition, merged in two rounds, one for the driver.

Merging is exact, so the result is that of `homeostat.profiles.build.profile_table` on the same
rows, to the last bit, however the rows are partitioned and ordered.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, cast

import pyarrow as pa

from homeostat.adapters.profilers.engine import Found
from homeostat.adapters.profilers.frames import (
    READABLE,
    TIMES,
    check,
    check_kinds,
    open_files,
    run,
    select,
)
from homeostat.adapters.profilers.parts import Cell, Part, Segment
from homeostat.adapters.profilers.session import Frame, Session, spark_session
from homeostat.adapters.profilers.worker import Cut, Job, Profiling, Renamed, Work
from homeostat.domain.model import ColumnKind
from homeostat.domain.window import EPOCH, Window
from homeostat.profiles.build import profile_table
from homeostat.profiles.profile import Profile

if TYPE_CHECKING:
    from homeostat.adapters.predlog.shares import LoggedRows


def profile_dataframe(
    frame: Frame, kinds: Mapping[str, ColumnKind], personal: Collection[str] = ()
) -> Profile:
    """Summarise columns of a Spark data frame.

    The executors need homeostat (``pip install homeostat``, or an archive of it); only profiles
    travel, never rows.

    Parameters
    ----------
    frame : pyspark.sql.DataFrame
        Classic or Connect.
    kinds : mapping of str to ColumnKind
        Columns not named here are not read. Times counted as categories are written in UTC.
    personal : collection of str
        As in `homeostat.profiles.build.profile_table`.

    Returns
    -------
    Profile
        The same as `profile_table` gives for these rows on one machine.

    Raises
    ------
    DataError
        If a column is absent, there twice, or cannot be read as its kind; or if Spark's job fails.
    """
    names = tuple(kinds)
    check_kinds(frame, kinds)
    job = Job(Renamed(names), Profiling(kinds, frozenset(personal)))
    return _whole(run([(select(frame, names), job)]), kinds)


def profile_windows(
    frame: Frame,
    kinds: Mapping[str, ColumnKind],
    timestamp: str,
    every: timedelta,
    segments: Sequence[str] = (),
    personal: Collection[str] = (),
) -> dict[tuple[Window, Segment], Profile]:
    """Summarise a Spark data frame by windows of event time, and by segments.

    Profiles add up: merging all windows of a day, or all segments of a window, gives the profile of
    the day, or of the window.

    Parameters
    ----------
    frame, kinds, personal
        As in `profile_dataframe`.
    timestamp : str
        A timestamp, or a date, which stands for its midnight. Times without a zone are UTC.
    every : timedelta
        Length of a window; windows are aligned as in `homeostat.domain.window.floor`.
    segments : sequence of str
        Rows that agree in these columns are one segment.

    Returns
    -------
    dict of (Window, tuple of str or None) to Profile
        By time and segment; only those that have rows. A segment's values are texts in the order of
        `segments`, None where missing, hashed if the column is personal.

    Raises
    ------
    DataError
        As in `profile_dataframe`; also if a row has no time.
    ValueError
        If `every` is not positive.
    """
    step = every // timedelta(microseconds=1)
    if step <= 0:
        raise ValueError(f"a window must be longer than {every}")
    names = tuple(dict.fromkeys((*kinds, timestamp, *segments)))
    check_kinds(frame, kinds)
    check(frame, {timestamp: TIMES}, "tell the time")
    text = READABLE[ColumnKind.CATEGORICAL]
    check(frame, dict.fromkeys(segments, text), "name a segment")
    cut = Cut(timestamp, step, tuple(segments))
    job = Job(Renamed(names), Profiling(kinds, frozenset(personal), cut))
    found = run([(select(frame, names), job)])
    windows: dict[tuple[Window, Segment], Profile] = {}
    for (start, segment), profile in sorted(found.items()):
        begin = EPOCH + timedelta(microseconds=start)
        key = Window(begin, begin + every), cast("Segment", tuple(json.loads(segment)))
        windows[key] = _in_order(cast("Profile", profile), kinds)
    return windows


def profile_path(
    session: Session,
    location: str,
    kinds: Mapping[str, ColumnKind],
    personal: Collection[str] = (),
) -> Profile:
    """Summarise Parquet, CSV or TSV files that Spark can reach.

    CSV is split into lines by Spark and parsed by pyarrow, with the types that it finds in a file's
    first MiB; a line break inside a value is not supported.

    Parameters
    ----------
    session : pyspark.sql.SparkSession
    location : str
        A file, a folder with all below it, or a pattern: any path or address that Spark opens.
    kinds, personal
        As in `profile_dataframe`.

    Raises
    ------
    NotFoundError
        If there is nothing at the location.
    DataError
        If the files are of several kinds or of none that is known, or as `profile_dataframe`.
    """
    frame, source = open_files(session, location, kinds)
    if isinstance(source, Renamed):
        return profile_dataframe(frame, kinds, personal)
    return _whole(run([(frame, Job(source, Profiling(kinds, frozenset(personal))))]), kinds)


def profile_location(
    location: str,
    kinds: Mapping[str, ColumnKind],
    personal: Collection[str] = (),
    options: Mapping[str, str] | None = None,
) -> Profile:
    """Summarise files in a Spark session that lives as long as the job.

    Parameters
    ----------
    location, kinds, personal
        As in `profile_path`.
    options : mapping of str to str, optional
        Spark's settings, such as ``{"spark.master": "yarn"}`` or ``{"spark.remote": "sc://host"}``.
        Without either, Spark runs on this machine's cores. A session that the process already has
        is used as it is and left open.

    Raises
    ------
    UserError
        If pyspark or Java is not installed, a setting is none of Spark's, or no session can be had.
    NotFoundError, DataError
        As in `profile_path`.
    """
    with spark_session(options or {}) as session:
        return profile_path(session, location, kinds, personal)


def _whole(found: Mapping[Cell, Part], kinds: Mapping[str, ColumnKind]) -> Profile:
    if not found:
        nothing = pa.table({name: pa.array([], pa.string()) for name in kinds})
        return profile_table(nothing, kinds)
    (profile,) = found.values()
    return _in_order(cast("Profile", profile), kinds)


def _in_order(profile: Profile, kinds: Mapping[str, ColumnKind]) -> Profile:
    return Profile(profile.rows, {name: profile.columns[name] for name in kinds})


@dataclass(frozen=True, slots=True)
class SparkEngine:
    """Implements `homeostat.adapters.profilers.engine.Engine`.

    Attributes
    ----------
    options : mapping of str to str
        Spark's settings, as of `profile_location`.
    """

    options: Mapping[str, str] = field(default_factory=dict)

    def files(self, location: str, columns: Mapping[str, ColumnKind], work: Work) -> Found:
        """Work on columns of files; see `Engine`."""
        with spark_session(self.options) as session:
            frame, source = open_files(session, location, columns)
            if isinstance(source, Renamed):
                check(frame, dict.fromkeys(columns, READABLE[ColumnKind.CATEGORICAL]), "be read")
                frame = select(frame, source.names)
            return run([(frame, Job(source, work))])

    def logged(self, rows: LoggedRows, work: Work) -> Found:
        """Work on rows of a prediction log; see `Engine`."""
        # Files need no database.
        from homeostat.adapters.profilers.sparklog import log_frames  # noqa: PLC0415

        with spark_session(self.options) as session:
            frames = log_frames(session, rows)
            return run([(frame, Job(Renamed(names), work)) for frame, names in frames])
