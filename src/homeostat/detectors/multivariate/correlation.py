"""Correlation change: whether pairs of columns still go together as they did."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.stats.correlation import (
    CorrelationChange,
    Correlations,
    compare_correlations,
    correlate,
    pool_correlations,
)
from homeostat.stats.encoding import Table, stack
from homeostat.stats.multiple import holm

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CorrelationConfig:
    """How many rows a verdict needs and when a pair is named.

    Attributes
    ----------
    min_rows : int
        Rows below which a window is not judged, and is left out of the reference.
    level : float
        Pairs are named at this chance of naming any wrongly.
    """

    min_rows: int = 50
    level: float = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class CorrelationReference:
    """Correlations of a reference's numbers and their own variation between windows.

    Attributes
    ----------
    names : tuple of str
    usual : Correlations
    between : ndarray of float64, shape (columns, columns)
        From `homeostat.stats.correlation.pool_correlations`.
    windows, rows : int
    """

    names: tuple[str, ...]
    usual: Correlations
    between: Floats
    windows: int
    rows: int


@dataclass(frozen=True, slots=True)
class PairChange:
    """A pair of columns whose rank correlation went from ``before`` to ``now``."""

    first: str
    second: str
    before: float
    now: float
    p_value: float


@dataclass(frozen=True, slots=True)
class CorrelationDrift:
    """How a window's correlations compare with the reference's.

    Attributes
    ----------
    statistic : float
        Largest difference of Fisher's transforms, in standard errors; NaN if there was nothing to
        test.
    p_value : float
        Of the whole matrix: the smallest of all pairs, adjusted for their number.
    effect : float
        Difference of the correlations of that pair, absolute.
    pairs : tuple of PairChange
        Those that changed, with adjusted p-values; smallest first.
    tested : int
        Pairs that could be compared.
    n_reference, n_current : int
        Rows used.
    reason : str
        For people.
    """

    statistic: float
    p_value: float
    effect: float
    pairs: tuple[PairChange, ...]
    tested: int
    n_reference: int
    n_current: int
    reason: str


def fit_correlation(
    windows: Sequence[Table], config: CorrelationConfig | None = None
) -> CorrelationReference:
    """Learn the correlations of a reference's columns of numbers.

    Parameters
    ----------
    windows : sequence of Table
        Windows of healthy traffic. With a single one, windows are taken to vary no more than
        independent rows do.
    config : CorrelationConfig, optional

    Raises
    ------
    ValueError
        If no window has ``min_rows`` rows, or they have different columns.
    """
    config = config or CorrelationConfig()
    used = [table for table in windows if table.rows >= config.min_rows]
    if not used:
        raise ValueError(
            f"no reference window has {config.min_rows} rows; use longer windows or lower min_rows"
        )
    names = tuple(stack(used).numbers)
    usual, between = pool_correlations([correlate(_matrix(table, names)) for table in used])
    rows = sum(table.rows for table in used)
    return CorrelationReference(names, usual, between, len(used), rows)


def compare_correlation(
    reference: CorrelationReference, current: Table, config: CorrelationConfig | None = None
) -> CorrelationDrift:
    """Test whether any pair of columns is correlated otherwise than in the reference.

    Columns may have moved or changed their shape: only how they go together counts.

    Parameters
    ----------
    reference : CorrelationReference
    current : Table
        With the reference's columns of numbers.
    config : CorrelationConfig, optional

    Raises
    ------
    ValueError
        If a column of the reference is absent.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> def window(slope: float) -> Table:
    ...     x, noise = rng.normal(size=(2, 500))
    ...     return Table({"age": x, "fare": np.exp(slope * x + noise), "km": rng.normal(size=500)})
    >>> reference = fit_correlation([window(0.0) for _ in range(7)])
    >>> compare_correlation(reference, window(0.5)).reason
    "1 of 3 pairs go together otherwise: 'age' and 'fare' -0.03 -> 0.46"
    """
    config = config or CorrelationConfig()
    if absent := [name for name in reference.names if name not in current.numbers]:
        raise ValueError(f"the table has no column of numbers {', '.join(map(repr, absent))}")
    if current.rows < config.min_rows:
        reason = f"{current.rows} rows in the window, {config.min_rows} are needed"
        return _nothing(reference, current, reason)
    now = correlate(_matrix(current, reference.names))
    change = compare_correlations(reference.usual, now, reference.between)
    if not change.z.size:
        return _nothing(reference, current, "no two columns vary enough to be compared")
    adjusted = holm(change.p_values)
    # Of pairs beyond the reach of floating-point p-values the statistic still tells the largest.
    most = int(np.argmax(np.abs(change.z)))
    pairs = _name(reference.names, change, adjusted, config.level)
    return CorrelationDrift(
        statistic=float(abs(change.z[most])),
        p_value=float(adjusted[most]),
        effect=float(abs(change.current[most] - change.reference[most])),
        pairs=pairs,
        tested=int(change.z.size),
        n_reference=reference.rows,
        n_current=current.rows,
        reason=_reason(pairs, int(change.z.size)),
    )


def _matrix(table: Table, names: tuple[str, ...]) -> Floats:
    matrix = np.empty((table.rows, len(names)))
    for index, name in enumerate(names):
        matrix[:, index] = table.numbers[name]
    return matrix


def _nothing(reference: CorrelationReference, current: Table, reason: str) -> CorrelationDrift:
    nan = math.nan
    return CorrelationDrift(nan, nan, nan, (), 0, reference.rows, current.rows, reason)


def _name(
    names: tuple[str, ...], change: CorrelationChange, adjusted: Floats, level: float
) -> tuple[PairChange, ...]:
    changed = np.flatnonzero(adjusted <= level)
    ordered = changed[np.argsort(-np.abs(change.z[changed]), kind="stable")]
    return tuple(
        PairChange(
            names[change.pairs[place, 0]],
            names[change.pairs[place, 1]],
            float(change.reference[place]),
            float(change.current[place]),
            float(adjusted[place]),
        )
        for place in ordered.tolist()
    )


def _reason(pairs: tuple[PairChange, ...], tested: int) -> str:
    if not pairs:
        return f"{tested} pairs of columns go together as in the reference"
    named = ", ".join(
        f"{pair.first!r} and {pair.second!r} {pair.before:.2f} -> {pair.now:.2f}"
        for pair in pairs[:3]
    )
    more = ", ..." if len(pairs) > 3 else ""
    return f"{len(pairs)} of {tested} pairs go together otherwise: {named}{more}"
