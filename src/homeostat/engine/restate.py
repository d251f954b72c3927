"""Restates metrics of windows whose rows or labels came, or changed, after they were measured.

Each window is looked at again 1, 2, 4, 8 ... metric windows after it was first measured, up to a
bounded age, and its figures are replaced by what is known then: a late label is noticed after at
most twice the time that it was late by, and a window is read a dozen times in all, however short
windows are. A window that has got late rows is looked at as soon as these are counted. One decision
a tick says what came and what it changed. Evidence on which decisions rest is not taken back: bets
count what was known when they were made, and verdicts stand as they were judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeAlias

from homeostat.detectors.performance.realized import NAMES
from homeostat.domain.decision import Decision
from homeostat.domain.verdict import MetricPoint, Status
from homeostat.domain.window import Window, closed_windows, floor
from homeostat.engine.cohort import MATURED, Cohort, Outcomes, label_changes, with_segments
from homeostat.engine.late import Arrived, windows_of
from homeostat.engine.outcomes import class_counts, measure_rows
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import PredictionLog, Records
from homeostat.engine.series import measure_value_window
from homeostat.engine.watch import Matured, Watch

AUTOMATIC = "homeostat"
LEAST_STEPS = 32
NAMED = 3
MOMENT = timedelta(microseconds=1)

_Key: TypeAlias = tuple[str, str, str]
_Change: TypeAlias = tuple[MetricPoint | None, MetricPoint | None]


@dataclass(frozen=True, slots=True)
class Restated:
    """What came late and what it changed.

    ``withdrawn`` are figures that nothing stands for any more; ``labels`` came and ``corrected``
    were changed since their windows had been measured.
    """

    watch: Watch
    points: tuple[MetricPoint, ...] = ()
    withdrawn: tuple[MetricPoint, ...] = ()
    decisions: tuple[Decision, ...] = ()
    labels: int = 0
    corrected: int = 0


@dataclass(frozen=True, slots=True)
class _Moved:
    """A window of which figures changed: each before and after, and the labels that did it."""

    window: Window
    figures: tuple[_Change, ...]
    labels: int
    corrected: int


def restate(
    plan: ModelPlan,
    log: PredictionLog,
    records: Records,
    watch: Watch,
    champion: str,
    now: datetime,
    arrived: tuple[Arrived, ...] = (),
) -> Restated:
    """Measure windows again and say what came late, and which figures that changed.

    A figure that cannot be told any more, because a fault covers its rows for example, is
    withdrawn.

    Parameters
    ----------
    plan, log, records, watch
    champion : str
    now : datetime
    arrived : tuple of Arrived
        Hours that have got late rows: the windows around them are due, if they were measured.
    """
    until = floor(now, plan.metric_window)
    since = watch.restated_until or until
    watch = replace(watch, restated_until=until)
    faults = tuple(fault.window(now) for fault in watch.faults)
    measured = since - plan.spec.labels.maturity
    again = windows_of(arrived, plan.metric_window)
    late = {w for w in again if w.start >= watch.since and w.end <= measured}
    moved: list[_Moved] = []
    for window in sorted(late.union(_due(plan, watch.since, since, until))):
        before = _before(plan, records, window)
        after: dict[_Key, MetricPoint] = {}
        cohort = Cohort(MATURED, plan.spec.labels.maturity)
        for segment, rows in with_segments(log, plan.spec, cohort, window, now, faults):
            found = measure_rows(plan, rows, window, MATURED, segment)
            after |= {_key(point): point for point in found}
            if not segment:
                watch = _recount(plan, watch, rows, champion, window)
        if plan.business:
            worth = measure_value_window(plan, log, window, now, faults)
            after |= {_key(point): point for point in worth}
        pairs = tuple(_changes(before, after))
        if pairs:
            looked = _looked(plan, window, since)
            labels = label_changes(log, plan.spec, window, looked, now)
            moved.append(_Moved(window, pairs, *labels))
    changes = [pair for one in moved for pair in one.figures]
    return Restated(
        watch,
        tuple(new for _, new in changes if new is not None),
        tuple(old for old, new in changes if old is not None and new is None),
        _said(plan, records, arrived, moved, watch, now),
        sum(one.labels for one in moved),
        sum(one.corrected for one in moved),
    )


def _before(plan: ModelPlan, records: Records, window: Window) -> dict[_Key, MetricPoint]:
    """Return the window's stored figures of the kinds that are measured again."""
    names = {*NAMES[plan.spec.task], *(metric.name for metric in plan.business)}
    stored = records.metrics(plan.spec.name, since=window.start, until=window.end, segment=None)
    mine = (p for p in stored if p.window == window and p.cohort == MATURED and p.name in names)
    return {_key(point): point for point in mine}


def _due(
    plan: ModelPlan, watched: datetime, since: datetime, until: datetime
) -> tuple[Window, ...]:
    """Return the measured windows that have come to one of the ages since the last look."""
    maturity, found = plan.spec.labels.maturity, set[Window]()
    for age in _ages(plan):
        first = max(since - maturity - age, watched)
        found.update(closed_windows(first, until - maturity - age, plan.metric_window))
    return tuple(sorted(found))


def _ages(plan: ModelPlan) -> Iterator[timedelta]:
    age = plan.metric_window
    while age <= max(plan.spec.labels.maturity, LEAST_STEPS * plan.metric_window):
        yield age
        age *= 2


def _looked(plan: ModelPlan, window: Window, since: datetime) -> datetime:
    """Return until when a window's labels were counted when it was last looked at, by schedule."""
    first = window.end + plan.spec.labels.maturity
    return -MOMENT + max([first, *(first + age for age in _ages(plan) if first + age <= since)])


def _changes(before: dict[_Key, MetricPoint], after: dict[_Key, MetricPoint]) -> Iterator[_Change]:
    for key, old in before.items():
        new = after.get(key)
        if new is None or _figure(old) != _figure(new):
            yield old, new
    yield from ((None, point) for key, point in after.items() if key not in before)


def _figure(point: MetricPoint) -> tuple[float, int, float]:
    return point.value, point.n, point.coverage


def _key(point: MetricPoint) -> _Key:
    return point.segment, point.version, point.name


def _said(
    plan: ModelPlan,
    records: Records,
    arrived: Sequence[Arrived],
    moved: Sequence[_Moved],
    watch: Watch,
    now: datetime,
) -> tuple[Decision, ...]:
    """Return one decision on all that came late, if something did."""
    if not arrived and not moved:
        return ()
    rows = sum(one.rows for one in arrived)
    labels, corrected = (sum(getattr(m, name) for m in moved) for name in ("labels", "corrected"))
    causes = {"late rows": rows, "late labels": labels, "corrected labels": corrected}
    named = [cause for cause, count in causes.items() if count] or [_other(moved, watch, now)]
    evidence = [(cause.replace(" ", "_"), float(count)) for cause, count in causes.items()]
    evidence += [("late_hours", float(len(arrived))), ("windows", float(len(moved)))]
    told = [f"{count} {cause}" for cause, count in causes.items() if count] or named
    parts = [f"known only after it was judged or measured: {', '.join(told)}"]
    if arrived:
        parts.append(_hours(arrived))
        stand = _verdicts(plan, records, arrived)
        evidence.append(("verdicts", float(stand)))
        parts.append(f"{stand} verdicts of a change on these hours stand as they were judged")
    if moved:
        text, figures = _figures(moved)
        parts.append(text)
        evidence += figures
    model = plan.spec.name
    subject, reason = ", ".join(named), "; ".join(parts)
    return (Decision(model, now, AUTOMATIC, "restate", subject, reason, tuple(evidence)),)


def _other(moved: Sequence[_Moved], watch: Watch, now: datetime) -> str:
    """Name what changes figures though no row or label came."""
    spans = [fault.window(now) for fault in watch.faults]
    spoilt = any(s.start < m.window.end and m.window.start < s.end for s in spans for m in moved)
    return "data faults" if spoilt else "outcomes"


def _hours(arrived: Sequence[Arrived]) -> str:
    first, count = arrived[0].hour, len(arrived)
    hours = f"the hour {first}" if count == 1 else f"{count} hours from {first.start:%FT%H:%M} on"
    before, after = (sum(getattr(one, when) for one in arrived) for when in ("before", "after"))
    return f"{hours} had {before} rows when judged and {'has' if count == 1 else 'have'} {after}"


def _verdicts(plan: ModelPlan, records: Records, arrived: Sequence[Arrived]) -> int:
    """Count the verdicts of a change that were judged without the late rows."""
    steps = (plan.drift.every, plan.quality.every, plan.volume.every, plan.metric_window)
    first, last = arrived[0].hour.start, arrived[-1].hour.end
    found = records.verdicts(plan.spec.name, first - max(steps), last)
    hours = [one.hour for one in arrived]
    return sum(
        verdict.status is Status.DRIFT
        and any(h.start < verdict.window.end and verdict.window.start < h.end for h in hours)
        for verdict in found
    )


def _figures(moved: Sequence[_Moved]) -> tuple[str, list[tuple[str, float]]]:
    """Say which windows' figures changed, and the figures of the one that is told first.

    That is of the first version with a figure that left its former interval, if there is one.
    """
    pairs = [(one.window, pair) for one in moved for pair in one.figures]
    window, lead = next(((w, pair) for w, pair in pairs if _left(pair)), pairs[0])
    version = _one(lead).version
    mine = [pair for w, pair in pairs if w == window and _one(pair).version == version]
    told = [pair for pair in mine if _left(pair)] or mine
    named = [pair for pair in told if not _one(pair).segment] or told[:NAMED]
    changes = ", ".join(
        f"{_name(_one(pair))} from {_value(pair[0])} to {_value(pair[1])}" for pair in named
    )
    more = f" and {len(pairs) - len(named)} further figures" if len(pairs) > len(named) else ""
    text = (
        f"{len(moved)} measured windows are restated: of version {version} in {window} {changes}"
        f"{more}; {_rows(old for old, _ in named)} labels then, "
        f"{_rows(new for _, new in named)} now"
    )
    figures = [
        (f"{_name(point)}:{when}", point.value)
        for pair in named
        for when, point in zip(("before", "after"), pair, strict=True)
        if point is not None
    ]
    return text, figures


def _left(pair: _Change) -> bool:
    """Whether a figure left its former interval, or ended."""
    old, new = pair
    return old is not None and (new is None or not old.lower <= new.value <= old.upper)


def _one(pair: _Change) -> MetricPoint:
    point = pair[0] or pair[1]
    assert point is not None
    return point


def _value(point: MetricPoint | None) -> str:
    return "no figure" if point is None else f"{point.value:.3g}"


def _rows(points: Iterable[MetricPoint | None]) -> int:
    """Return the rows of the figure that rests on the most."""
    return max(0 if point is None else point.n for point in points)


def _name(point: MetricPoint) -> str:
    return f"{point.name} of {point.segment}" if point.segment else point.name


def _recount(plan: ModelPlan, watch: Watch, rows: Outcomes, champion: str, window: Window) -> Watch:
    counts = class_counts(plan.spec, rows.of(champion)[1])
    counted = Matured(window, counts, rows.asked, rows.known)
    matured = tuple(counted if one.window == window else one for one in watch.matured)
    return replace(watch, matured=matured)
