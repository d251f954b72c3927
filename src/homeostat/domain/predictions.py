"""Scored rows as arrays, with what is known of their labels; and which columns of a table they are.

A class is its index in ``classes``, as float64, so that NaN can say "not known". Times are
microseconds since 1970 in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from numbers import Real
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.domain.errors import ConfigError
from homeostat.domain.model import Task
from homeostat.domain.window import EPOCH, Window

Floats: TypeAlias = "NDArray[np.float64]"
Micros: TypeAlias = "NDArray[np.int64]"
Rows: TypeAlias = "NDArray[np.bool_] | NDArray[np.intp]"

NEVER = int(np.iinfo(np.int64).max)
"""Arrival of a label that is not known."""


@dataclass(frozen=True, slots=True)
class PredictionSpec:
    """Which columns of a table are what. Names left empty are not there.

    Attributes
    ----------
    task : Task or str
        ``"binary"``, ``"multiclass"`` or ``"regression"``.
    label : str
        What turned out to be true; missing values are labels that are not known yet.
    score : str or mapping of str to str
        Binary: the probability of the positive class. Regression: the predicted number.
        Multi-class: the probability column of each class, ``{"red": "p_red", "blue": "p_blue"}``.
        Empty if only classes are predicted.
    prediction : str
        The predicted class, where it is not "score at or above `threshold`" or "the likeliest".
    threshold : float
        Binary score from which the positive class is predicted.
    classes : tuple of str
        (negative, positive), or all classes, as the table writes them; empty: told from the data.
    timestamp, arrival : str
        When the prediction was made, and when its label became known.
    prediction_id : str
        Of several rows with one id (and version) the one whose label arrived last counts; without
        arrivals labels that contradict each other are not known.
    version, weight : str
    segments : tuple of str
        Columns by whose values to judge as well.
    features : tuple of str
        Empty: all columns that are nothing else, and the segments.
    maturity : timedelta, optional
        Age of a prediction from which its label is known if it ever will be.

    Raises
    ------
    ConfigError
        If the task is unknown or the fields contradict each other.

    Examples
    --------
    >>> PredictionSpec("binary", label="fraud", score="p_fraud").task
    <Task.BINARY: 'binary'>
    """

    task: Task | str = Task.BINARY
    label: str = "label"
    score: str | Mapping[str, str] = "score"
    prediction: str = ""
    threshold: float = 0.5
    classes: tuple[str, ...] = ()
    timestamp: str = ""
    arrival: str = ""
    prediction_id: str = ""
    version: str = ""
    weight: str = ""
    segments: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    maturity: timedelta | None = None

    def __post_init__(self) -> None:
        try:
            task = Task(self.task)
        except ValueError:
            choices = ", ".join(Task)
            raise ConfigError(f"task is {self.task!r}", f"give one of {choices}") from None
        object.__setattr__(self, "task", task)
        for name in ("classes", "segments", "features"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise ConfigError(f"{name} is the text {value!r}", f"write ({value!r},)")
            object.__setattr__(self, name, tuple(str(item) for item in value))
        problem = self._odd_number() or self._problem(task)
        if problem:
            raise ConfigError(*problem)

    def _odd_number(self) -> tuple[str, str] | None:
        threshold: object = self.threshold
        if not isinstance(threshold, Real) or not 0.0 <= float(threshold) <= 1.0:
            return f"threshold is {threshold!r}", "give a number from 0 to 1"
        maturity: object = self.maturity
        if maturity is None or (isinstance(maturity, timedelta) and maturity >= timedelta(0)):
            return None
        return f"maturity is {maturity!r}", "give a timedelta of 0 or more, such as 30 days"

    def _problem(self, task: Task) -> tuple[str, str] | None:
        several = not isinstance(self.score, str)
        wrong = {
            (f"score names several columns for a {task} model", "name one"): (
                several and task is not Task.MULTICLASS
            ),
            ("classes are given for a regression", "leave them out"): (
                task is Task.REGRESSION and bool(self.classes)
            ),
            (f"a binary model has two classes, not {len(self.classes)}", "negative, positive"): (
                task is Task.BINARY and len(self.classes) not in {0, 2}
            ),
            ("a class is given twice", "name each class once"): (
                len(set(self.classes)) != len(self.classes)
            ),
            ("neither score nor prediction is named", "name the column of one of them"): (
                not self.score and not self.prediction
            ),
            ("maturity needs to know when predictions were made", "name the timestamp column"): (
                self.maturity is not None and not self.timestamp
            ),
        }
        return next((problem for problem, is_so in wrong.items() if is_so), None)

    @property
    def used(self) -> tuple[str, ...]:
        """Columns that are no features, each once."""
        scores = (self.score,) if isinstance(self.score, str) else tuple(self.score.values())
        single = (self.label, self.prediction, self.timestamp, self.arrival, self.prediction_id)
        named = (*single, self.version, self.weight, *scores)
        return tuple(dict.fromkeys(name for name in named if name))


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Scored rows.

    Attributes
    ----------
    task : Task
    classes : tuple of str
        Empty for a regression.
    threshold : float
    scores : ndarray of float64
        Shape (n,), of multi-class models (n, k), or (n, 0) if they give only classes. NaN: missing
        or no valid score.
    predictions : ndarray of float64, shape (n,)
        Class index, or the predicted number; NaN: missing.
    labels : ndarray of float64, shape (n,)
        Class index, or the true number; NaN: not known.
    features : pyarrow.Table
        n rows.
    timestamps, arrivals : ndarray of int64, shape (n,), or None
        An unknown label arrives `NEVER`.
    weights : ndarray of float64, shape (n,), or None
        At least 0.
    versions : pyarrow.ChunkedArray of string, or None
    segments : pyarrow.Table
        n rows; columns of strings.
    ids : pyarrow.ChunkedArray of string, or None
    problems : tuple of str
        What was wrong with rows and what was done about it, a sentence each.
    """

    task: Task
    classes: tuple[str, ...]
    threshold: float
    scores: Floats
    predictions: Floats
    labels: Floats
    features: pa.Table
    timestamps: Micros | None = None
    arrivals: Micros | None = None
    weights: Floats | None = None
    versions: pa.ChunkedArray[pa.StringScalar] | None = None
    segments: pa.Table | None = None
    ids: pa.ChunkedArray[pa.StringScalar] | None = None
    problems: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.predictions.size

    @property
    def known(self) -> NDArray[np.bool_]:
        """Rows whose label is known, shape (n,)."""
        return ~np.isnan(self.labels)

    def take(self, rows: Rows) -> Predictions:
        """Return the rows of a mask, or with these numbers, in order.

        Examples
        --------
        >>> one = np.array([0.2, 0.9])
        >>> table = pa.table({"x": [1, 2]})
        >>> whole = Predictions(Task.BINARY, ("no", "yes"), 0.5, one, one.round(), one, table)
        >>> whole.take(np.array([False, True])).features.to_pydict()
        {'x': [2]}
        """
        places = np.flatnonzero(rows) if rows.dtype == np.bool_ else np.asarray(rows, np.intp)
        at = np.asarray(places, dtype=np.int64)
        return Predictions(
            self.task,
            self.classes,
            self.threshold,
            self.scores[places],
            self.predictions[places],
            self.labels[places],
            self.features.take(at),
            None if self.timestamps is None else self.timestamps[places],
            None if self.arrivals is None else self.arrivals[places],
            None if self.weights is None else self.weights[places],
            None if self.versions is None else self.versions.take(at),
            None if self.segments is None else self.segments.take(at),
            None if self.ids is None else self.ids.take(at),
            self.problems,
        )


def cut_windows(timestamps: Micros, every: timedelta) -> tuple[tuple[Window, ...], Micros]:
    """Cut time at multiples of `every` since 1970.

    Parameters
    ----------
    timestamps : ndarray of int64, shape (n,)
    every : timedelta
        A microsecond or more.

    Returns
    -------
    tuple of Window, ndarray of int64
        The windows that have rows, in order, and which one each row is in; -1: it has no time.

    Examples
    --------
    >>> windows, codes = cut_windows(np.array([90, 5, NEVER]), timedelta(microseconds=60))
    >>> len(windows), codes.tolist()
    (2, [1, 0, -1])
    """
    step = every // timedelta(microseconds=1)
    known = timestamps != NEVER
    found, places = np.unique(timestamps[known] // step, return_inverse=True)
    codes = np.full(timestamps.size, -1, dtype=np.int64)
    codes[known] = places
    starts = [from_micros(number * step) for number in found.tolist()]
    return tuple(Window(start, start + every) for start in starts), codes


def to_micros(moment: datetime) -> int:
    """Return a time as microseconds since 1970; one without a zone is in UTC.

    Examples
    --------
    >>> to_micros(datetime(1970, 1, 1, 0, 1))
    60000000
    """
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - EPOCH) // timedelta(microseconds=1)


def from_micros(micros: int) -> datetime:
    """Return the time of microseconds since 1970, in UTC.

    Examples
    --------
    >>> from_micros(60_000_000).isoformat()
    '1970-01-01T00:01:00+00:00'
    """
    return EPOCH + timedelta(microseconds=int(micros))
