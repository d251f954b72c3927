"""What a way of estimating must be able to say, whatever the task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = "NDArray[np.float64]"
Codes: TypeAlias = "NDArray[np.int64]"


@dataclass(frozen=True, slots=True)
class Guess:
    """A metric's expected value.

    ``sampling`` is the variance of the realized metric around its expectation, ``learning`` that of
    the expectation for want of labels. ``want`` says why the metric cannot be told from such rows,
    or is empty.
    """

    value: float
    sampling: float
    learning: float
    want: str = ""


@dataclass(frozen=True, slots=True)
class Rival:
    """What a metric is if classes' frequencies have changed instead of inputs (label shift).

    ``sure`` is the share of the change of frequencies that is beyond noise, 0 to 1.
    """

    guess: Guess
    sure: float


class Outlook(Protocol):
    """Expected metrics, learnt on labelled reference rows."""

    @property
    def method(self) -> str:
        """How estimates are made, in a sentence."""
        ...

    @property
    def reference_rows(self) -> int:
        """How many labelled rows there are, in order of time."""
        ...

    def realized(self, rows: Codes) -> Mapping[str, float]:
        """Return metrics of reference rows by their labels."""
        ...

    def unstable(self, most: float) -> str:
        """Say that labels do not follow from inputs as they did, if stretches show it."""
        ...

    def held_out(self, rows: Codes) -> Mapping[str, Guess]:
        """Return expected metrics of reference rows, learnt on other stretches."""
        ...

    def expected(self, rows: Codes) -> Mapping[str, Guess]:
        """Return expected metrics of current rows."""
        ...

    def rivals(self, rows: Codes, *, held_out: bool = False) -> Mapping[str, Rival]:
        """Return metrics by label shift: of current rows, if that explains them as well.

        Or of reference rows, learnt on other stretches, if they have moved.
        """
        ...

    def cross_checks(self, rows: Codes) -> Mapping[str, Mapping[str, float]]:
        """Return what other methods say of current rows, by metric and method."""
        ...


def folds_of(rows: int, count: int) -> Codes:
    """Return for each row, in order of time, in which of so many stretches it lies.

    Examples
    --------
    >>> folds_of(5, 2).tolist()
    [0, 0, 0, 1, 1]
    """
    return (np.arange(rows) * count // max(1, rows)).astype(np.int64)


def thin(rows: Codes, most: int) -> Codes:
    """Return at most so many of some rows, evenly spread.

    Examples
    --------
    >>> thin(np.arange(6), 3).tolist()
    [0, 2, 4]
    """
    if rows.size <= most:
        return rows
    return rows[np.arange(most) * rows.size // most]
