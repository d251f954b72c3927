"""A server of models, one for every protocol, that misbehaves as it is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiohttp import web

Numbers = list[list[float]]


@dataclass
class ModelServer:
    """Scores a row by the sum of its numbers, missing ones and texts being 0; in a thread.

    Attributes
    ----------
    mood : str
        What the next requests get: ``fine``, ``hang``, ``slow_body``, ``half_body``, ``reset``,
        ``not_json``, ``odd_json``, ``too_few``, ``huge``, ``redirect``, or a status code.
    moods : list of str
        What the very next ones get, in order, before `mood` holds.
    bodies, headers : list
        What came in.
    """

    mood: str = "fine"
    moods: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    under_way: int = 0
    highest: int = 0
    ended: int = 0
    port: int = 0
    delay: float = 0.0

    def __post_init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._stop: asyncio.Event
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self._thread.start()
        assert self._started.wait(30)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str) -> str:
        return f"http://{self.host}{path}"

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        self._loop.close()

    async def _serve(self) -> None:
        self._stop, app = asyncio.Event(), web.Application(client_max_size=2**26)
        app.router.add_post("/v2/models/{model}/infer", self._answering(oip))
        app.router.add_post("/invocations", self._answering(mlflow))
        app.router.add_post("/score", self._answering(plain))
        runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port)
        await site.start()
        self.port = runner.addresses[0][1]
        self._started.set()
        await self._stop.wait()
        await runner.cleanup()

    def _answering(
        self, answer: Callable[[Any], Any]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            self.under_way += 1
            self.highest = max(self.highest, self.under_way)
            try:
                content = await request.json()
                self.bodies.append(content)
                self.headers.append(dict(request.headers))
                mood = self.moods.pop(0) if self.moods else self.mood
                return await self._behave(request, mood, answer(content))
            finally:
                self.under_way -= 1
                self.ended += 1

        return handle

    async def _behave(self, request: web.Request, mood: str, good: Any) -> web.StreamResponse:
        await asyncio.sleep(self.delay)
        if mood in {"slow_body", "half_body"}:
            return await self._broken(request, mood)
        if mood == "hang":
            await asyncio.sleep(60)
        elif mood == "reset":
            assert request.transport is not None
            request.transport.abort()
        elif mood == "redirect":
            raise web.HTTPFound("/v2/models/other/infer")
        odd = {
            "not_json": web.Response(body=b"<html>\x00\xff oops"),
            "odd_json": web.json_response({"outputs": 5, "predictions": {"a": 1}}),
            "too_few": web.json_response(shortened(good)),
        }
        if mood == "huge":
            return web.Response(body=b" " * (2**24 + 10))
        if mood.isdigit():
            return web.json_response({"error": "model said no"}, status=int(mood))
        return odd.get(mood) or web.json_response(good)

    async def _broken(self, request: web.Request, mood: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-length": "1000"})
        await response.prepare(request)
        await response.write(b'{"predictions": [')
        if mood == "slow_body":
            await asyncio.sleep(60)
        assert request.transport is not None
        request.transport.close()
        return response


def total(row: list[Any]) -> float:
    return float(sum(v for v in row if isinstance(v, int | float) and not isinstance(v, bool)))


def oip(content: Any) -> Any:
    inputs = content["inputs"]
    if len(inputs) == 1:
        matrix = np.array(inputs[0]["data"], dtype=object).reshape(inputs[0]["shape"]).tolist()
    else:
        matrix = list(zip(*(one["data"] for one in inputs), strict=True))
    scores = [total(list(row)) for row in matrix]
    tensor = {"name": "score", "shape": [len(scores), 1], "datatype": "FP64", "data": scores}
    label = {"name": "label", "shape": [len(scores)], "datatype": "BYTES", "data": ["x"] * 3}
    return {"model_name": "m", "id": "1", "outputs": [label, tensor]}


def mlflow(content: Any) -> Any:
    rows = content["inputs"] if "inputs" in content else content["dataframe_split"]["data"]
    return {"predictions": [total(row) for row in rows]}


def plain(content: Any) -> Any:
    if "instances" in content:
        return {"predictions": [total(row) for row in content["instances"]]}
    return {"predictions": [{"score": total(list(row.values()))} for row in content["rows"]]}


def shortened(good: Any) -> Any:
    if "predictions" in good:
        return {"predictions": good["predictions"][1:]}
    tensor = {**good["outputs"][1], "shape": [0, 1], "data": []}
    return {"outputs": [tensor]}
