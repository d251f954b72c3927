"""Rows whose labels are complete: the only ones on which a model is judged or trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from homeostat.domain.admission import as_admitted
from homeostat.domain.answers import probability_array
from homeostat.domain.columns import answered, micros, texts, where
from homeostat.domain.model import ModelSpec, Task
from homeostat.domain.record import PROBABILITIES
from homeostat.domain.verdict import segment_name
from homeostat.domain.window import Window
from homeostat.engine.ports import PredictionLog

HOUR = 3_600_000_000
MATURED, AUDIT = "matured", "audit"
COLUMNS = ("prediction_id", "timestamp", "version", "role", "tier", "score")
MOST_SEGMENTS = 50
OTHERS = "(others)"
OVERRIDE = "override"
# Labels of an audited row that nobody answered are missing for reasons that do not depend on the
# row; the matured cohort waits for all.


@dataclass(frozen=True, slots=True)
class Cohort:
    """A set of rows and the age after which all labels it will ever have are known."""

    name: str
    maturity: timedelta
    column: str = ""


def cohorts(spec: ModelSpec) -> tuple[Cohort, ...]:
    """Return the model's cohorts, the one with the earliest labels first."""
    matured = Cohort(MATURED, spec.labels.maturity)
    audit = spec.labels.audit
    return (Cohort(AUDIT, audit.maturity, audit.column), matured) if audit else (matured,)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Predictions of one cohort in one window, with the labels known when it was read.

    ``rows`` holds answers and shadow scores of model tiers, without requests whose callers chose
    the version: they are no fair sample. ``asked`` counts the cohort's requests
    and ``known`` those with a label. ``strange`` counts logged rows with a label or an answer that
    is no class of the model: here they have none.
    """

    rows: pa.Table
    asked: int
    known: int
    strange: int = 0

    @property
    def coverage(self) -> float:
        """Share of the cohort's requests whose label is known; 0 if there were none."""
        return self.known / self.asked if self.asked else 0.0

    def of(self, version: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return scores and labels of the rows that a version scored, in log order."""
        mine = self._of(version)
        return _floats(mine, "score"), _floats(mine, "label")

    def probabilities(self, version: str, classes: int) -> NDArray[np.float64] | None:
        """Return one probability a class of the rows of `of`; None if they were not read."""
        if PROBABILITIES not in self.rows.column_names:
            return None
        return probability_array(self._of(version), classes)

    def hours(self, version: str) -> NDArray[np.int64]:
        """Return when the rows of `of` were scored, in hours since 1970 (UTC)."""
        return micros(self._of(version), "timestamp") // HOUR

    def paired(
        self, one: str, other: str
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return both versions' scores and the labels of the rows that both scored, in order."""
        first = self._of(one)
        second = self._of(other)
        if first.num_rows == 0 or second.num_rows == 0:
            empty = np.empty(0)
            return empty, empty, empty
        other_rows = {key: row for row, key in enumerate(texts(second, "prediction_id"))}
        at = [other_rows.get(key, -1) for key in texts(first, "prediction_id")]
        partner = np.asarray(at, dtype=np.int64)
        both = partner >= 0
        scores = _floats(second, "score")[partner[both]]
        return _floats(first, "score")[both], scores, _floats(first, "label")[both]

    def _of(self, version: str) -> pa.Table:
        return where(self.rows, "version", version)


def outcomes(
    log: PredictionLog,
    spec: ModelSpec,
    cohort: Cohort,
    window: Window,
    as_of: datetime,
    faults: tuple[Window, ...] = (),
    further: Sequence[str] = (),
) -> Outcomes:
    """Read a cohort's rows of a window with their labels as known at `as_of`.

    Rows that a data fault covers say nothing about the model and are left out. `further` columns
    are read with them.
    """
    return _outcomes(*_read(log, spec, cohort, window, as_of, faults, further))


def with_segments(
    log: PredictionLog,
    spec: ModelSpec,
    cohort: Cohort,
    window: Window,
    as_of: datetime,
    faults: tuple[Window, ...] = (),
) -> Iterator[tuple[str, Outcomes]]:
    """Yield what `outcomes` returns, named "", and the same of each of the model's segments.

    Rows of multi-class models come with their probabilities.
    """
    further = [PROBABILITIES] if spec.task is Task.MULTICLASS else []
    further += [name for names in spec.segment_columns for name in names]
    table, strange = _read(log, spec, cohort, window, as_of, faults, further)
    yield "", _outcomes(table, strange)
    for names in spec.segment_columns:
        for segment, rows in split(table, names):
            yield segment, _outcomes(rows)


def _read(
    log: PredictionLog,
    spec: ModelSpec,
    cohort: Cohort,
    window: Window,
    as_of: datetime,
    faults: tuple[Window, ...],
    further: Sequence[str] = (),
) -> tuple[pa.Table, int]:
    asked = [cohort.column] if cohort.column else []
    columns = list(dict.fromkeys((*COLUMNS, *asked, *further)))
    table = without(log.labelled(spec, window, as_of, columns), faults)
    if cohort.column:
        table = table.filter(pc.field(cohort.column))
    return as_admitted(spec, table)


def label_changes(
    log: PredictionLog, spec: ModelSpec, window: Window, since: datetime, now: datetime
) -> tuple[int, int]:
    """Count a window's labels that came, and those that were corrected, after `since`."""
    columns = ["prediction_id", "role"]
    then, known = (answered(log.labelled(spec, window, at, columns)) for at in (since, now))
    before, after = _floats(then, "label"), _floats(known, "label")
    came = np.isnan(before) & ~np.isnan(after)
    corrected = ~np.isnan(before) & ~np.isnan(after) & (before != after)
    return int(np.count_nonzero(came)), int(np.count_nonzero(corrected))


def _outcomes(table: pa.Table, strange: int = 0) -> Outcomes:
    asked = answered(table)
    known = asked.num_rows - asked["label"].null_count
    scored = where(table, "tier", "model").filter(~pc.field("label").is_null())
    chosen = where(asked, "role", OVERRIDE)["prediction_id"]
    if len(chosen):
        scored = scored.filter(~pc.field("prediction_id").isin(chosen))
    return Outcomes(scored, asked.num_rows, known, strange)


def split(
    table: pa.Table, names: Sequence[str], most: int = MOST_SEGMENTS
) -> Iterator[tuple[str, pa.Table]]:
    """Yield the rows of each combination of values, the most frequent first, and their name.

    Beyond `most` combinations, the rest are one segment of the value `OTHERS`.

    Examples
    --------
    >>> rows = pa.table({"land": ["FR", "DE", "AT", "DE"]})
    >>> [(name, part.num_rows) for name, part in split(rows, ["land"], most=1)]
    [('land=DE', 2), ('land=(others)', 2)]
    """
    # By place, not by name: a feature may be called whatever a helper is.
    keys = [str(place) for place in range(len(names))]
    numbers = pa.array(np.arange(table.num_rows, dtype=np.int64))
    columns = dict(zip(keys, table.select(list(names)).columns, strict=True))
    found = pa.table(columns | {"row": numbers}).group_by(keys).aggregate([("row", "list")])
    lists = found["row_list"].combine_chunks()
    parts = [
        (segment_name(names, [values[key] for key in keys]), np.asarray(rows.values))
        for values, rows in zip(found.select(keys).to_pylist(), lists, strict=True)
    ]
    parts.sort(key=lambda part: (-part[1].size, part[0]))
    rest = [rows for _, rows in parts[most:]]
    if rest:
        others = np.sort(np.concatenate(rest))
        parts[most:] = [(segment_name(names, [OTHERS] * len(names)), others)]
    for name, rows in parts:
        yield name, table.take(pa.array(rows))


def _floats(table: pa.Table, column: str) -> NDArray[np.float64]:
    return np.asarray(table[column].to_numpy(), dtype=np.float64)


def without(table: pa.Table, excluded: tuple[Window, ...]) -> pa.Table:
    """Return the rows whose timestamp lies in none of the windows."""
    if not excluded or table.num_rows == 0:
        return table
    moments = table["timestamp"].to_numpy()
    bad = np.zeros(table.num_rows, dtype=bool)
    for window in excluded:
        start, end = (
            np.datetime64(t.replace(tzinfo=None), "us") for t in (window.start, window.end)
        )
        bad |= (moments >= start) & (moments < end)
    return table.filter(pa.array(~bad))
