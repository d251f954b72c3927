"""`Client` and `AsyncClient`: a recorder, and how to wait for delivery."""

from __future__ import annotations

import time
from types import TracebackType

from homeostat_client.recorder import Recorder


class Client(Recorder):
    """Logs predictions and labels to a Homeostat control plane.

    Make one for each model and process, early, and keep it. The parameters are those of `Recorder`.

    Examples
    --------
    >>> client = Client("http://127.0.0.1:9", model="fraud", spill="")
    >>> name = client.log_prediction({"amount": 12.5}, 0.07, version="3")
    >>> client.log_label(name, 0)
    >>> client.counters.queued
    2
    >>> client.close(timeout=0)
    False
    """

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until everything logged is delivered; return whether it is.

        What is not stays in memory or on disk, and goes on being sent.
        """
        return self._shipper.flush(timeout)

    def close(self, timeout: float | None = None) -> bool:
        """Deliver what is left within `timeout` seconds and keep the rest on disk.

        Returns whether all is delivered. What is logged afterwards is dropped and counted.
        """
        return self._shipper.close(self.settings.exit_timeout if timeout is None else timeout)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class AsyncClient(Recorder):
    """A client for asyncio: the ``log_`` methods are the same, as they never wait.

    The parameters are those of `Recorder`.
    """

    async def flush(self, timeout: float = 10.0) -> bool:
        """Wait until everything logged is delivered; return whether it is.

        Cancelled, it only stops waiting.
        """
        import asyncio  # noqa: PLC0415 - half of what importing this would cost

        deadline = time.monotonic() + timeout
        self._shipper.begin_flush()
        while not self._shipper.delivered:
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(0.01)
        return True

    async def close(self, timeout: float | None = None) -> bool:
        """Deliver what is left within `timeout` seconds and keep the rest on disk.

        It goes on in a thread if it is cancelled.
        """
        import asyncio  # noqa: PLC0415 - as above

        seconds = self.settings.exit_timeout if timeout is None else timeout
        return await asyncio.get_running_loop().run_in_executor(None, self._shipper.close, seconds)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
