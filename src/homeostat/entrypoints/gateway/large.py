"""Large requests: what they take of the processor is taken beside the event loop, in pieces.

A thread alone would not help small requests: reading a body is one call that lets no other thread
run until it ends. So a large body is read in pieces.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar, cast

import orjson

LARGE_ROWS = 256
LARGE_BODY = 2**17
MOST_WAITING = 8
PIECE = 2**17
OPENING = re.compile(rb'\s*\{\s*"rows"\s*:\s*\[')
CLOSING = re.compile(rb"\]\s*\}\s*\Z")
SEAM = re.compile(rb"\}\s*,(?=\s*\{)")
MOST_SEAMS = 3  # that are no end of a row, before the body is read as a whole
END = 2**10  # bytes in which the closing is looked for
T = TypeVar("T")


class Aside:
    """One thread for the work on large requests, one after the other.

    One is enough: such work keeps the interpreter's lock, and more threads would only keep it from
    the event loop for longer.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "homeostat-large")
        self._busy = 0

    @property
    def full(self) -> bool:
        """Whether so much work waits that no more should begin."""
        return self._busy >= MOST_WAITING

    async def run(self, work: Callable[[], T]) -> T:
        """Do some work in the thread, in the context of the caller; it is never left half done."""
        loop = asyncio.get_running_loop()
        self._busy += 1
        running = loop.run_in_executor(self._pool, copy_context().run, work)
        running.add_done_callback(self._done)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])  # whoever cleans up must not meet it at work
            raise

    def _done(self, running: asyncio.Future[T]) -> None:
        self._busy -= 1
        if not running.cancelled():
            running.exception()  # else asyncio complains of one that nobody waits for any more


def read_json(body: bytes, piece: int = PIECE) -> object:
    """Read JSON as `orjson.loads` does; rows in pieces.

    A piece that begins where a row begins, and is a list of whole values, is what the same bytes
    would be in the middle of the body: no seam can be mistaken for one within a text.

    Parameters
    ----------
    body : bytes
    piece : int
        About so many bytes at once.

    Raises
    ------
    orjson.JSONDecodeError
        If it is not JSON.

    Examples
    --------
    >>> read_json(b'{"rows": [{"a": 1}, {"a": "},{"}]}')
    {'rows': [{'a': 1}, {'a': '},{'}]}
    """
    rows = _rows(body, piece)
    return orjson.loads(body) if rows is None else {"rows": rows}


def _rows(body: bytes, size: int) -> list[object] | None:
    """Return the rows of a body that has nothing else; None if it is to be read as a whole."""
    opening = OPENING.match(body)
    closing = CLOSING.search(body, max(len(body) - END, 0))
    if opening is None or closing is None or closing.start() < opening.end():
        return None
    found: list[object] = []
    at, end = opening.end(), closing.start()
    while at < end:
        piece = _piece(body, at, end, size)
        if piece is None:
            return None
        rows, at = piece
        found += rows
    return found


def _piece(body: bytes, at: int, end: int, size: int) -> tuple[list[object], int] | None:
    """Return the next rows, and where those after them begin."""
    look = at + size
    for _ in range(MOST_SEAMS):
        seam = SEAM.search(body, look, end) if look < end else None
        last, following = (end, end) if seam is None else (seam.start() + 1, seam.end())
        try:
            return cast("list[object]", orjson.loads(b"[%b]" % body[at:last])), following
        except orjson.JSONDecodeError:
            if seam is None:
                return None
            look = following
    return None
