"""Spark's data frames: opened, checked, and worked on in tasks whose parts are merged."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from functools import reduce
from typing import cast

from homeostat.adapters.profilers.engine import Found
from homeostat.adapters.profilers.lines import Lines, infer_lines
from homeostat.adapters.profilers.parts import decode
from homeostat.adapters.profilers.session import Frame, Session, explained, quiet
from homeostat.adapters.profilers.worker import PARTS, Job, Renamed, merge
from homeostat.domain.errors import DataError, NotFoundError
from homeostat.domain.model import ColumnKind

_FAN = 64  # parts that one task merges in the first round
_SAMPLE = 20_000  # lines that come to the driver to decide on the types of a CSV file
_NUMBERS = {"tinyint", "smallint", "int", "bigint", "float", "double", "decimal", "void"}
TIMES = {"timestamp", "timestamp_ntz", "date"}
READABLE = {
    ColumnKind.NUMERIC: _NUMBERS | {"boolean", "string"},
    ColumnKind.BOOLEAN: _NUMBERS - {"decimal"} | {"boolean", "string"},
    ColumnKind.CATEGORICAL: _NUMBERS | TIMES | {"boolean", "string", "binary"},
}
_SUFFIXES = {
    ".parquet": "", ".pq": "",
    ".csv": ",", ".csv.gz": ",", ".tsv": "\t", ".tsv.gz": "\t",
}  # fmt: skip


def open_files(
    session: Session, location: str, kinds: Mapping[str, ColumnKind]
) -> tuple[Frame, Renamed | Lines]:
    """Open Parquet, CSV or TSV files; return the data frame and what makes tables of its rows.

    Raises
    ------
    NotFoundError
        If there is nothing at the location.
    DataError
        If the files are of several kinds or of none that is known, or lack a column.
    """
    delimiter = _delimiter(session, location)
    if not delimiter:
        with explained():
            options = {"mergeSchema": "true", "recursiveFileLookup": "true"}
            return session.read.load(location, "parquet", **options), Renamed(tuple(kinds))
    with explained():
        text = session.read.load(location, "text", recursiveFileLookup="true")
        lines = text.selectExpr(
            "value",
            "if(_metadata.file_block_start = 0, xxhash64(_metadata.file_path), null) as file",
        )
        sample = lines.where("file is not null").limit(_SAMPLE).collect()
    first = [cast("str", row["value"]) for row in sample if row["file"] == sample[0]["file"]]
    try:
        return lines, infer_lines(first, delimiter, kinds)
    except ValueError as error:
        raise DataError(f"{location}: {error}") from error


def check_kinds(frame: Frame, kinds: Mapping[str, ColumnKind]) -> None:
    """Check that columns can be read as their kinds; raises as `check`."""
    check(frame, {name: READABLE[kind] for name, kind in kinds.items()}, "be read as", kinds)


def check(
    frame: Frame,
    allowed: Mapping[str, Collection[str]],
    purpose: str,
    kinds: Mapping[str, ColumnKind] | None = None,
) -> None:
    """Find on the driver what would fail in every task.

    Raises
    ------
    DataError
        If a column is absent, there twice, or of a type that is not allowed.
    """
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


def select(frame: Frame, names: Sequence[str], *further: str) -> Frame:
    """Return the columns as c0, c1, ...: names may hold dots, quotes, or differ only in case.

    `further` are expressions of no column.
    """
    places = [name for name, _ in frame.dtypes]
    plain = frame.toDF(*(f"x{place}" for place in range(len(places))))
    chosen = [f"x{places.index(name)} as c{number}" for number, name in enumerate(names)]
    return plain.selectExpr(*(chosen or ["true as c0"]), *further)


def run(jobs: Sequence[tuple[Frame, Job]]) -> Found:
    """Run a job on each data frame; return what all of them found together.

    Raises
    ------
    DataError
        If rows cannot be used.
    UserError
        If Spark fails.
    """
    if not jobs:
        return {}
    with explained(), quiet():
        made = [frame.mapInArrow(job.parts, PARTS) for frame, job in jobs]
        parts = reduce(lambda one, other: one.unionAll(other), made)
        near = parts.selectExpr("*", f"spark_partition_id() div {_FAN} as near")
        once = near.repartition("start", "segment", "near").mapInArrow(merge, PARTS)
        rows = once.repartition("start", "segment").mapInArrow(merge, PARTS).collect()
    problems = [cast("str", row["problem"]) for row in rows if row["problem"] is not None]
    if problems:
        raise DataError(min(problems))
    return {
        (cast("int", row["start"]), cast("str", row["segment"])): decode(
            bytes(cast("bytes", row["part"]))
        )
        for row in rows
    }


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
