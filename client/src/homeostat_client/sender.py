"""The thread that speaks with the server: sends, replays, backs off."""

from __future__ import annotations

import random
import time
import zlib

from homeostat_client.answers import Judgement, Verdict, judge
from homeostat_client.backoff import Backoff
from homeostat_client.batch import Batch
from homeostat_client.ledger import Ledger
from homeostat_client.outbox import Job, Outbox
from homeostat_client.settings import Settings
from homeostat_client.wire import Answer, Wire, WireError

RESCAN = 2.0  # seconds between looks for what other processes have left on disk
STALL = 5.0  # seconds after which an exchange under way is no reason to keep the rest in memory
DRIP = 4.0  # times the time limit for all of an answer
PARKS = 3  # batches in a row that only they cannot be taken: then it is the server
GZIP = 31  # zlib's wbits for a gzip stream
UNREADABLE = frozenset({400, 415})  # answers of a server that does not take gzip
PARKED = Backoff(1.0, 3600.0)


class Sender:
    """Delivers what the outbox holds.

    Parameters
    ----------
    settings : Settings
    rng : random.Random
        For the jitter.
    outbox : Outbox
    ledger : Ledger
    """

    def __init__(
        self, settings: Settings, rng: random.Random, outbox: Outbox, ledger: Ledger
    ) -> None:
        self._settings, self._rng, self._outbox, self._ledger = settings, rng, outbox, ledger
        self._backoff = settings.backoff
        self._wire = Wire(
            settings.address, settings.model, settings.token, settings.timeout, settings.context
        )
        self._reset()

    def _reset(self) -> None:
        self.failures = self._parks = 0
        self._until = 0.0
        self._parked: dict[str, float] = {}
        self._tries: dict[str, int] = {}
        self._gzip_level = self._settings.gzip_level
        self._stopping = self._replay_next = self._hastened = False

    def forked(self) -> None:
        """In a forked child: a connection of our own, and other random numbers than the parent."""
        self._reset()
        self._rng.seed()
        self._wire.forked()

    @property
    def away(self) -> bool:
        """Whether the server has failed last, or keeps us waiting."""
        return self.failures > 0 or self._outbox.stalled(STALL)

    def run(self) -> None:
        """Deliver until stopped."""
        while True:
            try:
                job = self._next()
                if job is None:
                    return
                self._deliver(job)
            except Exception as error:  # noqa: PERF203 - once a batch
                self._ledger.say("sender", f"{type(error).__name__}: {error}")
                self._recover()
                time.sleep(1.0)

    def _recover(self) -> None:
        """Go on after what nobody thought of: the batch under way is tried again later."""
        self.failures += 1
        self._until = time.monotonic() + self._backoff.delay(self.failures, self._rng)
        name = self._outbox.take_back()
        if name:
            self._tries[name] = tries = self._tries.get(name, 0) + 1
            self._parked[name] = time.monotonic() + PARKED.delay(tries, self._rng)

    def _next(self) -> Job | None:
        outbox = self._outbox
        while True:
            if self._stopping and (self.failures or not outbox.has_fresh):
                return None
            if time.monotonic() >= self._until:
                job = self._pick()
                if job is not None:
                    return job
            with outbox.changed:
                wait = min(max(self._until - time.monotonic(), 0.0) or RESCAN, RESCAN)
                due = time.monotonic() >= self._until and outbox.has_fresh
                if not (due or self._stopping or self._hastened):
                    outbox.changed.wait(wait)
                self._hastened = False

    def _pick(self) -> Job | None:
        """Take turns between memory and disk: neither starves."""
        if self._stopping:
            return self._outbox.fresh()
        self._replay_next = not self._replay_next
        if self._replay_next:
            return self._outbox.replay(self._parked) or self._outbox.fresh()
        return self._outbox.fresh() or self._outbox.replay(self._parked)

    def _deliver(self, job: Job) -> None:
        found = self._send(job.batch)
        if self._outbox.closed:
            return  # it was kept on disk when the client was closed
        if found.verdict is Verdict.DONE:
            self._count(found, job)
            self.failures = self._parks = 0
            self._until = 0.0
            self._tries.pop(job.name, None)
            self._outbox.settle(job, done=True)
            return
        self._ledger.say("not delivered", f"{self._settings.server} {found.said}")
        if found.verdict is Verdict.PARK and self._parks < PARKS:
            self._park(job, found)
        else:
            self._step_back(job, found)

    def _send(self, batch: Batch) -> Judgement:
        """Send a batch, in halves if it is too large or holds a row that spoils the rest."""
        self._outbox.renew()
        try:
            answer = self._post(batch)
        except WireError as error:
            return Judgement(Verdict.AWAY, f"cannot be reached: {error}")
        found = judge(answer.status, answer.body, len(batch.rows), answer.wait)
        if found.verdict is not Verdict.SPLIT:
            return found
        halves = []
        for half in batch.split():
            halves.append(self._send(half))
            if halves[-1].verdict is not Verdict.DONE:
                return halves[-1]  # all of it again later: what arrived is then a duplicate
        return Judgement(
            Verdict.DONE,
            next((half.said for half in halves if half.said), ""),
            sum(half.accepted for half in halves),
            sum(half.duplicates for half in halves),
            sum(half.refused for half in halves),
        )

    def _post(self, batch: Batch) -> Answer:
        """Post a batch, compressed if that is asked for, and plain if the server cannot read it."""
        body = batch.body
        if not self._gzip_level or len(body) < self._settings.gzip_bytes:
            return self._wire.post(batch.kind, body, batch.key)
        packer = zlib.compressobj(self._gzip_level, wbits=GZIP)
        packed = packer.compress(body) + packer.flush()
        answer = self._wire.post(batch.kind, packed, batch.key, "gzip")
        if answer.status not in UNREADABLE:
            return answer
        answer = self._wire.post(batch.kind, body, batch.key)
        if answer.status not in UNREADABLE:
            self._gzip_level = 0
            self._ledger.say("gzip", f"{self._settings.server} does not take it; sent plain")
        return answer

    def _count(self, found: Judgement, job: Job) -> None:
        self._ledger.count("sent", found.accepted + found.duplicates)
        self._ledger.count("duplicates", found.duplicates)
        self._ledger.count("refused", found.refused)
        if job.name:
            self._ledger.count("replayed", len(job.batch.rows))
        if found.refused:
            self._ledger.say("refused by the server", found.said, found.refused)

    def _park(self, job: Job, found: Judgement) -> None:
        """Put one batch aside that the server stumbles over, so that others pass it."""
        self._parks += 1
        name = job.name or self._outbox.keep(job.batch, alone=True)
        if name:
            tries = self._tries.pop(job.name, 0) + 1
            self._tries[name] = tries
            self._parked[name] = time.monotonic() + PARKED.delay(tries, self._rng, found.wait)
        else:
            self._outbox.give_back(job.batch, first=False)
        self._until = time.monotonic() + self._backoff.delay(self._parks, self._rng, found.wait)
        self._outbox.settle(job, done=False)

    def _step_back(self, job: Job, found: Judgement) -> None:
        """Wait; what is in memory goes to disk meanwhile."""
        self.failures += 1
        self._until = time.monotonic() + self._backoff.delay(self.failures, self._rng, found.wait)
        if not job.name and not self._outbox.keep(job.batch):
            self._outbox.give_back(job.batch, first=True)
        self._outbox.settle(job, done=False)
        self._outbox.keep_waiting()
        self._outbox.step_back()

    def watch(self) -> None:
        """From the collector: end an exchange that drips, save what waits behind one that hangs."""
        if self._outbox.stalled(DRIP * self._settings.timeout):
            self._wire.abort()
        if self._outbox.stalled(STALL):
            self._outbox.keep_waiting()

    def hasten(self) -> None:
        """Try now, whatever has failed before."""
        with self._outbox.changed:
            self._until = 0.0
            self._parked.clear()
            self._hastened = True
            self._outbox.changed.notify_all()

    def stop(self) -> None:
        """Have the thread send what is in memory, and end."""
        with self._outbox.changed:
            self._stopping = True
            self._outbox.changed.notify_all()

    def close(self) -> None:
        """Give the connection up."""
        self._wire.abort()
        self._wire.close()
