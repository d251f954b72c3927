"""Silences over HTTP: made, ended and listed, by programs and on a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from homeostat.domain.clock import Clock
from homeostat.domain.errors import DataError, HomeostatError, NotFoundError
from homeostat.engine.ports import Records
from homeostat.engine.silencing import Silencing, all_silences
from homeostat.entrypoints.http.auth import Gate, Scope, Tokens
from homeostat.entrypoints.http.formats import read_object
from homeostat.entrypoints.http.pages import Pages
from homeostat.entrypoints.http.problem import ProblemError, endpoint, reply
from homeostat.entrypoints.http.security import read_form
from homeostat.entrypoints.silencing import FIELDS, described, make, number, standing

PATH = "/api/v1/silences"
LARGEST = 64 * 1024
MOST_SHOWN = 100


def silences_api(
    records: Records, models: Sequence[str], clock: Clock, tokens: Tokens
) -> list[BaseRoute]:
    """Return the routes of the API about silences.

    Parameters
    ----------
    records : Records
    models : sequence of str
        All that are under care.
    clock : Clock
    tokens : Tokens
        Listing needs the scope ``read``, making and ending one ``operate``.
    """
    api = _Api(records, Silencing(records, models), clock, Gate(tokens))
    return [
        Route(PATH, endpoint(api.listed), methods=["GET"]),
        Route(PATH, endpoint(api.made), methods=["POST"]),
        Route(f"{PATH}/{{number}}/end", endpoint(api.ended), methods=["POST"]),
    ]


@dataclass(frozen=True, slots=True)
class _Api:
    records: Records
    silencing: Silencing
    clock: Clock
    gate: Gate

    async def listed(self, request: Request) -> Response:
        await self.gate.admit(request, Scope.READ)
        found = await run_in_threadpool(all_silences, self.records)
        now = self.clock.now()
        return reply({"silences": [described(each, now) for each in found]})

    async def made(self, request: Request) -> Response:
        actor = await self.gate.admit(request, Scope.OPERATE)
        fields = _texts(await read_object(request, LARGEST))
        now = self.clock.now()
        try:
            silence = await run_in_threadpool(make, self.silencing, fields, actor, now)
        except DataError as error:
            raise ProblemError(422, str(error), "correct it and send it again") from None
        return reply({"silence": described(silence, now)}, 201)

    async def ended(self, request: Request) -> Response:
        actor = await self.gate.admit(request, Scope.OPERATE)
        now = self.clock.now()
        try:
            which = number(str(request.path_params["number"]))
            silence = await run_in_threadpool(self.silencing.end, which, actor, now)
        except (DataError, NotFoundError) as error:
            raise ProblemError(404, str(error), f"GET {PATH} lists them", "number") from None
        return reply({"silence": described(silence, now)})


def _texts(body: Mapping[str, object]) -> dict[str, str]:
    for key, value in body.items():
        if key not in FIELDS:
            known = ", ".join(sorted(FIELDS))
            raise ProblemError(422, "unknown field", f"known: {known}", key[:100])
        if not isinstance(value, str):
            raise ProblemError(422, f"{key} must be text", "send a JSON string", key)
    return {key: str(value) for key, value in body.items()}


@dataclass(frozen=True)
class SilencePages:
    """The page of silences, and what is asked for there."""

    pages: Pages

    def page(self, request: Request) -> Response:
        """All silences, and a form for another one; the address may fill it in."""
        reader = self.pages.reader
        now = reader.clock.now()
        found = all_silences(reader.records)
        shown = [(each, standing(each, now)) for each in found[:MOST_SHOWN]]
        given = {name: request.query_params.get(name, "")[:500] for name in FIELDS}
        values: dict[str, object] = {
            "silences": shown,
            "given": given,
            "models": sorted(reader.specs),
        }
        return self.pages.render(request, "silences", values)

    async def ask(self, request: Request) -> Response:
        """Take a form, make or end a silence, and go back to the page."""
        try:
            fields = await read_form(request)
            await run_in_threadpool(self._do, fields, request.user.display_name)
        except HomeostatError as error:
            return await run_in_threadpool(self.pages.problem, request, error)
        return RedirectResponse("/silences", status_code=303)

    def _do(self, fields: Mapping[str, str], who: str) -> None:
        reader = self.pages.reader
        silencing, now = Silencing(reader.records, list(reader.specs)), reader.clock.now()
        if "end_number" in fields:
            silencing.end(number(fields["end_number"]), who, now)
        else:
            make(silencing, fields, who, now)
