"""``homeostat serve``, ``homeostat gateway`` and ``homeostat adopt``: a live deployment."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path

import click
import uvicorn
from starlette.applications import Starlette

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.routes import RecordsRouter
from homeostat.domain.errors import UserError
from homeostat.engine.adopt import adopt as adopt_model
from homeostat.engine.adopt import split_history, train_first
from homeostat.entrypoints.bootstrap import application, open_deployment
from homeostat.entrypoints.cli.options import config_option, model_option
from homeostat.entrypoints.gateway import app
from homeostat.entrypoints.history import read_history
from homeostat.entrypoints.http.auth import Tokens, check_bind
from homeostat.entrypoints.settings import load
from homeostat.entrypoints.worker import Worker


def listen(host: str, port: int, setting: str) -> socket.socket:
    """Bind an address before anything else is opened.

    Raises
    ------
    UserError
        If it is in use, or not an address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise UserError(
            f"cannot listen on {host}:{port}: {error.strerror}; change {setting} in the configuration"
        ) from error
    bound.listen(2048)
    return bound


def run(application: Starlette, sock: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C; open requests are finished first."""
    config = uvicorn.Config(application, log_level="info", access_log=False)
    uvicorn.Server(config).run(sockets=[sock])


@click.command()
@config_option
def serve(*, config_path: Path) -> None:
    """Run the control plane: API, web pages and the engine.

    Example: homeostat serve -c homeostat.yaml
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    settings, clock = load(config_path), SystemClock()
    server = settings.server
    deployment = open_deployment(settings, clock)
    try:
        check_bind(server.host, Tokens(deployment.records))
        sock = listen(server.host, server.port, "server.port")
        engine = deployment.engine(deployment.ports())
        worker = Worker(engine, deployment.log, clock, server.tick)
        worker.start()
        click.echo(f"control plane on http://{server.host}:{sock.getsockname()[1]}/", err=True)
        try:
            run(application(deployment.pages()), sock)
        finally:
            worker.stop()
    finally:
        deployment.close()


@click.command()
@config_option
def gateway(*, config_path: Path) -> None:
    """Run the data plane in front of the models.

    It goes on answering while the control plane is down.

    Example: homeostat gateway -c homeostat.yaml
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    settings, clock = load(config_path), SystemClock()
    deployment = open_deployment(settings, clock)
    try:
        check_bind(settings.gateway.host, Tokens(deployment.records))
        sock = listen(settings.gateway.host, settings.gateway.port, "gateway.port")
        router = RecordsRouter(deployment.records)
        table = deployment.route_table()
        for model, problem in table.follow(router).items():
            click.echo(f"{model}: {problem}; its fallback answers", err=True)
        started = clock.now().isoformat()
        data_plane = deployment.gateway(table, f"{socket.gethostname()}-{os.getpid()}-{started}")
        click.echo(f"gateway on http://{settings.gateway.host}:{sock.getsockname()[1]}/", err=True)
        try:
            run(app(data_plane, router), sock)
        finally:
            data_plane.close()
    finally:
        deployment.close()


@click.command()
@click.argument("history", type=click.Path(path_type=Path))
@config_option
@model_option
def adopt(*, history: Path, config_path: Path, model: str) -> None:
    """Train a first version on labelled HISTORY and learn from it what is normal.

    HISTORY is a Parquet or CSV file. Its latest stretch (retraining.holdout) is kept out of the
    training and gives the baseline.

    Example: homeostat adopt history.parquet -c homeostat.yaml
    """
    settings, clock = load(config_path), SystemClock()
    name = settings.model(model).name
    deployment = open_deployment(settings, clock)
    try:
        plan = deployment.plans[name]
        rows = split_history(plan, read_history(settings, name, history))
        ports = deployment.ports(wait=True)
        settings.trainer(name)
        training = train_first(plan, ports.trainers[name], rows, clock.now())
        card = adopt_model(plan, ports, rows, training, clock.now())
    finally:
        deployment.close()
    click.echo(f"{name}: version {card.version} is the champion (trained on {card.rows} rows)")
