"""``GET /health/live`` and ``/health/ready``, for load balancers and Kubernetes: open to all."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from homeostat.domain.errors import HomeostatError
from homeostat.engine.lease import LEASE
from homeostat.engine.ports import Records

ASK_AGAIN = "5"  # seconds


def health(records: Records) -> list[BaseRoute]:
    """Return the routes.

    A server is alive if it answers, and ready if its records do. One that does not tick because
    another one leads is as ready as that.
    """

    async def live(_: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(_: Request) -> Response:
        try:
            await run_in_threadpool(records.keys, LEASE)
        except HomeostatError:
            # Why is in the server's log: who asks here need not be anybody's friend.
            return JSONResponse({"ready": False}, 503, {"Retry-After": ASK_AGAIN})
        return JSONResponse({"ready": True})

    return [Route("/health/live", live), Route("/health/ready", ready)]
