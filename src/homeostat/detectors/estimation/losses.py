"""Expected metrics of a regression: its losses, learnt from the inputs (direct loss estimation)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.estimation.features import fit_binning
from homeostat.detectors.estimation.guess import Guess, Rival, thin
from homeostat.stats.boosting import Bins, Effort, fit_trees
from homeostat.stats.encoding import Encoder, Table, fit_encoder
from homeostat.stats.gamma import fit_gamma

Floats: TypeAlias = "NDArray[np.float64]"
Codes: TypeAlias = "NDArray[np.int64]"

EFFORT = Effort(trees=40, depth=5, rate=0.12, shrinkage=20.0, share=0.5)
MOST_ROWS = 60_000
MOST_TERMS = 16
"""Features up to which all pairs are multiplied; beyond, each with itself and the prediction."""

NEEDS_SIGN = "the sign of an error does not follow from the inputs that the model has seen too"
NEEDS_LABELS = "how much labels vary is not known without them"
_FLAT = 1e-9
_PREDICTION = "\0prediction"

_LOSSES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "mae": lambda labels, predictions: np.abs(predictions - labels),
    "mse": lambda labels, predictions: (predictions - labels) ** 2,
    "mape": lambda labels, predictions: np.abs((predictions - labels) / labels),
}
_LOSS_OF = {"mae": "mae", "rmse": "mse", "mse": "mse", "mape": "mape"}
_REFUSED = {"bias": NEEDS_SIGN, "r2": NEEDS_LABELS}
REGRESSION: tuple[str, ...] = (*_LOSS_OF, *_REFUSED)
IDENTIFIABLE: tuple[str, ...] = tuple(_LOSS_OF)
"""Those of `REGRESSION` that can be told without labels."""


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """Rows of a regression, in order of time; ``labels`` is empty where there are none."""

    predictions: Floats
    labels: Floats
    features: Table


@dataclass(frozen=True, slots=True, eq=False)
class _Learnt:
    """One loss: of each reference row, as expected on other stretches, and of each current row."""

    realized: Floats
    held_out: Floats
    expected: Floats
    spread: float  # variance of a loss over its squared expectation
    doubt: float  # variance of the mean for want of reference rows


@dataclass(frozen=True, slots=True, eq=False)
class _Smoothed:
    """Log of one loss, in its units, by its smooth part: of reference and current rows.

    And what it is expected to be, held out, with trees.
    """

    own: Floats
    current: Floats
    held_out: Floats


class LossOutlook:
    """Expected losses by a gamma regression and, on top of it, trees."""

    method = "losses learnt from features and prediction, by a gamma regression and boosted trees"

    def __init__(
        self,
        reference: Predicted,
        current: Predicted,
        wanted: Sequence[str],
        folds: Codes,
        rng: np.random.Generator,
    ) -> None:
        self._wanted = tuple(wanted)
        before, after = _with_prediction(reference), _with_prediction(current)
        binning = fit_binning(before, np.abs(reference.predictions - reference.labels))
        self.codes = binning.codes(before), binning.codes(after)
        smooth = _fit_smooth(before)
        self._rows = reference.labels.size
        zero = bool((reference.labels == 0.0).any())
        names = dict.fromkeys(_LOSS_OF[each] for each in wanted if each in _LOSS_OF)
        kept = [name for name in names if not (name == "mape" and zero)]
        losses = [_LOSSES[name](reference.labels, reference.predictions) for name in kept]
        units = [_units(name, reference.predictions, current.predictions) for name in kept]
        starts = (
            _learn_smooth(
                np.array(losses), units, smooth, (before, after), (folds, self.codes[0], rng)
            )
            if kept
            else []
        )
        self._learnt: dict[str, _Learnt] = {
            name: _learn(loss, unit, start, self.codes, rng)
            for name, loss, unit, start in zip(kept, losses, units, starts, strict=True)
        }

    @property
    def reference_rows(self) -> int:
        """How many labelled rows there are."""
        return self._rows

    def realized(self, rows: Codes) -> Mapping[str, float]:
        """Return metrics of reference rows by their labels."""
        found = {}
        for name in self._wanted:
            learnt = self._learnt.get(_LOSS_OF.get(name, ""))
            if learnt is not None:
                mean = float(learnt.realized[rows].mean())
                found[name] = float(np.sqrt(mean)) if name == "rmse" else mean
        return found

    def unstable(self, most: float) -> str:
        """Return nothing: what a loss has drifted by is in its interval."""
        del most
        return ""

    def held_out(self, rows: Codes) -> Mapping[str, Guess]:
        """Return expected metrics of reference rows, learnt on other stretches."""
        return self._guesses(lambda learnt: learnt.held_out[rows])

    def expected(self, rows: Codes) -> Mapping[str, Guess]:
        """Return expected metrics of current rows."""
        return self._guesses(lambda learnt: learnt.expected[rows])

    def errors(self, weights: Floats) -> Mapping[str, tuple[float, float]]:
        """Return by how much held-out estimates err on weighted reference rows.

        Parameters
        ----------
        weights : ndarray of float64, shape (reference rows,)
            At least 0.

        Returns
        -------
        mapping of str to (float, float)
            Realized less estimated, and its standard error, by metric.
        """
        share = weights / weights.sum()
        found = {}
        for name in self._wanted:
            learnt = self._learnt.get(_LOSS_OF.get(name, ""))
            if learnt is None:
                continue
            each = learnt.realized - learnt.held_out
            error = float(share @ each)
            noise = float(np.sum((share * (each - error)) ** 2)) ** 0.5
            mean = float(share @ learnt.held_out)
            slope = 0.5 / max(mean, 1e-300) ** 0.5 if name == "rmse" else 1.0
            found[name] = error * slope, noise * slope
        return found

    def rivals(self, rows: Codes, *, held_out: bool = False) -> Mapping[str, Rival]:
        """Return nothing: there are no classes."""
        del rows, held_out
        return {}

    def cross_checks(self, rows: Codes) -> Mapping[str, Mapping[str, float]]:
        """Return nothing: no second method needs as little."""
        del rows
        return {}

    def _guesses(self, losses_of: Callable[[_Learnt], Floats]) -> dict[str, Guess]:
        found = {}
        for name in self._wanted:
            learnt = self._learnt.get(_LOSS_OF.get(name, ""))
            if learnt is None:
                zero = "a label of 0 has no relative error"
                known = zero if name == "mape" else "no such metric here"
                found[name] = Guess(float("nan"), 0.0, 0.0, _REFUSED.get(name, known))
                continue
            losses = losses_of(learnt)
            rows = max(1, losses.size)
            mean = float(losses.sum()) / rows
            sampling = learnt.spread * float(losses @ losses) / rows**2
            value = float(np.sqrt(mean)) if name == "rmse" else mean
            slope = 0.5 * value / max(mean, 1e-300) if name == "rmse" else 1.0
            found[name] = Guess(value, sampling * slope**2, learnt.doubt * slope**2)
        return found


@dataclass(frozen=True, slots=True, eq=False)
class _Units:
    """What losses of reference and current rows are multiplied by before they are learnt."""

    before: Floats
    after: Floats


def _units(name: str, before: Floats, after: Floats) -> _Units:
    """Return units in which a loss depends on inputs as little as may be.

    A relative error is an absolute one over the label, which is about the prediction, and that is
    known: in its units nothing has to be learnt about how relative errors grow where predictions
    are small. Predictions of both signs are no measure of labels; below the smallest that has been
    seen relative errors grow no more.
    """
    least = float(np.abs(before).min())
    if name != "mape" or not (before.min() > 0.0 or before.max() < 0.0):
        return _Units(np.ones(before.size), np.ones(after.size))
    return _Units(np.abs(before), np.maximum(np.abs(after), least))


def _learn_smooth(
    losses: Floats,
    units: Sequence[_Units],
    smooth: _Smooth,
    tables: tuple[Table, Table],
    held: tuple[Codes, Bins, np.random.Generator],
) -> list[_Smoothed]:
    """Fit the smooth part of all losses, shape (losses, rows).

    Also, with trees on top, with each stretch held out: by its folds, codes and a generator.
    ``own`` and ``current`` are in units, ``held_out`` is a loss again.
    """
    folds, codes, rng = held
    before, after = (smooth.rows(table) for table in tables)
    scale = np.stack([unit.before for unit in units])
    scaled = losses * scale
    held_out = np.zeros_like(losses)
    for fold in np.unique(folds):
        out = folds == fold
        some = thin(np.flatnonzero(~out), MOST_ROWS // 3)
        fits, weights = _fit_gamma(smooth, before[:, some], scaled[:, some])
        sides = (smooth.levels(before[:, rows], weights) for rows in (out, some))
        for place, beyond, own in zip(fits, *sides, strict=True):
            trees = fit_trees(codes[:, some], scaled[place, some], own, "gamma", rng, EFFORT)
            means = np.exp(trees.add_to(beyond, codes[:, out])) / scale[place, out]
            seen = np.exp(trees.add_to(own, codes[:, some])) / scale[place, some]
            held_out[place, out] = means * _level(losses[place, some], seen)
    some = thin(np.arange(losses.shape[1]), MOST_ROWS)
    fits, weights = _fit_gamma(smooth, before[:, some], scaled[:, some])
    found = [_Smoothed(np.zeros(0), np.zeros(after.shape[1]), each) for each in held_out]
    both = (smooth.levels(side, weights) for side in (before, after))
    for place, own, new in zip(fits, *both, strict=True):
        found[place] = _Smoothed(own, new, held_out[place])
    return found


def _fit_gamma(smooth: _Smooth, rows: Floats, losses: Floats) -> tuple[list[int], Floats]:
    """Return which losses are not all 0, and their weights."""
    fits = np.flatnonzero(losses.any(axis=1))
    if not fits.size:
        return [], np.zeros((smooth.used.size + smooth.first.size + 1, 0))
    return fits.tolist(), fit_gamma(smooth.terms(rows).T, losses[fits].T)


def _learn(
    losses: Floats,
    units: _Units,
    start: _Smoothed,
    codes: tuple[Bins, Bins],
    rng: np.random.Generator,
) -> _Learnt:
    """Fit trees to one loss on top of its smooth part."""
    if not losses.any():
        return _Learnt(losses, losses, start.current, 0.0, 0.0)
    some = thin(np.arange(losses.size), MOST_ROWS)
    scaled = (losses * units.before)[some]
    trees = fit_trees(codes[0][:, some], scaled, start.own[some], "gamma", rng, EFFORT)
    fitted = np.exp(trees.add_to(start.own, codes[0])) / units.before
    expected = np.exp(trees.add_to(start.current, codes[1])) / units.after
    level = _level(losses, fitted)
    left = losses - fitted * level
    spread = float(left @ left) / float(np.sum((fitted * level) ** 2))
    doubt = float(left @ left) / losses.size**2
    return _Learnt(losses, start.held_out, expected * level, spread, doubt)


def _level(losses: Floats, fitted: Floats) -> float:
    """Return by what expectations must be multiplied so that their mean is right."""
    whole = float(fitted.sum())
    return float(losses.sum()) / whole if whole > 0.0 else 1.0


@dataclass(frozen=True, slots=True, eq=False)
class _Smooth:
    """Normal scores, indicators and products of two of them."""

    encoder: Encoder
    used: Codes
    first: Codes
    second: Codes

    def rows(self, table: Table) -> Floats:
        """Return the simple terms, shape (simple terms, rows)."""
        return np.ascontiguousarray(self.encoder.transform(table).T[self.used])

    def terms(self, rows: Floats) -> Floats:
        """Return simple terms and products, shape (terms, rows)."""
        count = self.used.size
        found = np.empty((count + self.first.size, rows.shape[1]))
        found[:count] = rows
        for place, pair in enumerate(zip(self.first, self.second, strict=True), count):
            np.multiply(rows[pair[0]], rows[pair[1]], out=found[place])
        return found

    def levels(self, rows: Floats, weights: Floats) -> Floats:
        """Return the terms times weights, shape (columns, rows), without multiplying them out.

        Products are a quadratic form in the simple terms; the last weight is a constant.
        """
        count = self.used.size
        found: Floats = weights[:count].T @ rows + weights[-1][:, None]
        for place, column in enumerate(weights[count:-1].T):
            form = np.zeros((count, count))
            form[self.first, self.second] = column
            found[place] += ((form @ rows) * rows).sum(axis=0)
        return found


def _fit_smooth(table: Table) -> _Smooth:
    encoder = fit_encoder(table)
    rows = encoder.transform(table)
    used = np.flatnonzero(rows.std(axis=0) > _FLAT)
    owners = encoder.owners[used]
    numeric = owners < len(table.numbers)
    last = owners == len(table.numbers) - 1  # the prediction
    first, second = np.triu_indices(used.size)
    apart = (owners[first] != owners[second]) | ((first == second) & numeric[first])
    if used.size > MOST_TERMS:
        apart &= (first == second) | last[first] | last[second]
    return _Smooth(encoder, used, first[apart], second[apart])


def _with_prediction(side: Predicted) -> Table:
    numbers = {**side.features.numbers, _PREDICTION: side.predictions}
    return Table(numbers, side.features.categories)
