"""ASGI middleware: logs what passes a prediction endpoint, without changing how it answers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Iterable, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Callable

from homeostat_client.client import AsyncClient, Client

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

SCORES = ("score", "probability", "prediction")
ROWS = ("rows", "instances", "inputs", "dataframe_records")
TIERS = ("model", "cached", "lighter", "rules", "default")
ANSWERS = ("predictions", "scores", "outputs")


@dataclass(frozen=True)
class Row:
    """One prediction found in a request and its answer.

    `fields` are further arguments of `Client.log_prediction`, such as ``version``.
    """

    features: dict[str, Any]
    score: object
    fields: dict[str, Any] = field(default_factory=dict)


Read = Callable[[Any, Any], Iterable[Row]]


class HomeostatMiddleware:
    """Logs the predictions that pass through an ASGI application.

    Bodies are passed on as they come and read later, in the background. Only answers of 200 to
    299 are logged. The answer's header ``x-prediction-id`` tells the caller the id; where there are
    several rows, that of the first row ends with ``-0``, of the second with ``-1`` and so on. When
    the application shuts down, what is left is delivered, or kept on disk. An answer's ``version``,
    ``entity`` and, if it is one of Homeostat's fallback tiers, ``tier`` with ``reason`` are logged.

    Parameters
    ----------
    app : ASGI application
    client : Client or AsyncClient
    paths : sequence of str
        Paths whose POSTs are predictions, below whatever the application is mounted at.
    read : callable, optional
        Given the JSON of request and answer, returns rows; by default `read_json`.
    version : str
    max_body : int
        Larger bodies are answered as ever, but not logged.
    """

    def __init__(
        self,
        app: App,
        client: Client | AsyncClient,
        paths: Sequence[str] = ("/predict",),
        read: Read | None = None,
        version: str = "",
        max_body: int = 1 << 20,
    ) -> None:
        self._app, self._client, self._paths = app, client, frozenset(paths)
        self._read, self._version, self._max = read or read_json, version, max_body

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Pass the call on and keep a copy of what is said."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, self._until_the_end(send))
            return
        wanted = scope["type"] == "http" and scope["method"] == "POST"
        if not wanted or _place(scope) not in self._paths:
            await self._app(scope, receive, send)
            return
        seen = _Exchange(self._client.new_id(), self._max)

        async def hear() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                seen.asked(message.get("body", b""))
            return message

        async def say(message: Message) -> None:
            await send(seen.answered(message))

        await self._app(scope, hear, say)
        if seen.complete:
            self._client.defer(lambda: self._log(seen), min(seen.size, self._max))

    def _until_the_end(self, send: Send) -> Send:
        """Return `send` that delivers what is left before the server is told that all is over.

        Uvicorn ends its process by the signal that it got, which no exit handler survives.
        """

        async def say(message: Message) -> None:
            if message["type"] in {"lifespan.shutdown.complete", "lifespan.shutdown.failed"}:
                await asyncio.get_running_loop().run_in_executor(None, self._client.settle)
            await send(message)

        return say

    def _log(self, seen: _Exchange) -> None:
        if seen.size > self._max:
            raise ValueError(f"a body of more than {self._max} bytes is not logged")
        asked = json.loads(b"".join(seen.request))
        rows = list(self._read(asked, json.loads(b"".join(seen.response))))
        for place, row in enumerate(rows):
            number = seen.number if len(rows) == 1 else f"{seen.number}-{place}"
            fields = {"prediction_id": number, "version": self._version, **row.fields}
            latency = fields.pop("latency_ms", seen.latency_ms)
            moment = fields.pop("timestamp", seen.moment / 1e9)
            self._client.log_prediction(
                row.features, row.score, timestamp=moment, latency_ms=latency, **fields
            )


def _place(scope: MutableMapping[str, Any]) -> str:
    """Return the path below whatever the application is mounted at."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


class _Exchange:
    """One request and its answer, as far as they are kept."""

    def __init__(self, number: str, most: int) -> None:
        self.number, self._most = number, most
        self.moment, self._began = time.time_ns(), time.perf_counter()
        self.request: list[bytes] = []
        self.response: list[bytes] = []
        self.size = 0
        self.latency_ms = 0.0
        self.complete = self._fine = False

    def _keep(self, parts: list[bytes], body: bytes) -> None:
        self.size += len(body)
        if self.size <= self._most:
            parts.append(bytes(body))

    def asked(self, body: bytes) -> None:
        self._keep(self.request, body)

    def answered(self, message: Message) -> Message:
        """Note a part of the answer; return it, the id among its headers."""
        if message["type"] == "http.response.start":
            self._fine = 200 <= message["status"] < 300
            if self._fine:
                headers = [*message.get("headers", ()), (b"x-prediction-id", self.number.encode())]
                return {**message, "headers": headers}
        elif message["type"] == "http.response.body" and self._fine:
            self._keep(self.response, message.get("body", b""))
            if not message.get("more_body", False):
                self.complete = True
                self.latency_ms = (time.perf_counter() - self._began) * 1000
        return message


def read_json(asked: Any, answer: Any) -> Iterable[Row]:
    """Return the predictions in the usual shapes of JSON.

    The request is one object of features, possibly under ``features``, or a list of them, possibly
    under ``rows`` or ``instances``. The answer has as many scores: numbers, or objects with
    ``score``, ``probability`` or ``prediction``, possibly under ``predictions``.

    Raises
    ------
    ValueError
        If it is none of these.

    Examples
    --------
    >>> read_json({"amount": 3}, {"score": 0.2})
    [Row(features={'amount': 3}, score=0.2, fields={})]
    >>> [row.score for row in read_json({"rows": [{"a": 1}, {"a": 2}]}, {"predictions": [0, 1]})]
    [0, 1]
    """
    rows, scores = _listed(asked, ROWS), _listed(answer, ANSWERS)
    if len(rows) != len(scores):
        raise ValueError(f"{len(rows)} rows were sent and {len(scores)} scores answered")
    return [Row(_features(row), *_score(score)) for row, score in zip(rows, scores)]


def _listed(value: Any, names: Sequence[str]) -> list[Any]:
    if isinstance(value, dict):
        value = next((value[name] for name in names if isinstance(value.get(name), list)), value)
    return value if isinstance(value, list) else [value]


def _features(row: Any) -> dict[str, Any]:
    found = row.get("features", row) if isinstance(row, dict) else row
    if not isinstance(found, dict):
        raise ValueError("a row is no object of features by name")  # noqa: TRY004 - data, not code
    return found


def _score(answer: Any) -> tuple[object, dict[str, Any]]:
    if not isinstance(answer, dict):
        return answer, {}
    score = next((answer[name] for name in SCORES if name in answer), None)
    if score is None:
        raise ValueError(f"the answer has none of {', '.join(SCORES)}")
    known = ["prediction_id", "version", "entity"]
    if answer.get("tier") in TIERS:  # another word is the application's own
        known += ["tier", "reason"]
    return score, {name: answer[name] for name in known if isinstance(answer.get(name), str)}
