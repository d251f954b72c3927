"""Expected metrics of a model that predicts classes (confidence-based estimation)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.estimation.chances import fit_chances
from homeostat.detectors.estimation.features import fit_binning
from homeostat.detectors.estimation.guess import Guess, Rival, folds_of
from homeostat.detectors.estimation.rival import LabelShift, Shifted
from homeostat.stats.encoding import Table
from homeostat.stats.expected import ON_SCORES, Expected, binary_metrics, multiclass_metrics
from homeostat.stats.label_shift import by_priors, with_priors
from homeostat.stats.special import chi2_sf

Floats: TypeAlias = "NDArray[np.float64]"
Codes: TypeAlias = "NDArray[np.int64]"

FEWEST = 10.0
"""Expected rows of a class under which metrics of that class are not told."""

STRETCHES = 10
SURE = 1e-3
CELLS = 30
CELL_ROWS = 200
_BY_TRUE = frozenset({"recall", "f1", "mcc", "auc", "average_precision"})
_BY_FALSE = frozenset({"specificity", "mcc", "auc"})
_BY_FLAGGED = frozenset({"precision", "mcc"})


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Rows of a classifier, in order of time.

    ``scores`` has shape (n, 1) for a binary model, else (n, classes); ``ranked`` tells whether they
    are the model's own, and not just its predictions. ``labels`` is empty where there are none.
    """

    scores: Floats
    predictions: Codes
    labels: Codes
    features: Table
    ranked: bool


class ClassOutlook:
    """Expected metrics by calibrated scores, and by features where they say more."""

    def __init__(
        self,
        reference: Scored,
        current: Scored,
        wanted: Sequence[str],
        folds: Codes,
        rng: np.random.Generator,
    ) -> None:
        self._reference, self._current, self._wanted = reference, current, tuple(wanted)
        right = (reference.predictions == reference.labels).astype(np.float64)
        before, after = _with_scores(reference), _with_scores(current)
        binning = fit_binning(before, right)
        self.codes = binning.codes(before), binning.codes(after)
        self._model = fit_chances(reference.scores, reference.labels, self.codes[0], folds, rng)
        self._by_score = self._model.from_scores(current.scores)
        self._now = self._model.with_features(self._by_score, self.codes[1])
        classes = max(2, reference.scores.shape[1])
        self._label_shift = LabelShift(reference.labels, classes, self.codes[0])
        self._whole = self._label_shift.explain(_of_all(self._now))
        self._uncertainty = _fit_uncertainty(reference.scores, self._model.held_out)
        confidence = _of_prediction(self._model.by_score, reference.predictions)
        self._mean_confidence = float(confidence.mean())
        self._accuracy = float(right.mean())
        self._cut = float(np.quantile(confidence, 1.0 - self._accuracy))

    @property
    def method(self) -> str:
        """How estimates are made, in a sentence."""
        kinds = {calibration.kind for calibration in self._model.calibrations}
        named = " and ".join(_KINDS[kind] for kind in sorted(kinds))
        if self._model.trees:
            return f"{named}, corrected by what features say beyond them"
        return named

    @property
    def reference_rows(self) -> int:
        """How many labelled rows there are."""
        return self._reference.labels.size

    def realized(self, rows: Codes) -> Mapping[str, float]:
        """Return metrics of reference rows by their labels."""
        side = self._reference
        if side.scores.shape[1] == 1:
            truth = side.labels[rows, None].astype(np.float64)
        else:
            classes = np.arange(side.scores.shape[1])
            truth = (side.labels[rows, None] == classes).astype(np.float64)
        return {name: each.value for name, each in self._metrics(side, truth, rows).items()}

    def unstable(self, most: float) -> str:
        """Say that classes are not as frequent as scores claim on held-out stretches.

        Their frequencies must be off by more than chance (at a level of 0.001) and by more than
        `most` in root mean square beyond it.
        """
        held_out, labels = self._model.held_out, self._reference.labels
        place = folds_of(labels.size, STRETCHES)
        rows = np.bincount(place)
        for k in range(held_out.shape[1]):
            hits = labels == (1 if held_out.shape[1] == 1 else k)
            gaps = np.bincount(place, hits - held_out[:, k]) / rows
            doubt = np.bincount(place, held_out[:, k] * (1.0 - held_out[:, k])) / rows**2
            chance = chi2_sf(STRETCHES, float(np.sum(gaps**2 / np.maximum(doubt, 1e-12))))
            beyond = float(np.mean(gaps**2 - doubt))
            if chance < SURE and beyond > most**2:
                return (
                    "the relation of labels and inputs changes within the reference: on stretches "
                    f"of it that nothing was learnt on, classes are {beyond**0.5:.0%} more or less "
                    "frequent than the scores say, beyond chance"
                )
        return ""

    def held_out(self, rows: Codes) -> Mapping[str, Guess]:
        """Return expected metrics of reference rows, learnt on other stretches."""
        return self._guesses(self._reference, self._model.held_out[rows], rows)

    def expected(self, rows: Codes) -> Mapping[str, Guess]:
        """Return expected metrics of current rows."""
        return self._guesses(self._current, self._now[rows], rows)

    def rivals(self, rows: Codes, *, held_out: bool = False) -> Mapping[str, Rival]:
        """Return metrics by label shift: of current rows, if that explains them as well.

        Or of reference rows, learnt on other stretches, if they have moved.
        """
        side, known = (
            (self._reference, self._model.held_out) if held_out else (self._current, self._now)
        )
        chances = known[rows]
        whole = None if held_out else self._whole
        shifted = self._label_shift.explain(_of_all(chances), whole)
        if not shifted.moved:
            return {}
        if not held_out and not self._label_shift.fits(shifted, self.codes[1][:, rows]):
            return {}
        return self._rivals(side, chances, shifted, rows)

    def cross_checks(self, rows: Codes) -> Mapping[str, Mapping[str, float]]:
        """Return what scores alone say, and two methods for accuracy (Garg et al. 2022).

        The share of rows more confident than a cut that the reference's accuracy sets, and the
        accuracy of the reference less what confidence has lost since.
        """
        chances = self._by_score[rows]
        plain = self._metrics(self._current, chances, rows) if self._model.trees else {}
        said = {name: {"score_only": each.value} for name, each in plain.items()}
        confidence = _of_prediction(chances, self._current.predictions[rows])
        count = max(1, rows.size)
        said.setdefault("accuracy", {}).update(
            thresholded_confidence=float(np.sum(confidence >= self._cut)) / count,
            confidence_difference=self._accuracy
            - (self._mean_confidence - float(confidence.sum()) / count),
        )
        return said

    def _metrics(self, side: Scored, chances: Floats, rows: Codes) -> dict[str, Expected]:
        scores, predicted = side.scores[rows], side.predictions[rows]
        if scores.shape[1] == 1:
            flat = scores[:, 0] if side.ranked else None
            return binary_metrics(chances[:, 0], predicted.astype(float), flat, self._wanted)
        return multiclass_metrics(chances, predicted, scores if side.ranked else None, self._wanted)

    def _guesses(self, side: Scored, chances: Floats, rows: Codes) -> dict[str, Guess]:
        found = {}
        metrics = self._metrics(side, chances, rows)
        cells = self._uncertainty.cells(side.scores[rows])
        flat = chances[:, 0] if chances.shape[1] == 1 else chances
        for name in self._wanted:
            if name not in metrics:
                known = name in ON_SCORES
                why = "the model gives classes but no scores" if known else "no such metric here"
                found[name] = Guess(float("nan"), 0.0, 0.0, why)
                continue
            each = metrics[name]
            want = _want(name, chances, side.predictions[rows])
            learning = self._uncertainty.variance(each.slopes.reshape(chances.shape), cells)
            found[name] = Guess(each.value, each.variance(flat), learning, want)
        return found

    def _rivals(
        self, side: Scored, before: Floats, shifted: Shifted, rows: Codes
    ) -> dict[str, Rival]:
        one = side.scores.shape[1] == 1
        shares = shifted.priors.shares
        whole = with_priors(_of_all(before), self._label_shift.before, shares)
        chances = whole[:, 1:] if one else whole
        cells = self._uncertainty.cells(side.scores[rows])
        found = {}
        for name, each in self._metrics(side, chances, rows).items():
            slopes = each.slopes.reshape(chances.shape)
            learning = self._uncertainty.variance(slopes, cells)
            full = np.hstack((np.zeros_like(slopes), slopes)) if one else slopes
            way = by_priors(full, whole, shares)
            learning += float(way @ shifted.priors.covariance @ way)
            sampling = each.variance(chances[:, 0] if one else chances)
            found[name] = Rival(Guess(each.value, sampling, learning), shifted.sure)
        return found


@dataclass(frozen=True, slots=True, eq=False)
class _Uncertainty:
    """How well chances are known: in cells of the score, by the reference rows in each."""

    edges: tuple[Floats, ...]
    variances: tuple[Floats, ...]

    def cells(self, scores: Floats) -> list[Codes]:
        """Return the cell of each row, for each column of scores."""
        return [
            np.searchsorted(edges, scores[:, k], side="right").astype(np.int64)
            for k, edges in enumerate(self.edges)
        ]

    def variance(self, slopes: Floats, cells: list[Codes]) -> float:
        """Return the variance that errors of the chances, shared by a cell, give a metric."""
        total = 0.0
        for k, variances in enumerate(self.variances):
            sums = np.bincount(cells[k], slopes[:, k], minlength=variances.size)
            total += float(sums**2 @ variances)
        return total


def _fit_uncertainty(scores: Floats, chances: Floats) -> _Uncertainty:
    count = int(np.clip(scores.shape[0] // CELL_ROWS, 1, CELLS))
    edges, variances = [], []
    for k in range(scores.shape[1]):
        ordered = np.sort(scores[:, k])
        cuts = np.unique(ordered[np.arange(1, count) * ordered.size // count])
        cell = np.searchsorted(cuts, scores[:, k], side="right")
        rows = np.maximum(np.bincount(cell, minlength=cuts.size + 1), 1)
        doubt = np.bincount(cell, chances[:, k] * (1.0 - chances[:, k]), minlength=cuts.size + 1)
        edges.append(cuts)
        # As if one more row of each class had been seen: no cell is certain.
        variances.append((doubt + 0.25) / rows / rows)
    return _Uncertainty(tuple(edges), tuple(variances))


def _want(name: str, chances: Floats, predicted: Codes) -> str:
    """Say which rows are too few for a metric, or nothing."""
    if chances.shape[1] == 1:
        true = np.array([float(chances.sum())])
        flagged = np.array([float(predicted.sum())])
    else:
        true = chances.sum(axis=0)
        flagged = np.bincount(predicted, minlength=chances.shape[1]).astype(np.float64)
    false = chances.shape[0] - true
    for needed, rows, what in (
        (_BY_TRUE, true, "rows of a class are expected"),
        (_BY_FALSE, false, "rows outside a class are expected"),
        (_BY_FLAGGED, flagged, "rows are predicted to be of a class"),
    ):
        if name in needed and float(rows.min()) < FEWEST:
            return f"only {float(rows.min()):.1f} {what}; {FEWEST:.0f} are needed"
    return ""


def _with_scores(side: Scored) -> Table:
    numbers = dict(side.features.numbers)
    for k in range(side.scores.shape[1]):
        numbers[f"\0score {k}"] = side.scores[:, k]
    return Table(numbers, side.features.categories)


def _of_all(chances: Floats) -> Floats:
    """Return the chance of each class, also where there are two."""
    return np.hstack((1.0 - chances, chances)) if chances.shape[1] == 1 else chances


def _of_prediction(chances: Floats, predictions: Codes) -> Floats:
    if chances.shape[1] == 1:
        return np.where(predictions == 1, chances[:, 0], 1.0 - chances[:, 0])
    return chances[np.arange(predictions.size), predictions]


_KINDS = {
    "none": "scores as they are, which the reference shows to be calibrated",
    "beta": "scores calibrated by a beta map",
    "isotonic": "scores calibrated by isotonic regression",
}
