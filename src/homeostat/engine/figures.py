"""Which of several stored figures of one window counts."""

from __future__ import annotations

from collections.abc import Iterable

from homeostat.detectors.value.metric import Kind
from homeostat.domain.evaluation import WEIGHTED
from homeostat.domain.point import Point
from homeostat.domain.verdict import MetricPoint
from homeostat.domain.window import Window
from homeostat.engine.cohort import AUDIT
from homeostat.engine.plan import ModelPlan

REACH = 1.96
WHOLE = "all versions"
"""Version of the figures of all rows together."""
UNJUDGED = frozenset({AUDIT, WEIGHTED})


def best(
    plan: ModelPlan, name: str, points: Iterable[MetricPoint], champion: str
) -> tuple[MetricPoint, ...]:
    """Return one point a window, by time: of the champion, of the most rows, else the last.

    Of a total only that of all versions counts. Audited rows are few and others than those of the
    history, and come before the rest: they are not judged; nor are early figures.

    Parameters
    ----------
    plan : ModelPlan
    name : str
        Name of the metric.
    points : iterable of MetricPoint
        Of that metric and one segment.
    champion : str
    """
    total = any(m.name == name and m.kind is Kind.TOTAL for m in plan.business)
    found: dict[Window, tuple[tuple[bool, int], MetricPoint]] = {}
    for point in points:
        if (total and point.version != WHOLE) or point.cohort in UNJUDGED:
            continue
        rank = (point.version == champion, point.n)
        if point.window not in found or rank >= found[point.window][0]:
            found[point.window] = (rank, point)
    return tuple(found[window][1] for window in sorted(found))


def as_point(point: MetricPoint) -> Point:
    """Return a stored figure as one to judge; half its interval is so many standard errors."""
    return Point(point.window, point.value, (point.upper - point.lower) / (2.0 * REACH), point.n)
