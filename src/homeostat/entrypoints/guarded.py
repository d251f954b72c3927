"""ASGI middleware: a breaker, a deadline and a fallback around an application's own endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from homeostat.entrypoints.breaker import Breaker
from homeostat.serving.breaker import Outcome
from homeostat.serving.classify import Upstream, of_status

LARGEST_BODY = 16 * 2**20

Answer = Callable[[object], object]


class BreakerMiddleware:
    """Answers for an endpoint of the application while it fails or takes too long.

    Requests and answers of the endpoint are held until they are complete, so that half an answer
    is never followed by another. Answers of 500 and more, exceptions, and time-outs are faults and
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
        Paths whose POSTs are guarded.
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
        if not guarded or scope["path"] not in self._paths:
            await self._app(scope, receive, send)
            return
        body = await _body(receive)
        if body is None:  # the caller has gone, or sends more than a prediction is made of
            await _reply(send, 413, {"error": f"more than {LARGEST_BODY} bytes"})
            return
        answer = await self._ask(scope, receive, body)
        if answer is None:
            await self._stand_in(send, body)
            return
        for message in answer:
            await send(message)

    async def _ask(self, scope: Scope, receive: Receive, body: bytes) -> list[Message] | None:
        """Return what the application answers; None if that is nothing to pass on."""
        circuit, monotonic = self._breaker.circuit, self._breaker.monotonic
        permit = circuit.acquire(monotonic())
        if permit is None:
            return None
        answer: list[Message] = []
        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def hear() -> Message:
            return waiting.pop() if waiting else await receive()

        async def say(message: Message) -> None:
            answer.append(message)

        outcome = Outcome.NEUTRAL
        try:
            async with asyncio.timeout(self._deadline):
                await self._app(scope, hear, say)
        except Exception as error:
            outcome = self._breaker.outcome_of(error)
            if outcome is not Outcome.FAULT:
                raise
        else:
            status = answer[0]["status"] if answer else 500
            outcome = of_status(Upstream.JSON, status, checked=False)
        finally:
            circuit.settle(permit, outcome, monotonic())
        return None if outcome is Outcome.FAULT else answer

    async def _stand_in(self, send: Send, body: bytes) -> None:
        if self._fallback is None:
            await _reply(send, 503, {"error": "the model does not answer; try again later"})
            return
        try:
            asked: object = orjson.loads(body)
        except orjson.JSONDecodeError:
            asked = None
        await _reply(send, 200, self._fallback(asked))


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
