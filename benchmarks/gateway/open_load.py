"""An open-model load generator: requests come when they come, whether earlier ones are answered."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import orjson

NAMES = [f"number_{place:02d}" for place in range(30)]


@dataclass
class Result:
    """What came of a run: latencies in seconds; `times` holds (when due, status, latency)."""

    latencies: list[float] = field(default_factory=list)  # of answers with status 200
    refusals: list[float] = field(default_factory=list)  # of others
    times: list[tuple[float, int, float]] = field(default_factory=list)
    late: list[float] = field(default_factory=list)  # from when it was due to when it was sent
    statuses: Counter[int] = field(default_factory=Counter)
    failed: int = 0

    def quantile(self, share: float) -> float:
        """Milliseconds of the latency quantile."""
        return float(np.quantile(self.latencies, share)) * 1000 if self.latencies else float("nan")


def requests(path: str, rows: int = 1, count: int = 200, seed: int = 1) -> list[bytes]:
    """Return whole HTTP requests with random rows."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        values = rng.normal(size=(rows, len(NAMES))).round(4).tolist()
        content = [dict(zip(NAMES, row, strict=True)) for row in values]
        for row in content:
            row["customer"] = f"c{number}"
        body = orjson.dumps({"rows": content})
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        made.append(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    return made


class Connection(asyncio.Protocol):
    """A connection with one request at a time."""

    def __init__(self, free: list[Connection], result: Result) -> None:
        self.free, self.result = free, result
        self.buffer, self.due = b"", 0.0
        self.transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def send(self, request: bytes, due: float) -> None:
        self.due = due
        assert self.transport is not None
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lower = head.lower()
        at = lower.index(b"content-length:") + 15
        if len(body) < int(lower[at:].split(b"\r\n", 1)[0]):
            return
        self.buffer = b""
        status, seconds = int(head[9:12]), time.perf_counter() - self.due
        self.result.statuses[status] += 1
        (self.result.latencies if status == 200 else self.result.refusals).append(seconds)
        self.result.times.append((self.due, status, seconds))
        self.due = 0.0
        self.free.append(self)

    def connection_lost(self, _: Exception | None) -> None:
        if self.due:
            self.result.failed += 1
            self.due = 0.0
        if self in self.free:
            self.free.remove(self)


async def capacity(port: int, path: str, seconds: float, callers: int = 16) -> float:
    """Return the requests a second that so many callers get answered, one after the other each."""
    made, answered = requests(path), 0
    end = time.perf_counter() + seconds

    async def call(number: int) -> None:
        nonlocal answered
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < end:
            writer.write(made[number % len(made)])
            head = await reader.readuntil(b"\r\n\r\n")
            at = head.lower().index(b"content-length:") + 15
            await reader.readexactly(int(head[at:].split(b"\r\n", 1)[0]))
            answered += b" 200 " in head
            number += 1
        writer.close()

    await asyncio.gather(*(call(number) for number in range(callers)))
    return answered / seconds


async def run(port: int, path: str, rate: float, seconds: float, seed: int = 1) -> Result:
    """Send requests at Poisson times for so long; wait two seconds for the last answers."""
    result, free = Result(), list[Connection]()
    loop, made = asyncio.get_running_loop(), requests(path)
    rng = np.random.default_rng(seed)
    due = time.perf_counter() + 0.05
    end = due + seconds
    number, everyone = 0, list[Connection]()
    while due < end:
        pause = due - time.perf_counter()
        if pause > 0:
            await asyncio.sleep(pause)
        if not free:
            _, connection = await loop.create_connection(
                lambda: Connection(free, result), "127.0.0.1", port
            )
            everyone.append(connection)
            free.append(connection)
        free.pop().send(made[number % len(made)], due)
        result.late.append(time.perf_counter() - due)
        number += 1
        due += rng.exponential(1 / rate)
    for _ in range(200):
        if not any(connection.due for connection in everyone):
            break
        await asyncio.sleep(0.01)
    result.failed += sum(connection.due > 0 for connection in everyone)
    for connection in everyone:
        if connection.transport is not None:
            connection.transport.close()
    return result
