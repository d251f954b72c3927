"""Healthy traffic of six kinds, and the changes that a monitor should find in it.

A model with 30 numeric and 5 categorical columns is seen in daily windows of `rows` rows: 28 days
are the reference, 90 more are monitored. In no world does anything ever change that an owner would
want to be woken for, unless the world is given a `Shift`.

==========  ====================================================================================
iid         every row independent, N(0, 1); five levels of 20 % each
weekly      on each weekday the mean of every third column is elsewhere, by 0.2 sd as root mean
            square over the week, as are the log-shares of every third categorical column
batch       each day's mean of each column is off by N(0, 0.1 sd); each day's shares are
            Dirichlet, with the same 0.1 sd of a row's indicator at a share of 20 %
heavy       as iid, then every numeric column made heavy-tailed: Student's t with 2 degrees of
            freedom, or lognormal with sigma 2, in turn
rare        as iid, with levels as rare as 0.1 %
missing     as iid, and 1 % of each column is missing
==========  ====================================================================================

Sizes are in standard deviations of the normal variable behind a column: heavy tails are put on
last, by a monotone map, so that a shift is as visible in ``heavy`` as in ``iid`` to whoever looks
at ranks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import ndtr

Floats: TypeAlias = NDArray[np.float64]
Kind = Literal["iid", "weekly", "batch", "heavy", "rare", "missing"]
Change = Literal["mean", "slow", "share", "missing", "correlation"]

KINDS: tuple[Kind, ...] = get_args(Kind)
NUMERIC = tuple(f"x{i}" for i in range(30))
CATEGORICAL = tuple(f"c{i}" for i in range(5))
COLUMNS = (*NUMERIC, *CATEGORICAL)
LEVELS = ("a", "b", "c", "d", "e")
REFERENCE_DAYS = 28
MONITORED_DAYS = 90
DAYS = REFERENCE_DAYS + MONITORED_DAYS

RHYTHM = 0.2
BATCH = 0.1
MISSING = 0.01
SLOW_DAYS = 20
_EVEN = np.full((len(CATEGORICAL), len(LEVELS)), 1.0 / len(LEVELS))
_RARE = np.array(
    [
        [0.600, 0.300, 0.090, 0.009, 0.001],
        [0.900, 0.080, 0.016, 0.003, 0.001],
        [0.500, 0.300, 0.150, 0.045, 0.005],
        [0.990, 0.005, 0.003, 0.001, 0.001],
        [0.700, 0.200, 0.090, 0.008, 0.002],
    ]
)


@dataclass(frozen=True, slots=True)
class Shift:
    """A change from day ``start`` on (counted from the first day of the reference).

    ``mean``: the mean of ``x0`` moves by `size` sd at once; ``slow``: over 20 days, in equal steps.
    ``share``: the first level of ``c0`` gains `size`, the others lose in proportion.
    ``missing``: ``x0`` is missing in 1 % of the rows before, in `size` of them after.
    ``correlation``: of ``x0`` and ``x1``, from 0 to `size`; each alone stays as it was.
    """

    change: Change
    size: float
    start: int

    def at(self, day: int) -> float:
        """Return how much of the change there is on a day."""
        if day < self.start:
            return 0.0
        return self.size * (min(1.0, (day - self.start + 1) / SLOW_DAYS) if self.slow else 1.0)

    @property
    def slow(self) -> bool:
        """Whether it takes twenty days."""
        return self.change == "slow"

    @property
    def columns(self) -> frozenset[str]:
        """The columns to blame; any of them will do."""
        if self.change == "correlation":
            return frozenset({"x0", "x1"})
        return frozenset({"c0" if self.change == "share" else "x0"})


@dataclass(frozen=True, slots=True, eq=False)
class Day:
    """One daily window.

    Attributes
    ----------
    index : int
        Days since the first day of the reference, which is a Monday.
    numbers : ndarray of float64, shape (30, rows)
        NaN where missing.
    codes : ndarray of int8, shape (5, rows)
        Positions in `LEVELS`, -1 where missing.
    """

    index: int
    numbers: Floats
    codes: NDArray[np.int8]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.numbers.shape[1])

    def table(self) -> pa.Table:
        """Return the window as an Arrow table: float64 and dictionary-encoded strings."""
        arrays: dict[str, pa.Array[pa.Scalar[pa.DataType]]] = {}
        for name, values in zip(NUMERIC, self.numbers, strict=True):
            lost = np.isnan(values)
            arrays[name] = pa.array(values, mask=lost if lost.any() else None)
        levels = pa.array(LEVELS)
        for name, codes in zip(CATEGORICAL, self.codes, strict=True):
            lost = codes < 0
            indices = pa.array(codes, mask=lost if lost.any() else None)
            arrays[name] = pa.DictionaryArray.from_arrays(indices, levels)
        return pa.table(arrays)


@dataclass(frozen=True, slots=True, eq=False)
class Rhythm:
    """What a week looks like in one run of a world: shapes (30, 7) and (5, 5, 7)."""

    means: Floats = field(default_factory=lambda: np.zeros((len(NUMERIC), 7)))
    logits: Floats = field(default_factory=lambda: np.zeros((*_EVEN.shape, 7)))


@dataclass(frozen=True, slots=True)
class World:
    """One of the six kinds, with so many rows a day, and perhaps a shift."""

    kind: Kind
    rows: int
    shift: Shift | None = None

    def days(self, rng: np.random.Generator, days: int = DAYS) -> Iterator[Day]:
        """Yield the daily windows in order; the same generator state gives the same days."""
        rhythm = _rhythm(rng) if self.kind == "weekly" else Rhythm()
        for day in range(days):
            yield self._day(rng, day, rhythm)

    def _day(self, rng: np.random.Generator, day: int, rhythm: Rhythm) -> Day:
        numbers = rng.standard_normal((len(NUMERIC), self.rows))
        if self.shift is not None and self.shift.change == "correlation":
            rho = self.shift.at(day)
            numbers[1] = rho * numbers[0] + np.sqrt(1.0 - rho**2) * numbers[1]
        numbers += self._means(rng, day, rhythm)[:, None]
        if self.kind == "heavy":
            _make_heavy(numbers)
        shares = self._shares(rng, day, rhythm)
        codes = _draw_codes(rng, shares, self.rows)
        self._lose(rng, day, numbers, codes)
        return Day(day, numbers, codes)

    def _means(self, rng: np.random.Generator, day: int, rhythm: Rhythm) -> Floats:
        means = rhythm.means[:, day % 7].copy()
        if self.kind == "batch":
            means += rng.normal(0.0, BATCH, len(NUMERIC))
        if self.shift is not None and self.shift.change in {"mean", "slow"}:
            means[0] += self.shift.at(day)
        return means

    def _shares(self, rng: np.random.Generator, day: int, rhythm: Rhythm) -> Floats:
        base = (_RARE if self.kind == "rare" else _EVEN).copy()
        if self.shift is not None and self.shift.change == "share":
            first = base[0, 0] + self.shift.at(day)
            base[0, 1:] *= (1.0 - first) / (1.0 - base[0, 0])
            base[0, 0] = first
        base *= np.exp(rhythm.logits[..., day % 7])
        base /= base.sum(axis=1, keepdims=True)
        if self.kind == "batch":
            # The variance of a Dirichlet share p is p (1 - p) / (1 + concentration).
            concentration = 1.0 / BATCH**2 - 1.0
            return np.stack([rng.dirichlet(concentration * row) for row in base])
        return base

    def _lose(
        self, rng: np.random.Generator, day: int, numbers: Floats, codes: NDArray[np.int8]
    ) -> None:
        if self.kind == "missing":
            numbers[rng.random(numbers.shape) < MISSING] = np.nan
            codes[rng.random(codes.shape) < MISSING] = -1
        if self.shift is not None and self.shift.change == "missing":
            rate = self.shift.at(day) or MISSING
            already = MISSING if self.kind == "missing" else 0.0
            numbers[0, rng.random(self.rows) < (rate - already) / (1.0 - already)] = np.nan


def _rhythm(rng: np.random.Generator) -> Rhythm:
    rhythm = Rhythm()
    rhythm.means[::3] = _week(rng, rhythm.means[::3].shape)
    rhythm.logits[::3] = _week(rng, rhythm.logits[::3].shape)
    return rhythm


def _week(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Return random weeks, each with mean zero and root mean square `RHYTHM`."""
    week = rng.standard_normal(shape)
    week -= week.mean(axis=-1, keepdims=True)
    spread = np.sqrt((week**2).mean(axis=-1, keepdims=True))
    return np.asarray(week * (RHYTHM / spread))


def _make_heavy(numbers: Floats) -> None:
    """Replace normal values by those of heavy-tailed laws at the same rank, in place."""
    numbers[1::2] = np.exp(2.0 * numbers[1::2])
    tail = np.maximum(ndtr(-np.abs(numbers[::2])), np.finfo(np.float64).tiny)
    quantile = (1.0 - 2.0 * tail) / np.sqrt(2.0 * tail * (1.0 - tail))
    numbers[::2] = np.copysign(quantile, numbers[::2])


def _draw_codes(rng: np.random.Generator, shares: Floats, rows: int) -> NDArray[np.int8]:
    uniform = rng.random((len(CATEGORICAL), rows))
    limits = np.cumsum(shares, axis=1)[:, :-1]
    codes = np.zeros(uniform.shape, dtype=np.int8)
    for limit in limits.T:
        codes += uniform >= limit[:, None]
    return codes
