"""What the process that keeps workers running and a worker tell each other."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from homeostat.entrypoints.gateway.server import Server

FORM = struct.Struct(">cH")


class Word(Enum):
    """What is told."""

    SERVES = b"s"  # by a worker: it takes connections
    STOPS = b"e"  # by a worker: it will soon take no more
    TAKE = b"t"  # to a worker: take the connections of another one's socket, which comes along
    LEAVE = b"l"  # to a worker: leave them to the other one again


@dataclass(frozen=True, slots=True)
class Message:
    """A word, the number of the worker that it is about, and its socket."""

    word: Word
    number: int = 0
    bound: socket.socket | None = None


class Line:
    """One end of a line between two processes, which closes when one of them ends.

    Examples
    --------
    >>> one, other = Line.pair()
    >>> one.tell(Word.LEAVE, 3)
    >>> other.hear()
    Message(word=<Word.LEAVE: b'l'>, number=3, bound=None)
    >>> one.close(), other.hear()
    (None, None)
    >>> other.close()
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    @classmethod
    def pair(cls) -> tuple[Line, Line]:
        """Return both ends; the first one never waits."""
        one, other = socket.socketpair()
        one.setblocking(False)
        return cls(one), cls(other)

    def fileno(self) -> int:
        """Return the descriptor of this end."""
        return self._end.fileno()

    def tell(self, word: Word, number: int = 0, bound: socket.socket | None = None) -> None:
        """Tell the other end; nothing happens if it is gone."""
        content = FORM.pack(word.value, number)
        with contextlib.suppress(OSError):
            if bound is None:
                self._end.send(content)
            else:
                socket.send_fds(self._end, [content], [bound.fileno()])

    def hear(self) -> Message | None:
        """Return what was told; None if the other end is gone, or this one would have to wait."""
        try:
            content, descriptors, _, _ = socket.recv_fds(self._end, FORM.size, 1)
        except OSError:
            return None
        if len(content) < FORM.size:
            return None
        word, number = FORM.unpack(content)
        bound = socket.socket(fileno=descriptors[0]) if descriptors else None
        return Message(Word(word), number, bound)

    def close(self) -> None:
        """Close this end."""
        self._end.close()


class Ear:
    """A worker's side: obeys what it is told, and stops when the one who started it is gone.

    Parameters
    ----------
    line : Line
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._obey: Callable[[Message], object] = lambda _: None
        threading.Thread(target=self._listen, daemon=True).start()

    def attach(self, server: Server) -> None:
        """Tell when the server has started and when it stops, and have it stand in for others."""

        def started() -> None:
            loop = asyncio.get_running_loop()

            def obey(message: Message) -> None:
                if message.bound is not None:
                    work = server.stand_in(message.number, message.bound)
                else:
                    work = server.stand_down(message.number)
                asyncio.run_coroutine_threadsafe(work, loop)

            self._obey = obey
            self._line.tell(Word.SERVES)

        server.beginnings.append(started)
        server.endings.append(lambda: self._line.tell(Word.STOPS))

    def _listen(self) -> None:
        while (message := self._line.hear()) is not None:
            self._obey(message)
        os.kill(os.getpid(), signal.SIGTERM)
