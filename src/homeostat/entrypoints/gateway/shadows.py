"""Copies of requests for versions that nobody waits for: they cost callers nothing."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from functools import partial
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from homeostat.domain.answers import Answers
from homeostat.domain.clock import Clock
from homeostat.entrypoints.gateway.answered import Answered, predictions
from homeostat.entrypoints.gateway.lane import Lane
from homeostat.entrypoints.gateway.metrics import Metrics
from homeostat.entrypoints.gateway.predicting import AnyBatch
from homeostat.entrypoints.gateway.routes import Live, LoadedVersion, ServedModel
from homeostat.entrypoints.gateway.rows import RowBatch, joined
from homeostat.entrypoints.gateway.writer import LogWriter
from homeostat.serving.breaker import Outcome
from homeostat.serving.classify import of_error
from homeostat.serving.plan import Answerer, Reason, Role

SHADOW_SHARE = 0.5  # of the log writer's line: when it fills up, shadows are dropped first
MOST_ROWS, MOST_COPIES = 50_000, 5_000  # that wait for one shadow
LINGER = 0.1  # seconds in which copies gather: a call for a hundred costs little more than for one
TOGETHER = 500  # rows up to which copies are scored in one call


class Copy(NamedTuple):
    """Rows of one request that a version is to score."""

    served: ServedModel
    loaded: LoadedVersion
    batch: AnyBatch
    rows: Sequence[int]
    context: Context  # of the request: what a shadow elsewhere is asked belongs to its trace


class Shadows:
    """Has shadow versions score copies of requests, under the prediction ids of the originals.

    A shadow works in its own lane behind its own breaker, at once on all copies that came within a
    moment. Copies are dropped, first of all work, while callers wait in line, while many rows wait,
    or while the log is half full.

    Parameters
    ----------
    writer : LogWriter
    metrics : Metrics
        Counts rows: scored, dropped, refused (by the breaker) or failed.
    clock : Clock
    """

    def __init__(self, writer: LogWriter, metrics: Metrics, clock: Clock) -> None:
        self._writer, self._metrics, self._clock = writer, metrics, clock
        self._lines: WeakKeyDictionary[Lane, deque[Copy]] = WeakKeyDictionary()
        self._rows: Counter[tuple[str, str]] = Counter()
        self._hurried = 0
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self.pressed: Callable[[ServedModel], bool] = lambda _: False
        """Whether callers of a model have to wait for what this process does."""

    def send(
        self, served: ServedModel, live: Live, version: str, batch: AnyBatch, rows: Sequence[int]
    ) -> None:
        """Have a version score rows, some time or never; returns at once."""
        loaded, size, key = live.versions[version], len(rows), (served.spec.name, version)
        champion = live.versions.get(live.route.champion)
        waiting = champion is not None and _crowded(served, champion)
        copy = Copy(served, loaded, batch, rows, copy_context())
        if waiting or self._rows[key] + size > MOST_ROWS or self.pressed(served):
            self._count(copy, "dropped", size)
            return
        lane = loaded.shadow_lane
        with self._lock:
            line = self._lines.get(lane)
            full = line is not None and len(line) >= MOST_COPIES
            if not full:
                self._rows[key] += size
                self._lines.setdefault(lane, deque()).append(copy)
        if full:
            self._count(copy, "dropped", size)
        elif line is None:
            lane.submit(partial(self._work, lane))

    def drain(self, seconds: float) -> bool:
        """Wait until all shadow scores are in line for the log; False if that took longer."""
        with self._changed:
            self._hurried += 1
            self._changed.notify_all()
            try:
                return self._changed.wait_for(lambda: not self._rows.total(), seconds)
            finally:
                self._hurried -= 1

    def _work(self, lane: Lane) -> None:
        """Score what is in a line until nothing is."""
        while copies := self._taken(lane):
            try:
                self._score_all(copies)
            finally:
                with self._changed:
                    for copy in copies:
                        key = copy.served.spec.name, copy.loaded.version
                        self._rows[key] -= len(copy.rows)
                    self._changed.notify_all()

    def _taken(self, lane: Lane) -> list[Copy]:
        taken: list[Copy] = []
        rows = 0
        with self._changed:
            self._changed.wait_for(lambda: self._hurried > 0, LINGER)
            line = self._lines[lane]
            while line and (not taken or rows + len(line[0].rows) <= TOGETHER):
                taken.append(line.popleft())
                rows += len(taken[-1].rows)
            if not taken:
                del self._lines[lane]
        return taken

    def _score_all(self, copies: Sequence[Copy]) -> None:
        """Score small copies in one call; if that fails, each by itself: one spoils no other."""
        here = copies[0].loaded.awaited is None
        small = [copy.batch.take(copy.rows) for copy in copies if isinstance(copy.batch, RowBatch)]
        if here and len(small) > 1:
            batch = joined(small)
            if self._score(copies[0]._replace(batch=batch, rows=range(batch.size)), final=False):
                copies = [copy for copy in copies if not isinstance(copy.batch, RowBatch)]
        for copy in copies:
            copy.context.run(self._score, copy)

    def _score(self, copy: Copy, *, final: bool = True) -> bool:
        """Score a copy and count its rows; False if it failed as a whole and can be taken apart."""
        breaker, started = copy.loaded.shadow_breaker, self._clock.monotonic()
        permit = breaker.acquire(started)
        if permit is None:
            self._count(copy, "refused", len(copy.rows))
            return True
        outcome = Outcome.NEUTRAL
        try:
            given = copy.loaded.answer(copy.served.spec, copy.batch, copy.rows)
        except Exception as error:  # noqa: BLE001 - a model may raise anything; it is classified
            if not final:
                return False
            outcome = of_error(error)
            self._count(copy, "failed", len(copy.rows))
        else:
            latency = (self._clock.monotonic() - started) * 1000
            outcome = Outcome.SUCCESS if self._log(copy, given, latency) else Outcome.FAULT
        finally:
            breaker.settle(permit, outcome, self._clock.monotonic())
        return True

    def _log(self, copy: Copy, given: Answers, latency: float) -> bool:
        """Bring scores to the log; False if some are none."""
        spec, loaded = copy.served.spec, copy.loaded
        sound = np.flatnonzero(np.isfinite(given.scores))
        kept = given.take(sound)
        part = copy.batch.take([copy.rows[place] for place in sound.tolist()])
        size, scores = len(sound), kept.scores.tolist()
        answered = Answered(
            spec,
            part,
            [loaded.version] * size,
            [Role.SHADOW] * size,
            [Answerer.MODEL] * size,
            [Reason.NONE] * size,
            scores,
            predictions(spec, scores),
            kept.probabilities,
            latency,
        )
        logged = self._writer.put(spec, answered, SHADOW_SHARE)
        self._count(copy, "scored" if logged else "dropped", size)
        self._count(copy, "failed", len(copy.rows) - size)
        return size == len(copy.rows)

    def _count(self, copy: Copy, result: str, rows: int) -> None:
        if rows:
            self._metrics.shadowed(copy.served.spec.name, copy.loaded.version, result, rows)


def _crowded(served: ServedModel, champion: LoadedVersion) -> bool:
    """Whether callers wait in line; of a champion elsewhere, whether half its places are taken."""
    under_way = champion.limit.under_way
    if champion.awaited is not None:
        return 2 * under_way > champion.limit.places
    return under_way > max(served.workers, 1)
