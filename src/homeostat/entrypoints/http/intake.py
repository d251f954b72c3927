"""What stands between a request and the log: bounded memory, bounded rates, one answer a batch."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from homeostat.domain.clock import Clock
from homeostat.engine.ports import Receipt
from homeostat.entrypoints.http.problem import ProblemError

BATCHES = 10_000
KEY_LENGTH = 200
PATIENCE = 30.0


@dataclass
class Intake:
    """Admits requests as long as there is room for their bytes and, if asked, for their rows.

    Parameters
    ----------
    clock : Clock
    most_bytes : int
        Bytes of all bodies that are held at once; more is answered with 429.
    rows_per_second : float
        Of one sender, on average, with bursts of ten seconds; zero: as many as it likes.
    patience : float
        Seconds that are waited for the next part of a body.
    """

    clock: Clock
    most_bytes: int
    rows_per_second: float = 0.0
    patience: float = PATIENCE
    _held: int = field(default=0, init=False)
    _spent: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict, init=False)
    _answers: OrderedDict[tuple[str, str], tuple[bytes, Receipt]] = field(
        default_factory=OrderedDict, init=False
    )
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    @contextmanager
    def holding(self, size: int = 0) -> Iterator[Share]:
        """Hold so many bytes during the block, and what its share grows by.

        Raises ProblemError if there is no room.
        """
        share = Share(self)
        try:
            share.grow(size)
            yield share
        finally:
            share.shrink(share.size)

    def take(self, size: int) -> None:
        """Count bytes as held, or let go of them; raises ProblemError if there is no room."""
        with self._lock:
            if size > 0 and self._held + size > self.most_bytes:
                raise ProblemError(
                    429, "too many requests are under way", "send this one again in a moment"
                )
            self._held += size

    def spend(self, sender: str, rows: int) -> None:
        """Count rows of a sender; raises ProblemError if it sends too many."""
        if not self.rows_per_second:
            return
        now = self.clock.monotonic()
        most = 10 * self.rows_per_second
        with self._lock:
            since, spent = self._spent.pop(sender, (now, 0.0))
            spent = max(spent - (now - since) * self.rows_per_second, 0.0)
            allowed = not spent or spent + rows <= most
            self._spent[sender] = (now, spent + rows if allowed else spent)
            while len(self._spent) > BATCHES:
                self._spent.popitem(last=False)
        if not allowed:
            rate = f"{self.rows_per_second:g} rows a second"
            raise ProblemError(
                429,
                f"{sender} sends more than {rate}",
                "send more slowly, or raise server.rows_per_second",
            )

    def answered(self, place: str, key: str, body: bytes) -> Receipt | None:
        """Return the receipt of a batch that was sent before with this key.

        Raises
        ------
        ProblemError
            If the key is too long, or was used for another body.
        """
        if len(key) > KEY_LENGTH:
            said = f"Idempotency-Key is longer than {KEY_LENGTH} characters"
            raise ProblemError(422, said, "send a shorter one, such as a UUID", "Idempotency-Key")
        with self._lock:
            found = self._answers.get((place, key))
        if found is None:
            return None
        if found[0] != _digest(body):
            said = "this Idempotency-Key was sent with another body"
            raise ProblemError(422, said, "use a new key for each batch", "Idempotency-Key")
        return found[1]

    def remember(self, place: str, key: str, body: bytes, receipt: Receipt) -> None:
        """Keep a receipt: the batch sent again is answered alike, as long as it is remembered."""
        with self._lock:
            self._answers[place, key] = (_digest(body), receipt)
            while len(self._answers) > BATCHES:
                self._answers.popitem(last=False)


@dataclass(eq=False)
class Share:
    """The bytes that one request holds: as many as have come, not as many as it announced."""

    intake: Intake
    size: int = 0

    def grow(self, size: int) -> None:
        """Hold more; raises ProblemError if there is no room."""
        self.intake.take(size)
        self.size += size

    def shrink(self, size: int) -> None:
        """Hold less."""
        self.intake.take(-size)
        self.size -= size


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=16).digest()
