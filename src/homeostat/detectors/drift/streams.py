"""What is followed: each column, of all rows and of segments, and how columns go together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.drift.aspects import Look, focus
from homeostat.detectors.drift.correlations import watch_pairs
from homeostat.domain.window import Window
from homeostat.profiles.profile import Profile, merge_all
from homeostat.stats.changepoint import Groups

Floats = NDArray[np.float64]
Parts = Mapping[str, Mapping[Window, Profile]]
"""Profiles of windows, by segment; the segment ``""`` is all rows."""

SEGMENT_SHARE = 0.5
"""Part of the evidence's weight that segments share, if there are any."""


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """One subject, of all rows or of one segment.

    Attributes
    ----------
    segment : str
    lens : Look
    place : slice
        Of its series among all.
    weight : float
        In the average over streams; 1 on average.
    """

    segment: str
    lens: Look
    place: slice
    weight: float

    @property
    def subject(self) -> str:
        """Name in verdicts: the column, and the segment if it is of one."""
        name = self.lens.subject
        return f"{name} [{self.segment}]" if self.segment else name


def find_streams(
    parts: Parts, windows: Sequence[Window], columns: Sequence[str], min_rows: int
) -> tuple[Stream, ...]:
    """Return what can be followed in the reference's windows."""
    found: list[tuple[str, Look]] = []
    for segment, profiles in parts.items():
        seen = [profiles.get(window) for window in windows]
        found += [(segment, lens) for lens in _lenses(seen, columns, min_rows)]
    of_segments = sum(bool(segment) for segment, _ in found)
    of_all = len(found) - of_segments
    share = SEGMENT_SHARE if of_segments and of_all else 1.0
    streams, at = [], 0
    for segment, lens in found:
        part = share / of_segments if segment else (1.0 - share if of_segments else 1.0) / of_all
        place = slice(at, at + len(lens.aspects))
        streams.append(Stream(segment, lens, place, part * len(found)))
        at = place.stop
    return tuple(streams)


def _lenses(
    seen: Sequence[Profile | None], columns: Sequence[str], min_rows: int
) -> Iterator[Look]:
    whole = merge_all(profile for profile in seen if profile is not None)
    for name in columns:
        column = whole.columns.get(name)
        if column is None or column.count == 0:
            continue
        rows = [p.columns[name].count for p in seen if p is not None and name in p.columns]
        enough = [count for count in rows if count >= min_rows] or rows
        yield focus(name, column, float(np.mean(enough)))
    pairs = watch_pairs(seen, columns)
    if pairs is not None:
        yield pairs


def read_all(
    streams: Sequence[Stream], parts: Parts, windows: Sequence[Window], min_rows: int
) -> tuple[Floats, Floats]:
    """Return values and rows of all series in all windows, shape (windows, series) each.

    If no window has `min_rows` rows, all count: the owner's windows are that small.
    """
    size = streams[-1].place.stop if streams else 0
    values, counts = np.full((len(windows), size), np.nan), np.ones((len(windows), size))
    for stream in streams:
        seen = [parts[stream.segment].get(window) for window in windows]
        readings = [stream.lens.read(profile, min_rows) for profile in seen]
        if not any(reading.usable for reading in readings):
            readings = [stream.lens.read(profile, 1) for profile in seen]
        for index, reading in enumerate(readings):
            values[index, stream.place] = reading.values
            counts[index, stream.place] = max(1, reading.rows)
    return values, counts


def group_series(streams: Sequence[Stream]) -> Groups:
    """Return which series are judged together."""
    owner = np.repeat(np.arange(len(streams)), [len(s.lens.aspects) for s in streams])
    weights = np.concatenate([np.empty(0), *(stream.lens.weights for stream in streams)])
    return Groups(owner.astype(np.intp), weights, len(streams))
