"""A caller of ASGI applications for tests, without a socket."""

import asyncio
from typing import Any

import httpx
from starlette.types import ASGIApp


class Caller:
    """Calls an ASGI application as a program at `peer` would."""

    def __init__(self, app: ASGIApp, base: str, peer: str = "127.0.0.1") -> None:
        self._transport = httpx.ASGITransport(app, client=(peer, 5000))
        self._base = base

    def request(self, method: str, path: str, **sent: Any) -> httpx.Response:
        async def call() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url=self._base) as http:
                return await http.request(method, path, **sent)

        return asyncio.run(call())

    def get(self, path: str, **sent: Any) -> httpx.Response:
        return self.request("GET", path, **sent)

    def post(self, path: str, **sent: Any) -> httpx.Response:
        return self.request("POST", path, **sent)
