"""Columns that tell the time: clocks, dates and counters differ between any two periods."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.faults.columns import Columns, Kind, Values
from homeostat.detectors.faults.config import DEFAULTS, FaultConfig
from homeostat.detectors.faults.masses import find_missing

Floats = NDArray[np.float64]
Micros = NDArray[np.int64]

_MOSTLY = 0.95
_LATER = 0.9  # quantile of the reference that the middle of current values is beyond
_APART = 3.0  # widths of the reference that may lie between both sides
_YEAR = 12.0  # months, from one year to the next
_EPOCH = (9.8e8, 2.3e9)  # 2001 to 2042 in seconds since 1970
_DATE = re.compile(
    r"(19|20)\d\d([-/. ]?[WwQq]?\d{1,2})([-/. ]?\d{1,2}([T ].*)?)?|(19|20)\d\d"
    r"|\d{1,2}[-/. ](\d{1,2}[-/. ])?(19|20)\d\d"
    r"|([A-Za-z]{3,9}|\d{1,2})[ -][A-Za-z\d]{1,9}[ ,-]+\d{4}"
    r"|[A-Za-z]{3,9}[ -](19|20)\d\d"
)
_NAME = re.compile(
    r"(^|_)(ts|timestamp|epoch|date|datetime|day|week|month|quarter|year|period|batch)"
    r"(_?(no|nr|num|number|of_year|of_month))?$",
    re.IGNORECASE,
)


def leave_out_clocks(
    before: Columns,
    now: Columns,
    times: tuple[Micros | None, Micros | None],
    config: FaultConfig,
) -> tuple[Columns, Columns, tuple[str, ...]]:
    """Leave out columns whose values move on with time, whatever happens.

    Parameters
    ----------
    before, now : Columns
        From `read_pair`.
    times : tuple of ndarray of int64 or None
        When the rows were; without, they are taken to be in order.
    config : FaultConfig

    Returns
    -------
    before, now : Columns
        The other columns, and those whose values are missing more often than they were.
    caveats : tuple of str
        A sentence for each that was left out.

    Examples
    --------
    >>> from homeostat.detectors.faults.columns import read_pair
    >>> import pyarrow as pa
    >>> one = pa.table({"row": range(100), "x": [1, 2] * 50})
    >>> two = pa.table({"row": range(100, 200), "x": [2, 1] * 50})
    >>> before, now, caveats = leave_out_clocks(*read_pair(one, two), (None, None), FaultConfig())
    >>> list(now), caveats
    (['x'], ('leave row out: it tells the time',))
    """
    clocks = [
        name
        for name, one in before.items()
        if name in now
        and one.kind is now[name].kind
        and min(one.missing.size, now[name].missing.size) >= config.min_rows
        and _tells_time(name, one, now[name], times)
        and find_missing(name, one, now[name], config) is None
    ]
    sides = [{n: v for n, v in side.items() if n not in clocks} for side in (before, now)]
    return sides[0], sides[1], tuple(f"leave {name} out: it tells the time" for name in clocks)


def _tells_time(
    name: str, one: Values, two: Values, times: tuple[Micros | None, Micros | None]
) -> bool:
    if one.kind is Kind.TEXT:
        return _are_dates(one) and _are_dates(two)
    if one.kind is not Kind.NUMBER:
        return False
    sides = one.numbers[np.isfinite(one.numbers)], two.numbers[np.isfinite(two.numbers)]
    if not min(side.size for side in sides):
        return False
    return _is_epoch(*sides) or _is_named(name, *sides) or _is_counter((one, two), sides, times)


def _are_dates(values: Values) -> bool:
    held = np.unique(values.codes[values.codes >= 0])[:1000].tolist()
    words = [values.words[place] for place in held]
    dates = sum(_DATE.fullmatch(word.strip()) is not None for word in words)
    return bool(words) and dates >= _MOSTLY * len(words)


def _is_epoch(before: Floats, now: Floats) -> bool:
    low, high = min(before.min(), now.min()), max(before.max(), now.max())
    units = (1.0, 1e3, 1e6, 1e9)
    return any(_EPOCH[0] * unit <= low and high <= _EPOCH[1] * unit for unit in units)


def _is_named(name: str, before: Floats, now: Floats) -> bool:
    """Whether a column called like a part of a date holds whole numbers that do not recur."""
    if not _NAME.search(name) or not (now.min() > before.max() or now.max() < before.min()):
        return False
    if np.unique(now).size == 1 and float(now[0]) in DEFAULTS:
        return False
    return _is_near(before, now, _YEAR) and all(_is_dense(side) for side in (before, now))


def _is_dense(side: Floats) -> bool:
    distinct = np.unique(side)
    whole = bool(np.all(distinct == np.round(distinct)))
    return whole and 2.0 * distinct.size > distinct[-1] - distinct[0]


def _is_counter(
    values: tuple[Values, Values],
    sides: tuple[Floats, Floats],
    times: tuple[Micros | None, Micros | None],
) -> bool:
    """Whether numbers rise, or fall, with time on both sides and from one to the other."""
    before, now = sides
    middle, ends = float(np.median(now)), np.quantile(before, [1.0 - _LATER, _LATER])
    way = int(middle > ends[1]) - int(middle < ends[0])
    if not way or not _is_near(before, now):
        return False
    trends = [way * _trend(v.numbers, at) for v, at in zip(values, times, strict=True)]
    return min(trends) >= _MOSTLY


def _is_near(before: Floats, now: Floats, least: float = 1.0) -> bool:
    low, high = float(before.min()), float(before.max())
    gap = max(float(now.min()) - high, low - float(now.max()))
    return gap <= max(_APART * (high - low), least)


def _trend(numbers: Floats, times: Micros | None) -> float:
    """Return the rank correlation with time; 0 for a constant."""
    there = np.isfinite(numbers)
    at = np.arange(numbers.size) if times is None else times
    ranks = [_ranks(side[there].astype(np.float64)) for side in (numbers, at)]
    if min(float(side.std()) for side in ranks) == 0.0:
        return 0.0
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _ranks(side: Floats) -> Floats:
    _, places, counts = np.unique(side, return_inverse=True, return_counts=True)
    middles: Floats = np.cumsum(counts) - 0.5 * (counts - 1.0)
    return middles[places]
