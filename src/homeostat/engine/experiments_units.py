"""From rows of the prediction log to figures of entities.

An entity is who a prediction is about, or the prediction itself where nobody is named: what the
traffic split deals out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import product

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from homeostat.domain.columns import by_split, float_array, micros, texts
from homeostat.domain.model import ModelSpec
from homeostat.domain.record import ARM, TIMESTAMP
from homeostat.domain.segments import groups
from homeostat.domain.window import EPOCH, Window
from homeostat.engine.ports import PredictionLog
from homeostat.rollout.experiment.design import Kind, Metric
from homeostat.rollout.experiment.plan import SERVING, ExperimentPlan, Source
from homeostat.rollout.experiment.stored import Stored, store
from homeostat.rollout.experiment.tally import Tally, measure

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

LEAST_TIME = 1e-9
"""Milliseconds; a latency that is not above 0 was not measured."""
LARGEST = 1e60
MOST_SEGMENTS = 50
"""Segments of a look, those of the most entities."""
BASE = ("prediction_id", "timestamp", "role", "tier", "entity")
_FIRST: dict[str, pa.DataType] = {"unit": pa.string(), "at": TIMESTAMP, "role": pa.string()}
FIRSTS = pa.schema(_FIRST)


@dataclass(frozen=True)
class Units:
    """Figures of entities.

    Attributes
    ----------
    arms : tuple of str
        The arm of each; empty of those that were dealt none.
    figures : mapping of metric to (values, companions)
        NaN: not known.
    segments : mapping of segment to places
    """

    arms: NDArray[np.str_]
    figures: Mapping[str, tuple[Floats, Floats | None]]
    segments: Mapping[str, Codes] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.arms)

    def tally(self, metrics: Sequence[Metric], places: NDArray[np.intp]) -> Tally:
        """Sum up some of them."""
        found = {}
        for metric in metrics:
            values, companions = self.figures[metric.name]
            x = None if companions is None else companions[places]
            found[metric.name] = measure(metric, values[places], x)
        return Tally(len(places), found)

    def tallies(self, arms: Sequence[str], metrics: Sequence[Metric]) -> tuple[Stored, ...]:
        """Sum up each arm, and each of its segments."""
        found = []
        whole = {"": np.arange(len(self))}
        for arm, (name, places) in product(arms, {**whole, **self.segments}.items()):
            chosen = places[self.arms[places] == arm]
            if chosen.size:
                found.append(store(arm, self.tally(metrics, chosen), name))
        return tuple(found)


@dataclass(frozen=True)
class Firsts:
    """When each entity was first met, and in which role.

    Attributes
    ----------
    met : pyarrow.Table
        ``unit``, ``at`` and ``role``, one row an entity.
    """

    met: pa.Table

    def within(self, window: Window) -> pa.Table:
        """Return the entities that were first met in a window."""
        start, end = _micro(window.start), _micro(window.end)
        at = micros(self.met, "at")
        return self.met.filter(pa.array((at >= start) & (at < end)))


def first_met(log: PredictionLog, spec: ModelSpec, window: Window, *, arms: bool = True) -> Firsts:
    """Read when entities were first met in a window: by an arm, or by anybody.

    It is read anew each time, so that rows that come late are where they belong.
    """
    met = FIRSTS.empty_table()
    for part in log.stretches(spec, window):
        rows = log.rows(spec, part, BASE)
        rows = dealt(rows) if arms else by_split(rows)
        new = pa.table([units_of(rows), rows["timestamp"], rows["role"]], schema=FIRSTS)
        first = (
            pa.concat_tables([met, new])
            .group_by("unit", use_threads=False)
            .aggregate([("at", "first"), ("role", "first")])
        )
        met = pa.table([first["unit"], first["at_first"], first["role_first"]], schema=FIRSTS)
    return Firsts(met)


def dealt(rows: pa.Table) -> pa.Table:
    """Return the rows that were answered for an arm."""
    return rows.filter(pc.starts_with(rows.column("role"), pattern=ARM))


def units_of(rows: pa.Table) -> pa.ChunkedArray[pa.StringScalar]:
    """Return whom each row is about; itself, where nobody is named.

    Examples
    --------
    >>> rows = pa.table({"prediction_id": ["p1", "p2", "p3"], "entity": ["anna", "", None]})
    >>> units_of(rows).to_pylist()
    ['anna', 'p2', 'p3']
    """
    entity: pa.ChunkedArray[pa.StringScalar] = rows.column("entity")
    nobody = pc.or_kleene(pc.is_null(entity), pc.equal(entity, pa.scalar("")))
    found: pa.ChunkedArray[pa.StringScalar] = pc.if_else(
        nobody, rows.column("prediction_id"), entity
    )
    return found


def _micro(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def columns_needed(plan: ExperimentPlan, spec: ModelSpec) -> list[str]:
    """Return the columns of the log that a plan's metrics and segments are made of."""
    named = {name for source in plan.sources for name in (source.of, source.per, source.before)}
    named |= {name for segment in plan.segments for name in spec.columns_of(segment)}
    return [*BASE, "latency_ms", *sorted(named - {"", "label", *BASE})]


def units_met(
    plan: ExperimentPlan,
    log: PredictionLog,
    spec: ModelSpec,
    cohort: pa.Table,
    window: Window,
    as_of: datetime,
    *,
    due: bool = True,
    arms: bool = True,
) -> Units:
    """Measure the entities that were first met in a window.

    Parameters
    ----------
    plan : ExperimentPlan
    log : PredictionLog
    spec : ModelSpec
    cohort : pyarrow.Table
        Of `Firsts.within`.
    window : Window
    as_of : datetime
        Outcomes count that were known then.
    due : bool
        Whether outcomes had their time to come; else none are looked at.
    arms : bool
        Leave out rows that no arm answered.
    """
    wanted = Window(window.start, window.end + plan.observe)
    columns = columns_needed(plan, spec)
    chosen = dealt if arms else by_split
    parts = [
        _mine(chosen(log.labelled(spec, part, as_of, columns)), cohort, plan.observe)
        for part in log.stretches(spec, wanted)
    ]
    rows, codes = (
        pa.concat_tables([rows for rows, _ in parts]),
        np.concatenate([codes for _, codes in parts]),
    )
    size = cohort.num_rows
    _, firsts = np.unique(codes, return_index=True)  # rows come by time, and each has a first one
    first = np.full(size, -1, dtype=np.int64)
    first[codes[firsts]] = firsts
    figures = {
        metric.name: _Figures(rows, codes, first, size).of(metric, source, due=due)
        for metric, source in plan.measured
    }
    dealt_to = np.array([role.removeprefix(ARM) for role in texts(cohort, "role")], dtype=np.str_)
    return Units(dealt_to, figures, dict(_segments(plan, spec, rows, codes, first)))


def _mine(rows: pa.Table, cohort: pa.Table, observe: timedelta) -> tuple[pa.Table, Codes]:
    """Return the rows of the cohort while it is observed, and whose they are."""
    known = cohort.column("unit").combine_chunks()
    found = pc.index_in(units_of(rows), value_set=known).fill_null(-1)
    codes = np.asarray(found.to_numpy(), dtype=np.int64)
    begun = np.append(micros(cohort, "at"), 0)[codes]
    at = micros(rows, "timestamp")
    mine = (codes >= 0) & (at >= begun) & (at < begun + observe // timedelta(microseconds=1))
    return rows.filter(pa.array(mine)), codes[mine]


def _segments(
    plan: ExperimentPlan, spec: ModelSpec, rows: pa.Table, codes: Codes, first: Codes
) -> Iterator[tuple[str, Codes]]:
    """Yield the segments by what an entity's first row says, the frequent ones."""
    there = np.sort(first[first >= 0])
    if not plan.segments or not there.size:
        return
    heads = rows.take(pa.array(there, pa.int64()))
    for segment in plan.segments:
        parts = sorted(groups(heads, spec.columns_of(segment)), key=lambda part: -part[1].size)
        for name, places in parts[:MOST_SEGMENTS]:
            yield name, codes[there[places]]


@dataclass(frozen=True)
class _Figures:
    """Rows of entities, by time; ``first`` has the place of each one's first row, -1 without."""

    rows: pa.Table
    codes: Codes
    first: Codes
    size: int

    def of(self, metric: Metric, source: Source, *, due: bool) -> tuple[Floats, Floats | None]:
        """Return a metric's values, and its companions if it has some."""
        if not source.of and metric.kind in SERVING:
            return self._served(metric, source), None
        needed = metric.kind is Kind.RATIO or metric.covariate
        if not due:
            return np.full(self.size, np.nan), np.zeros(self.size) if needed else None
        values = self._column(source.of)
        if metric.binary:
            return self._any(values, source), None
        if metric.kind is Kind.LATENCY:
            return self._clean(self._firsts(values), LEAST_TIME), None
        total = self._clean(self._sum(values, source))
        if metric.kind is Kind.RATIO:
            return self._ratio(total, source)
        return total, self._covariate(source) if metric.covariate else None

    def _served(self, metric: Metric, source: Source) -> Floats:
        """Return what the log measures by itself."""
        if metric.kind is Kind.LATENCY:
            return self._clean(self._firsts(self._column("latency_ms")), LEAST_TIME)
        bad = pc.not_equal(self.rows.column("tier"), pa.scalar("model"))
        return self._any(np.asarray(bad.to_numpy(), dtype=np.float64), source)

    def _column(self, name: str) -> Floats:
        return self._clean(float_array(self.rows[name].cast(pa.float64())))

    def _known(self, values: Floats) -> NDArray[np.bool_]:
        return np.bincount(self.codes, ~np.isnan(values), self.size) > 0

    def _unknown(self, found: Floats, values: Floats, source: Source) -> Floats:
        return found if source.absent else np.where(self._known(values), found, np.nan)

    def _any(self, values: Floats, source: Source) -> Floats:
        some = np.bincount(self.codes, np.nan_to_num(values) != 0.0, self.size) > 0.0
        return self._unknown(some.astype(np.float64), values, source)

    def _sum(self, values: Floats, source: Source) -> Floats:
        total = np.asarray(np.bincount(self.codes, np.nan_to_num(values), self.size), np.float64)
        return self._unknown(total, values, source)

    def _firsts(self, values: Floats) -> Floats:
        return np.append(values, np.nan)[self.first]

    def _ratio(self, total: Floats, source: Source) -> tuple[Floats, Floats]:
        if source.per:
            below = self._clean(self._sum(self._column(source.per), Source(source.name)), 0.0)
        else:
            below = np.bincount(self.codes, minlength=self.size).astype(np.float64)
        return np.where(np.isnan(below), np.nan, total), np.nan_to_num(below)

    def _covariate(self, source: Source) -> Floats:
        return np.nan_to_num(self._firsts(self._column(source.before)))

    @staticmethod
    def _clean(values: Floats, least: float = -LARGEST) -> Floats:
        return np.where((values >= least) & (values <= LARGEST), values, np.nan)
