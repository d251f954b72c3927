"""``homeostat compare``: what changed between two sets of rows."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click

from homeostat.detectors.comparison.config import DEFAULT, ComparisonConfig
from homeostat.detectors.drift.presets import PRESETS, Preset
from homeostat.domain.comparison import Comparison
from homeostat.domain.errors import DataError
from homeostat.domain.text import printable
from homeostat.entrypoints.cli.columns import kind_options, mapping_of, split_names
from homeostat.entrypoints.cli.engine import engine_options, of_deployment
from homeostat.entrypoints.cli.figure import Figure
from homeostat.entrypoints.cli.output import json_option, print_json, print_table
from homeostat.entrypoints.cli.progress import rows_read
from homeostat.entrypoints.compare import Report
from homeostat.entrypoints.compare import compare as compare_rows
from homeostat.entrypoints.engines import EngineName
from homeostat.reports.comparison import WORDS, summarise
from homeostat.reports.wording import chance, number

FAIL_ON = ("drift", "dataset", "quality", "any")
FINDINGS = 1
SHOWN = 50


@click.command()
@click.argument("reference", metavar="REF")
@click.argument("current", metavar="CUR")
@kind_options
@click.option(
    "--map", "pairs", multiple=True, metavar="REF_NAME=CUR_NAME",
    help="A column that CUR calls otherwise; can be given more than once.",
)  # fmt: skip
@click.option(
    "--segment", "segments", default="", metavar="A,B", help="Compare by their values too."
)
@click.option(
    "--alpha", type=Figure(0, 1, min_open=True, max_open=True), default=DEFAULT.alpha,
    show_default=True, help="Accepted probability of naming any column when none has changed.",
)  # fmt: skip
@click.option(
    "--dataset-share", type=Figure(0, 1, min_open=True), default=DEFAULT.dataset_share,
    show_default=True, help="Share of drifted columns that makes a drift of the data set.",
)  # fmt: skip
@click.option("--preset", type=click.Choice(PRESETS), help="Decide as another tool does.")
@click.option(
    "--fail-on", type=click.Choice(FAIL_ON),
    help="Exit with 1 if a column drifted, the data set drifted, data quality broke, or any of it.",
)  # fmt: skip
@click.option(
    "--html", type=click.Path(path_type=Path), help="Write a report with pictures to this file."
)
@click.option("--streaming", is_flag=True, help="Read a piece at a time, in bounded memory.")
@engine_options
@json_option
def compare(
    *,
    reference: str,
    current: str,
    kinds: dict[str, str],
    pairs: tuple[str, ...],
    segments: str,
    alpha: float,
    dataset_share: float,
    preset: str | None,
    fail_on: str | None,
    html: Path | None,
    streaming: bool,
    engine: EngineName,
    config_path: Path,
    as_json: bool,
) -> int:
    r"""Say what changed between REF and CUR: which columns drifted, what is wrong with the data.

    REF is what is normal (training data, last month), CUR what to judge: Parquet, CSV or Arrow
    files, folders of them, their addresses (s3://, gs://, https://), profiles that
    `homeostat profile` wrote, or windows of a deployment's prediction log. A column drifted if the
    change is real (--alpha holds over all columns together) and large enough to matter. What
    columns are is inferred, and said.

    \b
    Examples:
      homeostat compare march.parquet april.parquet
      homeostat compare train.csv today.csv --categorical store --map amount=amt --html report.html
      homeostat compare march.profile april.parquet --json --fail-on drift
      homeostat compare log:fraud@2026-10-01/2026-11-01 log:fraud@2026-11-01 --engine spark
    """
    with rows_read() as progress:
        report = compare_rows(
            of_deployment(reference, config_path),
            of_deployment(current, config_path),
            kinds=kinds,
            columns=mapping_of(pairs),
            segments=split_names(segments),
            config=ComparisonConfig(alpha=alpha, dataset_share=dataset_share),
            preset=cast("Preset | None", preset),
            streaming=streaming,
            engine=engine,
            progress=progress,
        )
    if html is not None:
        _write(report, html, f"{reference} and {current}")
    if as_json:
        print_json(report.to_dict())
        for sentence in report.assumptions:
            click.echo(f"assumed: {printable(sentence)}", err=True)
    else:
        _tell(report)
        if html is not None:
            click.echo(f"\nReport: {html}")
    return FINDINGS if fail_on and _found(report, fail_on) else 0


def _found(report: Comparison, wanted: str) -> bool:
    found = {
        "drift": bool(report.drifted or report.pairs),
        "dataset": report.dataset_drift,
        "quality": bool(report.findings),
    }
    return any(found.values()) if wanted == "any" else found[wanted]


def _write(report: Report, path: Path, title: str) -> None:
    try:
        path.write_text(report.to_html(title), encoding="utf-8")
    except OSError as error:
        reason = error.strerror or "unknown reason"
        raise DataError(f"cannot write {path}: {reason}; choose another place") from error


def _tell(report: Comparison) -> None:
    click.echo(printable(summarise(report)))
    click.echo(f"Reference {report.n_reference:,} rows, current {report.n_current:,} rows\n")
    rows = [
        (
            column.name,
            "" if column.kind is None else column.kind.value,
            WORDS[column.verdict],
            number(column.drift_score),
            chance(column.p_value),
            column.reason,
        )
        for column in report.ranked[:SHOWN]
    ]
    print_table(("column", "kind", "verdict", "score", "p", "why"), rows, "There are no columns.")
    hidden = len(report.columns) - len(rows)
    if hidden > 0:
        click.echo(f"... and {hidden:,} more; --json lists them all")
    _list("Correlations that changed:", [pair.reason for pair in report.pairs])
    _list("Data quality:", report.findings)
    _list("Segments:", [f"{name}: {said}" for name, said in report.carriers.items()])
    _list("Assumed:", report.assumptions)


def _list(title: str, sentences: list[str] | tuple[str, ...]) -> None:
    if sentences:
        click.echo(f"\n{title}")
    for sentence in sentences[:SHOWN]:
        click.echo(f"  - {printable(sentence)}")
    if len(sentences) > SHOWN:
        click.echo(f"  ... and {len(sentences) - SHOWN:,} more")
