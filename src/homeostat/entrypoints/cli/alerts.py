"""``homeostat alerts``: list incidents, take one on, end one; who was told; test receivers."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar

import click

from homeostat.alerting.episode import IncidentState
from homeostat.domain.decision import Severity
from homeostat.domain.errors import ConflictError, NotFoundError
from homeostat.engine.commands import Command, Request, submit
from homeostat.engine.ports import Delivery
from homeostat.entrypoints import current, drill
from homeostat.entrypoints.cli.alerts_show import postmortem, show
from homeostat.entrypoints.cli.alerts_silences import silence, silences, unsilence
from homeostat.entrypoints.cli.completion import receivers as known
from homeostat.entrypoints.cli.lazy import MixedGroup, Table
from homeostat.entrypoints.cli.options import chosen, config_option, deployment, model_option
from homeostat.entrypoints.cli.output import json_option, print_json, print_table, when
from homeostat.entrypoints.receivers import receivers
from homeostat.entrypoints.settings.values import nearest

FINDINGS = 1


class Alerts(MixedGroup):
    """Those about the past are seldom needed, and bring the engine with them."""

    table: ClassVar[Table] = {
        "backtest": (
            "homeostat.entrypoints.cli.alerts_backtest:backtest",
            "Replay alert rules on the past.",
        ),
        "tune": (
            "homeostat.entrypoints.cli.alerts_backtest:tune",
            "Propose settings for a budget of pages.",
        ),
    }


@click.group(cls=Alerts)
def alerts() -> None:
    """List and show incidents, take one on or end it; silences; who was told; test receivers."""


for further in (show, postmortem, silence, unsilence, silences):
    alerts.add_command(further)


@alerts.command("list")
@config_option
@model_option
@json_option
@click.option("--all", "everything", is_flag=True, help="Also those that are resolved.")
def list_incidents(*, config_path: Path, model: str, as_json: bool, everything: bool) -> None:
    """List open incidents, newest first.

    Example: homeostat alerts list -m fraud
    """
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
        (s.key, s.severity, _stands(s), when(s.fired_at), s.title, s.reason, s.runbook)
        for s in shown
    )
    print_table(titles, rows, "no incidents" if everything else "no open incidents")


def _stands(state: IncidentState) -> str:
    return f"{state.stage}, silenced" if state.open and state.silenced else state.stage.value


@alerts.command()
@click.argument("incident")
@config_option
def ack(incident: str, config_path: Path) -> None:
    """Take INCIDENT on: say that somebody works on it. It still resolves by itself.

    Example: homeostat alerts ack fraud:data_fault:2
    """
    with deployment(config_path) as opened:
        state = current.find_incident(opened.records, incident)
        if not state.open:
            raise ConflictError(f"{incident} is {state.stage}; only an open one can be taken on")
        command = Command(Request.ACKNOWLEDGE, state.model, opened.actor, state.key)
        submit(opened.records, command, opened.clock.now())
    click.echo(f"{incident}: asked for; the engine acknowledges it at its next tick")


@alerts.command()
@click.argument("incident")
@click.option("--reason", required=True, help="Why, for the decision log and whoever was told.")
@config_option
def close(incident: str, reason: str, config_path: Path) -> None:
    """End INCIDENT by hand. It fires again if what it is about goes on.

    Example: homeostat alerts close fraud:data_fault:2 --reason "upstream mended it"
    """
    with deployment(config_path) as opened:
        state = current.find_incident(opened.records, incident)
        if not state.open:
            raise ConflictError(f"{incident} is {state.stage}; only an open one can be ended")
        command = Command(Request.CLOSE, state.model, opened.actor, state.key, reason)
        submit(opened.records, command, opened.clock.now())
    click.echo(f"{incident}: asked for; the engine ends it at its next tick")


@alerts.command()
@config_option
@json_option
@click.option("--receiver", default="", help="Only of this receiver.")
@click.option(
    "-n", "count", default=50, show_default=True, type=click.IntRange(1), help="How many."
)
def deliveries(*, config_path: Path, as_json: bool, receiver: str, count: int) -> None:
    """Show who was told what, when, at which attempt, and what the receiver said; newest first.

    Example: homeostat alerts deliveries --receiver on_call
    """
    with deployment(config_path) as opened:
        found = opened.records.deliveries(count, receiver)
    if as_json:
        print_json({"deliveries": [asdict(d) | {"key": d.notice.key} for d in found]})
        return
    _print_deliveries(found)


def _print_deliveries(found: Sequence[Delivery]) -> None:
    titles = ("receiver", "incident", "action", "status", "attempts", "at", "said")
    rows = (
        (
            d.notice.receiver,
            d.notice.incident,
            d.notice.action.value,
            d.status,
            str(d.attempts),
            when(max(d.at, d.notice.at)),
            d.said or ("waits" if d.status == "pending" else ""),
        )
        for d in found
    )
    print_table(titles, rows, "nothing was sent")


@alerts.command()
@click.argument("receiver", required=False, default="", shell_complete=known)
@config_option
@json_option
@click.option(
    "--severity",
    type=click.Choice([severity.value for severity in Severity]),
    default=Severity.INFO.value,
    show_default=True,
    help="As which it pages; critical wakes people.",
)
@click.option(
    "--timeout",
    type=click.IntRange(1),
    help="Seconds to wait for the control plane; default: its tick and a minute.",
)
@click.pass_context
def test(
    context: click.Context,
    *,
    receiver: str,
    config_path: Path,
    as_json: bool,
    severity: str,
    timeout: int | None,
) -> None:
    """Send a marked test to RECEIVER, or to each one, and say whether it was delivered.

    It takes the path of every page: through the records and the control plane that runs, with
    its own secrets. Where none runs it is sent from here. A trigger and its resolve are sent; the
    exit code is 1 if one of them was not taken.

    Example: homeostat alerts test on_call
    """
    with deployment(config_path, create=True) as opened:
        settings, records, clock = opened.settings, opened.records, opened.clock
        if receiver and receiver not in settings.receivers:
            known = nearest(receiver, settings.receivers)
            raise NotFoundError(f"no receiver is named {receiver!r}; {known}")
        names = [receiver] if receiver else list(settings.receivers)
        leader = current.leader(records)
        now, far = clock.now(), 2 * settings.server.lease
        elsewhere = leader.holder if leader and leader.heard and now - leader.heard < far else ""
        with redirect_stdout(sys.stderr):  # where the terminal is a receiver, too
            own = {} if elsewhere else receivers(settings, clock, os.environ, names)
        runbook = f"{settings.runbooks.rstrip('/')}/test-notification.md"
        begun = drill.begin(records, names, Severity(severity), runbook, opened.actor, now)
        if elsewhere:
            click.echo(f"{elsewhere} sends them at its next tick", err=True)
            drill.wait(begun, records, timeout or settings.server.tick.total_seconds() + 60)
        else:
            click.echo("no control plane runs: they are sent from here", err=True)
            drill.send(begun, records, own, now)
        found = drill.end(begun, records, clock.now())
    # What is not on record any more was not seen to arrive.
    delivered = sum(d.status == "done" for d in found) == len(begun.notices)
    if as_json:
        print_json({"delivered": delivered, "deliveries": [asdict(d) for d in found]})
    else:
        _print_deliveries(found)
    if not delivered:
        context.exit(FINDINGS)
