"""Copies of requests for versions that nobody waits for: they cost callers nothing."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from contextvars import copy_context
from functools import partial

import numpy as np

from homeostat.domain.clock import Clock
from homeostat.entrypoints.gateway.answered import Answered
from homeostat.entrypoints.gateway.metrics import Metrics
from homeostat.entrypoints.gateway.predicting import AnyBatch
from homeostat.entrypoints.gateway.routes import Live, LoadedVersion, ServedModel
from homeostat.entrypoints.gateway.writer import LogWriter
from homeostat.serving.breaker import Outcome
from homeostat.serving.classify import of_error
from homeostat.serving.plan import Answerer, Reason, Role

SHADOW_SHARE = 0.5  # of the log writer's line: when it fills up, shadows are dropped first
MOST_ROWS = 50_000  # that wait for one shadow


class Shadows:
    """Has shadow versions score copies of requests, under the prediction ids of the originals.

    A shadow works in its own bounded lane behind its own breaker. Copies are dropped, first of all
    work, while callers wait in line, while many rows wait, or while the log is half full.

    Parameters
    ----------
    writer : LogWriter
    metrics : Metrics
        Counts rows: scored, dropped, refused (by the breaker) or failed.
    clock : Clock
    """

    def __init__(self, writer: LogWriter, metrics: Metrics, clock: Clock) -> None:
        self._writer, self._metrics, self._clock = writer, metrics, clock
        self._pending: set[Future[Outcome]] = set()
        self._rows: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        self.pressed: Callable[[ServedModel], bool] = lambda _: False
        """Whether callers of a model have to wait for what this process does."""

    def send(
        self, served: ServedModel, live: Live, version: str, batch: AnyBatch, rows: Sequence[int]
    ) -> None:
        """Have a version score rows, some time or never; returns at once."""
        loaded, size, key = live.versions[version], len(rows), (served.spec.name, version)
        champion = live.versions.get(live.route.champion)
        waiting = champion is not None and champion.lane.busy > max(served.workers, 1)
        if waiting or self._rows[key] + size > MOST_ROWS or self.pressed(served):
            self._count(served, loaded, "dropped", size)
            return
        permit = loaded.shadow_breaker.acquire(self._clock.monotonic())
        if permit is None:
            self._count(served, loaded, "refused", size)
            return
        with self._lock:
            self._rows[key] += size
        # In the request's context: what a shadow elsewhere is asked belongs to its trace.
        score = partial(copy_context().run, self._score, served, loaded, batch, rows)
        future = loaded.shadow_lane.submit(score)
        if future is None:
            loaded.shadow_breaker.settle(permit, Outcome.NEUTRAL, self._clock.monotonic())
            self._count(served, loaded, "dropped", size)
            with self._lock:
                self._rows[key] -= size
            return
        with self._lock:
            self._pending.add(future)

        def done(future: Future[Outcome]) -> None:
            error = future.exception()
            if error is not None:
                self._count(served, loaded, "failed", size)
            outcome = future.result() if error is None else of_error(error)
            loaded.shadow_breaker.settle(permit, outcome, self._clock.monotonic())
            with self._lock:
                self._pending.discard(future)
                self._rows[key] -= size

        future.add_done_callback(done)

    def drain(self, seconds: float) -> bool:
        """Wait until all shadow scores are in line for the log; False if that took longer."""
        with self._lock:
            pending = list(self._pending)
        return not wait(pending, seconds).not_done

    def _score(
        self, served: ServedModel, loaded: LoadedVersion, batch: AnyBatch, rows: Sequence[int]
    ) -> Outcome:
        started = self._clock.monotonic()
        given = loaded.answer(served.spec, batch, rows)
        latency = (self._clock.monotonic() - started) * 1000
        sound = np.flatnonzero(np.isfinite(given.scores))
        kept = given.take(sound)
        part = batch.take([rows[place] for place in sound.tolist()])
        size = len(sound)
        answered = Answered(
            served.spec,
            part,
            [loaded.version] * size,
            [Role.SHADOW] * size,
            [Answerer.MODEL] * size,
            [Reason.NONE] * size,
            kept.scores.tolist(),
            kept.probabilities,
            latency,
        )
        logged = self._writer.put(served.spec, answered, SHADOW_SHARE)
        self._count(served, loaded, "scored" if logged else "dropped", size)
        self._count(served, loaded, "failed", len(rows) - size)
        return Outcome.SUCCESS if size == len(rows) else Outcome.FAULT

    def _count(self, served: ServedModel, loaded: LoadedVersion, result: str, rows: int) -> None:
        if rows:
            self._metrics.shadowed(served.spec.name, loaded.version, result, rows)
