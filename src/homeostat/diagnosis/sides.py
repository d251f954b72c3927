"""Both sides of a diagnosis as matrices, with labels, losses and what the model said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.faults.columns import Columns, Kind, Values
from homeostat.domain.losses import row_losses
from homeostat.domain.model import Task
from homeostat.domain.predictions import Predictions
from homeostat.stats.encoding import Table, fit_encoder

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

SCORE = "the score"
BINS = 30  # of a number to be predicted, where classes are needed, at most
BIN_ROWS = 150  # rows of one
_CLIP = 5.0  # robust standard deviations at which a residual is cut
_EDGE = 1e-6
_DAY = 86_400_000_000  # microseconds


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """Rows of one side.

    Attributes
    ----------
    rows : ndarray of float64, shape (n, f)
        Encoded features and scores.
    targets : ndarray of float64, shape (n, t)
        Bounded functions of the label, NaN where it is not known: the classes' indicators (all but
        the first), or the clipped residual (without scores, the clipped label) and its size.
    groups : ndarray of int64, shape (n,)
        Class of the label, or its bin among reference labels; -1: not known.
    loss : ndarray of float64, shape (n,)
        Brier score, error or absolute error; NaN where the label or the prediction is missing.
    labels : ndarray of float64, shape (n,)
    days : ndarray of int64, shape (n,), optional
        Since 1970, in UTC; rows of a day may have an effect in common.
    """

    rows: Floats
    targets: Floats
    groups: Indices
    loss: Floats
    labels: Floats
    days: Indices | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Rows with a label."""
        return self.groups >= 0

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Side:
        """Return some rows."""
        return Side(
            self.rows[rows],
            self.targets[rows],
            self.groups[rows],
            self.loss[rows],
            self.labels[rows],
            None if self.days is None else self.days[rows],
        )


def both(before: Indices | None, now: Indices | None) -> tuple[Indices, Indices] | None:
    """Return days of both sides, if both have them."""
    return None if before is None or now is None else (before, now)


@dataclass(frozen=True, slots=True, eq=False)
class Sides:
    """Reference and current rows, encoded alike.

    Attributes
    ----------
    names : tuple of str
        Columns, `SCORE` among them if scores count as one.
    owners : ndarray of int64, shape (f,)
        Column of each feature.
    tables : tuple of Table
        The same columns before encoding.
    """

    names: tuple[str, ...]
    owners: Indices
    before: Side
    now: Side
    tables: tuple[Table, Table]
    task: Task
    groups: int

    @property
    def days(self) -> tuple[Indices, Indices] | None:
        """Day of each row before and now; None if rows are taken as independent."""
        return both(self.before.days, self.now.days)

    def labelled(self) -> Sides:
        """Return only rows with a label and a loss."""
        sides = (self.before, self.now)
        kept = [np.flatnonzero(side.known & ~np.isnan(side.loss)) for side in sides]
        return replace(
            self,
            before=self.before.take(kept[0]),
            now=self.now.take(kept[1]),
            tables=(self.tables[0].take(kept[0]), self.tables[1].take(kept[1])),
        )


def build_sides(
    before: Predictions,
    now: Predictions,
    columns: tuple[Columns, Columns],
    *,
    scores: bool = True,
) -> Sides:
    """Encode both sides.

    Parameters
    ----------
    before, now : Predictions
    columns : tuple of Columns
        Features of both, read by `read_pair`; those of one side only are ignored.
    scores : bool
        Whether the scores count as features; not where they rest on broken data.
    """
    one, two = columns
    kept = {name: one[name] for name in one if name in two and _useful(one[name], two[name])}
    tables = [
        _table(kept, side, predictions if scores else None, len(predictions))
        for side, predictions in ((one, before), (two, now))
    ]
    encoder = fit_encoder(tables[0])
    edges = _edges(before)
    scale = _scale(before, scores=scores)
    made = [
        Side(
            encoder.transform(table),
            *_labels(side, edges, scale, scores=scores),
            side.labels,
            days_of(side),
        )
        for table, side in zip(tables, (before, now), strict=True)
    ]
    groups = edges.size + 1 if before.task is Task.REGRESSION else max(2, len(before.classes))
    return Sides(
        encoder.names,
        encoder.owners,
        made[0],
        made[1],
        (tables[0], tables[1]),
        before.task,
        groups,
    )


def days_of(rows: Predictions) -> Indices | None:
    """Return the day of each row since 1970, in UTC; None without timestamps."""
    return None if rows.timestamps is None else rows.timestamps // _DAY


def row_loss(rows: Predictions) -> Floats:
    """Return each row's loss, whose mean `hs.evaluate` calls by `loss_name`.

    The Brier score, of several classes the sum of all classes' squared errors; zero-one error
    without scores; absolute error.

    Examples
    --------
    >>> import pyarrow as pa
    >>> score, label = np.array([0.25, 1.0]), np.array([1.0, 0.0])
    >>> table = pa.table({"x": [1, 2]})
    >>> rows = Predictions(Task.BINARY, ("no", "yes"), 0.5, score, score.round(), label, table)
    >>> row_loss(rows).tolist()
    [0.5625, 1.0]
    """
    if not _scored(rows):
        return row_losses(rows.task, rows.predictions, rows.labels)
    found = row_losses(rows.task, rows.scores, rows.labels)
    return 2.0 * found if rows.task is Task.MULTICLASS else found


def loss_name(rows: Predictions) -> str:
    """Return what the mean of `row_loss` is called."""
    if rows.task is Task.REGRESSION:
        return "mae"
    return "brier" if _scored(rows) else "error rate"


def _scored(rows: Predictions) -> bool:
    """Whether there are probabilities, not only classes or numbers."""
    scores = rows.scores
    if rows.task is Task.REGRESSION or not scores.size:
        return False
    return scores.ndim == 2 or not bool(np.isnan(scores).all())


def _useful(one: Values, two: Values) -> bool:
    """Whether a column of both sides says something about rows, rather than naming them."""
    if Kind.EMPTY in {one.kind, two.kind} or one.kind is not two.kind or one.kind is Kind.TIME:
        return False
    return one.kind is Kind.NUMBER or one.is_code


def _table(
    kept: Mapping[str, Values], side: Columns, scored: Predictions | None, rows: int
) -> Table:
    numbers: dict[str, Floats] = {}
    categories: dict[str, Indices] = {}
    for name, first in kept.items():
        values = side[name]
        if first.kind is Kind.TEXT:
            categories[name] = values.codes
        elif first.is_code:
            categories[name] = _whole(values.numbers)
        else:
            numbers[name] = values.numbers
    if scored is not None:
        for place, column in enumerate(_scores(scored)):
            numbers[f"{SCORE} {place}" if place else SCORE] = column
    if not numbers and not categories:
        numbers["nothing"] = np.zeros(rows)
    return Table(numbers, categories)


def _whole(numbers: Floats) -> Indices:
    """Return whole numbers as codes that are negative only where there is none."""
    there = np.isfinite(numbers)
    rounded = np.clip(np.where(there, numbers, 0.0), -1e9, 1e9).astype(np.int64)
    return np.where(there, rounded + 10**9, -1)


def _scores(rows: Predictions) -> list[Floats]:
    if rows.task is Task.MULTICLASS:
        if not rows.scores.shape[1]:
            return [rows.predictions]
        return [rows.scores[:, k] for k in range(1, rows.scores.shape[1])] or [rows.predictions]
    if rows.task is Task.BINARY and bool(np.isnan(rows.scores).all()):
        return [rows.predictions]
    return [rows.scores]


def _edges(before: Predictions) -> Floats:
    if before.task is not Task.REGRESSION:
        return np.empty(0)
    known = before.labels[before.known]
    if not known.size:
        return np.empty(0)
    bins = int(np.clip(known.size // BIN_ROWS, 5, BINS))
    return np.unique(np.quantile(known, np.linspace(0.0, 1.0, bins + 1)[1:-1]))


def _gaps(rows: Predictions, *, scores: bool) -> Floats:
    """Return by how much labels exceed predictions, or, where these are broken, the labels."""
    return rows.labels - rows.predictions if scores else rows.labels


def _scale(before: Predictions, *, scores: bool) -> tuple[float, float]:
    """Return the middle and spread of a regression's residuals on reference rows."""
    gaps = _gaps(before, scores=scores)
    gaps = gaps[~np.isnan(gaps)]
    if before.task is not Task.REGRESSION or not gaps.size:
        return 0.0, 1.0
    low, middle, high = np.quantile(gaps, [0.25, 0.5, 0.75])
    spread = float(high - low) / 1.35 or float(gaps.std()) or 1.0
    return float(middle), spread


def _labels(
    rows: Predictions, edges: Floats, scale: tuple[float, float], *, scores: bool
) -> tuple[Floats, Indices, Floats]:
    unknown = np.isnan(rows.labels)
    loss = row_loss(rows)
    if rows.task is Task.REGRESSION:
        gap = np.clip((_gaps(rows, scores=scores) - scale[0]) / scale[1], -_CLIP, _CLIP)
        targets = np.column_stack((gap, np.abs(gap)))
        groups = np.searchsorted(edges, np.where(unknown, 0.0, rows.labels))
        return targets, np.where(unknown, -1, groups).astype(np.int64), loss
    groups = np.where(unknown, -1, np.where(unknown, 0.0, rows.labels)).astype(np.int64)
    targets = (groups[:, None] == np.arange(1, max(2, len(rows.classes)))).astype(np.float64)
    targets[unknown] = np.nan
    return targets, groups, loss


def score_errors(rows: Predictions, at: NDArray[np.intp]) -> Floats:
    """Return label minus score of some labelled rows, shape (n, t)."""
    labels = rows.labels[at]
    if rows.task is Task.MULTICLASS and rows.scores.shape[1]:
        truth = np.eye(rows.scores.shape[1])[labels.astype(np.int64)]
        return truth - rows.scores[at]
    said = rows.predictions if rows.task is Task.MULTICLASS else rows.scores
    if rows.task is Task.BINARY and bool(np.isnan(said[at]).any()):
        said = rows.predictions
    return (labels - said[at])[:, None]
