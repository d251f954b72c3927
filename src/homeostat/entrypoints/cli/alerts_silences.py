"""``homeostat alerts silence``: incidents that somebody knows of tell nobody for a while."""

from __future__ import annotations

from pathlib import Path

import click

from homeostat.alerting.silences import Silence
from homeostat.domain.errors import DataError
from homeostat.engine.silencing import Silencing, all_silences
from homeostat.entrypoints import current
from homeostat.entrypoints.cli.options import Deployment, config_option, deployment
from homeostat.entrypoints.cli.output import json_option, print_json, print_table, when
from homeostat.entrypoints.silencing import described, make, standing


def _silencing(opened: Deployment) -> Silencing:
    return Silencing(opened.records, [part.name for part in opened.settings.models])


@click.command()
@click.argument("incident", required=False, default="")
@config_option
@json_option
@click.option("-m", "--model", default="", help="Models by name; * stands for any letters.")
@click.option("--rule", default="", help="Alert rules, such as data_drift.")
@click.option("--subject", default="", help="Columns or metrics; all of the incident must match.")
@click.option("--severity", multiple=True, help="critical, warning or info; several: repeat it.")
@click.option("--owner", required=True, help="Who answers for it.")
@click.option("--reason", required=True, help="Why, for the decision log and the pages.")
@click.option("--for", "length", default="", help="For how long, such as 2h; at most 30 days.")
@click.option("--until", default="", help="Or until when, such as 2024-01-31T12:00Z.")
@click.option("--from", "start", default="", help="From when on; default: now.")
def silence(
    *,
    incident: str,
    config_path: Path,
    as_json: bool,
    severity: tuple[str, ...],
    length: str,
    until: str,
    **given: str,
) -> None:
    """Tell nobody of some incidents for a while; they fire nevertheless and are shown.

    INCIDENT is a key such as fraud:data_drift:1 and stands for its model and rule. Who has a page
    already is told of its end; who has none is told once the silence is over, if it is open then.

    Example: homeostat alerts silence fraud:data_drift:1 --for 2h --owner ann --reason "known"
    """
    with deployment(config_path, create=True) as opened:
        fields = {**given, "severity": ",".join(severity), "for": length, "end": until}
        if incident:
            if given["model"] or given["rule"]:
                raise DataError("give an incident, or a model and rule, not both")
            state = current.find_incident(opened.records, incident)
            fields |= {"model": state.model, "rule": state.rule}
        now = opened.clock.now()
        made = make(_silencing(opened), fields, opened.actor, now)
    _tell(made, f"silence {made.number} holds until {when(made.end)} UTC", as_json=as_json)


def _tell(made: Silence, words: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"silence": described(made, made.at)})
        return
    click.echo(f"{words}; the engine heeds it from its next tick on")


@click.command()
@click.argument("number", type=click.IntRange(1))
@config_option
def unsilence(number: int, config_path: Path) -> None:
    """End silence NUMBER now. People are told of what is open still.

    Example: homeostat alerts unsilence 3
    """
    with deployment(config_path) as opened:
        _silencing(opened).end(number, opened.actor, opened.clock.now())
    click.echo(f"silence {number} is over; the engine heeds it at its next tick")


@click.command()
@config_option
@json_option
@click.option("--all", "everything", is_flag=True, help="Also those that are over.")
def silences(*, config_path: Path, as_json: bool, everything: bool) -> None:
    """List silences, newest first.

    Example: homeostat alerts silences --all
    """
    with deployment(config_path) as opened:
        now = opened.clock.now()
        found = [s for s in all_silences(opened.records) if everything or not s.is_over(now)]
    if as_json:
        print_json({"silences": [described(each, now) for each in found]})
        return
    titles = ("number", "stands", "model", "rule", "subject", "severities", "from", "until")
    rows = (
        (
            str(each.number),
            standing(each, now) + (f" (ended by {each.ended_by})" if each.ended_by else ""),
            each.matcher.model,
            each.matcher.rule,
            each.matcher.subject,
            ", ".join(sorted(each.matcher.severities)) or "all",
            when(each.start),
            when(each.end),
            each.owner,
            each.reason,
        )
        for each in found
    )
    print_table((*titles, "owner", "reason"), rows, "no silences")
