"""``homeostat experiment``: plan, start, read and end experiments."""

from __future__ import annotations

from dataclasses import asdict
from math import isfinite, isnan
from pathlib import Path

import click
import numpy as np

from homeostat.domain.errors import NotFoundError
from homeostat.domain.text import lines, printable
from homeostat.engine.experiments import end, experiments_of
from homeostat.engine.experiments import start as start_experiment
from homeostat.engine.experiments_before import (
    Forecast,
    Past,
    forecast,
    read_past,
    rehearse_past,
)
from homeostat.engine.ports import Records
from homeostat.entrypoints.bootstrap import open_log
from homeostat.entrypoints.cli.completion import experiments
from homeostat.entrypoints.cli.options import config_option, deployment, reason_option
from homeostat.entrypoints.cli.output import json_option, print_json, print_table, when
from homeostat.entrypoints.experiments import described, listed, page_of
from homeostat.entrypoints.registries import open_registry
from homeostat.entrypoints.settings.deployment import Settings
from homeostat.entrypoints.settings.experiments import plan_named
from homeostat.reports.experiment import to_html, to_markdown
from homeostat.reports.wording import number
from homeostat.rollout.experiment.life import ExperimentState
from homeostat.rollout.experiment.plan import ExperimentPlan
from homeostat.rollout.experiment.rehearse import Rehearsal

FINDINGS = 1
days_option = click.option(
    "--days",
    type=click.IntRange(1, 400),
    default=28,
    show_default=True,
    help="How much of the past to look at: days whose outcomes are complete.",
)


@click.group()
def experiment() -> None:
    """Compare versions on a model's traffic, by figures that were agreed on before."""


@experiment.command("list")
@config_option
@json_option
def list_experiments(*, config_path: Path, as_json: bool) -> None:
    """List the experiments, and where each of them stands.

    Example: homeostat experiment list --json
    """
    with deployment(config_path) as opened:
        found = listed(opened.records, opened.settings.experiment_plans)
    if as_json:
        print_json({"experiments": found})
        return
    titles = ("experiment", "model", "arms", "stage", "decision", "winner", "started", "why")
    rows = (
        (
            each.name,
            each.model,
            " ".join(f"{arm}={share:g}" for arm, share in each.arms.items()),
            each.stage,
            each.decision or "-",
            each.winner or "-",
            when(each.started),
            each.reason,
        )
        for each in found
    )
    print_table(titles, rows, "no experiments: describe one under experiments: in homeostat.yaml")


def _share(value: float) -> str:
    return f"{value:+.1%}" if isfinite(value) else "-"


@experiment.command()
@click.argument("name", shell_complete=experiments)
@config_option
@json_option
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write a page.")
@click.option("--markdown", is_flag=True, help="Print Markdown.")
def show(name: str, *, config_path: Path, as_json: bool, html: Path | None, markdown: bool) -> None:
    """Show what came of NAME so far, and what to do.

    Example: homeostat experiment show prices --html prices.html
    """
    with deployment(config_path) as opened:
        state = _found(opened.settings, opened.records, name)
        page = page_of(opened.records, state, opened.clock.now())
        told = described(opened.records, state) if as_json else {}
    if html is not None:
        html.write_text(to_html(page), encoding="utf-8")
        click.echo(f"written to {html}", err=True)
    if as_json:
        print_json(told)
    elif markdown:
        click.echo(lines(to_markdown(page).splitlines()))
    elif html is None:
        click.echo(printable(f"{page.title}: {page.headline}. {page.advice}"))
        for reason in page.reasons:
            click.echo(f"  {printable(reason)}")
        titles = ("version", "figure", "role", "control", "version's", "from", "to", "says")
        rows = (
            (
                line.version, line.name, line.role, line.control, line.treated,
                _share(line.lower), _share(line.upper), line.verdict,
            )
            for line in page.figures
        )  # fmt: skip
        print_table(titles, rows, "nothing was measured yet")


@experiment.command()
@click.argument("name", shell_complete=experiments)
@config_option
@reason_option
def start(name: str, config_path: Path, reason: str) -> None:
    """Start NAME as homeostat.yaml describes it; the gateways follow at the next tick.

    Example: homeostat experiment start prices --reason "agreed on Monday"
    """
    with deployment(config_path) as opened:
        plan = plan_named(opened.settings.experiment_plans, name)
        registry = open_registry(opened.settings, opened.clock)
        now = opened.clock.now()
        state = start_experiment(opened.records, registry, plan, opened.actor, now, reason)
    shares = " ".join(f"{arm}={share:g}" for arm, share in state.plan.shares.items())
    click.echo(printable(f"{plan.model}: {name} is running: {shares}"))
    click.echo(f"How it goes: homeostat experiment show {name}")


@experiment.command()
@click.argument("name", shell_complete=experiments)
@config_option
@reason_option
@click.option("--promote", is_flag=True, help="Hand the version that is to ship to the rollout.")
def stop(name: str, *, config_path: Path, reason: str, promote: bool) -> None:
    """End NAME; everybody is answered by the champion again.

    Example: homeostat experiment stop prices --promote
    """
    with deployment(config_path) as opened:
        state = _found(opened.settings, opened.records, name)
        now, model = opened.clock.now(), state.plan.model
        state = end(opened.records, model, name, opened.actor, now, reason, promote=promote)
    told = f"; {state.winner} is submitted to the rollout" if promote else ""
    click.echo(printable(f"{model}: {name} is over{told}"))


@experiment.command()
@click.argument("name", shell_complete=experiments)
@config_option
@json_option
@days_option
@click.option(
    "--effect",
    type=click.FloatRange(0, min_open=True),
    default=0.1,
    show_default=True,
    help="Relative change of success metrics that is to be found.",
)
@click.option(
    "--power",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.8,
    show_default=True,
    help="Chance to find it.",
)
def power(
    name: str, *, config_path: Path, as_json: bool, days: int, effect: float, power: float
) -> None:  # fmt: skip
    """Say how many entities NAME needs, and how long that takes, from the past traffic.

    Example: homeostat experiment power prices --days 28
    """
    plan, past = _past(config_path, name, days)
    found = forecast(plan, past, effect, power)
    if as_json:
        print_json(asdict(found))
        return
    titles = ("figure", "role", "before", "to find", "entities", "note")
    rows = (
        (
            need.metric, need.role, number(need.figure), f"{need.effect:.3g}",
            number(float(f"{need.entities:.2g}")), need.problem,
        )
        for need in found.needs
    )  # fmt: skip
    print_table(titles, rows, "no figures")
    click.echo(_told(plan, found))


def _told(plan: ExperimentPlan, found: Forecast) -> str:
    if not found.size:
        return "No size can be said from this past."
    told = f"size: {found.size} takes about {found.days:.3g} days ({found.days / 7:.1f} weeks)"
    set_to = plan.design.size
    fits = "" if set_to >= found.size else f"; {set_to} as configured is less than that"
    return f"{told} at {plan.traffic:.0%} of the traffic{fits}"


@experiment.command()
@click.argument("name", shell_complete=experiments)
@config_option
@json_option
@days_option
@click.option(
    "--runs",
    type=click.IntRange(20, 10_000),
    default=200,
    show_default=True,
    help="Random splits of the past.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the splits.")
@click.pass_context
def aa(
    context: click.Context,
    name: str, *, config_path: Path, as_json: bool, days: int, runs: int, seed: int,
) -> None:  # fmt: skip
    """Rehearse NAME on the past, where nothing was different, and count how often it would ship.

    Exits with 1 if that is more often than accepted.

    Example: homeostat experiment aa prices --runs 200
    """
    plan, past = _past(config_path, name, days)
    rehearsal, tests = rehearse_past(plan, past, np.random.default_rng(seed), runs)
    sound = rehearsal.sound and all(test.sound or isnan(test.rate) for test in tests)
    if as_json:
        print_json(asdict(rehearsal) | {"rate": rehearsal.rate, "metrics": tests, "sound": sound})
    else:
        click.echo(_rehearsed(rehearsal))
        for test in tests:
            click.echo(printable(f"{test.metric}: {test.reason}"))
        click.echo("sound" if sound else "NOT sound: no result of this measuring can be trusted")
    if not sound:
        context.exit(FINDINGS)


def _rehearsed(found: Rehearsal) -> str:
    low, high = found.interval.lower, found.interval.upper
    return (
        f"{found.runs} random splits of {found.entities} entities, {found.looks} looks each:"
        f" {found.shipped} would have shipped ({found.rate:.1%}, 95 % interval {low:.1%} to"
        f" {high:.1%}; {found.alpha:.1%} accepted), {found.stopped} were stopped"
    )


def _found(settings: Settings, records: Records, name: str) -> ExperimentState:
    """Return the newest experiment of a name, whether it is in the settings still or not."""
    for model in settings.models:
        state = experiments_of(records, model.name).named(name)
        if state is not None:
            return state
    plan_named(settings.experiment_plans, name)  # raises if there is none
    raise NotFoundError(f"{name} was never started: homeostat experiment start {name}")


def _past(config: Path, name: str, days: int) -> tuple[ExperimentPlan, Past]:
    """Read the past of an experiment's model."""
    with deployment(config) as opened:
        plan = plan_named(opened.settings.experiment_plans, name)
        log = open_log(opened.settings, opened.records)
        try:
            spec = opened.settings.model(plan.model).spec()
            return plan, read_past(plan, log, spec, days, opened.clock.now())
        finally:
            log.close()
