"""The gateway over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TypeAlias

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from homeostat.engine.ports import Routes
from homeostat.entrypoints.exposition import CLASSIC, OPENMETRICS, dressed, wants_openmetrics
from homeostat.entrypoints.gateway import mlflow, oip, openapi
from homeostat.entrypoints.gateway.answered import Answered
from homeostat.entrypoints.gateway.desk import JSON, Desk, Rows, place, read_body, refusal, reply
from homeostat.entrypoints.gateway.forms import RefusedError, told
from homeostat.entrypoints.gateway.gateway import Gateway
from homeostat.entrypoints.gateway.large import LARGE_BODY, LARGE_ROWS, read_json
from homeostat.entrypoints.gateway.obey import Obedience
from homeostat.entrypoints.monitoring.served import SERVED, built

logger = logging.getLogger(__name__)

SHADOW_PATIENCE = 0.05
"""Part of the deadline from which shadows are dropped while the event loop is late."""
SOONER = 0.1  # part of the time between two looks, while a version is being loaded
VERSION_HEADER = b"x-homeostat-version"
KINDS = (JSON,)
PREFIX, SUFFIX = "/v1/models/", "/predict"
Beside: TypeAlias = "Callable[[Desk], AbstractAsyncContextManager[None]]"
Lifespan: TypeAlias = "Callable[[Starlette], AbstractAsyncContextManager[None]]"
MayOverride: TypeAlias = "Callable[[Scope], Awaitable[bool]]"


async def nobody(_: Scope) -> bool:
    """Let no request choose its version."""
    return False


async def anyone(_: Scope) -> bool:
    """Let every request choose its version."""
    return True


def app(
    gateway: Gateway,
    source: Routes | None = None,
    every: float = 0.5,
    may_override: MayOverride = nobody,
    orders: Obedience | None = None,
    beside: Beside | None = None,
) -> Starlette:
    """Build the ASGI application.

    Parameters
    ----------
    gateway : Gateway
    source : Routes, optional
        Where routes are read from, when the engine runs in another process. While it cannot be
        read, the routes that were read last go on serving.
    every : float
        Seconds between two looks at `source` and `orders`.
    may_override : callable
        Whether a request may choose its version by the header ``x-homeostat-version``.
    orders : Obedience, optional
        What operators want of breakers.
    beside : callable, optional
        Makes what else serves the desk's requests while the application runs.

    Notes
    -----
    ``POST /v1/models/{model}/predict`` takes ``{"rows": [{...}]}``. A row holds the features and,
    if wanted, ``prediction_id``, ``timestamp`` (ISO 8601 with zone) and ``entity``. The answer is
    ``{"predictions": [{"prediction_id", "score", "prediction", "version", "tier", "reason"}]}``,
    for several classes with ``probabilities`` in the order of the classes (null from a fallback);
    an answer from the cache has ``age_seconds``;
    an error is ``{"error": {"message", "row", "column"}}``. While more requests come than can be
    answered in time, the rest is refused at once with 503 and ``Retry-After``.
    ``GET /health/live``, ``/health/ready`` and ``/metrics`` do what their names say. Versions
    that a route names and that could not be loaded are listed under ``not_loaded``; they do not
    make the gateway unready.
    """
    lag = gateway.lag
    gateway.shadows.pressed = lambda served: lag.seconds > served.deadline * SHADOW_PATIENCE
    desk = Desk(gateway, lag)
    predict = Predict(desk, may_override)
    routes = [
        Route(f"{PREFIX}{{model}}{SUFFIX}", predict, methods=["POST"]),
        *_looks(gateway),
        *oip.routes(desk),
        *mlflow.routes(desk),
    ]
    return Plane(predict, routes, _lifespan(desk, source, orders, every, beside))


def _lifespan(
    desk: Desk,
    source: Routes | None,
    orders: Obedience | None,
    every: float,
    beside: Beside | None,
) -> Lifespan:
    gateway, lag = desk.gateway, desk.lag

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        lag.start()
        following = None
        if source is not None or orders is not None:
            following = asyncio.create_task(_follow(gateway, source, orders, every))
        try:
            async with beside(desk) if beside is not None else contextlib.nullcontext():
                yield
        finally:
            lag.stop()
            if following is not None:
                following.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await following
            await asyncio.to_thread(gateway.close)

    return lifespan


def _looks(gateway: Gateway) -> list[Route]:
    async def live(_: Request) -> Response:
        return reply({"live": True})

    async def ready(_: Request) -> Response:
        return _readiness(gateway)

    async def metrics(request: Request) -> Response:
        text = await asyncio.to_thread(gateway.all_metrics)
        openmetrics = wants_openmetrics(request.headers.get("accept", ""))
        shown = dressed(built("gateway") + text, SERVED, openmetrics=openmetrics)
        kind = OPENMETRICS if openmetrics else CLASSIC
        return Response(shown, headers={"content-type": kind, "vary": "Accept"})

    async def described(_: Request) -> Response:
        return reply(openapi.document(list(gateway.routes.models)))

    return [
        Route(openapi.PATH, described),
        Route("/health/live", live),
        Route("/health/ready", ready),
        Route("/metrics", metrics),
    ]


def _readiness(gateway: Gateway) -> Response:
    models = gateway.ready()
    well = all(models.values()) and not gateway.draining
    # Anyone may ask: the reasons, which may hold paths, are for the log.
    missing = {model: sorted(why) for model, why in gateway.routes.problems.items()}
    content = {"ready": well, "models": models, "not_loaded": missing}
    return reply(content, 200 if well else 503)


async def _follow(
    gateway: Gateway, source: Routes | None, orders: Obedience | None, every: float
) -> None:
    def look() -> dict[str, str]:
        if orders is not None:
            orders.follow()
        return gateway.routes.follow(source, 0.0) if source is not None else {}

    known: dict[str, str] = {}
    while True:
        problems = await asyncio.to_thread(look)
        for model, problem in problems.items():
            if known.get(model) != problem:
                logger.error(
                    "%s: new route not taken, the old one goes on serving: %s", model, problem
                )
        known = problems
        await asyncio.sleep(every * SOONER if gateway.routes.loading else every)


class Plane(Starlette):
    """Starlette, but for a short way to the predictions: its routing costs what a model does."""

    def __init__(self, predict: Predict, routes: Sequence[BaseRoute], lifespan: Lifespan) -> None:
        super().__init__(
            routes=routes, lifespan=lifespan, exception_handlers={404: _not_here, 405: _not_here}
        )
        self._predict = predict

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http" and scope["method"] == "POST":
            path: str = scope["path"]
            if path.startswith(PREFIX) and path.endswith(SUFFIX):
                model = path[len(PREFIX) : -len(SUFFIX)]
                await self._predict.answer(model, scope, receive, send)
                return
        await super().__call__(scope, receive, send)


class Predict:
    """Answers POST /v1/models/{model}/predict; an ASGI application."""

    def __init__(self, desk: Desk, may_override: MayOverride = nobody) -> None:
        self._desk, self._may_override = desk, may_override

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that Starlette has routed here."""
        await self.answer(scope["path_params"]["model"], scope, receive, send)

    async def answer(self, model: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for a model."""
        try:
            self._desk.admit(model)
            version = ""
            for name, value in scope["headers"]:
                if name == VERSION_HEADER:
                    version = await self._wanted(value, scope)
                    break
            _, body = await read_body(scope, receive, KINDS)
            rows: Rows = _rows(body) if len(body) <= LARGE_BODY else await self._large(model, body)
            answered = await self._desk.answer(model, rows, version)
        except ClientDisconnect:  # nobody is left to be told
            return
        except RefusedError as error:
            await refusal(error, place(scope))(scope, receive, send)
            return
        if answered.num_rows <= LARGE_ROWS:
            content = _told(answered)
        else:
            content = await self._desk.write(answered.num_rows, partial(_told, answered))
        await _send(send, content)

    async def _large(self, model: str, body: bytes) -> Rows:
        return await self._desk.rows(model, body, partial(_rows, read=read_json))

    async def _wanted(self, given: bytes, scope: Scope) -> str:
        """Return the version that a header asks for, empty if it leaves that to the route."""
        version = given.decode("latin-1").strip()
        if version and not await self._may_override(scope):
            header = VERSION_HEADER.decode()
            raise RefusedError(
                403, f"{header} needs a token of scope operate (or gateway.version_header: anyone)"
            )
        return version


async def _send(send: Send, body: bytes) -> None:
    length = str(len(body)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _told(answered: Answered) -> bytes:
    return orjson.dumps({"predictions": answered.content()})


def _rows(body: bytes, read: Callable[[bytes], object] = orjson.loads) -> list[dict[str, object]]:
    try:
        content = read(body)
    except orjson.JSONDecodeError as error:
        raise RefusedError(400, f"the request is not JSON: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("rows"), list):
        problem = 'the request must be an object such as {"rows": [{"amount": 12.5}]}'
        raise RefusedError(400, problem)
    rows: list[dict[str, object]] = content["rows"]
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            problem = "a row must be an object that maps field names to values"
            raise RefusedError(400, f"row {number}: {problem}", number)
    return rows


async def _not_here(request: Request, error: Exception) -> Response:
    """Answer what no route takes, in the form that its protocol has errors in."""
    assert isinstance(error, HTTPException)
    message = f"{request.method} {request.url.path}: {error.detail}"
    refused = RefusedError(error.status_code, message)
    return reply(told(refused, place(request.scope)), error.status_code, error.headers)
