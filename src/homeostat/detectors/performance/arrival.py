"""Early labels, weighted so that they stand for those that are still on their way.

Of every class and stratum, `early.solve` tells how many labels there will be; each known one counts
for as many as there are to each known. That is weighting by the inverse of the probability to be
known by now, with that probability taken from the rows themselves (post-stratification).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt
from numpy.typing import NDArray

from homeostat.detectors.performance.delay import Delays, Waiting, fit
from homeostat.detectors.performance.early import (
    EarlyShare,
    estimate,
    habit_of,
    stretches,
)
from homeostat.detectors.performance.shares import solve, tally
from homeostat.domain.columns import float_array
from homeostat.domain.errors import ConfigError, DataError, NotFoundError
from homeostat.domain.model import Task
from homeostat.domain.predictions import NEVER, Predictions

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

BINS = 10
MOST_STRATA = 50
NUMBER_CLASSES = 10
ENOUGH_SUPPORT = 0.9


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """The rows as seen at one moment, also by age, and what they tell of delays."""

    rows: Waiting
    delays: Delays
    present: Places
    by_age: Waiting


@dataclass(frozen=True, slots=True, eq=False)
class ArrivalWeights:
    """How much each known label counts.

    Attributes
    ----------
    weights : ndarray of float64, shape (n,)
        0 where the label is not known at the time; their mean is 1 over the window's rows.
    coverage : float
        Share of the rows whose label is known.
    support : float
        Of the class worst seen, the share in strata of which a label of it is known.
    effective : float
        Kish's effective sample size, ``(sum w)^2 / sum w^2``.
    reason : str
        Why metrics cannot be told from these labels yet; empty if they can.
    """

    weights: Floats
    coverage: float
    support: float
    effective: float
    reason: str = ""


def as_seen(
    rows: Predictions, as_of: int, maturity: timedelta, by: tuple[str, ...] = ()
) -> Learned:
    """Return the rows as they were seen at a moment and learn the delays of their labels.

    Parameters
    ----------
    rows : Predictions
        With times of prediction and arrival.
    as_of : int
        Microseconds; later predictions and labels count for nothing.
    maturity : timedelta
    by : tuple of str
        Features or segments that decide how long a label takes.

    Raises
    ------
    DataError
        If the rows have no times.
    NotFoundError
        If there is no column of a name in `by`.
    ConfigError
        If the maturity is not positive.
    """
    if rows.timestamps is None or rows.arrivals is None:
        raise DataError("early answers need the times of predictions and of labels: name both")
    if maturity <= timedelta(0):
        raise ConfigError(f"maturity is {maturity}", "give the age at which labels are complete")
    present = np.flatnonzero(rows.timestamps <= as_of)
    made, arrived = rows.timestamps[present], rows.arrivals[present]
    delays = np.where(arrived > as_of, NEVER, np.maximum(arrived - made, 0))
    strata = strata_of(rows, by)[present]
    classes, count = _classes(rows.take(present), delays)
    seen = Waiting(classes, delays, as_of - made, strata)
    most = int(strata.max(initial=0)) + 1
    learned = fit(seen, maturity // timedelta(microseconds=1), count, most)
    return Learned(seen, learned, present, seen.take(np.argsort(seen.ages, kind="stable")))


def _classes(rows: Predictions, delays: NDArray[np.int64]) -> tuple[Places, int]:
    """Return the class of each label; a number's class is the tenth of the known ones it is in."""
    known = delays != NEVER
    labels = rows.labels
    if rows.task is Task.REGRESSION:
        levels = np.linspace(0.0, 1.0, NUMBER_CLASSES + 1)[1:-1]
        values = labels[known]
        edges = np.unique(np.quantile(values, levels)) if values.size else np.empty(0)
        return np.where(known, np.searchsorted(edges, labels), -1), edges.size + 1
    return np.where(known, np.nan_to_num(labels), -1.0).astype(np.intp), len(rows.classes)


def strata_of(rows: Predictions, by: tuple[str, ...]) -> Places:
    """Number the rows by what decides their delay.

    Parameters
    ----------
    rows : Predictions
    by : tuple of str
        Numbers are told apart by tenths of the rows, anything else by its values; at most 50
        combinations are, the rest is one.

    Raises
    ------
    NotFoundError
        If there is no such feature or segment.

    Examples
    --------
    >>> one = np.zeros(4)
    >>> table = pa.table({"lead": [1, 50, 2, None], "desk": ["a", "a", "b", "b"]})
    >>> rows = Predictions(Task.REGRESSION, (), 0.5, one, one, one, table)
    >>> strata_of(rows, ("desk",)).tolist()
    [0, 0, 1, 1]
    """
    code = np.zeros(len(rows), np.intp)
    for name in by:
        code = np.unique(code * 2**20 + _codes(_column(rows, name)), return_inverse=True)[1]
    counts = np.bincount(code, minlength=1)
    if counts.size <= MOST_STRATA:
        return code
    common = np.sort(np.argsort(-counts, kind="stable")[: MOST_STRATA - 1])
    place = np.full(counts.size, MOST_STRATA - 1, np.intp)
    place[common] = np.arange(common.size)
    return place[code]


def _column(rows: Predictions, name: str) -> pa.ChunkedArray[pa.Scalar[pa.DataType]]:
    for table in (rows.features, rows.segments):
        if table is not None and name in table.column_names:
            return table.column(name)
    raise NotFoundError(f"no feature or segment {name!r} to tell delays apart by")


def _codes(column: pa.ChunkedArray[pa.Scalar[pa.DataType]]) -> Places:
    if pt.is_integer(column.type) or pt.is_floating(column.type):
        values = float_array(column.cast(pa.float64()))
        finite = values[np.isfinite(values)]
        levels = np.linspace(0.0, 1.0, BINS + 1)[1:-1]
        edges = np.unique(np.quantile(finite, levels)) if finite.size else np.empty(0)
        return np.where(np.isnan(values), edges.size + 1, np.searchsorted(edges, values))
    texts = column.cast(pa.string()).combine_chunks()
    places = pc.index_in(texts, value_set=texts.unique())
    return np.asarray(places.to_numpy(zero_copy_only=False), np.intp)


def early_shares(
    learned: Learned, window: NDArray[np.bool_], oldest: int, length: int
) -> tuple[EarlyShare, ...]:
    """Estimate the final share of every class in a window.

    Parameters
    ----------
    learned : Learned
    window : ndarray of bool
        Which of its rows are in the window.
    oldest, length : int
        Age of the window's start, and its length, in microseconds.
    """
    record = stretches(learned.delays, learned.by_age, oldest, length)
    return estimate(learned.delays, learned.rows.take(window), record)


def arrival_weights(
    rows: Predictions,
    judged: NDArray[np.bool_],
    as_of: int,
    maturity: timedelta,
    by: tuple[str, ...] = (),
) -> ArrivalWeights:
    """Weight the labels of a window that are known at a moment, so that they stand for all.

    Parameters
    ----------
    rows : Predictions
        The window that is judged, and rows old enough to learn delays from.
    judged : ndarray of bool, shape (n,)
        Which rows are the window.
    as_of : int
        Microseconds since 1970 in UTC.
    maturity : timedelta
    by : tuple of str
        Features or segments that decide how long a label takes.

    Returns
    -------
    ArrivalWeights
        Weights of all rows, in order; 0 outside the window.

    Raises
    ------
    DataError, NotFoundError, ConfigError
        As `as_seen`.

    Examples
    --------
    Fraud is known in a day, the rest after ten. Of the last 15 days 73 % seem to be fraud:

    >>> day, rng = 86_400_000_000, np.random.default_rng(0)
    >>> made = np.arange(0, 100 * day, day // 40)
    >>> fraud = (rng.random(4000) < 0.5).astype(float)
    >>> came = made + np.where(fraud == 1.0, day, 10 * day)
    >>> rows = Predictions(Task.BINARY, ("no", "yes"), 0.5, fraud, fraud, fraud,
    ...     pa.table({"x": made}), made, came)
    >>> young = made >= 85 * day
    >>> found = arrival_weights(rows, young, 100 * day, timedelta(days=20))
    >>> known = young & (came <= 100 * day)
    >>> [round(float(x), 2) for x in (
    ...     fraud[known].mean(), np.average(fraud, weights=found.weights), fraud[young].mean())]
    [0.73, 0.5, 0.5]
    """
    learned = as_seen(rows, as_of, maturity, by)
    weights = np.zeros(len(rows))
    places = np.flatnonzero(judged[learned.present])
    if not places.size:
        return ArrivalWeights(weights, 0.0, 0.0, 0.0, "there are no predictions to judge")
    found = weigh_window(learned, places)
    weights[learned.present[places]] = found.weights
    return replace(found, weights=weights)


def weigh_window(learned: Learned, places: Places) -> ArrivalWeights:
    """Weight the labels of a window as `arrival_weights` does, once the delays are learned.

    Parameters
    ----------
    learned : Learned
    places : ndarray of intp, shape (k,)
        Of the window in its rows; at least one.

    Returns
    -------
    ArrivalWeights
        Weights of those k rows.
    """
    seen, delays = learned.rows.take(places), learned.delays
    oldest = int(seen.ages.max())
    record = stretches(delays, learned.by_age, oldest, oldest - int(seen.ages.min()) + 1)
    cells = tally(delays, seen)
    mass = solve(delays, cells, np.array([0]), habit_of(record)).mass
    covered = mass * (cells.labels > 0.0)
    whole = mass.sum(axis=1)
    none = np.zeros(whole.size)
    support = float(np.divide(covered.sum(axis=1), whole, out=none, where=whole > 0.0).min())
    reason = estimate(delays, seen, record)[0].reason or _unsupported(support)
    known = delays.seen(seen)
    coverage, weights = float(known.mean()), np.zeros(len(seen))
    if reason:
        return ArrivalWeights(weights, coverage, support, 0.0, reason)
    each = covered / np.maximum(cells.labels, 1.0)
    each *= (mass.sum(axis=1) / covered.sum(axis=1))[:, None] * len(seen) / mass.sum()
    weights[known] = each[seen.classes[known], seen.strata[known]]
    effective = float(weights.sum()) ** 2 / float((weights**2).sum())
    return ArrivalWeights(weights, coverage, support, effective)


def _unsupported(support: float) -> str:
    if support >= ENOUGH_SUPPORT:
        return ""
    return (
        f"not yet identifiable: {1.0 - support:.0%} of a class are rows of a kind of which no "
        "label is known yet, so the known ones do not stand for them"
    )
