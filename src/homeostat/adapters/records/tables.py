"""Tables of the records database. Times are whole microseconds since 1970, in UTC."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.schema import SchemaItem

Serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

metadata = sa.MetaData()


def _numbered(name: str, *columns: SchemaItem) -> sa.Table:
    # AUTOINCREMENT: SQLite must never give a deleted row's number to a new one.
    number = sa.Column("number", Serial, primary_key=True, autoincrement=True)
    return sa.Table(name, metadata, number, *columns, sqlite_autoincrement=True)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def _integer(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


states = sa.Table(
    "states",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    _integer("version"),
    # A deleted state keeps its row: its version goes on, so that a stale writer still loses.
    sa.Column("body", sa.Text),
)

decisions = _numbered("decisions", _text("model"), _integer("at"), _text("body"))
sa.Index("decisions_by_model", decisions.c.model, decisions.c.at)

verdicts = _numbered("verdicts", _text("model"), _integer("start"), _text("body"))
sa.Index("verdicts_by_model", verdicts.c.model, verdicts.c.start)

metrics = sa.Table(
    "metrics",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("end", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("version", sa.Text, primary_key=True),
    sa.Column("cohort", sa.Text, primary_key=True),
    sa.Column("segment", sa.Text, primary_key=True),
    _text("body"),
)
# The key begins with the name, which whoever asks for all figures of a time leaves open.
sa.Index("metrics_by_time", metrics.c.model, metrics.c.start)

effects = _numbered(
    "effects",
    sa.Column("key", sa.Text, nullable=False, unique=True),
    _text("kind"),
    _text("body"),
    _text("status"),
    _integer("attempts"),
    _integer("not_before"),
    _integer("changed"),
    _text("problem"),
    # Of notices; empty of what is none.
    sa.Column("receiver", sa.Text, nullable=False, server_default=""),
    sa.Column("incident", sa.Text, nullable=False, server_default=""),
)
sa.Index("effects_by_status", effects.c.status, effects.c.not_before)
sa.Index("effects_by_receiver", effects.c.receiver, effects.c.number)
sa.Index("effects_by_incident", effects.c.incident, effects.c.number)

reference_profiles = sa.Table(
    "reference_profiles",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("version", sa.Text, primary_key=True),
    sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("end", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("profile", sa.LargeBinary, nullable=False),
)

# How far into each landing segment the rows have been moved to columnar files, and since when its
# file may be deleted, or null: who read it must learn that it was rolled, so the row stays a while.
log_segments = sa.Table(
    "log_segments",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    _integer("rolled"),
    sa.Column("dropped", sa.BigInteger),
)


def _files(name: str, *columns: SchemaItem) -> sa.Table:
    fields = (_text("kind"), _text("model"), _text("day"))
    path = sa.Column("path", sa.Text, nullable=False, unique=True)
    figures = (_integer(figure) for figure in ("rows", "bytes", "first", "last"))
    return _numbered(name, *fields, path, *figures, *columns)


log_files = _files("log_files")
sa.Index("log_files_by_time", log_files.c.model, log_files.c.kind, log_files.c.first)

# Files that are part of the log no more, and since when: readers may still be at them.
log_removed = _files("log_removed", _integer("at"))

log_profiles = sa.Table(
    "log_profiles",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("version", sa.Text, primary_key=True),
    sa.Column("hour", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("profile", sa.LargeBinary, nullable=False),
    # Rows that were rolled long after their hour's end.
    sa.Column("late", sa.BigInteger, nullable=False, server_default="0"),
    # Null in hours that were stored before there was this column.
    sa.Column("rows", sa.BigInteger),
)
# Whoever counts rows need not read past profiles.
sa.Index("log_profiles_rows", log_profiles.c.model, log_profiles.c.hour, log_profiles.c.rows)

# Packed by zlib: there are many of them.
log_segment_profiles = sa.Table(
    "log_segment_profiles",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("version", sa.Text, primary_key=True),
    sa.Column("columns", sa.Text, primary_key=True),
    sa.Column("segment", sa.Text, primary_key=True),
    sa.Column("hour", sa.BigInteger, primary_key=True, autoincrement=False),
    _integer("rows"),
    sa.Column("packed", sa.LargeBinary, nullable=False),
)

log_quarantine = _numbered(
    "log_quarantine",
    sa.Column("digest", sa.Text, nullable=False, unique=True),
    _text("model"),
    _text("kind"),
    _integer("at"),
    _text("column"),
    _text("reason"),
    _text("row"),
)
sa.Index("log_quarantine_by_model", log_quarantine.c.model, log_quarantine.c.at)
