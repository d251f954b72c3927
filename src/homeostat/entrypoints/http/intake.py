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
REMEMBERED = 3600.0  # seconds for which a receipt is kept; ids keep what comes later from counting
MOST_TEXT = 16 * 2**20  # of the receipts that are kept: each may name thousands of refused rows
ROW, RECEIPT = 200, 500  # bytes that a refused row and a receipt take besides their texts
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
    _answers: OrderedDict[tuple[str, str], _Answer] = field(default_factory=OrderedDict, init=False)
    _text: int = field(default=0, init=False)
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
            self._forget()
            found = self._answers.get((place, key))
        if found is None:
            return None
        if found.digest != _digest(body):
            said = "this Idempotency-Key was sent with another body"
            raise ProblemError(422, said, "use a new key for each batch", "Idempotency-Key")
        return found.receipt

    def remember(self, place: str, key: str, body: bytes, receipt: Receipt) -> None:
        """Keep a receipt: the batch sent again is answered alike, as long as it is remembered.

        That is an hour, or until there are too many younger ones, or too large ones.
        """
        texts = sum(ROW + len(bad.column) + len(bad.reason) for bad in receipt.rejected)
        size = RECEIPT + len(place) + len(key) + texts
        answer = _Answer(_digest(body), receipt, self.clock.monotonic(), size)
        with self._lock:
            before = self._answers.pop((place, key), None)
            self._text += size - (before.size if before else 0)
            self._answers[place, key] = answer
            self._forget()

    def _forget(self) -> None:
        old = self.clock.monotonic() - REMEMBERED
        while self._answers:
            first = next(iter(self._answers.values()))
            few = len(self._answers) <= BATCHES and self._text <= MOST_TEXT
            if few and first.at > old:
                break
            self._answers.popitem(last=False)
            self._text -= first.size


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a batch was answered, when, and about how many bytes that takes."""

    digest: bytes
    receipt: Receipt
    at: float
    size: int


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
