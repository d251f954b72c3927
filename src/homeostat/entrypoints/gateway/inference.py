"""The Open Inference Protocol without a transport: what a server says of itself, and infers."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version as installed

from homeostat.domain.model import ColumnKind, ModelSpec, Task
from homeostat.domain.record import PROBABILITIES
from homeostat.entrypoints.gateway.answered import Answered
from homeostat.entrypoints.gateway.batch import columns_to_table
from homeostat.entrypoints.gateway.desk import Desk, Rows, check_count
from homeostat.entrypoints.gateway.forms import RefusedError
from homeostat.entrypoints.gateway.routes import Live
from homeostat.entrypoints.gateway.rows import MOST
from homeostat.entrypoints.gateway.tensors import Tensor, columns, rows_of

NAME = "homeostat"
EXTENSIONS = ("binary_tensor_data", "model_repository")
READY, UNAVAILABLE = "READY", "UNAVAILABLE"
DATATYPE = {
    ColumnKind.NUMERIC: "FP64",
    ColumnKind.CATEGORICAL: "BYTES",
    ColumnKind.BOOLEAN: "BOOL",
}


@dataclass(frozen=True, slots=True)
class Declared:
    """Name, datatype and shape of a tensor; -1 stands for the number of rows."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Output:
    """A tensor of answers, its values flat; NaN where there is no number."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Sequence[object]


@dataclass(frozen=True, slots=True)
class Metadata:
    """What is known of a model."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[Declared, ...]
    outputs: tuple[Declared, ...]


@dataclass(frozen=True, slots=True)
class Indexed:
    """A version in the repository's index."""

    name: str
    version: str
    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Inferred:
    """Answers to a request; ``version`` is empty if several answered."""

    model: str
    version: str
    outputs: tuple[Output, ...]


def server_version() -> str:
    """Return the version of this software."""
    return installed("homeostat")


def declared_outputs(spec: ModelSpec) -> tuple[Declared, ...]:
    """Return what a model answers with, in order."""
    rows = (-1,)
    numbers = [Declared("score", "FP64", rows), Declared("prediction", "FP64", rows)]
    if spec.task is Task.MULTICLASS and spec.classes:
        numbers.append(Declared(PROBABILITIES, "FP64", (-1, len(spec.classes))))
    words = ("prediction_id", "version", "tier", "reason")
    return (*numbers, *(Declared(name, "BYTES", rows) for name in words))


def outputs(answered: Answered, wanted: Sequence[str]) -> tuple[Output, ...]:
    """Return answers as tensors.

    Parameters
    ----------
    answered : Answered
    wanted : sequence of str
        Names of outputs in the order in which they are wanted; empty: all.
    """
    size = answered.num_rows
    values: dict[str, Sequence[object]] = {
        "score": answered.scores,
        "prediction": answered.predictions,
        "prediction_id": answered.batch.ids,
        "version": answered.version,
        "tier": answered.tier,
        "reason": answered.reason,
    }
    declared = {output.name: output for output in declared_outputs(answered.spec)}
    if PROBABILITIES in declared:
        missing = [float("nan")] * (size * len(answered.spec.classes))
        given = answered.probabilities
        values[PROBABILITIES] = missing if given is None else given.ravel().tolist()
    return tuple(
        Output(name, declared[name].datatype, (size, *declared[name].shape[1:]), values[name])
        for name in wanted or declared
    )


class Inference:
    """Answers what the protocol asks, for any transport.

    Parameters
    ----------
    desk : Desk
    """

    def __init__(self, desk: Desk) -> None:
        self._desk, self._routes = desk, desk.gateway.routes

    def ready(self) -> bool:
        """Whether every model has a champion, and the gateway is not about to stop."""
        gateway = self._desk.gateway
        return all(gateway.ready().values()) and not gateway.draining

    def model_ready(self, model: str, version: str = "") -> bool:
        """Whether a model, or one version of it, can answer; raises RefusedError (404).

        None can once the gateway is about to stop.
        """
        live = self._live(model)
        if version:
            self._known(model, version)
        if live is None or self._desk.gateway.draining:
            return False
        return version in live.versions if version else bool(live.route.champion)

    def metadata(self, model: str, version: str = "") -> Metadata:
        """Describe a model; raises RefusedError (404)."""
        live = self._live(model)
        if version:
            self._known(model, version)
        spec = self._routes.models[model].spec
        inputs = [Declared(c.name, DATATYPE[c.kind], (-1,)) for c in spec.schema.columns]
        versions = (version,) if version else tuple(live.versions) if live is not None else ()
        return Metadata(model, versions, NAME, tuple(inputs), declared_outputs(spec))

    async def infer(
        self,
        model: str,
        version: str,
        tensors: Sequence[Tensor],
        parameters: Mapping[str, object],
        wanted: Sequence[str],
        seconds: float = math.inf,
    ) -> Inferred:
        """Answer the rows in tensors for a model that was admitted, within so many seconds.

        Raises
        ------
        RefusedError
            400 if they cannot be taken, 404 or 409 of a version that does not answer.
        """
        if version:
            self._must_answer(model, version)
        spec = self._routes.models[model].spec
        known = [output.name for output in declared_outputs(spec)]
        for name in wanted:
            if name not in known:
                problem = f"there is no output {name!r:.80}; there are {', '.join(known)}"
                raise RefusedError(400, problem)
        found = columns(spec, tensors, parameters)
        size = len(next(iter(found.values())))
        check_count(size)
        if size <= MOST:
            rows: Rows = rows_of(found)
        else:
            rows = await self._desk.write(size, partial(columns_to_table, spec, found))
        answered = await self._desk.answer(model, rows, seconds=seconds)
        same = answered.version[0] if len(set(answered.version)) == 1 else ""
        return Inferred(model, same, outputs(answered, wanted))

    def index(self, *, ready: bool = False) -> list[Indexed]:
        """List the versions that routes name; with `ready` only those that can answer."""
        found: list[Indexed] = []
        for model in self._routes.models:
            live = self._routes.live(model)
            if live is None or not live.route.versions:
                found.append(Indexed(model, "", UNAVAILABLE, "no route names a version"))
                continue
            found += [Indexed(model, version, READY) for version in live.versions]
            found += [
                Indexed(model, version, UNAVAILABLE, "could not be loaded; see the gateway's log")
                for version in live.problems
            ]
        return [item for item in found if item.state == READY or not ready]

    async def load(self, model: str) -> None:
        """Load what the model's route names and is not loaded yet.

        Raises
        ------
        RefusedError
            404 of an unknown model, 409 if no route names a version, or one cannot be loaded.
        """
        live = self._live(model)
        if live is None or not live.route.versions:
            raise RefusedError(409, f"no route names a version of {model}; roll one out first")
        await asyncio.to_thread(self._routes.publish, live.route)
        if missing := self._routes.problems.get(model):
            versions = ", ".join(sorted(missing))
            raise RefusedError(409, f"{model} {versions} cannot be loaded; see the gateway's log")

    def unload(self, model: str) -> None:
        """Refuse to unload what a route needs; what none needs is unloaded anyway.

        Raises
        ------
        RefusedError
            404 of an unknown model, 409 if versions are loaded.
        """
        live = self._live(model)
        if live is not None and live.versions:
            needed = ", ".join(live.versions)
            problem = f"the route of {model} needs {needed}; change the rollout instead"
            raise RefusedError(409, problem)

    def _live(self, model: str) -> Live | None:
        if model not in self._routes.models:
            raise RefusedError(404, f"no model named {model!r} is served here")
        return self._routes.live(model)

    def _known(self, model: str, version: str) -> None:
        live = self._routes.live(model)
        if live is None or version not in {*live.versions, *live.problems}:
            raise RefusedError(404, f"no route of {model} names a version {version!r}")

    def _must_answer(self, model: str, version: str) -> None:
        self._known(model, version)
        live = self._routes.live(model)
        assert live is not None  # else it would not be known
        if live.route.shares.get(version, 0.0) < 1.0:
            problem = f"the route of {model} chooses who answers; ask without a version"
            raise RefusedError(409, problem)
