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
from urllib.parse import SplitResult, quote, urlsplit

from homeostat.adapters.notifiers.text import one_line
from homeostat.domain.clock import Clock
from homeostat.domain.errors import ConfigError, DeliveryError

REMEDY = "use an address such as https://example.org/hook"
MOST_READ = 64 * 1024
MOST_SAID = 300
SHORTEST_SECRET = 6
AGAIN = frozenset({408, 425, 429})
"""Refusals of this moment; all other answers below 500 are refusals of the request."""


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
        self, value: object, headers: Mapping[str, str] | None = None, path: str = ""
    ) -> Answer:
        """Post a value as JSON; see `post`."""
        return self.post(json.dumps(value, separators=(",", ":")).encode(), headers, path)

    def post(self, body: bytes, headers: Mapping[str, str] | None = None, path: str = "") -> Answer:
        """Post a body to the address, or to a path below it.

        Parameters
        ----------
        body : bytes
            JSON, unless the headers say otherwise.
        headers : mapping, optional
            Further ones.
        path : str
            Quoted already; it follows the address.

        Raises
        ------
        DeliveryError
            With ``retry`` for network problems, those of `again` and 5xx, and with what
            ``Retry-After`` says; without for any other answer that is not 2xx.
        """
        parts = _parts(self.kind, f"{self.url.rstrip('/')}{path}" if path else self.url)
        sent = {"Content-Type": "application/json", "User-Agent": "homeostat", **(headers or {})}
        try:
            status, said, later = self._exchange(parts, body, sent)
        except (OSError, HTTPException) as error:
            told = one_line(self._redacted(str(error)), MOST_SAID)
            problem = f"{self.kind} {parts.hostname}: {type(error).__name__}: {told}"
            raise DeliveryError(problem, retry=True) from error
        answer = Answer(status, one_line(self._redacted(said), MOST_SAID))
        if 200 <= status < 300:
            return answer
        hint = "; redirects are not followed" if 300 <= status < 400 else ""
        told = f": {answer.said}" if answer.said else ""
        retry = status in self.again or status >= 500
        problem = f"{self.kind} {parts.hostname} answered {status}{hint}{told}"
        raise DeliveryError(problem, retry=retry, after=self._after(later) if retry else None)

    def _exchange(
        self, parts: SplitResult, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, str, str]:
        ends = self.clock.monotonic() + self.timeout.total_seconds()

        def left() -> float:
            seconds = ends - self.clock.monotonic()
            if seconds <= 0:
                raise TimeoutError("timed out")
            return seconds

        connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        connection = connect(parts.hostname or "", parts.port, timeout=left())
        connection.connect()
        line: socket.socket = connection.sock
        try:
            # http.client asks for no more of a socket than this has.
            connection.sock = cast("socket.socket", _Line(line, left))
            connection.request("POST", _target(parts), body, dict(headers))
            response = connection.getresponse()
            said = _text(response)
            return response.status, said, response.headers.get("Retry-After", "")
        finally:
            connection.close()
            line.close()

    def _redacted(self, text: str) -> str:
        path = _parts(self.kind, self.url).path
        pieces = {piece for piece in path.split("/") if len(piece) > 2 * SHORTEST_SECRET}
        secrets = {secret for secret in self.secrets if len(secret) >= SHORTEST_SECRET}
        for secret in sorted(secrets | pieces, key=len, reverse=True):
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
        return io.BufferedReader(_Reading(self._line, self._left))

    def close(self) -> None:
        """Keep it open: http.client closes a connection before it has read the answer."""


class _Reading(io.RawIOBase):
    def __init__(self, line: socket.socket, left: Callable[[], float]) -> None:
        self._line, self._left = line, left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._line.settimeout(self._left())
        return self._line.recv_into(buffer)


def _text(response: HTTPResponse) -> str:
    data = response.read(MOST_READ)
    try:
        value = json.loads(data)
    except ValueError:
        return data.decode(errors="replace")
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
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    return f"{path}?{quote(parts.query, safe='/%:@!$&()*+,;=~?')}" if parts.query else path
