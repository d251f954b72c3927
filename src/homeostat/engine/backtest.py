"""Replays a user's own history through the engine, knowing a label only once it has arrived."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.domain.answers import probability_lists
from homeostat.domain.model import ModelSpec, Task
from homeostat.domain.record import (
    LABEL_SCHEMA,
    PROBABILITIES,
    feature_schema,
    prediction_schema,
)
from homeostat.domain.route import Route
from homeostat.domain.window import Window
from homeostat.engine.loop import Engine
from homeostat.serving.split import takes_part

Progress = Callable[[datetime], None]


class SettableClock(Protocol):
    """A clock that is moved by hand."""

    def set(self, moment: datetime) -> None:
        """Set the wall time."""
        ...


@dataclass(frozen=True)
class Replay:
    """One model's history and the engine that lives through it.

    Parameters
    ----------
    engine : Engine
        Over ports in memory; the model is adopted already.
    clock : SettableClock
        The clock of those ports.
    model : str
    rows : pyarrow.Table
        The whole history by time: ``prediction_id``, ``timestamp``, ``label``, ``arrival``, the
        features, and ``entity`` if the model has one.
    step : timedelta
        Time between two ticks.
    """

    engine: Engine
    clock: SettableClock
    model: str
    rows: pa.Table
    step: timedelta = timedelta(days=1)

    def run(self, start: datetime, end: datetime, progress: Progress = lambda _: None) -> pa.Table:
        """Live through ``start <= t < end`` and return what was answered, by time.

        Returns
        -------
        pyarrow.Table
            ``prediction_id``, ``timestamp``, ``version`` and ``score`` of each answer.
        """
        self.clock.set(start)
        self._append_before(start)
        self.engine.tick(start)
        answered: list[pa.Table] = []
        labels = self._labels_by_arrival()
        arrivals = labels["arrival"].to_numpy()
        known = int(np.searchsorted(arrivals, _stamp(start), side="right"))
        for window in steps(start, end, self.step):
            self.clock.set(window.end)
            answered += self._serve(window)
            now_known = int(np.searchsorted(arrivals, _stamp(window.end), side="right"))
            self._learn(labels.slice(known, now_known - known))
            known = now_known
            self.engine.tick(window.end)
            progress(window.end)
        return pa.concat_tables(answered)

    @property
    def _spec(self) -> ModelSpec:
        return self.engine.plans[self.model].spec

    def _append_before(self, start: datetime) -> None:
        """Put what was there before into the log: rows to train on, with the labels known then."""
        past = self._between(None, start)
        if past.num_rows:
            route = self._route()
            self.engine.ports.log.append(
                self._spec, self._records(past, route.champion, "champion")
            )
            labels = self._labels_by_arrival()
            count = int(np.searchsorted(labels["arrival"].to_numpy(), _stamp(start), side="right"))
            self._learn(labels.slice(0, count))

    def _serve(self, window: Window) -> Iterator[pa.Table]:
        """Answer the window's rows as the published route says."""
        rows = self._between(window.start, window.end)
        if not rows.num_rows:
            return
        route = self._route()
        column = "entity" if self._spec.entity else "prediction_id"
        keys = [str(key) for key in rows[column].to_pylist()]
        salt = f"{self.model}/{route.challenger}"
        moved = takes_part(salt, keys, route.weight if route.challenger else 0.0)
        groups = ((route.champion, "champion", ~moved), (route.challenger, "challenger", moved))
        for version, role, chosen in groups:
            part = rows.filter(pa.array(chosen))
            if part.num_rows:
                records = self._records(part, version, role)
                self.engine.ports.log.append(self._spec, records)
                yield records.select(["prediction_id", "timestamp", "version", "score"])
        for version in route.shadows:
            taken = {route.champion: ~moved, route.challenger: moved}.get(version)
            part = rows if taken is None else rows.filter(pa.array(~taken))
            if part.num_rows:
                self.engine.ports.log.append(self._spec, self._records(part, version, "shadow"))

    def _route(self) -> Route:
        return self.engine.ports.routes.current(self.model) or Route(self.model)

    def _records(self, rows: pa.Table, version: str, role: str) -> pa.Table:
        answers = self.engine.ports.scorer.answer(self._spec, version, rows)
        return to_records(self._spec, rows, answers.scores, version, role, answers.probabilities)

    def _learn(self, labels: pa.Table) -> None:
        if labels.num_rows:
            self.engine.ports.log.append_labels(self._spec, labels)

    def _labels_by_arrival(self) -> pa.Table:
        known = self.rows.select(list(LABEL_SCHEMA.names)).drop_null()
        return known.cast(LABEL_SCHEMA).sort_by([("arrival", "ascending")])

    def _between(self, start: datetime | None, end: datetime) -> pa.Table:
        moments = self.rows["timestamp"].to_numpy()
        low = 0 if start is None else int(np.searchsorted(moments, _stamp(start)))
        return self.rows.slice(low, int(np.searchsorted(moments, _stamp(end))) - low)


def steps(start: datetime, end: datetime, step: timedelta) -> Iterator[Window]:
    """Yield the windows from start to end; the last one may be shorter."""
    while start < end:
        yield Window(start, min(start + step, end))
        start += step


def to_records(
    spec: ModelSpec,
    rows: pa.Table,
    scores: NDArray[np.float64],
    version: str,
    role: str,
    probabilities: NDArray[np.float64] | None = None,
) -> pa.Table:
    """Return prediction records of rows that one version scored."""
    count = rows.num_rows
    decided = scores
    if spec.task is Task.BINARY:
        decided = (scores >= spec.threshold).astype(np.float64)
    known = {
        "prediction_id": rows["prediction_id"],
        "timestamp": rows["timestamp"],
        "entity": rows["entity"] if spec.entity else _same("", count),
        "version": _same(version, count),
        "role": _same(role, count),
        "tier": _same("model", count),
        "reason": _same("", count),
        "score": pa.chunked_array([pa.array(scores)]),
        "prediction": pa.chunked_array([pa.array(decided)]),
        PROBABILITIES: pa.chunked_array([probability_lists(probabilities, count)]),
        "latency_ms": pa.chunked_array([pa.nulls(count, pa.float64())]),
        "arm_share": pa.chunked_array([pa.nulls(count, pa.float64())]),
    }
    features = {name: rows[name] for name in feature_schema(spec).names}
    schema = prediction_schema(spec)
    return pa.table(known | features).select(schema.names).cast(schema)


def _same(value: str, count: int) -> pa.ChunkedArray[pa.StringScalar]:
    return pa.chunked_array([pa.array([value] * count, pa.string())])


def _stamp(moment: datetime) -> np.datetime64:
    return np.datetime64(moment.replace(tzinfo=None), "us")
