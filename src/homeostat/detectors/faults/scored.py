"""Faults of scored rows: of their features, scores, times, and of rows as such."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.faults.clocks import find_clock_shift, find_duplicates
from homeostat.detectors.faults.columns import Columns, Kind, Values, read_pair
from homeostat.detectors.faults.config import FaultConfig
from homeostat.detectors.faults.fallback import find_constant_score
from homeostat.detectors.faults.find import find_faults
from homeostat.detectors.faults.masses import FaultyRows
from homeostat.domain.explanation import FaultKind
from homeostat.domain.model import Task
from homeostat.domain.predictions import Predictions

Floats = NDArray[np.float64]

_WHOLE = 0.9  # share of rows from which a fault does not tell rows from others


def find_in_predictions(
    before: Predictions, now: Predictions, columns: tuple[Columns, Columns], config: FaultConfig
) -> tuple[FaultyRows, ...]:
    """Find faults of features, scores, times and whole rows."""
    segments = segments_of(before, now)
    found = list(find_faults(*columns, config, segments))
    sound = all(item.fault.kind is FaultKind.EXTRA_COLUMN for item in found)
    score = find_constant_score(_said(before), _said(now), config, now.timestamps, sound=sound)
    if score is not None:
        found.append(score)
    if before.timestamps is not None and now.timestamps is not None:
        sides = [_times(rows.timestamps) for rows in (before, now)]
        clock = find_clock_shift("timestamp", sides[0], sides[1], config)
        found += [clock] if clock else []
    repeats = _find_repeats(before, now, columns, found, config)
    return (*found, repeats) if repeats else tuple(found)


def segments_of(before: Predictions, now: Predictions) -> tuple[Columns, Columns] | None:
    """Return the segments of both sides, if they have any."""
    one, two = before.segments, now.segments
    if one is None or two is None or not one.num_columns:
        return None
    return read_pair(one, two)


def _find_repeats(
    before: Predictions,
    now: Predictions,
    columns: tuple[Columns, Columns],
    found: Sequence[FaultyRows],
    config: FaultConfig,
) -> FaultyRows | None:
    """Find rows that repeat others, but not those that other faults make alike."""
    broken = {name for item in found for name in item.fault.columns}
    kept = [{n: v for n, v in side.items() if n not in broken} for side in columns]
    keys = [_keys(rows, side) for rows, side in zip((before, now), kept, strict=True)]
    touched = np.zeros(len(now), dtype=bool)
    for item in found:
        if item.fault.share < _WHOLE:
            touched |= item.rows
    keys[0].append(np.zeros(len(before)))
    keys[1].append(np.where(touched, np.arange(len(now)) + 1.0, 0.0))
    return find_duplicates(keys[0], keys[1], config)


def _said(rows: Predictions) -> Floats:
    if rows.task is Task.MULTICLASS:
        return rows.scores[:, -1] if rows.scores.shape[1] else np.empty(0)
    return rows.scores


def _times(micros: NDArray[np.int64] | None) -> Values:
    assert micros is not None
    return Values(Kind.TIME, "timestamp", micros / 1e6, np.full(micros.size, -1, dtype=np.int64))


def _keys(rows: Predictions, columns: Columns) -> list[Floats]:
    """Return columns by which a row repeats another: its scores, too."""
    keys = [v.codes.astype(np.float64) if v.words else v.numbers for v in columns.values()]
    keys += [rows.labels, rows.predictions, *np.atleast_2d(rows.scores.T)]
    if rows.timestamps is not None:
        keys.append(rows.timestamps.astype(np.float64))
    return keys
