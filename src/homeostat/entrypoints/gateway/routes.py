"""The routes that the gateway obeys and the versions that it has loaded for them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import cast

import pyarrow as pa

from homeostat.adapters.models import (
    AwaitedPredictor,
    Load,
    Predictor,
    load_predictor,
)
from homeostat.domain.answers import Answers, read_outputs
from homeostat.domain.clock import Clock
from homeostat.domain.errors import ArtifactError, HomeostatError, NotFoundError
from homeostat.domain.model import ModelSpec
from homeostat.domain.record import feature_schema
from homeostat.domain.route import Route
from homeostat.engine.ports import Registry, Routes
from homeostat.entrypoints.gateway.joining import JoiningLane
from homeostat.entrypoints.gateway.lane import AwaitedLane, Lane
from homeostat.entrypoints.gateway.predicting import (
    AnyBatch,
    Asked,
    FromRows,
    answers,
    from_rows_of,
    joint_answers,
    read_rows,
    taken,
)
from homeostat.entrypoints.gateway.rows import RowBatch
from homeostat.serving.breaker import BreakerConfig, Transition
from homeostat.serving.circuit import Circuit, Listener
from homeostat.serving.fallback import Fallback
from homeostat.serving.limit import Limit

logger = logging.getLogger(__name__)

LONGEST_WARM_UP = 30.0
QUICK_SECONDS = 0.001  # longer than that, a model must not keep the event loop
QUICK_TRIES = 5
LATE = 0.5  # part of the deadline after which a call is late: fewer are then let in

BreakerListener = Callable[[str, str, Transition], None]
MakeCircuit = Callable[[str, BreakerConfig, Listener | None], Circuit]


def log_transition(model: str, version: str, change: Transition) -> None:
    """Tell the log that a breaker changed its mode."""
    why = f" ({change.cause})" if change.cause else ""
    logger.info("%s %s: breaker %s -> %s%s", model, version, change.before, change.after, why)


def shadow_of(version: str) -> str:
    """Return the name under which a version's shadow scores have a breaker."""
    return f"{version} (shadow)"


def own_circuit(_: str, config: BreakerConfig, listener: Listener | None) -> Circuit:
    """Return a breaker that is this process's own."""
    return Circuit(config, listener)


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

    @property
    def limit(self) -> Limit:
        """How many calls may be under way."""
        return (self.joining or self.awaited or self.lane).limit

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
        """Breakers by version, those of shadow scores by `shadow_of` it."""
        shadows = [name for name in self.route.shadows if name in self.versions]
        return {
            **{name: loaded.breaker for name, loaded in self.versions.items()},
            **{shadow_of(name): self.versions[name].shadow_breaker for name in shadows},
        }


class RouteTable:
    """Implements the port ``Routes`` inside the gateway's process.

    Parameters
    ----------
    registry : Registry
        Where versions come from; it checks their hashes.
    models : sequence of ServedModel
    clock : Clock
    load : callable
        Turns an artifact into a predictor.
    listener : callable, optional
        Is told of each breaker's transitions: (model, version, transition).
    circuit : callable
        Makes a breaker from the name ``model/version``, its configuration and its listener.

    Attributes
    ----------
    listeners : list of callable
        Are told of transitions; more may be added at any time.
    """

    def __init__(
        self,
        registry: Registry,
        models: Sequence[ServedModel],
        clock: Clock,
        load: Load = load_predictor,
        listener: BreakerListener | None = None,
        circuit: MakeCircuit = own_circuit,
    ) -> None:
        self._registry, self._load = registry, load
        self.listeners: list[BreakerListener] = [] if listener is None else [listener]
        self._clock, self._circuit = clock, circuit
        self.models = {served.spec.name: served for served in models}
        self._live: dict[str, Live] = {}
        self._publishing = threading.Lock()

    def live(self, model: str) -> Live | None:
        """Return what serves the model at this moment."""
        return self._live.get(model)

    def current(self, model: str) -> Route | None:
        """Read back what is published."""
        live = self._live.get(model)
        return live.route if live else None

    @property
    def problems(self) -> dict[str, dict[str, str]]:
        """Why versions could not be loaded: model -> {version: reason}; empty if all is well."""
        return {
            model: dict(live.problems)
            for model in self.models
            if (live := self._live.get(model)) is not None and live.problems
        }

    def publish(self, route: Route) -> None:
        """Replace the model's route in one step, after its versions are loaded and warm.

        Only the champion has to load. Another version that does not is left out: the champion
        answers the challenger's share, a shadow is skipped, a fallback tier is passed over. It
        stands in `problems` and is tried again whenever a route of the model is published, be it
        the same one.

        Raises
        ------
        NotFoundError
            If the model or the champion is unknown.
        ArtifactError
            If the champion cannot be loaded; what served before goes on serving.
        """
        served = self.models.get(route.model)
        if served is None:
            raise NotFoundError(f"the gateway serves no model named {route.model!r}")
        with self._publishing:
            before = self._live.get(route.model)
            if before is not None and before.route == route and not before.problems:
                return
            live = self._prepared(served, route, before.versions if before else {})
            self._live[route.model] = live
            _report(route.model, before.problems if before else {}, live.problems)

    def follow(self, source: Routes) -> dict[str, str]:
        """Publish what others hold; return a problem for each model that failed."""
        problems = {}
        for model in self.models:
            try:
                route = source.current(model)
                if route is not None:
                    self.publish(route)
            except HomeostatError as error:
                problems[model] = str(error)
        return problems

    def _prepared(
        self, served: ServedModel, route: Route, kept: Mapping[str, LoadedVersion]
    ) -> Live:
        versions: dict[str, LoadedVersion] = {}
        problems: dict[str, str] = {}
        for version in dict.fromkeys((*route.versions, *served.fallback.versions)):
            try:
                versions[version] = kept.get(version) or self._loaded(served, version)
            except (HomeostatError, OSError) as error:
                if version == route.champion:
                    raise
                problems[version] = str(error)
        return Live(route, versions, problems)

    def _loaded(self, served: ServedModel, version: str) -> LoadedVersion:
        model = served.spec.name
        card = self._registry.get(model, version)
        predictor = self._load(self._registry.path(model, version), card.flavour)
        unknown = set(predictor.features) - set(served.spec.schema.names)
        if unknown:
            raise ArtifactError(
                f"{model} {version} takes {', '.join(sorted(unknown))}, not in the model's schema"
            )
        elsewhere = isinstance(predictor, AwaitedPredictor)
        if not elsewhere:  # a server that is away now may be there when it is needed
            _warm_up(served.spec, version, predictor)
        listener = partial(self._tell, model, version)
        from_rows = from_rows_of(served.spec, predictor)
        late, monotonic = LATE * served.deadline, self._clock.monotonic
        joint = None
        if served.batch and not elsewhere:
            work = partial(joint_answers, served.spec, predictor, from_rows)
            places = (served.workers, served.waiting, late, monotonic)
            joint = JoiningLane(work, *places, served.batch)
        quick = from_rows is not None and joint is None and self._is_quick(served.spec, from_rows)
        return LoadedVersion(
            version,
            predictor,
            self._circuit(f"{model}/{version}", served.breaker, listener),
            Lane(served.workers, served.waiting, late, monotonic),
            Lane(1, served.waiting),
            Circuit(served.breaker, partial(self._tell, model, shadow_of(version))),
            frozenset(predictor.features),
            from_rows,
            quick,
            joint,
            *self._elsewhere(served, predictor),
        )

    def _elsewhere(
        self, served: ServedModel, predictor: Predictor
    ) -> tuple[AwaitedLane | None, FromRows | None]:
        if not isinstance(predictor, AwaitedPredictor):
            return None, None
        lane = AwaitedLane(predictor.most, LATE * served.deadline, self._clock.monotonic)
        encoding = predictor.matrix_encoding
        names = feature_schema(served.spec).names
        return lane, encoding.reader(names) if encoding else None

    def _tell(self, model: str, version: str, change: Transition) -> None:
        for listener in self.listeners:
            listener(model, version, change)

    def _is_quick(self, spec: ModelSpec, from_rows: FromRows) -> bool:
        # On the way that a small request takes: a table of one row costs more than most models.
        row, times = (None,) * len(feature_schema(spec)), []
        for _ in range(QUICK_TRIES):
            started = self._clock.monotonic()
            from_rows([row])
            times.append(self._clock.monotonic() - started)
        return min(times) < QUICK_SECONDS


def _report(model: str, before: Mapping[str, str], now: Mapping[str, str]) -> None:
    for version, problem in now.items():
        if before.get(version) != problem:
            logger.error(
                "%s: version %s cannot be loaded, the route goes on without it: %s",
                *(model, version, problem),
            )


def _warm_up(spec: ModelSpec, version: str, predictor: Predictor) -> None:
    future = Lane(1, 0).submit(partial(answers, spec, predictor, _empty_row(spec)))
    assert future is not None  # an empty lane has a place
    wait([future], LONGEST_WARM_UP)
    if not future.done():
        raise ArtifactError(f"{spec.name} {version} gave no answer in {LONGEST_WARM_UP:.0f} s")
    problem = future.exception()
    if problem is not None:
        raise ArtifactError(f"{spec.name} {version} cannot predict: {problem!r}") from problem


def _empty_row(spec: ModelSpec) -> pa.Table:
    fields = feature_schema(spec)
    return pa.table({item.name: pa.nulls(1, item.type) for item in fields}, schema=fields)
