"""Counts over a reference's cells, with one more cell for rows without a value."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from homeostat.profiles.compare import Binning, rebin
from homeostat.profiles.profile import ColumnProfile

FloatArray = NDArray[np.float64]


def count_cells(column: ColumnProfile, binning: Binning) -> FloatArray:
    """Return the rows in each cell, shape (binning.cells + 1,); last: null, NaN and infinite.

    Examples
    --------
    >>> from homeostat.profiles.build import profile_numbers
    >>> from homeostat.profiles.compare import bin_reference
    >>> column = profile_numbers(np.arange(1.0, 101.0), missing=5)
    >>> count_cells(column, bin_reference(column, cells=4)).tolist()
    [25.0, 25.0, 25.0, 25.0, 5.0]
    """
    counts = rebin(column, binning).astype(np.float64)
    return np.append(counts, float(column.count - column.present))
