"""Which predictions a person should label next, drawn so that what is learned stands for all.

Priorities say where a label tells most. Rows are drawn by them, never picked: each has a known
chance, and weighing its label by one over that chance keeps every estimate unbiased.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.domain.model import Task
from homeostat.domain.predictions import Predictions
from homeostat.stats.sampling import inclusion_probabilities, systematic

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

UNCERTAINTY, DRIFT, VALUE = "uncertainty", "drift", "value"
MOST_UNLIKE = 20.0
TRUSTS = ((1.0, 0.75), (0.5, 0.25))
"""Slopes of the log odds, and how likely: scores are right, or exaggerate as those of many do."""
"""Times by which a kind of row may be commoner than among the labelled ones, and count for it."""

EVEN = "drawn as part of the even share"


@dataclass(frozen=True, slots=True, eq=False)
class ReviewQueue:
    """Predictions to label, the most informative first.

    Attributes
    ----------
    rows : ndarray of intp, shape (k,)
        Row numbers in the data, from 0.
    ids : tuple of str or None
        Of the predictions, where the data have any; else empty.
    priority : ndarray of float64, shape (k,)
        How much the label tells, where 1 is the mean of all candidates.
    probability : ndarray of float64, shape (k,)
        Chance that the row had to be drawn, in (0, 1].
    reasons : tuple of str
    weights : ndarray of float64, shape (n,)
        Of every row of the data, for ``PredictionSpec.weight`` once the queue is labelled: 1 where
        the label was known, one over its chance where the row is in the queue, else 0; times the
        weight that the data gave.
    candidates : int
        Rows that were drawn from.
    problems : tuple of str
    """

    rows: Places
    ids: tuple[str | None, ...]
    priority: Floats
    probability: Floats
    reasons: tuple[str, ...]
    weights: Floats
    candidates: int
    problems: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.rows.size

    @property
    def table(self) -> pa.Table:
        """One row a prediction: what to label, and why."""
        named = {"prediction_id": pa.array(self.ids, pa.string())} if self.ids else {}
        return pa.table(
            {
                "row": pa.array(self.rows, pa.int64()),
                **named,
                "priority": pa.array(self.priority),
                "inclusion_probability": pa.array(self.probability),
                "reason": pa.array(self.reasons, pa.string()),
            }
        )

    def __str__(self) -> str:
        head = f"{len(self):,} of {self.candidates:,} predictions without a label to review"
        return "\n".join([head, *self.problems])


@dataclass(frozen=True, slots=True, eq=False)
class Aspect:
    """One view of which labels tell most.

    Attributes
    ----------
    priority : ndarray of float64, shape (n,)
        At least 0, on any scale.
    shown : ndarray of float64, shape (n,)
        The number that the reason names.
    wording : str
        The reason, with ``{}`` for that number.
    """

    priority: Floats
    shown: Floats
    wording: str


def expected_deviation(rows: Predictions) -> Floats | None:
    """Return how far each row's losses are expected to lie from their means.

    The root of the expected squared distance (Sawade et al. 2010), of being wrong and of the Brier
    score, each over its mean; expected over whether scores are right or exaggerate (`TRUSTS`).

    Returns
    -------
    ndarray of float64, shape (n,), or None
        None if there are no probabilities.

    Examples
    --------
    >>> scores, none = np.array([0.02, 0.45, 0.98]), np.full(3, np.nan)
    >>> rows = Predictions(Task.BINARY, ("0", "1"), 0.5, scores, scores.round(), none, pa.table({}))
    >>> found = expected_deviation(rows)
    >>> int(found.argmax())
    1
    """
    if rows.task is Task.REGRESSION or not rows.scores.size or np.isnan(rows.scores).any():
        return None
    chances = rows.scores
    if chances.ndim == 1:
        chances = np.stack((1.0 - chances, chances), axis=1)
    said = np.eye(chances.shape[1])[rows.predictions.astype(np.intp)]
    brier = (chances**2).sum(axis=1, keepdims=True) - 2.0 * chances + 1.0
    found = np.zeros(len(rows))
    for losses in (1.0 - said, brier):
        for trust, likely in TRUSTS:
            true = chances**trust
            true /= true.sum(axis=1, keepdims=True)
            typical = float((true * losses).sum(axis=1).mean())
            found += likely * relative((true * (losses - typical) ** 2).sum(axis=1))
    return np.sqrt(found)


def relative(priority: Floats) -> Floats:
    """Return priorities over their mean; all 1 if the mean is 0."""
    mean = float(priority.mean()) if priority.size else 0.0
    return priority / mean if mean else np.ones(priority.size)


def aspects(
    rows: Predictions,
    by: tuple[str, ...],
    unlike: Floats | None = None,
    amounts: Floats | None = None,
) -> Mapping[str, Aspect]:
    """Return the views of the rows that were asked for and can be told.

    Parameters
    ----------
    rows : Predictions
        Candidates.
    by : tuple of str
        Of ``"uncertainty"``, ``"drift"`` and ``"value"``.
    unlike : ndarray of float64, shape (n,), optional
        How much commoner rows of its kind are than among the labelled ones.
    amounts : ndarray of float64, shape (n,), optional
        What is at stake, in any unit.
    """
    found: dict[str, Aspect] = {}
    spread = expected_deviation(rows)
    if UNCERTAINTY in by and spread is not None:
        found[UNCERTAINTY] = _unsure(rows, spread)
    if DRIFT in by and unlike is not None:
        bounded = np.minimum(unlike, MOST_UNLIKE)
        said = "rows like it are {:.3g} times as common as among the labelled ones"
        found[DRIFT] = Aspect(bounded, unlike, said)
    if VALUE in by and amounts is not None:
        stake = np.abs(amounts) * (1.0 if spread is None else spread)
        found[VALUE] = Aspect(stake, amounts, "{:,.6g} at stake")
    return found


def _unsure(rows: Predictions, spread: Floats) -> Aspect:
    if rows.task is Task.BINARY:
        said = f"score {{:.3g}} leaves the outcome open (threshold {rows.threshold:.3g})"
        return Aspect(spread, rows.scores, said)
    likeliest = rows.scores.max(axis=1)
    return Aspect(spread, likeliest, "its likeliest class has a probability of {:.3g}")


def draw(
    views: Mapping[str, Aspect],
    weights: Floats,
    size: int,
    floor: float,
    rng: np.random.Generator,
) -> tuple[Places, Floats, Floats, tuple[str, ...]]:
    """Draw candidates by what they tell.

    Parameters
    ----------
    views : mapping of str to Aspect
        Each counts alike; none: every row has the same chance.
    weights : ndarray of float64, shape (n,)
        How much each candidate counts by itself.
    size : int
    floor : float
        Share of the queue that is spread evenly, in (0, 1].
    rng : numpy.random.Generator

    Returns
    -------
    places : ndarray of intp, shape (k,)
        Places among the candidates, by falling priority.
    priority, chances : ndarray of float64, shape (k,)
    reasons : tuple of str
    """
    each = {name: relative(view.priority) for name, view in views.items()}
    together = np.mean(list(each.values()), axis=0) if each else np.ones(weights.size)
    priority = relative(together * weights)
    chances = inclusion_probabilities(priority, size, floor)
    places = systematic(chances, rng)
    places = places[np.argsort(-priority[places], kind="stable")]
    return places, priority[places], chances[places], tuple(_reason(views, each, p) for p in places)


def _reason(views: Mapping[str, Aspect], each: Mapping[str, Floats], place: int) -> str:
    high = sorted((-each[name][place], name) for name in each if each[name][place] > 1.0)
    said = [views[name].wording.format(views[name].shown[place]) for _, name in high]
    return "; ".join(said) or EVEN
