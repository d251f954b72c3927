"""The post-mortem of an incident: what happened, what it cost, what was done, what is to follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from jinja2 import Environment, PackageLoader, StrictUndefined

from homeostat.domain.verdict import MetricPoint, Monitor, Verdict
from homeostat.domain.window import Window
from homeostat.reports.document import escaped
from homeostat.reports.figure import Curve, figure
from homeostat.reports.health import IncidentLine
from homeostat.reports.wording import number, span, when

LONGEST_TEXT = 2000
MOST_LINES = 300
FOLLOW_UP = (
    "Why could this happen, and what keeps it from happening again?",
    "Was it found soon enough? If not: which rule, hold duration or label delay to change?",
    "Was the right person told, once? Was the runbook right and complete?",
    "Which data must be replayed, dropped or left out of training?",
    "Who does what until when?",
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the timeline. ``kind`` is a word such as fired or told."""

    at: datetime
    kind: str
    words: str
    actor: str = ""
    evidence: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Worth:
    """A business metric's mean a window, before an incident and while it lasted."""

    name: str
    before: float
    during: float


@dataclass(frozen=True, slots=True)
class Impact:
    """What an incident touched; None where it is not known.

    Attributes
    ----------
    rows : int or None
        Predictions in the windows that it overlaps.
    worth : tuple of Worth
    """

    rows: int | None = None
    worth: tuple[Worth, ...] = ()


@dataclass(frozen=True, slots=True)
class PostMortem:
    """All that its document holds.

    Attributes
    ----------
    incident : IncidentLine
    began : datetime or None
        Start of the first window that shows it.
    told : datetime or None
        When the first receiver took a notice.
    acknowledged : datetime or None
    lines : tuple of Line
        The timeline, oldest first.
    done : tuple of Line
        Those of it that changed something: roll-backs, retrainings, people's orders.
    impact : Impact
    curves : tuple of Curve
    frame : Window
        What the curves show.
    generated : datetime
    """

    incident: IncidentLine
    began: datetime | None
    told: datetime | None
    acknowledged: datetime | None
    lines: tuple[Line, ...]
    done: tuple[Line, ...]
    impact: Impact
    curves: tuple[Curve, ...]
    frame: Window
    generated: datetime

    @property
    def marked(self) -> Window:
        """The incident's span, for charts."""
        start = self.incident.opened or self.generated
        end = self.incident.resolved or self.generated
        return Window(start, max(end, start + self.frame.length / 1000))

    def times(self) -> tuple[tuple[str, str], ...]:
        """Return how long it took to be found, told, taken on and mended, in words."""
        opened, over = self.incident.opened, self.incident.resolved
        rows = (
            ("from its beginning to the alert", self.began, opened),
            ("from the alert to the first page delivered", opened, self.told),
            ("from the alert to its acknowledgement", opened, self.acknowledged),
            ("from the alert to the end", opened, over),
            ("from its beginning to the end", self.began, over),
        )
        return tuple((name, _between(start, end)) for name, start, end in rows)


def _between(start: datetime | None, end: datetime | None) -> str:
    if start is None or end is None:
        return "not known"
    return span(end - start) if end >= start else "less than a minute"


def impact(
    verdicts: Sequence[Verdict], points: Sequence[MetricPoint], during: Window, before: Window
) -> Impact:
    """Return what an incident touched, from what the monitors counted and measured.

    Parameters
    ----------
    verdicts : sequence of Verdict
        Those of volume tell the rows, those of value which metrics are about value.
    points : sequence of MetricPoint
        Of all rows.
    during, before : Window
        The incident, and a time to compare with.
    """
    rows = [
        verdict.n_current
        for verdict in verdicts
        if verdict.monitor is Monitor.VOLUME and not verdict.subject
        if verdict.window.start < during.end and during.start < verdict.window.end
    ]
    names = sorted({verdict.subject for verdict in verdicts if verdict.monitor is Monitor.VALUE})
    worth = []
    for name in names:
        mine = [point for point in points if point.name == name]
        then = [point.value for point in mine if point.window.start in before]
        now = [
            point.value
            for point in mine
            if point.window.start < during.end and during.start < point.window.end
        ]
        if then and now:
            worth.append(Worth(name, sum(then) / len(then), sum(now) / len(now)))
    return Impact(sum(rows) if rows else None, tuple(worth))


def _summary(made: PostMortem) -> tuple[tuple[str, str], ...]:
    incident = made.incident
    touched = made.impact.rows
    rows = (
        ("model", incident.model),
        ("incident", incident.key),
        ("severity", incident.severity.value),
        ("stands", incident.stage),
        ("began", when(made.began)),
        ("fired", when(incident.opened)),
        ("over", when(incident.resolved)),
        ("runbook", incident.runbook or "not on record"),
        ("predictions in its time", "not known" if touched is None else f"{touched:,}"),
    )
    worth = (
        (f"{each.name}, mean of a window", f"{number(each.during)}; before: {number(each.before)}")
        for each in made.impact.worth
    )
    return (*rows, *worth)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"


def _line(line: Line) -> str:
    by = f" ({line.actor})" if line.actor else ""
    figures = ", ".join(f"{name.replace('_', ' ')} {number(v)}" for name, v in line.evidence)
    return _cut(line.words) + (f" [{figures}]" if figures else "") + by


def to_html(made: PostMortem) -> str:
    """Return one HTML file: no script, no network, every name shown as text."""
    environment = Environment(
        loader=PackageLoader("homeostat.reports"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"when": when, "line": _line, "cut": _cut}
    charts = [figure(curve, made.marked, made.frame) for curve in made.curves]
    return environment.get_template("postmortem.html").render(
        made=made,
        incident=made.incident,
        summary=_summary(made),
        lines=made.lines[-MOST_LINES:],
        charts=charts,
        follow_up=FOLLOW_UP,
    )


def to_markdown(made: PostMortem) -> str:
    """Return the document as Markdown; every name is escaped."""
    incident, e = made.incident, escaped
    cause = incident.cause or "No diagnosis is on record."
    out = [f"# Post-mortem: {e(_cut(incident.title))}", "", f"Made {when(made.generated)}.", ""]
    out += ["## Summary", "", e(_cut(incident.reason)), ""]
    out += _table(("what", ""), _summary(made))
    out += ["## Cause and diagnosis", "", e(_cut(cause)), ""]
    out += ["## What was done", ""]
    out += [f"- {when(line.at)} {e(_line(line))}" for line in made.done] or [
        "Nothing is on record."
    ]
    out += ["", "## How long it took", "", *_table(("from, to", "time"), made.times())]
    out += ["## Timeline", ""]
    rows = [(when(line.at), line.kind, _line(line)) for line in made.lines[-MOST_LINES:]]
    out += [*_table(("when", "what", "words"), rows), "## Follow-up", ""]
    return "\n".join([*out, *(f"- [ ] {question}" for question in FOLLOW_UP), ""])


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(escaped(text) for text in row) + " |" for row in rows]
    return [*lines, ""]
