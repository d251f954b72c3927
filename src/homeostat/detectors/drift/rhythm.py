"""What comes and goes with the hour of day and the day of week: taken out before judging."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from homeostat.domain.window import Window

Floats = NDArray[np.float64]
Match = Literal["auto", "none", "hour", "weekday"]

GROUP_DAYS = 3
"""Days on which each hour, or each weekday, must have been seen before a rhythm is learnt."""

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, eq=False)
class Rhythm:
    """Additive effects of hour and weekday on each series.

    Attributes
    ----------
    hours, weekdays : tuple of int
        Levels that have an effect of their own, relative to the first; empty: no effect is taken
        out.
    centre : ndarray, shape (effects,)
        Mean of the design, so that effects average to zero over the reference.
    effects : ndarray, shape (effects, series)
    inverse : ndarray, shape (effects, effects)
        Of the design's cross product.
    kept : ndarray, shape (series,)
        Part of the least-squares effects that was kept, in [0, 1).
    lost : ndarray, shape (series,)
        Degrees of freedom that the effects took.
    leverage : ndarray, shape (windows, series)
        Share of each reference window's own noise that they took.
    seen_hours, seen_weekdays : frozenset of int
        In the reference; others have no effect.
    """

    hours: tuple[int, ...]
    weekdays: tuple[int, ...]
    centre: Floats
    effects: Floats
    inverse: Floats
    kept: Floats
    lost: Floats
    leverage: Floats
    seen_hours: frozenset[int] = frozenset()
    seen_weekdays: frozenset[int] = frozenset()

    def expected(self, window: Window) -> Floats:
        """Return what the window's time adds to each series."""
        found: Floats = self._row(window) @ self.effects
        return found

    def stretch(self, window: Window) -> Floats:
        """Return the variance that estimated effects add to each series, relative to its own."""
        row = self._row(window)
        found: Floats = float(row @ self.inverse @ row) * self.kept
        return found

    def _row(self, window: Window) -> Floats:
        row: Floats = _design((window,), self.hours, self.weekdays)[0] - self.centre
        size = len(self.hours)
        # Nothing is known of an hour or a weekday that the reference never saw.
        if size and window.start.hour not in self.seen_hours:
            row[:size] = 0.0
        if row.size > size and window.start.weekday() not in self.seen_weekdays:
            row[size:] = 0.0
        return row


def fit_rhythm(
    windows: Sequence[Window],
    values: Floats,
    match: Match,
    groups: Sequence[slice] = (slice(None),),
) -> Rhythm:
    """Learn the effects of hour and weekday: least squares, shrunk as far as they are noise.

    The ratio F of what a group's effects explain to what they leave, each per degree of freedom, is
    about 1 if there is no rhythm; effects are multiplied by ``1 - 1 / F`` (James & Stein).

    Parameters
    ----------
    windows : sequence of Window
    values : ndarray, shape (windows, series)
    match : {"auto", "none", "hour", "weekday"}
        ``auto``: both, each only if each of its levels was seen on `GROUP_DAYS` days.
    groups : sequence of slice
        Series that belong together.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> days = [Window(datetime(2024, 1, d, tzinfo=UTC), datetime(2024, 1, d + 1, tzinfo=UTC))
    ...         for d in range(1, 29)]
    >>> noise = np.random.default_rng(0).normal(0.0, 0.01, (28, 1))
    >>> weekend = np.array([[float(day.start.weekday() >= 5)] for day in days])
    >>> rhythm = fit_rhythm(days, weekend + noise, "auto")
    >>> (rhythm.expected(days[5]) - rhythm.expected(days[0])).round(1).tolist()
    [1.0]
    """
    hours, weekdays = _wanted(windows, match)
    design = _design(windows, hours, weekdays)
    centre = design.mean(axis=0)
    design = design - centre
    width, series = design.shape[1], values.shape[1]
    effects, leverage = np.zeros((width, series)), np.zeros(values.shape)
    kept = np.zeros(series)
    inverse = np.asarray(np.linalg.pinv(design.T @ design), dtype=np.float64)
    rank = int(np.linalg.matrix_rank(design)) if width else 0
    known = ~np.isnan(values)
    for group in groups if rank else ():
        present = known[:, group].all(axis=1)
        if present.sum() <= rank + 2:
            continue
        part = design[present] - design[present].mean(axis=0)
        solved = np.linalg.pinv(part.T @ part)
        moved = values[present, group]
        moved = moved - moved.mean(axis=0)
        found = solved @ part.T @ moved
        share = _kept(moved, part @ found, rank)
        effects[:, group] = share * found
        taken = np.clip(np.einsum("ij,jk,ik->i", part, solved, part), 0.0, 0.95)
        leverage[present, group] = share * taken[:, None]
        kept[group] = share
    seen = (frozenset(w.start.hour for w in windows), frozenset(w.start.weekday() for w in windows))
    lost = kept * rank
    return Rhythm(hours, weekdays, centre, effects, inverse, kept, lost, leverage, *seen)


def _kept(seen: Floats, fitted: Floats, rank: int) -> float:
    """Return what to multiply a group's effects by, in [0, 1)."""
    left = ((seen - fitted) ** 2).sum(axis=0) / (len(seen) - 1 - rank)
    moving = left > 0.0
    if not moving.any():
        return 0.0
    ratio = float(((fitted[:, moving] ** 2).sum(axis=0) / rank / left[moving]).mean())
    return max(0.0, 1.0 - 1.0 / ratio) if ratio > 0.0 else 0.0


def _wanted(windows: Sequence[Window], match: Match) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the hours and the weekdays after the first that get an effect."""
    longest = max(window.length for window in windows)
    by_hour = match == "hour" or (match == "auto" and longest < DAY)
    by_weekday = match == "weekday" or (match == "auto" and longest <= DAY)
    hours = _levels(windows, [w.start.hour for w in windows]) if by_hour else ()
    return hours, _levels(windows, [w.start.weekday() for w in windows]) if by_weekday else ()


def _levels(windows: Sequence[Window], found: Sequence[int]) -> tuple[int, ...]:
    """Return the levels after the first, if each was there on days enough."""
    days = {(level, window.start.date()) for level, window in zip(found, windows, strict=True)}
    levels, counts = np.unique([level for level, _ in days], return_counts=True)
    if counts.min() < GROUP_DAYS:
        return ()
    return tuple(int(level) for level in levels[1:])


def _design(windows: Sequence[Window], hours: tuple[int, ...], weekdays: tuple[int, ...]) -> Floats:
    rows = [
        [float(w.start.hour == hour) for hour in hours]
        + [float(w.start.weekday() == day) for day in weekdays]
        for w in windows
    ]
    return np.array(rows, dtype=np.float64).reshape(len(windows), len(hours) + len(weekdays))
