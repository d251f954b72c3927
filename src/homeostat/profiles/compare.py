"""Two columns compared from their profiles, without the rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.domain.model import ColumnKind
from homeostat.profiles.profile import ColumnProfile
from homeostat.stats import distances
from homeostat.stats.bitbins import add_bins, left_edge
from homeostat.stats.ordered import ks_counts
from homeostat.stats.significance import Significance
from homeostat.stats.tables import chi2_counts

CELLS = 10
CATEGORIES = 30
RARE = 1000
"""A value of an overflown column gets a cell if it has one row in so many."""


@dataclass(frozen=True, slots=True)
class Binning:
    """Cells into which a reference's rows are divided, to count other rows by.

    Attributes
    ----------
    kind : ColumnKind
    cuts : tuple of int
        Numeric: histogram bins (`homeostat.stats.bitbins`) at which a new cell begins, ascending.
    categories : tuple of str
        Otherwise: one cell each, most frequent first; a last cell holds all other values.
    """

    kind: ColumnKind
    cuts: tuple[int, ...] = ()
    categories: tuple[str, ...] = ()

    @property
    def cells(self) -> int:
        """Number of cells."""
        return len(self.cuts if self.kind is ColumnKind.NUMERIC else self.categories) + 1

    @property
    def edges(self) -> tuple[float, ...]:
        """Numbers at which a new cell begins."""
        return tuple(left_edge(np.array(self.cuts, dtype=np.uint32)).tolist())


def bin_reference(
    reference: ColumnProfile, cells: int = CELLS, categories: int = CATEGORIES
) -> Binning:
    """Divide a reference into cells of about equal shares, or by its most frequent values.

    Numeric cuts lie on histogram bins, so that counts per cell stay exact. A single bin that holds
    a cell's share or more (many zeros, a constant, a whole number) begins a cell, and so does the
    next bin that the reference occupies; if it is the first or the last one, values beyond it get a
    cell of their own.

    Parameters
    ----------
    reference : ColumnProfile
    cells : int
        Numeric cells aimed at, ≥ 2.
    categories : int
        At most so many values get a cell; of a column with too many values to count (`other` is
        above 0) only those of 0.1 % of the rows or more. The most frequent of a million rare ones
        are so by chance, and will be rarer in any other window.

    Examples
    --------
    >>> import numpy as np
    >>> from homeostat.profiles.build import profile_numbers
    >>> binning = bin_reference(profile_numbers(np.arange(1.0, 101.0)), cells=4)
    >>> binning.edges
    (26.0, 51.0, 76.0)
    """
    if reference.kind is not ColumnKind.NUMERIC:
        known = reference.values
        by_count = sorted(known, key=lambda value: (-known[value], value))[:categories]
        if reference.other:
            by_count = [value for value in by_count if known[value] * RARE >= reference.present]
        return Binning(reference.kind, categories=tuple(by_count))
    if not reference.bins.size:
        return Binning(reference.kind)
    upto = np.cumsum(reference.counts)
    aims = np.arange(1, cells) * (upto[-1] / cells)
    ends = np.searchsorted(upto, aims - 0.5)
    begins = reference.bins[ends[ends + 1 < upto.size] + 1]
    heavy = reference.counts * cells >= upto[-1]
    beyond = reference.bins[-1:][heavy[-1:]] + 1
    cuts = np.unique(np.concatenate((begins, reference.bins[heavy], beyond)))
    return Binning(reference.kind, cuts=tuple(cuts.tolist()))


def rebin(column: ColumnProfile, binning: Binning) -> NDArray[np.int64]:
    """Count a column's usable rows per cell, exactly but for a sketch's categories.

    Returns
    -------
    ndarray of int64, shape (binning.cells,)
        Sums to ``column.present``.

    Examples
    --------
    >>> import numpy as np
    >>> from homeostat.profiles.build import profile_numbers
    >>> reference, current = (profile_numbers(np.arange(1.0, n)) for n in (101, 51))
    >>> rebin(current, bin_reference(reference, cells=4)).tolist()
    [25, 25, 0, 0]
    """
    if column.kind is not binning.kind:
        raise ValueError(f"a {column.kind} column cannot be counted in {binning.kind} cells")
    if column.kind is not ColumnKind.NUMERIC:
        known = column.rows_with(binning.categories)
        return np.array([*known, column.present - sum(known)], dtype=np.int64)
    upto = np.concatenate(([0], np.cumsum(column.counts)))
    places = np.searchsorted(column.bins, np.array(binning.cuts, dtype=np.uint32))
    return np.diff(upto[places], prepend=0, append=upto[-1]).astype(np.int64)


def quantiles(column: ColumnProfile, levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return quantiles of a numeric column, within 0.8 % of the exact ones.

    Parameters
    ----------
    column : ColumnProfile
        Numeric.
    levels : ndarray of float64, shape (k,)
        In [0, 1].

    Returns
    -------
    ndarray of float64, shape (k,)
        Interpolated within a bin, never beyond minimum and maximum; NaN if there are no values.

    Examples
    --------
    >>> import numpy as np
    >>> from homeostat.profiles.build import profile_numbers
    >>> column = profile_numbers(np.linspace(0.0, 1000.0, 100_001))
    >>> quantiles(column, np.array([0.0, 0.25, 0.5, 1.0])).round(1).tolist()
    [0.0, 250.0, 500.0, 1000.0]
    """
    if not column.bins.size:
        return np.full(levels.shape, np.nan)
    upto = np.cumsum(column.counts)
    wanted = levels * upto[-1]
    place = np.minimum(np.searchsorted(upto, wanted), upto.size - 1)
    inside = 1.0 - (upto[place] - wanted) / column.counts[place]
    left, right = _bounds(column.bins, column.minimum, column.maximum)
    left, right = left[place], right[place]
    # Rounding may carry a mean of two equal numbers beyond them.
    found: NDArray[np.float64] = np.clip(left * (1.0 - inside) + right * inside, left, right)
    return found


def ks(reference: ColumnProfile, current: ColumnProfile) -> Significance:
    """Return the Kolmogorov-Smirnov test of two numeric columns.

    The statistic is the exact one but for differences inside a bin: never larger, and smaller by at
    most the share of rows in one bin.
    """
    _, before, after = _aligned(reference, current)
    return ks_counts(before, after)


def wasserstein(reference: ColumnProfile, current: ColumnProfile) -> float:
    """Return the Wasserstein distance of two numeric columns, in their unit, within 0.8 % of size.

    Each bin's rows are taken to lie in its middle.
    """
    if not (reference.bins.size and current.bins.size):
        return float("nan")
    bins, before, after = _aligned(reference, current)
    low = float(np.fmin(reference.minimum, current.minimum))
    high = float(np.fmax(reference.maximum, current.maximum))
    left, right = _bounds(bins, low, high)
    return distances.wasserstein(left / 2 + right / 2, before, after)


def psi(reference: ColumnProfile, current: ColumnProfile, cells: int = CELLS) -> float:
    """Return the population stability index over the reference's cells (`bin_reference`)."""
    return distances.psi(*_cells(reference, current, cells))


def js_distance(reference: ColumnProfile, current: ColumnProfile, cells: int = CELLS) -> float:
    """Return the Jensen-Shannon distance (base 2) over the reference's cells."""
    return distances.js_distance(*_cells(reference, current, cells))


def hellinger(reference: ColumnProfile, current: ColumnProfile, cells: int = CELLS) -> float:
    """Return the Hellinger distance over the reference's cells."""
    return distances.hellinger(*_cells(reference, current, cells))


def total_variation(reference: ColumnProfile, current: ColumnProfile, cells: int = CELLS) -> float:
    """Return the total variation distance over the reference's cells."""
    return distances.total_variation(*_cells(reference, current, cells))


def chi2(reference: ColumnProfile, current: ColumnProfile, cells: int = CELLS) -> Significance:
    """Return the chi-squared test of homogeneity over the reference's cells."""
    return chi2_counts(*_cells(reference, current, cells))


def statistics(
    reference: ColumnProfile, current: ColumnProfile, cells: int = CELLS
) -> dict[str, float]:
    """Return every distance and test of two columns of one kind, by name.

    ``psi``, ``js``, ``hellinger``, ``total_variation``, ``chi2``, ``chi2_p``; for numeric columns
    also ``ks``, ``ks_p`` and ``wasserstein``. Of categories, those that the reference lacks have a
    cell. NaN where a column has no usable rows, or values too many to give any a cell.

    Examples
    --------
    >>> import numpy as np
    >>> from homeostat.profiles.build import profile_numbers
    >>> reference = profile_numbers(np.arange(1.0, 101.0))
    >>> found = statistics(reference, profile_numbers(np.arange(26.0, 126.0)))
    >>> round(found["ks"], 2), round(found["wasserstein"])
    (0.25, 25)
    """
    before, after = _cells(reference, current, cells)
    if reference.kind is not ColumnKind.NUMERIC:
        before, after = _split_unseen(reference, current, before, after)
    test = chi2_counts(before, after)
    found = {
        "psi": distances.psi(before, after),
        "js": distances.js_distance(before, after),
        "hellinger": distances.hellinger(before, after),
        "total_variation": distances.total_variation(before, after),
        "chi2": test.statistic,
        "chi2_p": test.p_value,
    }
    if reference.kind is ColumnKind.NUMERIC:
        test = ks(reference, current)
        found |= {"ks": test.statistic, "ks_p": test.p_value}
        found["wasserstein"] = wasserstein(reference, current)
    return found


def _cells(
    reference: ColumnProfile, current: ColumnProfile, cells: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    binning = bin_reference(reference, cells)
    return rebin(reference, binning), rebin(current, binning)


def _split_unseen(
    reference: ColumnProfile,
    current: ColumnProfile,
    before: NDArray[np.int64],
    after: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give values that the reference lacks a cell, less the rows expected there (Good 1953).

    Without it they would hide among the reference's own rare values. If no value has a cell and
    there are too many to count, the cells say nothing: none are left.
    """
    if reference.other:
        return (before, after) if before.size > 1 else (0 * before, 0 * after)
    once = sum(rows == 1 for rows in reference.values.values()) / max(1, reference.present)
    new = current.present - sum(current.rows_with(list(reference.values)))
    if not before[-1] or current.other:
        return before, after
    excess = max(0, new - round(once * current.present))
    after = np.append(after, excess)
    after[-2] -= excess
    return np.append(before, 0), after


def _aligned(
    reference: ColumnProfile, current: ColumnProfile
) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64]]:
    """Return the bins that either occupies and the counts of both in them."""
    both = np.concatenate((reference.bins, current.bins))
    ours = np.concatenate((reference.counts, np.zeros_like(current.counts)))
    bins, before = add_bins(both, ours)
    _, total = add_bins(both, np.concatenate((reference.counts, current.counts)))
    return bins, before, total - before


def _bounds(
    bins: NDArray[np.uint32], low: float, high: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where bins begin and end, cut to the range of the values."""
    return np.clip(left_edge(bins), low, high), np.clip(left_edge(bins + 1), low, high)
