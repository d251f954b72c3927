"""How models are served, and the versions that are loaded for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import cast

from homeostat.adapters.models import AwaitedPredictor, Predictor, SpreadPredictor
from homeostat.domain.answers import Answers, read_outputs
from homeostat.domain.model import ModelSpec
from homeostat.domain.route import Route
from homeostat.entrypoints.gateway.joining import JoiningLane
from homeostat.entrypoints.gateway.lane import AwaitedLane, Lane
from homeostat.entrypoints.gateway.predicting import (
    AnyBatch,
    Asked,
    FromRows,
    answers,
    read_rows,
    taken,
)
from homeostat.entrypoints.gateway.rows import RowBatch
from homeostat.serving.breaker import BreakerConfig
from homeostat.serving.circuit import Circuit
from homeostat.serving.fallback import Fallback
from homeostat.serving.limit import Limit


def shadow_of(version: str) -> str:
    """Return the name under which a version's shadow scores have a breaker."""
    return f"{version} (shadow)"


def endpoint_of(version: str, name: str) -> str:
    """Return the name under which an endpoint of a version elsewhere has a breaker."""
    return f"{version}@{name}"


@dataclass(frozen=True)
class ServedModel:
    """How one model is served.

    Attributes
    ----------
    spec : ModelSpec
    fallback : Fallback
    breaker : BreakerConfig
        One breaker for each version.
    deadline : float
        Seconds within which a request is answered.
    workers : int
        Threads for each version; 0 predicts in the caller's thread, for models so fast that they
        need no deadline.
    waiting : int
        Requests that may wait for a thread; more are answered by the fallback (``overload``). They
        are fewer while calls take more than half of the deadline.
    batch : int
        Rows up to which requests that wait for a thread are joined; 0: they are not.
    """

    spec: ModelSpec
    fallback: Fallback = field(default_factory=Fallback)
    breaker: BreakerConfig = field(default_factory=BreakerConfig)
    deadline: float = 1.0
    workers: int = 4
    waiting: int = 64
    batch: int = 0

    @cached_property
    def kept(self) -> float:
        """Part of the deadline that is kept for fallback tiers."""
        return self.fallback.kept()

    @cached_property
    def caches(self) -> bool:
        """Whether answers have to be kept for a cached tier."""
        return self.fallback.cache


@dataclass(frozen=True)
class LoadedVersion:
    """A version ready to answer; its breaker and lanes live as long as it is routed to.

    Attributes
    ----------
    version : str
    predictor : Predictor
    breaker, shadow_breaker : Circuit
        For callers and for its shadow scores, which open and close nothing for callers.
    lane, shadow_lane : Lane
        Where it works, for callers and for its shadow scores.
    features : frozenset of str
        Columns that it reads.
    from_rows : callable, optional
        Gives its outputs for rows; without it they become a table first.
    quick : bool
        It only computes, and answers a few rows sooner than another thread would start on them.
    joining : JoiningLane, optional
        Where requests are joined, in place of `lane`.
    awaited : AwaitedLane, optional
        Places for calls of a predictor elsewhere, in place of `lane`.
    to_matrix : callable, optional
        Gives rows as the matrix that such a predictor takes as well.
    """

    version: str
    predictor: Predictor
    breaker: Circuit
    lane: Lane
    shadow_lane: Lane
    shadow_breaker: Circuit
    features: frozenset[str]
    from_rows: FromRows | None = None
    quick: bool = False
    joining: JoiningLane[Asked, Answers] | None = None
    awaited: AwaitedLane | None = None
    to_matrix: FromRows | None = None

    @cached_property
    def endpoints(self) -> Mapping[str, Circuit]:
        """Breakers of the endpoints that it asks, if they are several, as ``version@endpoint``."""
        if not isinstance(self.predictor, SpreadPredictor):
            return {}
        return {
            endpoint_of(self.version, name): circuit
            for name, circuit in self.predictor.circuits.items()
        }

    @property
    def limit(self) -> Limit:
        """How many calls may be under way."""
        return (self.joining or self.awaited or self.lane).limit

    @property
    def places(self) -> tuple[int, int, int]:
        """Places that are held, places that there are, and threads that are lost."""
        return self.limit.under_way, self.limit.places, (self.joining or self.lane).lost

    def start(
        self, spec: ModelSpec, batch: AnyBatch, rows: Sequence[int], seconds: float
    ) -> Future[Answers] | None:
        """Begin to `answer`, and let it take so long at most; None if there is too much to do."""
        if self.joining is not None:
            return self.joining.submit((batch, rows), len(rows))
        if self.awaited is not None:
            predictor = cast("AwaitedPredictor", self.predictor)
            given = read_rows(self.to_matrix, batch, rows)
            read = partial(read_outputs, spec, rows=len(rows))
            data = taken(batch, rows) if given is None else given
            return self.awaited.begin(partial(predictor.begin, data, seconds, read))
        return self.lane.submit(partial(self.answer, spec, batch, rows))

    def answer(self, spec: ModelSpec, batch: AnyBatch, rows: Sequence[int]) -> Answers:
        """Predict and hold the model to its promise: one number a row, or one a row and class.

        Raises
        ------
        ArtifactError
            If the model gives anything else.
        """
        if self.from_rows is not None and isinstance(batch, RowBatch):
            return read_outputs(spec, self.from_rows(batch.some(rows)), len(rows))
        return answers(spec, self.predictor, taken(batch, rows))


@dataclass(frozen=True)
class Live:
    """A model's route with its loaded versions; replaced as a whole.

    Attributes
    ----------
    route : Route
        As published; it may name versions that are not loaded.
    versions : mapping of version to LoadedVersion
        The champion, and whatever else could be loaded.
    problems : mapping of version to reason
        What could not be loaded.
    """

    route: Route
    versions: Mapping[str, LoadedVersion]
    problems: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def uses(self) -> dict[str, frozenset[str]]:
        """The columns that each loaded version reads."""
        return {version: loaded.features for version, loaded in self.versions.items()}

    @property
    def breakers(self) -> dict[str, Circuit]:
        """Breakers by version, of shadow scores by `shadow_of` it, of endpoints by their names."""
        shadows = [name for name in self.route.shadows if name in self.versions]
        return {
            **{name: loaded.breaker for name, loaded in self.versions.items()},
            **{shadow_of(name): self.versions[name].shadow_breaker for name in shadows},
            **{k: v for loaded in self.versions.values() for k, v in loaded.endpoints.items()},
        }
