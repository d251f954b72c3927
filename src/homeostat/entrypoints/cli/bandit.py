"""``homeostat bandit``: traffic follows what it brings."""

from __future__ import annotations

from pathlib import Path

import click

from homeostat.domain.text import printable
from homeostat.engine.bandit_state import BanditState
from homeostat.engine.commands import Command, Request, submit
from homeostat.engine.plan import ModelPlan
from homeostat.entrypoints.bandits import (
    Policy,
    design_of,
    judged,
    plain,
    read_rule,
    read_shares,
    told,
)
from homeostat.entrypoints.bootstrap import open_log
from homeostat.entrypoints.cli.completion import bandits
from homeostat.entrypoints.cli.options import (
    Deployment,
    config_option,
    deployment,
    reason_option,
)
from homeostat.entrypoints.cli.output import json_option, print_json, print_table, when
from homeostat.entrypoints.settings.plan import model_plan
from homeostat.rollout.bandit.design import Bandit
from homeostat.rollout.bandit.off_policy import OffPolicy

FINDINGS = 1


@click.group()
def bandit() -> None:
    """Deal traffic to the versions that bring most, while it is still being learnt which.

    Bandits stand in homeostat.yaml under bandits; one of a model runs at a time.
    """


@bandit.command("list")
@config_option
@json_option
def list_bandits(*, config_path: Path, as_json: bool) -> None:
    """List all bandits and where they stand.

    Example: homeostat bandit list
    """
    with deployment(config_path) as opened:
        designs = [part.bandit() for part in opened.settings.bandits]
        found = [(design, told(opened.records, design)) for design in designs]
    if as_json:
        print_json({"bandits": [each for _, each in found]})
        return
    titles = ("bandit", "model", "stands", "since", "shares", "why")
    rows = (_row(design, each) for design, each in found)
    print_table(titles, rows, "homeostat.yaml has no bandits")


@bandit.command()
@click.argument("name", shell_complete=bandits)
@config_option
@json_option
@click.pass_context
def show(context: click.Context, *, name: str, config_path: Path, as_json: bool) -> None:
    """Show what is known of the arms of NAME; exit with 1 while it is held.

    Example: homeostat bandit show offers
    """
    with deployment(config_path) as opened:
        _, design = design_of(_plans(opened), name)
        found = told(opened.records, design)
    if as_json:
        print_json(found)
    else:
        _print_arms(design, found)
    if found["stands"] == "held":
        context.exit(FINDINGS)


@bandit.command()
@click.argument("name", shell_complete=bandits)
@config_option
@reason_option
def start(name: str, config_path: Path, reason: str) -> None:
    """Start NAME with even shares; its arms are published with the next tick.

    Example: homeostat bandit start offers --reason "agreed on Monday"
    """
    _ask(config_path, name, Request.START_BANDIT, reason)


@bandit.command()
@click.argument("name", shell_complete=bandits)
@config_option
@reason_option
def stop(name: str, config_path: Path, reason: str) -> None:
    """Stop NAME: the champion serves everybody again.

    Example: homeostat bandit stop offers --reason "the season is over"
    """
    _ask(config_path, name, Request.STOP_BANDIT, reason)


@bandit.command()
@click.argument("name", shell_complete=bandits)
@click.argument("shares", nargs=-1, required=True, metavar="VERSION=SHARE...")
@click.option(
    "--rule",
    "rules",
    multiple=True,
    help="\"country == 'FR' -> v8\": who is to answer where it holds; the first counts.",
)
@config_option
@json_option
@click.pass_context
def evaluate(
    context: click.Context,
    *,
    name: str,
    shares: tuple[str, ...],
    rules: tuple[str, ...],
    config_path: Path,
    as_json: bool,
) -> None:
    """Say what other shares of NAME would have earned, from what is on record.

    Exit with 1 if nobody can say.

    Example: homeostat bandit evaluate offers 3=0.5 4=0.5
    """
    policy = Policy(read_shares(shares), tuple(read_rule(rule) for rule in rules))
    with deployment(config_path) as opened:
        plan, design = design_of(_plans(opened), name)
        log = open_log(opened.settings, opened.records)
        try:
            now = opened.clock.now()
            found = judged(opened.records, log, plan, design, policy, now)
        finally:
            log.close()
    if as_json:
        print_json({"evaluation": plain(found)})
    elif found.refused:
        click.echo(printable(f"{name}: cannot be told: {found.refused}"))
    else:
        ways = (("ips", found.ips), ("snips", found.snips), ("doubly robust", found.doubly_robust))
        titles = ("estimator", "mean reward", "95 % interval", "effective entities")
        print_table(titles, (_estimate(way, each) for way, each in ways if each), "")
        counted = f"{found.rows} answers of {found.entities} entities"
        click.echo(f"what was done earned {found.logged:.4g} in {counted}")
    if found.refused:
        context.exit(FINDINGS)


def _estimate(way: str, found: OffPolicy) -> tuple[str, ...]:
    lower, upper = found.interval.lower, found.interval.upper
    between = f"{lower:.4g} to {upper:.4g}"
    return way, f"{found.value:.4g}", between, f"{found.effective:.0f}"


def _plans(opened: Deployment) -> dict[str, ModelPlan]:
    return {part.name: model_plan(opened.settings, part.name) for part in opened.settings.models}


def _row(design: Bandit, found: dict[str, object]) -> tuple[str, ...]:
    state, shares = found["state"], found["shares"]
    assert isinstance(shares, dict)
    dealt = " ".join(f"{arm}={share:.1%}" for arm, share in shares.items()) or "-"
    if not isinstance(state, BanditState):
        return design.name, design.model, str(found["stands"]), "-", dealt, "-"
    since = when(state.since if state.on else state.ended)
    why = state.held or state.reason or "-"
    return design.name, design.model, str(found["stands"]), since, dealt, why


def _print_arms(design: Bandit, found: dict[str, object]) -> None:
    state, shares = found["state"], found["shares"]
    assert isinstance(shares, dict)
    of = design.outcome or "the label"
    click.echo(printable(f"{design.name} on {design.model}: {found['stands']}; {design.kind} {of}"))
    if not isinstance(state, BanditState):
        return
    click.echo(printable(state.held or state.reason or f"started by {state.actor}"))
    titles = ("arm", "share", "best", "reward", "answers that count")
    rows = (
        (
            arm.version,
            f"{shares.get(arm.version, 0.0):.1%}",
            f"{arm.best:.1%}",
            f"{arm.mean:.4g}",
            f"{arm.rows:.0f}",
        )
        for arm in state.arms
    )
    print_table(titles, rows, "no arms")
    click.echo(f"{state.batches} batches since {when(state.since)} UTC")


def _ask(config: Path, name: str, request: Request, reason: str) -> None:
    with deployment(config) as opened:
        _, design = design_of(_plans(opened), name)
        command = Command(request, design.model, opened.actor, name, reason)
        submit(opened.records, command, opened.clock.now())
    what = request.replace("_", " ")
    click.echo(f"{name}: asked to {what}; the engine does it at its next tick")
    click.echo("What came of it: homeostat decisions")
