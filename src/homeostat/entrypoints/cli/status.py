"""``homeostat status`` and ``homeostat decisions``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
MOST = 10
"""Models, and notes on them, that fit one screen of 24 lines with all else."""
LISTED = 3
"""Open incidents of a model that are named."""


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
@click.option("--all", "everything", is_flag=True, help="All models; else what fits one screen.")
@click.pass_context
def status(
    context: click.Context,
    *,
    config_path: Path,
    as_json: bool,
    fail_on: str | None,
    everything: bool,
) -> None:
    """Show where each model stands, those in trouble first.

    Example: homeostat status --fail-on critical
    """
    with deployment(config_path) as opened:
        found = [_standing(opened, spec.name) for spec in opened.settings.specs]
        leader = current.leader(opened.records)
    if as_json:
        print_json({"models": [asdict(standing) for standing in found], "leader": leader})
    else:
        _tell(sorted(found, key=_trouble), None if everything else MOST)
        click.echo(_leading(leader))
    severe = {Severity.CRITICAL: {"critical"}, Severity.WARNING: {"critical", "warning"}}
    if fail_on and any(s.worst in severe[Severity(fail_on)] for s in found):
        context.exit(FINDINGS)


def _trouble(standing: Standing) -> tuple[int, int, bool, str]:
    """Order models by how much they ask of whoever looks."""
    order = [*(severity.value for severity in Severity), ""]
    unsure = bool(standing.unmonitored or standing.breakers or standing.challenger)
    worst = order.index(standing.worst)
    return worst, -len(standing.open_incidents), not unsure, standing.model


def _tell(found: Sequence[Standing], most: int | None) -> None:
    titles = ("model", "task", "stage", "champion", "challenger", "retraining", "open incidents")
    shown = found[:most]
    rows = (
        (
            s.model,
            s.task,
            s.stage,
            s.champion or "-",
            f"{s.challenger} ({s.weight:.0%})" if s.challenger else "-",
            s.retraining if s.progress is None else f"{s.retraining} {s.progress:.0%}",
            _some(s.open_incidents),
        )
        for s in shown
    )
    print_table(titles, rows, "no models")
    hidden = found[len(shown) :]
    if hidden:
        firing = sum(bool(s.open_incidents) for s in hidden)
        click.echo(f"and {len(hidden)} more models, {firing} with open incidents: --all")
    notes = [note for s in shown for note in _notes(s)]
    for note in notes[:most]:
        click.echo(note)
    if len(notes) > len(notes[:most]):
        click.echo(f"and {len(notes) - len(notes[:most])} more notes: --all")


def _some(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - LISTED} more" if len(keys) > LISTED else ""
    return (", ".join(keys[:LISTED]) or "none") + more


def _notes(s: Standing) -> Iterator[str]:
    if s.unmonitored:
        yield f"{printable(s.model)}: {s.unmonitored}"
    if s.late.told is not None:
        came = f"{s.late}, last {when(s.late.told)} (UTC)"
        yield f"{printable(s.model)}: came late and restated its windows: {came}"
    for order in s.breakers:
        since = f"since {when(order.at)} (UTC)"
        who = printable(f"{s.model}: breaker of {order.version} {order.event} by {order.actor}")
        yield f"{who} {since} {printable(order.reason)}".rstrip()


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
