"""Rows of the log in pieces of bounded size, in the order of their times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa

from homeostat.adapters.predlog.log import FilePredictionLog
from homeostat.adapters.records.codec import from_micros, to_micros
from homeostat.domain.columns import micros
from homeostat.domain.model import ModelSpec
from homeostat.domain.record import prediction_schema
from homeostat.domain.window import Window


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows by time; ``next`` is the time from which to go on, None at the end."""

    rows: pa.Table
    next: datetime | None


def pieces(
    log: FilePredictionLog, spec: ModelSpec, window: Window, as_of: datetime | None
) -> Iterator[pa.Table]:
    """Yield the window's rows by time, about a row group at a time.

    Parameters
    ----------
    log, spec, window
        Which rows.
    as_of : datetime or None
        With ``label``, ``arrival`` and the model's outcomes as known then; None: without them.

    Raises
    ------
    StorageError
        If a file is damaged.
    """
    for part in log.stretches(spec, window):
        yield _rows(log, spec, part, as_of)


def page(
    log: FilePredictionLog, spec: ModelSpec, window: Window, as_of: datetime | None, most: int
) -> Page:
    """Return the first rows of a window: at most so many, but all of the first microsecond.

    Raises as `pieces`.
    """
    stretches = iter(log.stretches(spec, window))
    part = next(stretches)
    rows = _rows(log, spec, part, as_of)
    while not len(rows) and (found := next(stretches, None)) is not None:
        part, rows = found, _rows(log, spec, found, as_of)
    end = to_micros(part.end)
    if len(rows) > most:
        times = micros(rows, "timestamp")
        # Rows of one microsecond stay together: the next page begins at another one.
        size = int(np.searchsorted(times, times[most]))
        size = size or int(np.searchsorted(times, times[0], side="right"))
        end = int(times[size]) if size < len(times) else end
        rows = rows.slice(0, size)
    return Page(rows, from_micros(end) if end < to_micros(window.end) else None)


def _rows(
    log: FilePredictionLog, spec: ModelSpec, window: Window, as_of: datetime | None
) -> pa.Table:
    if as_of is None:
        return log.rows(spec, window)
    return log.labelled(spec, window, as_of, [*prediction_schema(spec).names, *spec.outcomes])
