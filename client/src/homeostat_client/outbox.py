"""Batches on their way: in memory up to a limit, on disk beyond it or while the server is away."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

from homeostat_client.batch import Batch, new_key
from homeostat_client.ledger import Ledger
from homeostat_client.settings import Settings
from homeostat_client.spill import Kept, Spill, folder_for, rows_of


@dataclass(frozen=True)
class Job:
    """A batch to send, and the file it comes from."""

    batch: Batch
    name: str = ""


class Outbox:
    """What both background threads share.

    Parameters
    ----------
    settings : Settings
    ledger : Ledger
    """

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        folder = None
        if settings.spill != "":
            folder = folder_for(settings.server, settings.model, settings.spill)
            if folder is None:
                ledger.say("spill", "no folder can be made to keep records in; give one as spill=")
        self._ledger, self._limit = ledger, settings.max_bytes
        self._spill = Spill(folder, settings.spill_bytes)
        self._waiting: deque[Batch] = deque()
        self._reset()

    def _reset(self) -> None:
        self.changed = threading.Condition()
        self._disk = threading.RLock()  # as a signal's handler may come amid anything
        self._bytes = self._moving = 0
        self._todo: list[str] = []
        self._sending: Job | None = None
        self.since = 0.0
        self.closed = False

    def forked(self) -> None:
        """In a forked child: the parent sends what is here."""
        self._waiting.clear()
        self._reset()
        self._spill.disown()

    def put(self, kind: str, rows: list[bytes], *, away: bool) -> None:
        """Take encoded rows as a batch; while the server is `away`, to disk."""
        if not rows:
            return
        batch = Batch(kind, new_key(), tuple(rows))
        if away and self.keep(batch):
            return
        with self.changed:
            fits = self._bytes + batch.size <= self._limit or not self._waiting
            if fits:
                self._push(batch)
        if not fits and not self.keep(batch):
            self._ledger.drop("memory_full", len(rows), "neither memory nor disk has room")

    def _push(self, batch: Batch, *, first: bool = False) -> None:
        (self._waiting.appendleft if first else self._waiting.append)(batch)
        self._bytes += batch.size
        self.changed.notify_all()

    def give_back(self, batch: Batch, *, first: bool) -> None:
        """Take a batch back that was not delivered and cannot be kept on disk."""
        with self.changed:
            self._push(batch, first=first)

    def keep(self, batch: Batch, *, alone: bool = False) -> str:
        """Write a batch to disk; return the file's name, or nothing if there is no room."""
        with self._disk:
            try:
                kept = self._spill.write(batch, alone=alone)
            except Exception as error:
                # Whatever it is: the caller still has the rows, and keeps or counts them.
                kept = Kept("", problem=f"{type(error).__name__}: {error}")
        if kept.evicted:
            self._ledger.drop("spill_full", kept.evicted, "the oldest records on disk had to go")
        if kept.name:
            self._ledger.count("spilled", len(batch.rows))
        elif kept.problem:
            self._ledger.say("spill", kept.problem)
        return kept.name

    def keep_waiting(self) -> None:
        """Move what waits in memory to disk, as far as it takes it."""
        while True:
            with self.changed:
                if not self._waiting:
                    return
                batch = self._pop()
                self._moving += len(batch.rows)
            kept = self.keep(batch)
            with self.changed:
                self._moving -= len(batch.rows)
                if not kept:
                    self._push(batch, first=True)
                    return

    def _pop(self) -> Batch:
        batch = self._waiting.popleft()
        self._bytes -= batch.size
        return batch

    def fresh(self) -> Job | None:
        """Return the next batch in memory; it is under way until `settle`."""
        with self.changed:
            if not self._waiting:
                return None
            return self._begin(Job(self._pop()))

    def replay(self, parked: dict[str, float]) -> Job | None:
        """Return the next batch on disk that is not `parked`, if it is on us to replay."""
        with self._disk:
            if not self._todo:
                if not self._spill.claim():
                    return None
                self._todo = self._spill.names()[::-1]
                for name in set(parked).difference(self._todo):
                    del parked[name]
            while self._todo:
                name = self._todo.pop()
                if parked.get(name, 0.0) > time.monotonic():
                    continue
                batch = self._spill.read(name)
                if batch is not None:
                    with self.changed:
                        return self._begin(Job(batch, name))
                if self._spill.damaged:
                    problem = f"{name} in {self._spill.folder} is damaged and set aside"
                    self._ledger.drop("spill_damaged", rows_of(name), problem)
            self._spill.release()
        return None

    def _begin(self, job: Job) -> Job:
        self._sending, self.since = job, time.monotonic()
        return job

    def settle(self, job: Job, *, done: bool) -> None:
        """End a job; a batch that is `done` leaves the disk."""
        if done and job.name:
            with self._disk:
                self._spill.remove(job.name)
        with self.changed:
            self._sending = None
            self.changed.notify_all()

    def take_back(self) -> str:
        """End the job under way undone; return the name of its file, empty if it has none."""
        with self.changed:
            job, self._sending = self._sending, None
            if job is None:
                return ""
            if not job.name:
                self._push(job.batch)  # last: others may pass what cannot be sent
            self.changed.notify_all()
            return job.name

    def step_back(self) -> None:
        """Let another process replay."""
        with self._disk:
            self._todo = []
            self._spill.release()

    @property
    def empty(self) -> bool:
        """Whether no batch is in memory, under way ones included."""
        with self.changed:
            at_rest = self._sending is None or bool(self._sending.name)
            return at_rest and not self._waiting and not self._moving

    @property
    def has_fresh(self) -> bool:
        """Whether a batch waits in memory; for holders of `changed`."""
        return bool(self._waiting)

    @property
    def rows(self) -> int:
        """Rows in memory, not on disk."""
        with self.changed:
            rows = self._moving + sum(len(batch.rows) for batch in self._waiting)
            if self._sending is not None and not self._sending.name:
                rows += len(self._sending.batch.rows)
            return rows

    def stalled(self, seconds: float) -> bool:
        """Whether one exchange has been under way for longer than that."""
        since = self.since
        return self._sending is not None and time.monotonic() - since > seconds

    def renew(self) -> None:
        """Note that the exchange under way has come to its next part."""
        self.since = time.monotonic()

    def waiting(self) -> int:
        """Return how many rows of this process are on disk."""
        with self._disk:
            return self._spill.waiting()

    def keep_hanging(self) -> None:
        """Keep what is in memory on disk, and a copy of what hangs in an exchange."""
        with self.changed:
            job = self._sending
        if job is not None and not job.name:
            self.keep(job.batch, alone=True)
        self.keep_waiting()

    def keep_all(self) -> int:
        """At the end: memory goes to disk, what hangs in an exchange too; return rows lost."""
        with self.changed:
            self.closed = True
            job = self._sending
            if job is not None and not job.name:
                self._push(job.batch, first=True)
            self._sending = None
        self.keep_waiting()
        with self.changed:
            lost = sum(len(batch.rows) for batch in self._waiting)
            self._waiting.clear()
            self._bytes = 0
        if lost:
            self._ledger.drop("unsaved", lost, "the process ended and the disk took no more")
        self.step_back()
        return lost
