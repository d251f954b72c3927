"""The two background threads: one collects and encodes records, one sends batches and replays.

Callers only append to deques. Everything that may wait happens here: encoding, the network, the
disk, logging. The locks guard what both threads share; no caller of a ``log_`` method takes one.
"""

from __future__ import annotations

import contextlib
import queue
import random
import threading
import time
from collections import deque
from typing import Any, Callable

from homeostat_client import encode
from homeostat_client.batch import LABELS, OUTCOMES, PREDICTIONS
from homeostat_client.counters import Counters
from homeostat_client.ledger import Ledger
from homeostat_client.outbox import Outbox
from homeostat_client.sender import Sender
from homeostat_client.settings import Settings

Record = Any
SPREE, REST = 0.0004, 0.0003
WAKE_ROWS = 500
NEVER = 1 << 62
THREADS = 2
ROUNDS = 20  # batches of each kind between looks at the other duties
RAW = 3.0  # bytes of a record in memory for one of its JSON: two and a half with 40 numbers


class Shipper:
    """Takes records from callers to the server.

    Parameters
    ----------
    settings : Settings
    rng : random.Random
        Spreads the attempts of many clients.
    """

    def __init__(self, settings: Settings, rng: random.Random) -> None:
        self.settings = settings
        self.predictions: deque[Record] = deque()
        self.labels: deque[Record] = deque()
        self.outcomes: deque[Record] = deque()
        self._deferred: deque[tuple[Callable[[], None], int]] = deque()
        self._deferred_bytes = 0
        self.ledger = Ledger()
        self.limit = settings.max_rows
        self.wake_at = 0  # so that the first record starts the threads
        self.outbox = Outbox(settings, self.ledger)
        self.sender = Sender(settings, rng, self.outbox, self.ledger)
        self.on_start: Callable[[Shipper], None] = _nothing
        self.on_stop: Callable[[Shipper], None] = _nothing
        self._row_bytes = 0.0
        self._held = 0
        self._reset()

    def _reset(self) -> None:
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._start_after = 0.0
        self._collecting = self._stopping = self._retired = False

    def forked(self) -> None:
        """In a forked child: nothing of the parent's is ours, neither records nor threads."""
        for waiting in (self.predictions, self.labels, self.outcomes, self._deferred):
            waiting.clear()
        self._deferred_bytes = 0
        self.wake_at = NEVER if self.limit == 0 else 0
        self._held = 0
        self._reset()
        self.ledger.forked()
        self.outbox.forked()
        self.sender.forked()

    def defer(self, call: Callable[[], None], size: int) -> None:
        """Have something called by the collector that logs; it holds so many bytes until then."""
        if not self.limit or self._deferred_bytes + size > self.settings.max_bytes:
            self.turn_away()
            return
        self._deferred_bytes += size
        self._deferred.append((call, size))
        full = self._deferred_bytes > self.settings.batch_bytes
        if len(self._deferred) >= self.wake_at or (full and self.wake_at < NEVER):
            self.nudge()

    def turn_away(self) -> None:
        """Count a row for which there is no room."""
        self.ledger.at_the_call["queue_full" if self.limit else "closed"].add()
        if self.limit and not self._threads:
            self.start()

    def nudge(self) -> None:
        """Wake the collector, or start the threads: from any caller, without waiting."""
        self.wake_at = NEVER
        if self._threads:
            self._wake.put(None)
        else:
            self.start()

    def start(self) -> None:
        """Start the threads, once; if the system has none to give, try again later."""
        if len(self._threads) == THREADS or not self._starting.acquire(blocking=False):
            return
        try:
            if self._stopping or time.monotonic() < self._start_after:
                return
            self._start_after = time.monotonic() + 1.0
            names = {"homeostat-collect": self._collect_on, "homeostat-send": self.sender.run}
            for name, run in list(names.items())[len(self._threads) :]:
                thread = threading.Thread(target=run, name=name, daemon=True)
                thread.start()
                self._threads.append(thread)
                self.on_start(self)
        except RuntimeError:  # no thread to be had, or the interpreter is ending
            self.ledger.say("threads", "the system has none to give; records wait in memory")
        finally:
            self.wake_at = WAKE_ROWS if self._threads else 0
            self._starting.release()

    def _collect_on(self) -> None:
        more = False
        while not self._stopping:
            with contextlib.suppress(queue.Empty):
                self._wake.get(timeout=0.0 if more else self.settings.flush_interval)
            try:
                more = self.collect()
                self.start()
                self.sender.watch()
                self.ledger.tell()
            except Exception as error:
                self.ledger.say("collector", f"{type(error).__name__}: {error}")
            if self._retired and not more:
                self.close(self.settings.exit_timeout)

    def collect(self) -> bool:
        """Encode what callers have logged, hand it on as batches; return whether there is more."""
        self._collecting = True
        try:
            self.wake_at = NEVER
            return all(self._empty_once() for _ in range(ROUNDS))
        finally:
            self._collecting = False
            if self._threads:
                self.wake_at = self._rows_that_wake()

    def _rows_that_wake(self) -> int:
        """Return how many rows may wait: fewer where rows are large, so that bytes stay bounded."""
        if not self._row_bytes:
            return WAKE_ROWS
        rows = int(self.settings.batch_bytes / self._row_bytes)
        return max(1, min(WAKE_ROWS, rows))

    def _empty_once(self) -> bool:
        """Make a batch of each kind; return whether there may be more."""
        for _ in range(min(len(self._deferred), self.settings.batch_rows)):
            call, size = self._deferred.popleft()
            self._deferred_bytes -= size
            self._run_deferred(call)
        more = self._encode(PREDICTIONS, self.predictions, self._prediction)
        more = self._encode(LABELS, self.labels, encode.label) or more
        return self._encode(OUTCOMES, self.outcomes, encode.outcome) or more

    def _prediction(self, record: Record) -> bytes:
        return encode.prediction(record, self.settings.version)

    def _run_deferred(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:
            self.ledger.drop("callback", 1, f"{type(error).__name__}: {error}")

    def _encode(
        self, kind: str, waiting: deque[Record], encoded: Callable[[Record], bytes]
    ) -> bool:
        rows: list[bytes] = []
        size = taken = 0
        settings, began = self.settings, time.perf_counter()
        while waiting and taken < settings.batch_rows and size < settings.batch_bytes:
            taken += 1
            self._held = taken
            record = waiting.popleft()
            try:
                rows.append(encoded(record))
                size += len(rows[-1])
            except encode.UnfitError as error:
                self.ledger.drop(error.reason, 1, str(error))
                size += encode.MAX_ROW if error.reason == "too_large" else 0
            except Exception as error:
                self.ledger.drop("unserialisable", 1, f"{type(error).__name__}: {error}")
            began = self._rest(began, len(waiting))
        if taken:
            self._measure(size / taken)
            self.outbox.put(kind, rows, away=self.sender.away)
            self.ledger.count("queued", taken)
            self._held = 0
        return bool(waiting)

    def _measure(self, row_bytes: float) -> None:
        self._row_bytes = max(row_bytes, 0.9 * self._row_bytes)
        if self.limit:
            fit = int(self.settings.max_bytes / max(RAW * self._row_bytes, 1.0))
            self.limit = max(1, min(self.settings.max_rows, fit))

    def _rest(self, began: float, waiting: int) -> float:
        """Let callers have the interpreter: else each would wait 5 ms for this thread to yield it.

        Without a pause where records come faster than they are encoded.
        """
        now = time.perf_counter()
        if now - began < SPREE or self._stopping or waiting > self.settings.max_rows // 2:
            return began
        time.sleep(REST)
        return time.perf_counter()

    @property
    def _collected(self) -> bool:
        waiting = self.predictions or self.labels or self.outcomes or self._deferred
        return not (waiting or self._collecting)

    @property
    def idle(self) -> bool:
        """Whether nothing is in memory."""
        return self._collected and self.outbox.empty

    def flush(self, timeout: float) -> bool:
        """Wait until all is delivered, disk included; return whether it is."""
        deadline = time.monotonic() + timeout
        self.begin_flush()
        while True:
            if self.delivered:
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.005)

    def begin_flush(self) -> None:
        """Start the threads if need be, and have them deliver now."""
        if self.limit:
            self.start()
        self.hasten()

    def retire(self) -> None:
        """Close in the background: nobody is left who could log."""
        self._retired = True
        self._wake.put(None)

    def hasten(self) -> None:
        """Collect and try now."""
        self.sender.hasten()
        self._wake.put(None)

    @property
    def delivered(self) -> bool:
        """Whether nothing is left, neither in memory nor of this process on disk."""
        return self.idle and not self.outbox.waiting()

    def settle(self, timeout: float) -> bool:
        """Deliver for so long, keep the rest on disk, and go on; return whether all arrived."""
        deadline = time.monotonic() + timeout
        if self._threads:
            self.hasten()
            self._await_idle(deadline)
            self.outbox.keep_hanging()
        return self.delivered

    def _await_idle(self, deadline: float) -> None:
        # Away is away: what is left goes to disk at once.
        while not (self.idle or (self.sender.away and self._collected)):
            if time.monotonic() >= deadline:
                return
            time.sleep(0.005)

    def close(self, timeout: float) -> bool:
        """Deliver for so long, then keep the rest on disk; return whether all is delivered."""
        deadline = time.monotonic() + timeout
        self.limit, self.wake_at = 0, NEVER
        if self._threads and not self._stopping:
            self.hasten()
            self._await_idle(deadline)
        self._stopping = True
        self._wake.put(None)
        self.sender.stop()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.05, deadline - time.monotonic()))
        self._threads = []
        self.on_stop(self)
        self.limit, self.wake_at = 0, NEVER  # again: the collector may just have adapted them
        while not self._collecting and self.collect():
            pass
        lost = self.outbox.keep_all()
        self.sender.close()
        self.ledger.tell(force=True)
        return not lost and not self.outbox.waiting()

    def counters(self) -> Counters:
        """Return the figures at this moment."""
        # What is on its way from one place to the next is counted in both, never in none.
        raw = len(self.predictions) + len(self.labels) + len(self.outcomes) + self._held
        pending = raw + self.outbox.rows
        return self.ledger.counters(raw, pending, self.outbox.waiting())


def _nothing(_shipper: Shipper) -> None:
    pass
