"""Reports over HTTP: ``GET /api/v1/reports/{kind}/{model}``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from homeostat.domain.errors import DataError, NotFoundError
from homeostat.entrypoints.http.auth import Gate, Scope, Tokens
from homeostat.entrypoints.http.problem import ProblemError, endpoint
from homeostat.entrypoints.http.query import time_of
from homeostat.entrypoints.reports import FORMS, KINDS, Reports

PATH = "/api/v1/reports/{kind}/{model}"
MEDIA: Mapping[str, str] = {
    "html": "text/html; charset=utf-8",
    "md": "text/markdown; charset=utf-8",
    "json": "application/json",
}
SAFE = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "X-Content-Type-Options": "nosniff",
}


def reports_api(reports: Reports, tokens: Tokens) -> list[BaseRoute]:
    """Return the route that makes reports; reading them needs the scope ``read``.

    It goes before those of `homeostat.entrypoints.http.api.api`, which end with a catch-all.
    """
    desk = _Desk(reports, Gate(tokens))
    return [Route(PATH, endpoint(desk.answer), methods=["GET"])]


@dataclass(frozen=True, slots=True)
class _Desk:
    reports: Reports
    gate: Gate

    async def answer(self, request: Request) -> Response:
        """Make one report; ``format`` is html, md or json, ``as_of`` when it ends."""
        await self.gate.admit(request, Scope.READ)
        kind, model = (str(request.path_params[name]) for name in ("kind", "model"))
        form, as_of = request.query_params.get("format", "html"), time_of(request, "as_of")
        if form not in FORMS:
            known = ", ".join(FORMS)
            raise ProblemError(422, f"unknown format {form[:50]!r}", f"one of {known}", "format")
        if kind not in KINDS:
            raise ProblemError(404, f"no {kind!r} report", f"one of {', '.join(KINDS)}", "kind")
        try:
            made = await run_in_threadpool(self.reports.make, kind, [model], as_of)
        except NotFoundError as error:
            raise ProblemError(404, str(error), "GET /api/v1/models lists them", "model") from None
        except DataError as error:
            raise ProblemError(422, str(error), "ask for a time in the past", "as_of") from None
        body = await run_in_threadpool(FORMS[form], made)
        return Response(body, media_type=MEDIA[form], headers=SAFE)
