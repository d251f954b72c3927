"""What the log knows of its files and segments: kept in memory, brought up to date before reads."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from homeostat.adapters.predlog.catalogue import Catalogue, FileEntry
from homeostat.adapters.predlog.frames import Kind, scan
from homeostat.adapters.predlog.judged import Judged, pairs_of, repeated
from homeostat.adapters.predlog.keys import Keys, identities, merge
from homeostat.adapters.predlog.layout import EVER
from homeostat.adapters.predlog.memory import (
    Landed,
    LandedKeys,
    LandedSegment,
    Part,
    Snapshot,
)
from homeostat.adapters.predlog.parquet import DAY, TIME_FIELD, FileStore, day_text
from homeostat.adapters.predlog.segments import REPLACED, Place, place_of, segment_names
from homeostat.domain.columns import micros
from homeostat.domain.errors import StorageError

RECENT = "recent"
"""Stands for the day of labels that were not yet sorted by the day of their predictions."""
UNKNOWN = "unknown"
"""Stands for the day of labels whose predictions are not known."""


@dataclass
class LogState:
    """Landed rows, their keys, and files. Every method expects `lock` to be held.

    Attributes
    ----------
    rolled : dict
        How far each segment was rolled, as of the last refresh.
    frontier : dict
        How far each segment was read into ``landed``.
    durable : dict
        How far this process's own segments are written.
    losses : int
        Files that were seen to leave the log.
    writing : callable
        Names the segment that this process writes; its rows land when their write has returned.
    lost : set of str
        Segments taken away while this process wrote to them: their rows may be nowhere else.
    """

    landing: Path
    catalogue: Catalogue
    store: FileStore
    lock: threading.RLock = field(default_factory=threading.RLock)
    rolled: dict[str, int] = field(default_factory=dict)
    frontier: dict[str, int] = field(default_factory=dict)
    durable: dict[str, int] = field(default_factory=dict)
    landed: dict[str, LandedSegment] = field(default_factory=dict)
    losses: int = 0
    _place: Place = field(init=False)
    writing: Callable[[], str] = str
    lost: set[str] = field(default_factory=set)
    files: dict[Part, dict[str, list[FileEntry]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )

    def __post_init__(self) -> None:
        self._place = place_of(self.landing)

    def refresh(self) -> None:
        """Take in what other processes appended and rolled.

        Raises
        ------
        StorageError
            If the folder or the database cannot be read.
        """
        try:
            while not self._refreshed():
                pass
        except OSError as error:
            raise StorageError(
                f"the landing folder {self.landing} cannot be read: {error}"
            ) from error

    def release(self) -> None:
        """Let go of what other processes rolled or removed; take in no more than has to be.

        Raises as `refresh`.
        """
        rolled, added, removed = self.catalogue.poll()
        self.swap(added, removed)
        if rolled != self.rolled:
            self.refresh()

    def _refreshed(self) -> bool:
        if place_of(self.landing) != self._place:
            raise OSError(REPLACED)
        # Listed before the catalogue is read: a segment that is deleted in between was rolled, and
        # its rows are in files that this reading of the catalogue may not show.
        names = segment_names(self.landing)
        rolled, added, removed = self.catalogue.poll()
        self.swap(added, removed)
        unlisted = self.rolled.keys() - rolled.keys()
        self.let_go({n for n in unlisted if self.frontier.get(n, 0) <= self.rolled[n]})
        # What left, and was not taken from this process, was rolled: long ago maybe.
        left = self.frontier.keys() - rolled.keys() - {self.writing()} - self.lost - set(names)
        if rolled != self.rolled or left:
            self._forget_landed(rolled)
        try:
            for name in names:
                # Asked for after the listing: of a segment that is in it, its writer knew before.
                mine = name == self.writing()
                self._take_in(name, self.durable.get(name, 0) if mine else None)
        except FileNotFoundError:
            return False
        return True

    def swap(self, added: Iterable[FileEntry], removed: Iterable[FileEntry]) -> None:
        """Take files in that became part of the log, and let go of those that no longer are."""
        for entry in added:
            self.files[entry.kind, entry.model][entry.day].append(entry)
        for entry in removed:
            self.losses += 1
            days = self.files[entry.kind, entry.model]
            days[entry.day] = [file for file in days[entry.day] if file.path != entry.path]
            if not days[entry.day]:
                del days[entry.day]
            self.store.forget(entry)

    def let_go(self, segments: Collection[str]) -> None:
        """Let go of segments that were rolled and deleted."""
        for held in (self.rolled, self.frontier, self.durable, self.landed):
            for name in segments:
                held.pop(name, None)

    def _forget_landed(self, rolled: dict[str, int]) -> None:
        # Another process rolled some of the landed rows, so that they are in files now. Of a row
        # that is in two segments it may have kept the other one: all are looked at again.
        ends = self.frontier
        self.lost -= {n for n in self.lost.copy() if ends.get(n, 0) <= rolled.get(n, 0)}
        only_here = {
            name: (self.landed[name], self.frontier[name])
            for name in self.lost & self.landed.keys()
        }
        self.rolled, self.frontier = rolled, dict(rolled)
        self.landed.clear()
        for name, (held, end) in only_here.items():
            for (kind, model), landed in (*held.parts.items(), *held.refused.items()):
                for block in landed.blocks:
                    self._take(name, kind, model, block.table)
            self.frontier[name] = end

    def _take_in(self, name: str, stop: int | None) -> None:
        start = self.frontier.get(name, 0)
        size = (self.landing / name).stat().st_size if stop is None else stop
        if size <= start:
            return
        for frame in scan(self.landing / name, start, stop):
            self._take(name, frame.kind, frame.model, frame.rows)
            self.frontier[name] = frame.end

    def _take(self, segment: str, kind: Kind, model: str, rows: pa.Table) -> None:
        """Land those rows that are new.

        Those of another content than what is stored were acknowledged by a process that had not
        seen it: they are held until they are rolled, into quarantine.
        """
        judged = self.judge(kind, model, rows)
        fresh = rows if judged.new.all() else rows.filter(judged.fresh)
        self.land(segment, kind, model, fresh, judged.keys)
        if judged.other.any():
            held = self.landed.setdefault(segment, LandedSegment())
            refused = held.refused.setdefault((kind, model), Landed(TIME_FIELD[kind]))
            refused.add(rows.filter(pa.array(judged.other)))

    def land(self, segment: str, kind: Kind, model: str, rows: pa.Table, found: Keys) -> None:
        """Add durable rows, none of which is known; `found` are their keys, in the rows' order."""
        if not len(rows):
            return
        held = self.landed.setdefault(segment, LandedSegment())
        held.parts.setdefault((kind, model), Landed(TIME_FIELD[kind])).add(rows)
        days = self._days(kind, rows)
        for day in np.unique(days).tolist():
            mine = days == day
            part = Keys(found.keys[mine], found.details[mine], found.rows[mine])
            held.keys.setdefault((kind, model, _scope(kind, day)), LandedKeys()).add(merge([part]))

    def unload(self) -> None:
        """Hold the rows of this process's finished segments as they lie in their files."""
        for segment in self.durable.keys() & self.landed.keys() - {self.writing(), *self.lost}:
            held = self.landed[segment]
            if any(landed.frozen for landed in held.parts.values()):
                continue
            start = self.rolled.get(segment, 0)
            parts: dict[Part, Landed] = {}
            for frame in scan(self.landing / segment, start, self.durable[segment]):
                part = frame.kind, frame.model
                parts.setdefault(part, Landed(TIME_FIELD[frame.kind])).add(frame.rows)
            # Some may have been left out: another process had rolled them, or others of their ids.
            if _sizes(parts) == _sizes(held.parts):
                held.parts = parts

    def judge(self, kind: Kind, model: str, rows: pa.Table) -> Judged:
        """Say which rows are neither stored nor repeat an earlier one of `rows`."""
        keys, details = identities(kind, rows, self.store.salt)
        order = np.argsort(keys)  # what is looked for in order is found in half the time
        same, alike = repeated(keys, details, order)
        days = self._days(kind, rows)
        for day in np.unique(days).tolist():
            mine = order[days[order] == day]
            for known in self._known(kind, model, _scope(kind, day)):
                found = known.find(keys[mine], details[mine])
                same[mine] |= found[0]
                alike[mine] |= found[1]
        other = np.zeros(len(same), np.bool_)
        if kind is Kind.PREDICTIONS:
            doubtful = np.flatnonzero(alike & ~same)
            if doubtful.size:
                other[doubtful] = self._taken(model, rows, doubtful)
        fresh = ~same & ~other
        places = np.zeros(np.count_nonzero(fresh), np.uint32)
        return Judged(pa.array(fresh), fresh, other, Keys(keys[fresh], details[fresh], places))

    def _taken(self, model: str, rows: pa.Table, doubtful: NDArray[np.intp]) -> list[bool]:
        """Say of rows whose hashes are known whether their ids and versions are."""
        asked = rows.select(["prediction_id", "version"]).take(doubtful)
        names, ids = asked.column_names, asked.column("prediction_id").combine_chunks()
        tables = [table.select(names) for table in self._tables(Kind.PREDICTIONS, model)]
        for day in np.unique(self._days(Kind.PREDICTIONS, rows)[doubtful]).tolist():
            files = self.files[Kind.PREDICTIONS, model].get(_scope(Kind.PREDICTIONS, day), ())
            tables.extend(self.store.read(file, names) for file in files)
        stored = set[tuple[str, str]]()
        for table in tables:
            stored.update(pairs_of(table.filter(pc.is_in(table.column("prediction_id"), ids))))
        first: dict[tuple[str, str], int] = {}
        for place, pair in enumerate(pairs_of(rows.slice(0, int(doubtful.max())))):
            first.setdefault(pair, place)
        return [
            pair in stored or first.get(pair, place) < place
            for pair, place in zip(pairs_of(asked), doubtful.tolist(), strict=True)
        ]

    def _days(self, kind: Kind, rows: pa.Table) -> NDArray[np.int64]:
        # A label's prediction may be of any day: all labels are looked for among all recent ones.
        if kind is Kind.LABELS:
            return np.zeros(len(rows), np.int64)
        return micros(rows, "timestamp") // DAY

    def _known(self, kind: Kind, model: str, scope: str) -> Iterator[Keys]:
        for held in self.landed.values():
            landed = held.keys.get((kind, model, scope))
            yield from landed.all if landed else ()
        scopes = (RECENT, UNKNOWN) if kind is Kind.LABELS else (scope,)
        for name in scopes:
            yield from map(self.store.keys, self.files[kind, model].get(name, ()))

    def predictions(self, model: str) -> tuple[list[Keys], list[FileEntry]]:
        """Return the keys of landed predictions, and the files of others, newest days first."""
        landed = [
            keys
            for held in self.landed.values()
            for (kind, name, _), known in held.keys.items()
            if (kind, name) == (Kind.PREDICTIONS, model)
            for keys in known.all
        ]
        days = self.files[Kind.PREDICTIONS, model]
        return landed, [file for day in sorted(days, reverse=True) for file in days[day]]

    def freeze(self, most: int) -> Snapshot:
        """Return what has landed so far, oldest segments first, to be made into files.

        Of the first segment all, of others as long as the rows are not more than `most` bytes.
        """
        parts: dict[Part, list[Landed]] = defaultdict(list)
        refused: dict[Part, list[Landed]] = defaultdict(list)
        frontier: dict[str, int] = {}
        size = 0
        for name in sorted(self.frontier):
            if self.frontier[name] <= self.rolled.get(name, 0):
                continue
            held = self.landed.get(name, LandedSegment())
            size += held.bytes
            if frontier and size > most:
                break
            frontier[name] = self.frontier[name]
            held.freeze()
            for part, landed in held.parts.items():
                parts[part].append(landed)
            for part, landed in held.refused.items():
                refused[part].append(landed)
        return Snapshot(dict(parts), dict(refused), frontier, dict(self.rolled))

    def settle(self, snapshot: Snapshot) -> None:
        """Let go of rows that have become files."""
        # Whatever else changed meanwhile comes with them, and is not told again.
        _, added, removed = self.catalogue.poll()
        self.swap(added, removed)
        if self.rolled != snapshot.rolled:
            return  # a refresh in between has let go of them
        for name in snapshot.frontier:
            if name in self.landed:
                self.landed[name].drop()
        self.rolled = self.rolled | snapshot.frontier

    @property
    def bytes(self) -> int:
        """Bytes of all rows that have landed; `lock` need not be held."""
        return sum(held.bytes for held in tuple(self.landed.values()))

    def rows(self, kind: Kind) -> int:
        """Return the number of landed rows of a kind."""
        parts = (item for held in self.landed.values() for item in held.parts.items())
        return sum(landed.rows for part, landed in parts if part[0] is kind)

    def gather(self, model: str, start: int, end: int) -> tuple[list[FileEntry], list[pa.Table]]:
        """Return the prediction files and landed tables with rows in [start, end) microseconds."""
        days = self.files[Kind.PREDICTIONS, model]
        files = [
            file
            for day in window_days(start, end)
            for file in days.get(day, ())
            if file.first < end and file.last >= start
        ]
        return files, self.landed_tables(model, start, end)

    def landed_tables(self, model: str, start: int, end: int) -> list[pa.Table]:
        """Return the landed tables with rows in [start, end) microseconds."""
        return self._tables(Kind.PREDICTIONS, model, start, end)

    def _tables(
        self, kind: Kind, model: str, start: int = EVER[0], end: int = EVER[1]
    ) -> list[pa.Table]:
        found = (held.parts.get((kind, model)) for held in self.landed.values())
        blocks = (block for landed in found if landed for block in landed.blocks)
        return [block.table for block in blocks if block.overlaps(start, end)]

    def labels(
        self, model: str, days: Sequence[str] | None = None
    ) -> tuple[list[FileEntry], list[pa.Table]]:
        """Return the files and tables of labels of these days' predictions, and of others."""
        by_day = self.files[Kind.LABELS, model]
        scopes = by_day if days is None else [*days, RECENT, UNKNOWN]
        files = [file for scope in scopes for file in by_day.get(scope, ())]
        return files, self._tables(Kind.LABELS, model)


def window_days(start: int, end: int) -> list[str]:
    """Return the dates of the days in [start, end) microseconds."""
    return [day_text(day * DAY) for day in range(start // DAY, (end - 1) // DAY + 1)]


def _sizes(parts: Mapping[Part, Landed]) -> dict[Part, int]:
    return {part: landed.rows for part, landed in parts.items() if landed.rows}


def _scope(kind: Kind, day: int) -> str:
    return RECENT if kind is Kind.LABELS else day_text(day * DAY)
