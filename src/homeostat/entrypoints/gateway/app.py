"""The gateway over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import orjson
import pyarrow as pa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from homeostat.domain.record import PROBABILITIES
from homeostat.engine.ports import Router
from homeostat.entrypoints.gateway.batch import InputError, rows_to_table
from homeostat.entrypoints.gateway.gateway import Gateway

logger = logging.getLogger(__name__)

LARGEST_BODY = 16 * 2**20
MOST_ROWS = 20_000
ANSWER_FIELDS = ("prediction_id", "score", "prediction", "version", "tier", "reason")


def app(gateway: Gateway, source: Router | None = None, every: float = 1.0) -> Starlette:
    """Build the ASGI application.

    Parameters
    ----------
    gateway : Gateway
    source : Router, optional
        Where routes are read from, when the engine runs in another process. While it cannot be
        read, the routes that were read last go on serving.
    every : float
        Seconds between two looks at `source`.

    Notes
    -----
    ``POST /v1/models/{model}/predict`` takes ``{"rows": [{...}]}``. A row holds the features and,
    if wanted, ``prediction_id``, ``timestamp`` (ISO 8601 with zone) and ``entity``. The answer is
    ``{"predictions": [{"prediction_id", "score", "prediction", "version", "tier", "reason"}]}``,
    for several classes with ``probabilities`` in the order of the classes (null from a fallback);
    an error is ``{"error": {"message", "row", "column"}}``. ``GET /health/live``,
    ``/health/ready`` and ``/metrics`` do what their names say. Versions that a route names and that
    could not be loaded are listed under ``not_loaded``; they do not make the gateway unready.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        following = None
        if source is not None:
            following = asyncio.create_task(_follow(gateway, source, every))
        try:
            yield
        finally:
            if following is not None:
                following.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await following
            await asyncio.to_thread(gateway.close)

    async def predict(request: Request) -> Response:
        return await _predict(gateway, request)

    async def live(_: Request) -> Response:
        return _json({"live": True})

    async def ready(_: Request) -> Response:
        return _readiness(gateway)

    async def metrics(_: Request) -> Response:
        return PlainTextResponse(gateway.metrics_text(), media_type="text/plain; version=0.0.4")

    return Starlette(
        routes=[
            Route("/v1/models/{model}/predict", predict, methods=["POST"]),
            Route("/health/live", live),
            Route("/health/ready", ready),
            Route("/metrics", metrics),
        ],
        lifespan=lifespan,
    )


def _readiness(gateway: Gateway) -> Response:
    models = gateway.ready()
    well = all(models.values())
    # Anyone may ask: the reasons, which may hold paths, are for the log.
    missing = {model: sorted(why) for model, why in gateway.routes.problems.items()}
    content = {"ready": well, "models": models, "not_loaded": missing}
    return _json(content, 200 if well else 503)


async def _follow(gateway: Gateway, source: Router, every: float) -> None:
    known: dict[str, str] = {}
    while True:
        problems = await asyncio.to_thread(gateway.routes.follow, source)
        for model, problem in problems.items():
            if known.get(model) != problem:
                logger.error(
                    "%s: new route not taken, the old one goes on serving: %s", model, problem
                )
        known = problems
        await asyncio.sleep(every)


async def _predict(gateway: Gateway, request: Request) -> Response:
    model = request.path_params["model"]
    served = gateway.routes.models.get(model)
    if served is None:
        return _error(f"no model named {model!r} is served here", 404)
    body = await _body(request)
    if body is None:
        return _error(f"the request is larger than {LARGEST_BODY} bytes", 413)
    try:
        table = rows_to_table(served.spec, _rows(body))
        records = await gateway.predict_async(model, table)
    except InputError as error:
        return _error(str(error), 400, error.row, error.column)
    return _json({"predictions": _answers(records)})


async def _body(request: Request) -> bytes | None:
    size, chunks = 0, []
    async for chunk in request.stream():
        size += len(chunk)
        if size > LARGEST_BODY:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


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


def _answers(records: pa.Table) -> list[dict[str, object]]:
    several = [PROBABILITIES] if PROBABILITIES in records.column_names else []
    return records.select([*ANSWER_FIELDS, *several]).to_pylist()


def _error(message: str, status: int, row: int | None = None, column: str = "") -> Response:
    return _json({"error": {"message": message, "row": row, "column": column}}, status)


def _json(content: object, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
