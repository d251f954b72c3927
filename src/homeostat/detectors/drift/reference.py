"""What the owner accepts, and what the reference looked like."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.drift.aspects import Aspect, Limits
from homeostat.detectors.drift.rhythm import Match, Rhythm, fit_rhythm
from homeostat.detectors.drift.streams import Stream, find_streams, group_series, read_all
from homeostat.domain.verdict import BudgetShare
from homeostat.domain.window import Window
from homeostat.profiles.profile import Profile
from homeostat.stats.changepoint import Baseline, Groups, fit_baseline

Floats = NDArray[np.float64]

FEW_WINDOWS = 4  # below, the reference's own error is in every comparison: no adding up
DAY = timedelta(days=1)
MOST_STRETCHES = 8
SHORT_SPAN = timedelta(days=7)  # a shorter reference has not seen every weekday
PRIOR = 0.005  # variance between windows, in units of a row's, assumed of a reference of few

Windows = Sequence[tuple[Window, Profile]]


@dataclass(frozen=True, slots=True)
class DriftConfig(BudgetShare):
    """What the owner accepts and cares about; columns share the evidence by its average.

    Attributes
    ----------
    min_rows : int
        Rows below which a window is inconclusive and leaves the evidence as it is.
    limits : Limits
        Changes from which the owner cares.
    match : {"auto", "none", "hour", "weekday"}
        Rhythms that are taken out before windows are judged.
    """

    min_rows: int = 50
    limits: Limits = field(default_factory=Limits)
    match: Match = "auto"


@dataclass(frozen=True, slots=True, eq=False)
class DriftReference:
    """Fitted reference of a model version.

    ``key`` names it: evidence against one reference does not count against another.
    """

    key: str
    windows: int
    rows: int
    span: timedelta
    streams: tuple[Stream, ...]
    baseline: Baseline
    rhythm: Rhythm
    groups: Groups

    @property
    def partial(self) -> bool:
        """Whether it is too short for evidence to add up over windows."""
        return self.windows < FEW_WINDOWS or self.span < SHORT_SPAN


def fit(
    reference: Windows,
    columns: Sequence[str],
    config: DriftConfig,
    segments: Mapping[str, Windows] | None = None,
) -> DriftReference:
    """Learn how each column looks and how much it varies between windows.

    Parameters
    ----------
    reference : sequence of (Window, Profile)
        Windows of healthy traffic, best of the length that will be judged; 14 or more make the
        detector sharp, under 14 it needs big shifts. With fewer than `FEW_WINDOWS`, or under
        `SHORT_SPAN`, evidence does not add up over windows and a change is inconclusive at most.
    columns : sequence of str
        Those that no window has are passed over.
    config : DriftConfig
    segments : mapping of str to sequence of (Window, Profile), optional
        The same of parts of the rows, such as ``"country=FR"``. They share the budget with the
        whole; a segment's windows may be any of the reference's.

    Raises
    ------
    ValueError
        If the reference has no rows.
    """
    used = [(window, profile) for window, profile in reference if profile.rows > 0]
    if not used:
        raise ValueError("the drift reference has no rows: give it windows of healthy traffic")
    used.sort(key=lambda item: item[0])
    windows = [window for window, _ in used]
    start, end = windows[0].start, max(window.end for window in windows)
    parts = {"": dict(used)}
    parts |= {name: dict(found) for name, found in (segments or {}).items()}
    streams = find_streams(parts, windows, columns, config.min_rows)
    table, counts = read_all(streams, parts, windows, config.min_rows)
    rhythm = fit_rhythm(windows, table, config.match, [stream.place for stream in streams])
    table = table - np.stack([rhythm.expected(window) for window in windows])
    unit = np.concatenate([np.empty(0), *(stream.lens.unit for stream in streams)])
    order = list(Aspect)
    kinds = [order.index(aspect) for stream in streams for aspect in stream.lens.aspects]
    baseline = fit_baseline(
        table,
        counts,
        unit,
        rhythm.leverage,
        rhythm.lost,
        PRIOR,
        np.array(kinds, dtype=np.intp),
        _stretches(windows),
    )
    total = sum(profile.rows for _, profile in used)
    key = f"{start:%Y-%m-%dT%H:%M}/{end:%Y-%m-%dT%H:%M}/{total}/{_digest(streams, baseline)}"
    groups = group_series(streams)
    return DriftReference(key, len(used), total, end - start, streams, baseline, rhythm, groups)


def _stretches(windows: Sequence[Window]) -> int:
    """Return into how many parts to cut a reference: whole weeks if it can, else whole days.

    A part that holds a weekend and one that holds none differ by rhythm, not by slow movement.
    """
    if any(window.length > DAY for window in windows):
        return 0
    days = (windows[-1].end - windows[0].start) // DAY
    weeks = days // 7
    parts = weeks if weeks >= 2 else days
    return int(min(MOST_STRETCHES, parts)) if parts >= 2 else 0


def _digest(streams: Sequence[Stream], baseline: Baseline) -> str:
    """Return a name for all that the sums in a state depend on."""
    told = hashlib.sha256()
    for stream in streams:
        told.update(f"{stream.subject}/{stream.lens.expects}/{len(stream.lens.aspects)};".encode())
    for array in (baseline.mean, baseline.scale, baseline.weight):
        told.update(np.round(array, 9).astype("<f8").tobytes())
    return told.hexdigest()[:16]
