"""``homeostat status`` and ``homeostat decisions``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import click

from homeostat.domain.decision import Severity
from homeostat.domain.text import printable
from homeostat.engine.orders import BreakerOrder, standing
from homeostat.entrypoints import current
from homeostat.entrypoints.cli.options import (
    Deployment,
    config_option,
    deployment,
    model_option,
)
from homeostat.entrypoints.cli.output import json_option, print_json, print_table, when
from homeostat.entrypoints.settings.plan import model_plan
from homeostat.entrypoints.unmonitored import unmonitored
from homeostat.serving.breaker import Event

FINDINGS = 1


@dataclass(frozen=True, slots=True)
class Standing:
    """One model in ``homeostat status``."""

    model: str
    task: str
    stage: str
    champion: str
    challenger: str
    weight: float
    retraining: str
    progress: float | None
    open_incidents: tuple[str, ...]
    worst: str
    late: current.Late
    breakers: tuple[BreakerOrder, ...]
    unmonitored: str


@click.command()
@config_option
@json_option
@click.option(
    "--fail-on",
    type=click.Choice([Severity.CRITICAL.value, Severity.WARNING.value]),
    help="Exit with 1 if an open incident is this severe, or more.",
)
@click.pass_context
def status(
    context: click.Context,
    *,
    config_path: Path,
    as_json: bool,
    fail_on: str | None,
) -> None:
    """Show where each model stands.

    Example: homeostat status --fail-on critical
    """
    with deployment(config_path) as opened:
        found = [_standing(opened, spec.name) for spec in opened.settings.specs]
        leader = current.leader(opened.records)
    if as_json:
        print_json({"models": [asdict(standing) for standing in found], "leader": leader})
    else:
        titles = (
            "model",
            "task",
            "stage",
            "champion",
            "challenger",
            "retraining",
            "open incidents",
        )
        rows = (
            (
                s.model,
                s.task,
                s.stage,
                s.champion or "-",
                f"{s.challenger} ({s.weight:.0%})" if s.challenger else "-",
                s.retraining if s.progress is None else f"{s.retraining} {s.progress:.0%}",
                ", ".join(s.open_incidents) or "none",
            )
            for s in found
        )
        print_table(titles, rows, "no models")
        for s in found:
            if s.unmonitored:
                click.echo(f"{printable(s.model)}: {s.unmonitored}")
            if s.late.told is not None:
                came = f"{s.late}, last {when(s.late.told)} (UTC)"
                click.echo(f"{printable(s.model)}: came late and restated its windows: {came}")
            for order in s.breakers:
                since = f"since {when(order.at)} (UTC)"
                who = printable(
                    f"{s.model}: breaker of {order.version} {order.event} by {order.actor}"
                )
                click.echo(f"{who} {since} {printable(order.reason)}".rstrip())
        click.echo(_leading(leader))
    severe = {Severity.CRITICAL: {"critical"}, Severity.WARNING: {"critical", "warning"}}
    if fail_on and any(s.worst in severe[Severity(fail_on)] for s in found):
        context.exit(FINDINGS)


def _leading(leader: current.Leader | None) -> str:
    if leader is None or not leader.holder:
        return "no control plane leads: nothing ticks; run: homeostat serve"
    return (
        f"led by {printable(leader.holder)} since {when(leader.since)}, "
        f"last heard of {when(leader.heard)} (UTC)"
    )


def _standing(opened: Deployment, model: str) -> Standing:
    rollout = current.rollout(opened.records, model)
    run = current.run(opened.records, model)
    incidents = [state for state in current.incidents(opened.records, model) if state.open]
    order = list(Severity)
    worst = min((state.severity for state in incidents), key=order.index, default="")
    return Standing(
        model=model,
        task=opened.settings.model(model).task,
        stage=rollout.stage,
        champion=rollout.champion,
        challenger=rollout.challenger,
        weight=rollout.weight,
        retraining=run.stage if run else "idle",
        progress=run.progress if run else None,
        open_incidents=tuple(state.key for state in incidents),
        worst=worst,
        late=current.late(opened.records, model),
        breakers=tuple(o for o in standing(opened.records, model) if o.event is not Event.RESET),
        unmonitored=_unmonitored(opened, model, rollout.champion),
    )


def _unmonitored(opened: Deployment, model: str, champion: str) -> str:
    if not champion:
        return ""
    plan = model_plan(opened.settings, model)
    return unmonitored(plan, opened.records.reference(model, champion))


@click.command()
@config_option
@model_option
@json_option
@click.option(
    "-n", "--limit", type=click.IntRange(1), default=50, show_default=True, help="Newest."
)
def decisions(*, config_path: Path, model: str, as_json: bool, limit: int) -> None:
    """Show what was decided, by whom and why, oldest first.

    Example: homeostat decisions -m fraud -n 20
    """
    with deployment(config_path) as opened:
        name = opened.settings.model(model).name if model else ""
        found = opened.records.decisions(name, None, limit)
    if as_json:
        print_json({"decisions": found})
        return
    titles = ("when", "model", "actor", "action", "subject", "reason")
    rows = ((when(d.at), d.model, d.actor, d.action, d.subject, d.reason) for d in found)
    print_table(titles, rows, "no decisions yet")
