"""Expected metrics of a regression: its losses, learnt from the inputs (direct loss estimation)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.estimation.features import fit_binning
from homeostat.detectors.estimation.guess import Guess, thin
from homeostat.stats.boosting import Effort, fit_trees
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
_LOSS_OF = {"mae": "mae", "mse": "mse", "rmse": "mse", "mape": "mape"}
_REFUSED = {"bias": NEEDS_SIGN, "r2": NEEDS_LABELS}
REGRESSION: tuple[str, ...] = ("mae", "rmse", "mse", "mape", "bias", "r2")


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
        terms = smooth.transform(before), smooth.transform(after)
        self._rows = reference.labels.size
        self._learnt: dict[str, _Learnt] = {}
        for name in dict.fromkeys(_LOSS_OF[each] for each in wanted if each in _LOSS_OF):
            if name == "mape" and bool((reference.labels == 0.0).any()):
                continue
            losses = _LOSSES[name](reference.labels, reference.predictions)
            self._learnt[name] = _learn(losses, terms, self.codes, folds, rng)

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


def _learn(
    losses: Floats,
    terms: tuple[Floats, Floats],
    codes: tuple[Codes, Codes],
    folds: Codes,
    rng: np.random.Generator,
) -> _Learnt:
    """Fit one loss, and on stretches held out in turn the smooth part of it."""
    if not losses.any():
        nothing = np.zeros(terms[1].shape[0])
        return _Learnt(losses, losses, nothing, 0.0, 0.0)
    held_out = np.zeros(losses.size)
    for fold in np.unique(folds):
        out = folds == fold
        some = thin(np.flatnonzero(~out), MOST_ROWS // 3)
        fits = bool(losses[some].any())
        weights = fit_gamma(terms[0][some], losses[some]) if fits else None
        held_out[out] = _means(terms[0][out], weights)
        held_out[out] *= _level(losses[some], _means(terms[0][some], weights))
    some = thin(np.arange(losses.size), MOST_ROWS)
    weights = fit_gamma(terms[0], losses)
    start = [side @ weights[:-1] + weights[-1] for side in terms]
    trees = fit_trees(codes[0][:, some], losses[some], start[0][some], "gamma", rng, EFFORT)
    fitted, expected = (np.exp(trees.add_to(s, c)) for s, c in zip(start, codes, strict=True))
    level = _level(losses, fitted)
    left = losses - fitted * level
    spread = float(left @ left) / float(np.sum((fitted * level) ** 2))
    return _Learnt(losses, held_out, expected * level, spread, float(left @ left) / losses.size**2)


def _means(terms: Floats, weights: Floats | None) -> Floats:
    if weights is None:
        return np.zeros(terms.shape[0])
    means: Floats = np.exp(terms @ weights[:-1] + weights[-1])
    return means


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

    def transform(self, table: Table) -> Floats:
        """Return terms, shape (rows, terms)."""
        rows = self.encoder.transform(table)[:, self.used]
        return np.hstack((rows, rows[:, self.first] * rows[:, self.second]))


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
