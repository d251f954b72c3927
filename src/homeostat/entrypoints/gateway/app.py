"""The gateway over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

import orjson
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from homeostat.domain.errors import NotFoundError
from homeostat.engine.ports import Router
from homeostat.entrypoints.gateway.batch import InputError
from homeostat.entrypoints.gateway.gateway import Gateway
from homeostat.entrypoints.gateway.lag import Lag
from homeostat.entrypoints.gateway.obey import Obedience

logger = logging.getLogger(__name__)

LARGEST_BODY = 16 * 2**20
MOST_ROWS = 20_000
PATIENCE = 0.25
"""Part of the deadline that a request may have waited for the event loop before it is refused."""
SHADOW_PATIENCE = 0.05
"""The same for shadows, which are dropped first."""
VERSION_HEADER = b"x-homeostat-version"
PREFIX, SUFFIX = "/v1/models/", "/predict"
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
    source: Router | None = None,
    every: float = 0.5,
    may_override: MayOverride = nobody,
    orders: Obedience | None = None,
) -> Starlette:
    """Build the ASGI application.

    Parameters
    ----------
    gateway : Gateway
    source : Router, optional
        Where routes are read from, when the engine runs in another process. While it cannot be
        read, the routes that were read last go on serving.
    every : float
        Seconds between two looks at `source` and `orders`.
    may_override : callable
        Whether a request may choose its version by the header ``x-homeostat-version``.
    orders : Obedience, optional
        What operators want of breakers.

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
    lag = Lag()
    gateway.shadows.pressed = lambda served: lag.seconds > served.deadline * SHADOW_PATIENCE

    predict = Predict(gateway, lag, may_override)
    return Plane(
        predict,
        routes=[
            Route(f"{PREFIX}{{model}}{SUFFIX}", predict, methods=["POST"]),
            *_looks(gateway),
        ],
        lifespan=_lifespan(gateway, lag, source, orders, every),
    )


def _lifespan(
    gateway: Gateway, lag: Lag, source: Router | None, orders: Obedience | None, every: float
) -> Lifespan:
    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        lag.start()
        following = None
        if source is not None or orders is not None:
            following = asyncio.create_task(_follow(gateway, source, orders, every))
        try:
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
        return _json({"live": True})

    async def ready(_: Request) -> Response:
        return _readiness(gateway)

    async def metrics(_: Request) -> Response:
        return PlainTextResponse(gateway.metrics_text(), media_type="text/plain; version=0.0.4")

    return [
        Route("/health/live", live),
        Route("/health/ready", ready),
        Route("/metrics", metrics),
    ]


def _readiness(gateway: Gateway) -> Response:
    models = gateway.ready()
    well = all(models.values())
    # Anyone may ask: the reasons, which may hold paths, are for the log.
    missing = {model: sorted(why) for model, why in gateway.routes.problems.items()}
    content = {"ready": well, "models": models, "not_loaded": missing}
    return _json(content, 200 if well else 503)


async def _follow(
    gateway: Gateway, source: Router | None, orders: Obedience | None, every: float
) -> None:
    known: dict[str, str] = {}
    while True:
        problems: dict[str, str] = {}
        if source is not None:
            problems = await asyncio.to_thread(gateway.routes.follow, source)
        if orders is not None:
            await asyncio.to_thread(orders.follow)
        for model, problem in problems.items():
            if known.get(model) != problem:
                logger.error(
                    "%s: new route not taken, the old one goes on serving: %s", model, problem
                )
        known = problems
        await asyncio.sleep(every)


class Plane(Starlette):
    """Starlette, but for a short way to the predictions: its routing costs what a model does."""

    def __init__(self, predict: Predict, routes: Sequence[Route], lifespan: Lifespan) -> None:
        super().__init__(routes=routes, lifespan=lifespan)
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

    def __init__(self, gateway: Gateway, lag: Lag, may_override: MayOverride = nobody) -> None:
        self._gateway, self._lag, self._may_override = gateway, lag, may_override

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that Starlette has routed here."""
        await self.answer(scope["path_params"]["model"], scope, receive, send)

    async def answer(self, model: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for a model."""
        version = _version(scope)
        refusal = self._refusal(model)
        if version and refusal is None and not await self._may_override(scope):
            name = VERSION_HEADER.decode()
            message = f"{name} needs a token of scope operate (or gateway.version_header: anyone)"
            refusal = _error(message, 403)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        try:
            body = await _body(receive)
        except ClientDisconnect:
            return
        if body is None:
            message = f"the request is larger than {LARGEST_BODY} bytes"
            await _error(message, 413)(scope, receive, send)
            return
        try:
            answered = await self._gateway.answer(model, _rows(body), version)
        except InputError as error:
            refusal = _error(str(error), 400, error.row, error.column)
            await refusal(scope, receive, send)
        except NotFoundError as error:
            await _error(str(error), 404)(scope, receive, send)
        else:
            await _send(send, orjson.dumps({"predictions": answered.content()}))

    def _refusal(self, model: str) -> Response | None:
        served = self._gateway.routes.models.get(model)
        if served is None:
            return _error(f"no model named {model!r} is served here", 404)
        if self._lag.seconds > served.deadline * PATIENCE:
            self._gateway.metrics.shed(model)
            return _busy()
        return None


def _version(scope: Scope) -> str:
    """Return the version that a request asks for, empty if it leaves that to the route."""
    for name, value in scope["headers"]:
        if name == VERSION_HEADER:
            found: bytes = value
            return found.decode("latin-1").strip()
    return ""


async def _send(send: Send, body: bytes) -> None:
    length = str(len(body)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _body(receive: Receive) -> bytes | None:
    """Return the body; None if it is too large."""
    size, chunks = 0, []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > LARGEST_BODY:
            return None
        chunks.append(chunk)
        if not message.get("more_body"):
            return chunk if len(chunks) == 1 else b"".join(chunks)


def _rows(body: bytes) -> list[dict[str, object]]:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InputError(f"the request is not JSON: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("rows"), list):
        raise InputError('the request must be an object such as {"rows": [{"amount": 12.5}]}')
    rows: list[dict[str, object]] = content["rows"]
    if not 0 < len(rows) <= MOST_ROWS:
        raise InputError(f"a request has 1 to {MOST_ROWS} rows, not {len(rows)}")
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise InputError("a row must be an object that maps field names to values", number)
    return rows


def _error(message: str, status: int, row: int | None = None, column: str = "") -> Response:
    return _json({"error": {"message": message, "row": row, "column": column}}, status)


def _busy() -> Response:
    response = _error("more requests than can be answered in time; send fewer, or later", 503)
    response.headers["retry-after"] = "1"
    return response


def _json(content: object, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
