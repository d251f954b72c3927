"""Answers one request: planned versions first, then fallback tiers, all in one time budget."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.domain.answers import Answers, probability_lists
from homeostat.domain.clock import Clock
from homeostat.domain.errors import UserError
from homeostat.domain.model import ModelSpec, Task
from homeostat.domain.record import prediction_schema
from homeostat.domain.route import Route
from homeostat.entrypoints.gateway.batch import Batch
from homeostat.entrypoints.gateway.routes import Live, LoadedVersion, ServedModel, answers
from homeostat.serving.breaker import Outcome, Permit
from homeostat.serving.constraints import degraded_masks, touched, violations
from homeostat.serving.fallback import Cached, Lighter, Rules, ScoreCache, Tier
from homeostat.serving.plan import Answerer, Group, Plan, Reason, Role, plan

Scores = NDArray[np.float64]
NO_VERSION = "none"  # on record where the fallback answers for a model without a champion
RESERVE = 0.3  # part of the deadline that is kept for a lighter version, where there is one


@dataclass(frozen=True)
class Wait:
    """Asks whoever drives the request to wait for the futures, at most so many seconds."""

    futures: tuple[Future[Answers], ...]
    seconds: float


@dataclass(frozen=True)
class Call:
    """A version at work on some rows."""

    loaded: LoadedVersion
    rows: NDArray[np.intp]
    permit: Permit
    future: Future[Answers]


class Request:
    """One request on its way through plan, versions and fallback tiers.

    `steps` does the work and yields where it has to wait, so that the same code runs under asyncio
    and in a plain thread. Closing it early (the caller has gone) settles every permit as neutral.
    """

    def __init__(
        self, served: ServedModel, live: Live | None, batch: Batch, clock: Clock, cache: ScoreCache
    ) -> None:
        self._served, self._batch, self._clock, self._cache = served, batch, clock, cache
        self._route = live.route if live else Route(served.spec.name)
        self._versions: Mapping[str, LoadedVersion] = live.versions if live else {}
        self._started = clock.monotonic()
        self._timed_out = 0.0
        self._broken = violations(served.spec.schema, batch.features)
        self._degraded = degraded_masks(self._route.degraded, batch.rows)
        self.scores = np.full(batch.rows, np.nan)
        self._probabilities: Scores | None = None  # made when a version gives some
        self.version = np.full(batch.rows, self._route.champion or NO_VERSION, dtype=object)
        self.tier = np.full(batch.rows, Answerer.DEFAULT, dtype=object)
        self.reason = np.full(batch.rows, Reason.NONE, dtype=object)
        self._challenger = np.zeros(batch.rows, dtype=np.bool_)

    def steps(self) -> Generator[Wait, None, None]:
        """Answer every row; afterwards `scores` holds no NaN."""
        first = self._plan()
        self._challenger, self.reason = first.challenger, first.reasons
        self.version[self._challenger] = self._route.challenger
        yield from self._call(first.groups, Answerer.MODEL)
        yield from self._stand_in(first)
        self._remember()
        for tier in self._served.fallback.tiers:
            if not np.isnan(self.scores).any():
                break
            yield from self._fall_back(tier)
        left = np.isnan(self.scores)
        self.scores[left] = self._served.fallback.default

    def shadowable(self, version: str) -> NDArray[np.intp]:
        """Return the rows that a shadow can score: sound, and not answered by it anyway."""
        if version not in self._versions:  # it could not be loaded
            return np.empty(0, dtype=np.intp)
        features = self._versions[version].features
        unable = touched(features, self._broken, self._batch.rows)
        unable |= touched(features, self._degraded, self._batch.rows)
        unable |= self.version == version
        return np.flatnonzero(~unable)

    def records(self) -> pa.Table:
        """Return the answers as prediction records."""
        elapsed = max(self._clock.monotonic() - self._started, self._timed_out)
        role = np.where(self._challenger, Role.CHALLENGER, Role.CHAMPION)
        return to_records(
            self._served.spec,
            self._batch.meta,
            self._batch.features,
            (self.version.tolist(), role.tolist(), self.tier.tolist(), self.reason.tolist()),
            Answers(self.scores, self._probabilities),
            elapsed * 1000,
        )

    def _plan(self, closed: frozenset[str] = frozenset()) -> Plan:
        now = self._clock.monotonic()
        uses = {name: loaded.features for name, loaded in self._versions.items()}
        open_now = {
            name for name, loaded in self._versions.items() if not loaded.breaker.admits(now)
        }
        return plan(self._route, self._batch.keys, uses, self._broken, closed | open_now)

    def _left(self) -> float:
        spent = max(self._clock.monotonic() - self._started, self._timed_out)
        return max(self._served.deadline - spent, 0.0)

    def _stand_in(self, first: Plan) -> Generator[Wait, None, None]:
        """Let the champion answer rows on which the challenger failed, while there is time."""
        asked = [g.rows for g in first.groups if g.version == self._route.challenger]
        failed = [rows[np.isnan(self.scores[rows])] for rows in asked]
        if not failed or not failed[0].size or self._left() <= 0:
            return
        second = self._plan(frozenset({self._route.challenger}))
        groups = [Group(g.version, np.intersect1d(g.rows, failed[0])) for g in second.groups]
        yield from self._call([group for group in groups if group.rows.size], Answerer.MODEL)

    def _fall_back(self, tier: Tier) -> Generator[Wait, None, None]:
        left = np.isnan(self.scores)
        match tier:
            case Cached(max_age):
                kept = self._cache.get(self._batch.entities, self._batch.now, max_age)
                self._fill(left & ~np.isnan(kept), kept, Answerer.CACHED)
            case Rules():
                usable = left & ~self._touched(tier.features)
                self._fill(usable, tier.scores(self._batch.features), Answerer.RULES)
            case Lighter(version):
                loaded = self._versions.get(version)
                if loaded is not None and self._left() > 0:
                    rows = np.flatnonzero(left & ~self._touched(loaded.features))
                    groups = (Group(version, rows),) if rows.size else ()
                    yield from self._call(groups, Answerer.LIGHTER)

    def _touched(self, features: frozenset[str]) -> NDArray[np.bool_]:
        rows = self._batch.rows
        return touched(features, self._broken, rows) | touched(features, self._degraded, rows)

    def _fill(self, rows: NDArray[np.bool_], values: Scores, tier: Answerer) -> None:
        rows = rows & ~np.isnan(values)
        self.scores[rows], self.tier[rows] = values[rows], tier

    def _call(self, groups: Sequence[Group], tier: Answerer) -> Generator[Wait, None, None]:
        calls = [call for group in groups if (call := self._start(group)) is not None]
        if not calls:
            return
        seconds = self._left()
        if tier is Answerer.MODEL and self._served.fallback.versions:
            seconds *= 1 - RESERVE
        try:
            yield Wait(tuple(call.future for call in calls), seconds)
        except GeneratorExit:
            for call in calls:
                call.future.cancel()
                call.loaded.breaker.settle(call.permit, Outcome.NEUTRAL, self._clock.monotonic())
            raise
        for call in calls:
            self._finish(call, tier, seconds)

    def _start(self, group: Group) -> Call | None:
        loaded = self._versions[group.version]
        permit = loaded.breaker.acquire(self._clock.monotonic())
        if permit is None:
            self._blame(group.rows, Reason.BREAKER_OPEN)
            return None
        features = self._batch.features
        part = features if len(group.rows) == self._batch.rows else features.take(group.rows)
        future = loaded.lane.submit(partial(answers, self._served.spec, loaded.predictor, part))
        if future is None:
            loaded.breaker.settle(permit, Outcome.NEUTRAL, self._clock.monotonic())
            self._blame(group.rows, Reason.OVERLOAD)
            return None
        return Call(loaded, group.rows, permit, future)

    def _finish(self, call: Call, tier: Answerer, seconds: float) -> None:
        outcome = Outcome.SUCCESS
        if not call.future.done():
            call.future.cancel()  # not begun: never begin; begun: keeps its place until it ends
            self._timed_out += seconds
            self._blame(call.rows, Reason.TIMEOUT)
            outcome = Outcome.FAULT
        elif (error := call.future.exception()) is not None:
            self._blame(call.rows, Reason.ERROR)
            outcome = classify(error)
        else:
            given = call.future.result()
            sound = np.isfinite(given.scores)
            answered = call.rows[sound]
            self.scores[answered], self.tier[answered] = given.scores[sound], tier
            self._keep_probabilities(answered, given.take(np.flatnonzero(sound)))
            self.version[answered] = call.loaded.version
            if not sound.all():
                self._blame(call.rows[~sound], Reason.ERROR)
                outcome = Outcome.FAULT
        call.loaded.breaker.settle(call.permit, outcome, self._clock.monotonic())

    def _keep_probabilities(self, rows: NDArray[np.intp], given: Answers) -> None:
        if given.probabilities is not None:
            if self._probabilities is None:
                shape = (self._batch.rows, given.probabilities.shape[1])
                self._probabilities = np.full(shape, np.nan)
            self._probabilities[rows] = given.probabilities

    def _blame(self, rows: NDArray[np.intp], reason: Reason) -> None:
        # The first thing that went wrong is the reason; a tier that fails later does not hide it.
        self.reason[rows] = np.where(self.reason[rows] == Reason.NONE, reason, self.reason[rows])

    def _remember(self) -> None:
        if self._served.fallback.cache:
            rows = np.flatnonzero((self.tier == Answerer.MODEL) & ~np.isnan(self.scores))
            entities = self._batch.entities
            self._cache.put([entities[i] for i in rows], self.scores[rows], self._batch.now)


def classify(error: BaseException) -> Outcome:
    """Say what a failed call tells about the model.

    Examples
    --------
    >>> classify(ValueError()).value, classify(UserError()).value, classify(SystemExit()).value
    ('fault', 'client_error', 'neutral')
    """
    if isinstance(error, UserError):
        return Outcome.CLIENT_ERROR
    return Outcome.FAULT if isinstance(error, Exception) else Outcome.NEUTRAL


def to_records(
    spec: ModelSpec,
    meta: pa.Table,
    features: pa.Table,
    labels: tuple[list[str], list[str], list[str], list[str]],
    given: Answers,
    latency_ms: float,
) -> pa.Table:
    """Build prediction records; `labels` are version, role, tier and reason of each row."""
    values = prediction = given.scores
    if spec.task is Task.BINARY:
        prediction = (values >= spec.threshold).astype(np.float64)
    several = spec.task is Task.MULTICLASS
    version, role, tier, reason = (pa.array(column, pa.string()) for column in labels)
    columns = [
        *(meta[name] for name in ("prediction_id", "timestamp")),
        *(version, role, tier, reason),
        meta["entity"],
        *(pa.array(values), pa.array(prediction)),
        *([probability_lists(given.probabilities, len(values))] if several else []),
        pa.array(np.full(len(values), latency_ms)),
        *features.columns,
    ]
    return pa.Table.from_arrays(columns, schema=prediction_schema(spec))
