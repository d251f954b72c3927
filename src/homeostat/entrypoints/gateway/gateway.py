"""The gateway as an object: under HTTP it is driven by asyncio, in process by a plain call."""

from __future__ import annotations

import hashlib
import itertools
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import wait
from dataclasses import asdict
from functools import partial
from typing import cast

import pyarrow as pa

from homeostat.adapters.cards import Cards
from homeostat.domain.clock import Clock
from homeostat.domain.errors import NotFoundError
from homeostat.entrypoints.gateway.answered import Answered
from homeostat.entrypoints.gateway.batch import Batch, rows_to_table, to_batch
from homeostat.entrypoints.gateway.lag import Lag
from homeostat.entrypoints.gateway.lane import settled
from homeostat.entrypoints.gateway.large import LARGE_ROWS, Aside
from homeostat.entrypoints.gateway.metrics import Metrics, place_lines
from homeostat.entrypoints.gateway.predicting import AnyBatch
from homeostat.entrypoints.gateway.process import card_lines, process_lines
from homeostat.entrypoints.gateway.routes import Live, ServedModel
from homeostat.entrypoints.gateway.rows import RowReader
from homeostat.entrypoints.gateway.serve import Request
from homeostat.entrypoints.gateway.shadows import Shadows
from homeostat.entrypoints.gateway.table import RouteTable
from homeostat.entrypoints.gateway.writer import LogWriter
from homeostat.serving.fallback import ScoreCache

logger = logging.getLogger(__name__)


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

    Attributes
    ----------
    draining : bool
        It is about to stop, and says that it is not ready.
    lag : Lag
        Of the event loop that it runs in.
    worker : str
        Number of its process among those that share the port.
    cards : Cards, optional
        Graphics cards that it tells of.
    all_metrics : callable
        Metrics of all processes that share the port.
    aside : Aside
        Where work on large requests is done.
    watchers : list of callable
        Are told of each answer, in the thread or task of its request.
    """

    def __init__(
        self, routes: RouteTable, writer: LogWriter, clock: Clock, instance: str = ""
    ) -> None:
        self.routes, self.writer, self._clock = routes, writer, clock
        self.metrics = Metrics()
        routes.listeners.append(self.metrics.transition)
        self.draining = False
        self.lag = Lag()
        self.worker = "0"
        self.cards: Cards | None = None
        self.all_metrics: Callable[[], str] = self.metrics_text
        self.watchers: list[Callable[[Answered], None]] = []
        prefix = hashlib.blake2b(instance.encode(), digest_size=4).hexdigest()
        self._prefix = f"{prefix}{int(clock.now().timestamp() * 1e6):013x}"
        self._numbers = itertools.count()
        self._caches = {model: ScoreCache() for model in routes.models}
        self._readers = {model: RowReader(served.spec) for model, served in routes.models.items()}
        self._early: set[str] = set()
        self.aside = Aside()
        self.shadows = Shadows(writer, self.metrics, clock)

    def predict(self, model: str, rows: pa.Table, version: str = "") -> pa.Table:
        """Answer a request from this thread.

        Parameters
        ----------
        model : str
        rows : pyarrow.Table
            Features, and optionally ``prediction_id``, ``timestamp`` and ``entity``.
        version : str
            Overrides the traffic split; the rows are on record as such (role ``override``).

        Returns
        -------
        pyarrow.Table
            One prediction record a row, in order (`prediction_schema`).

        Raises
        ------
        NotFoundError
            If no such model is served, or no such version loaded.
        InputError
            If the rows cannot be taken; the message names row and column.
        """
        served, live = self._served(model, version)
        now = self._clock.now()
        batch = to_batch(served.spec, rows, now, self._stem())
        request = Request(served, live, batch, self._clock, self._caches[model], version)
        for step in request.steps():
            wait(step.futures, step.seconds)
        return self._close(served, live, batch, request).records()

    async def answer(
        self,
        model: str,
        rows: pa.Table | Sequence[Mapping[str, object]],
        version: str = "",
        seconds: float = math.inf,
    ) -> Answered:
        """Answer a request under asyncio.

        Parameters
        ----------
        model : str
        rows : pyarrow.Table, or sequence of mapping
            Columns as of `predict`, or rows as JSON gives them.
        version : str
            As of `predict`.
        seconds : float
            How long the caller waits, where that is less than the model's deadline.

        Raises
        ------
        NotFoundError, InputError
            As `predict`.
        """
        if len(rows) > LARGE_ROWS:
            return await self._answer_large(model, rows, version, seconds)
        served, live = self._served(model, version)
        now = self._clock.now()
        stem = self._stem()
        batch: AnyBatch | None = None
        if not isinstance(rows, pa.Table):
            batch = self._readers[model].read(rows, now, stem)
            rows = rows_to_table(served.spec, rows) if batch is None else rows
        if batch is None:
            batch = to_batch(served.spec, cast("pa.Table", rows), now, stem)
        cache = self._caches[model]
        request = Request(served, live, batch, self._clock, cache, version, seconds)
        steps = request.steps()
        in_flight = self.metrics.in_flight
        in_flight[model] += 1
        try:
            for step in steps:
                await settled(step.futures, step.seconds)
                self.lag.note()  # what is left to do for it keeps others waiting
        finally:
            in_flight[model] -= 1
            steps.close()
        return self._close(served, live, batch, request)

    async def _answer_large(
        self,
        model: str,
        rows: pa.Table | Sequence[Mapping[str, object]],
        version: str,
        seconds: float,
    ) -> Answered:
        """Answer so many rows that work on them is done beside the event loop."""
        served, live = self._served(model, version)
        now = self._clock.now()
        stem = self._stem()

        def checked() -> Batch:
            spec = served.spec
            table = rows if isinstance(rows, pa.Table) else rows_to_table(spec, rows)
            return to_batch(spec, table, now, stem)

        batch = await self.aside.run(checked)
        cache = self._caches[model]
        request = Request(served, live, batch, self._clock, cache, version, seconds)
        steps = request.steps()
        in_flight = self.metrics.in_flight
        in_flight[model] += 1
        try:
            while (step := await self.aside.run(partial(next, steps, None))) is not None:
                await settled(step.futures, step.seconds)
        finally:
            in_flight[model] -= 1
            steps.close()
        return await self.aside.run(partial(self._close, served, live, batch, request))

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
        return self.shadows.drain(seconds)

    def flush(self, seconds: float = 30.0) -> bool:
        """Wait until all answers and shadow scores so far are in the log."""
        return self.drain(seconds) and self.writer.flush(seconds)

    def close(self, seconds: float = 10.0) -> bool:
        """Write what is left to the log and stop; False if rows had to be given up."""
        drained = self.drain(seconds)
        return self.writer.close(seconds) and drained

    def metrics_text(self) -> str:
        """Return this process's metrics in the Prometheus text format."""
        waiting = {"memory": self.writer.waiting, "disk": self.writer.spilled}
        lives = {
            model: live
            for model in self.routes.models
            if (live := self.routes.live(model)) is not None
        }
        breakers = {
            (model, name): breaker
            for model, live in lives.items()
            for name, breaker in live.breakers.items()
        }
        places = {
            (model, version): loaded.places
            for model, live in lives.items()
            for version, loaded in live.versions.items()
        }
        counted = self.metrics.text(asdict(self.writer.counts), waiting, breakers)
        machine = place_lines(places) + process_lines(self.worker, self.lag.seconds)
        if self.cards is not None:
            machine += card_lines(self.cards.read())
        return counted + "\n".join(machine) + "\n"

    def _served(self, model: str, version: str = "") -> tuple[ServedModel, Live | None]:
        served = self.routes.models.get(model)
        if served is None:
            known = ", ".join(sorted(self.routes.models))
            raise NotFoundError(f"no model named {model!r} is served here; there are {known}")
        live = self.routes.live(model)
        if version and (live is None or version not in live.versions):
            known = ", ".join(sorted(live.versions)) if live else ""
            raise NotFoundError(
                f"{model} has no version {version[:80]!r} loaded here; there are: {known or 'none'}"
            )
        if live is None:
            live = self.routes.failed.get(model)
            if live is None and model not in self._early:
                self._early.add(model)
                logger.warning(
                    "%s: requests come before a version is loaded; fallback tiers answer them"
                    " (reason not_loaded). Send none before /health/ready answers 200",
                    model,
                )
        return served, live

    def _stem(self) -> str:
        return f"{self._prefix}{next(self._numbers):x}-"

    def _close(
        self, served: ServedModel, live: Live | None, batch: AnyBatch, request: Request
    ) -> Answered:
        answered = request.answered()
        self.writer.put(served.spec, answered)
        self.metrics.answered(answered)
        for watcher in self.watchers:
            watcher(answered)
        if live is not None:
            for version in live.route.shadows:
                rows = request.shadowable(version)
                if rows:
                    self.shadows.send(served, live, version, batch, rows)
        return answered
