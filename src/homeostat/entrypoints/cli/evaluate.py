"""``homeostat evaluate``: how good a model was, by the labels that are known."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import click

from homeostat.domain.evaluation import KNOWN, Evaluation, Figure
from homeostat.domain.predictions import PredictionSpec
from homeostat.domain.text import printable
from homeostat.entrypoints.cli.engine import engine_options, of_deployment
from homeostat.entrypoints.cli.output import json_option, print_json, print_table, when
from homeostat.entrypoints.cli.spec import names, prediction_options, stretch
from homeostat.entrypoints.engines import EngineName
from homeostat.entrypoints.evaluate import evaluate as evaluate_rows
from homeostat.reports.wording import number

SHOWN = 200


@click.command()
@click.argument("data", metavar="DATA")
@prediction_options
@click.option(
    "--window", type=stretch, metavar="7d|1000", help="By stretches of time, or of rows, too."
)
@click.option("--metrics", type=names, default="", metavar="A,B", help="Only these metrics.")
@click.option(
    "--min-rows", type=click.IntRange(1), default=30, show_default=True,
    help="Labelled rows below which a figure is not given.",
)  # fmt: skip
@click.option(
    "--cohort", type=click.Choice(("matured", "weighted", "known")), default="matured",
    show_default=True, help="Old enough predictions; young ones too, by weight; all labels.",
)  # fmt: skip
@click.option(
    "--delay-by", type=names, default="", metavar="A,B",
    help="Columns that decide when labels come, for --cohort weighted.",
)  # fmt: skip
@click.option(
    "--as-of", type=click.DateTime(), help="As things were known then, in UTC; default: the data's "
    "latest time, of a log now.",
)  # fmt: skip
@engine_options
@json_option
def evaluate(
    *,
    data: str,
    spec: PredictionSpec,
    window: int | timedelta | None,
    metrics: tuple[str, ...],
    min_rows: int,
    cohort: Literal["matured", "weighted", "known"],
    delay_by: tuple[str, ...],
    as_of: datetime | None,
    engine: EngineName,
    config_path: Path,
    as_json: bool,
) -> None:
    r"""Say how good a model was on DATA, by the labels that are known, with 95 % intervals.

    With --timestamp and --maturity, only predictions of that age count: labels that come early are
    a biased selection. What cannot be told says why. Of a window of a deployment's prediction log
    the configuration says what its columns are.

    \b
    Examples:
      homeostat evaluate scored.parquet --label fraud --score p_fraud --segment country
      homeostat evaluate scored.csv --timestamp at --maturity 30d --window 7d --metrics auc,recall
      homeostat evaluate prices.csv --task regression --label price --score predicted
      homeostat evaluate log:fraud@2026-10-01/2026-11-01 --window 1d --engine spark
    """
    rows = of_deployment(data, config_path)
    found = evaluate_rows(
        rows, spec if rows is data else None, metrics=metrics or None, window=window,
        min_rows=min_rows, cohort=cohort, delay_by=delay_by, as_of=as_of, engine=engine,
    )  # fmt: skip
    if as_json:
        print_json(found.to_dict())
    else:
        _tell(found)


def _tell(found: Evaluation) -> None:
    of = "predictions" if found.cohort == KNOWN else f"{found.cohort} predictions"
    asked = f" as of {when(found.as_of)}" if found.as_of else ""
    click.echo(f"{found.rows:,} {of}{asked}, labels of {found.coverage:.1%} known\n")
    several = any(figure.part for figure in found.figures)
    titles = (*(("of",) if several else ()), "metric", "value", "95 % interval", "rows", "labels")
    rows = [_row(figure, several=several) for figure in found.figures[:SHOWN]]
    print_table(titles, rows, "There are no figures.")
    hidden = len(found.figures) - len(rows)
    if hidden > 0:
        click.echo(f"... and {hidden:,} more; --json lists them all")
    for sentence in found.problems:
        click.echo(f"  - {printable(sentence)}")


def _row(figure: Figure, *, several: bool) -> tuple[str, ...]:
    place = (f"{figure.by} {figure.part}".strip(),) if several else ()
    told = (
        (number(figure.value), f"{number(figure.lower)} to {number(figure.upper)}")
        if figure.value is not None
        else ("—", figure.problem)
    )
    return (*place, figure.metric, *told, f"{figure.n:,}", f"{figure.coverage:.0%}")
