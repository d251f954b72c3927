"""``homeostat estimate``: performance of rows whose labels are not known yet."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import click

from homeostat.domain.estimation import Estimation, MetricEstimate, Standing, WindowEstimate
from homeostat.domain.predictions import PredictionSpec
from homeostat.domain.text import printable
from homeostat.entrypoints.cli.output import json_option, print_json, print_table, when
from homeostat.entrypoints.cli.spec import names, prediction_options, stretch
from homeostat.entrypoints.estimate import estimate as estimate_rows
from homeostat.reports.wording import number

SHOWN = ("accuracy", "f1", "auc", "mae", "rmse")


@click.command()
@click.argument("reference", metavar="REF")
@click.argument("current", metavar="CUR")
@prediction_options
@click.option(
    "--window",
    type=stretch,
    metavar="7d|1000",
    help="Length of a window, or its rows; default: 10.",
)  # fmt: skip
@click.option("--metrics", type=names, default="", metavar="A,B", help="Only these metrics.")
@json_option
def estimate(
    *,
    reference: str,
    current: str,
    spec: PredictionSpec,
    window: int | timedelta | None,
    metrics: tuple[str, ...],
    as_json: bool,
) -> None:
    r"""Estimate how good a model is on CUR, whose labels are not known, from labelled rows REF.

    REF must not be what the model was trained on. Where an estimate would be a guess, it says so
    instead of giving a number.

    \b
    Examples:
      homeostat estimate march.parquet april.parquet --label fraud --score p_fraud
      homeostat estimate test.csv live.csv --timestamp at --window 7d --metrics accuracy,auc
      homeostat estimate a.csv b.csv --task regression --label price --score predicted
    """
    found = estimate_rows(reference, current, spec, window=window, metrics=metrics or None)
    if as_json:
        print_json(found.to_dict())
        return
    _tell(found, metrics or _few(found))


def _few(found: Estimation) -> Sequence[str]:
    known = [each.metric for each in found.windows[0].estimates]
    return [name for name in SHOWN if name in known] or known


def _tell(found: Estimation, metrics: Sequence[str]) -> None:
    click.echo(f"{printable(found.method)}\n")
    rows = [
        (_place(part), f"{part.n:,}", *(_figure(part[name]) for name in metrics))
        for part in found.windows
    ]
    usual = ("reference", "", *(number(found.reference[name]) for name in metrics))
    print_table(("window", "rows", *metrics), [usual, *rows], "There are no windows.")
    for sentence in (*_reasons(found, metrics), *found.problems):
        click.echo(f"  - {printable(sentence)}")


def _reasons(found: Estimation, metrics: Sequence[str]) -> list[str]:
    """Say of each window why something is not identifiable; metrics of one reason together."""
    said = []
    for part in found.windows:
        whys: dict[str, list[str]] = {}
        for name in metrics:
            if part[name].reason:
                whys.setdefault(part[name].reason, []).append(name)
        said += [f"{_place(part)}, {', '.join(of)}: {why}" for why, of in whys.items()]
    return said


def _place(part: WindowEstimate) -> str:
    place = when(part.begin) if part.begin else f"{part.first:,} to {part.last:,}"
    return f"{place} (partial)" if part.partial else place


def _figure(found: MetricEstimate) -> str:
    if found.standing is Standing.NOT_IDENTIFIABLE:
        return found.standing.value
    return f"{number(found.value)} ({number(found.lower)} to {number(found.upper)})"
