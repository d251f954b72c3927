"""More versions in an hour than have a profile of their own: the rest is counted together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from homeostat.adapters.records.codec import key_text
from homeostat.adapters.records.tables import log_profiles
from homeostat.domain.columns import texts, where
from homeostat.profiles.profile import Profile

MOST_VERSIONS = 100
"""Versions of a model and an hour that have a profile of their own."""
POOL = ""
"""Stands for all other versions; no version has an empty name."""

HourKey: TypeAlias = tuple[str, str, int]
"""Model, version, hour in microseconds."""
SegmentKey: TypeAlias = tuple[str, str, str, str, int]
"""Model, version, columns, segment, hour in microseconds."""


def by_version(rows: pa.Table, most: int) -> list[tuple[str, pa.Table]]:
    """Return the rows of the `most` frequent versions, by name, and of all others as `POOL`.

    Examples
    --------
    >>> rows = pa.table({"version": ["2", "1", "3", "2"]})
    >>> [(name, len(part)) for name, part in by_version(rows, most=1)]
    [('2', 2), ('', 2)]
    """
    counts = Counter(texts(rows, "version"))
    order = sorted(counts, key=lambda name: (-counts[name], name))
    parts = [(name, where(rows, "version", name)) for name in sorted(order[:most])]
    if len(order) > most:
        rest = pc.is_in(rows.column("version"), pa.array(order[most:]))
        parts.append((POOL, rows.filter(rest)))
    return parts


@dataclass(frozen=True, slots=True)
class Pooling:
    """Which versions of hours have no profile of their own.

    Attributes
    ----------
    own : mapping of (str, int) to set of str
        By model and hour: those that have one, as they are stored.
    """

    own: Mapping[tuple[str, int], set[str]]

    def version(self, model: str, version: str, hour: int) -> str:
        """Return the version under which its rows are counted."""
        own = self.own[model, hour]
        return version if key_text(version) in own else POOL


def pooling(
    connection: sa.Connection,
    hours: Mapping[HourKey, Profile],
    segments: Mapping[SegmentKey, Profile],
) -> Pooling:
    """Give those versions a profile of their own that have one, and others while there is room."""
    own: dict[tuple[str, int], set[str]] = {}
    table = log_profiles
    places = {(model, hour) for model, _, hour in hours}
    for model, hour in places | {(model, hour) for model, _, _, _, hour in segments}:
        there = sa.select(table.c.version).where(table.c.model == model, table.c.hour == hour)
        own[model, hour] = set(connection.execute(there).scalars()) - {POOL}
    for model, version, hour in hours:
        if version != POOL and len(own[model, hour]) < MOST_VERSIONS:
            own[model, hour].add(key_text(version))
    return Pooling(own)


def pool(
    connection: sa.Connection,
    hours: Mapping[HourKey, Profile],
    segments: Mapping[SegmentKey, Profile],
    join: Callable[[Profile, Profile], Profile],
) -> tuple[dict[HourKey, Profile], dict[SegmentKey, Profile]]:
    """Return profiles with those of versions beyond the most joined."""
    kept = pooling(connection, hours, segments)
    whole: dict[HourKey, Profile] = {}
    for (model, version, hour), profile in hours.items():
        key = model, kept.version(model, version, hour), hour
        whole[key] = join(whole[key], profile) if key in whole else profile
    parts: dict[SegmentKey, Profile] = {}
    for (model, version, columns, segment, hour), profile in segments.items():
        part = model, kept.version(model, version, hour), columns, segment, hour
        parts[part] = join(parts[part], profile) if part in parts else profile
    return whole, parts


def pooled_hours(
    connection: sa.Connection, model: str, start: int, end: int, version: str
) -> frozenset[int]:
    """Return the hours in [start, end) in which rows of the version may be in the pool."""
    if not version:
        return frozenset()
    table = log_profiles
    within = (table.c.model == model, table.c.hour >= start, table.c.hour < end)
    hours: dict[str, set[int]] = {}
    for name in (POOL, key_text(version)):
        query = sa.select(table.c.hour).where(*within, table.c.version == name)
        hours[name] = set(connection.execute(query).scalars())
    return frozenset(hours[POOL] - hours[key_text(version)])
