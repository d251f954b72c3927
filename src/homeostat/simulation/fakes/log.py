"""The prediction log in memory."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
import pyarrow as pa

from homeostat.domain.admission import Problems, admit_labels, admit_predictions
from homeostat.domain.clock import Clock
from homeostat.domain.columns import answered, micros, texts, where
from homeostat.domain.model import ColumnKind, ModelSpec
from homeostat.domain.record import TIMESTAMP, arrival_of, prediction_schema
from homeostat.domain.segments import columns_of, groups, in_segment
from homeostat.domain.window import EPOCH, Window
from homeostat.engine.ports import Receipt, Rejected
from homeostat.profiles.build import profile_table
from homeostat.profiles.profile import Profile

DAY, HOUR = 86_400_000_000, 3_600_000_000
MICROSECOND = timedelta(microseconds=1)
ORDER: list[tuple[str, Literal["ascending", "descending"]]] = [
    (name, "ascending") for name in ("timestamp", "prediction_id", "version")
]
KEY = "prediction_id"
OTHER_CONTENT = ("prediction_id", "is logged already with another timestamp or score")


@dataclass
class _Model:
    days: dict[int, list[pa.Table]] = field(default_factory=lambda: defaultdict(list))
    ordered: set[int] = field(default_factory=set)
    keys: dict[tuple[str, str], tuple[datetime, float]] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)
    hours: Counter[int] = field(default_factory=Counter)
    labels: dict[str, dict[str, list[tuple[datetime, float]]]] = field(
        default_factory=lambda: defaultdict(dict)
    )


@dataclass
class MemoryLog:
    """Implements `homeostat.engine.ports.PredictionLog`; what it holds ends with the process."""

    clock: Clock
    quarantine: list[tuple[str, Rejected]] = field(default_factory=list)
    _models: dict[str, _Model] = field(default_factory=lambda: defaultdict(_Model))
    _landed: int = 0

    def append(self, spec: ModelSpec, rows: pa.Table) -> Receipt:
        """Store prediction records; raises DataError on a column that the model does not have."""
        table, problems = admit_predictions(spec, rows, self.clock.now())
        model = self._models[spec.name]
        fresh: list[int] = []
        fields = ("prediction_id", "version", "timestamp", "score")
        values = zip(*(table.column(name).to_pylist() for name in fields), strict=True)
        for row, (key, version, at, score) in enumerate(values):
            if row in problems:
                continue
            stored = model.keys.get((key, version))
            if stored is None:
                model.keys[key, version] = (at, score)
                model.ids.add(key)
                fresh.append(row)
            elif stored != (at, score):
                problems[row] = OTHER_CONTENT
        self._landed += len(fresh)
        self._keep(model, table.take(pa.array(fresh, pa.int64())))
        return self._receipt(spec, len(rows), len(fresh), problems)

    def _keep(self, model: _Model, table: pa.Table) -> None:
        days = micros(table, "timestamp") // DAY
        for day in np.unique(days).tolist():
            blocks = model.days[day]
            block = table.filter(pa.array(days == day))
            # Merged like the digits of a binary counter: many small appends stay a few tables.
            while blocks and len(blocks[-1]) <= 2 * len(block):
                block = pa.concat_tables([blocks.pop(), block]).combine_chunks()
            blocks.append(block)
            model.ordered.discard(day)
        model.hours.update((micros(answered(table), "timestamp") // HOUR).tolist())

    def append_labels(self, spec: ModelSpec, labels: pa.Table) -> Receipt:
        """Store labels; the same label twice is a duplicate."""
        table, problems = admit_labels(spec, labels, self.clock.now())
        model = self._models[spec.name]
        accepted = 0
        fields = ("prediction_id", "outcome", "arrival", "label")
        values = zip(*(table.column(name).to_pylist() for name in fields), strict=True)
        for row, (key, outcome, arrival, label) in enumerate(values):
            if row in problems:
                continue
            known = model.labels[outcome].setdefault(key, [])
            if (arrival, label) not in known:
                known.append((arrival, label))
                if len(known) > 1:
                    known.sort()
                accepted += 1
        self._landed += accepted
        return self._receipt(spec, len(labels), accepted, problems)

    def _receipt(self, spec: ModelSpec, sent: int, accepted: int, problems: Problems) -> Receipt:
        rejected = tuple(Rejected(row, *problems[row]) for row in sorted(problems))
        self.quarantine += ((spec.name, entry) for entry in rejected)
        return Receipt(accepted, sent - accepted - len(rejected), rejected)

    def rows(
        self, spec: ModelSpec, window: Window, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Return the records in the window, by timestamp, prediction_id and version."""
        start, end = ((at - EPOCH) // MICROSECOND for at in (window.start, window.end))
        model = self._models[spec.name]
        names = None if columns is None else list(columns)
        found: list[pa.Table] = []
        for day in range(start // DAY, (end - 1) // DAY + 1):
            if day in model.days:
                rows = _ordered(model, day)
                first, last = np.searchsorted(micros(rows, "timestamp"), (start, end)).tolist()
                rows = rows if names is None else rows.select(names)
                found.append(rows.slice(first, last - first))
        if not found:
            empty = prediction_schema(spec).empty_table()
            found.append(empty if names is None else empty.select(names))
        return pa.concat_tables(found).combine_chunks()

    def stretches(self, spec: ModelSpec, window: Window) -> tuple[Window, ...]:
        """Return the window: all is in memory anyway."""
        del spec
        return (window,)

    def labelled(
        self, spec: ModelSpec, window: Window, as_of: datetime, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Return `rows` with ``label`` and ``arrival`` as known at `as_of`; null: not yet."""
        names = {title: name for name in spec.outcomes for title in (name, arrival_of(name))}
        asked = [title for title in columns or () if title in names]
        wanted = None if columns is None else [name for name in columns if name not in asked]
        read = wanted if wanted is None or KEY in wanted else [*wanted, KEY]
        table = self.rows(spec, window, read)
        ids = texts(table, KEY)
        values, arrivals = self._of(spec, ids, "", as_of)
        table = table if wanted is None else table.select(wanted)
        for title in asked:
            told = self._of(spec, ids, names[title], as_of)
            table = table.append_column(title, told[title != names[title]])
        return table.append_column("label", values).append_column("arrival", arrivals)

    def _of(
        self, spec: ModelSpec, ids: list[str], outcome: str, as_of: datetime
    ) -> tuple[pa.Array[pa.Scalar[pa.DataType]], pa.Array[pa.Scalar[pa.DataType]]]:
        labels = self._models[spec.name].labels[outcome]
        known = [_known(labels.get(key, ()), as_of) for key in ids]
        return (
            pa.array([pair and pair[1] for pair in known], pa.float64()),
            pa.array([pair and pair[0] for pair in known], TIMESTAMP),
        )

    def profile(
        self, spec: ModelSpec, window: Window, version: str = "", segment: str = ""
    ) -> Profile:
        """Return the profile of what was answered in the window (shadows left out)."""
        table = answered(self.rows(spec, window))
        if segment:
            table = in_segment(table, columns_of(spec, segment), segment)
        if version:
            table = where(table, "version", version)
        kinds = {column.name: column.kind for column in spec.schema.columns}
        personal = tuple(column.name for column in spec.schema.columns if column.personal)
        kinds["score"] = ColumnKind.NUMERIC
        return profile_table(table, kinds, personal, pairs=True)

    def counts(self, spec: ModelSpec, window: Window) -> tuple[int, ...]:
        """Return the rows of `profile` in each hour of a window that consists of whole hours."""
        first, last = ((at - EPOCH) // MICROSECOND // HOUR for at in (window.start, window.end))
        hours = self._models[spec.name].hours
        return tuple(hours[hour] for hour in range(first, last))

    def segments(self, spec: ModelSpec, window: Window) -> dict[str, int]:
        """Return the rows of each segment in the hours of a window."""
        table = answered(self.rows(spec, window))
        personal = {column.name for column in spec.schema.columns if column.personal}
        told = [names for names in spec.segment_columns if personal.isdisjoint(names)]
        found: Counter[str] = Counter()
        for names in told:
            found.update({name: len(rows) for name, rows in groups(table, names)})
        return dict(found)

    def roll(self, now: datetime) -> int:
        """Return the rows that landed since the last roll: memory has no files to move them to."""
        del now
        moved, self._landed = self._landed, 0
        return moved

    def tidy(self, now: datetime) -> int:
        """Return zero: memory has no files to merge."""
        del now
        return 0

    def orphans(self, spec: ModelSpec, older_than: datetime) -> int:
        """Count labels that arrived before `older_than` and whose prediction is still unknown."""
        model = self._models[spec.name]
        return len(
            {
                key
                for labels in model.labels.values()
                for key, pairs in labels.items()
                if key not in model.ids and pairs[0][0] < older_than
            }
        )


def _ordered(model: _Model, day: int) -> pa.Table:
    """Return the rows of a day in order: it is read far more often than written to."""
    if day not in model.ordered:
        model.days[day] = [pa.concat_tables(model.days[day]).sort_by(ORDER).combine_chunks()]
        model.ordered.add(day)
    return model.days[day][0]


def _known(
    pairs: Sequence[tuple[datetime, float]], as_of: datetime
) -> tuple[datetime, float] | None:
    if len(pairs) == 1:
        return pairs[0] if pairs[0][0] <= as_of else None
    found: tuple[datetime, float] | None = None
    for arrival, label in pairs:
        if arrival <= as_of and (found is None or found[1] != label):
            found = (arrival, label)
    return found
