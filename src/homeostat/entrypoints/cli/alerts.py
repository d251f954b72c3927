"""``homeostat alerts``: list incidents, take one on."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from homeostat.domain.errors import ConflictError
from homeostat.engine.commands import Command, Request, submit
from homeostat.entrypoints import current
from homeostat.entrypoints.cli.options import chosen, config_option, deployment, model_option
from homeostat.entrypoints.cli.output import json_option, print_json, print_table, when


@click.group()
def alerts() -> None:
    """List incidents, or take one on."""


@alerts.command("list")
@config_option
@model_option
@json_option
@click.option("--all", "everything", is_flag=True, help="Also those that are resolved.")
def list_incidents(*, config_path: Path, model: str, as_json: bool, everything: bool) -> None:
    """List open incidents, newest first."""
    with deployment(config_path) as opened:
        names = chosen(opened.settings, model)
        found = [s for name in names for s in current.incidents(opened.records, name)]
    shown = [state for state in found if everything or state.open]
    if as_json:
        bodies = [asdict(s) | {"key": s.key, "open": s.open} for s in shown]
        print_json({"incidents": bodies})
        return
    titles = ("incident", "severity", "stage", "since", "what", "why", "runbook")
    rows = (
        (s.key, s.severity, s.stage, when(s.fired_at), s.title, s.cause or s.reason, s.runbook)
        for s in shown
    )
    print_table(titles, rows, "no incidents" if everything else "no open incidents")


@alerts.command()
@click.argument("incident")
@config_option
def ack(incident: str, config_path: Path) -> None:
    """Take INCIDENT on: say that somebody works on it. It still resolves by itself."""
    with deployment(config_path) as opened:
        state = current.find_incident(opened.records, opened.settings.specs, incident)
        if not state.open:
            raise ConflictError(f"{incident} is {state.stage}; only an open one can be taken on")
        command = Command(Request.ACKNOWLEDGE, state.model, opened.actor, state.key)
        submit(opened.records, command, opened.clock.now())
    click.echo(f"{incident}: asked for; the engine acknowledges it at its next tick")
