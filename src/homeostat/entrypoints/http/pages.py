"""The pages: each reads, renders, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import orjson
from jinja2 import Environment
from starlette.requests import Request
from starlette.responses import Response

from homeostat.domain.errors import (
    ConflictError,
    DataError,
    HomeostatError,
    NotFoundError,
    PermissionDeniedError,
    UserError,
)
from homeostat.domain.model import Task
from homeostat.domain.verdict import MetricPoint, Verdict
from homeostat.domain.window import Window
from homeostat.engine.ports import PredictionLog, Registry
from homeostat.entrypoints.current import leader
from homeostat.entrypoints.http.reading import Reader
from homeostat.entrypoints.http.runbooks import is_address, render
from homeostat.entrypoints.http.view import page, period
from homeostat.entrypoints.reports import FORMS, Reports
from homeostat.entrypoints.story import Stories
from homeostat.reports import charts, postmortem
from homeostat.reports.document import run_report, to_json, to_markdown
from homeostat.reports.heatmap import cells, drift_heat_map
from homeostat.rollout.state import Stage

MOST_DECISIONS = 200
FEW_DECISIONS = 5
ORPHAN_AGE = timedelta(days=1)
ROLLOUT_STEPS = (Stage.CANDIDATE, Stage.SHADOW, Stage.CANARY, Stage.PROMOTING)
POSTMORTEMS = {"html": postmortem.to_html, "md": postmortem.to_markdown}
FORMATS = {"html": "text/html", "md": "text/markdown", "json": "application/json"}

# Which metric a page shows unasked, by task: the first that was measured.
PREFERRED = {
    Task.BINARY: ("auc", "average_precision", "accuracy"),
    Task.MULTICLASS: ("accuracy", "macro_f1", "mcc"),
    Task.REGRESSION: ("mae", "rmse", "wape"),
}


def status_code(error: HomeostatError) -> int:
    """Return the HTTP status of an error."""
    match error:
        case NotFoundError():
            return 404
        case PermissionDeniedError():
            return 403
        case ConflictError():
            return 409
        case UserError():
            return 400
        case _:
            return 503


def metric_names(points: Sequence[MetricPoint], task: Task) -> tuple[str, ...]:
    """Return the metrics there are, the most telling one first."""
    names = sorted({point.name for point in points})
    order = [name for name in PREFERRED[task] if name in names]
    return tuple(dict.fromkeys((*order, *names)))


@dataclass(frozen=True)
class Pages:
    """Routes that read.

    Parameters
    ----------
    reader : Reader
    log : PredictionLog
    registry : Registry
    templates : Environment
    runbooks : Path
        Folder of the runbooks.
    reports : Reports or None
        Makes weekly and other reports; None: there are only those of a page's period.
    """

    reader: Reader
    log: PredictionLog
    registry: Registry
    templates: Environment
    runbooks: Path
    reports: Reports | None = None

    def guarded(self, endpoint: Callable[[Request], Response]) -> Callable[[Request], Response]:
        """Turn errors into a page that says what happened and what to do."""

        def answer(request: Request) -> Response:
            try:
                return endpoint(request)
            except HomeostatError as error:
                return self.problem(request, error)

        return answer

    def problem(self, request: Request, error: HomeostatError) -> Response:
        """Render an error."""
        values: dict[str, object] = {
            "problem": str(error),
            "ours": not isinstance(error, UserError),
        }
        return self.render(request, "error", values, status_code(error))

    def overview(self, request: Request) -> Response:
        """All models, the most troubled first."""
        values: dict[str, object] = {
            "glances": self.reader.overview(),
            "leader": leader(self.reader.records),
        }
        return self.render(request, "overview", values)

    def model(self, request: Request) -> Response:
        """Everything about one model, trouble first."""
        name = request.path_params["model"]
        spec, now = self.reader.spec(name), self.reader.clock.now()
        shown = period(request, now)
        health, monitors = self.reader.state(name, now)
        points = self.reader.points(name, shown.window)
        names = metric_names(points, spec.task)
        metric = self._metric(request, names)
        values: dict[str, object] = {
            "spec": spec,
            "period": shown,
            "health": health,
            "monitors": monitors,
            "metrics": names,
            "metric": metric,
            "newest": _newest(points, metric),
            "incidents": self.reader.incidents(name, shown.window),
            "why": self.reader.why(name),
            "rollout": self.reader.rollout(name),
            "run": self.reader.retraining(name),
            "reported": self.reports is not None,
            "steps": [stage.value for stage in ROLLOUT_STEPS],
            "asked": self.reader.asked(name),
            "late": self.reader.late(name),
            "orphans": self.log.orphans(spec, now - ORPHAN_AGE),
            "decisions": self.reader.records.decisions(name, limit=FEW_DECISIONS)[::-1],
        }
        return self.render(request, "model", values)

    def incident(self, request: Request) -> Response:
        """One incident: what, why, what to do, what was done."""
        story = self._stories().of(request.path_params["key"])
        line = story.line
        values: dict[str, object] = {
            "incident": line,
            "story": story,
            "timeline": story.entries[-MOST_DECISIONS:],
            "charts": story.charts(),
            "runbook": render(line.runbook, self.runbooks) if line.runbook else None,
            "linked": is_address(line.runbook),
            "asked": self.reader.asked(line.model),
        }
        return self.render(request, "incident", values)

    def postmortem(self, request: Request) -> Response:
        """One incident as a document: HTML or Markdown."""
        kind = request.query_params.get("format", "html")
        if kind not in POSTMORTEMS:
            raise DataError(f"format is {kind!r}; it must be one of {', '.join(POSTMORTEMS)}")
        stories = self._stories()
        made = stories.postmortem(stories.of(request.path_params["key"]))
        headers = {"Content-Disposition": f'attachment; filename="postmortem.{kind}"'}
        return Response(POSTMORTEMS[kind](made), media_type=FORMATS[kind], headers=headers)

    def _stories(self) -> Stories:
        return Stories(self.reader.records, self.reader.specs, self.reader.clock)

    def runbook(self, request: Request) -> Response:
        """One runbook, as alerts of other tools link to it."""
        name = request.path_params["name"]
        text = render(name, self.runbooks)
        if text is None:
            raise NotFoundError(f"there is no runbook {name!r} on this server")
        return self.render(request, "runbook", {"name": name, "runbook": text})

    def chart(self, request: Request) -> Response:
        """One chart's specification, as JSON."""
        name = request.path_params["model"]
        spec, now = self.reader.spec(name), self.reader.clock.now()
        window = period(request, now).window
        match request.path_params["chart"]:
            case "drift":
                made = drift_heat_map(cells(self._verdicts(name, window)), window)
            case "volume":
                made = charts.volume(self._verdicts(name, window), window)
            case "coverage":
                made = charts.label_coverage(self.reader.points(name, window), window)
            case "performance":
                made = self._performance(request, name, spec.task, window)
            case unknown:
                raise NotFoundError(f"there is no chart {unknown!r}")
        return Response(orjson.dumps(made), media_type="application/json")

    def report(self, request: Request) -> Response:
        """A period of one model as a file: HTML, Markdown or JSON; with ``kind``, a report."""
        name = request.path_params["model"]
        kind = request.query_params.get("format", "html")
        if kind not in FORMATS:
            raise DataError(f"format is {kind!r}; it must be one of {', '.join(FORMATS)}")
        if "kind" in request.query_params and self.reports is not None:
            return self._made(request, self.reports, name, kind)
        window = period(request, self.reader.clock.now()).window
        report = self.reader.report([name], window, f"Health of {name}")
        match kind:
            case "html":
                body = run_report(report).encode()
            case "md":
                body = to_markdown(report).encode()
            case _:
                body = to_json(report)
        headers = {"Content-Disposition": f'attachment; filename="report.{kind}"'}
        return Response(body, media_type=FORMATS[kind], headers=headers)

    def _made(self, request: Request, reports: Reports, model: str, form: str) -> Response:
        name = request.query_params["kind"]
        at = period(request, self.reader.clock.now()).until
        body = FORMS[form](reports.make(name, [model], at))
        headers = {"Content-Disposition": f'attachment; filename="{name}.{form}"'}
        return Response(body, media_type=FORMATS[form], headers=headers)

    def render(
        self, request: Request, name: str, values: dict[str, object], status: int = 200
    ) -> Response:
        """Render a template at the present time."""
        return page(self.templates, request, name, self.reader.clock.now(), values, status)

    def _verdicts(self, model: str, window: Window) -> tuple[Verdict, ...]:
        return self.reader.records.verdicts(model, since=window.start, until=window.end)

    def _metric(self, request: Request, names: Sequence[str]) -> str:
        asked = request.query_params.get("metric", "")
        return asked if asked in names else next(iter(names), "")

    def _performance(self, request: Request, model: str, task: Task, window: Window) -> charts.Spec:
        points = self.reader.points(model, window)
        metric = self._metric(request, metric_names(points, task))
        decisions = self.reader.records.decisions(model, since=window.start)
        notes = charts.annotate(decisions, self.reader.incidents(model, window))
        shown = [note for note in notes if note.at in window]
        return charts.performance(
            [point for point in points if point.name == metric], shown, window
        )


def _newest(points: Sequence[MetricPoint], metric: str) -> tuple[MetricPoint, ...]:
    """Return the last point of each version and cohort."""
    last = {(point.version, point.cohort): point for point in points if point.name == metric}
    return tuple(sorted(last.values(), key=lambda point: point.window, reverse=True))
