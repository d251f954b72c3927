"""Which files and profiles make up the log, and how far each segment was rolled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.predlog.hours import (
    Replaced,
    SegmentHours,
    add_profiles,
    hour_rows,
    late_rows,
    replace_hour,
    segment_hours,
    segment_rows,
    whole_hours,
)
from homeostat.adapters.predlog.pools import HourKey, SegmentKey
from homeostat.adapters.records.codec import encode, from_micros, storable, to_micros
from homeostat.adapters.records.engine import CATALOGUE_LOCK, Database, in_turn
from homeostat.adapters.records.tables import (
    decisions,
    log_files,
    log_profiles,
    log_quarantine,
    log_removed,
    log_segment_profiles,
    log_segments,
)
from homeostat.adapters.records.unit import insert, inserted
from homeostat.domain.decision import Decision
from homeostat.domain.errors import ConflictError
from homeostat.domain.model import ColumnKind
from homeostat.profiles.profile import Profile

PAGE_BYTES = 16 * 2**20
"""Of refused rows that are given out at once."""
FEW = 100


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One columnar file. ``first`` and ``last`` are its times, in microseconds since 1970."""

    kind: Kind
    model: str
    day: str
    path: str
    rows: int
    bytes: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Change:
    """What a roll or a compaction changes, all of it or nothing.

    ``segments`` maps a name to the offsets before and after; ``profiles`` maps (model, version,
    hour in microseconds) to the profile of the rows that were added, and ``segment_profiles`` those
    of segments; ``decisions`` say why rows left the log; ``refused`` are landed rows that go into
    quarantine.
    """

    added: Sequence[FileEntry] = ()
    removed: Sequence[FileEntry] = ()
    segments: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    profiles: Mapping[HourKey, Profile] = field(default_factory=dict)
    segment_profiles: Mapping[SegmentKey, Profile] = field(default_factory=dict)
    decisions: Sequence[Decision] = ()
    refused: Sequence[Quarantined] = ()


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A row that was refused. ``row`` is its JSON, ``kind`` what it was sent as.

    ``number`` names it once it is kept.
    """

    model: str
    kind: Kind
    at: datetime
    column: str
    reason: str
    row: str
    number: int = 0

    @property
    def digest(self) -> str:
        """Identity of the entry: a row that is sent again is not listed again."""
        content = json.dumps([self.model, self.kind.name, self.column, self.reason, self.row])
        return hashlib.sha256(content.encode()).hexdigest()


@dataclass
class Catalogue:
    """The log's tables in the records database."""

    database: Database
    _added: int = field(default=0, init=False)
    _removed: int = field(default=0, init=False)
    _stamp: int | None = field(default=None, init=False)
    _rolled: dict[str, int] = field(default_factory=dict, init=False)
    _known: dict[str, FileEntry] = field(default_factory=dict, init=False)

    def poll(self) -> tuple[dict[str, int], list[FileEntry], list[FileEntry]]:
        """Return how far each segment was rolled, and the files added and removed since last time.

        All are of one snapshot: no row is in both a file and the rest of a segment, or in two
        files.
        """
        # Asked first: what is committed in between is found by the next poll.
        stamp = self.database.stamp()
        if stamp is not None and stamp == self._stamp:
            return self._rolled, [], []
        with self.database.read() as connection:
            rolled = _offsets(connection)
            oldest = connection.execute(sa.select(sa.func.min(log_removed.c.number))).scalar()
            added, self._added = _since(connection, log_files, self._added)
            removed, last = _since(connection, log_removed, self._removed)
            if oldest is not None and oldest > self._removed + 1:
                # What left the log so long ago that it is not listed any more.
                there = set(connection.execute(sa.select(log_files.c.path)).scalars())
                listed = {file.path for file in removed} | there
                removed = [*removed, *(f for p, f in self._known.items() if p not in listed)]
            self._removed = last
        self._known.update({file.path: file for file in added})
        for file in removed:
            self._known.pop(file.path, None)
        self._stamp, self._rolled = stamp, rolled
        return rolled, added, removed

    def register(self, change: Change, now: datetime) -> None:
        """Write a change in one transaction.

        Raises
        ------
        ConflictError
            If another process rolled a segment or removed a file meanwhile.
        StorageError
            If the database failed; nothing was written.
        """
        with self.database.write() as connection:
            # Rows must become visible in the order of their numbers: `poll` goes on from the last.
            in_turn(connection, CATALOGUE_LOCK)
            for name, (before, after) in change.segments.items():
                self._advance(connection, name, before, after)
            for file in change.removed:
                gone = sa.delete(log_files).where(log_files.c.path == file.path)
                if connection.execute(gone).rowcount != 1:
                    raise ConflictError(f"{file.path} was removed by another process meanwhile")
            if change.removed:
                at = to_micros(now)
                rows = [{**_file_row(file), "at": at} for file in change.removed]
                connection.execute(sa.insert(log_removed), rows)
            if change.added:
                connection.execute(sa.insert(log_files), [_file_row(file) for file in change.added])
            add_profiles(connection, change.profiles, change.segment_profiles, to_micros(now))
            decided = [
                {"model": entry.model, "at": to_micros(entry.at), "body": encode(entry)}
                for entry in change.decisions
            ]
            if decided:
                connection.execute(sa.insert(decisions), decided)
            _keep(connection, change.refused)

    def _advance(self, connection: sa.Connection, name: str, before: int, after: int) -> None:
        if before == 0:
            new = insert(connection, log_segments).values(name=name, rolled=after)
            changed = inserted(connection, new.on_conflict_do_nothing())
        else:
            same = (log_segments.c.name == name) & (log_segments.c.rolled == before)
            update = sa.update(log_segments).where(same).values(rolled=after)
            changed = connection.execute(update).rowcount
        if changed != 1:
            raise ConflictError(f"segment {name} was rolled by another process meanwhile")

    def drop(self, segments: Sequence[str], now: datetime) -> None:
        """Note that the files of segments are about to be deleted."""
        rows = log_segments.c.name.in_(segments) & log_segments.c.dropped.is_(None)
        with self.database.write() as connection:
            connection.execute(sa.update(log_segments).where(rows).values(dropped=to_micros(now)))

    def dropped(self, before: datetime) -> set[str]:
        """Return the names of segments that were dropped before a time."""
        query = sa.select(log_segments.c.name).where(log_segments.c.dropped < to_micros(before))
        with self.database.read() as connection:
            return set(connection.execute(query).scalars())

    def standing(self) -> set[str]:
        """Return the names of segments whose files should be there."""
        query = sa.select(log_segments.c.name).where(log_segments.c.dropped.is_(None))
        with self.database.read() as connection:
            return set(connection.execute(query).scalars())

    def forget(self, segments: Sequence[str]) -> None:
        """Delete the offsets of segments whose files are gone."""
        with self.database.write() as connection:
            connection.execute(sa.delete(log_segments).where(log_segments.c.name.in_(segments)))

    def profiles(
        self, model: str, start: int, end: int, version: str
    ) -> tuple[dict[str, int], SegmentHours]:
        """Return the segments' offsets and what is stored of the hours in [start, end)."""
        with self.database.read() as connection:
            return _offsets(connection), whole_hours(connection, model, start, end, version)

    def segment(
        self, model: str, columns: str, segment: str, start: int, end: int, version: str
    ) -> tuple[dict[str, int], SegmentHours]:
        """Return the segments' offsets and what is stored of a segment of the model's rows."""
        with self.database.read() as connection:
            rolled = _offsets(connection)
            found = segment_hours(connection, model, columns, segment, start, end, version)
            return rolled, found

    def replace_profiles(
        self,
        hours: Mapping[HourKey, Profile],
        segments: Mapping[SegmentKey, Profile],
        kinds: Mapping[str, ColumnKind],
        *,
        fresh: bool = False,
    ) -> Replaced:
        """Store profiles of hours in place of those that are there, a transaction each.

        See `replace_hour`; call it while nothing is rolled.
        """
        parts: dict[HourKey, dict[SegmentKey, Profile]] = {}
        for key, profile in segments.items():
            parts.setdefault((key[0], key[1], key[4]), {})[key] = profile
        done = Replaced()
        for hour in sorted(hours):
            with self.database.write() as connection:
                mine = parts.get(hour, {})
                done = done.plus(
                    replace_hour(connection, hour, hours[hour], mine, kinds, fresh=fresh)
                )
        return done

    def counts(self, model: str, start: int, end: int) -> tuple[dict[str, int], dict[int, int]]:
        """Return the segments' offsets and the stored rows of each of the hours in [start, end)."""
        with self.database.read() as connection:
            rolled = _offsets(connection)
            return rolled, hour_rows(connection, model, start, end)

    def segments(self, model: str, columns: Sequence[str], start: int, end: int) -> dict[str, int]:
        """Return the stored rows of each segment by these columns in the hours in [start, end)."""
        with self.database.read() as connection:
            return segment_rows(connection, model, columns, start, end)

    def late(self, model: str, start: int, end: int) -> int:
        """Return how many rows of the hours in [start, end) came late."""
        with self.database.read() as connection:
            return late_rows(connection, model, start, end)

    def added_after(self, number: int) -> tuple[list[FileEntry], int]:
        """Return the files that are there and came after one, and the number of the last of them.

        Files are numbered in the order in which they came; the first is 1.
        """
        with self.database.read() as connection:
            return _since(connection, log_files, number)

    def paths(self, since: datetime) -> set[str]:
        """Return the paths of all files, and of those that were removed after `since`."""
        lately = sa.select(log_removed.c.path).where(log_removed.c.at > to_micros(since))
        with self.database.read() as connection:
            found = set(connection.execute(sa.select(log_files.c.path)).scalars())
            return found | set(connection.execute(lately).scalars())

    def prune(self, model: str, *, profiles: int, quarantine: int) -> None:
        """Delete a model's profiles of hours, and its refused rows, before these times."""
        hours = (log_profiles, log_segment_profiles)
        old = (
            *(sa.delete(t).where(t.c.model == model, t.c.hour < profiles) for t in hours),
            sa.delete(log_quarantine).where(
                log_quarantine.c.model == model, log_quarantine.c.at < quarantine
            ),
        )
        with self.database.write() as connection:
            for statement in old:
                connection.execute(statement)

    def prune_removed(self, before: int) -> None:
        """Forget the files that left the log before a time, all but the last one.

        By its number a process that looks for the first time in long knows that it missed some.
        """
        last = sa.select(sa.func.max(log_removed.c.number)).scalar_subquery()
        old = (log_removed.c.at < before) & (log_removed.c.number < last)
        with self.database.write() as connection:
            connection.execute(sa.delete(log_removed).where(old))

    def totals(self) -> tuple[int, int, int, int]:
        """Return the files' number, prediction rows, label rows and bytes."""
        by_kind = sa.select(
            log_files.c.kind,
            sa.func.count().label("files"),
            sa.func.sum(log_files.c.rows).label("rows"),
            sa.func.sum(log_files.c.bytes).label("bytes"),
        ).group_by(log_files.c.kind)
        with self.database.read() as connection:
            found = {row.kind: row for row in connection.execute(by_kind)}
        rows = {kind.name: int(found[kind.name].rows) if kind.name in found else 0 for kind in Kind}
        files = sum(int(row.files) for row in found.values())
        size = sum(int(row.bytes) for row in found.values())
        return files, rows[Kind.PREDICTIONS.name], rows[Kind.LABELS.name], size

    def quarantine(self, entries: Sequence[Quarantined]) -> None:
        """Keep refused rows; one that is kept already is not kept twice."""
        with self.database.write() as connection:
            _keep(connection, entries)

    def quarantined(self, model: str, limit: int) -> tuple[Quarantined, ...]:
        """Return the newest refused rows, newest first; at most `PAGE_BYTES` of them."""
        query = sa.select(log_quarantine).order_by(log_quarantine.c.number.desc()).limit(limit)
        if model:
            query = query.where(log_quarantine.c.model == model)
        found: list[Quarantined] = []
        room = PAGE_BYTES
        few = query.execution_options(yield_per=FEW)
        with self.database.read() as connection, connection.execute(few) as rows:
            for r in rows:
                room -= len(r.row) + len(r.reason)
                if room < 0 and found:
                    break
                kind, at = Kind[r.kind], from_micros(r.at)
                found.append(Quarantined(r.model, kind, at, r.column, r.reason, r.row, r.number))
        return tuple(found)


def _keep(connection: sa.Connection, entries: Sequence[Quarantined]) -> None:
    rows = [
        {
            "digest": entry.digest,
            "model": entry.model,
            "kind": entry.kind.name,
            "at": to_micros(entry.at),
            "column": storable(entry.column),
            "reason": storable(entry.reason),
            "row": storable(entry.row),
        }
        for entry in entries
    ]
    if rows:
        connection.execute(insert(connection, log_quarantine).on_conflict_do_nothing(), rows)


def _offsets(connection: sa.Connection) -> dict[str, int]:
    return {row.name: row.rolled for row in connection.execute(sa.select(log_segments))}


def _since(connection: sa.Connection, table: sa.Table, number: int) -> tuple[list[FileEntry], int]:
    """Return the files in rows after `number`, and the last row's number."""
    query = sa.select(table).where(table.c.number > number).order_by(table.c.number)
    rows = connection.execute(query).all()
    files = [
        FileEntry(Kind[r.kind], r.model, r.day, r.path, r.rows, r.bytes, r.first, r.last)
        for r in rows
    ]
    return files, rows[-1].number if rows else number


def _file_row(file: FileEntry) -> dict[str, object]:
    return {
        "kind": file.kind.name,
        "model": file.model,
        "day": file.day,
        "path": file.path,
        "rows": file.rows,
        "bytes": file.bytes,
        "first": file.first,
        "last": file.last,
    }
