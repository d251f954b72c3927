"""The web pages: server-rendered, live through htmx, without a build step.

Reads go to `Pages`. What a person asks for is put into the model's inbox, where the engine finds it
at its next tick: pages never change state themselves.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from homeostat.domain.clock import Clock
from homeostat.domain.errors import ConflictError, DataError, HomeostatError
from homeostat.domain.model import ModelSpec
from homeostat.engine import commands
from homeostat.engine.incidents import ABOUT_INCIDENTS
from homeostat.engine.ports import PredictionLog, Records, Registry
from homeostat.entrypoints.http.auth import PageGate, Tokens
from homeostat.entrypoints.http.pages import Pages
from homeostat.entrypoints.http.pages_drift import DriftPages
from homeostat.entrypoints.http.reading import Reader
from homeostat.entrypoints.http.runbooks import shelf
from homeostat.entrypoints.http.security import Headers, read_form
from homeostat.entrypoints.http.silencing import SilencePages
from homeostat.entrypoints.http.view import STATIC, environment
from homeostat.entrypoints.reports import Reports

LONGEST_REASON = 500
FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class Actions:
    """What a person can ask for from a page."""

    pages: Pages

    async def ask(self, request: Request) -> Response:
        """Take a form, put the command into the inbox, and go back to the page."""
        try:
            fields = await read_form(request)
            where = await run_in_threadpool(self._submit, fields, request.user.display_name)
        except HomeostatError as error:
            return await run_in_threadpool(self.pages.problem, request, error)
        return RedirectResponse(where, status_code=303)

    def _submit(self, fields: Mapping[str, str], who: str) -> str:
        model, subject = fields.get("model", ""), fields.get("subject", "")
        reader = self.pages.reader
        reader.spec(model)
        try:
            request = commands.Request(fields.get("request", ""))
        except ValueError:
            known = ", ".join(commands.Request)
            raise DataError(
                f"request is {fields.get('request', '')!r}; it must be one of {known}"
            ) from None
        self._check(request, model, subject)
        reason = fields.get("reason", "").strip()[:LONGEST_REASON]
        command = commands.Command(request, model, who, subject, reason)
        commands.submit(reader.records, command, reader.clock.now())
        if request in ABOUT_INCIDENTS:
            return f"/incidents/{quote(subject)}"
        return f"/models/{quote(model)}"

    def _check(self, request: commands.Request, model: str, subject: str) -> None:
        """Refuse what was asked on the ground of a page that is out of date."""
        reader = self.pages.reader
        match request:
            case commands.Request.ACKNOWLEDGE:
                line = reader.incident(subject)
                if not line.open or line.acknowledged_by:
                    raise ConflictError(f"this incident is {line.stage} already; look at it again")
            case commands.Request.CLOSE:
                line = reader.incident(subject)
                if not line.open:
                    raise ConflictError(f"this incident is {line.stage} already; look at it again")
            case commands.Request.PUSH | commands.Request.SUBMIT:
                self.pages.registry.get(model, subject)
            case commands.Request.APPROVE | commands.Request.ABORT:
                self._same(subject, "challenger", model)
            case commands.Request.ROLL_BACK:
                self._same(subject, "champion", model)
            case _:
                return

    def _same(self, version: str, role: str, model: str) -> None:
        state = self.pages.reader.rollout(model)
        now = "" if state is None else getattr(state, role)
        if not version or version != now:
            raise ConflictError(
                f"the {role} is now {now or 'none'}, not {version or 'none'}; "
                "the model's page shows where the rollout stands"
            )


def ui(
    records: Records,
    log: PredictionLog,
    registry: Registry,
    specs: Mapping[str, ModelSpec],
    clock: Clock,
    runbooks: Path | None = None,
    reports: Reports | None = None,
) -> list[BaseRoute]:
    """Return the routes of the web pages.

    Parameters
    ----------
    records, registry, specs, clock
        Where everything shown is read from.
    log : PredictionLog
        Counts labels that belong to no known prediction.
    runbooks : Path or None
        Folder of runbooks; None: those that Homeostat comes with.
    reports : Reports or None
        Makes weekly and other reports.

    Returns
    -------
    list of BaseRoute
        ``/``, ``/models/…``, ``/drift/…``, ``/features/…``, ``/incidents/…``, ``/runbooks/…``,
        ``/decisions``, ``/charts/…``, ``/reports/…``, ``/postmortems/…``, ``/silences``,
        ``/actions`` and ``/static``. All but the last are guarded by `PageGate`.
    """
    reader = Reader(records, specs, clock)
    pages = Pages(reader, log, registry, environment(), runbooks or shelf(), reports)
    safe = [Middleware(Headers), Middleware(PageGate, tokens=Tokens(records))]
    lasting = [Middleware(Headers, cache=FOREVER)]
    return [
        *(
            Route(path, pages.guarded(endpoint), methods=["GET"], middleware=safe)
            for path, endpoint in _read(pages).items()
        ),
        *(
            Route(path, endpoint, methods=["POST"], middleware=safe)
            for path, endpoint in _asked(pages).items()
        ),
        Mount("/static", StaticFiles(directory=STATIC), middleware=lasting),
    ]


def _read(pages: Pages) -> dict[str, Callable[[Request], Response]]:
    drifts = DriftPages(pages)
    return {
        "/": pages.overview,
        "/models/{model:path}": pages.model,
        "/drift/{model:path}": drifts.map,
        "/features/{model:path}": drifts.feature,
        "/incidents/{key:path}": pages.incident,
        "/runbooks/{name}": pages.runbook,
        "/decisions": pages.decisions,
        "/silences": SilencePages(pages).page,
        "/postmortems/{key:path}": pages.postmortem,
        "/charts/{chart}/{model:path}": pages.chart,
        "/reports/{model:path}": pages.report,
    }


def _asked(pages: Pages) -> dict[str, Callable[[Request], Awaitable[Response]]]:
    return {"/actions": Actions(pages).ask, "/silences": SilencePages(pages).ask}
