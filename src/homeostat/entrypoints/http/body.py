"""Reading request bodies of bounded size."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request

from homeostat.entrypoints.http.intake import PATIENCE, Share
from homeostat.entrypoints.http.problem import ProblemError


async def read_bytes(request: Request, limit: int, share: Share | None = None) -> bytes:
    """Return the request's body.

    Parameters
    ----------
    request : Request
    limit : int
        Largest body taken, in bytes; what is sent beyond it is never held in memory.
    share : Share, optional
        Grows with the parts as they come.

    Raises
    ------
    ProblemError
        413 if it is too large, 408 if its next part does not come, 429 if there is no room.
    """
    _check_declared(request, limit)
    parts: list[bytes] = []
    size = 0
    async for part in _patiently(request, PATIENCE if share is None else share.intake.patience):
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        if share is not None:
            share.grow(len(part))
        parts.append(part)
    return b"".join(parts)


async def _patiently(request: Request, seconds: float) -> AsyncIterator[bytes]:
    parts = request.stream()
    while True:
        try:
            async with asyncio.timeout(seconds):
                part = await anext(parts)
        except StopAsyncIteration:
            return
        except TimeoutError:
            said = f"nothing of the body came for {seconds:g} seconds"
            raise ProblemError(408, said, "send it again") from None
        yield part


def _too_large(limit: int) -> ProblemError:
    remedy = "send fewer rows at a time, or raise server.max_request_mb"
    return ProblemError(413, f"the body is larger than {limit} bytes", remedy)


def _check_declared(request: Request, limit: int) -> None:
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdecimal() and int(declared[:20]) > limit:
        raise _too_large(limit)
