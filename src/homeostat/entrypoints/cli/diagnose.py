"""``homeostat diagnose``: why rows differ from what was usual, and what to do about it."""

from __future__ import annotations

import click

from homeostat.domain.explanation import Carrier, Change, Explanation
from homeostat.domain.predictions import PredictionSpec
from homeostat.domain.text import printable
from homeostat.entrypoints.cli.output import json_option, print_json, print_table
from homeostat.entrypoints.cli.spec import prediction_options
from homeostat.entrypoints.diagnose import diagnose as diagnose_rows
from homeostat.reports.wording import number

FINDINGS = 1
SHOWN = 10


@click.command()
@click.argument("reference", metavar="REF")
@click.argument("current", metavar="CUR")
@prediction_options
@click.option("--value", default="", metavar="COLUMN", help="What a prediction was worth.")
@click.option(
    "--fail-on", type=click.Choice(("harm", "any")),
    help="Exit with 1 if the model does worse, or if anything that matters changed.",
)  # fmt: skip
@json_option
def diagnose(
    *,
    reference: str,
    current: str,
    spec: PredictionSpec,
    value: str,
    fail_on: str | None,
    as_json: bool,
) -> int:
    r"""Say why CUR differs from REF: broken data, shifted inputs or labels, or a changed world.

    Both are scored rows, with labels as far as they are known; REF must not be what the model was
    trained on. The change is split into its parts, with the columns that carry it, and there is one
    piece of advice.

    \b
    Examples:
      homeostat diagnose march.parquet april.parquet --label fraud --score p_fraud
      homeostat diagnose a.csv b.csv --segment shop --timestamp at --json
    """
    found = diagnose_rows(reference, current, spec, value=value or None)
    if as_json:
        print_json(found.to_dict())
    else:
        _tell(found)
    harm = found.harmful or (fail_on == "any" and bool(found.causes))
    return FINDINGS if fail_on and harm else 0


def _tell(found: Explanation) -> None:
    click.echo(f"{found.cause.value.replace('_', ' ')}: {printable(found.text)}")
    click.echo(f"What to do: {printable(found.advice)}")
    for change in (found.loss, found.value):
        if change is not None:
            _tell_change(change)
    _tell_carriers("column", found.carriers)
    _tell_carriers("segment", found.segments)
    for caveat in found.caveats:
        click.echo(f"  - {printable(caveat)}")


def _tell_change(change: Change) -> None:
    click.echo(f"\n{change.metric}: {number(change.before)} before, {number(change.now)} now")
    rows = [
        (part.name, f"{part.amount:+.3g}", f"{part.lower:+.3g} to {part.upper:+.3g}")
        for part in (*change.parts, change.total)
    ]
    print_table(("part", "change", "95 % interval"), rows, "")


def _tell_carriers(what: str, carriers: tuple[Carrier, ...]) -> None:
    if not carriers:
        return
    click.echo("")
    rows = [(each.name, f"{each.amount:+.3g}") for each in carriers[:SHOWN]]
    print_table((what, "adds to the loss"), rows, "")
