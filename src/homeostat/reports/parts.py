"""Sections that the weekly, the monthly and the drift report have in common."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isfinite

from homeostat.domain.verdict import MetricPoint, Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.reports import plots
from homeostat.reports.charts import annotate
from homeostat.reports.document import Table
from homeostat.reports.facts import MATURED, WEIGHTED, WHOLE, Facts, better, ratio
from homeostat.reports.plot import Picture
from homeostat.reports.pooling import Difference, Pooled, answers, difference, pooled
from homeostat.reports.sheet import Section, listing
from homeostat.reports.wording import number, span, when

MOST_METRICS = 12
DRAWN = 2
HISTORY = 4
"""Periods before the one told of, with which it is compared."""
DRIFTS = frozenset({Monitor.DATA_DRIFT, Monitor.PREDICTION_DRIFT})


@dataclass(frozen=True, slots=True)
class Standing:
    """One figure: now, before, and by how much it moved.

    ``now`` is of the newest stretch, as long as the report's, whose figures are known: where
    labels take long it ends before the report does.
    """

    name: str
    now: Pooled
    before: Pooled | None
    moved: Difference | None


def standing(facts: Facts, name: str, version: str = "") -> Standing | None:
    """Return how a metric stands on complete labels; None if no window is known.

    A total counts for all versions together, any other figure by the version that answered most,
    or of the version that is asked for.
    """
    known = facts.realized(name)
    if version:
        known = tuple(point for point in known if point.version == version)
    elif name in facts.totals:
        known = tuple(point for point in known if point.version == WHOLE)
    series = answers(known)
    if not series:
        return None
    length = facts.window.length
    end = min(max(point.window.end for point in series), facts.window.end)
    now = pooled([p for p in series if end - length <= p.window.start and p.window.end <= end])
    first = end - (HISTORY + 1) * length
    before = pooled([p for p in series if first <= p.window.start < end - length])
    return None if now is None else Standing(name, now, before, difference(now, before))


def interval(found: Pooled | Difference | MetricPoint | None) -> str:
    """Write a figure with its interval.

    Examples
    --------
    >>> interval(Difference(0.02, -0.01, 0.05)), interval(None)
    ('0.02 (-0.01 to 0.05)', '—')
    """
    if found is None:
        return "—"
    if not (isfinite(found.lower) and isfinite(found.upper)):
        return f"{number(found.value)} (no interval)"
    return f"{number(found.value)} ({number(found.lower)} to {number(found.upper)})"


def judged(facts: Facts, found: Standing) -> str:
    """Say whether a figure moved, and whether that is for the better."""
    moved = found.moved
    if moved is None:
        return "nothing to compare with"
    if not moved.clear:
        return "as before, within its interval"
    way = better(facts, found.name)
    if not way:
        return "moved"
    return "better" if (moved.value > 0) == (way == "higher") else "worse"


def performance(facts: Facts) -> Section:
    """Tell of realized and estimated performance, and how many labels are known."""
    names = facts.metrics[:MOST_METRICS]
    found = [each for name in names if (each := standing(facts, name)) is not None]
    notes = annotate(facts.done, facts.incidents)
    pictures: list[Picture] = [
        plots.metric(name, facts.realized(name), facts.estimated(name), notes)
        for name in names[:DRAWN]
    ] or [plots.metric("performance", ())]
    pictures.append(plots.label_delay(arrivals(facts), facts.spec.labels.maturity))
    parts = _segments(facts, found[0].name if found else "")
    pictures += [parts] if parts else []
    return Section("Performance", _labels(facts, found), tuple(pictures), (
        listing(
            "Realized, on complete labels",
            ("metric", "now", "before", "difference", "said", "rows", "windows", "labels known",
             "windows from", "to"),
            [_row(facts, each) for each in found],
            "No window has complete labels yet: performance is not known",
            "means of windows by their rows, with 95 % intervals; before: up to four such periods",
        ),
        _estimates(facts, names),
    ))  # fmt: skip


def _row(facts: Facts, each: Standing) -> tuple[str, ...]:
    now = each.now
    return (
        each.name,
        interval(now),
        interval(each.before),
        interval(each.moved),
        judged(facts, each),
        f"{now.n:,}",
        str(now.windows),
        f"{now.coverage:.0%}",
        when(now.span.start),
        when(now.span.end),
    )


def _estimates(facts: Facts, names: Sequence[str]) -> Table:
    rows = []
    for name in names:
        inside = [p for p in facts.estimated(name) if p.window.start in facts.window]
        found = pooled(inside)
        if found is not None:
            cells = (name, interval(found), f"{found.n:,}", str(found.windows))
            rows.append((*cells, when(found.span.start), when(found.span.end)))
    return listing(
        "Estimated, before labels",
        ("metric", "estimate", "rows", "windows", "windows from", "to"),
        rows,
        "Nothing was estimated in this time",
    )


def _labels(facts: Facts, found: Sequence[Standing]) -> tuple[str, ...]:
    """Say how far labels reach, if they do not reach into the report's time."""
    wait = span(facts.spec.labels.maturity)
    if not found:
        return (f"No window has complete labels yet: they count as complete after {wait}.",)
    end = max(each.now.span.end for each in found)
    if end > facts.window.start:
        return ()
    until = f"the newest realized figures are of windows up to {when(end)}"
    return (f"Labels count as complete after {wait}: {until}, before the time of this report.",)


def arrivals(facts: Facts) -> tuple[plots.Arrival, ...]:
    """Return which share of each window's labels is known, by its age at the report's end."""
    newest: dict[Window, MetricPoint] = {}
    for point in facts.points:
        if point.segment or point.cohort not in {MATURED, WEIGHTED}:
            continue
        if point.window not in newest or point.n > newest[point.window].n:
            newest[point.window] = point
    return tuple(
        plots.Arrival(facts.window.end - window.end, point.coverage, _asked(point))
        for window, point in sorted(newest.items())
        if window.end <= facts.window.end
    )


def _asked(point: MetricPoint) -> int:
    return round(point.n / point.coverage) if point.coverage > 0 else point.n


def _segments(facts: Facts, name: str) -> Picture | None:
    parts: dict[str, list[MetricPoint]] = defaultdict(list)
    length = facts.window.length
    mine = [p for p in facts.points if p.name == name and p.segment and p.cohort == MATURED]
    end = max((point.window.end for point in mine), default=facts.window.end)
    for point in mine:
        if point.window.start >= end - length:
            parts[point.segment].append(point)
    found = [
        MetricPoint(facts.spec.name, "", name, whole.span, whole.value, whole.lower, whole.upper,
                    whole.n, whole.coverage, MATURED, segment)
        for segment, points in parts.items()
        if (whole := pooled(answers(points))) is not None
    ]  # fmt: skip
    overall = standing(facts, name)
    return plots.segments(name, found, overall.now.value if overall else None) if found else None


@dataclass(frozen=True, slots=True)
class Moved:
    """What drift monitors said of one column."""

    column: str
    drifted: int
    judged: int
    now: float
    before: float
    rows: int
    words: str
    since: str


def moved(facts: Facts) -> tuple[Moved, ...]:
    """Return what was said of each column in the window; those that drifted most come first."""
    by: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in facts.verdicts:
        if verdict.monitor in DRIFTS:
            name = verdict.subject or "score"
            shown = name if verdict.monitor is Monitor.DATA_DRIFT else f"{name} (prediction)"
            by[shown].append(verdict)
    found = [each for name, row in by.items() if (each := _moved(facts.window, name, row))]
    found.sort(key=lambda each: (-each.drifted, -_rank(each.now), each.column))
    return tuple(found)


def _rank(value: float) -> float:
    return value if isfinite(value) else -1.0


def _moved(window: Window, name: str, row: Sequence[Verdict]) -> Moved | None:
    inside = [v for v in row if window.start < v.window.end <= window.end]
    if not inside:
        return None
    bad = [v for v in inside if v.status is Status.DRIFT]
    usable = [v for v in inside if v.status in {Status.DRIFT, Status.OK, Status.INCONCLUSIVE}]
    earlier = [ratio(v) for v in row if v.window.end <= window.start]
    worst = max(inside, key=lambda v: (v.status is Status.DRIFT, _rank(ratio(v))))
    return Moved(
        name,
        len(bad),
        len(usable),
        max((r for v in inside if isfinite(r := ratio(v))), default=float("nan")),
        max((r for r in earlier if isfinite(r)), default=float("nan")),
        max(v.n_current for v in inside),
        worst.reason,
        when(min(v.window.start for v in bad)) if bad else "—",
    )


def drift(facts: Facts) -> Section:
    """Tell which columns drifted, how far, and what their distributions did."""
    found = moved(facts)
    bad = [each for each in found if each.drifted]
    unjudged = sum(not each.judged for each in found)
    words = []
    if found:
        words.append(f"{len(bad)} of {len(found)} columns drifted in at least one window.")
    if unjudged:
        words.append(f"{unjudged} columns could not be judged: too few rows, or errors.")
    shown = [plots.Mover(m.column, m.now, m.before, m.rows) for m in found]
    pictures: list[Picture] = [plots.movers(shown)]
    pictures += [plots.quantiles_over_time(name, spreads) for name, spreads in facts.spreads]
    rows = [
        (
            m.column,
            str(m.drifted),
            str(m.judged),
            number(m.now),
            number(m.before),
            m.since,
            m.words,
        )
        for m in found
        if m.drifted or m.now >= 0.5
    ]
    empty = "No column came near its threshold" if found else "No drift was judged in this time"
    header = (
        "column", "windows of drift", "windows judged", "largest effect / threshold", "before",
        "drifts since", "what was found",
    )  # fmt: skip
    table = listing("Columns that moved", header, rows, empty)
    return Section("Drift", tuple(words), tuple(pictures), (table,))


def business(facts: Facts) -> Section:
    """Tell what predictions were worth."""
    if not facts.business:
        words = "No business figures are configured; models.business says what predictions are "
        return Section("Business impact", (f"{words}worth.",))
    found = [e for each in facts.business if (e := standing(facts, each.name)) is not None]
    pictures = tuple(
        plots.metric(each.name, facts.realized(each.name)) for each in facts.business[:DRAWN]
    )
    rows = []
    for each in found:
        total = each.name in facts.totals
        whole = number(each.now.value * each.now.windows) if total else "—"
        rows.append((*_row(facts, each)[:5], whole, *_row(facts, each)[5:]))
    table = listing(
        "What predictions were worth",
        (
            "figure", "now", "before", "difference", "verdict", "sum", "rows", "windows",
            "labels known", "windows from", "to",
        ),
        rows,
        "No window has complete labels yet: what predictions were worth is not known",
        "per window, with 95 % intervals; a sum is of labelled rows",
    )  # fmt: skip
    worse = [each.name for each in found if judged(facts, each) == "worse"]
    words = f"Worth less than before: {', '.join(worse)}." if worse else ""
    return Section("Business impact", (words,) if words else (), pictures, (table,))


def incidents(facts: Facts) -> Section:
    """Tell of what fired, how long it lasted, and who took it on."""
    rows = [
        (
            when(line.opened),
            line.severity.value,
            line.title,
            line.stage,
            _lasted(line.opened, line.resolved, facts.generated),
            line.acknowledged_by or "nobody",
            line.cause or line.reason,
        )
        for line in facts.incidents
    ]
    header = ("fired", "severity", "incident", "stage", "lasted", "taken on by", "cause or reason")
    return Section("Incidents", (), (), (listing("Incidents", header, rows, "None fired"),))


def _lasted(opened: datetime | None, over: datetime | None, now: datetime) -> str:
    if opened is None:
        return "—"
    return span(over - opened) if over else f"{span(max(now - opened, timedelta(0)))} so far"
