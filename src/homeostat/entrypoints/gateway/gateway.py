"""The gateway as an object: under HTTP it is driven by asyncio, in process by a plain call."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import cast

import numpy as np
import pyarrow as pa

from homeostat.domain.clock import Clock
from homeostat.domain.errors import NotFoundError
from homeostat.entrypoints.gateway.answered import Answered
from homeostat.entrypoints.gateway.batch import rows_to_table, to_batch
from homeostat.entrypoints.gateway.lane import settled
from homeostat.entrypoints.gateway.metrics import Metrics
from homeostat.entrypoints.gateway.routes import (
    AnyBatch,
    Live,
    LoadedVersion,
    RouteTable,
    ServedModel,
)
from homeostat.entrypoints.gateway.rows import RowReader
from homeostat.entrypoints.gateway.serve import Request
from homeostat.entrypoints.gateway.writer import LogWriter
from homeostat.serving.fallback import ScoreCache
from homeostat.serving.plan import Answerer, Reason, Role

SHADOW_SHARE = 0.5  # of the log writer's line: when it fills up, shadows are dropped first


class Gateway:
    """Answers prediction requests and logs what it answered.

    Every request is answered within its deadline, by a fallback tier if need be. Logging and shadow
    versions work in the background and never hold an answer up.

    Parameters
    ----------
    routes : RouteTable
        Which versions answer; the engine publishes here.
    writer : LogWriter
        Takes the prediction records.
    clock : Clock
    instance : str
        Differs between gateways that run at once, so that the ids they make differ too.
    """

    def __init__(
        self, routes: RouteTable, writer: LogWriter, clock: Clock, instance: str = ""
    ) -> None:
        self.routes, self.writer, self._clock = routes, writer, clock
        self.metrics = Metrics()
        self._prefix = hashlib.blake2b(instance.encode(), digest_size=4).hexdigest()
        self._numbers = itertools.count()
        self._caches = {model: ScoreCache() for model in routes.models}
        self._readers = {model: RowReader(served.spec) for model, served in routes.models.items()}
        self._shadows: set[Future[None]] = set()
        self._shadow_lock = threading.Lock()

    def predict(self, model: str, rows: pa.Table) -> pa.Table:
        """Answer a request from this thread.

        Parameters
        ----------
        model : str
        rows : pyarrow.Table
            Features, and optionally ``prediction_id``, ``timestamp`` and ``entity``.

        Returns
        -------
        pyarrow.Table
            One prediction record a row, in order (`prediction_schema`).

        Raises
        ------
        NotFoundError
            If no such model is served.
        InputError
            If the rows cannot be taken; the message names row and column.
        """
        served, live = self._served(model)
        now = self._clock.now()
        batch = to_batch(served.spec, rows, now, self._stem(now))
        request = self._request(served, live, batch)
        for step in request.steps():
            wait(step.futures, step.seconds)
        return self._close(served, live, batch, request).records()

    async def answer(self, model: str, rows: pa.Table | Sequence[Mapping[str, object]]) -> Answered:
        """Answer a request under asyncio.

        Parameters
        ----------
        model : str
        rows : pyarrow.Table, or sequence of mapping
            Columns as of `predict`, or rows as JSON gives them.

        Raises
        ------
        NotFoundError, InputError
            As `predict`.
        """
        served, live = self._served(model)
        now = self._clock.now()
        stem = self._stem(now)
        batch: AnyBatch | None = None
        if not isinstance(rows, pa.Table):
            batch = self._readers[model].read(rows, now, stem)
            rows = rows_to_table(served.spec, rows) if batch is None else rows
        if batch is None:
            batch = to_batch(served.spec, cast("pa.Table", rows), now, stem)
        request = self._request(served, live, batch)
        steps = request.steps()
        try:
            for step in steps:
                await settled(step.futures, step.seconds)
        finally:
            steps.close()
        return self._close(served, live, batch, request)

    async def predict_async(self, model: str, rows: pa.Table) -> pa.Table:
        """Answer a request under asyncio; otherwise like `predict`."""
        return (await self.answer(model, rows)).records()

    def ready(self) -> dict[str, bool]:
        """Return for each model whether a champion is loaded."""
        return {
            model: (live := self.routes.live(model)) is not None and bool(live.route.champion)
            for model in self.routes.models
        }

    def drain(self, seconds: float = 30.0) -> bool:
        """Wait until all shadow scores are in line for the log; False if that took longer."""
        with self._shadow_lock:
            pending = list(self._shadows)
        return not wait(pending, seconds).not_done

    def flush(self, seconds: float = 30.0) -> bool:
        """Wait until all answers and shadow scores so far are in the log."""
        return self.drain(seconds) and self.writer.flush(seconds)

    def close(self, seconds: float = 10.0) -> bool:
        """Write what is left to the log and stop; False if rows had to be given up."""
        drained = self.drain(seconds)
        return self.writer.close(seconds) and drained

    def metrics_text(self) -> str:
        """Return the counters in the Prometheus text format."""
        fates = asdict(self.writer.counts) | {"waiting": self.writer.waiting}
        breakers = {
            (model, version): loaded.breaker
            for model in self.routes.models
            if (live := self.routes.live(model)) is not None
            for version, loaded in live.versions.items()
        }
        return self.metrics.text(fates, breakers)

    def _served(self, model: str) -> tuple[ServedModel, Live | None]:
        served = self.routes.models.get(model)
        if served is None:
            known = ", ".join(sorted(self.routes.models))
            raise NotFoundError(f"no model named {model!r} is served here; there are {known}")
        return served, self.routes.live(model)

    def _stem(self, now: datetime) -> str:
        return f"{self._prefix}{int(now.timestamp() * 1e6):013x}{next(self._numbers):x}-"

    def _request(self, served: ServedModel, live: Live | None, batch: AnyBatch) -> Request:
        return Request(served, live, batch, self._clock, self._caches[served.spec.name])

    def _close(
        self, served: ServedModel, live: Live | None, batch: AnyBatch, request: Request
    ) -> Answered:
        answered = request.answered()
        self.writer.put(served.spec, answered)
        self.metrics.answered(answered)
        if live is not None and live.route.shadows:
            for version in live.route.shadows:
                rows = request.shadowable(version)
                loaded = live.versions.get(version)  # none if it could not be loaded
                if loaded is not None and rows:
                    self._shadow(served, loaded, batch, rows)
        return answered

    def _shadow(
        self, served: ServedModel, loaded: LoadedVersion, batch: AnyBatch, rows: Sequence[int]
    ) -> None:
        future = loaded.shadow_lane.submit(partial(self._score, served, loaded, batch, rows))
        if future is None:
            self._count_shadows(served, loaded, "dropped", len(rows))
            return
        with self._shadow_lock:
            self._shadows.add(future)
        future.add_done_callback(partial(self._shadowed, served, loaded, len(rows)))

    def _score(
        self, served: ServedModel, loaded: LoadedVersion, batch: AnyBatch, rows: Sequence[int]
    ) -> None:
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
        logged = self.writer.put(served.spec, answered, SHADOW_SHARE)
        self._count_shadows(served, loaded, "scored" if logged else "dropped", len(sound))
        self._count_shadows(served, loaded, "failed", len(rows) - len(sound))

    def _shadowed(
        self, served: ServedModel, loaded: LoadedVersion, rows: int, future: Future[None]
    ) -> None:
        if future.exception() is not None:
            self._count_shadows(served, loaded, "failed", rows)
        with self._shadow_lock:
            self._shadows.discard(future)

    def _count_shadows(
        self, served: ServedModel, loaded: LoadedVersion, result: str, rows: int
    ) -> None:
        if rows:
            self.metrics.shadowed(served.spec.name, loaded.version, result, rows)
