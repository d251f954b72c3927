"""Who may ask a gateway that other machines can reach: holders of an ingest token."""

from __future__ import annotations

import asyncio
import hmac
import logging
import math
from collections.abc import Mapping

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from homeostat.domain.clock import Clock
from homeostat.domain.errors import StorageError
from homeostat.entrypoints.gateway.desk import refusal
from homeostat.entrypoints.gateway.forms import OIP, RefusedError
from homeostat.entrypoints.http.auth import Scope, Tokens, digest

logger = logging.getLogger(__name__)

RENEW_SECONDS = 3.0
STALE_SECONDS = 6.0  # after so long without a look at the tokens, callers wait for one
PATIENCE = 1.0  # seconds that they wait at most
OPEN = frozenset({"/health", "/ping"})
OPEN_BELOW = ("/health/", f"{OIP}/health/")
REPOSITORY = f"{OIP}/repository/"


class Keys:
    """The tokens that are good at this moment.

    They are read from the records every few seconds, beside the requests, and kept while those
    cannot be read: the data plane goes on answering. Only where they have not been looked at for
    long, as at the start, do requests wait for that: for one look, all together, and not for ever.

    Parameters
    ----------
    tokens : Tokens
    clock : Clock
    """

    def __init__(self, tokens: Tokens, clock: Clock) -> None:
        self._tokens, self._clock = tokens, clock
        self._known: Mapping[str, tuple[Scope, ...]] | None = None
        self._looked_at = self._began_at = -math.inf
        self._looking: asyncio.Task[None] | None = None

    async def scopes(self, connection: Connection) -> tuple[Scope, ...] | None:
        """Return what a request's token allows; None if it has no token that is known.

        Raises RefusedError (503) while no tokens could be read.
        """
        return await self._scopes(Request(connection).headers.get("authorization", ""))

    async def refused(self, header: str, needed: Scope) -> RefusedError | None:
        """Return why the holder of an ``Authorization`` header may not ask; None if it may."""
        try:
            scopes = await self._scopes(header)
        except RefusedError as error:
            return error
        if scopes is None:
            return RefusedError(401, "send Authorization: Bearer TOKEN")
        if needed not in scopes:
            return RefusedError(403, f"the token lacks the scope {needed}")
        return None

    async def _scopes(self, header: str) -> tuple[Scope, ...] | None:
        kind, _, secret = header.partition(" ")
        if kind.lower() != "bearer":
            return None
        await self._renew()
        if self._known is None:
            raise RefusedError(503, "the tokens cannot be read yet, ask again")
        given = digest(secret.strip())
        found = [s for known, s in self._known.items() if hmac.compare_digest(known, given)]
        return found[0] if found else None

    async def operates(self, connection: Connection) -> bool:
        """Whether a request comes with a token of scope ``operate``; raises as `scopes`."""
        return Scope.OPERATE in (await self.scopes(connection) or ())

    async def _renew(self) -> None:
        now = self._clock.monotonic()
        looking = self._looking
        if now - self._began_at >= RENEW_SECONDS and (looking is None or looking.done()):
            self._began_at = now
            self._looking = looking = asyncio.create_task(self._look())
        if looking is None or looking.done() or now - self._looked_at < STALE_SECONDS:
            return
        left = self._began_at + PATIENCE - now
        if left > 0:
            await asyncio.wait((looking,), timeout=left)

    async def _look(self) -> None:
        try:
            tokens = await run_in_threadpool(self._tokens.all)
        except (StorageError, OSError) as error:
            logger.warning("tokens cannot be read, the last ones stay good: %s", error)
        else:
            self._known = {token.sha256: token.scopes for token in tokens}
        self._looked_at = self._clock.monotonic()


class Door:
    """ASGI middleware that asks for a token, except on the health paths.

    Predictions need the scope ``ingest``, loading models ``operate``, all else ``read``.

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
        path: str = scope.get("path", "")
        if scope["type"] != "http" or path in OPEN or path.startswith(OPEN_BELOW):
            await self._app(scope, receive, send)
            return
        header = Request(scope).headers.get("authorization", "")
        refused = await self._keys.refused(header, _needed(scope["method"], path))
        if refused is None:
            await self._app(scope, receive, send)
        else:
            await refusal(refused, path)(scope, receive, send)


def _needed(method: str, path: str) -> Scope:
    if path.startswith(REPOSITORY):
        return Scope.READ if path == f"{REPOSITORY}index" else Scope.OPERATE
    return Scope.INGEST if method == "POST" else Scope.READ
