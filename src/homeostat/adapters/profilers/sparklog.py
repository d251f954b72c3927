"""The prediction log as Spark's data frames, with the labels that count joined to the rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from homeostat.adapters.predlog.catalogue import FileEntry
from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.predlog.parquet import TIME_FIELD, FileStore
from homeostat.adapters.predlog.place import Folder
from homeostat.adapters.predlog.shares import LoggedRows, schemas
from homeostat.adapters.predlog.state import RECENT, UNKNOWN
from homeostat.adapters.profilers.frames import select
from homeostat.adapters.profilers.session import Frame, Session, explained
from homeostat.domain.record import OUTCOME_SCHEMA

_DAY = "regexp_extract(_metadata.file_path, '/day=([^/]*)/[^/]*$', 1)"

# Empty: of any day.
_LABEL_DAY = f"if({_DAY} in ('{RECENT}', '{UNKNOWN}'), '', {_DAY})"

# Of one prediction: labels that may be about it, by arrival and then by value. The last one counts,
# since it was first told without another one in between.
_JOIN = """
select p.*, t.label as label, t.arrival as arrival from (
    select p.*, aggregate(
        filter(l.told, x -> x.day = '' or p.day = '' or x.day = p.day
            or x.day = cast(date_add(to_date(p.day), 1) as string)),
        cast(null as struct<arrival: timestamp, label: double, day: string>),
        (a, x) -> if(a.label = x.label, a, x)) as t
    from {rows} p left join (
        select id, array_sort(collect_set(struct(arrival, label, day))) as told
        from {labels} group by id) l on p.id = l.id) p
"""


def log_frames(session: Session, rows: LoggedRows) -> list[tuple[Frame, tuple[str, ...]]]:
    """Return data frames of the rows, and the names of their columns.

    Which files there are says the catalogue, not the folder: what was removed is not read.

    Parameters
    ----------
    session : pyspark.sql.SparkSession
    rows : LoggedRows

    Raises
    ------
    StorageError
        If a file's footer cannot be read.
    UserError
        If Spark cannot open the files.
    """
    store = FileStore(Folder(rows.root), rows.salt)
    labels = None if rows.as_of is None else _labels(session, store, rows)
    found: list[tuple[Frame, tuple[str, ...]]] = []
    for schema, files in schemas(store, rows.files).items():
        frame = _opened(session, rows.root, files)
        found.append(_chosen(session, rows, frame, schema, labels, _DAY))
    for table in rows.landed:
        frame = session.createDataFrame(table)
        found.append(_chosen(session, rows, frame, table.schema, labels, "''"))
    return found


def _opened(session: Session, root: Path, files: Sequence[FileEntry]) -> Frame:
    places = [(root / file.path).absolute().as_posix() for file in files]
    # Spark takes paths for patterns, and no escapes of addresses.
    paths = ["file://" + re.sub(r"([*?{}\[\]\\])", r"\\\1", place) for place in places]
    with explained():
        # Folders' names are not columns.
        return session.read.load(paths, "parquet", recursiveFileLookup="true")


def _chosen(
    session: Session,
    rows: LoggedRows,
    frame: Frame,
    schema: pa.Schema,
    labels: Frame | None,
    day: str,
) -> tuple[Frame, tuple[str, ...]]:
    names = tuple(rows.present(schema).names)
    time = f"c{names.index(TIME_FIELD[Kind.PREDICTIONS])}"
    inside = f"{time} >= timestamp_micros({rows.start}) and {time} < timestamp_micros({rows.end})"
    with explained():
        if labels is None:
            return select(frame, names).where(inside), names
        keyed = select(frame, names, f"{day} as day").where(inside)
        keyed = keyed.selectExpr("*", f"c{names.index('prediction_id')} as id")
        joined = session.sql(_JOIN, rows=keyed, labels=labels)
        chosen = [f"c{place}" for place in range(len(names))]
        return joined.selectExpr(*chosen, "label", "arrival"), (*names, "label", "arrival")


def _labels(session: Session, store: FileStore, rows: LoggedRows) -> Frame:
    """Return the labels that were known: id, arrival, label and day."""
    frames = [
        (_opened(session, rows.root, files), schema, _LABEL_DAY)
        for schema, files in schemas(store, rows.labels).items()
    ]
    tables = rows.landed_labels or (OUTCOME_SCHEMA.empty_table(),)
    frames += [(session.createDataFrame(table), table.schema, "''") for table in tables]
    known: Frame | None = None
    for frame, schema, day in frames:
        told = ["prediction_id as id", "arrival", "label", f"{day} as day"]
        proper = f"arrival <= timestamp_micros({rows.as_of})"
        if "outcome" in schema.names:
            proper += " and coalesce(outcome, '') = ''"
        part = frame.where(proper).selectExpr(*told)
        known = part if known is None else known.unionAll(part)
    assert known is not None
    return known
