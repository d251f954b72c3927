"""What the owner expects of any candidate on rows that they chose: a range, a direction, no change.

After the kinds of tests of Ribeiro et al. (2020), "Beyond accuracy: behavioral testing of NLP
models with CheckList": minimum functionality, directional expectation, invariance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.retraining.gate.checks import Check
from homeostat.retraining.gate.paired import Floats

SHOWN = 3
"""Rows that a refusal names."""


class Direction(StrEnum):
    """Where the score must go when the row is changed."""

    UP = "up"
    DOWN = "down"
    SAME = "same"


@dataclass(frozen=True, slots=True)
class Change:
    """What is done to one feature: it is set, or multiplied and then added to.

    ``value`` None and ``times`` 1 and ``add`` 0 leave it as it is.
    """

    column: str
    value: float | str | bool | None = None
    times: float = 1.0
    add: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Expectation:
    """One expectation.

    Attributes
    ----------
    name : str
    rows : pyarrow.Table or None
        The features; None: rows of the hold-out.
    low, high : float
        Every score must be in this range.
    changes : tuple of Change
        What makes a second row of each; none: only the range is judged.
    direction : Direction
        Where the score must go by that.
    tolerance : float
        By how much it may go the other way; of ``same``: either way.
    share : float
        Of the rows that must do as expected, in (0, 1].

    Raises
    ------
    ValueError
        If the range is empty, or the share or the tolerance is out of range.
    """

    name: str
    rows: pa.Table | None = None
    low: float = -math.inf
    high: float = math.inf
    changes: tuple[Change, ...] = ()
    direction: Direction = Direction.SAME
    tolerance: float = 0.0
    share: float = 1.0

    def __post_init__(self) -> None:
        if not self.low <= self.high or not 0.0 < self.share <= 1.0 or not self.tolerance >= 0.0:
            raise ValueError(f"the expectation {self.name} has an impossible range or share")


def changed(rows: pa.Table, changes: tuple[Change, ...]) -> pa.Table:
    """Return the rows with features changed; what is missing stays missing, unless it is set.

    Examples
    --------
    >>> rows = pa.table({"amount": [10.0, None], "country": ["DE", "FR"]})
    >>> asked = (Change("amount", times=2.0, add=1.0), Change("country", value="PT"))
    >>> changed(rows, asked).to_pydict()
    {'amount': [21.0, None], 'country': ['PT', 'PT']}
    """
    for change in changes:
        column = rows[change.column]
        if change.value is not None:
            made = pa.array([change.value] * rows.num_rows, column.type)
        else:
            known = np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)
            missing = np.asarray(column.is_null().to_numpy(), dtype=np.bool_)
            made = pa.array(known * change.times + change.add, pa.float64(), mask=missing)
        rows = rows.set_column(rows.column_names.index(change.column), change.column, made)
    return rows


def judge_expectation(asked: Expectation, scores: Floats, after: Floats | None) -> Check:
    """Judge one expectation by the candidate's scores.

    Parameters
    ----------
    asked : Expectation
    scores : float64 array of shape (n,)
        Of the rows as they are; one that is not finite is not as expected.
    after : float64 array of shape (n,) or None
        Of the changed rows; None where nothing is changed.

    Examples
    --------
    >>> known = Expectation("known_fraud", low=0.8)
    >>> judge_expectation(known, np.array([0.9, 0.3]), None).text
    '1 of 2 rows do as expected (50%, 100% is asked for): row 2 scores 0.3, not at least 0.8'
    >>> more = Expectation("more_is_riskier", direction=Direction.UP)
    >>> judge_expectation(more, np.array([0.2]), np.array([0.4])).passed
    True
    """
    name = f"check {asked.name}"
    if not scores.size:
        return Check(name, None, "there are no rows to ask it about")
    good = (scores >= asked.low) & (scores <= asked.high) & np.isfinite(scores)
    if after is not None:
        good &= _moved(asked, scores, after)
    held = int(good.sum())
    share = held / scores.size
    shares = f"{share:.0%}, {asked.share:.0%} is asked for"
    told = f"{held} of {scores.size} rows do as expected ({shares})"
    evidence = (("rows", float(scores.size)), ("share", share), ("asked", asked.share))
    # A share is a count of rows: 0.9 of 10 rows is 9, whatever floats say.
    if held >= math.ceil(asked.share * scores.size - 1e-9):
        return Check(name, True, told, evidence)
    odd = np.flatnonzero(~good)[:SHOWN].tolist()
    rows = "; ".join(_said(asked, row, scores, after) for row in odd)
    return Check(name, False, f"{told}: {rows}", evidence)


def _moved(asked: Expectation, scores: Floats, after: Floats) -> NDArray[np.bool_]:
    rise = after - scores
    match asked.direction:
        case Direction.UP:
            good = rise >= -asked.tolerance
        case Direction.DOWN:
            good = rise <= asked.tolerance
        case _:
            good = np.abs(rise) <= asked.tolerance + 1e-12
    return np.asarray(good & np.isfinite(after), dtype=np.bool_)


def _said(asked: Expectation, row: int, scores: Floats, after: Floats | None) -> str:
    told = f"row {row + 1} scores {scores[row]:.4g}"
    if not asked.low <= scores[row] <= asked.high:
        low = "" if math.isinf(asked.low) else f"at least {asked.low:g}"
        high = "" if math.isinf(asked.high) else f"at most {asked.high:g}"
        limits = " and ".join(part for part in (low, high) if part) or "a finite number"
        return f"{told}, not {limits}"
    assert after is not None  # it is in the range: only the change can be wrong
    must = {Direction.UP: "not fall", Direction.DOWN: "not rise", Direction.SAME: "stay"}
    return f"{told} and {after[row]:.4g} when changed: it must {must[asked.direction]}"
