"""The routes that the gateway obeys, published in one step once their versions are loaded."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from homeostat.adapters.models import (
    AwaitedPredictor,
    Load,
    Predictor,
    SpreadPredictor,
    load_predictor,
)
from homeostat.domain.clock import Clock
from homeostat.domain.errors import ArtifactError, HomeostatError, NotFoundError
from homeostat.domain.record import feature_schema
from homeostat.domain.route import Route
from homeostat.engine.ports import Registry, Routes
from homeostat.entrypoints.gateway.joining import JoiningLane
from homeostat.entrypoints.gateway.lane import AwaitedLane, Lane
from homeostat.entrypoints.gateway.loads import LONGEST_LOAD, Loads, foreign, said
from homeostat.entrypoints.gateway.predicting import FromRows, from_rows_of, joint_answers
from homeostat.entrypoints.gateway.routes import (
    Live,
    LoadedVersion,
    ServedModel,
    endpoint_of,
    shadow_of,
)
from homeostat.entrypoints.gateway.warming import is_quick, warm_up
from homeostat.serving.breaker import BreakerConfig, Transition
from homeostat.serving.circuit import Circuit, Listener

logger = logging.getLogger(__name__)

LATE = 0.5  # part of the deadline after which a call is late: fewer are then let in

BreakerListener = Callable[[str, str, Transition], None]
MakeCircuit = Callable[[str, BreakerConfig, Listener | None], Circuit]
Arriving = Callable[[str, "Mapping[str, LoadedVersion]"], None]


def log_transition(model: str, version: str, change: Transition) -> None:
    """Tell the log that a breaker changed its mode."""
    why = f" ({change.cause})" if change.cause else ""
    logger.info("%s %s: breaker %s -> %s%s", model, version, change.before, change.after, why)


def own_circuit(_: str, config: BreakerConfig, listener: Listener | None) -> Circuit:
    """Return a breaker that is this process's own."""
    return Circuit(config, listener)


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
    failed : mapping of model to Live
        Routes of models that nothing serves because their champion could not be loaded; without
        versions.
    arriving : list of callable
        Are given the versions that are about to serve, before they do: (model, versions).
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
        self.failed: dict[str, Live] = {}
        self.arriving: list[Arriving] = []
        self._loads = Loads(self._loaded, clock.monotonic)
        self._numbers = itertools.count()
        self._newest: dict[str, int] = {}
        self._failing: Mapping[str, str] = {}
        self._replacing = threading.Lock()

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
        if not self._stands(route):
            change = self._begin(served, route, anew=True)
            wait(change.loads.values(), LONGEST_LOAD)
            self._replace(change)

    def follow(self, source: Routes, seconds: float = LONGEST_LOAD) -> dict[str, str]:
        """Publish what others hold, as `publish` does; one model holds up no other.

        Versions that could not be loaded are tried again after a while.

        Parameters
        ----------
        source : Routes
        seconds : float
            How long to wait for versions to load. A route whose versions take longer is published
            by a later call.

        Returns
        -------
        dict of str to str
            A problem for each model that failed.
        """
        problems: dict[str, str] = {}
        changes: list[_Change] = []
        for model, served in self.models.items():
            with _noting(problems, model):
                route = source.current(model)
                if route is not None and not self._stands(route):
                    changes.append(self._begin(served, route))
        wait([load for change in changes for load in change.loads.values()], seconds)
        for change in changes:
            model = change.route.model
            with _noting(problems, model):
                if seconds or not self._pending(change):
                    self._replace(change)
                elif model in self._failing:
                    problems[model] = self._failing[model]
        self._failing = problems
        return problems

    @property
    def loading(self) -> bool:
        """Whether a version is being loaded that somebody still waits for."""
        return self._loads.loading

    def _stands(self, route: Route) -> bool:
        live = self._live.get(route.model)
        return live is not None and live.route == route and not live.problems

    def _begin(self, served: ServedModel, route: Route, *, anew: bool = False) -> _Change:
        number, live = next(self._numbers), self._live.get(route.model)
        kept = live.versions if live else {}
        wanted = tuple(dict.fromkeys((*route.versions, *served.fallback.versions)))
        loads = {
            version: self._loads.begin(route.model, version, anew=anew)
            for version in wanted
            if version not in kept
        }
        return _Change(route, wanted, number, kept, loads)

    def _pending(self, change: _Change) -> bool:
        return any(
            not load.done() and not self._loads.overdue(change.route.model, version)
            for version, load in change.loads.items()
        )

    def _replace(self, change: _Change) -> None:
        route, model = change.route, change.route.model
        with self._replacing:
            if change.number < self._newest.get(model, -1):
                return  # what was asked for later was quicker
            before = self._live.get(model)
            try:
                live = change.made(before.versions if before else {})
            except HomeostatError as error:
                if before is None:
                    self.failed[model] = Live(route, {}, {route.champion: str(error)})
                raise
            self.failed.pop(model, None)
            self._newest[model] = change.number
            if before is not None and (before.route, before.problems) == (route, live.problems):
                return
            for meet in self.arriving:
                meet(model, live.versions)
            self._live[model] = live
            self._loads.forget(model, change.wanted)
            _report(model, before.problems if before else {}, live.problems)

    def _loaded(self, model: str, version: str) -> LoadedVersion:
        served = self.models[model]
        with foreign(f"{model} {version} cannot be loaded"):
            card = self._registry.get(model, version)
            predictor = self._load(self._registry.path(model, version), card.flavour)
            features = frozenset(predictor.features)
        unknown = features - set(served.spec.schema.names)
        if unknown:
            raise ArtifactError(
                f"{model} {version} takes {', '.join(sorted(unknown))}, not in the model's schema"
            )
        elsewhere = isinstance(predictor, AwaitedPredictor)
        monotonic, quick, joint = self._clock.monotonic, False, None
        late, joins = LATE * served.deadline, served.batch and not elsewhere
        with foreign(f"{model} {version} cannot predict"):
            from_rows = from_rows_of(served.spec, predictor)
            if not elsewhere:  # a server that is away now may be there when it is needed
                warm_up(served.spec, predictor)
            if from_rows is not None and not joins:
                quick = is_quick(served.spec, from_rows, monotonic)
        if joins:
            work = partial(joint_answers, served.spec, predictor, from_rows)
            places = (served.workers, served.waiting, late, monotonic)
            joint = JoiningLane(work, *places, served.batch)
        listener = partial(self._tell, model, version)
        if isinstance(predictor, SpreadPredictor):
            predictor.watch(lambda name, to: self._tell(model, endpoint_of(version, name), to))
        return LoadedVersion(
            version,
            predictor,
            self._circuit(f"{model}/{version}", served.breaker, listener),
            Lane(served.workers, served.waiting, late, monotonic),
            Lane(1, served.waiting),
            Circuit(served.breaker, partial(self._tell, model, shadow_of(version))),
            features,
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


@dataclass(frozen=True, slots=True)
class _Change:
    """A route on its way to be published, with what was loaded and what is being loaded."""

    route: Route
    wanted: Sequence[str]
    number: int
    kept: Mapping[str, LoadedVersion]
    loads: Mapping[str, Future[LoadedVersion]]

    def made(self, serving: Mapping[str, LoadedVersion]) -> Live:
        """Return what is to serve, given what serves; raises if the champion is not loaded."""
        versions: dict[str, LoadedVersion] = {}
        problems: dict[str, str] = {}
        for version in self.wanted:
            try:
                found = serving.get(version) or self.kept.get(version)
                versions[version] = found or self._result(version)
            except HomeostatError as error:
                if version == self.route.champion:
                    raise
                problems[version] = str(error)
        return Live(self.route, versions, problems)

    def _result(self, version: str) -> LoadedVersion:
        if not self.loads[version].done():
            name = f"{self.route.model} {version}"
            raise ArtifactError(f"{name} gave no answer in {LONGEST_LOAD:.0f} s; it may yet")
        return self.loads[version].result()


@contextmanager
def _noting(problems: dict[str, str], model: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one model, others go on
        problems[model] = said(error)


def _report(model: str, before: Mapping[str, str], now: Mapping[str, str]) -> None:
    for version, problem in now.items():
        if before.get(version) != problem:
            logger.error(
                "%s: version %s cannot be loaded, the route goes on without it: %s",
                *(model, version, problem),
            )
