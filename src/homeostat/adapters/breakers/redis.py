"""Breakers shared through Redis: one atomic script, the server's clock, and none of it needed."""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Callable
from functools import partial
from importlib import resources
from typing import TYPE_CHECKING
from weakref import WeakSet

from homeostat.adapters.clock import SystemClock
from homeostat.domain.errors import ConfigError
from homeostat.serving.breaker import BreakerConfig, Mode
from homeostat.serving.circuit import Listener
from homeostat.serving.sharing import PATIENCE, Report, SharedCircuit, View

if TYPE_CHECKING:
    import redis

logger = logging.getLogger(__name__)

KEEP = 86_400_000  # milliseconds after which Redis forgets a breaker that nobody talks about
MICRO = 1_000_000


class RedisBreakers:
    """Makes breakers whose faults, openings and probes are shared by all processes on one Redis.

    Faults are told, others' openings learnt and leases of probes asked for by a thread in the
    background, at once and every `refresh` seconds: no call waits for Redis, however slow it is.
    While Redis is away every process decides by itself; this is logged once, and Redis is tried
    again every `pause` seconds.

    Faults in a row, slow calls and windows of calls (``last``) are judged by each process for
    itself; what only one process sees opens no other's breaker.

    Parameters
    ----------
    url : str
        Such as ``redis://host:6379/0``, ``rediss://...`` or ``unix:///path``.
    prefix : str
        Beginning of the keys.
    refresh, timeout, pause : float
        Seconds.
    monotonic : callable, optional
        Returns monotonic seconds; the system's by default.

    Raises
    ------
    ConfigError
        If the client for Redis is not installed, or the URL is none.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "homeostat:breaker:",
        refresh: float = 1.0,
        timeout: float = 0.05,
        pause: float = 5.0,
        monotonic: Callable[[], float] | None = None,
    ) -> None:
        self._client = _client(url, timeout)
        code = resources.files(__package__).joinpath("exchange.lua").read_text("utf-8")
        self._script = self._client.register_script(code)
        self._prefix, self._refresh, self._pause = prefix, refresh, pause
        self._monotonic = monotonic or SystemClock().monotonic
        self._circuits: WeakSet[SharedCircuit] = WeakSet()  # they go with their versions
        self._again = -1.0
        self._away = False
        self._woken, self._stopping, self._closed = threading.Event(), False, False
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def away(self) -> bool:
        """Whether Redis could not be reached at the last attempt."""
        return self._away

    def circuit(
        self, name: str, config: BreakerConfig, listener: Listener | None = None
    ) -> SharedCircuit:
        """Return this process's member of the breaker of that name."""
        exchange = partial(self._exchange, name, config)
        circuit = SharedCircuit(config, exchange, self._woken.set, listener)
        circuit.synchronise(self._monotonic())
        with self._lock:
            self._circuits.add(circuit)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="homeostat-breakers", daemon=True
                )
                self._thread.start()
                atexit.register(self.close)
        return circuit

    def synchronise(self, *, due: bool = False) -> None:
        """Tell and learn now; `due`: only what should not wait for its turn."""
        with self._lock:
            circuits = list(self._circuits)
        for circuit in circuits:
            if circuit.due or not due:
                circuit.synchronise(self._monotonic())

    def close(self) -> None:
        """Give leases of probes back and stop sharing; the breakers go on alone."""
        atexit.unregister(self.close)
        self._stopping = True
        self._woken.set()
        if self._thread is not None:
            self._thread.join(PATIENCE)
        if self._thread is None or not self._thread.is_alive():  # else it waits, and this would
            for circuit in list(self._circuits):
                circuit.withdraw(self._monotonic())
            self._closed = True
            self.synchronise()
        self._closed = True
        self._client.close()

    def _run(self) -> None:
        turn = self._monotonic()
        while not self._stopping:
            woken = self._woken.wait(self._refresh)
            self._woken.clear()
            now = self._monotonic()
            due = woken and now - turn < self._refresh
            turn = turn if due else now
            self.synchronise(due=due)

    def _exchange(self, name: str, config: BreakerConfig, report: Report) -> View | None:
        if self._closed or self._monotonic() < self._again:
            return None
        from redis.exceptions import RedisError  # noqa: PLC0415 - optional

        keys = [f"{self._prefix}{{{name}}}:{part}" for part in ("state", "probes", "window")]
        try:
            reply = self._script(keys=keys, args=_arguments(config, report))
        except (RedisError, OSError) as error:
            self._again = self._monotonic() + self._pause
            if not self._away:
                logger.warning("Redis cannot be reached, breakers decide alone: %s", error)
            self._away = True
            return None
        if self._away:
            logger.warning("Redis is back, breakers are shared again")
            self._away = False
        generation, mode, age, lease = reply
        return View(int(generation), Mode(_text(mode)), float(_text(age)) / MICRO, int(lease))


def _client(url: str, timeout: float) -> redis.Redis:
    try:
        import redis  # noqa: PLC0415 - optional
        from redis.backoff import NoBackoff  # noqa: PLC0415
        from redis.retry import Retry  # noqa: PLC0415
    except ImportError as error:
        problem = "breakers shared through Redis need its client"
        raise ConfigError(problem, "pip install homeostat[redis]") from error
    try:
        return redis.Redis.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError as error:  # the URL may hold a password and is not repeated
        remedy = "use redis://host:6379/0, rediss://host or unix:///path"
        raise ConfigError("the address of Redis is none", remedy) from error


def _arguments(config: BreakerConfig, report: Report) -> list[str | int | float]:
    generation = "" if report.generation is None else report.generation
    window = 0.0 if config.last else config.window
    leases = [part for lease, fate in report.leases for part in (lease, fate.value)]
    return [
        *(config.faults, _micro(window), config.share, config.minimum, _micro(config.cooldown)),
        *(config.probes, config.successes, _micro(config.lease), _micro(config.interval), KEEP),
        *(generation, report.calls, report.faults, int(report.wants), int(report.reset)),
        *leases,
    ]


def _micro(seconds: float) -> int:
    return round(seconds * MICRO)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
