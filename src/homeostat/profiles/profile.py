"""Mergeable summaries of columns: what every comparison is computed from.

Merging is associative, commutative and exact: however rows are split and in whatever order the
parts are merged, the result is the same to the last bit. One thing is exact only within a stated
error: the counts of a column with more than `CATEGORY_LIMIT` distinct values.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from homeostat.domain.model import ColumnKind
from homeostat.profiles.pairs import Pairs, merge_pairs
from homeostat.profiles.sketch import CategorySketch, merge_sketches
from homeostat.stats.bitbins import add_bins
from homeostat.stats.exact import SUM_UNIT, mean_and_variance, to_float

CATEGORY_LIMIT = 10_000
"""Distinct values that a column profile counts one by one."""


def category_rank(value: str) -> int:
    """Return the 64-bit hash that stands for a personal value.

    Version 1 of the file format also chose by it which values to keep when there were too many.

    Examples
    --------
    >>> category_rank("grocery") == category_rank("grocery")
    True
    """
    return int.from_bytes(hashlib.blake2b(value.encode(), digest_size=8).digest(), "big")


@dataclass(frozen=True, slots=True, eq=False)
class ColumnProfile:
    """What is known about one column of some rows.

    Attributes
    ----------
    kind : ColumnKind
    count : int
        Rows; ``count == missing + nan + infinite + present``.
    missing, nan, infinite, zeros : int
        Rows that are null, not a number, ±infinity, and exactly zero. Zeros are also ``present``.
    bins, counts : ndarray of uint32 and of int64
        Numeric: histogram of the finite values (`homeostat.stats.bitbins`), ascending.
    minimum, maximum : float
        Numeric: of the finite values; NaN if there are none.
    total, squares : int
        Numeric: exact sums (`homeostat.stats.exact`).
    values : mapping of str to int
        Categorical and boolean (``"true"``, ``"false"``): rows per value. Beyond `CATEGORY_LIMIT`
        distinct values: estimates for the frequent ones, most frequent first; `bounds` says how
        good they are.
    other : int
        Categorical: rows of the values that are not listed; above 0 if and only if there were too
        many. ``present == sum(values.values()) + other``.
    sketch : CategorySketch or None
        Categorical: what the estimates come from.
    """

    kind: ColumnKind
    count: int = 0
    missing: int = 0
    nan: int = 0
    infinite: int = 0
    zeros: int = 0
    bins: NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, np.uint32))
    counts: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    minimum: float = float("nan")
    maximum: float = float("nan")
    total: int = 0
    squares: int = 0
    values: Mapping[str, int] = field(default_factory=dict)
    other: int = 0
    sketch: CategorySketch | None = None

    def __post_init__(self) -> None:
        self.bins.setflags(write=False)
        self.counts.setflags(write=False)

    @property
    def present(self) -> int:
        """Rows with a usable value: finite, or a category."""
        return self.count - self.missing - self.nan - self.infinite

    @property
    def sum(self) -> float:
        """Sum of the finite values, rounded once."""
        return to_float(self.total, SUM_UNIT)

    @property
    def mean(self) -> float:
        """Mean of the finite values; NaN if there are none."""
        return self._moments()[0]

    @property
    def variance(self) -> float:
        """Population variance of the finite values; NaN if there are none."""
        return self._moments()[1]

    @property
    def distinct(self) -> int:
        """Number of categories: exact up to `CATEGORY_LIMIT`, estimated within 0.8 % beyond.

        In a profile read from version 1 of the file format, of which a sample of values is left, it
        is (k - 1) / (largest of the k smallest hashes) (Bar-Yossef et al. 2002), within 1 %.
        """
        if self.sketch is not None:
            return min(self.sketch.distinct, self.present)
        if not (self.other and self.values):
            return len(self.values)
        largest = max(map(category_rank, self.values))
        return round((len(self.values) - 1) * 2.0**64 / max(largest, 1))

    def bounds(self, value: str) -> tuple[int, int]:
        """Return the fewest and the most rows that can have this category.

        Examples
        --------
        >>> ColumnProfile(ColumnKind.CATEGORICAL, count=3, values={"a": 3}).bounds("a")
        (3, 3)
        """
        if self.sketch is not None:
            return self.sketch.bounds(value, self.present)
        rows = self.values.get(value, 0)
        return rows, rows or self.other

    def rows_with(self, values: Sequence[str]) -> list[int]:
        """Return the rows that have each category, together never more than `present`.

        Exact, or the estimates of a sketch: 0 for what it does not know.

        Examples
        --------
        >>> ColumnProfile(ColumnKind.CATEGORICAL, count=3, values={"a": 3}).rows_with(["b", "a"])
        [0, 3]
        """
        if self.sketch is None:
            return [self.values.get(value, 0) for value in values]
        certain = [self.sketch.counts.get(value, 0) for value in values]
        estimates = [rows + self.sketch.error if rows else 0 for rows in certain]
        return estimates if sum(estimates) <= self.present else certain

    def share(self, rows: int) -> float:
        """Return `rows` as a share of all rows; NaN if there are none.

        Examples
        --------
        >>> column = ColumnProfile(ColumnKind.NUMERIC, count=4, missing=1)
        >>> column.share(column.missing)
        0.25
        """
        return rows / self.count if self.count else float("nan")

    def _moments(self) -> tuple[float, float]:
        if self.kind is not ColumnKind.NUMERIC or not self.present:
            return float("nan"), float("nan")
        return mean_and_variance(self.present, self.total, self.squares)

    def _scalars(self) -> tuple[object, ...]:
        numbers = (self.count, self.missing, self.nan, self.infinite, self.zeros, self.other)
        # repr, because NaN marks the extremes of a column without finite values.
        extremes = (repr(self.minimum), repr(self.maximum))
        sums = (self.total, self.squares)
        return self.kind, *numbers, *sums, *extremes, dict(self.values), self.sketch

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ColumnProfile):
            return NotImplemented
        return (
            self._scalars() == other._scalars()
            and np.array_equal(self.bins, other.bins)
            and np.array_equal(self.counts, other.counts)
        )

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Profile:
    """Column profiles of the same rows.

    Attributes
    ----------
    rows : int
    columns : mapping of str to ColumnProfile
    pairs : Pairs or None
        How numeric columns go together, where that was asked for.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from homeostat.profiles.build import profile_table
    >>> kinds = {"amount": ColumnKind.NUMERIC}
    >>> monday = profile_table(pa.table({"amount": [1.0, 2.0]}), kinds)
    >>> tuesday = profile_table(pa.table({"amount": [6.0, None]}), kinds)
    >>> both = monday.merge(tuesday)
    >>> both.rows, both.columns["amount"].mean, both == tuesday.merge(monday)
    (4, 3.0, True)
    """

    rows: int
    columns: Mapping[str, ColumnProfile]
    pairs: Pairs | None = None

    def merge(self, other: Profile) -> Profile:
        """Return the profile of the rows of both.

        A column that only one of them has keeps that one's counts. Pairs are kept if every profile
        with rows has them, of the same columns. Raises ValueError if a column is of two kinds.
        """
        return merge_all((self, other))


EMPTY = Profile(0, {})
"""The profile of no rows: merging with it changes nothing."""


def merge_all(profiles: Iterable[Profile]) -> Profile:
    """Return the profile of the rows of all; faster than merging one by one.

    Examples
    --------
    >>> merge_all([]) == EMPTY
    True
    """
    rows = 0
    parts: dict[str, list[ColumnProfile]] = {}
    pairs: list[tuple[int, Pairs | None]] = []
    for profile in profiles:
        rows += profile.rows
        pairs.append((profile.rows, profile.pairs))
        for name, column in profile.columns.items():
            parts.setdefault(name, []).append(column)
    columns = {name: _merge_columns(name, found) for name, found in parts.items()}
    return Profile(rows, columns, _merge_pairs(pairs))


def listed_categories(sketch: CategorySketch, present: int) -> tuple[dict[str, int], int]:
    """Return the values to list of a sketch of `present` rows, and the rows of the others."""
    values = sketch.listed(present, CATEGORY_LIMIT)
    return values, present - sum(values.values())


def _merge_pairs(parts: list[tuple[int, Pairs | None]]) -> Pairs | None:
    """Merge pairs, where profiles without rows have no say."""
    pairs = [found for rows, found in parts if rows or found is not None]
    known = [found for found in pairs if found is not None]
    if not known or len(known) < len(pairs) or len({found.names for found in known}) > 1:
        return None
    return merge_pairs(known)


def _merge_categories(
    parts: list[ColumnProfile],
) -> tuple[dict[str, int], int, CategorySketch | None]:
    present = sum(part.present for part in parts)
    sketch = merge_sketches(map(_sketch_of, parts), CATEGORY_LIMIT)
    if sketch.exact:
        return dict(sketch.counts), 0, None
    return *listed_categories(sketch, present), sketch


def _sketch_of(column: ColumnProfile) -> CategorySketch:
    if column.sketch is not None:
        return column.sketch
    least = column.distinct if column.other else 0
    return CategorySketch(column.values, unknown=column.other, least=least)


def _merge_columns(name: str, parts: list[ColumnProfile]) -> ColumnProfile:
    first = parts[0]
    if len(parts) == 1:
        return first
    kinds = sorted({part.kind for part in parts})
    if len(kinds) > 1:
        raise ValueError(f"column {name!r} is {' in one profile and '.join(kinds)} in another")
    bins, counts = add_bins(
        np.concatenate([part.bins for part in parts]),
        np.concatenate([part.counts for part in parts]),
    )
    values, other, sketch = _merge_categories(parts)
    finite = [part for part in parts if part.bins.size]
    return ColumnProfile(
        kind=first.kind,
        count=sum(part.count for part in parts),
        missing=sum(part.missing for part in parts),
        nan=sum(part.nan for part in parts),
        infinite=sum(part.infinite for part in parts),
        zeros=sum(part.zeros for part in parts),
        bins=bins,
        counts=counts,
        minimum=min((part.minimum for part in finite), default=float("nan")),
        maximum=max((part.maximum for part in finite), default=float("nan")),
        total=sum(part.total for part in parts),
        squares=sum(part.squares for part in parts),
        values=values,
        other=other,
        sketch=sketch,
    )
