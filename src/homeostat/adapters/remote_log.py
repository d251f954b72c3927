"""Prediction records to the log of a control plane elsewhere, through its HTTP API."""

from __future__ import annotations

import hashlib
import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TypeAlias
from urllib.parse import SplitResult, quote, urlsplit

import pyarrow as pa

from homeostat.adapters.telemetry import Calling, calling
from homeostat.domain.errors import ConfigError, DataError, StorageError
from homeostat.domain.model import ModelSpec
from homeostat.engine.ports import Receipt, Rejected

ARROW = "application/vnd.apache.arrow.stream"
MOST_BYTES = 8 * 2**20
LARGEST_ANSWER = 16 * 2**20
REFUSALS = frozenset({400, 413, 415, 422})
"""Answers that sending the same rows again cannot change."""
REMEDY = "use an address such as https://homeostat.example.org"
Calls: TypeAlias = "Callable[[str], AbstractContextManager[Calling]]"


@dataclass
class RemoteLog:
    """Appends by HTTP, from one thread at a time, over a connection that is kept.

    Rows that the control plane takes are durable there. A batch that is sent twice because the
    answer was lost is counted once, as prediction ids are.

    Parameters
    ----------
    url : str
        Address of the control plane. It talks to this host and to no other: redirects are not
        followed and proxies of the environment are not used.
    token : str
        Of scope ``ingest``.
    timeout : timedelta
        For the connection and for each read.
    calls : callable
        Makes each request to a URL a span, and says which headers it takes along.

    Raises
    ------
    ConfigError
        If the address is not one of http or https, or the token cannot be sent.
    """

    url: str
    token: str = field(default="", repr=False)
    timeout: timedelta = timedelta(seconds=10)
    calls: Calls = calling
    _connection: HTTPConnection | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self._parts = _parts(self.url)
        if not (self.token.isascii() and self.token.isprintable()):
            raise ConfigError(
                "the token for the log holds a line break or others that HTTP cannot send",
                "take them out, as by: echo -n TOKEN",
            )

    def append(self, spec: ModelSpec, rows: pa.Table) -> Receipt:
        """Store prediction records, durably.

        Raises
        ------
        DataError
            If the control plane refuses the batch as a whole.
        StorageError
            If it cannot be reached, fails, or does not let this gateway in; some of the rows may be
            stored.
        """
        accepted = duplicates = at = 0
        rejected: list[Rejected] = []
        for piece in _pieces(rows):
            found = self._post(spec, piece)
            accepted += found.accepted
            duplicates += found.duplicates
            rejected += [Rejected(at + bad.row, bad.column, bad.reason) for bad in found.rejected]
            at += piece.num_rows
        return Receipt(accepted, duplicates, tuple(rejected))

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _post(self, spec: ModelSpec, rows: pa.Table) -> Receipt:
        body = _stream(rows)
        path = f"{self._parts.path.rstrip('/')}/api/v1/models/{quote(spec.name, safe='')}"
        headers = {
            "Content-Type": ARROW,
            "User-Agent": "homeostat-gateway",
            "Idempotency-Key": hashlib.blake2b(body, digest_size=16).hexdigest(),
        }
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            with self.calls(
                f"{self._parts.scheme}://{self._parts.netloc}{path}/predictions"
            ) as call:
                sent = {**headers, **call.headers}
                call.status, answer = self._ask(f"{path}/predictions", body, sent)
        except (OSError, HTTPException) as error:
            self.close()
            why = f"{type(error).__name__}: {error}"
            raise StorageError(f"the log at {self._parts.netloc} is away: {why}") from error
        status = call.status
        receipt = _receipt(answer) if status in {200, 422} else None
        if receipt is not None:
            return receipt
        said = f"the log at {self._parts.netloc} answered {status}: {_told(answer)}"
        raise DataError(said) if status in REFUSALS else StorageError(said)

    def _ask(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        if self._connection is None:
            self._connection = self._connect()
        self._connection.request("POST", path, body, headers)
        response = self._connection.getresponse()
        answer = response.read(LARGEST_ANSWER)
        if response.will_close or not response.isclosed():
            self.close()
        return response.status, answer

    def _connect(self) -> HTTPConnection:
        host, seconds = self._parts.hostname or "", self.timeout.total_seconds()
        if self._parts.scheme == "https":
            context = ssl.create_default_context()
            return HTTPSConnection(host, self._parts.port, timeout=seconds, context=context)
        return HTTPConnection(host, self._parts.port, timeout=seconds)


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError("the log's address is not a URL", REMEDY) from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise ConfigError("the log's address is not an http or https URL", REMEDY)
    return parts


def _pieces(rows: pa.Table) -> Iterator[pa.Table]:
    """Yield parts that a control plane takes at once."""
    count = -(-rows.nbytes // MOST_BYTES) or 1
    step = -(-rows.num_rows // count) or 1
    for start in range(0, rows.num_rows, step):
        yield rows.slice(start, step)


def _stream(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return sink.getvalue().to_pybytes()


def _receipt(answer: bytes) -> Receipt | None:
    """Read the counts of an answer; None if it holds none."""
    try:
        content = json.loads(answer)
        rejected = tuple(
            Rejected(int(bad["row"]), str(bad["column"]), str(bad["reason"]))
            for bad in content["rejected"]
        )
        return Receipt(int(content["accepted"]), int(content["duplicates"]), rejected)
    except (ValueError, TypeError, LookupError):
        return None


def _told(answer: bytes) -> str:
    return answer[:200].decode(errors="replace")
