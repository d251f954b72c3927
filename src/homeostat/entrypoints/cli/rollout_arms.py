"""``homeostat rollout arms``, ``shadow`` and ``show``: traffic beside the rollout, and a look."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import click

from homeostat.domain.errors import DataError
from homeostat.domain.text import printable
from homeostat.engine.arms import arms_of
from homeostat.engine.paired_report import PairedReport
from homeostat.entrypoints import current
from homeostat.entrypoints.bootstrap import open_log
from homeostat.entrypoints.cli.completion import versions
from homeostat.entrypoints.cli.options import (
    Deployment,
    config_option,
    deployment,
    model_option,
    steering_options,
)
from homeostat.entrypoints.cli.output import json_option, print_json, when
from homeostat.entrypoints.registries import open_registry
from homeostat.entrypoints.settings.plan import model_plan
from homeostat.entrypoints.steering import Steering, compared, shown


@contextmanager
def steering(config: Path, model: str) -> Iterator[tuple[Steering, Deployment, datetime]]:
    """Open a deployment to steer one of its models."""
    with deployment(config) as opened:
        name = opened.settings.model(model).name
        registry = open_registry(opened.settings, opened.clock)
        found = Steering(opened.records, registry, model_plan(opened.settings, name))
        yield found, opened, opened.clock.now()


@click.command()
@click.argument("shares", nargs=-1, metavar="VERSION=SHARE...")
@click.option("--off", is_flag=True, help="End the arms, whoever published them.")
@click.option("--deal", default="", help="Another name deals entities out anew.")
@steering_options
def arms(
    *, shares: tuple[str, ...], off: bool, deal: str, config_path: Path, model: str, reason: str
) -> None:
    """Have versions answer fixed shares of all entities, at once.

    Champion and challenger have the rest. They end when the champion changes, or somebody pushes or
    rolls back; a version that is aborted loses its share.

    Example: homeostat rollout arms -m fraud 3=0.5 4=0.5 --reason "compare prices"
    """
    if off == bool(shares):
        raise click.UsageError("name a share for each version, or --off to end the arms")
    with steering(config_path, model) as (found, opened, now):
        made = found.set_arms(dict(map(_share, shares)), opened.actor, reason, now, deal)
        champion = current.rollout(opened.records, found.model).champion
    told = ", ".join(f"{version} {share:.4g}" for version, share in made.shares.items())
    rest = f"; {champion} the rest" if sum(made.shares.values()) < 1 - 1e-9 else ""
    click.echo(printable(f"{found.model}: {told or 'no arms'}{rest}; gateways follow at once"))


def _share(text: str) -> tuple[str, float]:
    version, _, share = text.rpartition("=")
    try:
        return version, float(share)
    except ValueError:
        raise DataError(f"{text!r} is no VERSION=SHARE, such as 4=0.5") from None


@click.command()
@click.argument("version", shell_complete=versions)
@click.option("--off", is_flag=True, help="No more.")
@steering_options
def shadow(*, version: str, off: bool, config_path: Path, model: str, reason: str) -> None:
    """Have VERSION score copies of requests, which no caller sees; nothing is judged by it.

    Example: homeostat rollout shadow 9 -m fraud
    """
    with steering(config_path, model) as (found, opened, now):
        made = found.set_shadow(version, opened.actor, reason, now, on=not off)
    told = ", ".join(made.shadows) or "none"
    click.echo(printable(f"{found.model}: shadows by hand: {told}; gateways follow at once"))


@click.command()
@config_option
@model_option
@json_option
def show(*, config_path: Path, model: str, as_json: bool) -> None:
    """Show a rollout, and how the challenger compares with the champion on late labels.

    Example: homeostat rollout show -m fraud
    """
    with deployment(config_path) as opened:
        name, now = opened.settings.model(model).name, opened.clock.now()
        plan, records = model_plan(opened.settings, name), opened.records
        log = open_log(opened.settings, records)
        try:
            if as_json:
                print_json(shown(records, log, plan, now))
                return
            state, standing = current.rollout(records, name), arms_of(records, name)
            report = compared(records, log, plan, now)
        finally:
            log.close()
    lines = [f"{name}: {state.stage}, champion {state.champion or '-'}; {state.reason or '-'}"]
    if standing.owner:
        told = ", ".join(f"{version} {share:.4g}" for version, share in standing.shares.items())
        lines.append(f"arms of {standing.owner} since {when(standing.since)}: {told}")
    if standing.shadows:
        lines.append(f"shadows by hand: {', '.join(standing.shadows)}")
    lines += told_of(report) if report else ["no challenger to compare"]
    click.echo("\n".join(printable(line) for line in lines))


def told_of(report: PairedReport) -> list[str]:
    """Return what a paired report says, a line each."""
    first = f"{report.challenger} against {report.champion} since {when(report.since)}"
    if report.problem:
        return [f"{first}: {report.problem}"]
    gap, area = report.difference_interval, report.auc_interval
    lines = [
        f"{first}: {report.rows} rows, {report.entities or 'unknown'} entities",
        (
            f"  loss {report.challenger_loss:.4g} against {report.champion_loss:.4g}: lower by"
            f" {report.difference:.4g} [{gap.lower:.4g}, {gap.upper:.4g}] (bootstrap by entity)"
        ),
    ]
    if report.champion_alone is not None:
        lines.append(
            f"  right alone: {report.challenger_alone} against {report.champion_alone};"
            f" p {report.mcnemar_p:.3g} (McNemar)"
        )
    if report.champion_auc == report.champion_auc:
        lines.append(
            f"  AUC {report.challenger_auc:.4f} against {report.champion_auc:.4f}, difference"
            f" [{area.lower:.4f}, {area.upper:.4f}], p {report.auc_p:.3g} (DeLong)"
        )
    return [
        *lines,
        "  those are of one look; what decides, looked at as often as you like:",
        (
            f"  e-values better {report.better_e:.3g}, not worse {report.not_worse_e:.3g},"
            f" worse {report.worse_e:.3g} on {report.paired} rows; {report.enough:g} is enough"
        ),
    ]
