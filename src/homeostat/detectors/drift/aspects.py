"""What is followed in a column: location, spread, shape, missing values; one number a window each.

Every aspect is a set of *series*, summaries that are means over a window's rows, so that sampling
adds ``unit / rows`` to their variance. Numbers enter by the normal scores of the reference's cells:
no outlier, scale or heavy tail weighs more than its rank. Shares enter as ``2 asin(sqrt(share))``,
whose variance does not depend on the share.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from homeostat.domain.model import ColumnKind
from homeostat.profiles.compare import Binning, bin_reference, rebin
from homeostat.profiles.profile import ColumnProfile, Profile
from homeostat.stats.special import normal_quantile

Floats = NDArray[np.float64]

FINE = 64
"""Cells that carry a numeric column's scores."""

COARSE = 10
"""Cells of about equal shares whose shares are followed one by one."""

RARE_ROWS = 5.0
"""Categories expected in fewer rows of a typical window are followed together."""

CATEGORIES = 30

LEAST_UNIT = 0.01
"""Variance of a row's score that is assumed of a column that does not vary."""

_FEW_EXPECTED, _MOST_COUNTED = 25.0, 80

FINE_SPREAD = 1.0 / 32.0
"""Standard deviation beside the mean below which bins (0.8 % wide) are too coarse for ranks."""

CLEAR = 2.0
"""Standard errors by which a share must have moved to count as moved."""


class Aspect(StrEnum):
    """A way in which a column can change."""

    LOCATION = "location"
    SPREAD = "spread"
    SHAPE = "shape"
    MISSING = "missing"
    CORRELATION = "correlation"


NUMERIC_SHARES = {
    Aspect.LOCATION: 0.35,
    Aspect.SPREAD: 0.1,
    Aspect.SHAPE: 0.4,
    Aspect.MISSING: 0.15,
}
OTHER_SHARES = {Aspect.SHAPE: 0.85, Aspect.MISSING: 0.15}
"""How a column's evidence is divided among its aspects; series of one aspect share alike."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Changes from which the owner cares.

    Attributes
    ----------
    shift : float
        Of location, in standard deviations of the reference.
    spread : float
        Of the mean squared normal score: 0.15 is about 7 % of a standard deviation.
    share : float
        Share of rows that moved to other cells or categories.
    missing : float
        Of the share of missing values.
    correlation : float
        Of the correlation of two columns.
    """

    shift: float = 0.05
    spread: float = 0.15
    share: float = 0.045
    missing: float = 0.02
    correlation: float = 0.1

    def of(self, aspect: Aspect) -> float:
        """Return the limit of one aspect."""
        limits = {
            Aspect.LOCATION: self.shift,
            Aspect.SPREAD: self.spread,
            Aspect.SHAPE: self.share,
            Aspect.MISSING: self.missing,
            Aspect.CORRELATION: self.correlation,
        }
        return limits[aspect]


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What a window shows: values of the series, NaN where there are none.

    ``usable`` if it has rows enough, of the kind that is expected; ``missing`` is the share of rows
    without a value.
    """

    values: Floats
    rows: int = 0
    usable: bool = False
    missing: float = math.nan


class Look(Protocol):
    """A way to look at windows: a column, or how columns go together."""

    @property
    def subject(self) -> str:
        """Name in verdicts."""
        ...

    @property
    def expects(self) -> str:
        """What a window must hold, in a word."""
        ...

    @property
    def aspects(self) -> tuple[Aspect, ...]:
        """Of each series, in order."""
        ...

    @property
    def weights(self) -> Floats:
        """Part of the evidence that each series carries; they add up to 1."""
        ...

    @property
    def unit(self) -> Floats:
        """Variance of one row in each series."""
        ...

    def read(self, profile: Profile | None, min_rows: int) -> Reading:
        """Look at a window."""
        ...

    def effects(self, size: Floats, error: Floats) -> dict[Aspect, float]:
        """Return the size of a change in each aspect's own unit, from shifts of the series."""
        ...

    def slow(self, wander: Floats, lead: int) -> dict[Aspect, float]:
        """Return the size of the reference's slow movements; `lead` is the series in question."""
        ...

    def named(self, size: Floats, parts: Floats) -> tuple[tuple[str, float], ...]:
        """Return the series that carry the evidence, by name, with their change."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Lens:
    """How a column is looked at, fixed by its reference.

    Attributes
    ----------
    subject : str
        The column.
    binning : Binning
        Cells of the reference, fine for numeric columns.
    cell : ndarray of intp
        The followed cell of each of the binning's cells.
    scores : ndarray of float64
        Numeric: normal score of each of the binning's cells; its variance over the reference is 1,
        less for ties: in a column that hardly varies, rare values stay rare.
    aspects : tuple of Aspect
        Of each series, in order.
    names : tuple of str
        What each series is of: an aspect, ``cell 3``, a category.
    shares : ndarray of float64
        Reference shares of the followed cells, then of missing values.
    unit : ndarray of float64
        Variance of one row in each series.
    fine : tuple of float or None
        Mean and standard deviation of numbers that lie in a few of the histogram's bins because
        they vary by little beside their size: their exact moments tell what ranks cannot.
    """

    subject: str
    binning: Binning
    cell: NDArray[np.intp]
    scores: Floats
    aspects: tuple[Aspect, ...]
    names: tuple[str, ...]
    shares: Floats
    unit: Floats
    fine: tuple[float, float] | None = None

    @property
    def expects(self) -> str:
        """The column's kind."""
        return str(self.binning.kind)

    @property
    def weights(self) -> Floats:
        """Part of the column's evidence that each series carries; they add up to 1."""
        parts = NUMERIC_SHARES if self.scores.size else OTHER_SHARES
        counts = {aspect: self.aspects.count(aspect) for aspect in parts}
        return np.array([parts[aspect] / counts[aspect] for aspect in self.aspects])

    def read(self, profile: Profile | None, min_rows: int) -> Reading:
        """Look at a window."""
        column = None if profile is None else profile.columns.get(self.subject)
        empty = np.full(len(self.aspects), np.nan)
        if column is None:
            return Reading(empty)
        if column.kind is not self.binning.kind or column.count < min_rows:
            return Reading(empty, column.count)
        missing = 1.0 - column.present / max(1, column.count)
        return Reading(self.look(column), column.count, usable=True, missing=missing)

    def named(self, size: Floats, parts: Floats) -> tuple[tuple[str, float], ...]:  # noqa: ARG002
        """Return nothing: a column names itself."""
        return ()

    def look(self, column: ColumnProfile) -> Floats:
        """Return each series' value in a window; NaN without usable rows.

        Examples
        --------
        >>> from homeostat.profiles.build import profile_numbers
        >>> usual = profile_numbers(np.arange(1.0, 1001.0))
        >>> lens = focus("amount", usual, rows=1000.0)
        >>> higher = profile_numbers(np.arange(101.0, 1101.0))
        >>> round(float(lens.look(higher)[0] - lens.look(usual)[0]), 2)
        0.42
        """
        counts = rebin(column, self.binning).astype(np.float64)
        present, rows = float(counts.sum()), float(column.count)
        missing = _angle(np.array([rows - present], dtype=np.float64), rows)
        missing = missing - _usual_angle(self.shares[-1:], rows)
        if present == 0.0:
            return np.append(np.full(len(self.aspects) - 1, np.nan), missing)
        cells = np.asarray(np.bincount(self.cell, counts, self.shares.size - 1), dtype=np.float64)
        shape = _angle(cells, present) - _usual_angle(self.shares[:-1], present)
        if not self.scores.size:
            return np.concatenate((shape, missing))
        moments = np.array([self.scores @ counts, self.scores**2 @ counts]) / present
        if self.fine is not None:
            mean, spread = self.fine
            off = column.mean - mean
            moments = np.array([off / spread, (column.variance + off**2) / spread**2])
        return np.concatenate((moments, shape, missing))

    def effects(self, size: Floats, error: Floats) -> dict[Aspect, float]:
        """Return the size of a change in each aspect's own unit, from shifts of the series.

        Shares that moved by less than `CLEAR` standard errors are taken as not moved.
        """
        bounded = slice(len(self.aspects) - self.shares.size, None)
        before = self.shares
        angle = 2.0 * np.arcsin(np.sqrt(before))
        after = np.sin(np.clip(angle + size[bounded], 0.0, np.pi) / 2.0) ** 2
        moved = np.where(np.abs(size[bounded]) > CLEAR * error[bounded], after - before, 0.0)
        cells = moved[:-1]
        gained, left = cells[cells > 0.0].sum(), -cells[cells < 0.0].sum()
        found = {
            Aspect.SHAPE: float(max(gained, left)),
            Aspect.MISSING: float(after[-1] - before[-1]),
        }
        if self.scores.size:
            found |= {Aspect.LOCATION: float(size[0]), Aspect.SPREAD: float(size[1])}
        return found

    def slow(self, wander: Floats, lead: int) -> dict[Aspect, float]:  # noqa: ARG002
        """Return the size of the reference's slow movements."""
        return self.effects(wander, np.zeros(wander.size))


def _angle(counts: Floats, rows: float) -> Floats:
    """Return ``2 asin(sqrt(share))`` (Anscombe 1948: 3/8 keeps rare counts' variance even)."""
    found: Floats = 2.0 * np.arcsin(np.sqrt((counts + 0.375) / (rows + 0.75)))
    return found


def _usual_angle(shares: Floats, rows: float) -> Floats:
    """Return the mean of `_angle` at these shares.

    Where few rows are expected the stabiliser shows, the more the smaller a window is: taken off,
    windows of different size agree.
    """
    usual: Floats = 2.0 * np.arcsin(np.sqrt(np.clip(shares, 0.0, 1.0)))
    means = shares * rows
    few = (means < _FEW_EXPECTED) & (shares < 0.1)
    if few.any():
        counts = np.arange(_MOST_COUNTED, dtype=np.float64)
        factorials = np.concatenate(([0.0], np.cumsum(np.log(counts[1:]))))
        mean = np.maximum(means[few], 1e-12)[:, None]
        chances = np.exp(counts * np.log(mean) - mean - factorials)
        usual[few] = chances @ _angle(np.minimum(counts, rows), rows)
    return usual


def focus(name: str, reference: ColumnProfile, rows: float) -> Lens:
    """Choose a column's cells and series from its reference.

    Parameters
    ----------
    name : str
    reference : ColumnProfile
        Of all reference windows.
    rows : float
        Of a typical window: cells that few of its rows would fall into are followed together.
    """
    if reference.kind is ColumnKind.NUMERIC:
        return _focus_numeric(name, reference, rows)
    binning = bin_reference(reference, categories=CATEGORIES)
    counts = rebin(reference, binning).astype(np.float64)
    expected = counts / max(1.0, counts.sum()) * rows
    common = expected[:-1] >= RARE_ROWS
    cell = np.append(np.where(common, np.cumsum(common) - 1, common.sum()), common.sum())
    names = [value for value, kept in zip(binning.categories, common, strict=True) if kept]
    return _lens(name, reference, binning, cell, np.empty(0), [*names, "other categories"])


def _focus_numeric(name: str, reference: ColumnProfile, rows: float) -> Lens:
    binning = bin_reference(reference, cells=FINE)
    counts = rebin(reference, binning).astype(np.float64)
    total = max(1.0, float(counts.sum()))
    upto = np.cumsum(counts)
    middle = np.clip((upto - counts / 2.0) / total, 0.5 / total, 1.0 - 0.5 / total)
    scores = np.array([normal_quantile(float(level)) for level in middle])
    scores -= float(scores @ counts) / total
    aim = max(2, min(COARSE, int(rows / RARE_ROWS)))
    # Neighbouring fine cells make a coarse one; a heavy one stays alone.
    cell = np.minimum((middle * aim).astype(np.intp), aim - 1)
    heavy = counts * aim >= total
    breaks = (np.diff(cell) > 0) | heavy[1:] | heavy[:-1]
    cell = np.concatenate(([0], np.cumsum(breaks)))
    names = [f"cell {index + 1}" for index in range(int(cell[-1]) + 1)]
    return _lens(name, reference, binning, cell, scores, names)


def _lens(
    name: str,
    reference: ColumnProfile,
    binning: Binning,
    cell: NDArray[np.intp],
    scores: Floats,
    names: list[str],
) -> Lens:
    counts = rebin(reference, binning).astype(np.float64)
    present = max(1.0, float(counts.sum()))
    cells = np.bincount(cell, weights=counts, minlength=len(names))
    missing = (reference.count - reference.present) / max(1, reference.count)
    shares = np.append(cells / present, missing)
    fine = None
    aspects = [Aspect.SHAPE] * len(names) + [Aspect.MISSING]
    unit = np.ones(len(aspects))
    if scores.size:
        square = scores**2
        mean = float(square @ counts) / present
        variance = float((square - mean) ** 2 @ counts) / present
        aspects = [Aspect.LOCATION, Aspect.SPREAD, *aspects]
        names = ["location", "spread", *names]
        fine = _fine(reference)
        own = [mean, variance] if fine is None else [1.0, 2.0]
        unit = np.concatenate((np.maximum(own, LEAST_UNIT), unit))
    return Lens(
        name,
        binning,
        cell.astype(np.intp),
        scores,
        tuple(aspects),
        (*names, "missing values"),
        shares,
        unit,
        fine,
    )


def _fine(reference: ColumnProfile) -> tuple[float, float] | None:
    spread = math.sqrt(reference.variance) if reference.present > 1 else 0.0
    if not 0.0 < spread < FINE_SPREAD * abs(reference.mean):
        return None
    return reference.mean, spread
