"""The monthly report of one model: what it lives on, whether to retrain, how alarms did."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import isfinite

from homeostat.domain.verdict import MetricPoint
from homeostat.domain.window import Window
from homeostat.reports.advice import ages, recommend, retraining
from homeostat.reports.alarms import thresholds
from homeostat.reports.facts import IMPORTANCE, Facts
from homeostat.reports.parts import drift, incidents, interval, performance
from homeostat.reports.plot import Axis, Dot, Form, Line, Marks, Plot, Scale
from homeostat.reports.pooling import answers, pooled
from homeostat.reports.sheet import Section, Sheet, listing
from homeostat.reports.weekly import lead, report
from homeostat.reports.wording import when

MOST_DRAWN = 15
WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Shift:
    """How much worse the model is without a column, now and the time before.

    ``clear`` tells whether the intervals leave each other out; they do so rarely by chance.
    """

    column: str
    now: MetricPoint
    before: MetricPoint | None

    @property
    def clear(self) -> bool:
        """Whether it moved by more than both intervals."""
        then = self.before
        return then is not None and (self.now.lower > then.upper or self.now.upper < then.lower)

    @property
    def change(self) -> float:
        """How much it moved; NaN if there is nothing to compare with."""
        return self.now.value - self.before.value if self.before else float("nan")


def monthly(facts: Facts, title: str = "") -> Sheet:
    """Return the report.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from homeostat.domain.model import LabelSpec, ModelSpec, Schema, Task
    >>> month = Window(datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 4, 1, tzinfo=UTC))
    >>> spec = ModelSpec("churn", Task.BINARY, Schema(()), LabelSpec(timedelta(days=30)))
    >>> [section.title for section in monthly(Facts(spec, month, month.end)).parts[0].sections]
    ... # doctest: +NORMALIZE_WHITESPACE
    ['Feature importance', 'Retraining', 'Threshold review', 'Model ages', 'Performance',
     'Week by week', 'Drift', 'Incidents']
    """
    said = (*lead(facts, "month"), f"Retraining: {recommend(facts).advice.value}.")
    sections = (
        importance(facts),
        retraining(facts),
        thresholds(facts),
        ages(facts),
        performance(facts),
        weeks(facts),
        drift(facts),
        incidents(facts),
    )
    return report(facts, "monthly", title or f"Monthly report of {facts.spec.name}", said, sections)


def shifts(facts: Facts) -> tuple[Shift, ...]:
    """Return the newest importances and those of the measurement before, the largest first."""
    by: dict[str, list[MetricPoint]] = defaultdict(list)
    for point in sorted(facts.points, key=lambda point: point.window):
        if point.name.startswith(IMPORTANCE) and point.window.end <= facts.window.end:
            by[point.name.removeprefix(IMPORTANCE)].append(point)
    newest = max((row[-1].window.end for row in by.values()), default=None)
    found = [
        Shift(name, row[-1], row[-2] if len(row) > 1 else None)
        for name, row in by.items()
        if row[-1].window.end == newest
    ]
    found.sort(key=lambda shift: (-shift.now.value, shift.column))
    return tuple(found)


def importance(facts: Facts) -> Section:
    """Tell which columns the model lives on, and which of them that has changed of."""
    found = shifts(facts)
    moved = [shift.column for shift in found if shift.clear]
    words = []
    if found:
        at = when(found[0].now.window.end)
        some = ", ".join(moved[:5]) if moved else "none"
        words.append(f"Measured up to {at}. Moved by more than both intervals: {some}.")
        words.append("Importance is how much the loss grows once a column's values are mixed up.")
    rows = [
        (
            shift.column,
            interval(shift.now),
            interval(shift.before),
            _change(shift),
            shift.now.version,
            shift.before.version if shift.before else "—",
        )
        for shift in found
    ]
    header = ("column", "now", "before", "change", "version", "version before")
    empty = "No importances are measured; models.importance turns that on"
    table = listing("Importance by column", header, rows, empty)
    return Section("Feature importance", tuple(words), (_picture(found, empty),), (table,))


def _change(shift: Shift) -> str:
    if not isfinite(shift.change):
        return "new"
    way = "more" if shift.change > 0 else "less"
    return way if shift.clear else "within its interval"


def _picture(found: Sequence[Shift], empty: str) -> Plot:
    shown = found[:MOST_DRAWN]
    now = tuple(Dot(s.column, s.now.value, s.now.lower, s.now.upper, s.now.n) for s in shown)
    before = tuple(
        Dot(s.column, s.before.value, s.before.lower, s.before.upper, s.before.n)
        for s in shown
        if s.before is not None
    )
    marks = (Marks("now", now, Form.DOTS), Marks("before", before, Form.DOTS))
    return Plot(
        "Importance",
        Axis("column", Scale.NAMES),
        Axis("growth of the loss without it"),
        marks if before else marks[:1] if now else (),
        (Line("none", y=0.0),),
        empty=empty,
    )


def weeks(facts: Facts) -> Section:
    """Tell the first metrics week by week, the last one first."""
    rows = []
    for name in facts.metrics[:3]:
        series = answers(facts.realized(name))
        end = facts.window.end
        while end > facts.window.start:
            week = Window(max(end - WEEK, facts.window.start), end)
            found = pooled([p for p in series if p.window.start in week and p.window.end <= end])
            rows.append(
                (
                    name,
                    when(week.start),
                    interval(found),
                    f"{found.n:,}" if found else "0",
                    f"{found.coverage:.0%}" if found else "—",
                )
            )
            end = week.start
    header = ("metric", "week from", "realized", "rows", "labels known")
    empty = "No window has complete labels yet"
    return Section("Week by week", (), (), (listing("Weeks", header, rows, empty),))
