"""The profile job on Spark: one profile a partition, merged in two rounds, one for the driver.

Merging is exact, so the result is that of `homeostat.profiles.build.profile_table` on the same
rows, to the last bit, however the rows are partitioned and ordered.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import cast

import pyarrow as pa

from homeostat.adapters.profilers.lines import infer_lines
from homeostat.adapters.profilers.session import Frame, Session, explained, quiet, spark_session
from homeostat.adapters.profilers.worker import (
    PARTS,
    Cell,
    Cut,
    Job,
    Renamed,
    Segment,
    merge,
)
from homeostat.domain.errors import DataError, NotFoundError
from homeostat.domain.model import ColumnKind
from homeostat.domain.window import EPOCH, Window
from homeostat.profiles.build import profile_table
from homeostat.profiles.format import from_bytes
from homeostat.profiles.profile import Profile

_FAN = 64  # parts that one task merges in the first round
_SAMPLE = 20_000  # lines that come to the driver to decide on the types of a CSV file
_NUMBERS = {"tinyint", "smallint", "int", "bigint", "float", "double", "decimal", "void"}
_TIMES = {"timestamp", "timestamp_ntz", "date"}
_READABLE = {
    ColumnKind.NUMERIC: _NUMBERS | {"boolean", "string"},
    ColumnKind.BOOLEAN: _NUMBERS - {"decimal"} | {"boolean", "string"},
    ColumnKind.CATEGORICAL: _NUMBERS | _TIMES | {"boolean", "string", "binary"},
}
_SUFFIXES = {
    ".parquet": "", ".pq": "",
    ".csv": ",", ".csv.gz": ",", ".tsv": "\t", ".tsv.gz": "\t",
}  # fmt: skip


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
    _check(frame, {name: _READABLE[kind] for name, kind in kinds.items()}, "be read as", kinds)
    job = Job(Renamed(names), kinds, frozenset(personal))
    return _whole(_run(_select(frame, names), job), kinds)


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
    _check(frame, {name: _READABLE[kind] for name, kind in kinds.items()}, "be read as", kinds)
    _check(frame, {timestamp: _TIMES}, "tell the time")
    text = _READABLE[ColumnKind.CATEGORICAL]
    _check(frame, dict.fromkeys(segments, text), "name a segment")
    cut = Cut(timestamp, step, tuple(segments))
    job = Job(Renamed(names), kinds, frozenset(personal), cut)
    found = _run(_select(frame, names), job)
    windows: dict[tuple[Window, Segment], Profile] = {}
    for (start, segment), profile in sorted(found.items()):
        begin = EPOCH + timedelta(microseconds=start)
        key = Window(begin, begin + every), cast("Segment", tuple(json.loads(segment)))
        windows[key] = _in_order(profile, kinds)
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
    delimiter = _delimiter(session, location)
    if not delimiter:
        with explained():
            options = {"mergeSchema": "true", "recursiveFileLookup": "true"}
            frame = session.read.load(location, "parquet", **options)
        return profile_dataframe(frame, kinds, personal)
    with explained():
        text = session.read.load(location, "text", recursiveFileLookup="true")
        lines = text.selectExpr(
            "value",
            "if(_metadata.file_block_start = 0, xxhash64(_metadata.file_path), null) as file",
        )
        sample = lines.where("file is not null").limit(_SAMPLE).collect()
    first = [cast("str", row["value"]) for row in sample if row["file"] == sample[0]["file"]]
    try:
        source = infer_lines(first, delimiter, kinds)
    except ValueError as error:
        raise DataError(f"{location}: {error}") from error
    return _whole(_run(lines, Job(source, kinds, frozenset(personal))), kinds)


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


def _check(
    frame: Frame,
    allowed: Mapping[str, Collection[str]],
    purpose: str,
    kinds: Mapping[str, ColumnKind] | None = None,
) -> None:
    """Find on the driver what would fail in every task."""
    with explained():
        dtypes = frame.dtypes
    names = [name for name, _ in dtypes]
    for name, types in allowed.items():
        times = names.count(name)
        if not times:
            raise DataError(f"the data frame has no column {name!r}; it has {', '.join(names)}")
        if times > 1:
            raise DataError(f"the data frame has {times} columns {name!r}; rename all but one")
        dtype = dict(dtypes)[name]
        if re.split(r"[(<\s]", dtype)[0] not in types:
            kind = f" {kinds[name].value}" if kinds else ""
            raise DataError(
                f"column {name!r} is of Spark's type {dtype}, which cannot {purpose}{kind}; "
                "leave it out or cast it"
            )


def _select(frame: Frame, names: Sequence[str]) -> Frame:
    """Return the columns as c0, c1, ...: names may hold dots, quotes, or differ only in case."""
    places = [name for name, _ in frame.dtypes]
    plain = frame.toDF(*(f"x{place}" for place in range(len(places))))
    chosen = [f"x{places.index(name)} as c{number}" for number, name in enumerate(names)]
    return plain.selectExpr(*(chosen or ["true as c0"]))


def _run(frame: Frame, job: Job) -> dict[Cell, Profile]:
    with explained(), quiet():
        parts = frame.mapInArrow(job.profile, PARTS)
        near = parts.selectExpr("*", f"spark_partition_id() div {_FAN} as near")
        once = near.repartition("start", "segment", "near").mapInArrow(merge, PARTS)
        rows = once.repartition("start", "segment").mapInArrow(merge, PARTS).collect()
    problems = [cast("str", row["problem"]) for row in rows if row["problem"] is not None]
    if problems:
        raise DataError(min(problems))
    return {
        (cast("int", row["start"]), cast("str", row["segment"])): from_bytes(
            bytes(cast("bytes", row["profile"]))
        )
        for row in rows
    }


def _whole(found: Mapping[Cell, Profile], kinds: Mapping[str, ColumnKind]) -> Profile:
    if not found:
        nothing = pa.table({name: pa.array([], pa.string()) for name in kinds})
        return profile_table(nothing, kinds)
    (profile,) = found.values()
    return _in_order(profile, kinds)


def _in_order(profile: Profile, kinds: Mapping[str, ColumnKind]) -> Profile:
    return Profile(profile.rows, {name: profile.columns[name] for name in kinds})


def _delimiter(session: Session, location: str) -> str:
    """Return what divides the values of the files, nothing for Parquet."""
    known = "|".join(re.escape(suffix) for suffix in _SUFFIXES)
    with explained():
        files = session.read.load(location, "binaryFile", recursiveFileLookup="true")
        names = files.selectExpr(
            f"regexp_extract(lower(path), r'({known})$', 1) as suffix",
        )
        found = {cast("str", row["suffix"]) for row in names.distinct().collect()}
    if not found:
        raise NotFoundError(f"there is no file that holds anything in {location}; check the path")
    if not found <= set(_SUFFIXES):
        listed = ", ".join(_SUFFIXES)
        raise DataError(f"{location} has files of an unknown kind; use files that end in {listed}")
    delimiters = {_SUFFIXES[suffix] for suffix in found}
    if len(delimiters) > 1:
        raise DataError(f"{location} has files of several kinds: {', '.join(sorted(found))}")
    return delimiters.pop()
