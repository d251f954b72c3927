"""Another unit in some rows, or another mix of rows: which of the two stories the rows tell.

By itself a column with a share of its rows in a near unit looks like one whose mix of rows has
changed. What goes with it tells: where inputs have moved, other columns and labels follow the
values that are there; where the unit has, they follow the values that were meant.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.faults.masses import FaultyRows
from homeostat.diagnosis.basis import deal
from homeostat.diagnosis.sides import SCORE, Sides
from homeostat.domain.explanation import DataFault
from homeostat.domain.model import Task
from homeostat.stats.encoding import Encoder, Table, fit_encoder
from homeostat.stats.overlap import apply_ridge, fit_ridge

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

_HALVES = 2
_BINS = 60
_PENALTY = 5.0
_CAREFUL = 50.0
_SURE = 3.0  # standard errors by which labels must add to what the model said
_CLIP = 4.0  # log-likelihood ratio that one row may bring
_RARE = 0.003  # least chance of a class
_WEAK = 0.01  # share of a column's variance from which other columns tell of it
_RATIO = 30.0  # times as often as in the reference that a mix of rows may hold a value


@dataclass(frozen=True, slots=True)
class Weighed:
    """How well two stories fit what goes with a column.

    Attributes
    ----------
    favour : float
        Log-likelihood ratio of "another unit" against "another mix of rows".
    apart : float
        Standard errors between what the two make one expect: near 0 nobody can tell.
    misfit : float
        Standard errors between what is seen and what another unit makes one expect.
    """

    favour: float
    apart: float
    misfit: float


def weigh_rivals(sides: Sides, suspect: FaultyRows, rng: np.random.Generator) -> Weighed:
    """Weigh "a share of the rows is in another unit" against "another mix of rows".

    Both stories are told of reference rows: a share of them put in the other unit, and drawn so
    that the column is distributed alike. The mean log-likelihood ratio of what goes with the
    column - other columns, and labels if known - is compared with what it is under either.

    Parameters
    ----------
    sides : Sides
    suspect : FaultyRows
        Of a column of numbers.
    rng : Generator
    """
    fault = suspect.fault
    name = fault.columns[0]
    x = sides.tables[0].numbers[name], sides.tables[1].numbers[name]
    there = [np.flatnonzero(np.isfinite(side)) for side in x]
    before, now = x[0][there[0]], x[1][there[1]]
    odds = _shares(before, fault)
    others = _others(sides, name)
    rows = others[0][there[0]], others[1][there[1]]
    labels = _said(sides, there)
    halves = deal(before.size, rng) % _HALVES
    hit = rng.random(before.size) < fault.share
    mixed = np.clip(odds.rise(before), 0.0, _RATIO)
    seen = np.zeros(now.size)
    unit, mix = np.zeros(before.size), np.zeros(before.size)
    for half in range(_HALVES):
        learn, held = halves != half, halves == half
        model = _fit(before[learn], rows[0][learn], _part(labels[0], learn), sides.task)
        ratio = _Ratio(model, odds, fault)
        broken = np.where(hit, fault.factor * before + fault.offset, before)[held]
        truth = _part(labels[0], held)
        unit[held] = ratio(broken, rows[0][held], truth)
        mix[held] = ratio(before[held], rows[0][held], truth)
        seen += ratio(now, rows[1], labels[1]) / _HALVES
    return _compare(seen, unit, mix, mixed)


def _compare(seen: Floats, unit: Floats, mix: Floats, weights: Floats) -> Weighed:
    share = weights / weights.sum()
    means = float(seen.mean()), float(unit.mean()), float(share @ mix)
    errors = (
        seen.var() / seen.size,
        unit.var() / unit.size,
        float(share**2 @ (mix - means[2]) ** 2),
    )
    to_unit = float(np.sqrt(errors[0] + errors[1])) or 1.0
    to_mix = float(np.sqrt(errors[0] + errors[2])) or 1.0
    z = (means[0] - means[1]) / to_unit, (means[0] - means[2]) / to_mix
    favour = (z[1] ** 2 - z[0] ** 2) / 2.0
    return Weighed(favour, (means[1] - means[2]) / max(to_unit, to_mix), z[0])


@dataclass(frozen=True, slots=True, eq=False)
class _Shares:
    """Densities of a column and of the same in another unit, in bins."""

    edges: Floats
    usual: Floats
    changed: Floats
    share: float

    def touched(self, values: Floats) -> Floats:
        """Return how likely each value is in the other unit."""
        place = np.searchsorted(self.edges, values)
        ours, theirs = (1.0 - self.share) * self.usual[place], self.share * self.changed[place]
        found: Floats = theirs / (ours + theirs)
        return found

    def rise(self, values: Floats) -> Floats:
        """Return how many times as often each value is there."""
        place = np.searchsorted(self.edges, values)
        found: Floats = 1.0 - self.share + self.share * (self.changed / self.usual)[place]
        return found


def _shares(before: Floats, fault: DataFault) -> _Shares:
    other = fault.factor * before + fault.offset
    pooled = np.concatenate((before, other))
    edges = np.unique(np.quantile(pooled, np.linspace(0.0, 1.0, _BINS + 1)[1:-1]))
    counts = [
        np.bincount(np.searchsorted(edges, side), minlength=edges.size + 1) + 0.5
        for side in (before, other)
    ]
    return _Shares(edges, counts[0] / counts[0].sum(), counts[1] / counts[1].sum(), fault.share)


def _others(sides: Sides, name: str) -> tuple[Floats, Floats]:
    """Return the features of all columns but this one, and the score, which rests on it."""
    left_out = [p for p, n in enumerate(sides.names) if n == name or n.startswith(SCORE)]
    kept = ~np.isin(sides.owners, left_out)
    return sides.before.rows[:, kept], sides.now.rows[:, kept]


@dataclass(frozen=True, slots=True, eq=False)
class _Labels:
    """Labels as targets, and what the model said of the same rows, on a scale that adds up."""

    targets: Floats
    said: Floats | None


def _part(labels: _Labels | None, rows: NDArray[np.bool_]) -> _Labels | None:
    if labels is None:
        return None
    return _Labels(labels.targets[rows], None if labels.said is None else labels.said[rows])


def _said(
    sides: Sides, there: list[NDArray[np.intp]]
) -> tuple[_Labels, _Labels] | tuple[None, None]:
    if not all(bool(side.known.all()) for side in (sides.before, sides.now)):
        return None, None
    number = sides.task is Task.REGRESSION
    found = []
    for side, table, at in zip((sides.before, sides.now), sides.tables, there, strict=True):
        targets = side.labels[at][:, None] if number else side.targets[at]
        scores = [values[at] for name, values in table.numbers.items() if name.startswith(SCORE)]
        said = np.column_stack(scores) if scores else np.empty((at.size, 0))
        usable = said.shape == targets.shape and bool(np.isfinite(said).all())
        chances = np.clip(said, _RARE, 1.0 - _RARE)
        odds = said if number else np.log(chances / (1.0 - chances))
        found.append(_Labels(targets, odds if usable else None))
    return found[0], found[1]


@dataclass(frozen=True, slots=True, eq=False)
class _Model:
    """What goes with a column, learnt from sound rows."""

    scale: Encoder
    meant: Floats
    left: float
    said: Floats | None
    more: Floats | None
    spread: float
    task: Task

    def scores(self, values: Floats) -> Floats:
        """Return normal scores of values of the column."""
        found: Floats = self.scale.transform(_table(values))[:, 0]
        return found

    def follows(self, scores: Floats, rows: Floats) -> Floats:
        """Return the log-density of a value given other columns, beside the mere density."""
        if self.left >= 1.0:
            return np.zeros(scores.size)
        middle = apply_ridge(self.meant, _wide(rows))[:, 0]
        gap = (scores - middle) ** 2 / self.left
        found: Floats = 0.5 * (scores**2 - gap - np.log(self.left))
        return found

    def labels(self, scores: Floats, rows: Floats, labels: _Labels) -> Floats:
        """Return the log-likelihood of labels."""
        assert self.more is not None
        functions = _functions(scores, rows)
        expected = _apply(self.more, functions)
        if self.said is not None:
            said = apply_ridge(self.said, functions)
            expected = expected + (said if self.task is Task.REGRESSION else _expit(said))
        if self.task is Task.REGRESSION:
            found: Floats = -0.5 * ((labels.targets - expected) / self.spread)[:, 0] ** 2
            return found
        chances = np.clip(expected, _RARE, 1.0 - _RARE)
        first = np.clip(1.0 - chances.sum(axis=1, keepdims=True), _RARE, 1.0)
        chances = np.hstack((first, chances))
        chances /= chances.sum(axis=1, keepdims=True)
        which = np.where(labels.targets.any(axis=1), labels.targets.argmax(axis=1) + 1, 0)
        likely: Floats = np.log(chances[np.arange(which.size), which])
        return likely


def _table(values: Floats) -> Table:
    return Table({"x": values})


def _expit(odds: Floats) -> Floats:
    found: Floats = 1.0 / (1.0 + np.exp(-odds))
    return found


def _wide(rows: Floats) -> Floats:
    return np.hstack((rows, rows**2))


def _functions(scores: Floats, rows: Floats) -> Floats:
    x = scores[:, None]
    return np.hstack((x, x**2, x**3, np.maximum(x, 0.0), rows, rows**2, x * rows))


def _fit(before: Floats, rows: Floats, labels: _Labels | None, task: Task) -> _Model:
    scale = fit_encoder(_table(before))
    scores = scale.transform(_table(before))[:, 0]
    wide = _wide(rows)
    meant = _ridge(wide, scores[:, None], _PENALTY)
    gaps, was = _held_out(wide, scores[:, None], _PENALTY)
    left = float((gaps**2).mean() / (was**2).mean())
    left = left if left < 1.0 - _WEAK else 1.0
    if labels is None:
        return _Model(scale, meant, left, None, None, 1.0, task)
    functions, rest, said = _functions(scores, rows), labels.targets, None
    if labels.said is not None:
        said = _ridge(functions, labels.said, _PENALTY)
        guess = apply_ridge(said, functions)
        rest = rest - (guess if task is Task.REGRESSION else _expit(guess))
    # Labels are few: what the model said is believed, but where it is plainly wrong.
    gaps, was = _held_out(functions, rest, _CAREFUL)
    gain = (was**2 - gaps**2).sum(axis=1)
    sure = float(gain.mean()) > _SURE * float(gain.std()) / np.sqrt(gain.size)
    more = _ridge(functions if sure else functions[:, :0], rest, _CAREFUL)
    spread = float((rest - _apply(more, functions)).std()) or 1.0
    return _Model(scale, meant, left, said, more, spread, task)


def _ridge(rows: Floats, targets: Floats, penalty: float) -> Floats:
    return fit_ridge(rows, targets, np.ones(len(rows)), penalty)


def _apply(coefficients: Floats, rows: Floats) -> Floats:
    return apply_ridge(coefficients, rows[:, : len(coefficients) - 1])


def _held_out(rows: Floats, targets: Floats, penalty: float) -> tuple[Floats, Floats]:
    """Return what is left of the targets of every other row, and what there was of them."""
    held = np.arange(len(rows)) % 2 == 1
    learnt = _ridge(rows[~held], targets[~held], penalty)
    usual = targets[~held].mean(axis=0)
    return targets[held] - apply_ridge(learnt, rows[held]), targets[held] - usual


@dataclass(frozen=True, slots=True, eq=False)
class _Ratio:
    """Log-likelihood ratio, row by row, of what goes with the values of a column."""

    model: _Model
    odds: _Shares
    fault: DataFault

    def __call__(self, values: Floats, rows: Floats, labels: _Labels | None) -> Floats:
        """Return the ratios, cut so that no row outweighs all others."""
        meant = (values - self.fault.offset) / self.fault.factor
        touched = self.odds.touched(values)
        fit = []
        for column in (values, meant):
            scores = self.model.scores(column)
            likely = self.model.follows(scores, rows)
            fit.append(
                likely if labels is None else likely + self.model.labels(scores, rows, labels)
            )
        gap = np.clip(fit[1] - fit[0], -20.0, 20.0)
        found: Floats = np.clip(np.log(1.0 - touched + touched * np.exp(gap)), -_CLIP, _CLIP)
        return found
