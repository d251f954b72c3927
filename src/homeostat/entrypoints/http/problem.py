"""Errors as JSON: what is wrong, in which field, and what to do about it."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from datetime import timedelta

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from homeostat.domain.errors import (
    ConflictError,
    DataError,
    HomeostatError,
    NotFoundError,
    OverloadError,
    PermissionDeniedError,
    StorageError,
    UserError,
)

Endpoint = Callable[[Request], Awaitable[Response]]

STATUS: tuple[tuple[type[HomeostatError], int], ...] = (
    (PermissionDeniedError, 403),
    (NotFoundError, 404),
    (ConflictError, 409),
    (DataError, 422),
    (UserError, 400),
    (StorageError, 503),
    (OverloadError, 429),
    (HomeostatError, 500),
)


class ProblemError(UserError):
    """A request that cannot be served, as the caller is told.

    Parameters
    ----------
    status : int
        HTTP status.
    error, remedy : str
        What is wrong and what to do about it.
    field : str
        Where in the request, such as ``labels.3.label``.
    """

    def __init__(self, status: int, error: str, remedy: str = "", field: str = "") -> None:
        self.status, self.error, self.remedy, self.field = status, error, remedy, field
        super().__init__(error)


def reply(value: object, status: int = 200) -> Response:
    """Return a JSON answer; NaN and infinities become null, durations seconds."""
    body = orjson.dumps(value, default=_plain, option=orjson.OPT_UTC_Z)
    return Response(body, status, media_type="application/json")


def _plain(value: object) -> object:
    if isinstance(value, timedelta):
        return value.total_seconds()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def endpoint(handler: Endpoint) -> Endpoint:
    """Return the handler with our errors turned into answers."""

    @functools.wraps(handler)
    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except ProblemError as problem:
            return _tell(problem.status, problem.error, problem.field, problem.remedy)
        except ClientDisconnect:
            return _tell(400, "the client went away", "", "")
        except HomeostatError as error:
            status = next(code for kind, code in STATUS if isinstance(error, kind))
            remedy = (
                "try again in a moment" if isinstance(error, StorageError | OverloadError) else ""
            )
            return _tell(status, str(error), "", remedy)

    return answer


def _tell(status: int, error: str, field: str, remedy: str) -> Response:
    answer = reply({"error": error, "field": field, "remedy": remedy}, status)
    if status == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
    if status in {429, 503}:
        answer.headers["Retry-After"] = "1"
    return answer
