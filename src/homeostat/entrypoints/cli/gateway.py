"""``homeostat gateway``: the data plane, in one process or in several."""

from __future__ import annotations

import logging
import os
import socket
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource
from starlette.types import ASGIApp

from homeostat.adapters.cards import Cards
from homeostat.adapters.clock import SystemClock
from homeostat.adapters.routes import RecordsRoutes
from homeostat.adapters.telemetry import Telemetry, calling
from homeostat.domain.clock import Clock
from homeostat.domain.errors import StorageError, UserError
from homeostat.domain.route import Route
from homeostat.entrypoints.bootstrap import Deployment, open_deployment, open_records
from homeostat.entrypoints.cli.options import chosen, config_option, listen_options
from homeostat.entrypoints.cli.serve import BACKLOG, address, listen, log_to_stderr
from homeostat.entrypoints.gateway import Gateway, app
from homeostat.entrypoints.gateway.app import Beside, MayOverride, anyone
from homeostat.entrypoints.gateway.door import Door, Keys
from homeostat.entrypoints.gateway.figures import Figures
from homeostat.entrypoints.gateway.mesh import Mesh, Split, render
from homeostat.entrypoints.gateway.obey import Obedience
from homeostat.entrypoints.gateway.server import Certificate, Server, Stop
from homeostat.entrypoints.gateway.traced import Traced, telling, tracing
from homeostat.entrypoints.gateway.workers import (
    SETTINGS,
    Place,
    Supervisor,
    reserved,
    sockets,
    worker_command,
)
from homeostat.entrypoints.http.auth import Tokens, check_bind, is_loopback
from homeostat.entrypoints.settings import Settings, load
from homeostat.entrypoints.settings.plan import breaker_config

if TYPE_CHECKING:
    from homeostat.entrypoints.gateway.rpc import Manner

logger = logging.getLogger(__name__)


@click.group(invoke_without_command=True)
@config_option
@listen_options
@click.option("--workers", type=click.IntRange(1), help="Processes; default: as configured.")
@click.option("--place", "place_text", hidden=True, help="What a worker is given.")
@click.option("--grpc-port", type=int, hidden=True, help="Port that workers share for gRPC.")
@click.pass_context
def gateway(
    context: click.Context,
    *,
    config_path: Path,
    host: str | None,
    port: int | None,
    workers: int | None,
    place_text: str | None,
    grpc_port: int | None,
) -> int:
    """Run the data plane in front of the models.

    It goes on answering while the control plane is down. On SIGTERM it says that it is not ready,
    answers on for gateway.notice, takes no more connections, and lets open requests finish and what
    was answered reach the log; Ctrl-C leaves the notice out. On SIGHUP it reads its certificate
    again.

    Example: homeostat gateway -c homeostat.yaml --workers 4
    """
    if context.invoked_subcommand is not None:
        return 0
    log_to_stderr()
    place = None if place_text is None else Place.read(place_text)
    settings = load(config_path, None if place is None else place.settings)
    where = (
        settings.gateway.host if host is None else host,
        settings.gateway.port if port is None else port,
    )
    if place is not None:
        attach = place.tie().attach
        _run(settings, where[0], place.listening(), attach, place, grpc_port)
        return 0
    count = settings.gateway.workers if workers is None else workers
    if count > 1:
        return _supervise(settings, config_path, where, count)
    _check(settings, where[0])
    with listen(*where, "gateway.port") as bound:
        tell = partial(_tell, settings, where[0], bound)
        _run(settings, where[0], bound, lambda server: server.beginnings.append(tell))
    return 0


@gateway.command("config")
@click.argument("mesh", type=click.Choice([mesh.value for mesh in Mesh]))
@config_option
@click.option("-m", "--model", default="", help="Only this model; default: all of them.")
@click.option("--at", default="", help="Where versions are, such as 'http://{model}-{version}:80'.")
@click.pass_context
def config_command(
    context: click.Context, *, mesh: str, config_path: Path, model: str, at: str
) -> None:
    """Print the present split and breaking for Envoy, Istio or KServe, as YAML.

    MESH is envoy, istio or kserve. Print it again when the route has changed: nothing follows by
    itself.

    Example: homeostat gateway config istio -m fraud | kubectl apply -f -
    """
    outer = context.parent
    if outer is not None and not _given(context) and _given(outer):  # gateway -c FILE config ...
        config_path = outer.params["config_path"]
    settings = load(config_path)
    names = chosen(settings, model)
    records = open_records(settings, SystemClock())
    try:
        routes = RecordsRoutes(records)
        found = [routes.current(name) or Route(name) for name in names]
    finally:
        records.close()
    deadline, breaker = settings.gateway.deadline.total_seconds(), breaker_config(settings)
    splits = [Split(route, breaker, deadline, at) for route in found]
    click.echo(render(Mesh(mesh), splits), nl=False)


def _given(context: click.Context) -> bool:
    return context.get_parameter_source("config_path") is ParameterSource.COMMANDLINE


def _check(settings: Settings, host: str) -> None:
    records = open_records(settings, SystemClock())
    try:
        check_bind(host, Tokens(records), str(settings.file), "gateway.host")
    finally:
        records.close()


def _tell(settings: Settings, host: str, bound: socket.socket) -> None:
    scheme = "https" if settings.gateway.tls else "http"
    click.echo(f"gateway on {scheme}://{address(host, bound.getsockname()[1])}/", err=True)


def _supervise(settings: Settings, config: Path, where: tuple[str, int], count: int) -> int:
    host, port = where
    _check(settings, host)
    # Sockets that share a port would join those of another gateway; one that does not tells.
    alone = listen(host, port, "gateway.port")
    port = alone.getsockname()[1]
    alone.close()
    kept = _keep_for_grpc(settings, host)
    bound = sockets(host, port, count, BACKLOG)
    stop = settings.gateway
    patience = stop.notice.total_seconds() + 2 * stop.grace.total_seconds()
    with tempfile.TemporaryDirectory(prefix="homeostat-gateway-") as folder:
        grpc_port = kept.getsockname()[1] if kept is not None else None
        command = partial(worker_command, config, host, grpc_port=grpc_port)
        # A worker that is started later must not find what has been changed meanwhile.
        (Path(folder) / SETTINGS).write_text(settings.text, encoding="utf-8")
        tell = partial(_tell, settings, host, bound[0])
        supervisor = Supervisor(
            bound, command, SystemClock(), Path(folder), patience, BACKLOG, tell
        )
        try:
            return supervisor.run()
        finally:
            if kept is not None:
                kept.close()


def _keep_for_grpc(settings: Settings, host: str) -> socket.socket | None:
    """Return what keeps the port that workers share for gRPC; None if none is asked for."""
    port = settings.gateway.grpc_port
    if port is None:
        return None
    with listen(host, port, "gateway.grpc_port", remedy="") as alone:
        port = alone.getsockname()[1]
    kept = reserved(host, port)
    _tell_grpc(host, port)
    return kept


def _tell_grpc(host: str, port: int) -> None:
    click.echo(f"gateway for gRPC on {address(host, port)}", err=True)


def _run(
    settings: Settings,
    host: str,
    bound: socket.socket,
    attach: Callable[[Server], None],
    place: Place | None = None,
    grpc_port: int | None = None,
) -> None:
    clock = SystemClock()
    telemetry = _telemetry(settings)
    deployment = open_deployment(settings, clock)
    try:
        certificate, renewals = _certificate(settings), list[Callable[[], None]]()
        beside = None
        if settings.gateway.grpc_port is not None:
            manner = _manner(deployment, host, clock, certificate, telemetry)
            if manner.credentials is not None:
                renewals.append(manner.credentials.renew)
            beside = _grpc(settings.gateway.grpc_port, host, manner, grpc_port)
        routes = RecordsRoutes(deployment.records)
        table = deployment.route_table()
        orders = Obedience(deployment.records, table, clock)
        orders.follow()
        for model, problem in table.follow(routes).items():
            logger.error("%s: %s; its fallback answers", model, problem)
        started = clock.now().isoformat()
        instance = f"{socket.gethostname()}-{os.getpid()}-{started}"
        calls = calling if telemetry is None else telemetry.calling
        data_plane = deployment.gateway(table, instance, calls)
        figures = _figures(data_plane, place)
        try:
            tokens = Tokens(deployment.records)
            may_override: MayOverride = anyone
            if settings.gateway.version_header == "operators":
                may_override = Keys(tokens, clock).operates
            plane: ASGIApp = app(
                data_plane, routes, may_override=may_override, orders=orders, beside=beside
            )
            if not is_loopback(host):
                plane = Door(plane, tokens, clock)
            if telemetry is not None:
                plane = Traced(plane, telemetry, clock)
                data_plane.watchers.append(telling(data_plane.metrics, clock))
            server = _server(settings, plane, data_plane, certificate)
            server.renewals += renewals
            attach(server)
            server.serve_on([bound])
        finally:
            if telemetry is not None:
                telemetry.close()
            _settle(deployment, data_plane)
            if figures is not None:
                figures.stop()
    finally:
        deployment.close()


def _manner(
    deployment: Deployment,
    host: str,
    clock: Clock,
    certificate: Certificate | None,
    telemetry: Telemetry | None,
) -> Manner:
    """Return how gRPC is to be served."""
    try:
        from homeostat.entrypoints.gateway.rpc import (  # noqa: PLC0415 - an extra
            Credentials,
            Manner,
        )
    except ImportError as error:
        raise UserError("gateway.grpc_port needs gRPC: pip install homeostat[grpc]") from error
    return Manner(
        keys=None if is_loopback(host) else Keys(Tokens(deployment.records), clock),
        credentials=None if certificate is None else Credentials(certificate),
        tracing=None if telemetry is None else partial(tracing, telemetry, clock),
        grace=deployment.settings.gateway.grace.total_seconds(),
    )


def _grpc(port: int, host: str, manner: Manner, shared: int | None) -> Beside:
    """Return what serves gRPC: on a port of its own, or on one that workers share."""
    from homeostat.entrypoints.gateway.rpc import serving  # noqa: PLC0415 - an extra

    if shared is not None:
        return partial(serving, where=address(host, shared), manner=replace(manner, shared=True))
    listen(host, port, "gateway.grpc_port", remedy="").close()
    return partial(
        serving, where=address(host, port), manner=manner, opened=partial(_tell_grpc, host)
    )


def _certificate(settings: Settings) -> Certificate | None:
    files = settings.gateway.tls
    if files is None:
        return None
    return Certificate(settings.path(files.certificate), settings.path(files.key))


def _telemetry(settings: Settings) -> Telemetry | None:
    asked = settings.gateway.telemetry
    if asked is None:
        return None
    return Telemetry(traces=asked.traces, metrics=asked.metrics, sample=asked.sample)


def _figures(data_plane: Gateway, place: Place | None) -> Figures | None:
    if place is None or place.number == 0:  # one process tells of the machine's cards
        data_plane.cards = Cards()
    if place is None:
        return None
    data_plane.worker = str(place.number)
    figures = Figures(Path(place.folder), place.number, data_plane.metrics_text)
    data_plane.all_metrics = figures.text
    figures.start()
    return figures


def _server(
    settings: Settings, plane: ASGIApp, data_plane: Gateway, certificate: Certificate | None
) -> Server:
    configured = settings.gateway
    stop = Stop(configured.notice.total_seconds(), configured.grace.total_seconds())

    def on_stop() -> None:
        data_plane.draining = True
        logger.info("stopping: not ready any more, answering for %g s", stop.notice)

    return Server(plane, stop, certificate, on_stop)


def _settle(deployment: Deployment, data_plane: Gateway) -> None:
    """Write what is left; raises StorageError if answers had to be given up."""
    data_plane.close()
    counts, kept = data_plane.writer.counts, data_plane.writer.spilled
    if kept:
        folder = deployment.settings.spill_folder
        logger.warning("%d answers wait in %s for the log; the next start sends them", kept, folder)
    if counts.dropped or counts.failed:
        lost = counts.dropped + counts.failed
        raise StorageError(f"{lost} answers could not be written to the prediction log")
