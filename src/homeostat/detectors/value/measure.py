"""Business metrics of scored rows, by window, version and segment, each with a 95 % interval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.detectors.value.metric import (
    LABEL,
    PREDICTION,
    SCORE,
    Kind,
    ValueMetric,
    parse_metric,
)
from homeostat.domain.errors import ConfigError
from homeostat.domain.expression import Type
from homeostat.domain.model import Task
from homeostat.domain.predictions import Predictions, cut_windows
from homeostat.domain.window import Window
from homeostat.stats import estimates
from homeostat.stats.estimates import Estimate, missing

Floats = NDArray[np.float64]

MIN_ROWS = 30
TELLING = 20
"""Rows worth something else than the rest, below which skewness cannot be told."""

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Value:
    """A business metric of some rows.

    Attributes
    ----------
    name : str
    estimate : Estimate
        Of the rows whose label (if it counts) and features are known.
    rows : int
        All rows.
    coverage : float
        Share of all rows whose label is known, in [0, 1].
    version : str
        Empty: all versions.
    segment : tuple of str
        Column and value; empty: all rows.
    window : Window or None
    """

    name: str
    estimate: Estimate
    rows: int
    coverage: float
    version: str = ""
    segment: tuple[str, ...] = ()
    window: Window | None = None


def measure_rows(
    kind: Kind, above: Floats, below: Floats, weights: Floats | None = None, least: int = MIN_ROWS
) -> Estimate:
    """Estimate one figure from the amounts of `ValueMetric.amounts`.

    Parameters
    ----------
    kind : Kind
    above, below : ndarray, shape (n,)
        NaN rows are left out.
    weights : ndarray, shape (n,), optional
        At least 0.
    least : int
        Rows below which there is no interval; nor is one with fewer than `TELLING` rows that are
        worth something else than the median row (a total: than nothing; a rate needs none).

    Returns
    -------
    Estimate

    Examples
    --------
    >>> measure_rows(Kind.RATE, np.array([1.0, 0.0] * 50), np.ones(100)).value
    0.5
    """
    known = ~np.isnan(above)
    if weights is not None:
        known &= weights > 0.0
    above, below = above[known], below[known]
    found = _estimate(kind, above, below, None if weights is None else weights[known])
    if above.size < least:
        return missing(f"{above.size} rows, {least} are needed", above.size, found.value)
    # A row tells if it moves the figure: those of the commonest worth (mostly 0) do not.
    parts = above - found.value * below if kind is Kind.RATIO else above
    telling = int((parts != (0.0 if kind is Kind.TOTAL else np.median(parts))).sum())
    if kind is not Kind.RATE and telling < TELLING:
        problem = f"{telling} rows are worth anything of their own, {TELLING} are needed"
        return missing(problem, above.size, found.value)
    return found


def _estimate(kind: Kind, above: Floats, below: Floats, weights: Floats | None) -> Estimate:
    if weights is not None:
        # Weights are known up to a factor only, which leaves no total to speak of but the sum.
        if kind is Kind.TOTAL:
            return estimates.total(weights * above)
        return estimates.ratio(weights * above, weights * below)
    if kind is Kind.RATIO:
        return estimates.ratio(above, below)
    if kind is Kind.TOTAL:
        return estimates.total(above)
    if kind is Kind.MEAN:
        return estimates.mean(above)
    return estimates.rate(int(above.sum()), above.size)


def value_columns(data: Predictions) -> dict[str, Type]:
    """Return the columns that an expression over these rows may name, and their types.

    A class is a number (1: the positive one) for binary models, its name for multi-class ones.
    ``label``, ``prediction`` and ``score`` hide features that are called so.
    """
    found: dict[str, Type] = {}
    for field in data.features.schema:
        kind = _type(field.type)
        if kind is not None:
            found[field.name] = kind
    outcome = Type.TEXT if data.task is Task.MULTICLASS else Type.NUMBER
    found |= {LABEL: outcome, PREDICTION: outcome}
    if data.scores.ndim == 1:
        found[SCORE] = Type.NUMBER
    else:
        found.pop(SCORE, None)
    return found


def _type(kind: pa.DataType) -> Type | None:
    if pa.types.is_boolean(kind):
        return Type.TRUTH
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return Type.NUMBER
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return Type.TEXT if text or pa.types.is_string_view(kind) else None


def value_table(data: Predictions, columns: Sequence[str]) -> pa.Table:
    """Return the named columns, and the outcomes, as expressions read them."""
    made: dict[str, pa.Array[pa.Scalar[pa.DataType]]] = {}
    for name, values in ((LABEL, data.labels), (PREDICTION, data.predictions)):
        if data.task is Task.MULTICLASS:
            codes = pa.array(values, from_pandas=True).cast(pa.int32())
            made[name] = pa.DictionaryArray.from_arrays(codes, list(data.classes)).cast(pa.string())
        else:
            made[name] = pa.array(values, from_pandas=True)
    if data.scores.ndim == 1:
        made[SCORE] = pa.array(data.scores, from_pandas=True)
    wanted = {name: data.features[name] for name in columns if name not in made}
    return pa.table({**wanted, **{name: made[name] for name in columns if name in made}})


def measure_value(
    data: Predictions,
    metrics: Mapping[str, str] | Sequence[ValueMetric],
    every: timedelta | None = None,
    least: int = MIN_ROWS,
) -> tuple[Value, ...]:
    """Measure business metrics: of all rows, of each version and of each segment, by window.

    Parameters
    ----------
    data : Predictions
    metrics : mapping of str to str, or sequence of ValueMetric
        Names and texts, as `parse_metric` takes them.
    every : timedelta, optional
        Length of the windows; None: all rows are one. Needs timestamps.
    least : int
        Rows below which a figure has no interval.

    Returns
    -------
    tuple of Value

    Raises
    ------
    ConfigError
        If a metric is none, or windows are asked for without timestamps.

    Examples
    --------
    >>> score, label = np.array([0.9, 0.2] * 30), np.array([1.0, 0.0] * 30)
    >>> rows = pa.table({"amount": np.arange(60.0)})
    >>> data = Predictions(Task.BINARY, ("no", "yes"), 0.5, score, score.round(), label, rows)
    >>> found, = measure_value(data, {"caught": "amount if label == 1 and prediction == 1 else 0"})
    >>> round(found.estimate.value, 1), round(found.estimate.lower, 1), found.coverage
    (14.5, 9.6, 1.0)
    """
    if isinstance(metrics, Mapping):
        columns = value_columns(data)
        metrics = [parse_metric(name, text, columns) for name, text in metrics.items()]
    groups = tuple(_groups(data, every))
    found: list[Value] = []
    for metric in metrics:
        above, below = metric.amounts(value_table(data, sorted(metric.columns)))
        found += [
            _of_group(metric, group, rows, data, (above, below), least) for group, rows in groups
        ]
    return tuple(found)


def _of_group(
    metric: ValueMetric,
    group: Value,
    rows: NDArray[np.intp],
    data: Predictions,
    amounts: tuple[Floats, Floats],
    least: int,
) -> Value:
    above, below = amounts[0][rows], amounts[1][rows]
    weights = None if data.weights is None else data.weights[rows]
    return replace(
        group,
        name=metric.name,
        estimate=measure_rows(metric.kind, above, below, weights, least),
        rows=int(rows.size),
        coverage=float(data.known[rows].mean()) if rows.size else 0.0,
    )


def _groups(data: Predictions, every: timedelta | None) -> Iterator[tuple[Value, NDArray[np.intp]]]:
    """Yield which rows are measured together, and what to call them."""
    everything = np.arange(len(data))
    empty = Value("", missing("not measured"), 0, 0.0)
    sets: list[tuple[Value, NDArray[np.intp]]] = [(empty, everything)]
    if data.versions is not None:
        sets += [(replace(empty, version=name), rows) for name, rows in _by(data.versions)]
    segments = data.segments if data.segments is not None else pa.table({})
    for column in segments.column_names:
        sets += [
            (replace(empty, segment=(column, name)), rows) for name, rows in _by(segments[column])
        ]
    for label, rows in sets:
        if every is None:
            yield label, rows
        else:
            for window, inside in _windows(data, rows, every):
                yield replace(label, window=window), inside


def _by(column: pa.ChunkedArray[pa.StringScalar]) -> Iterator[tuple[str, NDArray[np.intp]]]:
    """Yield each value of a column and its rows; rows without a value are in none."""
    coded = column.combine_chunks().dictionary_encode()
    codes = np.asarray(coded.indices.fill_null(-1).to_numpy(), dtype=np.int64)
    order = np.argsort(codes, kind="stable")
    ends = np.searchsorted(codes[order], np.arange(len(coded.dictionary) + 1))
    names = coded.dictionary.to_pylist()
    for code in sorted(range(len(names)), key=lambda place: str(names[place])):
        yield str(names[code]), order[ends[code] : ends[code + 1]]


def _windows(
    data: Predictions, rows: NDArray[np.intp], every: timedelta
) -> Iterator[tuple[Window, NDArray[np.intp]]]:
    if data.timestamps is None:
        raise ConfigError("rows have no time to be divided by", "name the timestamp column")
    if every < _MICROSECOND:
        raise ConfigError("windows are longer than zero", "give for example timedelta(days=1)")
    windows, codes = cut_windows(data.timestamps[rows], every)
    order = np.argsort(codes, kind="stable")
    edges = np.searchsorted(codes[order], np.arange(len(windows) + 1))
    for place, window in enumerate(windows):
        yield window, rows[order[edges[place] : edges[place + 1]]]
