"""The figures that alert rules look at: stored, counted in this tick, or true at this moment."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from homeostat.alerting.conditions.signal import Series
from homeostat.domain.errors import NotFoundError
from homeostat.domain.point import Point
from homeostat.domain.verdict import MetricPoint, Monitor, Status
from homeostat.domain.window import Window
from homeostat.engine.figures import as_point, best
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import Registry
from homeostat.engine.signals_served import SERVED, Served, Tally
from homeostat.engine.watch import Baseline, Watch

COVERAGE = "label_coverage"
VERSION_AGE, LABEL_AGE, DRIFTED = "version_age", "label_age", "drifted_features"
GAUGES = frozenset({VERSION_AGE, LABEL_AGE, DRIFTED})
OPERATIONAL = frozenset({*SERVED, *GAUGES, COVERAGE})
"""Names of series that are no metric on record."""

_DAY, _MOMENT = timedelta(days=1), timedelta(microseconds=1)


class Measured(Protocol):
    """Metric points on record: `Records`, or what was on record by some time."""

    def metrics(
        self,
        model: str,
        name: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        segment: str | None = "",
    ) -> tuple[MetricPoint, ...]:
        """Return metric points whose window starts in the period; see `Records.metrics`."""
        ...


@dataclass(frozen=True)
class Sources:
    """What a tick knows that alert rules may look at.

    Attributes
    ----------
    records : Measured
    registry : Registry
    watch : Watch
        After all monitors.
    champion : str
    points : sequence of MetricPoint
        Measured in this tick, hence not yet in the records.
    served : Served or None
        Answers since the last tick; None if no time has passed.
    baseline : Baseline or None
        Of the version that the champion is compared with, which is itself if it has one.
    """

    records: Measured
    registry: Registry
    watch: Watch
    champion: str
    points: Sequence[MetricPoint] = ()
    served: Served | None = None
    baseline: Baseline | None = None

    def reference(self, metric: str) -> float | None:
        """Return the champion's figure on rows held out of its training, if it is known."""
        return None if self.baseline is None else dict(self.baseline.metrics).get(metric)


@dataclass
class Figures:
    """Finds the new figures of series, each only if a rule asks for it.

    Parameters
    ----------
    plan : ModelPlan
    sources : Sources
    now : datetime
    full : mapping of timedelta to Tally
        What was counted, of the series whose time is over.
    trained : tuple of (str, datetime) or None
        A version and what it was trained until, if known already; kept for the next tick.
    """

    plan: ModelPlan
    sources: Sources
    now: datetime
    full: Mapping[timedelta, Tally]
    trained: tuple[str, datetime] | None = None
    _fresh: dict[tuple[str, str], list[MetricPoint]] = field(default_factory=dict, init=False)
    _past: dict[tuple[str, str, datetime], tuple[Point, ...]] = field(
        default_factory=dict, init=False
    )
    _made: dict[tuple[str, timedelta], tuple[Point, ...]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        for point in self.sources.points:
            self._fresh.setdefault((point.name, point.segment), []).append(point)

    def new(self, series: Series, after: datetime | None) -> tuple[Point, ...]:
        """Return the figures of windows that start after a time, in order."""
        name = series.name
        if name in SERVED or name in GAUGES:
            return self._counted(name, series.every)
        if name == COVERAGE:
            return self._coverage(after)
        fresh = self._fresh.get((name, series.segment))
        return self._points(fresh, name, after) if fresh else ()

    def history(self, series: Series, reach: timedelta) -> tuple[Point, ...]:
        """Return the figures on record, and the new ones, that a rule begins with."""
        since = self.now - reach - self.plan.spec.labels.maturity - 2 * series.every
        name = series.name
        if name == COVERAGE:
            return self._coverage(since)
        if name in OPERATIONAL:
            return self.new(series, None)
        key = name, series.segment, since
        if key not in self._past:
            stored = self.sources.records.metrics(
                self.plan.spec.name, name, since, segment=series.segment
            )
            fresh = self._fresh.get((name, series.segment), [])
            self._past[key] = self._points([*stored, *fresh], name, None)
        return self._past[key]

    def _counted(self, name: str, every: timedelta) -> tuple[Point, ...]:
        """Return a figure that is made in this tick, each once for all rules."""
        found = self._made.get((name, every))
        if found is not None:
            return found
        tally = self.full.get(every)
        if name in GAUGES:
            found = (Point(Window(self.now - _MOMENT, self.now), self._gauges[name]()),)
        else:
            found = () if tally is None else (tally.point(name),)
        self._made[name, every] = found
        return found

    def _points(
        self, points: Sequence[MetricPoint], name: str, after: datetime | None
    ) -> tuple[Point, ...]:
        found = best(self.plan, name, points, self.sources.champion)
        return tuple(as_point(p) for p in found if after is None or p.window.start > after)

    def _coverage(self, after: datetime | None) -> tuple[Point, ...]:
        """Return the share of requests with a label in each window whose labels are complete."""
        found = []
        for one in reversed(self.sources.watch.matured):
            if after is not None and one.window.start <= after:
                break
            share = one.known / one.asked if one.asked else math.nan
            found.append(Point(one.window, share, rows=one.asked))
        return tuple(reversed(found))

    @property
    def _gauges(self) -> Mapping[str, Callable[[], float]]:
        return {
            VERSION_AGE: self._version_age,
            LABEL_AGE: self._label_age,
            DRIFTED: self._drifted,
        }

    def _version_age(self) -> float:
        """Return for how many days the world has gone on since the champion's training rows."""
        model, version = self.plan.spec.name, self.sources.champion
        if self.trained is None or self.trained[0] != version:
            try:
                card = self.sources.registry.get(model, version)
            except NotFoundError:
                return math.nan
            self.trained = version, card.trained_until or card.created
        return (self.now - self.trained[1]) / _DAY

    def _label_age(self) -> float:
        """Return the days since the end of the newest window of which there are labels."""
        watch = self.sources.watch
        ends = (one.window.end for one in reversed(watch.matured) if one.rows)
        return (self.now - next(ends, watch.since)) / _DAY

    def _drifted(self) -> float:
        """Return how many features have drifted over all rows; NaN if none is judged."""
        known = set(self.plan.spec.schema.names)
        judged = [v for v in self.sources.watch.verdicts(Monitor.DATA_DRIFT) if v.subject in known]
        drifted = sum(v.status is Status.DRIFT for v in judged)
        return float(drifted) if judged else math.nan
