"""``homeostat breaker``: what operators want of the gateways' breakers."""

from __future__ import annotations

from pathlib import Path

import click

from homeostat.engine.orders import give_order, standing
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
from homeostat.serving.breaker import Event


@click.group()
def breaker() -> None:
    """Show or steer the gateways' breakers.

    Every gateway follows within a second, and obeys until the next order for the same version.
    """


@breaker.command("list")
@config_option
@model_option
@json_option
def list_orders(*, config_path: Path, model: str, as_json: bool) -> None:
    """List the newest order for each version; modes are at each gateway's /metrics.

    Example: homeostat breaker list -m fraud
    """
    with deployment(config_path) as opened:
        names = chosen(opened.settings, model)
        found = [(name, o) for name in names for o in standing(opened.records, name)]
    if as_json:
        print_json({"orders": [{"model": name, "order": order} for name, order in found]})
        return
    titles = ("model", "version", "order", "since", "by", "why")
    rows = ((name, o.version, o.event, when(o.at), o.actor, o.reason) for name, o in found)
    print_table(titles, rows, "no orders: every breaker decides for itself")


@breaker.command("force-open")
@click.argument("version", shell_complete=versions)
@steering_options
def force_open(version: str, config_path: Path, model: str, reason: str) -> None:
    """Ask VERSION no more: its fallback answers, until reset.

    Example: homeostat breaker force-open 7 -m fraud --reason "bad answers"
    """
    _order(config_path, model, version, Event.FORCE_OPEN, reason)


@breaker.command()
@click.argument("version", shell_complete=versions)
@steering_options
def disable(version: str, config_path: Path, model: str, reason: str) -> None:
    """Always ask VERSION, however often it fails, until reset.

    Example: homeostat breaker disable 7 -m fraud
    """
    _order(config_path, model, version, Event.DISABLE, reason)


@breaker.command()
@click.argument("version", shell_complete=versions)
@steering_options
def reset(version: str, config_path: Path, model: str, reason: str) -> None:
    """Close the breaker of VERSION and let it decide by itself again.

    Example: homeostat breaker reset 7 -m fraud
    """
    _order(config_path, model, version, Event.RESET, reason)


def _order(config: Path, model: str, version: str, event: Event, reason: str) -> None:
    with deployment(config) as opened:
        name = opened.settings.model(model).name
        now = opened.clock.now()
        give_order(opened.records, name, version, event, opened.actor, reason, now)
        warn_of_unknown(opened, name, version)
    what = event.replace("_", " ")
    click.echo(f"{name}: {what} the breaker of {version}; gateways do it within a second")
