"""What is counted for faults in a column, and how often the reference has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from homeostat.detectors.cells import FloatArray, count_cells
from homeostat.domain.model import Column, ColumnKind, Schema
from homeostat.domain.verdict import BudgetShare
from homeostat.domain.window import Window
from homeostat.profiles.compare import Binning, bin_reference, quantiles
from homeostat.profiles.profile import ColumnProfile, Profile, merge_all
from homeostat.stats.bitbins import bin_of
from homeostat.stats.dispersion import Rate, fit_rate

CHECKS = 9
"""Ways in which a column is tested; the budget is shared among them."""

COMPARABLE = 2.0  # times its own length, up to which reference windows show a window's variation
MANY_VALUES = 50  # distinct values from which a column is no hour, weekday, month or code
WEEK = timedelta(days=7)  # a shorter reference has not seen all that comes by itself
RARE = 0.005  # share below which zeros are no value of the column


@dataclass(frozen=True, slots=True)
class QualityConfig(BudgetShare):
    """What the owner accepts and cares about.

    Attributes
    ----------
    min_rows : int
        Rows below which a window is inconclusive.
    min_rise : float
        Rise of the share of bad rows that matters.
    min_breach : float
        Likewise for rows that break what the schema states.
    """

    every: timedelta = timedelta(minutes=15)
    share: float = 0.2
    min_rows: int = 30
    min_rise: float = 0.05
    min_breach: float = 0.01

    def check_threshold(self, columns: int) -> float:
        """Return the evidence of one check in one window at which to alarm."""
        return self.threshold * CHECKS * max(1, columns)


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What the reference says about one column.

    ``values`` are those seen; ``complete`` whether these are all. ``low`` and ``high`` are
    histogram bins that bound what is near the reference's range. ``distinct`` counts values.
    """

    column: Column
    binning: Binning
    pooled: FloatArray
    values: frozenset[str]
    complete: bool
    low: int
    high: int
    distinct: int


@dataclass(frozen=True, slots=True, eq=False)
class ColumnQuality:
    """A column's reference: ``rates`` by name, as `tally` counts them."""

    known: Known
    rates: Mapping[str, Rate]


@dataclass(frozen=True, slots=True, eq=False)
class QualityReference:
    """Fitted reference: typical ``length`` of its windows, ``span`` and ``rows`` of all."""

    length: timedelta
    span: timedelta
    rows: int
    columns: Mapping[str, ColumnQuality]

    def comparable(self, window: Window) -> bool:
        """Whether reference windows are short enough to show how windows like this vary."""
        return self.length <= COMPARABLE * window.length


def fit(
    reference: Sequence[tuple[Window, Profile]], schema: Schema, config: QualityConfig
) -> QualityReference:
    """Learn the reference's own rates of whatever is counted as a fault.

    Parameters
    ----------
    reference : sequence of (Window, Profile)
        Healthy traffic; one window is enough, several show how rates vary.
    schema : Schema
    config : QualityConfig
        Windows under ``min_rows`` are pooled, but say nothing on variation.

    Raises
    ------
    ValueError
        If the reference has no rows.
    """
    used = [(window, profile) for window, profile in reference if profile.rows > 0]
    if not used:
        raise ValueError("the quality reference has no rows: give it windows of healthy traffic")
    whole = merge_all(profile for _, profile in used)
    length = sorted(window.length for window, _ in used)[len(used) // 2]
    span = max(window.end for window, _ in used) - min(window.start for window, _ in used)
    big = [p for _, p in used if p.rows >= config.min_rows] or [whole]
    columns = {
        column.name: _fit_column(column, whole.columns[column.name], big)
        for column in schema.columns
        if column.name in whole.columns and whole.columns[column.name].kind is column.kind
    }
    return QualityReference(length, span, whole.rows, columns)


def unfitted() -> QualityReference:
    """Return what is known without healthy traffic: nothing but what the schema states.

    Examples
    --------
    >>> unfitted().rows, dict(unfitted().columns)
    (0, {})
    """
    return QualityReference(timedelta(0), timedelta(0), 0, {})


def _fit_column(column: Column, whole: ColumnProfile, profiles: Sequence[Profile]) -> ColumnQuality:
    known = _known(column, whole)
    parts = [p.columns[column.name] for p in profiles if column.name in p.columns] or [whole]
    tallies = [tally(part, known) for part in parts]
    if column.kind is not ColumnKind.NUMERIC:
        for part, found in zip(parts, tallies, strict=True):
            found["unseen"] = (_only_here(part, whole, alone=len(parts) == 1), part.present)
    rates = {
        name: fit_rate([t[name][0] for t in tallies], [t[name][1] for t in tallies])
        for name in tallies[0]
        if any(t[name][1] > 0 for t in tallies)
    }
    return ColumnQuality(known, rates)


def _known(column: Column, whole: ColumnProfile) -> Known:
    binning = bin_reference(whole)
    low = high = 0
    if whole.bins.size:
        inner = quantiles(whole, np.array([0.001, 0.999]))
        width = max(float(inner[1] - inner[0]), abs(float(inner[1])) * 1e-3)
        edges = bin_of(np.array([inner[0] - width, inner[1] + width]))
        low, high = min(int(edges[0]), int(whole.bins[0])), max(int(edges[1]), int(whole.bins[-1]))
    return Known(
        column,
        binning,
        count_cells(whole, binning),
        frozenset(whole.values),
        whole.other == 0,
        low,
        high,
        int(whole.bins.size) or len(whole.values),
    )


def _only_here(part: ColumnProfile, whole: ColumnProfile, *, alone: bool) -> int:
    """Return the rows of values that no other reference window has."""
    if alone:  # the estimate of Good (1953) and Turing: as likely as those seen once
        return sum(rows for rows in part.values.values() if rows == 1)
    return sum(rows for value, rows in part.values.items() if whole.values.get(value) == rows)


def tally(seen: ColumnProfile, known: Known) -> dict[str, tuple[int, int]]:
    """Count, by name, the rows that would be faulty and those that could be.

    ``missing``; ``outside`` what the schema allows; ``top``: of the most frequent value. Numeric:
    ``far`` beyond the reference's range, ``zeros``, and, to prove that a column has moved,
    ``low``, ``lower``, ``upper``, ``high``: in the reference's outer tenths and halves.
    Categorical: ``unseen`` in the reference.
    """
    present = seen.present
    found = {"missing": (seen.count - present, seen.count)}
    if known.column.kind is ColumnKind.NUMERIC:
        cells = count_cells(seen, known.binning)[:-1].cumsum().astype(np.int64)
        # A reference without values has one cell, of share 1.
        pooled = known.pooled[:-1] if known.distinct else np.ones(1)
        shares = pooled.cumsum() / pooled.sum()
        found["far"] = (_rows(seen, seen.bins < known.low, seen.bins > known.high), present)
        found["zeros"] = (seen.zeros, present)
        found["top"] = (int(seen.counts.max(initial=0)), present)
        for name, upper, level in (("low", "high", 0.1), ("lower", "upper", 0.5)):
            found[name] = (int(cells[np.searchsorted(shares, level)]), present)
            # Rounding must not push the cell whose upper edge is the quantile over it.
            mirrored = int(np.searchsorted(shares, 1.0 - level - 1e-9))
            found[upper] = (present - int(cells[mirrored]), present)
    else:
        unseen = _others(seen, known.values) if known.complete else 0
        found["unseen"] = (unseen, present)
        found["top"] = (max(seen.values.values(), default=0), present)
    found["outside"] = (outside(seen, known.column), present)
    return found


def outside(seen: ColumnProfile, column: Column) -> int:
    """Count the rows whose value the schema does not allow."""
    if column.kind is ColumnKind.NUMERIC:
        return _beyond(seen, column)
    return 0 if column.categories is None else _others(seen, frozenset(column.categories))


def _rows(seen: ColumnProfile, *chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> int:
    return sum(int(seen.counts[mask].sum()) for mask in chosen)


def _others(seen: ColumnProfile, values: frozenset[str]) -> int:
    return seen.other + sum(rows for value, rows in seen.values.items() if value not in values)


def _beyond(seen: ColumnProfile, column: Column) -> int:
    """Return the rows outside the schema's bounds; of a bin that a bound cuts, at least one."""
    beyond = 0
    if column.minimum is not None and seen.minimum < column.minimum:
        below = seen.bins < bin_of(np.array([column.minimum]))[0]
        beyond += max(1, _rows(seen, below))
    if column.maximum is not None and seen.maximum > column.maximum:
        above = seen.bins > bin_of(np.array([column.maximum]))[0]
        beyond += max(1, _rows(seen, above))
    return beyond
