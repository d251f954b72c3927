"""From numbers to the profile of a column."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.domain.model import ColumnKind
from homeostat.profiles.profile import ColumnProfile, Profile, merge_all
from homeostat.stats.bitbins import bin_of, count_bins, count_column, exponents
from homeostat.stats.exact import exact_sum, exact_sums

PIECE = 1 << 20
"""Values of one column profiled in one go; more would only cost memory."""

_ALONE = 1 << 15  # values from which a column gains nothing from being laid end to end with others
_ZERO = bin_of(np.zeros(1))[0]


class _Scratch(threading.local):
    """Memory that one column after another is worked on in; nothing in it is kept."""

    def __init__(self) -> None:
        self.keys = np.empty(0, dtype=np.uint64)


_scratch = _Scratch()


@dataclass(frozen=True, slots=True)
class Series:
    """Numbers of one column, and how many further rows of it have none."""

    values: NDArray[np.float64]
    missing: int = 0


def profile_numbers(values: NDArray[np.float64], *, missing: int = 0) -> ColumnProfile:
    """Summarise numbers, with `missing` further rows that are null.

    Examples
    --------
    >>> import numpy as np
    >>> column = profile_numbers(np.array([0.0, 2.0, np.nan, np.inf]))
    >>> column.nan, column.infinite, column.zeros, column.maximum
    (1, 1, 1, 2.0)
    """
    if values.size < _ALONE:
        return profile_series([Series(values, missing)])[0]
    pieces = [values[start : start + PIECE] for start in range(0, values.size, PIECE)]
    return merge_columns([_long(piece, 0 if i else missing) for i, piece in enumerate(pieces)])


def merge_columns(parts: Sequence[ColumnProfile]) -> ColumnProfile:
    """Return the profile of the rows of all, one column's parts.

    Examples
    --------
    >>> import numpy as np
    >>> halves = [profile_numbers(np.array([1.0, 2.0])), profile_numbers(np.array([6.0]))]
    >>> merge_columns(halves).mean
    3.0
    """
    return merge_all(Profile(0, {"": part}) for part in parts).columns[""]


def profile_series(series: Sequence[Series]) -> list[ColumnProfile]:
    """Summarise short columns laid end to end: they cost a few array operations in all.

    Parameters
    ----------
    series : sequence of Series
        One a column; fewer than 2**13.

    Returns
    -------
    list of ColumnProfile
        The same as from `profile_numbers`, in the same order.

    Examples
    --------
    >>> import numpy as np
    >>> found = profile_series([Series(np.array([1.0, 2.0])), Series(np.array([5.0]), missing=1)])
    >>> [(column.count, column.maximum) for column in found]
    [(2, 2.0), (2, 5.0)]
    """
    owners = len(series)
    sizes = np.array([item.values.size for item in series])
    owner = np.repeat(np.arange(owners), sizes)
    values = np.concatenate([item.values for item in series]) if owners > 1 else series[0].values
    usable = np.isfinite(values)
    nan = np.zeros(owners, dtype=np.int64)
    present = sizes
    if not usable.all():
        nan = np.bincount(owner[np.isnan(values)], minlength=owners)
        values, owner = values[usable], owner[usable]
        present = np.bincount(owner, minlength=owners)
    low, high = _extremes(values, present)
    zeros = np.bincount(owner[values == 0.0], minlength=owners)
    histograms = count_bins(values, owner, owners)
    sums = exact_sums(values, owner, owners)
    return [
        ColumnProfile(
            ColumnKind.NUMERIC,
            count=int(sizes[i]) + item.missing,
            missing=item.missing,
            nan=int(nan[i]),
            infinite=int(sizes[i] - present[i] - nan[i]),
            zeros=int(zeros[i]),
            bins=histograms[i][0],
            counts=histograms[i][1],
            minimum=float(low[i]),
            maximum=float(high[i]),
            total=sums[i][0],
            squares=sums[i][1],
        )
        for i, item in enumerate(series)
    ]


def _long(values: NDArray[np.float64], missing: int) -> ColumnProfile:
    """Summarise many numbers of one column in as few passes as there can be."""
    count = values.size + missing
    nan = infinite = 0
    low, high = float(values.min()), float(values.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        nan = int(np.isnan(values).sum())
        values = values[np.isfinite(values)]
        infinite = count - missing - nan - values.size
        low = float(values.min()) if values.size else math.nan
        high = float(values.max()) if values.size else math.nan
    if _scratch.keys.size < values.size:
        _scratch.keys = np.empty(PIECE, dtype=np.uint64)
    bins, counts = count_column(values, _scratch.keys[: values.size])
    zeros = int((values == 0.0).sum()) if _ZERO in bins else 0
    # Zeros share their bin with the smallest of numbers, which need far more digits.
    only_zeros = zeros == counts[bins == _ZERO].sum()
    others = bins[bins != _ZERO] if only_zeros else bins
    total, squares = exact_sum(values, exponents(others) if others.size else None)
    return ColumnProfile(
        ColumnKind.NUMERIC,
        count=count,
        missing=missing,
        nan=nan,
        infinite=infinite,
        zeros=zeros,
        bins=bins,
        counts=counts,
        # Adding zero makes -0.0 and 0.0 one value, so that the order of rows leaves no trace.
        minimum=low + 0.0,
        maximum=high + 0.0,
        total=total,
        squares=squares,
    )


def _extremes(
    values: NDArray[np.float64], sizes: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return smallest and largest value of each column; NaN for those without values."""
    low, high = np.full(sizes.size, np.nan), np.full(sizes.size, np.nan)
    filled = np.flatnonzero(sizes)
    if filled.size:
        starts = (np.cumsum(sizes) - sizes)[filled]
        low[filled] = np.minimum.reduceat(values, starts) + 0.0
        high[filled] = np.maximum.reduceat(values, starts) + 0.0
    return low, high
