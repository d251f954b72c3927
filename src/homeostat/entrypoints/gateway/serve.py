"""Answers one request: planned versions first, then fallback tiers, all in one time budget."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from homeostat.domain.answers import Answers
from homeostat.domain.clock import Clock
from homeostat.domain.route import Route
from homeostat.entrypoints.gateway.answered import NO_AGES, NOT_SPLIT, Answered, predictions
from homeostat.entrypoints.gateway.predicting import AnyBatch
from homeostat.entrypoints.gateway.routes import Live, LoadedVersion, ServedModel
from homeostat.entrypoints.gateway.rows import MOST
from homeostat.serving.breaker import Outcome, Permit
from homeostat.serving.classify import of_error
from homeostat.serving.constraints import degraded_masks, touched
from homeostat.serving.fallback import Cached, Lighter, Rules, ScoreCache, Tier
from homeostat.serving.plan import Answerer, Group, Plan, Reason, plan

NO_VERSION = "none"  # on record where the fallback answers for a model without a champion
NAN = math.nan
START = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Wait:
    """Asks whoever drives the request to wait for the futures, at most so many seconds."""

    futures: tuple[Future[Answers], ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Call:
    """A version at work on some rows."""

    loaded: LoadedVersion
    rows: Sequence[int]
    permit: Permit
    future: Future[Answers]


class Request:
    """One request on its way through plan, versions and fallback tiers.

    `steps` does the work and yields where it has to wait, so that the same code runs under asyncio
    and in a plain thread. Closing it early (the caller has gone) settles every permit as neutral.

    Attributes
    ----------
    scores, version, tier, reason : list
        One item a row, once the work has begun.
    """

    def __init__(
        self,
        served: ServedModel,
        live: Live | None,
        batch: AnyBatch,
        clock: Clock,
        cache: ScoreCache,
        override: str = "",
        seconds: float = math.inf,
    ) -> None:
        self._served, self._batch, self._cache = served, batch, cache
        self._monotonic = clock.monotonic
        self._route = live.route if live else Route(served.spec.name)
        self._versions: Mapping[str, LoadedVersion] = live.versions if live else {}
        self._uses = live.uses if live else {}
        self._started = self._monotonic()
        self._timed_out = self._marked = 0.0
        self._override = override
        self._deadline = min(served.deadline, seconds)
        self.scores: list[float] = []
        self.version: list[str] = []
        self.tier: list[Answerer] = []
        self.reason: list[Reason] = []
        self._roles: list[str] = []
        self._probabilities: NDArray[np.float64] | None = None  # made when a version gives some
        self._ages = NO_AGES
        self._spent = NOT_SPLIT

    def steps(self) -> Generator[Wait, None, None]:
        """Answer every row; afterwards `scores` holds no NaN."""
        first = self._plan()
        size = len(first.assigned)
        self.scores, self.tier = [NAN] * size, [Answerer.DEFAULT] * size
        self._roles, self.reason = first.roles, first.reasons
        self.version = first.assigned
        if "" in first.assigned:
            self.version = [name or NO_VERSION for name in first.assigned]
        fallback, kept = self._served.fallback, self._served.kept
        if calls := self._call(first.groups, Answerer.MODEL, kept):
            yield from self._wait(calls, Answerer.MODEL, kept)
        left = self._left_over() if NAN in self.scores else []  # it is itself: quickly found
        if left:
            yield from self._stand_in(first, left)
            self._mark(Answerer.MODEL)
        if self._served.caches and not self._override:
            self._remember()
        for place, tier in enumerate(fallback.tiers if left else ()):
            left = self._left_over()
            if not left:
                break
            yield from self._fall_back(tier, left, fallback.kept(place + 1))
        left = self._left_over() if left else left
        for row in left:
            self.scores[row] = fallback.default
        if left:
            self._mark(Answerer.DEFAULT)

    def shadowable(self, version: str) -> Sequence[int]:
        """Return the rows that a shadow can score: sound, and not answered by it anyway."""
        if version not in self._versions:  # it could not be loaded
            return ()
        rows: Sequence[int] = range(self._batch.size)
        if version in self.version:
            rows = [row for row in rows if self.version[row] != version]
        return self._sound(self._versions[version].features, rows)

    def answered(self) -> Answered:
        """Return the answers, for the caller and for the log."""
        spec = self._served.spec
        marks = self.version, self._roles, self.tier, self.reason
        scores, elapsed = self.scores, self._elapsed() * 1000
        figures = self._probabilities, elapsed, self._ages, self._spent
        told = predictions(spec, scores)
        return Answered(spec, self._batch, *marks, scores, told, *figures, self._route.arms)

    def _left_over(self) -> list[int]:
        return [row for row, score in enumerate(self.scores) if score != score]  # noqa: PLR0124

    def _plan(self, closed: frozenset[str] = frozenset()) -> Plan:
        route, override = self._route, self._override
        keys: Sequence[str] = self._batch.ids  # where nothing is split nobody looks at them
        if override or route.challenger or route.arms:
            keys = self._batch.keys
            asked = {override} if override else {route.challenger, *(a.version for a in route.arms)}
            now = self._monotonic()
            closed |= {
                version
                for version in asked - {route.champion}
                if version in self._versions and not self._versions[version].breaker.admits(now)
            }
        return plan(route, keys, self._uses, self._batch.broken, closed, override)

    @property
    def _at(self) -> datetime:
        """When it began, for the cache: on a clock that nobody sets."""
        return START + timedelta(seconds=self._started)

    def _elapsed(self) -> float:
        return max(self._monotonic() - self._started, self._timed_out)

    def _left(self, kept: float = 0.0) -> float:
        """Return the seconds left but for a part of the deadline that is kept for others."""
        return max(self._deadline * (1 - kept) - self._elapsed(), 0.0)

    def _mark(self, tier: Answerer) -> None:
        """Charge a tier with the time since the last mark."""
        elapsed = self._elapsed()
        spent = self._spent.get(tier, 0.0) + elapsed - self._marked
        self._spent = {**self._spent, tier: spent}
        self._marked = elapsed

    def _stand_in(self, first: Plan, left: Sequence[int]) -> Generator[Wait, None, None]:
        """Let the champion answer rows on which another version failed, while there is time."""
        others = [group for group in first.groups if group.version != self._route.champion]
        failed = set(left).intersection([row for group in others for row in group.rows])
        kept = self._served.kept
        if not failed or self._left(kept) <= 0:
            return
        second = self._plan(frozenset(g.version for g in others if failed.intersection(g.rows)))
        groups = [
            Group(group.version, [row for row in group.rows if row in failed])
            for group in second.groups
        ]
        asked = [group for group in groups if group.rows]
        if calls := self._call(asked, Answerer.MODEL, kept):
            yield from self._wait(calls, Answerer.MODEL, kept)

    def _fall_back(
        self, tier: Tier, left: Sequence[int], kept: float
    ) -> Generator[Wait, None, None]:
        match tier:
            case Cached(max_age):
                entities, serving = self._batch.entities, self._route.shares
                scores, ages, versions = self._cache.get(entities, self._at, max_age, serving)
                self._fill(left, scores, Answerer.CACHED)
                self._ages = {row: float(ages[row]) for row in left if not math.isnan(ages[row])}
                for row in self._ages:
                    self.version[row] = versions[row]
                self._mark(Answerer.CACHED)
            case Rules():
                usable = self._sound(tier.features, left)
                self._fill(usable, tier.scores(self._batch.features), Answerer.RULES)
                self._mark(Answerer.RULES)
            case Lighter(version):
                loaded = self._versions.get(version)
                if loaded is not None and self._left(kept) > 0:
                    rows = self._sound(loaded.features, left)
                    groups = (Group(version, rows),) if rows else ()
                    if calls := self._call(groups, Answerer.LIGHTER, kept):
                        yield from self._wait(calls, Answerer.LIGHTER, kept)
                    self._mark(Answerer.LIGHTER)

    def _sound(self, features: frozenset[str], rows: Sequence[int]) -> Sequence[int]:
        size, broken = self._batch.size, self._batch.broken
        if not broken and not self._route.degraded:
            return rows
        unable = touched(features, broken, size)
        unable |= touched(features, degraded_masks(self._route.degraded, size), size)
        return [row for row in rows if not unable[row]]

    def _fill(self, rows: Sequence[int], values: NDArray[np.float64], tier: Answerer) -> None:
        for row in rows:
            if not math.isnan(values[row]):
                self.scores[row], self.tier[row] = float(values[row]), tier

    def _call(self, groups: Sequence[Group], tier: Answerer, kept: float) -> list[Call]:
        """Ask versions; quick ones answer at once, of the others return the calls to wait for."""
        calls: list[Call] = []
        for group in groups:
            loaded, rows = self._versions[group.version], group.rows
            permit = loaded.breaker.acquire(self._monotonic())
            if permit is None:
                self._blame(rows, Reason.BREAKER_OPEN)
            elif loaded.quick and len(rows) <= MOST:
                outcome = self._ask(loaded, rows, tier)
                loaded.breaker.settle(permit, outcome, self._monotonic())
            else:
                future = loaded.start(self._served.spec, self._batch, rows, self._left(kept))
                if future is None:
                    loaded.breaker.settle(permit, Outcome.NEUTRAL, self._monotonic())
                    self._blame(rows, Reason.OVERLOAD)
                else:
                    calls.append(Call(loaded, rows, permit, future))
        return calls

    def _ask(self, loaded: LoadedVersion, rows: Sequence[int], tier: Answerer) -> Outcome:
        try:
            given = loaded.answer(self._served.spec, self._batch, rows)
        except Exception as error:  # noqa: BLE001 - a model may raise anything; it is classified
            self._blame(rows, Reason.ERROR)
            return of_error(error)
        return self._take(loaded, rows, given, tier)

    def _wait(
        self, calls: Sequence[Call], tier: Answerer, kept: float
    ) -> Generator[Wait, None, None]:
        seconds = self._left(kept)
        try:
            yield Wait(tuple(call.future for call in calls), seconds)
        except GeneratorExit:
            for call in calls:
                call.future.cancel()
                call.loaded.breaker.settle(call.permit, Outcome.NEUTRAL, self._monotonic())
            raise
        if not all(call.future.done() for call in calls):
            self._timed_out += seconds  # once: they were waited for together
        for call in calls:
            outcome = self._outcome(call, tier)
            call.loaded.breaker.settle(call.permit, outcome, self._monotonic())

    def _outcome(self, call: Call, tier: Answerer) -> Outcome:
        if not call.future.done():
            call.future.cancel()  # not begun: never begin; begun: keeps its place until it ends
            self._blame(call.rows, Reason.TIMEOUT)
            return Outcome.FAULT
        if (error := call.future.exception()) is not None:
            late = isinstance(error, TimeoutError)
            self._blame(call.rows, Reason.TIMEOUT if late else Reason.ERROR)
            return of_error(error)
        return self._take(call.loaded, call.rows, call.future.result(), tier)

    def _take(
        self, loaded: LoadedVersion, rows: Sequence[int], given: Answers, tier: Answerer
    ) -> Outcome:
        """Take over what can be used; a fault if that is not all."""
        odd: list[int] = []
        for row, score in zip(rows, given.scores.tolist(), strict=True):
            if math.isfinite(score):
                self.scores[row], self.tier[row] = score, tier
                self.version[row] = loaded.version
            else:
                odd.append(row)
        if given.probabilities is not None:
            if self._probabilities is None:
                shape = (self._batch.size, given.probabilities.shape[1])
                self._probabilities = np.full(shape, np.nan)
            self._probabilities[np.asarray(rows, dtype=np.intp)] = given.probabilities
        if odd:
            self._blame(odd, Reason.ERROR)
            return Outcome.FAULT
        return Outcome.SUCCESS

    def _blame(self, rows: Sequence[int], reason: Reason) -> None:
        # The first thing that went wrong is the reason; a tier that fails later does not hide it.
        for row in rows:
            self.reason[row] = self.reason[row] or reason

    def _remember(self) -> None:
        rows = [row for row, tier in enumerate(self.tier) if tier is Answerer.MODEL]
        entities, scores = self._batch.entities, np.array(self.scores)
        versions = [self.version[row] for row in rows]
        self._cache.put([entities[row] for row in rows], scores[rows], self._at, versions)
