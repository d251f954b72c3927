"""Sketch of a column with more distinct values than are counted one by one.

Frequent values are a Misra-Gries summary (Misra & Gries 1982) that merges without loss of its
guarantee (Agarwal et al. 2012, "Mergeable summaries"). The number of distinct values comes from the
registers of a HyperLogLog of Apache DataSketches, which merge exactly.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import datasketches  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

REGISTERS = 1 << 14
"""Registers of a new sketch: distinct values within 0.8 % (one standard error)."""

_LOG_REGISTERS = REGISTERS.bit_length() - 1
_PREAMBLE = 40  # bytes before the registers in DataSketches' HLL_8 form
LEVELS = 64
"""Values of a register: 0 to 63."""
_AT_ONCE = 32  # times the limit that a merge may hold before it lets the rarest go


def _no_registers() -> NDArray[np.uint8]:
    return np.empty(0, np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class CategorySketch:
    """Frequent values and number of distinct values of some rows.

    Attributes
    ----------
    counts : mapping of str to int
        Rows that certainly have the value; at most as many values as the limit.
    error : int
        Rows that each count may lack, at most ``rows / (limit + 1)``. A value that was among the
        counted ones all along lacks exactly so many, so that count + error is its estimate.
    unknown : int
        Rows of which only is known that they are not in `counts`, from sources that kept less.
    registers : ndarray of uint8, shape (2**k,)
        HyperLogLog; empty where every distinct value is in `counts`.
    least : int
        Distinct values known of from a source that has no registers.

    Examples
    --------
    >>> rows = {"often": 900} | {f"once {i}": 1 for i in range(50)}
    >>> sketch = merge_sketches([CategorySketch(rows)], limit=10)
    >>> sketch.counts, sketch.error, sketch.listed(950, 10), sketch.distinct
    ({'often': 899}, 1, {'often': 900}, 51)
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    error: int = 0
    unknown: int = 0
    registers: NDArray[np.uint8] = field(default_factory=_no_registers)
    least: int = 0

    def __post_init__(self) -> None:
        self.registers.setflags(write=False)

    @property
    def exact(self) -> bool:
        """Whether every row is in `counts`."""
        return not (self.error or self.unknown or self.registers.size)

    @property
    def distinct(self) -> int:
        """Estimated number of distinct values, within `distinct_error` (one standard error)."""
        seen = _distinct(self.registers) if self.registers.size else 0
        return max(seen, len(self.counts), self.least)

    @property
    def distinct_error(self) -> float:
        """Relative standard error of `distinct`: 1.04 / √registers; 0 without any."""
        return 1.04 / math.sqrt(self.registers.size) if self.registers.size else 0.0

    def bounds(self, value: str, rows: int) -> tuple[int, int]:
        """Return the fewest and the most of `rows` rows that can have the value."""
        certain = self.counts.get(value, 0)
        return certain, min(certain + self.error + self.unknown, rows)

    def listed(self, rows: int, limit: int) -> dict[str, int]:
        """Return the estimates that are at most twice what is certain, most frequent first.

        Never more than `limit` values, nor all of `rows`: some are always left for the others.
        """
        found: dict[str, int] = {}
        left = rows - 1
        ordered = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
        for value, certain in ordered[:limit]:
            if certain < self.error or certain + self.error > left:
                break
            found[value] = certain + self.error
            left -= certain + self.error
        return found

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CategorySketch):
            return NotImplemented
        mine, theirs = (
            (s.error, s.unknown, s.least, dict(s.counts), s.registers.tobytes())
            for s in (self, other)
        )
        return mine == theirs

    __hash__ = None  # type: ignore[assignment]


def merge_sketches(parts: Iterable[CategorySketch], limit: int) -> CategorySketch:
    """Return the sketch of the rows of all.

    Exact, and free of order, while the parts together have at most `limit` distinct values.
    Beyond it the registers still are; the counts depend on how rows were split, within `error`.

    Examples
    --------
    >>> a, b = CategorySketch({"x": 2}), CategorySketch({"x": 1, "y": 1})
    >>> merge_sketches([a, b], limit=10).counts
    {'x': 3, 'y': 1}
    """
    counts: dict[str, int] = {}
    error = unknown = least = 0
    registers = _no_registers()
    for part in parts:
        for value, rows in part.counts.items():
            counts[value] = counts.get(value, 0) + rows
        error, unknown = error + part.error, unknown + part.unknown
        least = max(least, part.least)
        registers = _join(registers, part.registers)
        if len(counts) > _AT_ONCE * limit:
            registers = _join(registers, count_distinct(counts))
            counts, lost = _keep_frequent(counts, limit)
            error += lost
    if len(counts) > limit or error or unknown or registers.size:
        registers = _join(registers, count_distinct(counts))
        counts, lost = _keep_frequent(counts, limit)
        error += lost
    return CategorySketch(counts, error, unknown, registers, least)


def count_distinct(values: Iterable[str]) -> NDArray[np.uint8]:
    """Return HyperLogLog registers of the values; DataSketches leaves out the empty text.

    Examples
    --------
    >>> one, other = count_distinct(["a", "b"]), count_distinct(["b"])
    >>> bool((np.maximum(one, other) == one).all())
    True
    """
    sketch = datasketches.hll_sketch(_LOG_REGISTERS, datasketches.tgt_hll_type.HLL_8, True)
    update = sketch.update
    for value in values:
        update(value)
    return np.frombuffer(sketch.serialize_updatable(), np.uint8)[_PREAMBLE:]


def _keep_frequent(counts: Mapping[str, int], limit: int) -> tuple[dict[str, int], int]:
    """Take the largest count beyond the limit off every count; return what is left, and it."""
    if len(counts) <= limit:
        return dict(counts), 0
    cut = heapq.nlargest(limit + 1, counts.values())[-1]
    return {value: rows - cut for value, rows in counts.items() if rows > cut}, cut


def _join(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Merge registers, at the coarser of the two."""
    if not (one.size and other.size):
        return one if one.size else other
    size = min(one.size, other.size)
    # The low bits of a value's hash name its register: every size-th one holds the same.
    parts = np.concatenate((one.reshape(-1, size), other.reshape(-1, size)))
    joined: NDArray[np.uint8] = parts.max(axis=0)
    return joined


def _distinct(registers: NDArray[np.uint8]) -> int:
    """Estimate the distinct values (Ertl 2017, "New cardinality estimation algorithms", sec. 4)."""
    size = registers.size
    held = np.bincount(registers, minlength=LEVELS) / size
    if held[0] == 1.0:
        return 0
    weight = 0.0
    for share in held[:0:-1].tolist():
        weight = 0.5 * (weight + share)
    scale = size / (2.0 * math.log(2.0))
    return round(scale / (weight + _sigma(float(held[0]))))


def _sigma(share: float) -> float:
    """Return x + Σ x^(2^k) 2^(k-1), the part of the registers that hold nothing."""
    total, power, factor = share, share, 1.0
    while power > 0.0:
        power *= power
        total += power * factor
        factor *= 2.0
    return total
