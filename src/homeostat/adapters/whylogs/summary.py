"""A column as whylogs knows it, to and from a column profile; without whylogs.

Distinct values and frequent items are DataSketches bytes, which whylogs reads and writes as well.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import datasketches  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from homeostat.domain.model import ColumnKind
from homeostat.profiles.profile import ColumnProfile, listed_categories
from homeostat.profiles.sketch import CategorySketch, count_distinct
from homeostat.stats.bitbins import add_bins, bin_of, left_edge
from homeostat.stats.exact import SQUARE_UNIT, SUM_UNIT

LOG_FREQUENT = 10
"""whylogs' own size of frequent items: at most 768 of them."""

_HLL = struct.Struct("<8B3d2I")
_HLL_MODE, _HLL_8_MODE, _OUT_OF_ORDER = 2, 0x0A, 0x10
_WORDS = {"true": "True", "false": "False"}


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Numbers, ascending, each standing for some rows."""

    values: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    rows: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class ColumnSummary:
    """What whylogs keeps of a column.

    Attributes
    ----------
    n, null, nan, inf, true : int
        Rows; those without a value, NaN among them; NaN; infinite; true.
    types : mapping of str to int
        Rows that are ``integral``, ``fractional`` (infinite ones too), ``boolean``, ``string``,
        ``object``, ``tensor``.
    mean, squares : float
        Mean, and sum of squared differences from it.
    points : Points
        From the KLL sketch.
    cardinality, frequent : bytes
        HyperLogLog and frequent strings; empty where there are none.
    """

    n: int
    null: int = 0
    nan: int = 0
    inf: int = 0
    true: int = 0
    types: Mapping[str, int] = field(default_factory=dict)
    mean: float = 0.0
    squares: float = 0.0
    points: Points = field(default_factory=Points)
    cardinality: bytes = b""
    frequent: bytes = b""


def summary_of(column: ColumnProfile) -> ColumnSummary:
    """Return what whylogs can know of a column.

    Examples
    --------
    >>> column = ColumnProfile(ColumnKind.CATEGORICAL, count=3, missing=1, values={"a": 2})
    >>> summary = summary_of(column)
    >>> summary.n, summary.null, dict(summary.types)
    (3, 1, {'string': 2})
    """
    n, null, present = column.count, column.missing + column.nan, column.present
    if column.kind is ColumnKind.NUMERIC:
        finite = present > 0
        return ColumnSummary(
            n,
            null,
            column.nan,
            column.infinite,
            types={"fractional": present + column.infinite},
            mean=column.mean if finite else 0.0,
            squares=column.variance * present if finite else 0.0,
            points=_points(column) if finite else Points(),
        )
    if column.kind is ColumnKind.BOOLEAN:
        true = column.values.get("true", 0)
        share = true / present if present else 0.0
        rows = np.array([present - true, true])
        points = Points(np.array([0.0, 1.0])[rows > 0], rows[rows > 0])
        words = {_WORDS[name]: rows for name, rows in column.values.items()}
        return ColumnSummary(
            n,
            null,
            true=true,
            types={"boolean": present},
            mean=share,
            squares=present * share * (1.0 - share),
            points=points,
            cardinality=_hll_bytes(count_distinct(words)),
            frequent=_frequent_bytes(words),
        )
    sketch = column.sketch
    registers = count_distinct(column.values)
    if sketch is not None and sketch.registers.size:
        registers = sketch.registers
    return ColumnSummary(
        n,
        null,
        types={"string": present},
        cardinality=_hll_bytes(registers),
        frequent=_frequent_bytes(column.values),
    )


def column_of(summary: ColumnSummary) -> ColumnProfile:
    """Return the column profile that is nearest to what whylogs knows.

    Counts, extremes, mean and variance are whylogs'; the histogram is as good as its quantiles;
    categories are exact if whylogs still had all of them.

    Raises
    ------
    ValueError
        If the counts contradict each other.

    Examples
    --------
    >>> points = Points(np.array([1.0, 3.0]), np.array([1, 1]))
    >>> summary = ColumnSummary(3, 1, types={"integral": 2}, mean=2.0, squares=2.0, points=points)
    >>> column = column_of(summary)
    >>> column.missing, column.mean, column.variance, column.maximum
    (1, 2.0, 1.0, 3.0)
    """
    numbers = summary.types.get("integral", 0) + summary.types.get("fractional", 0)
    flags = summary.types.get("boolean", 0)
    typed = sum(summary.types.values())
    if min(summary.n - typed, summary.nan, summary.inf, *summary.types.values(), 0) < 0:
        raise ValueError("it has more values than rows")
    if typed == numbers and (numbers or not summary.frequent):
        return _numeric(summary, numbers)
    if typed == flags and flags:
        if not 0 <= summary.true <= flags:
            raise ValueError("it has more true values than values")
        both = {"true": summary.true, "false": flags - summary.true}
        values = {name: rows for name, rows in both.items() if rows}
        return ColumnProfile(
            ColumnKind.BOOLEAN, count=summary.n, missing=summary.n - flags, values=values
        )
    return _categorical(summary, typed)


def _numeric(summary: ColumnSummary, numbers: int) -> ColumnProfile:
    present = numbers - summary.inf
    missing = summary.n - numbers - summary.nan
    points = summary.points
    finite = np.isfinite(points.values) & (points.rows > 0)
    values, rows = points.values[finite] + 0.0, points.rows[finite]
    if min(missing, present) < 0 or (present > 0) != (values.size > 0):
        raise ValueError("its counts do not add up")
    if present and int(rows.sum()) != present:
        # Infinite ones are among the quantiles; what is finite stands for the finite rows.
        rows = np.diff(np.rint(np.cumsum(rows) / rows.sum() * present), prepend=0.0)
        rows = rows.astype(np.int64)
    bins, counts = add_bins(bin_of(values[rows > 0]), rows[rows > 0])
    total, squares = _sums(summary, present, values, rows)
    return ColumnProfile(
        ColumnKind.NUMERIC,
        count=summary.n,
        missing=missing,
        nan=summary.nan,
        infinite=summary.inf,
        zeros=int(rows[values == 0.0].sum()),
        bins=bins,
        counts=counts,
        minimum=float(values[0]) if present else math.nan,
        maximum=float(values[-1]) if present else math.nan,
        total=total,
        squares=squares,
    )


def _sums(
    summary: ColumnSummary, present: int, values: NDArray[np.float64], rows: NDArray[np.int64]
) -> tuple[int, int]:
    """Return exact sums that have whylogs' mean and variance, or those of the points."""
    if not present:
        return 0, 0
    if summary.inf or not (math.isfinite(summary.mean) and 0 <= summary.squares < math.inf):
        pairs = list(zip(map(Fraction, values.tolist()), rows.tolist(), strict=True))
        total = sum((value * weight for value, weight in pairs), Fraction(0))
        squares = sum((value * value * weight for value, weight in pairs), Fraction(0))
    else:
        mean = Fraction(summary.mean)
        total = mean * present
        squares = Fraction(summary.squares) + mean * total
    return int(total / Fraction(2) ** SUM_UNIT), int(squares / Fraction(2) ** SQUARE_UNIT)


def _categorical(summary: ColumnSummary, present: int) -> ColumnProfile:
    missing = summary.n - present
    counts: dict[str, int] = {}
    error = weight = 0
    if summary.frequent:
        frequent = datasketches.frequent_strings_sketch.deserialize(summary.frequent)
        every = datasketches.frequent_items_error_type.NO_FALSE_NEGATIVES
        for name, _, lower, upper in frequent.get_frequent_items(every):
            counts[name], error = lower, upper - lower
        weight = int(frequent.total_weight)
    if weight > present or sum(counts.values()) > present:
        raise ValueError("its frequent items have more rows than it")
    kind = ColumnKind.CATEGORICAL
    if sum(counts.values()) == present:
        return ColumnProfile(kind, count=summary.n, missing=missing, values=counts)
    registers, least = _read_hll(summary.cardinality)
    sketch = CategorySketch(counts, error, present - weight, registers, least)
    values, other = listed_categories(sketch, present)
    return ColumnProfile(
        kind, count=summary.n, missing=missing, values=values, other=other, sketch=sketch
    )


def _points(column: ColumnProfile) -> Points:
    """Return a value near the middle of each bin, and the extremes as they are."""
    middle = left_edge(column.bins) / 2 + left_edge(column.bins + 1) / 2
    values = np.clip(middle, column.minimum, column.maximum)
    values[column.bins == bin_of(np.zeros(1))[0]] = max(column.minimum, 0.0)
    rows = column.counts.copy()
    rows[0] -= 1
    ends = [column.minimum]
    if column.present > 1:
        rows[-1] -= 1
        ends.append(column.maximum)
    values, rows = np.append(values, ends), np.append(rows, np.ones(len(ends), np.int64))
    order = np.argsort(values, kind="stable")
    values, rows = values[order], rows[order]
    return Points(values[rows > 0], rows[rows > 0])


def _frequent_bytes(values: Mapping[str, int]) -> bytes:
    sketch = datasketches.frequent_strings_sketch(LOG_FREQUENT)
    for name in sorted(values, key=lambda name: (-values[name], name)):
        sketch.update(name, values[name])
    return bytes(sketch.serialize())


def _hll_bytes(registers: NDArray[np.uint8]) -> bytes:
    """Write registers as DataSketches does in its HLL_8 form."""
    held = np.bincount(registers, minlength=64) * 0.5 ** np.arange(64)
    log = registers.size.bit_length() - 1
    head = (10, 1, 7, log, 0, _OUT_OF_ORDER, 0, _HLL_8_MODE)
    low, high = float(held[:32].sum()), float(held[32:].sum())
    empty = int((registers == 0).sum())
    return _HLL.pack(*head, 0.0, low, high, empty, 0) + registers.tobytes()


def _read_hll(data: bytes) -> tuple[NDArray[np.uint8], int]:
    """Return registers, or none and the number of distinct values if there are few."""
    if not data:
        return np.empty(0, np.uint8), 0
    sketch = datasketches.hll_sketch.deserialize(data)
    union = datasketches.hll_union(sketch.lg_config_k)
    union.update(sketch)
    written = union.get_result(datasketches.tgt_hll_type.HLL_8).serialize_updatable()
    if written[7] & 3 != _HLL_MODE:
        return np.empty(0, np.uint8), round(sketch.get_estimate())
    return np.frombuffer(written, np.uint8)[_HLL.size :][: 1 << sketch.lg_config_k], 0
