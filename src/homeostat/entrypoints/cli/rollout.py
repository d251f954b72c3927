"""``homeostat rollout`` and ``rollback``: what people ask of the engine."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import click

from homeostat.domain.text import printable
from homeostat.engine.commands import Command, Request, submit
from homeostat.entrypoints import current
from homeostat.entrypoints.artifacts import loader
from homeostat.entrypoints.cli.completion import versions
from homeostat.entrypoints.cli.options import (
    chosen,
    config_option,
    deployment,
    model_option,
    steering_options,
    warn_of_unknown,
)
from homeostat.entrypoints.cli.output import json_option, print_json, print_table, when
from homeostat.entrypoints.cli.rollout_arms import arms, shadow, show, steering
from homeostat.entrypoints.registries import open_registry
from homeostat.entrypoints.rollback_drill import RollbackDrill, drill
from homeostat.entrypoints.settings.plan import model_plan
from homeostat.entrypoints.steering import RolledBack

FINDINGS = 1


@click.group()
def rollout() -> None:
    """Show or steer the rollout of a version."""


for command in (arms, shadow, show):
    rollout.add_command(command)


@rollout.command()
@config_option
@model_option
@json_option
def status(*, config_path: Path, model: str, as_json: bool) -> None:
    """Show where the rollout stands.

    Example: homeostat rollout status -m fraud
    """
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
@click.argument("version", shell_complete=versions)
@steering_options
def push(version: str, config_path: Path, model: str, reason: str) -> None:
    """Serve VERSION, whatever the evidence; the champion before it is kept.

    Example: homeostat rollout push 7 -m fraud --reason "first version"
    """
    ask(config_path, model, Request.PUSH, reason, version)


@rollout.command("submit")
@click.argument("version", shell_complete=versions)
@steering_options
def submit_version(version: str, config_path: Path, model: str, reason: str) -> None:
    """Roll VERSION out step by step: shadow, canary, champion if it proves itself.

    Example: homeostat rollout submit 8 -m fraud
    """
    ask(config_path, model, Request.SUBMIT, reason, version)


@rollout.command()
@steering_options
def approve(config_path: Path, model: str, reason: str) -> None:
    """Approve the promotion that waits for a person.

    Example: homeostat rollout approve -m fraud --reason "looks good"
    """
    ask(config_path, model, Request.APPROVE, reason)


@rollout.command()
@steering_options
def abort(config_path: Path, model: str, reason: str) -> None:
    """Stop the rollout; the challenger is not tried again.

    Example: homeostat rollout abort -m fraud --reason "too slow"
    """
    ask(config_path, model, Request.ABORT, reason)


@click.command()
@steering_options
@click.option("--drill", "as_drill", is_flag=True, help="Measure it, and change nothing.")
@json_option
@click.pass_context
def rollback(
    context: click.Context,
    *,
    config_path: Path,
    model: str,
    reason: str,
    as_drill: bool,
    as_json: bool,
) -> None:
    """Go back to the previous champion, or withdraw the challenger; at once.

    No control plane has to run for it. With --drill only say whether that can be done, to which
    version, and how long it would take; exit with 1 if it cannot.

    Example: homeostat rollback -m fraud --reason "complaints"
    """
    if not as_drill:
        if _roll_back(config_path, model, reason, as_json=as_json).refused:
            context.exit(FINDINGS)
        return
    found = _drill(config_path, model)
    if as_json:
        print_json(asdict(found) | {"seconds": found.seconds})
    elif found.problem:
        click.echo(printable(f"{found.model}: cannot be rolled back: {found.problem}"))
    else:
        click.echo(printable(_told(found)))
    if found.problem:
        context.exit(FINDINGS)


def _roll_back(config: Path, model: str, reason: str, *, as_json: bool) -> RolledBack:
    with steering(config, model) as (found, opened, now):
        done = found.roll_back(opened.actor, reason, now)
    if as_json:
        print_json(asdict(done))
        return done
    if done.problem:
        click.echo(printable(f"{done.model}: the next tick does it: {done.problem}"), err=True)
    if done.refused:
        click.echo(printable(f"{done.model}: not rolled back: {done.refused}"), err=True)
        return done
    click.echo(printable(f"{done.model}: {done.serves or 'nothing'} serves; {done.reason}"))
    if done.withdrawn and done.serves == done.served:
        told = (
            f"only the challenger {done.withdrawn} was withdrawn; ask again to leave {done.serves}"
        )
        click.echo(printable(f"{done.model}: {told}"))
    click.echo("What came of it: homeostat decisions")
    return done


def _drill(config: Path, model: str) -> RollbackDrill:
    with deployment(config) as opened:
        settings = opened.settings
        name = settings.model(model).name
        return drill(
            current.rollout(opened.records, name),
            model_plan(settings, name).rollout,
            open_registry(settings, opened.clock),
            loader(settings, os.environ),
            opened.clock,
        )


def _told(found: RollbackDrill) -> str:
    to = f"from {found.serves} to {found.would_serve}"
    if found.serves == found.would_serve:
        to = f"the challenger would be withdrawn, {found.serves} stays"
    kept = "kept warm by the gateways" if found.warm else "not kept warm"
    return (
        f"{found.model}: {to}; within {found.seconds:.1f} s: gateways look every"
        f" {found.look.total_seconds():g} s,"
        f" verify {found.verify_seconds:.3f} s, load {found.load_seconds:.3f} s, {kept};"
        " nothing was changed"
    )


def ask(config: Path, model: str, request: Request, reason: str, version: str = "") -> None:
    """Put a request into the model's inbox and say so."""
    with deployment(config) as opened:
        name = opened.settings.model(model).name
        command = Command(request, name, opened.actor, version, reason)
        submit(opened.records, command, opened.clock.now())
        if version:
            warn_of_unknown(opened, name, version)
    what = " ".join(part for part in (request.replace("_", " "), version) if part)
    click.echo(f"{name}: asked to {what}; the engine does it at its next tick")
    click.echo("What came of it: homeostat decisions")
