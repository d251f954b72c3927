"""One HTTP request to one configured address: what all receivers on the web have in common."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import cast
from urllib.parse import SplitResult, quote, quote_plus, unquote_plus, urlsplit

from homeostat.adapters.notifiers.text import one_line
from homeostat.domain.clock import Clock
from homeostat.domain.errors import ConfigError, DeliveryError

REMEDY = "use an address such as https://example.org/hook"
MOST_READ = 64 * 1024
MOST_SAID = 300
SHORTEST_SECRET = 6
SAFE = "/%:@!$&()*+,;=~"
AGAIN = frozenset({408, 425, 429})
"""Refusals of this moment; all other answers below 500 are refusals of the request."""


Taken = Callable[[int, object], bool]
"""Whether a status of 2xx and a body, parsed where it is JSON, say that a receiver has it."""


def any_success(_status: int, _body: object) -> bool:
    """Take every 2xx for an answer."""
    return True


def no_page(_status: int, body: object) -> bool:
    """Take every 2xx but a page for people, such as a captive portal or a login shows.

    Examples
    --------
    >>> no_page(202, ""), no_page(200, " <!DOCTYPE html><html>Sign in")
    (True, False)
    """
    start = body.lstrip("\ufeff \t\r\n")[:9].lower() if isinstance(body, str) else ""
    return not start.startswith(("<!doctype", "<html", "<head", "<!--", "<?xml"))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver said: its status, and the beginning of its body as one harmless line."""

    status: int
    said: str

    def __str__(self) -> str:
        return f"{self.status} {self.said}".strip()


@dataclass(frozen=True)
class Poster:
    """Posts to one http(s) address.

    It talks to the configured host and to no other: redirects are not followed and proxies of the
    environment are not used. What comes back is read up to 64 KiB.

    Parameters
    ----------
    kind : str
        What errors call the receiver, such as ``pagerduty``.
    url : str
        Only its host is shown in errors, since a path may be a secret.
    clock : Clock
    timeout : timedelta
        For all of it: to connect, to send, and to read the answer.
    secrets : tuple of str
        Keys that no error may hold, should the receiver repeat them.
    again : frozenset of int
        Answers below 500 after which trying again can help.

    Raises
    ------
    ConfigError
        If the address is not one of http or https, or holds a password.
    """

    kind: str
    url: str = field(repr=False)
    clock: Clock
    timeout: timedelta = timedelta(seconds=10)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    again: frozenset[int] = AGAIN

    def __post_init__(self) -> None:
        _parts(self.kind, self.url)

    def post_json(
        self,
        value: object,
        headers: Mapping[str, str] | None = None,
        path: str = "",
        taken: Taken = any_success,
    ) -> Answer:
        """Post a value as JSON; see `post`."""
        return self.post(json.dumps(value, separators=(",", ":")).encode(), headers, path, taken)

    def post(
        self,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        path: str = "",
        taken: Taken = any_success,
    ) -> Answer:
        """Post a body to the address, or to a path below it.

        Parameters
        ----------
        body : bytes
            JSON, unless the headers say otherwise.
        headers : mapping, optional
            Further ones.
        path : str
            Quoted already; it follows the address.
        taken : callable
            Which of the answers of 2xx come from the receiver: others are from something in
            between, and will pass.

        Raises
        ------
        DeliveryError
            With ``retry`` for network problems, those of `again` and 5xx, and with what
            ``Retry-After`` says, and for a 2xx that is not `taken`; without for any other answer.
        """
        parts = _parts(self.kind, f"{self.url.rstrip('/')}{path}" if path else self.url)
        sent = {"Content-Type": "application/json", "User-Agent": "homeostat", **(headers or {})}
        try:
            status, value, later = self._exchange(parts, body, sent)
        except (OSError, HTTPException) as error:
            told = one_line(self._redacted(str(error)), MOST_SAID)
            problem = f"{self.kind} {parts.hostname}: {type(error).__name__}: {told}"
            raise DeliveryError(problem, retry=True) from error
        answer = Answer(status, one_line(self._redacted(_shown(value)), MOST_SAID))
        success = 200 <= status < 300
        if success and taken(status, value):
            return answer
        hint = "; redirects are not followed" if 300 <= status < 400 else ""
        hint = f", which is not how {self.kind} takes a notice" if success else hint
        told = f": {answer.said}" if answer.said else ""
        retry = success or status in self.again or status >= 500
        problem = f"{self.kind} {parts.hostname} answered {status}{hint}{told}"
        raise DeliveryError(problem, retry=retry, after=self._after(later) if retry else None)

    def _exchange(
        self, parts: SplitResult, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, object, str]:
        left = deadline(self.clock, self.timeout)
        connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        connection = connect(parts.hostname or "", parts.port, timeout=left())
        connection.connect()
        line: socket.socket = connection.sock
        try:
            # http.client asks for no more of a socket than this has.
            connection.sock = cast("socket.socket", _Line(line, left))
            connection.request("POST", _target(parts), body, dict(headers))
            response = connection.getresponse()
            value = _value(response)
            return response.status, value, response.headers.get("Retry-After", "")
        finally:
            connection.close()
            line.close()

    def _redacted(self, text: str) -> str:
        """Take out the secrets, and what may be one of the address: its long parts, its query."""
        parts = _parts(self.kind, self.url)
        pieces = {piece for piece in parts.path.split("/") if len(piece) > 2 * SHORTEST_SECRET}
        asked = {parts.query, *(each.partition("=")[2] for each in parts.query.split("&"))}
        hidden = {*self.secrets, *pieces, *asked}
        hidden |= {unquote_plus(each) for each in hidden}
        hidden |= {made for each in hidden for made in (quote(each, safe=SAFE), quote_plus(each))}
        for secret in sorted(hidden, key=len, reverse=True):
            if len(secret) >= SHORTEST_SECRET:
                text = text.replace(secret, "***")
        return text

    def _after(self, said: str) -> timedelta | None:
        """Return what ``Retry-After`` says: seconds, or a date (RFC 9110, section 10.2.3)."""
        if said.isascii() and said.isdecimal():
            return timedelta(seconds=int(said[:9]))
        try:
            until = parsedate_to_datetime(said)
        except (TypeError, ValueError):
            return None
        if until.tzinfo is None:
            until = until.replace(tzinfo=UTC)
        return max(until - self.clock.now(), timedelta(0))


def deadline(clock: Clock, timeout: timedelta) -> Callable[[], float]:
    """Return what tells the seconds that are left from now on; it raises TimeoutError after."""
    ends = clock.monotonic() + timeout.total_seconds()

    def left() -> float:
        seconds = ends - clock.monotonic()
        if seconds <= 0:
            raise TimeoutError("timed out")
        return seconds

    return left


class _Line:
    """A socket that has a time by which all must be done, not one for each read.

    A receiver that sends a byte a second would else hold up the others for ever.
    """

    def __init__(self, line: socket.socket, left: Callable[[], float]) -> None:
        self._line, self._left = line, left

    def sendall(self, data: bytes) -> None:
        self._line.settimeout(self._left())
        self._line.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(Reading(self._line, self._left))

    def close(self) -> None:
        """Keep it open: http.client closes a connection before it has read the answer."""


class Reading(io.RawIOBase):
    """Reads from a socket until a time that is the same for all reads."""

    def __init__(self, line: socket.socket, left: Callable[[], float]) -> None:
        self._line, self._left = line, left

    def readable(self) -> bool:
        """Say that it is one that is read."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read what is there, within what is left."""
        self._line.settimeout(self._left())
        return self._line.recv_into(buffer)


def _value(response: HTTPResponse) -> object:
    """Return the beginning of a body: a value if it is JSON, else text."""
    data = response.read(MOST_READ)
    try:
        value: object = json.loads(data)
    except (ValueError, RecursionError):
        return data.decode(errors="replace")
    return value


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)


def _parts(kind: str, url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        if host:
            host.encode("idna")
    except ValueError as error:
        raise ConfigError(f"the {kind}'s address is not a URL", REMEDY) from error
    if parts.scheme not in {"http", "https"} or not host or port == 0:
        raise ConfigError(f"the {kind}'s address is not an http or https URL", REMEDY)
    if parts.username or parts.password:
        raise ConfigError(f"the {kind}'s address holds a user or a password", REMEDY)
    return parts


def _target(parts: SplitResult) -> str:
    path = quote(parts.path or "/", safe=f"{SAFE}'")
    return f"{path}?{quote(parts.query, safe=f'{SAFE}?')}" if parts.query else path
