"""``homeostat profile``: a summary of data to keep, without the data."""

from __future__ import annotations

from pathlib import Path

import click

from homeostat.domain.text import printable
from homeostat.entrypoints.cli.columns import kind_options
from homeostat.entrypoints.cli.engine import engine_options, of_deployment
from homeostat.entrypoints.cli.output import json_option, print_json, print_table
from homeostat.entrypoints.cli.progress import rows_read
from homeostat.entrypoints.engines import EngineName
from homeostat.entrypoints.profiling import Profile
from homeostat.entrypoints.profiling import profile as summarise
from homeostat.profiles.profile import ColumnProfile
from homeostat.reports.wording import number


@click.command()
@click.argument("data")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="File to write."
)
@kind_options
@click.option("--streaming", is_flag=True, help="Read a piece at a time, in bounded memory.")
@engine_options
@json_option
def profile(
    *,
    data: str,
    output: Path,
    kinds: dict[str, str],
    streaming: bool,
    engine: EngineName,
    config_path: Path,
    as_json: bool,
) -> None:
    """Summarise the columns of DATA into a small file.

    DATA is a Parquet, CSV or Arrow file, a folder of them, or an address (s3://, gs://, https://);
    or a window of a deployment's prediction log, such as log:fraud@2026-10-01/2026-11-01.

    The file holds no rows: exact counts, histograms and moments of each column. `homeostat compare`
    takes it in place of the data, and profiles of different days can be merged.

    Example: homeostat profile march.parquet -o march.profile
    """
    with rows_read() as progress:
        source = of_deployment(data, config_path)
        made = summarise(source, kinds=kinds, streaming=streaming, engine=engine, progress=progress)
    made.save(output)
    if as_json:
        print_json(_values(made, output))
        return
    click.echo(f"{output}: {made.rows:,} rows, {len(made.columns)} columns")
    titles = ("column", "kind", "missing", "distinct", "mean", "lowest", "highest")
    rows = [_line(name, column) for name, column in made.columns.items()]
    print_table(titles, rows, "no column can be summarised")
    if made.assumptions:
        click.echo("Assumed:")
    for sentence in made.assumptions:
        click.echo(f"  - {printable(sentence)}")


def _line(name: str, column: ColumnProfile) -> tuple[str, ...]:
    missing = column.share(column.missing + column.nan)
    distinct = f"{column.distinct:,}" if column.distinct else ""
    facts = (column.mean, column.minimum, column.maximum)
    return name, column.kind.value, f"{missing:.2%}", distinct, *map(number, facts)


def _values(made: Profile, output: Path) -> dict[str, object]:
    return {
        "file": str(output),
        "rows": made.rows,
        "columns": [
            {
                "name": name,
                "kind": column.kind,
                "missing": column.missing,
                "nan": column.nan,
                "infinite": column.infinite,
                "distinct": column.distinct or None,
                "mean": column.mean,
                "minimum": column.minimum,
                "maximum": column.maximum,
            }
            for name, column in made.columns.items()
        ],
        "assumptions": list(made.assumptions),
    }
