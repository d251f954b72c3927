"""Tallies of scored rows, as work: of all of them, and by window, version and segment."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from homeostat.adapters.profilers.parts import Cell, Part
from homeostat.detectors.performance import distributed
from homeostat.detectors.performance.cohorts import MICRO, mature, partings
from homeostat.detectors.performance.tallied import Tallied, tally_rows
from homeostat.domain.admission import as_admitted, class_count
from homeostat.domain.columns import answered, float_array, micros, where
from homeostat.domain.evaluation import OVERALL, WINDOW
from homeostat.domain.model import ModelSpec, Task
from homeostat.domain.predictions import NEVER, Floats, Predictions
from homeostat.domain.record import LABEL_SCHEMA, PROBABILITIES, prediction_schema
from homeostat.domain.segments import groups
from homeostat.domain.window import EPOCH, Window
from homeostat.profiles.tallies import Chunks

MOST_CELLS = 20_000
"""Windows, versions and segments of one task's rows."""

_COUNTED = re.compile(r"([\d,]+) (?:of [\d,]+ )?(.*)", re.DOTALL)


class Reading(Protocol):
    """Reads a table as scored rows; it can be sent to another process."""

    def __call__(self, table: pa.Table) -> Predictions:
        """Return the rows; raises ValueError or DataError if they cannot be read."""
        ...


@dataclass(frozen=True, slots=True)
class Performance:
    """Tallies of the rows that count.

    Attributes
    ----------
    read : Reading
    window : timedelta or None
        Of windows of time.
    maturity : timedelta or None
        Younger predictions are left out.
    as_of : datetime or None
        What "now" is.
    """

    read: Reading
    window: timedelta | None = None
    maturity: timedelta | None = None
    as_of: datetime | None = None

    def cells(self, table: pa.Table) -> Iterator[tuple[Cell, Part]]:
        """Yield the tally of all rows, and of each part of them."""
        rows = mature(self.read(table), None, self.as_of, matured=False).rows
        if self.maturity is not None:
            # Whether labels come later than they should is not looked at: that is no sum.
            rows = mature(
                replace(rows, arrivals=None), self.maturity, self.as_of, matured=True
            ).rows
        yield (0, json.dumps([OVERALL, ""])), tally_rows(rows, _notes(rows.problems))
        for parting in partings(rows, self.window):
            if len(parting.names) > MOST_CELLS:
                raise ValueError(
                    f"{parting.by} has over {MOST_CELLS:,} values: leave it out, or take longer "
                    "windows"
                )
            starts = [window.start for window in parting.windows]
            order = np.argsort(parting.codes, kind="stable")
            edges = np.searchsorted(parting.codes[order], np.arange(len(parting.names) + 1))
            for place, name in enumerate(parting.names):
                part = rows.take(order[edges[place] : edges[place + 1]])
                start = (starts[place] - EPOCH) // MICRO if starts else 0
                yield (start, json.dumps([parting.by, name])), tally_rows(part)


def cells_of(
    found: Mapping[Cell, Part], window: timedelta | None
) -> dict[distributed.Cell, Tallied]:
    """Return tallies by which rows they are of."""
    told: dict[distributed.Cell, Tallied] = {}
    for (start, segment), part in found.items():
        by, name = json.loads(segment)
        span = None
        if by == WINDOW and window is not None:
            begin = EPOCH + start * MICRO
            span = Window(begin, begin + window)
        told[distributed.Cell(by, name, span)] = cast("Tallied", part)
    return told


def _notes(problems: Iterable[str]) -> dict[str, int]:
    """Return what sentences such as "2 of 9 scores are odd" say, so that it adds up.

    Examples
    --------
    >>> _notes(["2 of 9 scores are odd", "1,000 labels are late"])
    {'scores are odd': 2, 'labels are late': 1000}
    """
    found: dict[str, int] = {}
    for sentence in problems:
        counted = _COUNTED.fullmatch(sentence)
        if counted:
            rows, text = int(counted[1].replace(",", "")), counted[2]
            found[text] = found.get(text, 0) + rows
    return found


FIELDS = ("prediction_id", "timestamp", "version", "role", "tier", "score", "prediction")


@dataclass(frozen=True, slots=True)
class Logged:
    """Reads records of the prediction log with their labels: what a model answered to callers.

    ``version`` is the only one to read; empty: all.
    """

    spec: ModelSpec
    version: str = ""

    @property
    def classes(self) -> tuple[str, ...]:
        """What the model's classes are called; none of a regression."""
        return self.spec.classes or tuple(map(str, range(class_count(self.spec))))

    @property
    def columns(self) -> tuple[str, ...]:
        """The fields that are read."""
        chances = (PROBABILITIES,) if self.spec.task is Task.MULTICLASS else ()
        named = (name for names in self.spec.segment_columns for name in names)
        return tuple(dict.fromkeys((*FIELDS, *chances, *named)))

    def __call__(self, table: pa.Table) -> Predictions:
        """Return the rows."""
        spec = self.spec
        rows = where(answered(table), "tier", "model")
        rows = where(rows, "version", self.version) if self.version else rows
        table, strange = as_admitted(spec, rows)
        labels, scores = (float_array(table.column(name)) for name in ("label", "score"))
        said, shown = scores, scores
        if spec.task is Task.BINARY:
            shown = np.clip(scores, 0.0, 1.0)
            said = np.where(np.isnan(shown), np.nan, (shown >= spec.threshold) * 1.0)
        elif spec.task is Task.MULTICLASS:
            shown = _probabilities(table, class_count(spec))
        arrived = table.column("arrival").cast(pa.int64())
        arrivals = cast("Chunks", pc.fill_null(arrived, pa.scalar(NEVER)))
        problems = (f"{strange:,} rows are of classes that the model does not have",)
        return Predictions(
            spec.task,
            self.classes,
            spec.threshold,
            shown,
            said,
            labels,
            table.select([]),
            micros(table, "timestamp"),
            np.asarray(arrivals.to_numpy(), np.int64),
            versions=table.column("version"),
            segments=self._segments(table),
            problems=problems if strange else (),
        )

    def nothing(self) -> Predictions:
        """Return no rows."""
        schema = pa.schema([item for item in prediction_schema(self.spec) if item.name in FIELDS])
        labels = [item for item in LABEL_SCHEMA if item.name not in FIELDS]
        return self(pa.schema([*schema, *labels]).empty_table())

    def _segments(self, table: pa.Table) -> pa.Table:
        columns = {}
        for title, names in zip(self.spec.segments, self.spec.segment_columns, strict=True):
            table = _complete(table, names)
            named = np.full(len(table), "", object)
            for name, rows in groups(table, names):
                named[rows] = name
            columns[title] = pa.chunked_array([pa.array(named.tolist(), pa.string())])
        return pa.table(columns)


def _complete(table: pa.Table, names: Iterable[str]) -> pa.Table:
    """Return the table with nulls for the columns that it lacks."""
    for name in names:
        if name not in table.column_names:
            table = table.append_column(name, pa.chunked_array([pa.nulls(len(table), pa.string())]))
    return table


def _probabilities(table: pa.Table, classes: int) -> Floats:
    """Return the probabilities of each class, NaN where there are not as many; shape (n, k)."""
    found = np.full((len(table), classes), np.nan)
    if PROBABILITIES in table.column_names:
        lists = table.column(PROBABILITIES)
        sizes = cast("Chunks", pc.list_value_length(lists))
        whole = np.asarray(pc.fill_null(sizes, pa.scalar(-1, pa.int32()))) == classes
        chances = cast("Chunks", pc.list_flatten(lists.filter(pa.array(whole))))
        found[whole] = float_array(chances).reshape(-1, classes)
    return found
