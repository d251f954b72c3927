"""Profiles of hours in the catalogue: of all rows of a version, and of its segments."""

from __future__ import annotations

import logging
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from homeostat.adapters.predlog.pools import (
    HourKey,
    SegmentKey,
    pool,
    pooled_hours,
)
from homeostat.adapters.records.codec import as_given, key_text
from homeostat.adapters.records.tables import log_profiles, log_segment_profiles
from homeostat.domain.model import ColumnKind
from homeostat.domain.segments import REST
from homeostat.profiles.format import from_bytes, to_bytes
from homeostat.profiles.profile import Profile

logger = logging.getLogger(__name__)

HOUR = 3_600_000_000
MOST_SEGMENTS = 100
"""Segments of an hour, a version and a column that have a profile of their own."""
LATE = HOUR
"""Rows that are rolled this long after their hour's end came late."""


@dataclass(frozen=True, slots=True)
class SegmentHours:
    """What is stored of one segment, version or model.

    Attributes
    ----------
    profiles : mapping of int to tuple of bytes
        By hours that are told in full.
    incomplete : frozenset of int
        Hours that are not, and whose rows have to be read: they have too many segments, or were
        rolled before the model had these.
    """

    profiles: Mapping[int, tuple[bytes, ...]]
    incomplete: frozenset[int]


@dataclass(frozen=True, slots=True)
class Replaced:
    """What became of profiles that were made anew.

    Attributes
    ----------
    hours, rows : int
        Hours (of each version) whose profiles are stored now, and their rows.
    changed : int
        Hours whose profile was another one before, or none.
    segments : int
        Profiles of their segments.
    left : int
        Hours that keep the profiles that they had.
    """

    hours: int = 0
    rows: int = 0
    changed: int = 0
    segments: int = 0
    left: int = 0

    def plus(self, other: Replaced) -> Replaced:
        """Return what became of both."""
        return Replaced(
            self.hours + other.hours,
            self.rows + other.rows,
            self.changed + other.changed,
            self.segments + other.segments,
            self.left + other.left,
        )


@dataclass
class _Hour:
    told: int = 0
    rest: bool = False
    profiles: list[bytes] = field(default_factory=list)


def of_kinds(profile: Profile, kinds: Mapping[str, ColumnKind]) -> Profile:
    """Return the columns that are of the given kinds: a feature may have changed its kind."""
    kept = {name: c for name, c in profile.columns.items() if kinds.get(name) == c.kind}
    pairs = profile.pairs
    return Profile(profile.rows, kept, pairs if pairs and kept.keys() >= set(pairs.names) else None)


def add_profiles(
    connection: sa.Connection,
    hours: Mapping[HourKey, Profile],
    segments: Mapping[SegmentKey, Profile],
    now: int,
) -> None:
    """Add profiles of new rows; one that the database does not take holds no others up."""
    try:
        with connection.begin_nested():
            _add(connection, hours, segments, now)
    except sa.exc.DBAPIError as error:
        if not _of_its_data(error):
            raise
    else:
        return
    parts: list[tuple[dict[HourKey, Profile], dict[SegmentKey, Profile]]]
    parts = [({key: one}, {}) for key, one in hours.items()]
    parts += [({}, {key: one}) for key, one in segments.items()]
    for hour, segment in parts:
        try:
            with connection.begin_nested():
                _add(connection, hour, segment, now)
        except sa.exc.DBAPIError as error:
            if not _of_its_data(error):
                raise
            logger.exception("a profile cannot be stored: %s %s", [*hour], [*segment])


def _add(
    connection: sa.Connection,
    hours: Mapping[HourKey, Profile],
    segments: Mapping[SegmentKey, Profile],
    now: int,
) -> None:
    hours, segments = pool(connection, hours, segments, joined_profiles)
    add_hours(connection, hours, now)
    add_segments(connection, segments)


def joined_profiles(earlier: Profile, later: Profile) -> Profile:
    """Return a profile of the rows of both; a column that changed its kind begins anew."""
    kinds = {name: column.kind for name, column in later.columns.items()}
    return of_kinds(earlier, kinds).merge(later)


def _of_its_data(error: sa.exc.DBAPIError) -> bool:
    """Whether the database refused what it was given: a text, or the length of a key."""
    state = getattr(error.orig, "sqlstate", None) or ""
    return isinstance(error, sa.exc.DataError) or state.startswith(("22", "54"))


def add_hours(connection: sa.Connection, profiles: Mapping[HourKey, Profile], now: int) -> None:
    """Merge profiles of new rows into those of their hours, and count rows that came late."""
    for (model, version, hour), profile in profiles.items():
        key = {"model": model, "version": key_text(version), "hour": hour}
        late = profile.rows if hour + HOUR + LATE <= now else 0
        same = sa.and_(*(log_profiles.c[name] == value for name, value in key.items()))
        stored = connection.execute(sa.select(log_profiles).where(same)).one_or_none()
        whole = profile if stored is None else _grown(stored.profile, profile, key)
        values = {"profile": to_bytes(whole), "rows": whole.rows}
        if stored is None:
            connection.execute(sa.insert(log_profiles).values(**key, **values, late=late))
        else:
            values["late"] = stored.late + late
            connection.execute(sa.update(log_profiles).where(same).values(**values))


def add_segments(connection: sa.Connection, profiles: Mapping[SegmentKey, Profile]) -> None:
    """Merge profiles of new rows into those of their segments.

    An hour that has as many segments as may be keeps the rows of others as `REST`: then a segment
    without a profile may have rows in it.
    """
    table = log_segment_profiles
    counts: dict[tuple[object, ...], int] = {}
    for (model, version, columns, segment, hour), profile in profiles.items():
        place = {
            "model": model,
            "version": key_text(version),
            "columns": key_text(columns),
            "hour": hour,
        }
        within = sa.and_(*(table.c[name] == value for name, value in place.items()))
        name = key_text(segment)
        stored = connection.execute(
            sa.select(table).where(within, table.c.segment == name)
        ).one_or_none()
        if stored is None and name != REST:
            group = tuple(place.values())
            if group not in counts:
                count = sa.select(sa.func.count()).where(within, table.c.segment != REST)
                counts[group] = int(connection.execute(count).scalar_one())
            counts[group] += 1
            if counts[group] > MOST_SEGMENTS:
                name = REST
                stored = connection.execute(
                    sa.select(table).where(within, table.c.segment == REST)
                ).one_or_none()
        key = {**place, "segment": name}
        if stored is None:
            values = {"rows": profile.rows, "packed": pack(to_bytes(profile))}
            connection.execute(sa.insert(table).values(**key, **values))
        else:
            whole = _grown(stored.packed, profile, key, packed=True)
            values = {
                "rows": whole.rows,
                "packed": pack(to_bytes(whole)),
            }
            same = within & (table.c.segment == name)
            connection.execute(sa.update(table).where(same).values(**values))


def pack(profile: bytes) -> bytes:
    """Return a profile as it is stored of a segment: a fifth of its size."""
    return zlib.compress(profile, 1)


def unpack(packed: bytes) -> bytes:
    """Return what was packed; raises ValueError if it is damaged."""
    try:
        return zlib.decompress(packed)
    except zlib.error as error:
        raise ValueError(f"profile cannot be unpacked: {error}") from error


def _grown(
    stored: bytes, profile: Profile, key: Mapping[str, object], *, packed: bool = False
) -> Profile:
    """Return a stored profile with new rows; a damaged one begins anew, and holds nobody up."""
    try:
        return merged(unpack(stored) if packed else stored, profile)
    except ValueError as error:
        message = "the stored profile of %s begins anew, homeostat data repair completes it: %s"
        logger.warning(message, key, error)
        return profile


def merged(stored: bytes, profile: Profile) -> Profile:
    """Return a stored profile with new rows; see `joined_profiles`."""
    return joined_profiles(from_bytes(stored), profile)


def segment_hours(
    connection: sa.Connection, model: str, columns: str, segment: str, start: int, end: int,
    version: str,
) -> SegmentHours:  # fmt: skip
    """Return what is stored of a segment in the hours in [start, end)."""
    where = (model, start, end, version)
    whole = hour_rows(connection, *where)
    table = log_segment_profiles
    mine = table.c.segment == key_text(segment)
    own = sa.case((mine, table.c.packed)).label("mine")
    told = sa.select(table.c.hour, table.c.segment, table.c.rows, own)
    told = told.where(table.c.columns == key_text(columns))
    hours: dict[int, _Hour] = defaultdict(_Hour)
    for part in connection.execute(told.where(*_within(table, *where))):
        hour = hours[part.hour]
        hour.told += part.rows
        hour.rest |= part.segment == REST
        if part.mine is not None:
            hour.profiles.append(unpack(part.mine))
    incomplete = {
        hour for hour, rows in whole.items() if hours[hour].rest or hours[hour].told != rows
    }
    incomplete |= pooled_hours(connection, *where)
    profiles = {hour: tuple(hours[hour].profiles) for hour in whole if hour not in incomplete}
    return SegmentHours(profiles, frozenset(incomplete))


def whole_hours(
    connection: sa.Connection, model: str, start: int, end: int, version: str
) -> SegmentHours:
    """Return the stored profiles of the hours in [start, end), of a version or of all."""
    where = (model, start, end, version)
    query = sa.select(log_profiles.c.hour, log_profiles.c.profile)
    found: dict[int, list[bytes]] = defaultdict(list)
    for hour, profile in connection.execute(query.where(*_within(log_profiles, *where))):
        found[hour].append(profile)
    profiles = {hour: tuple(blobs) for hour, blobs in found.items()}
    return SegmentHours(profiles, pooled_hours(connection, *where))


def segment_rows(
    connection: sa.Connection, model: str, columns: Sequence[str], start: int, end: int
) -> dict[str, int]:
    """Return how many rows are stored of each segment by these columns in [start, end)."""
    table = log_segment_profiles
    told = sa.select(table.c.segment, sa.func.sum(table.c.rows)).where(
        *_within(table, model, start, end, ""),
        table.c.columns.in_([key_text(names) for names in columns]),
        table.c.segment != REST,
    )
    found = connection.execute(told.group_by(table.c.segment))
    return {as_given(segment): int(rows) for segment, rows in found}


def hour_rows(
    connection: sa.Connection, model: str, start: int, end: int, version: str = ""
) -> dict[int, int]:
    """Return how many rows are stored of each of the hours in [start, end) that has some."""
    found: dict[int, int] = defaultdict(int)
    table, where = log_profiles, _within(log_profiles, model, start, end, version)
    for hour, rows in connection.execute(sa.select(table.c.hour, table.c.rows).where(*where)):
        found[hour] += rows or 0
    older = sa.select(table.c.hour, table.c.profile).where(*where, table.c.rows.is_(None))
    for hour, profile in connection.execute(older):
        found[hour] += from_bytes(profile).rows
    return found


def _within(
    table: sa.Table, model: str, start: int, end: int, version: str
) -> list[sa.ColumnElement[bool]]:
    bounds = [table.c.model == model, table.c.hour >= start, table.c.hour < end]
    return [*bounds, table.c.version == key_text(version)] if version else bounds


def late_rows(connection: sa.Connection, model: str, start: int, end: int) -> int:
    """Return how many rows of the hours in [start, end) came late; without a model, of all."""
    query = sa.select(sa.func.coalesce(sa.func.sum(log_profiles.c.late), 0))
    query = query.where(log_profiles.c.hour >= start, log_profiles.c.hour < end)
    if model:
        query = query.where(log_profiles.c.model == model)
    return int(connection.execute(query).scalar_one())


def replace_hour(
    connection: sa.Connection,
    key: HourKey,
    profile: Profile,
    segments: Mapping[SegmentKey, Profile],
    kinds: Mapping[str, ColumnKind],
    *,
    fresh: bool,
) -> Replaced:
    """Store the profiles of an hour and a version in place of those that are there.

    If these tell of more rows, or of columns of these kinds that the new one lacks, they stay: what
    they were made of is no longer there. With `fresh` they stay unless they are damaged.
    """
    model, version, hour = key
    place = {"model": model, "version": key_text(version), "hour": hour}
    same = sa.and_(*(log_profiles.c[name] == value for name, value in place.items()))
    stored = connection.execute(sa.select(log_profiles).where(same)).one_or_none()
    blob = to_bytes(profile)
    new = {"profile": blob, "rows": profile.rows}
    if stored is None:
        if hour in pooled_hours(connection, model, hour, hour + 1, version):
            return Replaced(left=1)  # its rows are counted in the pool
        connection.execute(sa.insert(log_profiles).values(**place, **new))
    else:
        old = _read(stored.profile)
        if old is not None and (fresh or _tells_more(of_kinds(old, kinds), profile)):
            return Replaced(left=1)
        connection.execute(sa.update(log_profiles).where(same).values(**new))
    table = log_segment_profiles
    within = sa.and_(*(table.c[name] == value for name, value in place.items()))
    told = {key_text(columns) for _, _, columns, _, _ in segments}
    connection.execute(sa.delete(table).where(within, table.c.columns.in_(told)))
    rows = [
        {
            **place,
            "columns": key_text(columns),
            "segment": key_text(segment),
            "rows": part.rows,
            "packed": pack(to_bytes(part)),
        }
        for (_, _, columns, segment, _), part in segments.items()
    ]
    if rows:
        connection.execute(sa.insert(table), rows)
    changed = stored is None or bytes(stored.profile) != blob
    return Replaced(1, profile.rows, int(changed), len(rows))


def _tells_more(old: Profile, new: Profile) -> bool:
    return old.rows > new.rows or bool(set(old.columns) - set(new.columns))


def _read(stored: bytes) -> Profile | None:
    try:
        return from_bytes(stored)
    except ValueError:
        return None
