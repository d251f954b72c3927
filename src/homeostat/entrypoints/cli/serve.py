"""``homeostat serve`` and ``homeostat adopt``: a live deployment."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path

import click
import pyarrow as pa
import uvicorn
from starlette.types import ASGIApp

from homeostat.adapters.clock import SystemClock
from homeostat.domain.admission import MAX_AHEAD
from homeostat.domain.errors import DataError, UserError
from homeostat.engine.adopt import adopt as adopt_model
from homeostat.engine.adopt import check_vacant, matured, split_history, train_first
from homeostat.entrypoints.bootstrap import Deployment, application, open_deployment
from homeostat.entrypoints.cli.options import config_option, listen_options, model_option
from homeostat.entrypoints.cli.output import json_option, print_json
from homeostat.entrypoints.elsewhere import adopt_elsewhere, served_elsewhere
from homeostat.entrypoints.history import read_history
from homeostat.entrypoints.http.auth import Tokens, check_bind
from homeostat.entrypoints.patience import PatientProtocol
from homeostat.entrypoints.release import Release
from homeostat.entrypoints.reports_schedule import chores
from homeostat.entrypoints.settings import load
from homeostat.entrypoints.trainers import describe_trainer
from homeostat.entrypoints.unmonitored import unmonitored
from homeostat.entrypoints.worker import Pulse, Worker

logger = logging.getLogger(__name__)

BACKLOG = 2048
M_ARENA_MAX, ARENAS = -8, 2  # of mallopt(3): heaps of the C library, by default eight a core
M_MMAP_THRESHOLD, LARGE = -3, 2**17  # bytes that are given back once freed; by default it grows
TURN = 0.0005  # seconds; Python's own is ten times as long
GRACE = 20  # seconds that requests under way have to finish once the process is told to stop


def listen(
    host: str, port: int, setting: str, remedy: str = ", or give --host and --port"
) -> socket.socket:
    """Bind an address.

    Raises
    ------
    UserError
        If it is in use, or not an address of this machine.
    """
    try:
        bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((host, port))
            bound.listen(BACKLOG)
        except OSError:
            bound.close()
            raise
    except OSError as error:
        raise UserError(
            f"cannot listen on {address(host, port)}: {error.strerror}; "
            f"change {setting} in the configuration{remedy}"
        ) from error
    return bound


def address(host: str, port: int) -> str:
    """Return host and port as they stand in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def run(application: ASGIApp, bound: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C; requests under way are finished first."""
    config = uvicorn.Config(
        application,
        http=PatientProtocol,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=GRACE,
        ws="none",
    )
    server = uvicorn.Server(config)
    # Once it has stopped, uvicorn raises the signal again for whoever had it before, and that would
    # end the process with its parts still open. So it gets it back itself.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, server.handle_exit)
    server.run(sockets=[bound])


def spare_memory() -> None:
    """Let freed memory go back to the system: many threads come and go with large tables."""
    pa.set_memory_pool(pa.system_memory_pool())
    with contextlib.suppress(OSError, AttributeError):  # only the C library of GNU has it
        library = ctypes.CDLL(None)
        library.mallopt(M_ARENA_MAX, ARENAS)
        library.mallopt(M_MMAP_THRESHOLD, LARGE)


def take_short_turns() -> None:
    """Let threads that answer requests have their turn soon while another one rolls the log."""
    sys.setswitchinterval(TURN)


def log_to_stderr() -> None:
    """Write the process's own log to stderr: stdout is for notifications and results."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)


def _listen(deployment: Deployment, part: str, host: str, port: int) -> socket.socket:
    check_bind(host, Tokens(deployment.records), str(deployment.settings.file), f"{part}.host")
    bound = listen(host, port, f"{part}.port")
    click.echo(f"{part} on http://{address(host, bound.getsockname()[1])}/", err=True)
    return bound


@click.command()
@config_option
@listen_options
def serve(*, config_path: Path, host: str | None, port: int | None) -> None:
    """Run the control plane: API, web pages and the engine.

    Of several on one records database one runs the engine; if it falls silent for server.lease,
    another one goes on. SIGTERM and Ctrl-C let open requests and the tick under way finish. Started
    again, it goes on where it was.

    Example: homeostat serve -c homeostat.yaml
    """
    log_to_stderr()
    spare_memory()
    take_short_turns()
    settings, clock = load(config_path), SystemClock()
    server = settings.server
    deployment = open_deployment(settings, clock)
    try:
        pulse = Pulse()
        writer = deployment.remote_write()
        leadership, pages = deployment.leadership(), deployment.pages(pulse, writer)
        engine = deployment.engine(deployment.ports(leadership=leadership))
        where = server.host if host is None else host, server.port if port is None else port
        bound = _listen(deployment, "server", *where)
        log = deployment.log
        worker = Worker(engine, log, clock, server.tick, full=log.full, leadership=leadership)
        worker.release = Release(log, clock)
        worker.pulse = pulse
        worker.chore = chores(deployment, lambda: worker.stopping)
        worker.start()
        pusher = None
        if writer is not None:
            pusher = deployment.pusher(writer, pulse, bound.getsockname()[1])
            pusher.start()
        try:
            run(application(pages), bound)
        finally:
            if pusher is not None:
                pusher.stop()
            if not worker.stop():
                logger.error("the tick under way hangs; the next start does it again")
    finally:
        deployment.close()


@click.command()
@click.argument("history", type=click.Path(path_type=Path))
@config_option
@model_option
@click.option(
    "--version",
    default="",
    help="Of a model that is served elsewhere: the version that answered; default: 1.",
)
@json_option
def adopt(*, history: Path, config_path: Path, model: str, version: str, as_json: bool) -> None:
    """Train a first version on labelled HISTORY and learn from it what is normal.

    HISTORY is a Parquet or CSV file; rows younger than labels.maturity are left out. The latest
    stretch of the rest (retraining.holdout) is kept out of the
    training and gives the baseline.

    A model that is served elsewhere needs no training: where history.score names the column with
    its answers and there is no trainer, what is normal is learnt from these. Give rows that it was
    not trained on.

    Example: homeostat adopt history.parquet -c homeostat.yaml
    """
    settings, clock = load(config_path), SystemClock()
    name = settings.model(model).name
    elsewhere = served_elsewhere(settings.model(name))
    if not elsewhere:
        describe_trainer(settings, name, os.environ)
        if version:
            raise click.UsageError("--version is for a model that is served elsewhere")
    deployment = open_deployment(settings, clock)
    try:
        plan, ports = deployment.plans[name], deployment.ports(wait=True)
        check_vacant(ports.records, name)
        whole = read_history(settings, name, history)
        if whole["timestamp"][-1].as_py() > clock.now() + MAX_AHEAD:
            raise DataError(f"{history}: its last row lies in the future")
        old, now = matured(plan, whole, clock.now()), clock.now()
        if elsewhere:
            with tempfile.TemporaryDirectory() as folder:
                made = Path(folder) / "elsewhere"
                card = adopt_elsewhere(plan, ports, old, version or "1", made, now)
        else:
            rows = split_history(plan, old)
            training = train_first(plan, ports.trainers[name], rows, now)
            card = adopt_model(plan, ports, rows, training, clock.now())
        gap = unmonitored(plan, ports.records.reference(name, card.version))
    finally:
        deployment.close()
    if gap:
        click.echo(f"warning: {name}: {gap}", err=True)
    if as_json:
        warnings = [gap] if gap else []
        found = {"model": name, "version": card.version, "rows": card.rows, "warnings": warnings}
        print_json(found)
        return
    how = f"served elsewhere, learnt from {card.rows}" if elsewhere else f"trained on {card.rows}"
    click.echo(f"{name}: version {card.version} is the champion ({how} rows)")
