"""Reconstruction error: whether rows still lie where the reference's components put them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.stats.encoding import Encoder, Table, fit_encoder, stack
from homeostat.stats.multiple import holm
from homeostat.stats.pca import Components, fit_components
from homeostat.stats.windows import WindowShift, compare_window

Floats = NDArray[np.float64]

_PARTS = 10  # that the windows are dealt into, to be measured with components of the others

_ALONE = "one reference window does not show how much windows vary; give more"


@dataclass(frozen=True, slots=True)
class ReconstructionConfig:
    """How much of the reference is explained and how many rows a verdict needs.

    Attributes
    ----------
    share : float
        Share of the reference's variance that the components explain, in (0, 1).
    min_rows : int
        Rows below which a window is not judged, and is left out of the reference.
    max_rows : int
        Rows of a window that are used, evenly spaced.
    level : float
        Columns are named at this chance of naming any wrongly.
    """

    share: float = 0.65
    min_rows: int = 50
    max_rows: int = 10_000
    level: float = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class ReconstructionReference:
    """Components of a reference and the errors that its own windows have.

    Attributes
    ----------
    encoder : Encoder
    components : Components
    sizes : ndarray of float64, shape (windows,)
        Rows of each window.
    means : ndarray of float64, shape (windows, 1 + columns)
        Mean error of each window, then its mean squared error in each column.
    variances : ndarray of float64, shape (1 + columns,)
        Variance of a row around its window's mean, likewise.
    """

    encoder: Encoder
    components: Components
    sizes: Floats
    means: Floats
    variances: Floats


@dataclass(frozen=True, slots=True)
class ColumnError:
    """A column whose own error changed; ``change`` is in mean squared normal scores."""

    column: str
    change: float
    p_value: float


@dataclass(frozen=True, slots=True)
class ReconstructionDrift:
    """How a window's reconstruction error compares with the reference windows'.

    Attributes
    ----------
    statistic : float
        Student's t with ``windows - 1`` degrees of freedom if the window is like the reference's.
    p_value : float
        Two-sided: rows that fit the components suspiciously well have changed, too. NaN if there
        was nothing to test.
    effect : float
        Mean error minus the usual one, in standard deviations of a row.
    mean, expected : float
        Mean error of the window, and of the reference windows.
    columns : tuple of ColumnError
        Those that changed by more than windows vary, with p-values adjusted for their number;
        largest change first.
    windows : int
        Reference windows.
    n_current : int
        Rows used.
    reason : str
        For people.
    """

    statistic: float
    p_value: float
    effect: float
    mean: float
    expected: float
    columns: tuple[ColumnError, ...]
    windows: int
    n_current: int
    reason: str


def fit_reconstruction(
    windows: Sequence[Table], config: ReconstructionConfig | None = None
) -> ReconstructionReference:
    """Learn components and how much the error varies between windows.

    Parameters
    ----------
    windows : sequence of Table
        Windows of healthy traffic, best of the length that will be judged; 14 or more make the
        detector sharp.
    config : ReconstructionConfig, optional

    Raises
    ------
    ValueError
        If no window has ``min_rows`` rows, or they have different columns.

    Notes
    -----
    Each window's errors come from an encoder and components fitted to other windows: those that had
    a part in the fit lie too near, and the first new window would seem to drift.
    """
    config = config or ReconstructionConfig()
    used = [_thin(table, config.max_rows) for table in windows if table.rows >= config.min_rows]
    if not used:
        raise ValueError(
            f"no reference window has {config.min_rows} rows; use longer windows or lower min_rows"
        )
    whole = stack(used)
    encoder = fit_encoder(whole)
    components = fit_components(encoder.transform(whole), config.share)
    parts = min(_PARTS, len(used))
    means: dict[int, Floats] = {}
    squares = np.zeros(1 + len(encoder.names))
    for part in range(parts):
        others = [table for index, table in enumerate(used) if index % parts != part] or used
        kept = stack(others)
        other_encoder = fit_encoder(kept)
        other = fit_components(other_encoder.transform(kept), config.share)
        for index in range(part, len(used), parts):
            errors = _errors(other_encoder, other, used[index])
            means[index] = errors.mean(axis=0)
            squares += ((errors - means[index]) ** 2).sum(axis=0)
    return ReconstructionReference(
        encoder,
        components,
        np.array([table.rows for table in used], dtype=np.float64),
        np.array([means[index] for index in range(len(used))]),
        squares / max(1, whole.rows - len(used)),
    )


def compare_reconstruction(
    reference: ReconstructionReference,
    current: Table,
    config: ReconstructionConfig | None = None,
) -> ReconstructionDrift:
    """Test whether a window's mean reconstruction error is one that the reference could have had.

    Parameters
    ----------
    reference : ReconstructionReference
    current : Table
        With the reference's columns.
    config : ReconstructionConfig, optional

    Raises
    ------
    ValueError
        If a column of the reference is absent.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> def window(slope: float) -> Table:
    ...     x, noise = rng.normal(size=(2, 500))
    ...     return Table({"x": x, "y": slope * x + noise, "z": x + rng.normal(size=500)})
    >>> reference = fit_reconstruction([window(2.0) for _ in range(14)])
    >>> compare_reconstruction(reference, window(2.0)).p_value > 0.05
    True
    >>> found = compare_reconstruction(reference, window(-2.0))
    >>> found.p_value < 1e-6, found.columns[0].column
    (True, 'y')
    """
    config = config or ReconstructionConfig()
    windows = reference.sizes.size
    if current.rows < config.min_rows:
        reason = f"{current.rows} rows in the window, {config.min_rows} are needed"
        return _nothing(windows, current.rows, reason)
    if windows < 2:
        return _nothing(windows, current.rows, _ALONE)
    current = _thin(current, config.max_rows)
    means = _errors(reference.encoder, reference.components, current).mean(axis=0)
    shift, *own = (
        compare_window(mean, current.rows, usual, reference.sizes, variance)
        for mean, usual, variance in zip(
            means.tolist(), reference.means.T, reference.variances.tolist(), strict=True
        )
    )
    mean, deviation = float(means[0]), math.sqrt(float(reference.variances[0]))
    columns = _name(reference.encoder.names, means[1:], own, config.level)
    return ReconstructionDrift(
        statistic=shift.statistic,
        p_value=shift.p_value,
        effect=(mean - shift.expected) / deviation if deviation > 0.0 else math.nan,
        mean=mean,
        expected=shift.expected,
        columns=columns,
        windows=windows,
        n_current=current.rows,
        reason=_reason(mean, shift, columns),
    )


def _nothing(windows: int, rows: int, reason: str) -> ReconstructionDrift:
    nan = math.nan
    return ReconstructionDrift(nan, nan, nan, nan, nan, (), windows, rows, reason)


def _name(
    names: Sequence[str], means: Floats, shifts: Sequence[WindowShift], level: float
) -> tuple[ColumnError, ...]:
    adjusted = holm([shift.p_value for shift in shifts]).tolist()
    found = [
        ColumnError(name, mean - shift.expected, p_value)
        for name, mean, shift, p_value in zip(names, means.tolist(), shifts, adjusted, strict=True)
        if p_value <= level
    ]
    return tuple(sorted(found, key=lambda column: -abs(column.change)))


def _reason(mean: float, shift: WindowShift, columns: Sequence[ColumnError]) -> str:
    found = f"mean reconstruction error {mean:.3g}, usually {shift.expected:.3g}"
    if math.isnan(shift.p_value):
        return f"{found}: the reference does not vary, so there is nothing to compare with"
    found += f" (p = {shift.p_value:.2g} over {shift.freedom + 1} windows)"
    if not columns:
        return found
    return f"{found}; changed in {', '.join(repr(column.column) for column in columns[:5])}"


def _thin(table: Table, most: int) -> Table:
    if table.rows <= most:
        return table
    return table.take(np.linspace(0, table.rows - 1, most).round().astype(np.int64))


def _errors(encoder: Encoder, components: Components, table: Table) -> Floats:
    """Return each row's error and its squared error in each column, (rows, 1 + columns)."""
    squares = components.residuals(encoder.transform(table)) ** 2
    starts = np.flatnonzero(np.diff(encoder.owners, prepend=-1))
    by_column = np.add.reduceat(squares, starts, axis=1)
    return np.column_stack((np.sqrt(by_column.sum(axis=1)), by_column))
