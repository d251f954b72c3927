"""``hs.counterfactual``: how another version would have done on the rows that were served."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from homeostat.detectors.performance.cohorts import mature
from homeostat.detectors.performance.paired import PairedDifference, paired_difference
from homeostat.domain.errors import DataError
from homeostat.domain.losses import row_losses
from homeostat.domain.model import Task
from homeostat.domain.predictions import NEVER, Floats, Predictions, PredictionSpec
from homeostat.domain.text import lines
from homeostat.entrypoints.frames import Data
from homeostat.entrypoints.predictions import read_predictions
from homeostat.entrypoints.windows import check_as_of

DAY = 86_400_000_000
ENOUGH_ROWS = 30
ENOUGH_DAYS = 7
"""Days from which the interval allows for effects that rows of a day have in common."""


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """Another version beside the one that served, on the same rows.

    Attributes
    ----------
    loss : PairedDifference
        Other minus served, of the squared error of probabilities, or of the absolute error of
        numbers: below 0 the other version is better.
    accuracy : PairedDifference or None
        Other minus served: above 0 the other is better. None for numbers.
    verdict : str
        ``"better"``, ``"worse"`` or ``"not told apart"``: the other version, by its loss.
    problems : tuple of str
    """

    loss: PairedDifference
    accuracy: PairedDifference | None
    verdict: str
    problems: tuple[str, ...] = ()

    def __str__(self) -> str:
        said = [f"the other version: {self.verdict}"]
        for name, one in (("loss", self.loss), ("accuracy", self.accuracy)):
            if one is not None:
                said.append(f"{name}: {_told(one)}")
        return lines([*said, *self.problems])

    def to_dict(self) -> dict[str, object]:
        """Return it as JSON has it: a figure that does not exist is None."""
        return {
            "verdict": self.verdict,
            "loss": _plain(self.loss),
            "accuracy": None if self.accuracy is None else _plain(self.accuracy),
            "problems": list(self.problems),
        }


def counterfactual(
    data: Data,
    spec: PredictionSpec,
    score: Callable[[pa.Table], ArrayLike],
    *,
    as_of: datetime | None = None,
) -> Counterfactual:
    """Score labelled rows with another version, and compare it with what was served.

    Rows that the other version was trained on flatter it: give those from after its training.
    Labels that an answer has changed (a loan that was refused) say nothing of another answer.

    Parameters
    ----------
    data : dataframe, mapping of columns or path
    spec : PredictionSpec
        With a maturity, only predictions of that age count. With a timestamp and rows of 7 days,
        the interval allows for effects that rows of a day have in common.
    score : callable
        Takes the features, an Arrow table of n rows; returns what the logged scores are: shape
        (n,), multi-class (n, k), in the order of the classes.
    as_of : datetime, optional

    Raises
    ------
    ConfigError, DataError, NotFoundError
        If an option is wrong, the data cannot be read, or `score` fails or returns something else
        than n scores.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.random(2000)
    >>> rows = {"x": x, "score": np.full(2000, 0.5), "label": rng.random(2000) < x}
    >>> found = counterfactual(rows, PredictionSpec(), lambda table: table["x"].to_numpy())
    >>> found.verdict, round(found.loss.value, 2)
    ('better', -0.09)
    """
    check_as_of(as_of, spec)
    whole = read_predictions(data, spec)
    rows = mature(whole, spec.maturity, as_of, matured=True).rows
    rows = rows.take(rows.known & ~_missing(_served(rows)))
    problems = list(rows.problems)
    other = _scored(score, rows)
    lost = _missing(other)
    if lost.any():
        problems.append(f"{int(lost.sum()):,} of {lost.size:,} rows got no valid score: left out")
        rows, other = rows.take(~lost), other[~lost]
    return _compared(rows, other, problems)


def _compared(rows: Predictions, other: Floats, problems: list[str]) -> Counterfactual:
    if rows.weights is not None:
        there = rows.weights > 0.0
        rows, other = rows.take(there), other[there]
    days, losses = _days(rows), partial(row_losses, rows.task)
    served = losses(_served(rows), rows.labels)
    loss = paired_difference(served, losses(other, rows.labels), rows.weights, days)
    accuracy = None
    if rows.task is not Task.REGRESSION:
        right = (rows.predictions == rows.labels).astype(np.float64)
        otherwise = (_said(rows, other) == rows.labels).astype(np.float64)
        accuracy = paired_difference(right, otherwise, rows.weights, days)
    verdict = "not told apart"
    if len(rows) < ENOUGH_ROWS:
        problems.append(f"{len(rows):,} labelled rows, {ENOUGH_ROWS} are needed")
    elif loss.told_apart:
        verdict = "better" if loss.value < 0.0 else "worse"
    return Counterfactual(loss, accuracy, verdict, tuple(problems))


def _served(rows: Predictions) -> Floats:
    """Return what was served: scores, or classes where there are none."""
    return rows.scores if rows.scores.size else rows.predictions


def _missing(scores: Floats) -> NDArray[np.bool_]:
    spoilt = ~np.isfinite(scores)
    return np.asarray(spoilt if spoilt.ndim == 1 else spoilt.any(axis=1))


def _scored(score: Callable[[pa.Table], ArrayLike], rows: Predictions) -> Floats:
    wanted = _served(rows).shape
    if not len(rows):
        return np.empty(wanted)
    try:
        found = np.asarray(score(rows.features), dtype=np.float64)
    except Exception as error:  # a user's model may raise anything
        raise DataError(f"score failed on the features: {type(error).__name__}: {error}") from error
    if found.shape != wanted:
        raise DataError(f"score returned an array of shape {found.shape}: {wanted} is needed")
    if rows.task is Task.REGRESSION or not rows.scores.size:
        return found
    return np.where((found < 0.0) | (found > 1.0), np.nan, found)


def _said(rows: Predictions, scores: Floats) -> Floats:
    if scores.ndim == 2:
        return np.asarray(scores.argmax(axis=1), np.float64)
    if rows.task is Task.MULTICLASS:
        return scores
    return (scores >= rows.threshold).astype(np.float64)


def _told(one: PairedDifference) -> str:
    if not math.isfinite(one.lower):
        return f"not available, {one.n:,} rows are too few"
    return f"{one.value:+.4g} [{one.lower:+.4g}, {one.upper:+.4g}]"


def _plain(one: PairedDifference) -> dict[str, float | int | None]:
    return {name: value if math.isfinite(value) else None for name, value in asdict(one).items()}


def _days(rows: Predictions) -> NDArray[np.int64] | None:
    if rows.timestamps is None or (rows.timestamps == NEVER).any():
        return None
    days = rows.timestamps // DAY
    return days if np.unique(days).size >= ENOUGH_DAYS else None
