"""Chooses and weights the rows of a training."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.domain.choice import RowChoice
from homeostat.domain.columns import float_array, micros, texts
from homeostat.domain.errors import DataError
from homeostat.domain.model import Task
from homeostat.domain.predictions import to_micros

Floats = NDArray[np.float64]

WEIGHT = "training_weight"
"""Column of a training row's weight; without it all rows count alike."""
RAREST = 0.01
"""Smallest propensity that is believed: no row counts for more than a hundred."""


@dataclass(frozen=True, slots=True)
class DataPolicy:
    """Which rows a model is trained on.

    Attributes
    ----------
    choice : RowChoice
        Which of them are taken, and how much they count.
    refit : bool
        Whether a candidate that has passed the gate is trained once more, with the hold-out.
    early : bool
        Whether that refit also gets the rows that are too young for all labels.
    kinds : tuple of str
        Features that decide how long a label takes.
    agreement : float
        See `homeostat.retraining.refit.agreement`.

    Raises
    ------
    ValueError
        For early labels without a refit: the hold-out must be later than the training.
    """

    choice: RowChoice = RowChoice()  # noqa: RUF009 - a frozen value
    refit: bool = False
    early: bool = False
    kinds: tuple[str, ...] = ()
    agreement: float = 0.25

    def __post_init__(self) -> None:
        if self.early and not self.refit:
            raise ValueError("early labels need a refit: the gate judges on later rows")


def choose(rows: pa.Table, choice: RowChoice, task: Task, now: datetime) -> pa.Table:
    """Return the rows that a training gets, in their order, with their weights.

    Rows are drawn by their ids, so that the same rows give the same choice whatever their order,
    and more rows change little of it. Weights keep what the rows stand for: their totals by class
    stay what they were, in expectation over ids for every other total (Horvitz & Thompson 1952).

    Parameters
    ----------
    rows : pyarrow.Table
        ``prediction_id``, ``timestamp``, ``label``, maybe ``training_weight`` already.
    choice : RowChoice
    task : Task
    now : datetime
        From which age counts.

    Returns
    -------
    pyarrow.Table
        The same object where there is nothing to choose.

    Raises
    ------
    DataError
        If there is no column of propensities.

    Examples
    --------
    Of 90 kept bookings a third is taken, each of which counts for three:

    >>> from datetime import UTC
    >>> made = datetime(2024, 1, 1, tzinfo=UTC)
    >>> rows = pa.table({"prediction_id": [str(i) for i in range(100)], "timestamp": [made] * 100,
    ...     "label": [0.0] * 90 + [1.0] * 10})
    >>> found = choose(rows, RowChoice(negatives=1 / 3), Task.BINARY, made)
    >>> found.num_rows, sorted(set(found["training_weight"].to_pylist()))
    (40, [1.0, 3.0])
    """
    if choice.plain or not rows.num_rows:
        return rows
    weights = _given(rows) * _propensity(rows, choice) * _recency(rows, choice, now)
    labels = float_array(rows["label"])
    classes = np.zeros(labels.size) if task is Task.REGRESSION else labels
    order = _order(texts(rows, "prediction_id"))
    taken = np.ones(labels.size, np.bool_)
    if task is Task.BINARY and choice.negatives < 1.0:
        negative = classes == 0.0
        count = int(np.ceil(choice.negatives * np.count_nonzero(negative)))
        _take(taken, weights, negative, order, count)
    if choice.max_rows is not None and np.count_nonzero(taken) > choice.max_rows:
        for rows_of, count in _quotas(classes, taken, choice.max_rows):
            _take(taken, weights, rows_of, order, count)
    weighted = rows.drop_columns([WEIGHT]) if WEIGHT in rows.column_names else rows
    weighted = weighted.append_column(WEIGHT, pa.array(weights, pa.float64()))
    return weighted.filter(pa.array(taken))


def _given(rows: pa.Table) -> Floats:
    return float_array(rows[WEIGHT]) if WEIGHT in rows.column_names else np.ones(rows.num_rows)


def _propensity(rows: pa.Table, choice: RowChoice) -> Floats:
    """Return how many rows each stands for; one whose chance is not known stands for itself."""
    if not choice.propensity:
        return np.ones(rows.num_rows)
    if choice.propensity not in rows.column_names:
        raise DataError(f"the training rows have no column {choice.propensity!r} of propensities")
    chances = float_array(rows[choice.propensity])
    known = (chances > 0.0) & (chances <= 1.0)
    return 1.0 / np.where(known, np.maximum(np.where(known, chances, 1.0), RAREST), 1.0)


def _recency(rows: pa.Table, choice: RowChoice, now: datetime) -> Floats:
    if choice.half_life is None:
        return np.ones(rows.num_rows)
    ages = np.maximum(to_micros(now) - micros(rows, "timestamp"), 0)
    return np.asarray(0.5 ** (ages / (choice.half_life.total_seconds() * 1e6)))


def _order(ids: list[str]) -> NDArray[np.intp]:
    """Return the place of each row in an order that depends on nothing but its id."""
    keys = [hashlib.blake2b(key.encode(), digest_size=8).digest() for key in ids]
    places = np.empty(len(keys), np.intp)
    numbers = np.frombuffer(b"".join(keys), ">u8")
    places[np.argsort(numbers, kind="stable")] = np.arange(len(keys))
    return places


def _take(
    taken: NDArray[np.bool_],
    weights: Floats,
    of: NDArray[np.bool_],
    order: NDArray[np.intp],
    count: int,
) -> None:
    """Keep the first `count` of some rows, and let these count for all of them."""
    rows = np.flatnonzero(of & taken)
    kept = rows[np.argsort(order[rows], kind="stable")[:count]]
    taken[rows] = False
    taken[kept] = True
    weights[kept] *= rows.size / max(kept.size, 1)


def _quotas(
    classes: Floats, taken: NDArray[np.bool_], most: int
) -> Iterator[tuple[NDArray[np.bool_], int]]:
    """Yield the rows of each class and how many of them are taken: in proportion, at least one."""
    values, counts = np.unique(classes[taken], return_counts=True)
    for value, share in zip(values, np.floor(counts * (most / counts.sum())), strict=True):
        yield classes == value, max(int(share), 1)
