"""Senders that dribble, on a real socket."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from homeostat.entrypoints.patience import LARGEST_HEAD, patient

SPAN = 0.3
HEAD = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10000\r\n"
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[bytes]]


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the size of the body; of /early before reading it, of /slow late."""
    body, more = b"", scope.get("path") != "/early"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        more = message["more_body"]
    if scope.get("path") == "/slow":
        await asyncio.sleep(2 * SPAN)
    content = str(len(body)).encode()
    headers = [(b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def talk(what: Talk, rate: float = 1000.0) -> bytes:
    async def run() -> bytes:
        http = patient(SPAN, rate)
        config = uvicorn.Config(echo, port=0, http=http, lifespan="off", log_config=None, ws="none")
        server = uvicorn.Server(config)
        config.load()
        server.lifespan = config.lifespan_class(config)
        await server.startup()
        try:
            port = server.servers[0].sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                return await asyncio.wait_for(what(reader, writer), 20)
            finally:
                writer.close()
        finally:
            await server.shutdown()

    return asyncio.run(run())


async def dribble(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, start: bytes, drop: bytes
) -> bytes:
    """Send drops for half the span; return what the server says until it hangs up."""
    writer.write(start)
    for _ in range(5):
        writer.write(drop)
        await asyncio.sleep(SPAN / 10)
    return await reader.read()


@pytest.mark.parametrize(
    ("start", "drop", "answer"),
    [
        (b"", b"", b""),
        (b"POST / HTTP/1.1\r\n", b"a", b"HTTP/1.1 408 "),
        (b"POST / HTTP/1.1\r\n", b"a: b\r\n", b"HTTP/1.1 408 "),
        (HEAD + b"\r\n", b"x", b"HTTP/1.1 408 "),
        (HEAD + b"\r\n", b"", b"HTTP/1.1 408 "),
    ],
    ids=["nothing", "one header", "headers", "body", "no body"],
)
def test_a_request_that_does_not_get_on_is_ended(start: bytes, drop: bytes, answer: bytes) -> None:
    got = talk(lambda reader, writer: dribble(reader, writer, start, drop))
    assert got.startswith(answer)
    assert bool(got) == bool(answer)


def test_a_slow_body_that_gets_on_is_read() -> None:
    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(HEAD + b"connection: close\r\n\r\n")
        for _ in range(20):
            writer.write(b"x" * 500)
            await asyncio.sleep(SPAN / 8)
        return await reader.read()

    assert talk(send).endswith(b"\r\n\r\n10000")


def test_headers_without_end_are_cut_off() -> None:
    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        start = b"GET / HTTP/1.1\r\n"
        writer.write(start + b"a" * (LARGEST_HEAD - len(start) + 1))
        return await reader.read()

    assert talk(send).startswith(b"HTTP/1.1 431 ")


ONE = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc"


def test_an_answered_connection_cannot_be_held_open_by_drops() -> None:
    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(ONE)
        first = await reader.readuntil(b"\r\n\r\n3")
        assert first.startswith(b"HTTP/1.1 200 ")
        return await dribble(reader, writer, b"", b"\r\n")

    assert talk(send) == b""


def test_a_body_that_nobody_waits_for_is_not_waited_for() -> None:
    early = HEAD.replace(b"POST /", b"POST /early") + b"\r\n"
    got = talk(lambda reader, writer: dribble(reader, writer, early, b"x"))
    assert got.count(b"HTTP/1.1 ") == 1
    assert got.startswith(b"HTTP/1.1 200 ")


def test_requests_in_pieces_and_after_a_pause_are_answered() -> None:
    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        got = b""
        for cut in (1, 20, len(ONE) - 1, len(ONE)):
            writer.write(ONE[:cut])
            await asyncio.sleep(SPAN / 4)
            writer.write(ONE[cut:])
            got += await reader.readuntil(b"\r\n\r\n3")
            await asyncio.sleep(SPAN * 1.5)
        return got

    assert talk(send).count(b"HTTP/1.1 200 ") == 4


def test_an_answer_may_take_longer_than_a_request() -> None:
    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(ONE.replace(b"POST /", b"POST /slow"))
        return await reader.readuntil(b"\r\n\r\n3")

    assert talk(send).startswith(b"HTTP/1.1 200 ")
