"""Models on servers elsewhere: asked over HTTP, with retries, hedging and a breaker an endpoint."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.adapters.models.artifact import needing
from homeostat.adapters.models.caller import Caller, shared_caller
from homeostat.adapters.models.encoding import Encoding
from homeostat.adapters.models.predictor import Ended, Heard
from homeostat.adapters.models.upstream import (
    UpstreamSpec,
    header_values,
    read_upstream,
    save_remote,
)
from homeostat.adapters.models.wire import decode, encode, shown
from homeostat.adapters.telemetry import calling
from homeostat.domain.errors import DataError
from homeostat.serving.breaker import BreakerConfig, Event, Outcome, Permit, Transition
from homeostat.serving.breakers import Breakers, Key
from homeostat.serving.circuit import Circuit
from homeostat.serving.classify import UpstreamError, of_status
from homeostat.serving.retries import HedgeDelay, RetryBudget

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")

__all__ = ["RemotePredictor", "load_remote", "save_remote"]

LARGEST = 16 * 2**20
CHUNK = 2**16
OVERLOADED = frozenset({429, 503})
NEARLY = 0.9  # a call given up after this part of its time was not given up early


class CallFailedError(UpstreamError):
    """One call failed; `again`: another may do better."""

    def __init__(
        self, message: str, outcome: Outcome, *, again: bool = True, overloaded: bool = False
    ) -> None:
        self.again = again
        super().__init__(message, outcome, overloaded=overloaded)


class CallTimeoutError(CallFailedError, TimeoutError):
    """One call gave no answer in time."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What is sent to a server: rows, for the how manieth time, and whether beside another call."""

    body: bytes
    rows: int
    resent: int = 0
    hedge: bool = False


@dataclass(slots=True, eq=False)
class Endpoint:
    """One address, its breaker, and the calls under way to it."""

    url: str
    circuit: Circuit
    under_way: int = 0

    @property
    def name(self) -> str:
        """Host and port, for messages."""
        return urlsplit(self.url).netloc


class RemotePredictor:
    """A model on one or several equal servers.

    Scoring changes nothing on the server, so a request may be sent again. How often that is done
    is bounded by a budget. Breakers of endpoints count only if there is a choice: with a single
    one, who asks this predictor has a breaker.

    Parameters
    ----------
    spec : UpstreamSpec
    headers : mapping of str to str
    breaker : BreakerConfig
        Of each endpoint.
    caller : Caller
        Makes the calls.
    monotonic : callable
    """

    def __init__(
        self,
        spec: UpstreamSpec,
        headers: Mapping[str, str],
        breaker: BreakerConfig,
        caller: Caller,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spec, self._caller, self._monotonic = spec, caller, monotonic
        self._headers = {**headers, "content-type": "application/json"}
        self._breakers = Breakers(monotonic, breaker, listener=self._tell)
        self._heard: Heard = lambda _name, _change: None
        self._endpoints = [
            Endpoint(url, self._breakers[_name(url, spec.urls),].circuit) for url in spec.urls
        ]
        if len(self._endpoints) == 1:
            self._endpoints[0].circuit.command(Event.DISABLE, monotonic())
        self._turns = itertools.count()
        self._budget, self._delay = RetryBudget(), HedgeDelay()

    @property
    def features(self) -> tuple[str, ...]:
        """Columns that it reads."""
        return self._spec.encoding.features

    @property
    def most(self) -> int:
        """Most calls under way at once."""
        return self._spec.connections

    @property
    def circuits(self) -> dict[str, Circuit]:
        """The breaker of each endpoint by its host and port; none if there is only one endpoint."""
        if len(self._endpoints) == 1:
            return {}
        return {key[0]: breaker.circuit for key, breaker in self._breakers.items()}

    def watch(self, heard: Heard) -> None:
        """Have one listener told of each transition of an endpoint's breaker."""
        self._heard = heard

    def _tell(self, key: Key, change: Transition) -> None:
        self._heard(key[0], change)

    def predict(self, table: pa.Table) -> NDArray[np.float64]:
        """Return one score a row, or shape (n, classes).

        Raises
        ------
        UpstreamError
            If no server gives an answer that can be used.
        DataError
            If the rows cannot be encoded.
        """
        seconds = self._spec.timeout * (1 + self._spec.retries)
        return self.begin(table, seconds, lambda found: found, lambda _: None).result()

    @property
    def matrix_encoding(self) -> Encoding | None:
        """How rows become the matrix that `begin` takes as well; None: it takes only tables."""
        return self._spec.encoding if self._spec.layout == "matrix" else None

    def begin(
        self,
        rows: pa.Table | NDArray[np.float64],
        seconds: float,
        read: Callable[[NDArray[np.float64]], T],
        ended: Ended,
    ) -> Future[T]:
        """Ask without waiting; errors of `predict` are the future's."""

        async def work() -> T:
            return read(await self._ask(Sent(body, len(rows)), seconds))

        try:
            body = encode(self._spec, rows)
        except DataError as error:
            failed: Future[T] = Future()
            ended(error)
            failed.set_exception(error)
            return failed
        return self._caller.begin(work, ended)

    async def _ask(self, sent: Sent, seconds: float) -> NDArray[np.float64]:
        self._budget.earn()
        end = self._monotonic() + seconds
        tried: list[Endpoint] = []
        while True:
            chosen = self._choose(tried)
            if chosen is None:
                raise UpstreamError("the breakers of all endpoints are open", Outcome.NEUTRAL)
            endpoint, permit = chosen
            try:
                left = max(end - self._monotonic(), 0.0)
                again = replace(sent, resent=len(tried))
                return await self._race(endpoint, permit, again, min(left, self._spec.timeout))
            except CallFailedError as error:
                alone = len(self._endpoints) == 1
                last = len(tried) >= self._spec.retries or not error.again
                if last or (error.overloaded and alone) or self._monotonic() >= end:
                    raise
                if not self._budget.spend():
                    raise
                tried.append(endpoint)

    def _choose(
        self, tried: Sequence[Endpoint], but: Endpoint | None = None
    ) -> tuple[Endpoint, Permit] | None:
        """Return the least busy endpoint that is let through, those not yet tried first."""
        turn, count = next(self._turns), len(self._endpoints)
        order = sorted(
            (endpoint in tried, endpoint.under_way, (place - turn) % count, place)
            for place, endpoint in enumerate(self._endpoints)
            if endpoint is not but
        )
        for *_, place in order:
            endpoint = self._endpoints[place]
            permit = endpoint.circuit.acquire(self._monotonic())
            if permit is not None:
                return endpoint, permit
        return None

    async def _race(
        self, first: Endpoint, permit: Permit, sent: Sent, seconds: float
    ) -> NDArray[np.float64]:
        delay = self._delay.seconds
        if not self._spec.hedge or delay >= seconds:
            return await self._call(first, permit, sent, seconds)
        calls: list[asyncio.Future[NDArray[np.float64]]] = [
            asyncio.ensure_future(self._call(first, permit, sent, seconds))
        ]
        try:
            await asyncio.wait(calls, timeout=delay)
            if not calls[0].done():
                calls += self._second(first, replace(sent, hedge=True), seconds - delay)
            return await _first_good(calls)
        finally:
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)

    def _second(
        self, first: Endpoint, sent: Sent, seconds: float
    ) -> list[asyncio.Future[NDArray[np.float64]]]:
        if not self._budget.spend():  # before a half-open breaker gives its only probe for it
            return []
        chosen = self._choose([], but=first)
        if chosen is None:
            self._budget.restore()
            return []
        endpoint, permit = chosen
        return [asyncio.ensure_future(self._call(endpoint, permit, sent, seconds))]

    async def _call(
        self, endpoint: Endpoint, permit: Permit, sent: Sent, seconds: float
    ) -> NDArray[np.float64]:
        began, outcome = self._monotonic(), Outcome.NEUTRAL
        endpoint.under_way += 1
        try:
            found = await self._post(endpoint, sent, seconds)
        except CallFailedError as error:
            outcome = error.outcome
            raise
        except asyncio.CancelledError:
            if self._monotonic() - began >= NEARLY * seconds:
                outcome = Outcome.FAULT  # whoever gave it up had waited for as long as it may take
            raise
        else:
            outcome = Outcome.SUCCESS
            self._delay.add(self._monotonic() - began)
            return found
        finally:
            endpoint.under_way -= 1
            endpoint.circuit.settle(permit, outcome, self._monotonic())

    async def _post(self, endpoint: Endpoint, sent: Sent, seconds: float) -> NDArray[np.float64]:
        try:
            async with asyncio.timeout(seconds):
                status, content = await self._answer(endpoint, sent)
        except TimeoutError as error:
            message = f"{endpoint.name}: no answer within {seconds:.3g} s"
            raise CallTimeoutError(message, Outcome.FAULT) from error
        except self._caller.errors as error:
            raise CallFailedError(f"{endpoint.name}: {error!r}", Outcome.FAULT) from error
        if content is None:
            message = f"{endpoint.name}: the answer is larger than {LARGEST} bytes"
            raise CallFailedError(message, Outcome.FAULT, again=False)
        outcome = of_status(self._spec.server, status, checked=True)
        if outcome is not Outcome.SUCCESS:
            raise CallFailedError(
                f"{endpoint.name}: HTTP {status}: {shown(content)}",
                outcome,
                again=status >= 500 or status in OVERLOADED or outcome is Outcome.NEUTRAL,
                overloaded=status in OVERLOADED,
            )
        try:
            return decode(self._spec, content, sent.rows)
        except UpstreamError as error:
            raise CallFailedError(f"{endpoint.name}: {error}", error.outcome) from error

    async def _answer(self, endpoint: Endpoint, sent: Sent) -> tuple[int, bytes | None]:
        """Return status and body, None if that is too large; a span of the request's trace."""
        session = self._caller.session()
        with calling(endpoint.url, sent.resent, hedge=sent.hedge) as call:
            headers = {**self._headers, **call.headers}
            async with session.post(
                endpoint.url, data=sent.body, headers=headers, allow_redirects=False
            ) as response:
                call.status = response.status
                return response.status, await _content(response)


def _name(url: str, urls: Sequence[str]) -> str:
    """Return the host and port of an address, or all of it if others have the same."""
    host = urlsplit(url).netloc
    return url if [urlsplit(other).netloc for other in urls].count(host) > 1 else host


def load_remote(
    path: Path,
    hosts: Collection[str],
    environ: Mapping[str, str],
    breaker: BreakerConfig,
) -> RemotePredictor:
    """Load an artifact folder; no server is called.

    Parameters
    ----------
    path : Path
    hosts : collection of str
        ``host`` or ``host:port`` that may be called.
    environ : mapping
        Where the values of headers are.
    breaker : BreakerConfig
        Of each endpoint.

    Raises
    ------
    ArtifactError
        If ``upstream.json`` is not of the documented form, names a host that is not allowed or a
        variable that is not set, or aiohttp is not installed.
    """
    spec = read_upstream(path, hosts)
    headers = header_values(path, spec.headers, environ)
    with needing(path, "aiohttp", "upstream"):
        import aiohttp  # noqa: F401, PLC0415 - an extra: only those who ask such models need it
    return RemotePredictor(spec, headers, breaker, shared_caller())


async def _content(response: aiohttp.ClientResponse) -> bytes | None:
    """Return the body; None if it is too large."""
    chunks, size = [], 0
    async for chunk in response.content.iter_chunked(CHUNK):
        chunks.append(chunk)
        size += len(chunk)
        if size > LARGEST:
            return None
    return b"".join(chunks)


async def _first_good(
    calls: Sequence[asyncio.Future[NDArray[np.float64]]],
) -> NDArray[np.float64]:
    """Return the first answer; if there is none, raise what the first call raised."""
    pending = set(calls)
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for call in done:
            if call.exception() is None:
                return call.result()
    return calls[0].result()
