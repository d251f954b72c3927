"""Sets the demo up: the example's configuration, a simulated clock, real parts, one server."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

import pyarrow as pa
from starlette.routing import Mount

from homeostat.adapters.models import load_predictor
from homeostat.adapters.models.loading import flavour_of
from homeostat.domain.errors import ArtifactError, NotFoundError
from homeostat.domain.model import ModelSpec, ModelVersion
from homeostat.domain.window import Window
from homeostat.engine.adopt import adopt, matured, split_history, train_first
from homeostat.engine.loop import Engine
from homeostat.engine.ports import Notifier, Ports
from homeostat.entrypoints.bootstrap import Deployment, application, open_deployment
from homeostat.entrypoints.demo.backend import Backend
from homeostat.entrypoints.demo.server import Server, listen
from homeostat.entrypoints.demo.story import HISTORY_DAYS
from homeostat.entrypoints.gateway import Gateway, app
from homeostat.entrypoints.settings.load import load
from homeostat.simulation.clock import SimulatedClock

MODEL = "fraud"
VOLUME = 7_500.0  # payments on an average day
DEADLINE = timedelta(milliseconds=500)


class World(Protocol):
    """Switches of the example's world."""

    new_pattern: float
    cents: bool


class Traffic(Protocol):
    """The example's stream of payments."""

    def batch(self, window: Window, *, world: World) -> tuple[pa.Table, pa.Table]:
        """Return requests and their labels."""
        ...

    def history(self, days: int) -> pa.Table:
        """Return labelled rows from before the start."""
        ...


class TrafficModule(Protocol):
    """``traffic.py`` of the example."""

    def World(self, new_pattern: float = 0.0, cents: bool = False) -> World:  # noqa: FBT001, FBT002, N802
        """Make a world."""
        ...

    def Traffic(self, seed: int, start: datetime, volume: float) -> Traffic:  # noqa: N802
        """Make a stream."""
        ...


class TrainModule(Protocol):
    """``train.py`` of the example."""

    def bad_model(self, rows: pa.Table, spec: ModelSpec, out: Path) -> Mapping[str, float]:
        """Train a model that is no good."""
        ...


def example_folder() -> Path:
    """Return the folder of the fraud example: in an installed package, or in a checkout."""
    package = Path(__file__).parents[2]
    for folder in (package / "examples" / "fraud", package.parents[1] / "examples" / "fraud"):
        if (folder / "homeostat.yaml").is_file():
            return folder
    raise NotFoundError("the fraud example is not installed; reinstall homeostat")


@dataclass(frozen=True)
class Stage:
    """The connected parts of one demo."""

    folder: Path
    clock: SimulatedClock
    deployment: Deployment
    ports: Ports
    engine: Engine
    gateway: Gateway
    backend: Backend
    server: Server
    world: TrafficModule
    traffic: Traffic
    trainer: TrainModule

    @property
    def spec(self) -> ModelSpec:
        """The fraud model."""
        return self.deployment.plans[MODEL].spec

    @property
    def url(self) -> str:
        """Address of the live page."""
        return f"http://127.0.0.1:{self.server.port}"

    def close(self) -> None:
        """Stop the server and give the data folder up."""
        self.backend.recover()
        self.server.stop()
        self.gateway.close()
        self.deployment.close()

    def adopt_first(self) -> ModelVersion:
        """Train the first version on the history before the start, and install it."""
        plan = self.deployment.plans[MODEL]
        history = matured(plan, self.traffic.history(HISTORY_DAYS), self.clock.now())
        rows = split_history(plan, history)
        training = train_first(plan, self.ports.trainers[MODEL], rows, self.clock.now())
        return adopt(plan, self.ports, rows, training, self.clock.now())

    def register_bad_model(self) -> str:
        """Train a bad version the way a careless person would, and register it."""
        out = self.folder / "by-hand"
        out.mkdir(exist_ok=True)
        metrics = self.trainer.bad_model(self.traffic.history(HISTORY_DAYS // 2), self.spec, out)
        flavour = flavour_of(out)
        if not flavour:
            raise ArtifactError("the bad model was not written")
        card = ModelVersion(
            MODEL, "", flavour, "", self.clock.now(), rows=int(metrics.get("rows", 0)),
            run_id="by-hand",
        )  # fmt: skip
        return self.deployment.registry.register(card, out).version


def set_stage(folder: Path, start: datetime, seed: int, port: int, notifier: Notifier) -> Stage:
    """Copy the example into a folder and connect everything on it.

    Raises
    ------
    UserError
        If the port is in use or the folder holds an earlier demo.
    """
    sock = listen(port)
    example = folder / "example"
    shutil.copytree(example_folder(), example, ignore=shutil.ignore_patterns("__pycache__"))
    settings = load(example / "homeostat.yaml")
    settings = settings.model_copy(
        update={"gateway": settings.gateway.model_copy(update={"deadline": DEADLINE})}
    )
    clock = SimulatedClock(start)
    deployment = open_deployment(settings, clock, durable=False)
    backend = Backend(load_predictor)
    table = deployment.route_table(backend.load)
    gateway = deployment.gateway(table)
    notifiers = dict.fromkeys(settings.receivers, notifier)
    ports = deployment.ports(table, notifiers, wait=True)
    routes = [*deployment.pages(), Mount("/gateway", app(gateway))]
    server = Server(application(routes), sock)
    sys.path.insert(0, str(example))
    world = cast(TrafficModule, import_module("traffic"))
    trainer = cast(TrainModule, import_module("train"))
    return Stage(
        folder=folder,
        clock=clock,
        deployment=deployment,
        ports=ports,
        engine=deployment.engine(ports),
        gateway=gateway,
        backend=backend,
        server=server,
        world=world,
        traffic=world.Traffic(seed, start, VOLUME),
        trainer=trainer,
    )
