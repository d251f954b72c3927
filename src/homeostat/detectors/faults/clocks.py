"""Clocks that were moved, and rows that came twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.faults.columns import Kind, Values
from homeostat.detectors.faults.config import FaultConfig
from homeostat.detectors.faults.masses import FaultyRows, rise_p
from homeostat.domain.explanation import DataFault, FaultKind
from homeostat.stats.special import chi2_sf

Floats = NDArray[np.float64]

HOUR = 3_600.0
_DAY = 24 * HOUR
_TIED = 0.05  # total variation beyond chance up to which two hourly patterns pass for the same
_APART = 0.1  # total variation of two hourly patterns from which one is looked at
_LEFT = 0.5  # share of the total variation that moving the clock back may leave
_SELDOM = 0.01  # share of rows that repeat up to which rows are as good as unlike
_WEEK = 6.5 * 24 * HOUR  # less has other days of the week
_FLAT = 0.1  # mean departure from a level day below which there is no pattern to be moved
_LEAST = 3.0  # rows an hour


def find_clock_shift(name: str, one: Values, two: Values, config: FaultConfig) -> FaultyRows | None:
    """Find times of day that were moved by whole hours.

    Parameters
    ----------
    name : str
    one, two : Values
        Times, or whole numbers that are hours of a day.
    config : FaultConfig
    """
    before, now = _hours(name, one), _hours(name, two)
    if before is None or now is None or min(before.sum(), now.sum()) < 24 * _LEAST:
        return None
    if float(np.abs(before / before.sum() * 24.0 - 1.0).mean()) < _FLAT:
        return None
    if _variation(before, now) < _APART:
        return None
    losses = [_chi2(before, np.roll(now, -shift)) for shift in range(24)]
    best = int(np.argmin(losses))
    p_value = chi2_sf(23.0, losses[0])
    if best == 0 or p_value > config.level:
        return None
    left = _variation(before, np.roll(now, -best))
    if left > min(_TIED, _LEFT * _variation(before, now)) + _noise(before, now):
        return None
    shift = best if best <= 12 else best - 24
    text = f"{name}: the clock is {abs(shift)} h {'ahead' if shift > 0 else 'behind'}"
    fault = DataFault(FaultKind.CLOCK_SHIFT, (name,), text, 1.0, p_value, offset=shift * HOUR)
    return FaultyRows(fault, ~two.missing)


def find_duplicates(
    before: Sequence[Floats], now: Sequence[Floats], config: FaultConfig
) -> FaultyRows | None:
    """Find rows that are in the data more than once.

    Of few possible rows the more repeat, the more there are: how many do is compared among as many
    rows of both sides, drawn from the longer one by a hash of their places.

    Parameters
    ----------
    before, now : sequence of ndarray of float64
        Columns; a row repeats another if all of them agree.
    config : FaultConfig
    """
    if not before or not now or not min(before[0].size, now[0].size):
        return None
    least = min(before[0].size, now[0].size)
    ours, theirs = (_repeated(_spread(side, least)) for side in (before, now))
    rise = float(theirs.mean()) - float(ours.mean())
    rows = _repeated(now)
    share, usual = float(rows.mean()), float(ours.mean())
    # Drawing thins out copies. Where rows hardly ever repeat, that is made up for; where they do,
    # another mix of rows would be taken for copies.
    whole = rise * now[0].size / least if usual <= _SELDOM else rise
    p_value = rise_p(usual, least, float(theirs.mean()), least)
    if whole < config.min_rise or p_value > config.level or usual > 0.2:
        return None
    text = f"{share:.0%} of rows repeat an earlier one, {usual:.1%} of as many did"
    return FaultyRows(DataFault(FaultKind.DUPLICATES, (), text, share, p_value), rows)


def _spread(columns: Sequence[Floats], rows: int) -> list[Floats]:
    """Return as many rows, drawn by splitmix64 of their places."""
    if rows == columns[0].size:
        return list(columns)
    mixed = np.arange(columns[0].size, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    places = np.argpartition(mixed ^ (mixed >> np.uint64(31)), rows)[:rows]
    return [column[places] for column in columns]


def _repeated(columns: Sequence[Floats]) -> NDArray[np.bool_]:
    """Return the rows that have an equal before them."""
    rows = columns[0].size
    mixed = np.zeros(rows, dtype=np.uint64)
    for column in columns:
        bits = np.ascontiguousarray(column + 0.0).view(np.uint64)
        mixed = (mixed ^ bits) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    _, first = np.unique(mixed, return_index=True)
    again = np.ones(rows, dtype=bool)
    again[first] = False
    return again


def _hours(name: str, values: Values) -> Floats | None:
    there = values.numbers[np.isfinite(values.numbers)]
    if values.kind is Kind.TIME:
        if not there.size or float(there.max() - there.min()) < _WEEK:
            return None
        hours = np.floor(there % _DAY / HOUR)
    else:
        distinct = np.unique(there)
        whole = bool(np.all(distinct == np.round(distinct)))
        if "hour" not in name.lower() or distinct.size < 20 or not whole:
            return None
        if distinct[0] < 0.0 or distinct[-1] > 23.0:
            return None
        hours = there
    return np.bincount(hours.astype(np.int64), minlength=24).astype(np.float64)


def _variation(before: Floats, now: Floats) -> float:
    return float(np.abs(before / before.sum() - now / now.sum()).sum()) / 2.0


def _noise(before: Floats, now: Floats) -> float:
    """Return the total variation that chance brings between patterns that are the same."""
    pooled = (before + now) / (before.sum() + now.sum())
    error = np.sqrt(pooled * (1.0 - pooled) * (1.0 / before.sum() + 1.0 / now.sum()))
    return float(np.sqrt(2.0 / np.pi) * error.sum()) / 2.0


def _chi2(before: Floats, now: Floats) -> float:
    total = before + now
    seen = total > 0.0
    n, m = before.sum(), now.sum()
    gap = np.sqrt(m / n) * before[seen] - np.sqrt(n / m) * now[seen]
    return float((gap**2 / total[seen]).sum())
