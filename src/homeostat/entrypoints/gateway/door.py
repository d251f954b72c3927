"""Who may ask a gateway that other machines can reach: holders of an ingest token."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Mapping

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from homeostat.domain.clock import Clock
from homeostat.domain.errors import StorageError
from homeostat.entrypoints.http.auth import Scope, Tokens, digest

logger = logging.getLogger(__name__)

RENEW_SECONDS = 5.0
HEALTH = "/health/"


class Keys:
    """The scopes of tokens, read from the records every few seconds.

    They are kept while the records cannot be read: the data plane goes on answering.

    Parameters
    ----------
    tokens : Tokens
    clock : Clock
    """

    def __init__(self, tokens: Tokens, clock: Clock) -> None:
        self._tokens, self._clock = tokens, clock
        self._known: Mapping[str, tuple[Scope, ...]] = {}
        self._read_at: float | None = None

    async def scopes(self, connection: Connection) -> tuple[Scope, ...] | None:
        """Return what a request's token allows; None if it has no token that is known."""
        header = Request(connection).headers.get("authorization", "")
        kind, _, secret = header.partition(" ")
        if kind.lower() != "bearer":
            return None
        await self._renew()
        given = digest(secret.strip())
        found = [s for known, s in self._known.items() if hmac.compare_digest(known, given)]
        return found[0] if found else None

    async def operates(self, connection: Connection) -> bool:
        """Whether a request comes with a token of scope ``operate``."""
        return Scope.OPERATE in (await self.scopes(connection) or ())

    async def _renew(self) -> None:
        now = self._clock.monotonic()
        if self._read_at is not None and now - self._read_at < RENEW_SECONDS:
            return
        self._read_at = now
        try:
            tokens = await run_in_threadpool(self._tokens.all)
        except StorageError as error:
            logger.warning("tokens cannot be read, the last ones stay good: %s", error)
        else:
            self._known = {token.sha256: token.scopes for token in tokens}


class Door:
    """ASGI middleware that asks for a token, except on the health paths.

    Predictions need the scope ``ingest``, metrics ``read``.

    Parameters
    ----------
    app : ASGIApp
    tokens : Tokens
    clock : Clock
    """

    def __init__(self, app: ASGIApp, tokens: Tokens, clock: Clock) -> None:
        self._app, self._keys = app, Keys(tokens, clock)

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Let the call through, or answer it with 401 or 403."""
        if scope["type"] != "http" or str(scope["path"]).startswith(HEALTH):
            await self._app(scope, receive, send)
            return
        needed = Scope.INGEST if scope["method"] == "POST" else Scope.READ
        scopes = await self._keys.scopes(scope)
        if scopes is None:
            refusal = {"error": {"message": "send Authorization: Bearer TOKEN"}}
            await JSONResponse(refusal, 401)(scope, receive, send)
        elif needed not in scopes:
            refusal = {"error": {"message": f"the token lacks the scope {needed}"}}
            await JSONResponse(refusal, 403)(scope, receive, send)
        else:
            await self._app(scope, receive, send)
