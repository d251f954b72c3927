"""Rows that one version scored, spread over time, with those labels that are complete."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from homeostat.domain.admission import as_admitted
from homeostat.domain.columns import micros, where
from homeostat.domain.errors import NotFoundError
from homeostat.domain.logged import logged_columns, with_features
from homeostat.domain.model import ModelSpec
from homeostat.domain.predictions import from_micros
from homeostat.domain.record import TIMESTAMP
from homeostat.domain.window import Window
from homeostat.engine.cohort import Cohort, cohorts, without
from homeostat.engine.ports import PredictionLog, Registry

FIRST_PIECE = timedelta(hours=1)
MICRO = timedelta(microseconds=1)
EFFORT = 10
"""Rows read, at most, for each labelled one that is wanted."""
SLICES = 4
"""Pieces of a window that holds more rows than are wanted of it."""
SPREAD = 28
"""Windows over which the wanted rows are spread; further ones only make up for what they lack."""


def backwards(start: datetime, end: datetime) -> Iterator[Window]:
    """Yield windows from `end` back to `start`, each twice as long as the one before.

    Examples
    --------
    >>> from datetime import UTC
    >>> end = datetime(2024, 1, 1, 10, tzinfo=UTC)
    >>> [window.length.seconds // 3600 for window in backwards(end - timedelta(hours=6), end)]
    [1, 2, 3]
    """
    length = FIRST_PIECE
    while end > start:
        yield Window(max(start, end - length), end)
        end -= length
        length *= 2


def scored_by(version: str, table: pa.Table) -> pa.Table:
    """Return the rows that a version answered itself, shadow copies included."""
    return where(where(table, "version", version), "tier", "model")


def trained_until(registry: Registry, model: str, version: str) -> datetime | None:
    """Return the end of what a version was trained on; None if that is not known."""
    try:
        return registry.get(model, version).trained_until
    except NotFoundError:
        return None


@dataclass(frozen=True, slots=True)
class Source:
    """Where one version's rows are read.

    Attributes
    ----------
    log : PredictionLog
    spec : ModelSpec
    version : str
    now : datetime
        What has arrived later is not known.
    excluded : tuple of Window
        Rows in them are left out: data faults cover them.
    early : bool
        Whether labels count as soon as they have come; reading then stops by rows, not by labels.
    """

    log: PredictionLog
    spec: ModelSpec
    version: str
    now: datetime
    excluded: tuple[Window, ...] = ()
    early: bool = False

    def spread(self, windows: Sequence[Window], wanted: int, rng: np.random.Generator) -> pa.Table:
        """Return rows by time, about as many labelled ones of each window.

        A label counts from the age at which the earliest cohort's labels are complete, and only in
        that cohort: younger rows have those labels that come fast, which are a biased choice.

        Parameters
        ----------
        windows : sequence of Window
            The one that matters most first; they do not overlap.
        wanted : int
            Labelled rows; reading stops there, or after `EFFORT` times as many rows. A window that
            holds much more than its share is read in `SLICES` pieces.
        rng : numpy.random.Generator
            Draws where the pieces lie.

        Returns
        -------
        pyarrow.Table
            Columns as for `homeostat.domain.logged.logged_predictions`, ``label`` included.
        """
        spread = min(SPREAD, max(1, len(windows)))
        rows, held = self._gather(windows, wanted, math.ceil(wanted / spread), rng)
        if len(held) < spread and self._count(rows) < wanted:
            # A young version has rows in few of the windows: these hold more than their share.
            quota = math.ceil(wanted / max(1, len(held)))
            rows, _ = self._gather(held, wanted, quota, rng)
        return rows.sort_by("timestamp")

    def _gather(
        self, windows: Sequence[Window], wanted: int, quota: int, rng: np.random.Generator
    ) -> tuple[pa.Table, list[Window]]:
        """Return rows, a quota of each window, and the windows in which there were some."""
        parts = [self._read(Window(self.now, self.now + MICRO))[0].slice(0, 0)]
        held: list[Window] = []
        tempo = _Tempo()
        for window in windows:
            stop, found = tempo.after(quota), 0
            for piece in _pieces(window, tempo.needed(quota), rng):
                table, rows = self._read(piece)
                parts.append(table)
                found += table.num_rows
                seconds = piece.length.total_seconds()
                tempo = tempo.plus(seconds, rows, self._count(table))
                if tempo.reached(stop):
                    break
            held += [window] if found else []
            if tempo.reached(_Tempo(0.0, EFFORT * wanted, wanted)):
                break
        return pa.concat_tables(parts), held

    def _read(self, window: Window) -> tuple[pa.Table, int]:
        """Return the version's rows of a window, and how many there were of all versions."""
        cohort = cohorts(self.spec)[0]
        columns = list(logged_columns(self.spec))
        if cohort.column and cohort.column not in columns:
            columns.append(cohort.column)
        table, _ = as_admitted(self.spec, self.log.labelled(self.spec, window, self.now, columns))
        mine = with_features(self.spec, scored_by(self.version, without(table, self.excluded)))
        return (mine if self.early else _grown_up(mine, cohort, self.now)), table.num_rows

    def _count(self, table: pa.Table) -> int:
        return table.num_rows if self.early else count_labels(table)


@dataclass(frozen=True, slots=True)
class _Tempo:
    """How much has been read, and how much that brought."""

    seconds: float = 0.0
    rows: int = 0
    labelled: int = 0

    def plus(self, seconds: float, rows: int, labelled: int) -> _Tempo:
        return _Tempo(self.seconds + seconds, self.rows + rows, self.labelled + labelled)

    def after(self, quota: int) -> _Tempo:
        """Return where to stop in a window from which so many labelled rows are wanted."""
        return self.plus(0.0, EFFORT * quota, quota)

    def reached(self, other: _Tempo) -> bool:
        return self.rows >= other.rows or self.labelled >= other.labelled

    def needed(self, quota: int) -> float:
        """Return the seconds of log that hold so many labelled rows, or enough others."""
        by_rows = EFFORT * quota * self.seconds / self.rows if self.rows else math.inf
        by_labels = quota * self.seconds / self.labelled if self.labelled else math.inf
        return min(by_rows, by_labels)


def _pieces(window: Window, needed: float, rng: np.random.Generator) -> Iterator[Window]:
    """Yield what to read of a window, of which `needed` seconds are enough (inf: not known)."""
    if math.isinf(needed):
        yield from backwards(window.start, window.end)
        return
    if 2.0 * needed >= window.length.total_seconds():
        yield window
        return
    stratum = window.length / SLICES
    length = timedelta(seconds=needed / SLICES) + MICRO
    for number, place in enumerate(rng.random(SLICES).tolist()):
        start = window.start + number * stratum + place * (stratum - length)
        yield Window(start, start + length)


def _grown_up(table: pa.Table, cohort: Cohort, now: datetime) -> pa.Table:
    """Hide the labels of rows that are too young, or of another cohort."""
    old = pc.less_equal(table["timestamp"], pa.scalar(now - cohort.maturity, TIMESTAMP))
    if cohort.column:
        old = pc.and_kleene(old, table[cohort.column])
    place = table.column_names.index("label")
    labels = pc.if_else(old, table["label"], pa.scalar(None, pa.float64()))
    return table.set_column(place, "label", labels)


def count_labels(table: pa.Table) -> int:
    """Return how many rows have a label."""
    return table.num_rows - table["label"].null_count


def newest_label(table: pa.Table, spec: ModelSpec) -> datetime | None:
    """Return when the newest of the labels was complete; None if there is none."""
    known = table.filter(~pc.field("label").is_null())
    if not known.num_rows:
        return None
    grown = micros(known, "timestamp") + cohorts(spec)[0].maturity // MICRO
    return from_micros(int(np.maximum(grown, micros(known, "arrival")).max()))


def thinned(table: pa.Table, most: int) -> pa.Table:
    """Return at most so many rows with a label and so many without, evenly spaced, by time."""
    labelled = ~np.asarray(table["label"].is_null())
    kept = [_evenly(np.flatnonzero(part), most) for part in (labelled, ~labelled)]
    return table.take(np.sort(np.concatenate(kept)))


def _evenly(places: NDArray[np.intp], most: int) -> NDArray[np.int64]:
    if places.size > most:
        places = places[np.linspace(0, places.size - 1, most).astype(np.intp)]
    return places.astype(np.int64)
