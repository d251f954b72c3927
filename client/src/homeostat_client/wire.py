"""One kept-alive HTTP connection, with time limits and the proxies of the environment."""

from __future__ import annotations

import base64
import contextlib
import http.client
import os
import socket
import ssl
import time
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from homeostat_client.backoff import retry_after

LARGEST_ANSWER = 4 << 20
AGENT = "homeostat-client/0.1"
_ABANDONED: list[http.client.HTTPConnection] = []

"".encode(
    "idna"
)  # loads it now: an import in a thread while the process forks would hang the child


class WireError(Exception):
    """The server could not be reached, or what answered does not speak HTTP."""


@dataclass(frozen=True)
class Answer:
    """Status, seconds of ``Retry-After`` and body."""

    status: int
    wait: float | None
    body: bytes


@dataclass(frozen=True)
class Address:
    """Where the server is.

    Examples
    --------
    >>> Address.parse("https://watch.example/homeostat/")
    Address(scheme='https', host='watch.example', port=443, path='/homeostat')
    """

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read a URL; raises ValueError."""
        parts = urlsplit(url.strip())
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query:
            remedy = "give a URL such as http://127.0.0.1:8420"
            raise ValueError(f"the server {url!r} is no address of Homeostat; {remedy}")
        if parts.username is not None:
            raise ValueError("give the token as token=, not within the server's address")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return cls(parts.scheme, parts.hostname, port, quote(parts.path.rstrip("/"), safe="/%"))

    @property
    def netloc(self) -> str:
        """Host and port as they stand in a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class Wire:
    """Posts to one model of the server; for one thread, but `abort` may come from another.

    Parameters
    ----------
    address : Address
    model, token : str
    timeout : float
        Seconds for connecting and for each wait within an answer.
    context : ssl.SSLContext, optional
        For https; by default the system's authorities are trusted.
    """

    def __init__(
        self,
        address: Address,
        model: str,
        token: str,
        timeout: float,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._address, self._timeout, self._context = address, timeout, context
        if context is None and address.scheme == "https":
            self._context = ssl.create_default_context()
        self._path = f"{address.path}/api/v1/models/{quote(model, safe='')}/"
        self._headers = {"Content-Type": "application/json", "User-Agent": AGENT}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._target = ""
        self._connection: http.client.HTTPConnection | None = None

    def post(self, kind: str, body: bytes, key: str, encoding: str = "") -> Answer:
        """Post a batch, whose body may be encoded, and return the answer; raises WireError.

        A kept connection that the server has closed meanwhile is opened again at once.
        """
        kept = self._connection is not None
        try:
            return self._exchange(kind, body, key, encoding)
        except (ConnectionError, http.client.RemoteDisconnected, BrokenPipeError) as error:
            self.close()
            if not kept:
                raise WireError(_said(error)) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise WireError(_said(error)) from error
        try:
            return self._exchange(kind, body, key, encoding)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise WireError(_said(error)) from error

    def _exchange(self, kind: str, body: bytes, key: str, encoding: str) -> Answer:
        if self._connection is None:
            self._connection = self._open()
        connection = self._connection
        headers = {**self._headers, "Idempotency-Key": key}
        if encoding:
            headers["Content-Encoding"] = encoding
        connection.request("POST", self._target + self._path + kind, body, headers)
        response = connection.getresponse()
        content = response.read(LARGEST_ANSWER + 1)
        # What was received after the limit would be taken for the next answer.
        if len(content) > LARGEST_ANSWER or response.will_close:
            self.close()
        wait = retry_after(response.headers.get("Retry-After", ""), time.time())
        return Answer(response.status, wait, content[:LARGEST_ANSWER])

    def _open(self) -> http.client.HTTPConnection:
        address, self._target = self._address, ""
        proxy = _proxy(address)
        host, port = (proxy[0], proxy[1]) if proxy else (address.host, address.port)
        connection: http.client.HTTPConnection
        if address.scheme == "https":
            connection = http.client.HTTPSConnection(
                host, port, timeout=self._timeout, context=self._context
            )
            if proxy:
                connection.set_tunnel(address.host, address.port, proxy[2])
        else:
            connection = http.client.HTTPConnection(host, port, timeout=self._timeout)
            self._headers.pop("Proxy-Authorization", None)
            if proxy:
                self._target = f"http://{address.netloc}"
                self._headers.update(proxy[2])
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def abort(self) -> None:
        """End the exchange under way, from another thread: a peer that drips keeps nobody."""
        connection = self._connection
        sock = None if connection is None else connection.sock
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def forked(self) -> None:
        """In a forked child: leave the parent's connection alone.

        Only this process's copy of the socket is closed. The objects around it may be locked by a
        thread that exists no more, so they are kept from ever being torn down.
        """
        connection, self._connection = self._connection, None
        if connection is not None:
            _ABANDONED.append(connection)
            if connection.sock is not None:
                with contextlib.suppress(OSError):
                    os.close(connection.sock.detach())

    def close(self) -> None:
        """Close the connection; the next post opens one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()


def _proxy(address: Address) -> tuple[str, int, dict[str, str]] | None:
    """Return host, port and headers of the proxy that the environment names for this server."""
    url = getproxies().get(address.scheme)
    if not url or proxy_bypass(address.netloc):
        return None
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"the proxy {url!r} of the environment is not an HTTP one")
    headers = {}
    if parts.username:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return parts.hostname, parts.port or 80, headers


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
