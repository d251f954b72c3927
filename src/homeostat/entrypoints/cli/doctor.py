"""``homeostat doctor``: whether this deployment can run."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click

from homeostat.adapters.predlog.place import OWNER
from homeostat.domain.errors import HomeostatError, StorageError
from homeostat.entrypoints import current
from homeostat.entrypoints.bootstrap import make_folder, open_log
from homeostat.entrypoints.cli.doctor_running import libraries, rights, running
from homeostat.entrypoints.cli.findings import Finding, Grade
from homeostat.entrypoints.cli.options import Deployment, config_option, deployment
from homeostat.entrypoints.cli.output import json_option, print_json, print_table
from homeostat.entrypoints.expected import expectations
from homeostat.entrypoints.http.auth import Tokens, check_bind
from homeostat.entrypoints.registries import open_registry
from homeostat.entrypoints.settings import Console, Settings, Webhook, secret
from homeostat.entrypoints.settings.plan import model_plan
from homeostat.entrypoints.settings.receivers import Receiver, secrets_of
from homeostat.entrypoints.trainers import describe_trainer
from homeostat.entrypoints.unmonitored import unmonitored

LEAST_FREE = 1024**3
FINDINGS = 1


@click.command()
@config_option
@json_option
@click.pass_context
def doctor(context: click.Context, *, config_path: Path, as_json: bool) -> None:
    """Check that this deployment can run, and does; exits with 1 if something has failed.

    Example: homeostat doctor -c homeostat.yaml
    """
    with deployment(config_path, create=True) as opened:
        found = list(examine(opened))
    if as_json:
        print_json({"checks": [asdict(finding) for finding in found]})
    else:
        rows = ((finding.grade, finding.check, finding.text) for finding in found)
        print_table(("", "check", "finding"), rows, "nothing to check")
    if any(finding.grade is Grade.FAILED for finding in found):
        context.exit(FINDINGS)


def examine(opened: Deployment) -> Iterator[Finding]:
    """Yield a finding for each check."""
    settings = opened.settings
    yield Finding("configuration", Grade.OK, f"{settings.file}: {len(settings.models)} models")
    yield libraries()
    yield _folder(settings.data_folder)
    yield from rights(settings.data_folder)
    if settings.storage.parquet:
        yield _try("storage", lambda: _storage(opened))
    yield _try("records", lambda: f"{len(opened.records.keys(''))} states")
    yield _try("access", lambda: _access(opened))
    yield _port("server", settings.server.host, settings.server.port)
    yield _port("gateway", settings.gateway.host, settings.gateway.port)
    for name, receiver in settings.receivers.items():
        if not isinstance(receiver, Console):
            yield _try(f"receiver {name}", partial(_secrets, settings, receiver))
    for model in settings.models:
        if model.retraining is not None:
            look = partial(describe_trainer, settings, model.name, os.environ)
            yield _try(f"trainer of {model.name}", look)
            if model.retraining.checks:
                look = partial(_checks, settings, model.name)
                yield _try(f"checks of {model.name}", look)
        yield _champion(opened, model.name)
        yield from _reference(opened, model.name)
        for tier in model.fallback:
            if tier.lighter is not None:
                look = partial(_version, opened, model.name, tier.lighter.version)
                yield _try(f"lighter version of {model.name}", look)
    try:
        yield from running(opened)
    except HomeostatError as error:
        yield Finding("running", Grade.FAILED, str(error))


def _try(check: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(check, Grade.OK, look())
    except HomeostatError as error:
        return Finding(check, Grade.FAILED, str(error))


def _folder(folder: Path) -> Finding:
    try:
        make_folder(folder)
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except (HomeostatError, OSError) as error:
        return Finding("data folder", Grade.FAILED, f"cannot write in {folder}: {error}")
    text = f"{folder}, {free / 1024**3:.1f} GB free"
    return Finding("data folder", Grade.OK if free >= LEAST_FREE else Grade.WARNING, text)


def _storage(opened: Deployment) -> str:
    log = open_log(opened.settings, opened.records)
    try:
        place = log.upkeep.store.place
        there = place.size(OWNER) is not None
        if there:
            place.recognise()
    except OSError as error:
        raise StorageError(str(error)) from error
    finally:
        log.close()
    return f"{place.name} answers" + ("" if there else "; nothing is in it yet")


def _access(opened: Deployment) -> str:
    tokens = Tokens(opened.records)
    check_bind(opened.settings.server.host, tokens, str(opened.settings.file))
    count = len(tokens.all())
    return f"{count} tokens" if count else "no tokens: only programs on this machine get in"


def _port(name: str, host: str, port: int) -> Finding:
    with suppress(OSError), socket.create_connection((host, port), timeout=1):
        return Finding(f"{name} port", Grade.WARNING, f"{host}:{port} is in use; is it running?")
    return Finding(f"{name} port", Grade.OK, f"{host}:{port} is free")


def _secrets(settings: Settings, receiver: Receiver) -> str:
    for field, variable in secrets_of(receiver).items():
        secret(os.environ, variable, field, settings.file)
    unsigned = isinstance(receiver, Webhook) and receiver.secret_env is None
    return "configured; without secret_env it is unsigned" if unsigned else "configured"


def _checks(settings: Settings, model: str) -> str:
    found = expectations(settings, model)
    rows = sum(asked.rows.num_rows for asked in found if asked.rows is not None)
    return f"{len(found)} checks of candidates, with {rows} rows of their own"


def _champion(opened: Deployment, model: str) -> Finding:
    check = f"champion of {model}"
    version = current.rollout(opened.records, model).champion
    if not version:
        return Finding(check, Grade.WARNING, "no version yet: train or push one")
    return _try(check, partial(_version, opened, model, version))


def _reference(opened: Deployment, model: str) -> Iterator[Finding]:
    version = current.rollout(opened.records, model).champion
    if not version:
        return
    check, plan = f"reference of {model}", model_plan(opened.settings, model)
    try:
        windows = opened.records.reference(model, version)
    except HomeostatError as error:
        yield Finding(check, Grade.FAILED, str(error))
        return
    gap = unmonitored(plan, windows)
    said = f"{len(windows)} windows"
    yield Finding(check, Grade.WARNING if gap else Grade.OK, gap or said)


def _version(opened: Deployment, model: str, version: str) -> str:
    registry = open_registry(opened.settings, opened.clock)
    return f"{version} is whole at {registry.path(model, version)}"
