"""A report of a period: one self-contained HTML file, Markdown, or JSON."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined

from homeostat.domain.decision import Decision
from homeostat.domain.model import ModelSpec
from homeostat.domain.verdict import MetricPoint, Status, Verdict
from homeostat.domain.window import Window
from homeostat.reports.health import Health, IncidentLine, MonitorLine, health, monitors
from homeostat.reports.heatmap import Cell, cells
from homeostat.reports.sparkline import HEIGHT, WIDTH, Sparkline, sparkline
from homeostat.reports.wording import number, when

MOST_ROWS = 200
LONGEST_TEXT = 400


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under a title; ``spark`` draws what the rows count, where that helps."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    spark: Sparkline | None = None


@dataclass(frozen=True, slots=True)
class ModelReport:
    """What happened to one model in the period."""

    model: str
    task: str
    health: Health
    monitors: tuple[MonitorLine, ...]
    metrics: tuple[MetricPoint, ...]
    drift: tuple[Cell, ...]
    incidents: tuple[IncidentLine, ...]
    decisions: tuple[Decision, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """A period, its models, and any further tables that its author puts first."""

    title: str
    window: Window
    generated: datetime
    models: tuple[ModelReport, ...]
    tables: tuple[Table, ...] = ()


def model_report(
    spec: ModelSpec,
    verdicts: Sequence[Verdict],
    metrics: Sequence[MetricPoint],
    incidents: Sequence[IncidentLine],
    decisions: Sequence[Decision],
    now: datetime,
) -> ModelReport:
    """Reduce the records of one model in a period to what its report holds."""
    return ModelReport(
        model=spec.name,
        task=spec.task.value,
        health=health(verdicts, incidents, now),
        monitors=monitors(verdicts),
        metrics=tuple(metrics),
        drift=cells(verdicts),
        incidents=tuple(incidents),
        decisions=tuple(decisions),
    )


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"


def table_of(
    title: str,
    header: tuple[str, ...],
    rows: Sequence[tuple[str, ...]],
    empty: str,
    spark: Sparkline | None = None,
) -> Table:
    """Keep the last rows: the newest, as all records come by time."""
    dropped = len(rows) - MOST_ROWS
    note = f"{dropped} earlier rows are in the JSON form" if dropped > 0 else ""
    kept = tuple(tuple(_cut(text) for text in row) for row in rows[-MOST_ROWS:])
    return Table(title, header, kept, note if rows else empty, spark)


def _monitor_table(report: ModelReport) -> Table:
    rows = [
        (line.title, line.status.value.replace("_", " "), line.words, when(line.as_of))
        for line in report.monitors
    ]
    return table_of(
        "Monitors", ("monitor", "verdict", "what it says", "as of"), rows, "No data yet"
    )


def _metric_tables(report: ModelReport) -> list[Table]:
    by_name = sorted(report.metrics, key=lambda point: (point.name, point.window))
    tables = []
    for name, group in groupby(by_name, key=lambda point: point.name):
        points = list(group)
        rows = [
            (
                when(point.window.start),
                point.version or "all",
                number(point.value),
                f"{number(point.lower)} to {number(point.upper)}",
                str(point.n),
                f"{point.coverage:.0%}",
                point.cohort,
            )
            for point in points
        ]
        header = ("from", "version", "value", "interval", "rows", "labels known", "cohort")
        curve = sparkline([point.value for point in points])
        tables.append(table_of(f"Performance: {name}", header, rows, "", curve))
    return tables or [table_of("Performance", (), [], "No performance yet: no labels have matured")]


def _drift_table(report: ModelReport) -> Table:
    columns: dict[str, list[Cell]] = defaultdict(list)
    for cell in report.drift:
        columns[cell.column].append(cell)
    rows = []
    days: dict[str, int] = defaultdict(int)
    for column, of_column in columns.items():
        drifted = [cell.day for cell in of_column if cell.status is Status.DRIFT]
        largest = max((cell.ratio for cell in of_column if cell.ratio is not None), default=None)
        first = drifted[0] if drifted else "—"
        rows.append((column, str(len(drifted)), str(len(of_column)), number(largest), first))
        for cell in of_column:
            days[cell.day] += cell.status is Status.DRIFT
    header = ("feature", "days of drift", "days judged", "largest effect / threshold", "first day")
    curve = sparkline([float(days[day]) for day in sorted(days)])
    return table_of("Data drift", header, rows, "No drift judged yet", curve)


def _incident_table(report: ModelReport) -> Table:
    rows = [
        (
            when(line.opened),
            line.severity.value,
            line.title,
            line.stage,
            when(line.resolved),
            line.reason,
        )
        for line in report.incidents
    ]
    header = ("opened", "severity", "incident", "stage", "resolved", "reason")
    return table_of("Incidents", header, rows, "No incidents")


def _decision_table(report: ModelReport) -> Table:
    rows = [
        (
            when(decision.at),
            decision.actor,
            decision.action.replace("_", " "),
            decision.subject,
            decision.reason,
            ", ".join(f"{name} {number(value)}" for name, value in decision.evidence),
        )
        for decision in report.decisions
    ]
    header = ("when", "actor", "did", "to", "why", "evidence")
    return table_of("Decision log", header, rows, "Nothing was decided")


def tables(report: ModelReport) -> tuple[Table, ...]:
    """Return the tables of one model, in the order in which a reader needs them."""
    return (
        _monitor_table(report),
        _incident_table(report),
        *_metric_tables(report),
        _drift_table(report),
        _decision_table(report),
    )


def run_report(report: Report) -> str:
    """Return the report as one HTML file: no script, no network, every name shown as text."""
    environment = Environment(
        loader=PackageLoader("homeostat.reports"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"when": when, "number": number}
    sections = [(model, tables(model)) for model in report.models]
    template = environment.get_template("report.html")
    return template.render(report=report, sections=sections, width=WIDTH, height=HEIGHT)


def to_json(report: Report) -> bytes:
    """Return the report as JSON: every record it rests on; NaN becomes null."""
    return orjson.dumps(report, option=orjson.OPT_INDENT_2)


def escaped(text: str) -> str:
    """Keep table and HTML syntax in names from meaning anything in Markdown."""
    for mark in "\\`*_[]|~#":
        text = text.replace(mark, f"\\{mark}")
    text = text.replace("&", "&amp;").replace("<", "&lt;")
    return " ".join(text.split())


def markdown_table(table: Table) -> list[str]:
    """Return the lines of a table; what its cells hold is text."""
    lines = [f"### {escaped(table.title)}", ""]
    if table.rows:
        lines += [
            "| " + " | ".join(escaped(name) for name in table.header) + " |",
            "|" + " --- |" * len(table.header),
        ]
        lines += ["| " + " | ".join(escaped(text) for text in row) + " |" for row in table.rows]
        lines.append("")
    return [*lines, table.note, ""] if table.note else lines


def to_markdown(report: Report) -> str:
    """Return the report as Markdown (tables as in GitHub's dialect)."""
    period = f"{when(report.window.start)} to {when(report.window.end)}"
    lines = [
        f"# {escaped(report.title)}",
        "",
        f"{period}, made {when(report.generated)}.",
        "",
    ]
    for table in report.tables:
        lines += markdown_table(table)
    for model in report.models:
        verdict = f"**{model.health.words}**: {escaped(model.health.headline)}"
        lines += [f"## {escaped(model.model)}", "", verdict, ""]
        lines += [f"- {escaped(reason)}" for reason in model.health.reasons]
        lines += [""] if model.health.reasons else []
        for table in tables(model):
            lines += markdown_table(table)
    return "\n".join(lines)
