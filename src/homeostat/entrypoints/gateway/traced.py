"""A span and a duration for each request to the gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from homeostat.adapters.telemetry import Exchange, Running, Telemetry
from homeostat.domain.clock import Clock
from homeostat.entrypoints.gateway.answered import Answered
from homeostat.entrypoints.gateway.metrics import Metrics

_RUNNING: ContextVar[Running | None] = ContextVar("homeostat_running", default=None)
ROUTES = (
    "/v1/models/{model}/predict",
    "/v2/models/{model}/infer",
    "/v2/models/{model}/versions/{version}/infer",
    "/v2/repository/index",
    "/v2/repository/models/{model}/load",
    "/v2/repository/models/{model}/unload",
    "/models/{model}/invocations",
    "/invocations",
)
_BY_SHAPE = {
    (len(parts), parts[-1]): (one, parts)
    for one, parts in ((one, one.split("/")) for one in ROUTES)
}


class Traced:
    """ASGI middleware that joins the caller's trace.

    Versions and tiers that answered are attributes of the span, and it is an exemplar of the
    latency (`telling`, a watcher of the gateway).
    Health checks and metrics are not traced.

    Parameters
    ----------
    app : ASGIApp
    telemetry : Telemetry
    clock : Clock
    """

    def __init__(self, app: ASGIApp, telemetry: Telemetry, clock: Clock) -> None:
        self._app, self._telemetry, self._clock = app, telemetry, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        headers = {
            key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]
        }
        exchange = Exchange(scope["method"], route(scope["path"]), scope["scheme"], headers)
        with tracing(self._telemetry, self._clock, exchange) as running:

            async def heard(message: Message) -> None:
                if message["type"] == "http.response.start":
                    running.status = message["status"]
                await send(message)

            await self._app(scope, receive, heard)


@contextmanager
def tracing(telemetry: Telemetry, clock: Clock, exchange: Exchange) -> Iterator[Running]:
    """Make a request a span; whoever answers it sets the status."""
    started = clock.monotonic()
    running = telemetry.begin(exchange)
    token = _RUNNING.set(running)
    try:
        yield running
    finally:
        _RUNNING.reset(token)
        running.end(clock.monotonic() - started)


def route(path: str) -> str:
    """Return a path without what callers make up, so that there are few of them.

    Examples
    --------
    >>> route("/v1/models/fraud/predict"), route("/v2/models/fraud/infer"), route("/admin.php")
    ('/v1/models/{model}/predict', '/v2/models/{model}/infer', '/{other}')
    """
    given = path.split("/")
    found = _BY_SHAPE.get((len(given), given[-1]))
    if found is None:
        return "/{other}"
    one, parts = found
    same = all(
        mine == its or (its[:1] == "{" and mine) for mine, its in zip(given, parts, strict=True)
    )
    return one if same else "/{other}"


def telling(metrics: Metrics, clock: Clock) -> Callable[[Answered], None]:
    """Return a watcher that notes on the span of the request under way who answered it.

    Where its trace is kept, it becomes the exemplar of its bucket of the latency.
    """

    def told(answered: Answered) -> None:
        running = _RUNNING.get()
        if running is None:
            return
        running.note("homeostat.model", answered.spec.name)
        running.note("homeostat.rows", answered.num_rows)
        for name, values in (
            ("version", answered.version),
            ("tier", answered.tier),
            ("reason", answered.reason),
        ):
            running.note(f"homeostat.{name}", ",".join(sorted(set(values) - {""})))
        sampled = running.sampled()
        if sampled is not None:
            metrics.traced(answered, *sampled, clock.now().timestamp())

    return told
