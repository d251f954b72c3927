"""ASGI middleware: a breaker, a deadline and a fallback around an application's own endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from homeostat.entrypoints.breaker import Breaker
from homeostat.serving.breaker import Outcome, Permit
from homeostat.serving.classify import Upstream, of_status

LARGEST_BODY = 16 * 2**20

Answer = Callable[[object], object]


class BreakerMiddleware:
    """Answers for an endpoint of the application while it fails or takes too long.

    Requests and answers of the endpoint are held until they are complete, so that half an answer
    is never followed by another. What the endpoint does after its answer, such as background tasks,
    is neither timed nor judged. Answers of 500 and more, exceptions, and time-outs are faults and
    are answered by `fallback`. What is wrong with a request is the caller's and is passed on, as
    are exceptions that the breaker excludes.

    Parameters
    ----------
    app : ASGI application
    breaker : Breaker
    fallback : callable, optional
        Makes the answer from the JSON of the request (None if that is none); it must be quick. By
        default such requests are answered with 503.
    paths : sequence of str
        Paths whose POSTs are guarded, below whatever the application is mounted at.
    deadline : float
        Seconds that the endpoint may take. Its task is then cancelled; work in threads goes on.

    Notes
    -----
    Answers of the fallback have the header ``x-homeostat-tier: fallback``. With
    `HomeostatMiddleware` around it, they are logged as such if `fallback` answers with ``tier`` and
    ``reason``.
    """

    def __init__(
        self,
        app: ASGIApp,
        breaker: Breaker,
        fallback: Answer | None = None,
        paths: Sequence[str] = ("/predict",),
        deadline: float = 1.0,
    ) -> None:
        self._app, self._breaker, self._fallback = app, breaker, fallback
        self._paths, self._deadline = frozenset(paths), deadline

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on, or answer it."""
        guarded = scope["type"] == "http" and scope["method"] == "POST"
        if not guarded or _place(scope) not in self._paths:
            await self._app(scope, receive, send)
            return
        body = await _body(receive)
        if body is None:  # the caller has gone, or sends more than a prediction is made of
            await _reply(send, 413, {"error": f"more than {LARGEST_BODY} bytes"})
            return
        permit = self._breaker.circuit.acquire(self._breaker.monotonic())
        if permit is None:
            await self._stand_in(send, body)
        else:
            await self._ask(permit, scope, receive, send, body)

    async def _ask(
        self, permit: Permit, scope: Scope, receive: Receive, send: Send, body: bytes
    ) -> None:
        held = _Held(self._breaker, permit, send, partial(self._stand_in, send, body))
        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def hear() -> Message:
            return waiting.pop() if waiting else await receive()

        try:
            async with asyncio.timeout(self._deadline) as held.limit:
                await self._app(scope, hear, held.say)
            if held.outcome is None:
                await held.tell()
        except Exception as error:
            if held.outcome is None:
                await held.fail(error)
            if not held.stood_in:
                raise
        finally:
            if held.outcome is None:
                held.settle(Outcome.NEUTRAL)

    async def _stand_in(self, send: Send, body: bytes) -> None:
        if self._fallback is None:
            await _reply(send, 503, {"error": "the model does not answer; try again later"})
            return
        try:
            asked: object = orjson.loads(body)
        except orjson.JSONDecodeError:
            asked = None
        await _reply(send, 200, self._fallback(asked))


class _Held:
    """An answer that is held until it is complete, and then judged and passed on, or replaced."""

    limit: asyncio.Timeout

    def __init__(
        self, breaker: Breaker, permit: Permit, send: Send, stand_in: Callable[[], Awaitable[None]]
    ) -> None:
        self._breaker, self._permit, self._send, self._stand_in = breaker, permit, send, stand_in
        self._messages: list[Message] = []
        self.outcome: Outcome | None = None
        self.stood_in = False

    async def say(self, message: Message) -> None:
        """Take a message of the application."""
        if self.outcome is not None or self.limit.expired():
            return
        self._messages.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self.limit.reschedule(None)  # what is done after the answer is not waited for
            await self.tell()

    async def tell(self) -> None:
        """Judge what there is, and answer."""
        said = self._messages and not self.limit.expired()
        status = self._messages[0]["status"] if said else 500
        self.settle(of_status(Upstream.JSON, status, checked=False))
        if self.outcome is Outcome.FAULT:
            await self._replace()
            return
        for message in self._messages:
            await self._send(message)

    async def fail(self, error: Exception) -> None:
        """Answer in place of an application that raised this, if it is its fault."""
        self.settle(self._breaker.outcome_of(error))
        if self.outcome is Outcome.FAULT:
            await self._replace()

    def settle(self, outcome: Outcome) -> None:
        """Report how the call ended."""
        self.outcome = outcome
        self._breaker.circuit.settle(self._permit, outcome, self._breaker.monotonic())

    async def _replace(self) -> None:
        await self._stand_in()
        self.stood_in = True


def _place(scope: Scope) -> str:
    """Return the path below whatever the application is mounted at."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


async def _body(receive: Receive) -> bytes | None:
    size, chunks = 0, []
    while True:
        message = await receive()
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > LARGEST_BODY or message["type"] == "http.disconnect":
            return None
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks)


async def _reply(send: Send, status: int, content: object) -> None:
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-homeostat-tier", b"fallback"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
