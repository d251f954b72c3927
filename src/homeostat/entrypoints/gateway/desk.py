"""What all protocols do with a request before the gateway sees it: size, kind, model, time."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import lru_cache, partial
from typing import TypeAlias, TypeVar

import orjson
import pyarrow as pa
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope

from homeostat.domain.errors import NotFoundError
from homeostat.entrypoints.gateway.answered import Answered
from homeostat.entrypoints.gateway.batch import InputError, rows_to_table
from homeostat.entrypoints.gateway.forms import RefusedError, told
from homeostat.entrypoints.gateway.gateway import Gateway
from homeostat.entrypoints.gateway.lag import Lag
from homeostat.entrypoints.gateway.large import LARGE_BODY, LARGE_ROWS

LARGEST_BODY = 16 * 2**20
MOST_ROWS = 20_000
PATIENCE = 0.25
"""Part of the deadline that a request may have waited for the event loop before it is refused."""
LONGEST_LENGTH = 18  # digits
JSON = "application/json"
GONE = 499  # nobody reads it

T = TypeVar("T")
Rows: TypeAlias = "pa.Table | Sequence[Mapping[str, object]]"
Handler: TypeAlias = Callable[[Request], Awaitable[Response]]


class Desk:
    """Takes requests in and hands them to the gateway.

    Parameters
    ----------
    gateway : Gateway
    lag : Lag
        How late the event loop is.
    """

    def __init__(self, gateway: Gateway, lag: Lag) -> None:
        self.gateway, self.lag = gateway, lag

    def admit(self, model: str) -> None:
        """Raise RefusedError if there is no such model (404) or no time for a request (503)."""
        served = self.gateway.routes.models.get(model)
        if served is None:
            raise RefusedError(404, f"no model named {model!r} is served here")
        if self.lag.note() > served.deadline * PATIENCE:
            self.gateway.metrics.shed(model)
            raise RefusedError(
                503, "more requests than can be answered in time; send fewer, or later"
            )

    async def answer(
        self, model: str, rows: Rows, version: str = "", seconds: float = math.inf
    ) -> Answered:
        """Answer rows for a model that was admitted, by the version that is named if one is.

        The caller waits so many seconds at most.

        Raises RefusedError: 400 if they are odd, 404 if there is no such version.
        """
        check_count(len(rows))
        try:
            return await self.gateway.answer(model, rows, version, seconds)
        except InputError as error:
            raise RefusedError(400, str(error), error.row, error.column) from error
        except NotFoundError as error:
            raise RefusedError(404, str(error)) from error

    async def read(self, model: str, body: bytes, reader: Callable[[bytes], T]) -> T:
        """Return what a reader makes of a body; of a large one, without keeping the event loop.

        Raises RefusedError (503) if too many large ones wait, and what the reader raises.
        """
        if len(body) <= LARGE_BODY:
            return reader(body)
        if self.gateway.aside.full:
            self.gateway.metrics.shed(model)
            raise RefusedError(503, "too many large requests at once; send fewer rows, or later")
        return await self.gateway.aside.run(partial(reader, body))

    async def rows(self, model: str, body: bytes, reader: Callable[[bytes], Rows]) -> Rows:
        """Return the rows that a reader finds in a body, as `read`; many as columns."""
        spec = self.gateway.routes.models[model].spec

        def columns(body: bytes) -> Rows:  # here rows are let go of, too, which takes its time
            rows = reader(body)
            check_count(len(rows))
            return rows if isinstance(rows, pa.Table) else rows_to_table(spec, rows)

        try:
            return await self.read(model, body, reader if len(body) <= LARGE_BODY else columns)
        except InputError as error:
            raise RefusedError(400, str(error), error.row, error.column) from error

    async def write(self, rows: int, writer: Callable[[], T]) -> T:
        """Return what a writer makes of answers to so many rows, as `read`."""
        return writer() if rows <= LARGE_ROWS else await self.gateway.aside.run(writer)


def check_count(rows: int) -> None:
    """Raise RefusedError unless so many rows may be asked for at once."""
    if not 0 < rows <= MOST_ROWS:
        raise RefusedError(400, f"a request has 1 to {MOST_ROWS} rows, not {rows}")


async def read_body(scope: Scope, receive: Receive, kinds: Collection[str]) -> tuple[str, bytes]:
    """Return a request's media type (empty if it names none) and its body.

    Parameters
    ----------
    scope : Scope
    receive : Receive
    kinds : collection of str
        Media types that are taken.

    Raises
    ------
    RefusedError
        413 if it is too large, before anything is read where it says so; 415 if it is of another
        kind, or compressed.
    ClientDisconnect
        If the caller hangs up.
    """
    kind = _kind(scope, kinds)
    size, chunks = 0, []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > LARGEST_BODY:
            raise _too_large()
        chunks.append(chunk)
        if not message.get("more_body"):
            return kind, chunk if len(chunks) == 1 else b"".join(chunks)


def _kind(scope: Scope, kinds: Collection[str]) -> str:
    kind = ""
    for name, value in scope["headers"]:
        if name == b"content-length":
            if not value.isdigit() or len(value) > LONGEST_LENGTH or int(value) > LARGEST_BODY:
                raise _too_large()
        elif name == b"content-type":
            kind = _media_type(value)
            if kind not in kinds:
                wanted = " or ".join(kinds)
                raise RefusedError(415, f"{kind!r:.80} is not read here; send {wanted}")
        elif name == b"content-encoding" and value.lower() != b"identity":
            raise RefusedError(415, "compressed bodies are not read here; send them plain")
    return kind


@lru_cache(maxsize=16)
def _media_type(header: bytes) -> str:
    return header.partition(b";")[0].strip().lower().decode("latin-1")


def _too_large() -> RefusedError:
    return RefusedError(413, f"the request is larger than {LARGEST_BODY} bytes; send fewer rows")


def read_object(body: bytes) -> dict[str, object]:
    """Return the JSON object in a body; raises RefusedError (400)."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RefusedError(400, f"the request is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise RefusedError(400, "the request is no JSON object")
    return content


def answering(handler: Handler) -> Handler:
    """Return the handler with refusals turned into answers."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except InputError as error:
            return refusal(
                RefusedError(400, str(error), error.row, error.column), place(request.scope)
            )
        except RefusedError as error:
            return refusal(error, place(request.scope))
        except ClientDisconnect:
            return Response(status_code=GONE)

    return answer


def place(scope: Scope) -> str:
    """Return the path of a request below whatever the application is mounted at."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def refusal(error: RefusedError, path: str) -> Response:
    """Return the answer to a refused request for a path."""
    return reply(told(error, path), error.status, error.headers)


def reply(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON answer; NaN becomes null."""
    return Response(orjson.dumps(content), status, headers, media_type=JSON)
