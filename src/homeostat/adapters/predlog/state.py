"""What the log knows of its files and segments: kept in memory, brought up to date before reads."""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from homeostat.adapters.predlog.catalogue import Catalogue, FileEntry
from homeostat.adapters.predlog.frames import Kind, scan
from homeostat.adapters.predlog.memory import Key, Labels, Landed, keys_of
from homeostat.adapters.predlog.parquet import DAY, TIME_FIELD, FileStore, day_text, split_by
from homeostat.adapters.predlog.segments import segment_names
from homeostat.domain.columns import texts
from homeostat.domain.errors import StorageError

KNOWN_KEYS = 2_000_000


@dataclass
class LogState:
    """Landed rows, files, ids and labels. Every method expects `lock` to be held.

    Attributes
    ----------
    rolled : dict
        How far each segment was rolled, as of the last refresh.
    frontier : dict
        How far each segment was read into ``landed``.
    own : set of str
        Segments that this process writes: their rows come from the writer, not from the file.
    """

    landing: Path
    catalogue: Catalogue
    store: FileStore
    lock: threading.Condition = field(default_factory=threading.Condition)
    rolled: dict[str, int] = field(default_factory=dict)
    frontier: dict[str, int] = field(default_factory=dict)
    durable: dict[str, int] = field(default_factory=dict)
    landed: dict[tuple[Kind, str], Landed] = field(default_factory=dict)
    files: dict[tuple[Kind, str], dict[str, list[FileEntry]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    _days: OrderedDict[tuple[str, str], dict[Key, int]] = field(default_factory=OrderedDict)
    _known: int = 0
    _labels: dict[str, Labels] = field(default_factory=dict)

    def refresh(self, writing: str = "") -> None:
        """Take in what other processes appended and rolled; `writing` is this process's segment.

        Raises
        ------
        StorageError
            If the folder or the database cannot be read.
        """
        try:
            while not self._refreshed(writing):
                pass
        except OSError as error:
            raise StorageError(
                f"the landing folder {self.landing} cannot be read: {error}"
            ) from error

    def _refreshed(self, writing: str) -> bool:
        # Listed before the catalogue is read: a segment that is deleted in between was rolled, and
        # its rows are in files that this reading of the catalogue may not show.
        names = segment_names(self.landing)
        rolled, added = self.catalogue.poll()
        for entry in added:
            self.enter(entry)
        if rolled != self.rolled:
            self._forget_landed(rolled)
        try:
            for name in names:
                self._take_in(name, self.durable.get(name, 0) if name == writing else None)
        except FileNotFoundError:
            return False
        return True

    def _forget_landed(self, rolled: dict[str, int]) -> None:
        # Another process rolled some of the landed rows, so that they are in files now.
        self.rolled, self.frontier = rolled, dict(rolled)
        self.landed.clear()
        self._days.clear()
        self._known = 0

    def enter(self, entry: FileEntry, *, own: bool = False) -> None:
        """Take in a file that was registered; the rows of an `own` one are known already."""
        self.files[entry.kind, entry.model][entry.day].append(entry)
        if own:
            return
        labels = self._labels.get(entry.model)
        if entry.kind is Kind.PREDICTIONS:
            self._known -= len(self._days.pop((entry.model, entry.day), ()))
        if labels is not None and entry.kind is Kind.LABELS:
            labels.add(self.store.read(entry))
        elif labels is not None and labels.watches_ids:
            labels.predicted(texts(self.store.read(entry), "prediction_id"))

    def _take_in(self, name: str, stop: int | None) -> None:
        start = self.frontier.get(name, 0)
        size = (self.landing / name).stat().st_size if stop is None else stop
        if size <= start:
            return
        for frame in scan(self.landing / name, start, stop):
            rows = frame.rows
            if frame.kind is Kind.PREDICTIONS:
                known = self.known(frame.model, rows)
                fresh = _first_of_each([key for key, _ in keys_of(rows)], known)
                rows = rows.filter(pa.array(fresh, pa.bool_()))
            self.land(frame.kind, frame.model, rows)
            self.frontier[name] = frame.end

    def land(self, kind: Kind, model: str, rows: pa.Table) -> None:
        """Add durable rows, none of which is known."""
        if not len(rows):
            return
        if (kind, model) not in self.landed:
            self.landed[kind, model] = Landed(TIME_FIELD[kind])
        self.landed[kind, model].add(rows)
        if kind is Kind.LABELS:
            if model in self._labels:
                self._labels[model].add(rows)
            return
        for start, part in split_by(rows, "timestamp", DAY):
            day = self._days.get((model, day_text(start)))
            if day is not None:
                day.update(keys_of(part))
                self._known += len(part)
        if model in self._labels:
            self._labels[model].predicted(texts(rows, "prediction_id"))

    def known(self, model: str, rows: pa.Table) -> dict[Key, int]:
        """Return the fingerprints of all stored rows of the days that `rows` are of."""
        days = [day_text(start) for start, _ in split_by(rows, "timestamp", DAY)]
        if len(days) == 1:
            return self._day(model, days[0])
        found: dict[Key, int] = {}
        for day in days:
            found.update(self._day(model, day))
        return found

    def _day(self, model: str, day: str) -> dict[Key, int]:
        known = self._days.get((model, day))
        if known is None:
            known = {}
            for entry in self.files[Kind.PREDICTIONS, model][day]:
                known.update(keys_of(self.store.read(entry)))
            landed = self.landed.get((Kind.PREDICTIONS, model))
            for block in landed.blocks if landed else ():
                for start, part in split_by(block.table, "timestamp", DAY):
                    if day_text(start) == day:
                        known.update(keys_of(part))
            self._days[model, day] = known
            self._known += len(known)
            while self._known > KNOWN_KEYS and len(self._days) > 1:
                self._known -= len(self._days.popitem(last=False)[1])
        self._days.move_to_end((model, day))
        return known

    def labels(self, model: str) -> Labels:
        """Return the labels of a model, read on first use."""
        if model not in self._labels:
            labels = Labels()
            for table in self._tables(Kind.LABELS, model):
                labels.add(table)
            self._labels[model] = labels
        return self._labels[model]

    def orphans(self, model: str, older_than: int) -> int:
        """Count labels without prediction; the first call reads the ids of all predictions."""
        labels = self.labels(model)
        if not labels.watches_ids:
            tables = self._tables(Kind.PREDICTIONS, model)
            labels.watch(key for t in tables for key in texts(t, "prediction_id"))
        return labels.orphans(older_than)

    def _tables(self, kind: Kind, model: str) -> list[pa.Table]:
        files = [file for day in self.files[kind, model].values() for file in day]
        landed = self.landed.get((kind, model))
        blocks = landed.blocks if landed else []
        return [*map(self.store.read, files), *(block.table for block in blocks)]

    def gather(self, model: str, start: int, end: int) -> tuple[list[FileEntry], list[pa.Table]]:
        """Return the prediction files and landed tables with rows in [start, end) microseconds."""
        days = self.files[Kind.PREDICTIONS, model]
        files = [
            file
            for day in np.arange(start // DAY, (end - 1) // DAY + 1).tolist()
            for file in days.get(day_text(day * DAY), ())
            if file.first < end and file.last >= start
        ]
        return files, self.landed_tables(model, start, end)

    def landed_tables(self, model: str, start: int, end: int) -> list[pa.Table]:
        """Return the landed tables with rows in [start, end) microseconds."""
        landed = self.landed.get((Kind.PREDICTIONS, model))
        blocks = landed.blocks if landed else []
        return [block.table for block in blocks if block.overlaps(start, end)]


def _first_of_each(keys: list[Key], known: dict[Key, int]) -> list[bool]:
    seen: set[Key] = set()
    fresh = []
    for key in keys:
        fresh.append(key not in known and key not in seen)
        seen.add(key)
    return fresh
