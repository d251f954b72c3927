"""Reading request bodies of bounded size."""

from __future__ import annotations

from starlette.requests import Request

from homeostat.entrypoints.http.problem import ProblemError


async def read_bytes(request: Request, limit: int) -> bytes:
    """Return the request's body.

    Parameters
    ----------
    request : Request
    limit : int
        Largest body taken, in bytes; what is sent beyond it is never held in memory.

    Raises
    ------
    ProblemError
        413 if it is too large.
    """
    declared_size(request, limit)
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


def held_size(request: Request, limit: int) -> int:
    """Return how many bytes a body may take, decompressed; raises ProblemError if too many."""
    size = declared_size(request, limit)
    plain = request.headers.get("content-encoding", "identity") == "identity"
    return size if plain else size + limit


def declared_size(request: Request, limit: int) -> int:
    """Return how large a body says it is, `limit` if it does not say; raises ProblemError."""
    declared = request.headers.get("content-length", "")
    if not (declared.isascii() and declared.isdecimal()):
        return limit
    if int(declared[:20]) > limit:
        raise _too_large(limit)
    return int(declared)
