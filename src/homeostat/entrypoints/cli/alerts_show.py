"""``homeostat alerts show|postmortem``: what happened in an incident, and its document."""

from __future__ import annotations

from pathlib import Path

import click

from homeostat.domain.errors import DataError
from homeostat.entrypoints.cli.options import Deployment, config_option, deployment
from homeostat.entrypoints.cli.output import json_option, print_json, print_table, when
from homeostat.entrypoints.story import Stories, Story, told_of
from homeostat.reports.postmortem import to_html, to_markdown
from homeostat.reports.wording import number

FORMATS = {".md": to_markdown, ".html": to_html}


def _stories(opened: Deployment) -> Stories:
    specs = {spec.name: spec for spec in opened.settings.specs}
    return Stories(opened.records, specs, opened.clock)


@click.command()
@click.argument("incident")
@config_option
@json_option
def show(incident: str, *, config_path: Path, as_json: bool) -> None:
    """Show what happened in INCIDENT, with who was told, the figures, and what was done.

    Example: homeostat alerts show fraud:data_fault:2
    """
    with deployment(config_path) as opened:
        story = _stories(opened).of(incident)
    if as_json:
        print_json({"incident": told_of(story)})
        return
    _print(story)


def _print(story: Story) -> None:
    line, state = story.line, story.state
    told = ", ".join(state.told) if state and state.told else "nobody by its own key"
    facts = (
        ("what", line.title),
        ("stands", f"{line.severity.value}, {line.stage}"),
        ("fired", when(line.opened)),
        ("over", when(line.resolved)),
        ("why", line.reason),
        ("cause", line.cause or "-"),
        ("told", told if state else "see the timeline"),
        ("runbook", line.runbook or "-"),
    )
    print_table(("incident", line.key), facts, "")
    click.echo()
    rows = (
        (
            when(each.at),
            each.kind.value,
            each.words,
            ", ".join(f"{name} {number(value)}" for name, value in each.evidence) or "-",
            each.actor or "-",
        )
        for each in story.entries
    )
    print_table(("when", "what", "words", "figures", "who"), rows, "nothing is on record")


@click.command()
@click.argument("incident")
@config_option
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write; .md or .html says which form.",
)
def postmortem(incident: str, config_path: Path, output: Path) -> None:
    """Write the post-mortem of INCIDENT, to be completed by people, as one file.

    Example: homeostat alerts postmortem fraud:data_fault:2 -o postmortem.md
    """
    form = FORMATS.get(output.suffix.lower())
    if form is None:
        raise DataError(f"{output} ends in neither .md nor .html; these are the forms there are")
    with deployment(config_path) as opened:
        stories = _stories(opened)
        text = form(stories.postmortem(stories.of(incident)))
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(f"{output} cannot be written: {error.strerror}") from error
    click.echo(f"written to {output}")
