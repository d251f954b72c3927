"""Stored profiles that cannot be read: found, and made anew from the rows of their hours."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from homeostat.adapters.predlog.catalogue import FileEntry
from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.predlog.hours import HOUR, unpack
from homeostat.adapters.predlog.pools import POOL, HourKey
from homeostat.adapters.predlog.roll import KINDS, Profiles, kinds_of
from homeostat.adapters.predlog.upkeep import Upkeep
from homeostat.adapters.records.codec import key_text
from homeostat.adapters.records.tables import log_profiles, log_segment_profiles
from homeostat.domain.columns import micros, texts
from homeostat.domain.model import ColumnKind
from homeostat.profiles.format import from_bytes


def profiled_rows(connection: sa.Connection) -> tuple[dict[HourKey, int], dict[HourKey, str]]:
    """Return the rows that stored profiles count, and what is wrong with those that are damaged.

    A profile of a segment counts as damage of its hour and version.
    """
    rows: dict[HourKey, int] = {}
    damaged: dict[HourKey, str] = {}
    for p in connection.execute(sa.select(log_profiles)):
        key = p.model, p.version, p.hour
        try:
            rows[key] = from_bytes(p.profile).rows
        except ValueError as error:
            damaged[key] = str(error)
    for p in connection.execute(sa.select(log_segment_profiles)):
        key = p.model, p.version, p.hour
        try:
            from_bytes(unpack(p.packed))
        except ValueError as error:
            damaged.setdefault(key, f"segment {p.segment!r}: {error}")
    return rows, damaged


def remake(upkeep: Upkeep, key: HourKey) -> int | None:
    """Make the profiles of an hour and a version anew; return the rows that they count.

    None if no rows are left of which they could be made. Raises StorageError if a file is damaged.
    """
    made = Profiles()
    kinds: dict[str, ColumnKind] = {}
    for rows in _rows(upkeep, key):
        kinds |= kinds_of(rows)
        made.add(key[0], rows)
    found = made.hours.get(key)
    if found is None:
        return None
    upkeep.catalogue.replace_profiles({key: found}, made.segments, kinds)
    return found.rows


def _rows(upkeep: Upkeep, key: HourKey) -> Iterator[pa.Table]:
    """Yield the rows of an hour that are counted for a version, as rows of that version."""
    model, version, hour = key
    table = log_profiles
    with upkeep.catalogue.database.read() as connection:
        there = sa.select(table.c.version).where(table.c.model == model, table.c.hour == hour)
        own = set(connection.execute(there).scalars())
    for file in _files(upkeep, model, hour):
        if KINDS not in (upkeep.store.schema(file).metadata or {}):
            continue  # retention has taken the features
        rows = upkeep.store.read(file, start=hour, end=hour + HOUR, cache=False)
        rows = rows.replace_schema_metadata(upkeep.store.schema(file).metadata)
        names = [key_text(name) for name in texts(rows, "version")]
        mine = [name == version or (version == POOL and name not in own) for name in names]
        inside = micros(rows, "timestamp") // HOUR * HOUR == hour
        rows = rows.filter(pa.array(inside & np.asarray(mine, np.bool_)))
        if len(rows):
            place = rows.column_names.index("version")
            field = rows.schema.field("version")
            yield rows.set_column(place, field, pa.array([version] * len(rows), field.type))


def _files(upkeep: Upkeep, model: str, hour: int) -> list[FileEntry]:
    files = upkeep.files(model)[Kind.PREDICTIONS]
    return [file for file in files if file.first < hour + HOUR and file.last >= hour]
