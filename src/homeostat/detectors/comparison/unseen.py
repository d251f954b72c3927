"""Values that one side has and the other does not, however many distinct ones there are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.comparison.config import ComparisonConfig
from homeostat.domain.model import ColumnKind
from homeostat.profiles.compare import RARE
from homeostat.profiles.profile import CATEGORY_LIMIT, ColumnProfile
from homeostat.profiles.sketch import CategorySketch, count_distinct, merge_sketches
from homeostat.stats.categories import new_category_test

MOST_NEW = 0.05
"""Share of a sketch's distinct values that may be new before nothing is known of its rows."""
MOST_UNLISTED = 100_000  # rows of unlisted values that are told apart in a test


def expected_unseen(column: ColumnProfile) -> float:
    """Return the share of rows that further windows will have in values not seen here.

    Of the values seen once, about as many are yet unseen (Good 1953).

    Examples
    --------
    >>> expected_unseen(ColumnProfile(ColumnKind.CATEGORICAL, 10, values={"a": 9, "b": 1}))
    0.1
    """
    return sum(rows == 1 for rows in column.values.values()) / max(1, column.present)


def unseen_share(known: ColumnProfile, other: ColumnProfile) -> float:
    """Return the share of the usable rows of `other` that certainly have values `known` lacks.

    Exact where every value is counted; 0 where `known` may have held any value.

    Examples
    --------
    >>> before = ColumnProfile(ColumnKind.CATEGORICAL, 4, values={"a": 4})
    >>> unseen_share(before, ColumnProfile(ColumnKind.CATEGORICAL, 4, values={"a": 1, "b": 3}))
    0.75
    """
    if known.other:
        return 0.0
    most = sum(other.bounds(value)[1] for value in known.values)
    return max(0, other.present - most) / max(1, other.present)


def unseen_p_value(known: ColumnProfile, other: ColumnProfile) -> float:
    """Return how likely chance puts so many rows of `other` into values that `known` lacks.

    Rows of unlisted values count as values of one row each, of which chance puts most there.
    """
    if known.other or not (known.present and other.present):
        return 1.0
    values = list({*known.values, *other.values})
    pair = np.array([known.rows_with(values), other.rows_with(values)], dtype=np.int64)
    left = min(MOST_UNLISTED, other.present - int(pair[1].sum()))
    ones: NDArray[np.int64] = np.ones(left, dtype=np.int64)
    before, after = np.append(pair[0], 0 * ones), np.append(pair[1], ones)
    return new_category_test(before, after).p_value


def exchanged(reference: ColumnProfile, current: ColumnProfile) -> tuple[float, float]:
    """Return the share of rows in values that only one side has, and its p-value.

    Of both directions the one with more rows beyond what is expected of a sample that has not seen
    all there is; the p-value is doubled for the choice.
    """
    ways = ((reference, current), (current, reference))
    excess = [max(0.0, unseen_share(*way) - expected_unseen(way[0])) for way in ways]
    larger = int(excess[1] > excess[0])
    if not excess[larger]:
        return 0.0, 1.0
    return excess[larger], min(1.0, 2.0 * unseen_p_value(*ways[larger]))


def unknowable(
    reference: ColumnProfile, current: ColumnProfile, config: ComparisonConfig
) -> str | None:
    """Return why nothing can be said of a column's rare values; None if something can.

    A sketch tells the frequent values and how many distinct ones there are. If the rows of rare
    values are few, or nearly all distinct values are on both sides, or nearly every row has a value
    of its own on both sides, what it does not tell does not matter.
    """
    sides = (reference, current)
    if reference.kind is ColumnKind.NUMERIC or not any(side.other for side in sides):
        return None
    if max(map(_rare_share, sides)) < config.min_moved:
        return None
    alone = min(2.0 * side.distinct / side.present - 1.0 for side in sides)
    if 1.0 - alone < config.min_moved or _news(reference, current) <= MOST_NEW:
        return None
    side = "reference" if reference.other else "current data"
    count = max(reference.distinct if reference.other else 0, current.distinct)
    return (
        f"the {side} has too many distinct values (up to {count:,}) to tell whether rows moved"
        f" among the rare ones; {CATEGORY_LIMIT:,} are counted one by one"
    )


def _rare_share(column: ColumnProfile) -> float:
    frequent = sum(rows for rows in column.values.values() if rows * RARE >= column.present)
    return 1.0 - frequent / column.present


def _news(reference: ColumnProfile, current: ColumnProfile) -> float:
    """Return the larger share of either side's distinct values that the other lacks, estimated."""
    one, other = (_distinct_only(side) for side in (reference, current))
    both = merge_sketches((one, other), CATEGORY_LIMIT).distinct
    new = (both - one.distinct) / max(1, other.distinct)
    return max(new, (both - other.distinct) / max(1, one.distinct))


def _distinct_only(column: ColumnProfile) -> CategorySketch:
    if column.sketch is not None and column.sketch.registers.size:
        return CategorySketch(registers=column.sketch.registers)
    return CategorySketch(registers=count_distinct(column.values))
