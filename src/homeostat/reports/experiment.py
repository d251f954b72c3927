"""An experiment on one page, for who decides about the product: HTML and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isfinite

from jinja2 import Environment, PackageLoader, StrictUndefined

from homeostat.reports.document import escaped
from homeostat.reports.wording import when

WIDTH, HEIGHT = 260, 22
LEAST_REACH, MOST_REACH = 0.05, 1.0
"""Relative change at the edge of a drawing, at least and at most."""


@dataclass(frozen=True, slots=True)
class FigureLine:
    """One figure of one version beside the control's, in words and as an interval.

    Attributes
    ----------
    version, name, role, control, treated, verdict : str
    change, lower, upper : float
        Relative to the control; NaN or infinite: not known.
    limit : float or None
        Change from which on a guardrail is broken.
    """

    version: str
    name: str
    role: str
    control: str
    treated: str
    verdict: str
    change: float
    lower: float
    upper: float
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class ExperimentPage:
    """What a reader needs to decide.

    Attributes
    ----------
    title, headline, advice : str
        Name, what came of it, and what to do.
    facts : tuple of (str, str)
    reasons : tuple of str
    figures, segments : tuple of FigureLine
        Of everybody, and of segments (their ``name`` says which).
    log : tuple of (datetime, str, str, str)
        When, who, what, why.
    generated : datetime
    """

    title: str
    headline: str
    advice: str
    facts: tuple[tuple[str, str], ...]
    reasons: tuple[str, ...]
    figures: tuple[FigureLine, ...]
    segments: tuple[FigureLine, ...]
    log: tuple[tuple[datetime, str, str, str], ...]
    generated: datetime


@dataclass(frozen=True, slots=True)
class Bar:
    """Where an interval is drawn, in pixels; ``limit`` below 0: none."""

    left: float
    right: float
    at: float
    zero: float
    limit: float


def reach(lines: Sequence[FigureLine]) -> float:
    """Return the change at the edge of the drawings, the same for all of them."""
    ends = [
        abs(end)
        for line in lines
        for end in (line.lower, line.upper, line.limit or 0.0)
        if isfinite(end)
    ]
    return min(max([LEAST_REACH, *ends]), MOST_REACH)


def bar(line: FigureLine, edge: float) -> Bar | None:
    """Place an interval; None if there is none.

    Examples
    --------
    >>> line = FigureLine("v8", "paid", "success", "10 %", "12 %", "better", 0.2, 0.1, 0.3)
    >>> bar(line, edge=0.4)
    Bar(left=162.5, right=227.5, at=195.0, zero=130.0, limit=-1.0)
    """
    if not isfinite(line.change):
        return None

    def place(value: float, instead: float) -> float:
        known = value if isfinite(value) else instead
        return round((1.0 + max(-1.0, min(1.0, known / edge))) * WIDTH / 2.0, 1)

    limit = -1.0 if line.limit is None else place(line.limit, edge)
    ends = (place(line.lower, -edge), place(line.upper, edge), place(line.change, 0.0))
    return Bar(*ends, place(0.0, 0.0), limit)


def percent(share: float) -> str:
    """Write a change for people.

    Examples
    --------
    >>> percent(0.1234), percent(-0.02), percent(float("inf")), percent(float("nan"))
    ('+12.3 %', '-2.0 %', 'any rise', 'unknown')
    """
    if share != share:  # noqa: PLR0124 - NaN
        return "unknown"
    return f"{100.0 * share:+.1f} %" if isfinite(share) else "any rise"


def to_html(page: ExperimentPage) -> str:
    """Return one HTML file: no script, no network, every name shown as text."""
    environment = Environment(
        loader=PackageLoader("homeostat.reports"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"when": when, "percent": percent}
    edge = reach((*page.figures, *page.segments))
    parts = [
        (title, [(line, bar(line, edge)) for line in lines])
        for title, lines in (("Everybody", page.figures), ("By segment", page.segments))
        if lines
    ]
    template = environment.get_template("experiment.html")
    return template.render(page=page, parts=parts, edge=edge, width=WIDTH, height=HEIGHT)


def to_markdown(page: ExperimentPage) -> str:
    """Return Markdown (tables as in GitHub's dialect)."""
    lines = [f"# {escaped(page.title)}", "", f"**{escaped(page.headline)}**", ""]
    lines += [escaped(page.advice), ""]
    lines += [f"- {escaped(reason)}" for reason in page.reasons]
    lines += ["", *_table(("", ""), [(name, value) for name, value in page.facts])]
    for title, figures in (("Everybody", page.figures), ("By segment", page.segments)):
        if figures:
            lines += ["", f"## {title}", "", *_figures(figures)]
    told = [(when(at), who, what, why) for at, who, what, why in page.log]
    lines += ["", "## What was decided", "", *_table(("when", "who", "what", "why"), told)]
    return "\n".join((*lines, "", f"Made {when(page.generated)}.", ""))


def _figures(lines: Sequence[FigureLine]) -> list[str]:
    header = ("version", "figure", "role", "control", "version's", "change", "from", "to", "")
    rows = [
        (
            line.version,
            line.name,
            line.role,
            line.control,
            line.treated,
            *(percent(each) for each in (line.change, line.lower, line.upper)),
            line.verdict,
        )
        for line in lines
    ]
    return _table(header, rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        "| " + " | ".join(escaped(name) for name in header) + " |",
        "|" + " --- |" * len(header),
        *("| " + " | ".join(escaped(text) for text in row) + " |" for row in rows),
    ]
