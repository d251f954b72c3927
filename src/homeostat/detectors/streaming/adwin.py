"""ADWIN: a window that grows while its parts agree and is cut where they do not.

Bifet & Gavaldà, "Learning from time-changing data with adaptive windowing" (SDM 2007), second
version: the window is an exponential histogram, so that n values cost O(log n) memory. Whenever two
parts of the window have means too far apart for their variance, the older one goes: a detection.
With the same parameters it detects at the same values as River 0.26's ``drift.ADWIN``.

`update` keeps the histogram as the paper does. `update_many` uses that its shape follows from the
number of values alone: all merges of an array are done level by level, and all cuts of many checks
at once. Both end in the same state, bit by bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from homeostat.detectors.streaming.values import take_blocks, usable

FloatArray = NDArray[np.float64]
Bucket = tuple[float, float]

_FIRST_BLOCK = 512
_LARGEST_BLOCK = 8192
_MOST_LOOKS = 512  # in a block


@dataclass(frozen=True, slots=True)
class AdwinConfig:
    """Parameters, named as in River.

    Attributes
    ----------
    delta : float
        In (0, 1): the confidence of a cut, before it is corrected for how many there are.
    clock : int
        Look for cuts after every `clock` values of a window.
    max_buckets : int
        Buckets of each size; more make the cuts finer.
    min_window_length : int
        Values that a part must have.
    grace_period : int
        Look for cuts only in windows longer than this.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    """

    delta: float = 0.002
    clock: int = 32
    max_buckets: int = 5
    min_window_length: int = 5
    grace_period: int = 10

    def __post_init__(self) -> None:
        if not 0.0 < self.delta < 1.0:
            raise ValueError(f"delta lies in (0, 1), not {self.delta}")
        if min(self.clock, self.max_buckets, self.min_window_length) < 1 or self.grace_period < 0:
            raise ValueError(
                "clock, max_buckets and min_window_length are at least 1, grace_period at least 0"
            )


@dataclass(frozen=True, slots=True)
class AdwinState:
    """A window.

    Attributes
    ----------
    config : AdwinConfig
    rows : tuple of tuples of (total, spread)
        Row j has the buckets of 2**j values, the oldest first: their sum, and the sum of their
        squared deviations from their mean.
    total, spread : float
        The same of the whole window.
    width : int
        Values in it.
    drifted : bool
        The last value made a detection. What is left of the window then is the new state of
        affairs; the next value begins an empty one, as in River.
    skipped : int
        Values that were NaN, infinite or beyond 1e150: they are passed over.
    """

    config: AdwinConfig = AdwinConfig()
    rows: tuple[tuple[Bucket, ...], ...] = ()
    total: float = 0.0
    spread: float = 0.0
    width: int = 0
    drifted: bool = False
    skipped: int = 0

    @property
    def mean(self) -> float:
        """Mean of the window; NaN if it is empty."""
        return self.total / self.width if self.width else math.nan


def update(state: AdwinState, value: float) -> AdwinState:
    """Take in one value; ``drifted`` of the result says whether it made a detection.

    Examples
    --------
    >>> state = AdwinState()
    >>> for value in [0.0, 1.0] * 500 + [4.0, 5.0] * 12:
    ...     state = update(state, value)
    >>> state.drifted, state.width, state.mean
    (True, 32, 3.5)
    """
    if state.drifted:
        state = _empty(state)
    if not usable(value):
        return replace(state, skipped=state.skipped + 1)
    config, before, width = state.config, state.width, state.width + 1
    spread = state.spread
    if before:
        gap = value - state.total / before
        spread += before * gap * gap / width
    rows = _insert(state.rows, (float(value), 0.0), config.max_buckets)
    state = AdwinState(
        config, rows, state.total + value, spread, width, drifted=False, skipped=state.skipped
    )
    return state if width % config.clock or width <= config.grace_period else _cut(state)


def update_many(state: AdwinState, values: ArrayLike) -> tuple[AdwinState, NDArray[np.intp]]:
    """Take in values in order: `update` with each, many times as fast.

    Parameters
    ----------
    state : AdwinState
    values : array_like
        Shape (n,).

    Returns
    -------
    AdwinState, ndarray of intp
        The state after the last value, and the indices of those that made a detection.

    Examples
    --------
    >>> stream = [0.0, 1.0] * 500 + [4.0, 5.0] * 500 + [0.0, 1.0] * 500
    >>> state, found = update_many(AdwinState(), stream)
    >>> found.tolist(), state.mean
    ([1023, 2015], 0.5)
    """
    longest = min(_LARGEST_BLOCK, _MOST_LOOKS * state.config.clock)
    state, found, passed = take_blocks(state, values, _empty, _take, (_FIRST_BLOCK, longest))
    return replace(state, skipped=state.skipped + passed), found


def _empty(state: AdwinState) -> AdwinState:
    return AdwinState(state.config, skipped=state.skipped)


def _insert(
    rows: tuple[tuple[Bucket, ...], ...], bucket: Bucket, most: int
) -> tuple[tuple[Bucket, ...], ...]:
    """Append a bucket of one value; where a row has one too many, its two oldest move up as one."""
    for level, row in enumerate(rows):
        grown = (*row, bucket)
        if len(grown) <= most:
            return (*rows[:level], grown, *rows[level + 1 :])
        rows = (*rows[:level], grown[2:], *rows[level + 1 :])
        (first, inside), (second, within) = grown[:2]
        size = 1 << level
        gap = first / size - second / size
        bucket = (first + second, inside + within + size * 0.5 * gap * gap)
    return (*rows, (bucket,))


def _cut(state: AdwinState) -> AdwinState:
    """Drop the oldest bucket until no two parts of the window differ."""
    while _differs(state):
        rows, size = state.rows, 1 << len(state.rows) - 1
        (total, spread), *rest = rows[-1]
        width, left = state.width - size, state.total - total
        gap = total / size - left / width
        lost = spread + size * width * gap * gap / (size + width)
        rows = _trim((*rows[:-1], tuple(rest)))
        state = replace(
            state, rows=rows, total=left, spread=state.spread - lost, width=width, drifted=True
        )
    return state


def _differs(state: AdwinState) -> bool:
    """Return whether the means before and after any bucket are too far apart."""
    least, width = state.config.min_window_length, state.width
    if width < 2 * least:
        return False
    penalty = math.log(2.0 * math.log(width) / state.config.delta)
    variance = max(0.0, state.spread / width)  # rounding, after buckets were dropped
    old, older_sum, newer_sum = 0, 0.0, state.total
    for level in range(len(state.rows) - 1, -1, -1):
        for total, _ in state.rows[level]:
            old += 1 << level
            older_sum += total
            newer_sum -= total
            new = width - old
            if old < least or new < least:
                continue
            gap = older_sum / old - newer_sum / new
            share = 1.0 / (old - least + 1.0) + 1.0 / (new - least + 1.0)
            limit = math.sqrt(2.0 * share * variance * penalty) + 2.0 / 3.0 * penalty * share
            if abs(gap) > limit:
                return True
    return False


def _trim(rows: tuple[tuple[Bucket, ...], ...]) -> tuple[tuple[Bucket, ...], ...]:
    while rows and not rows[-1]:
        rows = rows[:-1]
    return rows


class _Level(NamedTuple):
    """All buckets of one size that a block of values makes, in order of time."""

    totals: FloatArray
    spreads: FloatArray
    begin: NDArray[np.intp]  # at each moment looked at, the first bucket not merged yet
    end: NDArray[np.intp]  # and where they end


def _take(state: AdwinState, block: FloatArray) -> tuple[AdwinState, int]:
    """Take in values up to the first detection; return how many."""
    config = state.config
    widths = state.width + np.arange(1, block.size + 1)
    totals = np.cumsum(np.concatenate(([state.total], block)))
    gaps = block - totals[:-1] / np.maximum(widths - 1, 1)
    growth = (widths - 1) * gaps * gaps / widths
    spreads = np.cumsum(np.concatenate(([state.spread], growth)))[1:]
    totals = totals[1:]
    due = (widths % config.clock == 0) & (widths > config.grace_period)
    due[-1] = True  # one look too many does no harm: its answer is dropped
    at = np.flatnonzero(due)
    levels = _merge(state, block, at + 1)
    differs = _look(config, levels, widths[at], totals[at], spreads[at])
    differs[-1] &= widths[-1] % config.clock == 0 and widths[-1] > config.grace_period
    last = int(np.argmax(differs)) if differs.any() else at.size - 1
    hit = int(at[last])
    state = AdwinState(
        config,
        _rows(levels, last),
        float(totals[hit]),
        float(spreads[hit]),
        int(widths[hit]),
        drifted=False,
        skipped=state.skipped,
    )
    return (_cut(state) if differs[last] else state), hit + 1


def _merge(state: AdwinState, block: FloatArray, arrived: NDArray[np.intp]) -> list[_Level]:
    """Do all merges of a block; `arrived` has how many values there were at each moment.

    A row that has one bucket too many loses two. So of n that ever came ``(n - max_buckets + 1)
    // 2`` pairs have moved up.
    """
    most, levels = state.config.max_buckets, list[_Level]()
    totals, spreads = block, np.zeros_like(block)
    while len(levels) < len(state.rows) or arrived[-1]:
        level = len(levels)
        kept = np.asarray(state.rows[level] if level < len(state.rows) else (), dtype=np.float64)
        kept = kept.reshape(-1, 2)
        totals = np.concatenate((kept[:, 0], totals))
        spreads = np.concatenate((kept[:, 1], spreads))
        end = len(kept) + arrived
        merged = np.maximum((end - (most - 1)) // 2, 0)
        levels.append(_Level(totals, spreads, 2 * merged, end))
        last, size = 2 * int(merged[-1]), 1 << level
        first, second = totals[0:last:2], totals[1:last:2]
        gap = first / size - second / size
        spreads = spreads[0:last:2] + spreads[1:last:2] + size * 0.5 * gap * gap
        totals, arrived = first + second, merged
    return levels


def _rows(levels: list[_Level], moment: int) -> tuple[tuple[Bucket, ...], ...]:
    """Return the histogram as it was at one moment."""
    rows = []
    for totals, spreads, begin, end in levels:
        kept = slice(begin[moment], end[moment])
        rows.append(tuple(zip(totals[kept].tolist(), spreads[kept].tolist(), strict=True)))
    return _trim(tuple(rows))


def _look(
    config: AdwinConfig,
    levels: list[_Level],
    widths: NDArray[np.intp],
    totals: FloatArray,
    spreads: FloatArray,
) -> NDArray[np.bool_]:
    """Return at which moments two parts of the window differ; see `_differs`."""
    most, least = config.max_buckets, config.min_window_length
    parts = np.zeros((widths.size, 1 + len(levels) * most))
    sizes = np.zeros_like(parts)
    for row, level in enumerate(reversed(levels)):
        index = level.begin[:, None] + np.arange(most)
        there = index < level.end[:, None]
        cells = slice(1 + row * most, 1 + (row + 1) * most)
        parts[:, cells] = np.where(there, level.totals.take(index, mode="clip"), 0.0)
        sizes[:, cells] = there * float(1 << len(levels) - 1 - row)
    old = np.cumsum(sizes, axis=1)
    new = widths[:, None] - old
    long = np.minimum(old, new) >= least
    older = np.cumsum(parts, axis=1)
    parts[:, 0] = -totals
    newer = -np.cumsum(parts, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):  # where a part is too short
        gaps = np.abs(older / old - newer / new)
        share = 1.0 / (old - least + 1.0) + 1.0 / (new - least + 1.0)
        penalty = np.log(2.0 * np.log(widths) / config.delta)[:, None]
        variance = (spreads / widths)[:, None]
        limit = np.sqrt(2.0 * share * variance * penalty) + 2.0 / 3.0 * penalty * share
        differs = long & (gaps > limit)
    return np.asarray(differs.any(axis=1))
