"""The only wiring: settings in, parts connected to each other out."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from homeostat.adapters.breakers import RedisBreakers
from homeostat.adapters.models import Load, RegistryScorer
from homeostat.adapters.notifiers.http import Poster
from homeostat.adapters.post import FilePost
from homeostat.adapters.predlog.log import FilePredictionLog
from homeostat.adapters.predlog.place import Place
from homeostat.adapters.predlog.spill import Spill
from homeostat.adapters.records.database import DatabaseRecords
from homeostat.adapters.remote_log import Calls, RemoteLog
from homeostat.adapters.routes import RecordsRoutes
from homeostat.adapters.telemetry import calling
from homeostat.domain.clock import Clock
from homeostat.domain.errors import HomeostatError, StorageError
from homeostat.engine.lease import FencedRecords, Leadership
from homeostat.engine.loop import Engine
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import Notifier, Ports, Records, Registry, Routes, Trainer
from homeostat.entrypoints.artifacts import loader
from homeostat.entrypoints.gateway import Gateway, LogWriter, RouteTable, ServedModel
from homeostat.entrypoints.gateway.table import MakeCircuit, log_transition, own_circuit
from homeostat.entrypoints.gateway.writer import Appends
from homeostat.entrypoints.receivers import receivers
from homeostat.entrypoints.registries import open_registry
from homeostat.entrypoints.release import Release
from homeostat.entrypoints.settings.deployment import Settings, secret
from homeostat.entrypoints.settings.plan import breaker_config, model_fallback, model_plan
from homeostat.entrypoints.settings.receivers import manners_of
from homeostat.entrypoints.trainers import make_trainer
from homeostat.entrypoints.worker import Pulse

if TYPE_CHECKING:
    from homeostat.adapters.remote_write import RemoteWrite
    from homeostat.entrypoints.monitoring.control import ControlFigures
    from homeostat.entrypoints.monitoring.pushed import Pusher


@dataclass(frozen=True)
class Deployment:
    """Everything a process of this deployment may need, opened on its data folder."""

    settings: Settings
    clock: Clock
    records: DatabaseRecords
    log: FilePredictionLog
    registry: Registry
    scorer: RegistryScorer
    plans: Mapping[str, ModelPlan]

    def close(self) -> None:
        """Give the log's segment and the database's connections up."""
        self.log.close()
        self.records.close()

    def trainers(self, *, wait: bool = False) -> dict[str, Trainer]:
        """Return the trainer of every model that has one."""
        names = [model.name for model in self.settings.models]
        made = (make_trainer(self.settings, n, self.clock, os.environ, wait=wait) for n in names)
        return {n: t for n, t in zip(names, made, strict=True) if t is not None}

    def ports(
        self, routes: Routes | None = None, notifiers: Mapping[str, Notifier] | None = None,
        *, wait: bool = False, leadership: Leadership | None = None,
    ) -> Ports:  # fmt: skip
        """Connect the engine's ports; by default routes go through the records.

        With a leadership, nothing is recorded or published once another control plane leads.
        """
        records: Records = self.records
        if leadership is not None:
            records = FencedRecords(records, leadership)
        return Ports(
            records=records,
            log=self.log,
            registry=self.registry,
            scorer=self.scorer,
            routes=routes or RecordsRoutes(records),
            notifiers=receivers(self.settings, self.clock, os.environ, records=records)
            if notifiers is None
            else notifiers,
            trainers=self.trainers(wait=wait),
            manners=manners_of(self.settings.receivers),
            stopwatch=time.perf_counter,
        )

    def leadership(self) -> Leadership:
        """Return this process's part in the election of the control plane that ticks."""
        holder = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        post = FilePost(self.settings.data_folder / ".engine.lock")
        return Leadership(self.records, holder, self.settings.server.lease, post)

    def engine(self, ports: Ports) -> Engine:
        """Return the engine over all models of the deployment; raises ConfigError."""
        from homeostat.entrypoints.expected import with_expectations  # noqa: PLC0415 - reads files

        plans = {name: with_expectations(self.settings, p) for name, p in self.plans.items()}
        return Engine(ports, plans)

    def label_files(self, stopping: Callable[[], bool]) -> Callable[[], tuple[str, ...]] | None:
        """Return what takes the label files that are dropped into folders; None if none are."""
        from homeostat.entrypoints.imports.bring import LogStore  # noqa: PLC0415 - takes long
        from homeostat.entrypoints.imports.folder import Drop, LabelFolders  # noqa: PLC0415

        drops = tuple(
            Drop(model.spec(), model.history, folder)
            for model in self.settings.models
            if (folder := self.settings.label_folder(model.name)) is not None
        )
        store = LogStore(self.log, self.clock)
        return LabelFolders(drops, store, self.clock, stopping).look if drops else None

    def route_table(self, load: Load | None = None) -> RouteTable:
        """Return the route table of a gateway in this process."""
        gateway = self.settings.gateway
        served = [
            ServedModel(
                spec=(spec := model.spec()),
                fallback=model_fallback(model, spec),
                breaker=breaker_config(self.settings),
                deadline=gateway.deadline.total_seconds(),
                batch=model.serving.batch or 0,
            )
            for model in self.settings.models
        ]
        circuit: MakeCircuit = own_circuit
        if gateway.redis_env is not None:
            url = secret(os.environ, gateway.redis_env, "gateway.redis_env", self.settings.file)
            circuit = RedisBreakers(url).circuit
        load = load or loader(self.settings, os.environ)
        return RouteTable(self.registry, served, self.clock, load, log_transition, circuit)

    def gateway(self, routes: RouteTable, instance: str = "", calls: Calls = calling) -> Gateway:
        """Return a gateway that logs into this deployment's prediction log, or one elsewhere.

        Calls to a log elsewhere are traced by `calls`.
        """
        configured = self.settings.gateway
        log: Appends = self.log
        if configured.log:
            token, variable = "", configured.log_token_env
            if variable is not None:
                token = secret(os.environ, variable, "gateway.log_token_env", self.settings.file)
            log = RemoteLog(configured.log, token, calls=calls)
        room = int(configured.spill.max_mb * 2**20)
        spill = Spill(self.settings.spill_folder, room)
        specs, protector = self.settings.specs, self.log.protector
        release = Release(self.log, self.clock)
        writer = LogWriter(log, spill=spill, specs=specs, protector=protector, release=release)
        return Gateway(routes, writer, self.clock, instance)

    def pages(
        self, pulse: Pulse | None = None, writer: RemoteWrite | None = None
    ) -> list[BaseRoute]:
        """Return the routes of the control plane: API, UI and figures to scrape.

        Those of the ticks come from the pulse of the worker beside it, those of remote write from
        the writer.
        """
        from homeostat.entrypoints.http.api import api  # noqa: PLC0415 - a gateway needs neither
        from homeostat.entrypoints.http.auth import Tokens  # noqa: PLC0415
        from homeostat.entrypoints.http.bandits import bandits_api  # noqa: PLC0415
        from homeostat.entrypoints.http.data import data_api  # noqa: PLC0415
        from homeostat.entrypoints.http.experiments import Tried, experiments_api  # noqa: PLC0415
        from homeostat.entrypoints.http.health import health  # noqa: PLC0415
        from homeostat.entrypoints.http.intake import Intake  # noqa: PLC0415
        from homeostat.entrypoints.http.openapi import described  # noqa: PLC0415
        from homeostat.entrypoints.http.paging import paging_api  # noqa: PLC0415
        from homeostat.entrypoints.http.reports import reports_api  # noqa: PLC0415
        from homeostat.entrypoints.http.scrape import scrape  # noqa: PLC0415
        from homeostat.entrypoints.http.steering import steering_api  # noqa: PLC0415
        from homeostat.entrypoints.http.ui import ui  # noqa: PLC0415
        from homeostat.entrypoints.inbound import inbound  # noqa: PLC0415
        from homeostat.entrypoints.reports import Reports  # noqa: PLC0415

        plans = self.plans
        specs = {name: plan.spec for name, plan in plans.items()}
        largest = int(self.settings.server.max_request_mb * 2**20)
        intake = Intake(self.clock, 8 * largest, self.settings.server.rows_per_second)
        tokens = Tokens(self.records, self.clock)
        runbooks = self.settings.folder / self.settings.runbooks
        trials = self.settings.experiment_plans
        tried = Tried(self.records, self.registry, self.log, trials, specs, self.clock)
        own = runbooks if runbooks.is_dir() else None
        reports = Reports(self.records, self.log, self.registry, self.plans, self.clock)
        return [
            *health(self.records),
            *described(list(specs), tokens),
            scrape(self.figures(pulse, writer), self.clock, tokens),
            *data_api(self.log, list(specs.values()), self.clock, tokens, largest),
            *steering_api(self.records, self.log, self.registry, self.plans, self.clock, tokens),
            *experiments_api(tried, tokens),
            *bandits_api(self.records, self.log, self.plans, self.clock, tokens),
            *paging_api(self.records, self.clock, inbound(self.settings, os.environ)),
            *reports_api(reports, tokens),
            *api(self.records, self.log, list(specs.values()), self.clock, tokens, largest, intake),
            *ui(
                self.records,
                self.log,
                self.registry,
                specs,
                self.clock,
                own,
                reports,
                plans,
                self.settings.data_folder / "runs",
                trials,
            ),
        ]

    def remote_write(self) -> RemoteWrite | None:
        """Return what sends the control plane's figures elsewhere; None if nothing is to be sent.

        Raises
        ------
        ConfigError
            If the environment does not hold the token.
        """
        from homeostat.adapters.remote_write import AGAIN, RemoteWrite  # noqa: PLC0415

        asked = self.settings.server.remote_write
        if asked is None:
            return None
        token, name = "", "server.remote_write.token_env"
        if asked.token_env is not None:
            token = secret(os.environ, asked.token_env, name, self.settings.file)
        hidden = (token,) if token else ()
        poster = Poster("remote write", asked.url, self.clock, asked.timeout, hidden, AGAIN)
        return RemoteWrite(poster, self.clock, token)

    def pusher(self, writer: RemoteWrite, pulse: Pulse, port: int) -> Pusher:
        """Return what takes figures for `writer` as often as is configured.

        Parameters
        ----------
        writer : RemoteWrite
        pulse : Pulse
            Of the worker of this process.
        port : int
            On which this process listens: with the machine's name it tells control planes apart.
        """
        from homeostat.entrypoints.monitoring.export import CONTROL_JOB  # noqa: PLC0415
        from homeostat.entrypoints.monitoring.pushed import Pusher  # noqa: PLC0415

        asked = self.settings.server.remote_write
        assert asked is not None
        place = {"job": CONTROL_JOB, "instance": f"{socket.gethostname()}:{port}"}
        figures = self.figures(pulse, writer)
        return Pusher(figures, writer, self.clock, asked.every.total_seconds(), place)

    def figures(
        self, pulse: Pulse | None = None, writer: RemoteWrite | None = None
    ) -> ControlFigures:
        """Return what the control plane exports to monitoring tools."""
        from homeostat.entrypoints.monitoring.control import ControlFigures  # noqa: PLC0415

        return ControlFigures(
            self.records,
            self.registry,
            self.plans,
            self.clock,
            pulse or Pulse(),
            self.settings.server.tick,
            self.records.undelivered,
            writer,
        )


def application(routes: list[BaseRoute]) -> Starlette:
    """Return an ASGI application that compresses what is worth it: long answers to GET."""
    return Starlette(routes=routes, middleware=[Middleware(_Compression)])


class _Compression:
    """Receipts are short and many: they go without the work of `GZipMiddleware`."""

    def __init__(self, app: ASGIApp) -> None:
        self._plain, self._compressed = app, GZipMiddleware(app, minimum_size=1024)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gets = scope["type"] == "http" and scope["method"] == "GET"
        await (self._compressed if gets else self._plain)(scope, receive, send)


def open_deployment(settings: Settings, clock: Clock, *, durable: bool = True) -> Deployment:
    """Open the data folder of a deployment, and make it if it is new.

    Parameters
    ----------
    settings : Settings
    clock : Clock
    durable : bool
        False only for a simulation, whose data may be lost with the machine.

    Raises
    ------
    StorageError
        If the folder or the database cannot be opened.
    ConfigError
        If the configuration names an environment variable that is not set.
    """
    records = open_records(settings, clock, durable=durable)
    try:
        registry = open_registry(settings, clock)
        return Deployment(
            settings=settings,
            clock=clock,
            records=records,
            log=open_log(settings, records, durable=durable),
            registry=registry,
            scorer=RegistryScorer(registry, loader(settings, os.environ)),
            plans={model.name: model_plan(settings, model.name) for model in settings.models},
        )
    except HomeostatError:
        records.close()
        raise


def open_records(settings: Settings, clock: Clock, *, durable: bool = True) -> DatabaseRecords:
    """Open the records alone, and make the data folder if it is new; raises StorageError."""
    make_folder(settings.data_folder)
    return DatabaseRecords(settings.records_url(os.environ), clock, "FULL" if durable else "OFF")


def open_log(
    settings: Settings, records: DatabaseRecords, *, durable: bool = True
) -> FilePredictionLog:
    """Open the prediction log beside its records; raises StorageError and ConfigError."""
    return FilePredictionLog(
        settings.log_folder,
        records,
        fsync=durable,
        retention={
            model.name: model.retention.retention(model.labels.maturity, model.retraining)
            for model in settings.models
        },
        protector=settings.protector(os.environ),
        place=log_place(settings, os.environ),
    )


def log_place(
    settings: Settings, environ: Mapping[str, str]
) -> Callable[[Path, int], Place] | None:
    """Return what makes the place of the log's Parquet files, None: their own folder.

    Raises
    ------
    StorageError
        If nothing here reaches such a store.
    """
    storage = settings.storage
    if not storage.parquet:
        return None
    from homeostat.adapters.predlog.stores import (  # noqa: PLC0415 - takes time to import
        Storage,
        object_store,
    )

    return object_store(
        Storage(
            storage.parquet,
            storage.endpoint,
            storage.region,
            storage.timeout.total_seconds(),
            storage.attempts,
            int(storage.key_cache_gb * 2**30),
        ),
        environ,
    )


def make_folder(path: Path) -> None:
    """Make a folder and those above it; raises StorageError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or "unknown reason"
        raise StorageError(f"cannot make the folder {path}: {reason}") from error
