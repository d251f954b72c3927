"""Reading request bodies: bounded, JSON, an object."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import Request

from homeostat.entrypoints.http.problem import ProblemError


async def read_object(request: Request, limit: int) -> dict[str, Any]:
    """Return the JSON object in the request's body.

    Parameters
    ----------
    request : Request
    limit : int
        Largest body taken, in bytes; what is sent beyond it is never held in memory.

    Raises
    ------
    ProblemError
        415 if it is not declared as JSON, 413 if it is too large, 400 if it is not JSON (NaN and
        Infinity are not) and 422 if it is no object.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        said = f"content type is {kind!r}" if kind else "there is no content type"
        raise ProblemError(415, said, "send Content-Type: application/json", "Content-Type")
    body = await _read(request, limit)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        remedy = "send valid JSON; NaN and Infinity are none, use null"
        raise ProblemError(400, f"the body is not JSON ({error.msg}, {where})", remedy) from None
    if not isinstance(value, dict):
        raise ProblemError(422, "the body must be a JSON object", "wrap it in {...}")
    return value


async def _read(request: Request, limit: int) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        parts.append(part)
    return b"".join(parts)


def _too_large(limit: int) -> ProblemError:
    remedy = "send fewer rows at a time, or raise server.max_request_mb"
    return ProblemError(413, f"the body is larger than {limit} bytes", remedy)
