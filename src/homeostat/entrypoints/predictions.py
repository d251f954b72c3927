"""Reads tables of predictions and labels, whatever they come as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt
from numpy.typing import NDArray

from homeostat.domain.admission import SUM_SLACK
from homeostat.domain.columns import float_array, micros
from homeostat.domain.errors import DataError
from homeostat.domain.model import ColumnKind, Task
from homeostat.domain.predictions import (
    NEVER,
    Floats,
    Micros,
    Predictions,
    PredictionSpec,
    to_micros,
)
from homeostat.domain.repeats import drop_repeats
from homeostat.entrypoints.classes import (
    MOST_CLASSES,
    as_named,
    natural,
    two_classes,
    unknown_classes,
)
from homeostat.entrypoints.frames import Data, open_rows
from homeostat.entrypoints.windows import EARLIEST, LATEST, SPAN, check_spec
from homeostat.profiles.cast import Chunks, Texts, read_as
from homeostat.profiles.profile import Profile

TINY = 1e-100
"""Weight whose square, beside that of a weight of 1, still is a number."""
BLANKS = ("", "nan", "NaN", "NaT", "None", "null", "<NA>")
"""How a missing class, version or segment is written as text."""


def read_predictions(
    data: Data,
    spec: PredictionSpec,
    role: str = "data",
    *,
    labelled: bool = False,
    unknown: bool = False,
) -> Predictions:
    """Read scored rows as arrays.

    Parameters
    ----------
    data : dataframe, mapping of columns or path
        As for `homeostat.compare`, but no profile.
    spec : PredictionSpec
        Which columns are what.
    role : str
        What to call the data in messages.
    labelled : bool
        Whether there must be columns of labels and of all features that `spec` names.
    unknown : bool
        Whether classes that a multi-class model does not know count, as ones that it gives no
        chance; else their rows have no label.

    Returns
    -------
    Predictions
        Values that cannot be used are NaN; its problems say how many there were and why.

    Raises
    ------
    NotFoundError, DataError
        If the data cannot be read, lack a column that `spec` names, or hold classes that cannot be
        told apart.

    Examples
    --------
    >>> rows = {"score": [0.2, 0.9, 7.0], "label": ["no", "yes", None], "amount": [5, 7, 9]}
    >>> found = read_predictions(rows, PredictionSpec("binary"))
    >>> found.labels.tolist(), found.problems
    ([0.0, 1.0, nan], ('1 of 3 scores are outside 0 to 1: left out',))
    """
    check_spec(spec)
    opened = open_rows(data, role)
    if isinstance(opened, Profile):
        raise DataError(f"{role} is a profile, which holds no predictions: give the rows")
    names = set(opened.names)
    absent = [n for n in (*spec.used, *spec.segments, *spec.features) if n not in names]
    optional = set() if labelled else {spec.label, spec.arrival, *spec.features}
    if set(absent) - optional:
        wanted = ", ".join(repr(name) for name in absent if name not in optional)
        raise DataError(f"{role} has no column {wanted}; there are {', '.join(opened.names)}")
    for name in spec.used:
        if name in opened.problems:
            raise DataError(f"{role}, column {name!r}: {opened.problems[name]}")
    reader = Reader(spec, pa.concat_tables(list(opened.pieces())), role, labelled, unknown)
    return reader.read()


@dataclass(slots=True)
class Reader:
    """Reads one table, collecting what is wrong with it.

    ``labelled`` and ``unknown`` are as of `read_predictions`.
    """

    spec: PredictionSpec
    table: pa.Table
    role: str
    labelled: bool
    unknown: bool
    problems: list[str] = field(default_factory=list)

    def read(self) -> Predictions:
        """Return the rows, one of each id."""
        kept, repeats = drop_repeats(self.scored())
        return replace(kept, problems=(*self.problems, *repeats))

    def classes(self) -> tuple[str, ...]:
        """Return the classes, after a look for labels that none of them is."""
        found = self._classes()
        self._unknown(found)
        return found

    def scored(self) -> Predictions:
        """Return all rows."""
        spec = self.spec
        classes = () if spec.task is Task.REGRESSION else self._classes()
        scores = self._scores(classes)
        new = self._unknown(classes)
        if new:
            classes = (*classes, *new)
            if scores.shape[1]:
                # No chance for what the model does not know, and none known where its own are not.
                scores = np.column_stack((scores, *[scores[:, 0] * 0.0] * len(new)))
        labels = self._values(spec.label, classes, "labels")
        timestamps = self._times(spec.timestamp)
        return Predictions(
            Task(spec.task),
            classes,
            spec.threshold,
            scores,
            self._predictions(scores, classes),
            labels,
            self.table.select(self._features()),
            timestamps,
            self._arrivals(labels, timestamps),
            self._weights(),
            self.texts(spec.version) if spec.version else None,
            pa.table({name: self.texts(name) for name in spec.segments}),
            self.texts(spec.prediction_id) if spec.prediction_id else None,
            problems=tuple(self.problems),
        )

    def _features(self) -> Sequence[str]:
        used = set(self.spec.used)
        there = self.table.column_names
        return [n for n in self.spec.features or there if n in there and n not in used]

    def _classes(self) -> tuple[str, ...]:
        spec = self.spec
        if spec.classes:
            return spec.classes
        if not isinstance(spec.score, str):
            return tuple(spec.score)
        named = [name for name in (spec.label, spec.prediction) if name in self.table.column_names]
        if spec.task is Task.MULTICLASS and spec.score:
            named.append(spec.score)
        seen = {name: self.texts(name).unique().drop_null().to_pylist() for name in named}
        columns = {name: sorted(map(str, texts), key=natural) for name, texts in seen.items()}
        if spec.task is Task.BINARY:
            return two_classes(columns, self.role)
        values = sorted(set(chain.from_iterable(columns.values())), key=natural)
        if len(values) > MOST_CLASSES:
            raise DataError(f"{self.role} has {len(values)} classes; at most {MOST_CLASSES}")
        return tuple(values)

    def _unknown(self, classes: tuple[str, ...]) -> tuple[str, ...]:
        """Return classes that labels have and the spec has not, where they are to count."""
        spec = self.spec
        named = spec.classes or not isinstance(spec.score, str)
        if not (named and self.labelled and spec.label in self.table.column_names):
            return ()
        texts = self.texts(spec.label)
        where = f"{self.role}, column {spec.label!r}"
        new = unknown_classes(texts, classes, where, binary=spec.task is Task.BINARY)
        if spec.task is Task.BINARY or not self.unknown or not new:
            return ()
        count = int(np.count_nonzero(pc.is_in(texts, value_set=pa.array(new, pa.string()))))
        self.problems.append(
            f"{count:,} of {len(texts):,} labels are classes that the model does not know "
            f"({', '.join(map(ascii, new[:5]))}): predicted wrongly"
        )
        return new

    def _scores(self, classes: tuple[str, ...]) -> Floats:
        spec, n = self.spec, self.table.num_rows
        if not isinstance(spec.score, str):
            return self._probabilities(spec.score, classes)
        if spec.task is Task.MULTICLASS:
            return np.empty((n, 0))
        if not spec.score:
            return np.full(n, np.nan)
        values = self._numbers(spec.score, "scores")
        if spec.task is Task.REGRESSION:
            return self._without(values, np.isinf(values), "scores are infinite")
        outside = (values < 0.0) | (values > 1.0)
        return self._without(values, outside, "scores are outside 0 to 1")

    def _probabilities(self, columns: Mapping[str, str], classes: tuple[str, ...]) -> Floats:
        if set(columns) != set(classes):
            raise DataError(
                f"score names columns for {', '.join(columns)}; the classes are "
                f"{', '.join(classes)}: name one column for each"
            )
        parts = [self._numbers(columns[name], f"scores of class {name!r}") for name in classes]
        values = np.stack(parts, axis=1)
        wrong = ((values < 0.0) | (values > 1.0)).any(axis=1)
        wrong |= np.abs(values.sum(axis=1) - 1.0) > SUM_SLACK
        return self._without(values, wrong, "rows of scores are no probabilities that sum to 1")

    def _predictions(self, scores: Floats, classes: tuple[str, ...]) -> Floats:
        spec = self.spec
        if spec.prediction:
            return self._values(spec.prediction, classes, "predictions")
        if spec.task is Task.REGRESSION:
            return scores
        if spec.task is Task.BINARY:
            return np.where(np.isnan(scores), np.nan, (scores >= spec.threshold).astype(np.float64))
        if isinstance(spec.score, str):
            return self._values(spec.score, classes, "predictions")
        broken = np.asarray(np.isnan(scores).any(axis=1))
        likeliest = np.nan_to_num(scores).argmax(axis=1)
        return np.where(broken, np.nan, likeliest.astype(np.float64))

    def _values(self, name: str, classes: tuple[str, ...], what: str) -> Floats:
        """Return class indices, or numbers of a regression; NaN where there is no value."""
        if name not in self.table.column_names:
            return np.full(self.table.num_rows, np.nan)
        if self.spec.task is Task.REGRESSION:
            numbers = self._numbers(name, what)
            return self._without(numbers, np.isinf(numbers), f"{what} are infinite")
        read = self.texts(name)
        if self.spec.task is Task.BINARY:
            read = as_named(read, classes)
        texts = read.combine_chunks()
        encoded = pc.index_in(texts, value_set=pa.array(classes, pa.string()))
        indices = float_array(pa.chunked_array([encoded.cast(pa.float64())]))
        unknown = np.isnan(indices) & np.asarray(texts.is_valid())
        share = f"{what} are none of the classes {', '.join(classes[:5])}"
        return self._without(indices, unknown, share)

    def _numbers(self, name: str, what: str) -> Floats:
        column = self.table.column(name)
        try:
            read = read_as(column, ColumnKind.NUMERIC)
        except pa.ArrowException:
            raise DataError(
                f"{self.role}, column {name!r} holds {column.type} values, which are no numbers"
            ) from None
        lost = read.null_count - column.null_count
        if lost:
            self.problems.append(f"{lost:,} of {len(column):,} {what} are no numbers: left out")
        return float_array(read)

    def texts(self, name: str) -> Texts:
        """Return a column of names, null where there is none."""
        column = self.table.column(name)
        if pt.is_floating(column.type):  # NaN is how a missing class comes in a float column
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        try:
            texts = cast("Texts", read_as(column, ColumnKind.CATEGORICAL))
        except pa.ArrowException:
            raise DataError(
                f"{self.role}, column {name!r} holds {column.type} values, which name nothing"
            ) from None
        blank = pc.is_in(pc.utf8_trim_whitespace(texts), value_set=pa.array(BLANKS))
        return cast("Texts", pc.if_else(blank, pa.scalar(None, pa.string()), texts))

    def _without(self, values: Floats, wrong: NDArray[np.bool_], what: str) -> Floats:
        count = int(wrong.sum())
        if not count:
            return values
        self.problems.append(f"{count:,} of {wrong.size:,} {what}: left out")
        values = values.copy()
        values[wrong] = np.nan
        return values

    def _times(self, name: str) -> Micros | None:
        """Return times; what no window can hold is not known."""
        if not name:
            return None
        times = self._any_times(name)
        odd = (times != NEVER) & ((times < EARLIEST) | (times >= LATEST))
        if odd.any():
            self.problems.append(
                f"{int(odd.sum()):,} of {odd.size:,} times of {name!r} are {SPAN}: taken as unknown"
            )
        return np.where(odd, NEVER, times)

    def _any_times(self, name: str) -> Micros:
        column = self.table.column(name)
        kind = column.type
        if pt.is_null(kind):
            return np.full(self.table.num_rows, NEVER)
        if pt.is_timestamp(kind) or pt.is_date(kind):
            zone = getattr(kind, "tz", None)
            moments = pc.cast(column, pa.timestamp("us", zone), safe=False).cast(pa.int64())
            return _filled(moments)
        if not (pt.is_string(kind) or pt.is_large_string(kind)):
            raise DataError(
                f"{self.role}, column {name!r} holds {kind} values: give times, or texts such as "
                "2024-01-31T12:00:00"
            )
        try:
            moments = column.cast(pa.timestamp("us")).cast(pa.int64())
        except pa.ArrowInvalid:  # zones, or values that are no times: slower
            return self._written_times(name, cast("list[str | None]", column.to_pylist()))
        return _filled(moments)

    def _written_times(self, name: str, texts: Sequence[str | None]) -> Micros:
        """Read ISO 8601 texts; those without a zone are in UTC."""
        found = np.array([_moment(text) for text in texts], dtype=np.int64)
        unread = int(sum(bool(text) for text in texts)) - int((found != NEVER).sum())
        if unread and unread == sum(bool(text) for text in texts):
            example = next(text for text in texts if text)
            raise DataError(
                f"{self.role}, column {name!r} is no time: {example[:40]!r}; write texts such as "
                "2024-01-31T12:00:00Z"
            )
        if unread:
            self.problems.append(f"{unread:,} of {found.size:,} values of {name} are no times")
        return found

    def _arrivals(self, labels: Floats, timestamps: Micros | None) -> Micros | None:
        """Return when labels became known; one without a time was there from the first."""
        if self.spec.arrival not in self.table.column_names:
            return None
        given = self._times(self.spec.arrival)
        assert given is not None
        known = ~np.isnan(labels)
        asked = np.zeros(labels.size, np.int64) if timestamps is None else timestamps
        arrivals = np.where(given == NEVER, asked, given)
        early = int((known & (arrivals < asked) & (asked != NEVER)).sum())
        if early:
            self.problems.append(
                f"{early:,} labels arrived before their prediction: taken as given"
            )
        return np.where(known, arrivals, NEVER)

    def _weights(self) -> Floats | None:
        if not self.spec.weight:
            return None
        weights = self._numbers(self.spec.weight, "weights")
        wrong = ~(weights >= 0.0) | np.isinf(weights)
        if wrong.any():
            count = int(wrong.sum())
            self.problems.append(f"{count:,} of {wrong.size:,} weights are no weights: taken as 0")
        return self._in_range(np.where(wrong, 0.0, weights))

    def _in_range(self, weights: Floats) -> Floats:
        """Scale weights whose squares no float holds: only their ratios count."""
        largest = float(weights.max(initial=0.0))
        if largest and not TINY <= largest <= 1.0 / TINY:
            self.problems.append(f"weights are up to {largest:.3g}: scaled so that it is 1")
            weights, largest = weights / largest, 1.0
        faint = (weights > 0.0) & (weights < TINY * largest)
        if faint.any():
            count = f"{int(faint.sum()):,} of {faint.size:,} weights"
            self.problems.append(f"{count} are too small beside {largest:.3g}: taken as 0")
        return np.where(faint, 0.0, weights)


def _filled(moments: Chunks) -> Micros:
    filled = pc.if_else(moments.is_valid(), moments, pa.scalar(NEVER))
    return micros(pa.table({"at": filled}), "at")


def _moment(text: str | None) -> int:
    try:
        return to_micros(datetime.fromisoformat(text.strip())) if text else NEVER
    except (ValueError, OverflowError):
        return NEVER
