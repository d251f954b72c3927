"""``homeostat rollout``, ``rollback`` and ``retrain``: what people ask of the engine."""

from __future__ import annotations

from pathlib import Path

import click

from homeostat.engine.commands import Command, Request, submit
from homeostat.entrypoints import current
from homeostat.entrypoints.cli.options import (
    chosen,
    config_option,
    deployment,
    model_option,
    steering_options,
    warn_of_unknown,
)
from homeostat.entrypoints.cli.output import json_option, print_json, print_table, when


@click.group()
def rollout() -> None:
    """Show or steer the rollout of a version."""


@rollout.command()
@config_option
@model_option
@json_option
def status(*, config_path: Path, model: str, as_json: bool) -> None:
    """Show where the rollout stands."""
    with deployment(config_path) as opened:
        names = chosen(opened.settings, model)
        found = [current.rollout(opened.records, name) for name in names]
    if as_json:
        print_json({"rollouts": found})
        return
    titles = ("model", "stage", "champion", "challenger", "traffic", "since", "previous", "why")
    rows = (
        (
            s.model,
            s.stage,
            s.champion or "-",
            s.challenger or "-",
            f"{s.weight:.0%}",
            when(s.since),
            s.previous or "-",
            s.reason,
        )
        for s in found
    )
    print_table(titles, rows, "no models")


@rollout.command()
@click.argument("version")
@steering_options
def push(version: str, config_path: Path, model: str, reason: str) -> None:
    """Serve VERSION, whatever the evidence; the champion before it is kept."""
    _ask(config_path, model, Request.PUSH, reason, version)


@rollout.command("submit")
@click.argument("version")
@steering_options
def submit_version(version: str, config_path: Path, model: str, reason: str) -> None:
    """Roll VERSION out step by step: shadow, canary, champion if it proves itself."""
    _ask(config_path, model, Request.SUBMIT, reason, version)


@rollout.command()
@steering_options
def approve(config_path: Path, model: str, reason: str) -> None:
    """Approve the promotion that waits for a person."""
    _ask(config_path, model, Request.APPROVE, reason)


@rollout.command()
@steering_options
def abort(config_path: Path, model: str, reason: str) -> None:
    """Stop the rollout; the challenger is not tried again."""
    _ask(config_path, model, Request.ABORT, reason)


@click.command()
@steering_options
def rollback(config_path: Path, model: str, reason: str) -> None:
    """Go back to the previous champion."""
    _ask(config_path, model, Request.ROLL_BACK, reason)


@click.command()
@steering_options
def retrain(config_path: Path, model: str, reason: str) -> None:
    """Ask for a retraining; it is refused while a data fault lasts."""
    _ask(config_path, model, Request.RETRAIN, reason)


def _ask(config: Path, model: str, request: Request, reason: str, version: str = "") -> None:
    with deployment(config) as opened:
        name = opened.settings.model(model).name
        command = Command(request, name, opened.actor, version, reason)
        submit(opened.records, command, opened.clock.now())
        if version:
            warn_of_unknown(opened, name, version)
    what = " ".join(part for part in (request.replace("_", " "), version) if part)
    click.echo(f"{name}: asked to {what}; the engine does it at its next tick")
    click.echo("What came of it: homeostat decisions")
