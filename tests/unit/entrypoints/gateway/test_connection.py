"""What of an answer goes to the system together."""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from homeostat.entrypoints.gateway.connection import Connection


class Wire(asyncio.Transport):
    """Keeps what is handed to the system, call by call."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent.append(bytes(data))

    def writelines(self, pieces: Iterable[bytes | bytearray | memoryview]) -> None:
        self.sent.append(b"".join(pieces))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        """Hold nothing."""

    def resume_reading(self) -> None:
        """Hold nothing."""


async def answer(scope: Scope, receive: Receive, send: Send, pieces: list[bytes]) -> None:
    """Read the body, then answer in so many pieces; with none it breaks after the head."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if not pieces:
        raise RuntimeError(scope["path"])
    for number, piece in enumerate(pieces, 1):
        more = number < len(pieces)
        await send({"type": "http.response.body", "body": piece, "more_body": more})


async def settle(ready: Callable[[], bool]) -> None:
    while not ready():  # noqa: ASYNC110 - the code under test sets no event
        await asyncio.sleep(0)


def talk(pieces: list[bytes], *sent: bytes) -> list[bytes]:
    """Send bytes, more only once something has come back; return what comes until it is over."""

    async def run() -> list[bytes]:
        wire = Wire()
        config = uvicorn.Config(
            partial(answer, pieces=pieces),
            http=Connection,
            interface="asgi3",
            ws="none",
            log_config=None,
        )
        config.load()
        connection = Connection(config, ServerState(), {})
        connection.connection_made(wire)
        for data in sent:
            connection.data_received(data)
            await settle(lambda: connection.cycle.response_complete or bool(wire.sent))
        await settle(lambda: connection.cycle.response_complete or wire.closed)
        heard = list(wire.sent)
        connection.connection_lost(None)
        return heard

    return asyncio.run(run())


POST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\nx"


def test_head_and_body_go_together() -> None:
    (sent,) = talk([b"abc"], POST)
    assert sent.startswith(b"HTTP/1.1 200 OK\r\n")
    assert sent.endswith(b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n")


def test_of_an_answer_in_pieces_only_the_head_waits_for_the_first() -> None:
    first, second, last = talk([b"abc", b"de", b""], POST)
    assert first.startswith(b"HTTP/1.1 200 OK\r\n")
    assert first.endswith(b"3\r\nabc\r\n")
    assert (second, last) == (b"2\r\nde\r\n", b"0\r\n\r\n")


@pytest.mark.parametrize(
    ("method", "pieces"), [(b"HEAD", [b"abc"]), (b"POST", [])], ids=["head", "breaks"]
)
def test_a_head_without_a_body_is_sent_at_the_end(method: bytes, pieces: list[bytes]) -> None:
    sent = talk(pieces, POST.replace(b"POST", method))
    assert [piece.partition(b"\r\n")[0] for piece in sent] == [b"HTTP/1.1 200 OK"]


def test_leave_to_go_on_does_not_wait() -> None:
    expecting = POST.replace(b"host: x", b"host: x\r\nexpect: 100-continue").removesuffix(b"x")
    first, second = talk([b"abc"], expecting, b"x")
    assert first == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert second.startswith(b"HTTP/1.1 200 OK\r\n")
