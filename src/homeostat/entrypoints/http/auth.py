"""Who may do what: bearer tokens with scopes, of which only hashes are kept."""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import hmac
import ipaddress
import math
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from starlette.authentication import SimpleUser
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from homeostat.domain.clock import Clock
from homeostat.domain.errors import ConfigError, ConflictError, DataError, NotFoundError
from homeostat.engine.ports import Records
from homeostat.entrypoints.http.problem import ProblemError

PREFIX = "token:"
LOCAL = "local"
SECRET_BYTES = 32
LATELY = 1.0
NO_TOKEN = ""
MOST_REMEMBERED = 1000


class Scope(StrEnum):
    """What a token allows."""

    INGEST = "ingest"
    READ = "read"
    OPERATE = "operate"


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is stored: the secret itself is known to its holder alone.

    A plain SHA-256 is enough because the secret has 256 random bits: there is nothing to guess.
    """

    name: str
    sha256: str
    scopes: tuple[Scope, ...]
    created: datetime


class Tokens:
    """The deployment's tokens, in the records database.

    Parameters
    ----------
    records : Records
    clock : Clock, optional
        With it, what was found stays known for `LATELY` seconds: a token that is revoked elsewhere
        may be good for that long, and a server that needed none may need none.
    """

    def __init__(self, records: Records, clock: Clock | None = None) -> None:
        self._records, self._clock = records, clock
        self._lately: dict[str, tuple[float, Token | None]] = {}

    def create(self, name: str, scopes: Iterable[Scope], now: datetime) -> str:
        """Make a token and return its secret, which cannot be read again.

        Raises
        ------
        ConflictError
            If the name is taken.
        """
        if any(token.name == name for token in self.all()):
            raise ConflictError(f"there is a token named {name!r}; revoke it first")
        secret = "hs_" + secrets.token_urlsafe(SECRET_BYTES)
        hashed = digest(secret)
        token = Token(name, hashed, tuple(sorted(set(scopes))), now)
        with self._records.begin() as uow:
            uow.load(PREFIX + hashed, Token)
            uow.save(PREFIX + hashed, token)
        self._lately = {}
        return secret

    def keep(self, name: str, scopes: Iterable[Scope], secret: str, now: datetime) -> bool:
        """See to it that a token has this secret and these scopes; return whether it had not.

        Raises
        ------
        DataError
            If the secret is so short that it could be guessed.
        """
        if len(secret) < SECRET_BYTES:
            raise DataError(
                f"the secret of the token {name!r} has {len(secret)} characters; it needs "
                f"{SECRET_BYTES} random ones, as of: openssl rand -hex {SECRET_BYTES}"
            )
        token = Token(name, digest(secret), tuple(sorted(set(scopes))), now)
        before = [known for known in self.all() if known.name == name]
        if [(known.sha256, known.scopes) for known in before] == [(token.sha256, token.scopes)]:
            return False
        with self._records.begin() as uow:
            for known in before:
                uow.load(PREFIX + known.sha256, Token)
                uow.delete(PREFIX + known.sha256)
            uow.load(PREFIX + token.sha256, Token)
            uow.save(PREFIX + token.sha256, token)
        self._lately = {}
        return True

    def revoke(self, name: str) -> None:
        """Remove a token; raises NotFoundError."""
        for token in self.all():
            if token.name == name:
                with self._records.begin() as uow:
                    uow.load(PREFIX + token.sha256, Token)
                    uow.delete(PREFIX + token.sha256)
                self._lately = {}
                return
        raise NotFoundError(f"there is no token named {name!r}")

    def all(self) -> tuple[Token, ...]:
        """Return the tokens by name."""
        found = (self._records.read(key, Token) for key in self._records.keys(PREFIX))
        return tuple(sorted((t for t in found if t is not None), key=lambda token: token.name))

    def find(self, secret: str) -> Token | None:
        """Return the token that has this secret."""
        hashed = digest(secret)
        token = self._records.read(PREFIX + hashed, Token)
        if token is None or not hmac.compare_digest(token.sha256, hashed):
            return None
        self._remember(hashed, token)
        return token

    def any(self) -> bool:
        """Whether there is at least one token."""
        found = bool(self._records.keys(PREFIX))
        if not found:
            self._remember(NO_TOKEN, None)
        return found

    def lately(self, secret: str) -> Token | None:
        """Return the token that has this secret, if it was found a moment ago."""
        return self._remembered(digest(secret))[1]

    def none_lately(self) -> bool:
        """Whether there was no token at all a moment ago."""
        return self._remembered(NO_TOKEN)[0]

    def _remember(self, key: str, token: Token | None) -> None:
        if self._clock is not None:
            kept = self._lately if len(self._lately) < MOST_REMEMBERED else {}
            self._lately = {**kept, key: (self._clock.monotonic(), token)}

    def _remembered(self, key: str) -> tuple[bool, Token | None]:
        at, token = self._lately.get(key, (-math.inf, None))
        known = self._clock is not None and self._clock.monotonic() - at < LATELY
        return known, token if known else None


class Gate:
    """Lets requests in: with a token of the right scope, or from this machine if there is no token.

    Parameters
    ----------
    tokens : Tokens
    """

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def admit(self, request: Request, scope: Scope) -> str:
        """Return who asks.

        Raises
        ------
        ProblemError
            401 without a valid token, 403 if it lacks the scope.
        """
        header = request.headers.get("authorization", "")
        if not header:
            return await self._without_token(request)
        secret = _secret(header)
        token = self._tokens.lately(secret) if secret else None
        if token is None and secret:
            token = await run_in_threadpool(self._tokens.find, secret)
        if token is None:
            remedy = "send Authorization: Bearer TOKEN; make one with: homeostat token create"
            raise ProblemError(401, "the token is not valid", remedy, "Authorization")
        if scope not in token.scopes:
            error = f"the token {token.name!r} lacks the scope {scope}"
            remedy = f"make one with: homeostat token create NAME --scope {scope}"
            raise ProblemError(403, error, remedy, "Authorization")
        return token.name

    async def _without_token(self, request: Request) -> str:
        configured = not self._tokens.none_lately() and await run_in_threadpool(self._tokens.any)
        if configured or not from_this_machine(request):
            remedy = "send Authorization: Bearer TOKEN; make one with: homeostat token create"
            raise ProblemError(401, "a token is needed", remedy, "Authorization")
        return LOCAL


class PageGate:
    """ASGI middleware that guards the pages as `Gate` guards the API.

    Looking needs the scope ``read``, asking for something ``operate``. A browser asks its user for
    a name and a password; the password is the token. Who asks becomes ``request.user``.

    Parameters
    ----------
    app : ASGIApp
    tokens : Tokens
    """

    def __init__(self, app: ASGIApp, tokens: Tokens) -> None:
        self._app, self._gate = app, Gate(tokens)

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Let the call through, or answer it with 401 or 403."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        needed = Scope.READ if scope["method"] in {"GET", "HEAD"} else Scope.OPERATE
        try:
            who = await self._gate.admit(Request(scope), needed)
        except ProblemError as problem:
            answer = PlainTextResponse(f"{problem.error}\n{problem.remedy}\n", problem.status)
            answer.headers["WWW-Authenticate"] = 'Basic realm="homeostat", charset="UTF-8"'
            await answer(scope, receive, send)
            return
        scope["user"] = SimpleUser(who)
        await self._app(scope, receive, send)


def _secret(header: str) -> str:
    """Return the token in an Authorization header: a bearer token, or the password of Basic."""
    kind, _, value = header.partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() != "basic":
        return ""
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def from_this_machine(request: Request) -> bool:
    """Whether a program on this machine asks, and neither a proxy nor a foreign web page does.

    A web page can aim its own host name at 127.0.0.1 (DNS rebinding), so the name in the Host
    header must be local too.
    """
    client = request.client
    relayed = "x-forwarded-for" in request.headers or "forwarded" in request.headers
    hosts = (client.host if client else "", request.url.hostname or "")
    return not relayed and all(is_loopback(host) for host in hosts)


@functools.lru_cache(maxsize=MOST_REMEMBERED)
def is_loopback(host: str) -> bool:
    """Whether an address or name means this machine.

    Examples
    --------
    >>> [is_loopback(host) for host in ("localhost", "127.8.0.1", "::1", "0.0.0.0", "box.lan", "")]
    [True, True, True, False, False, False]
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_bind(host: str, tokens: Tokens, file: str = "", field: str = "server.host") -> None:
    """Refuse to listen on other addresses than loopback while there is no token.

    Raises
    ------
    ConfigError
    """
    if not is_loopback(host) and not tokens.any():
        remedy = "make one first (homeostat token create NAME --scope read), or listen on 127.0.0.1"
        problem = f"{host!r} is reachable from other machines and there is no token"
        raise ConfigError(problem, remedy, file, None, field)


def digest(secret: str) -> str:
    """Return what is stored of a token's secret."""
    return hashlib.sha256(secret.encode()).hexdigest()
