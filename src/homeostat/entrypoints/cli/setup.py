"""``homeostat init`` and ``homeostat config``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from homeostat.domain.errors import UserError
from homeostat.entrypoints.cli.options import config_option
from homeostat.entrypoints.cli.output import json_option, print_json
from homeostat.entrypoints.init import write_config
from homeostat.entrypoints.settings import json_schema, problems


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("homeostat.yaml"),
    show_default=True,
    help="File to write.",
)
@click.option("--label", metavar="COLUMN", help="What turned out to be true; default: a guess.")
@click.option("--score", metavar="COLUMN", help="What the model answered; default: a guess.")
@click.option("--timestamp", metavar="COLUMN", help="When it was asked; default: a guess.")
@click.option("--label-timestamp", metavar="COLUMN", help="When the label became known.")
@click.option("--id", metavar="COLUMN", help="Id of the prediction; default: a guess.")
@click.option("--force", is_flag=True, help="Overwrite the file if it exists.")
def init(*, data: Path, output: Path, force: bool, **columns: str | None) -> None:
    """Look at DATA (Parquet or CSV) and write a commented homeostat.yaml.

    DATA is a history of what the model saw: one row a prediction, with its features, its time and,
    if known, its label and what the model answered. What is guessed is said, here and in the file.

    Example: homeostat init bookings.csv --label cancelled --score p_cancelled
    """
    given = {role: column for role, column in columns.items() if column}
    found = write_config(data, output, given, force=force)
    click.echo(f"{output}: model {found.name}, {found.task}, {len(found.features)} features")
    rows = "one row" if found.rows == 1 else f"{found.rows:,} rows"
    click.echo(f"Assumed from {rows}:")
    for line in found.assumed:
        click.echo(f"  - {' '.join(line.split())}")
    click.echo(f"Next: look it over, then: homeostat config check -c {output}")


@click.group()
def config() -> None:
    """Check the configuration, or print its JSON Schema."""


@config.command()
@config_option
@json_option
def check(*, config_path: Path, as_json: bool) -> None:
    """Say everything that is wrong with the configuration.

    Example: homeostat config check -c homeostat.yaml
    """
    found = problems(config_path)
    if as_json:
        fields = ("file", "line", "field", "problem", "remedy")
        print_json([{name: getattr(error, name) for name in fields} for error in found])
    else:
        for error in found:
            click.echo(str(error))
    if found:
        count = "one problem" if len(found) == 1 else f"{len(found)} problems"
        raise UserError(f"{config_path} has {count}")
    if not as_json:
        click.echo(f"{config_path} is fine")


@config.command()
def schema() -> None:
    """Print the JSON Schema, for editors.

    Example: homeostat config schema > homeostat.schema.json
    """
    click.echo(json.dumps(json_schema(), indent=2))
