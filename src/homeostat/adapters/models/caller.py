"""One event loop a process for calls to other machines, in a thread of its own."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

from homeostat.adapters.models.predictor import Ended

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")

KEPT_ALIVE = 30.0
PATIENCE = 2.0


class Caller:
    """Runs coroutines in its thread, and owns the connections that they use.

    Connections are kept open between calls. There are no cookies, no proxies of the environment
    and no limit: how much may be under way is for those to say who call.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._session: aiohttp.ClientSession | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="upstream")
        self._thread.start()

    def begin(self, make: Callable[[], Coroutine[object, object, T]], ended: Ended) -> Future[T]:
        """Start a coroutine and return its future, through which it can be cancelled.

        `ended` is told when the coroutine has ended, also where the future was cancelled before.
        """
        future: Future[T] = Future()
        self._loop.call_soon_threadsafe(self._start, future, make, ended)
        return future

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What calls raise when connections or answers break."""
        import aiohttp  # noqa: PLC0415 - an extra

        return (aiohttp.ClientError, OSError)

    def session(self) -> aiohttp.ClientSession:
        """Return the session; for coroutines that run here."""
        import aiohttp  # noqa: PLC0415 - an extra

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEPT_ALIVE),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
            )
        return self._session

    def close(self) -> None:
        """Close all connections and end the thread."""
        with contextlib.suppress(TimeoutError):
            self.begin(self._close, lambda _: None).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)

    async def _close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    def _start(
        self,
        future: Future[T],
        make: Callable[[], Coroutine[object, object, T]],
        ended: Ended,
    ) -> None:
        task = self._loop.create_task(make())

        def finish(done: asyncio.Task[T]) -> None:
            error = asyncio.CancelledError() if done.cancelled() else done.exception()
            ended(error)
            if done.cancelled():
                future.cancel()
            elif not future.set_running_or_notify_cancel():
                return  # nobody is left who could be told
            elif error is not None:
                future.set_exception(error)
            else:
                future.set_result(done.result())

        def give_up(waiter: Future[T]) -> None:
            if waiter.cancelled():
                self._loop.call_soon_threadsafe(task.cancel)

        task.add_done_callback(finish)
        future.add_done_callback(give_up)


_callers: dict[int, Caller] = {}
_making = threading.Lock()


def shared_caller() -> Caller:
    """Return this process's caller; a forked child has its own."""
    with _making:
        pid = os.getpid()
        if pid not in _callers:
            _callers[pid] = Caller()
            atexit.register(_callers[pid].close)
        return _callers[pid]
