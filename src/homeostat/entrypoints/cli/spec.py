"""Options that say which columns of a table of predictions are what."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import click

from homeostat.domain.model import Task
from homeostat.domain.predictions import PredictionSpec
from homeostat.entrypoints.cli.columns import split_names
from homeostat.entrypoints.settings.values import parse_duration

P = ParamSpec("P")
R = TypeVar("R")


def names(text: str) -> tuple[str, ...]:
    """Return the names of a list with commas."""
    return tuple(split_names(text))


def columns(text: str) -> str | dict[str, str]:
    """Return a column, or the columns of a list such as ``red=p_red,blue=p_blue``.

    Examples
    --------
    >>> columns("score"), columns("red=p_red,blue=p_blue")
    ('score', {'red': 'p_red', 'blue': 'p_blue'})
    """
    if "=" not in text:
        return text
    pairs = [pair.partition("=") for pair in split_names(text)]
    if not all(name and column for name, _, column in pairs):
        raise click.BadParameter(f"{text!r}: write CLASS=COLUMN, as in red=p_red,blue=p_blue")
    return {name: column for name, _, column in pairs}


def duration(text: str) -> timedelta:
    """Return a length of time.

    Raises
    ------
    click.BadParameter
        If the text is none; click names the option.
    """
    try:
        return parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}; write for example 30d or 12h") from None


def stretch(text: str) -> int | timedelta:
    """Return a number of rows or a length of time.

    Examples
    --------
    >>> stretch("1000"), stretch("7d")
    (1000, datetime.timedelta(days=7))
    """
    return int(text) if text.isascii() and text.isdigit() else duration(text)


OPTIONS = (
    click.option(
        "--task", type=click.Choice([task.value for task in Task]), default="binary",
        show_default=True, help="What the model predicts.",
    ),
    click.option(
        "--label", default="label", show_default=True,
        help="What turned out to be true; empty where it is not known yet.",
    ),
    click.option(
        "--score", type=columns, metavar="COLUMN", default="score", show_default=True,
        help="Probability of the positive class, or the predicted number; of several classes "
        'red=p_red,blue=p_blue; "" if there are only classes.',
    ),
    click.option("--prediction", default="", help="The predicted class, if it is not by score."),
    click.option(
        "--threshold", type=float, default=0.5, show_default=True,
        help="Score from which the positive class is predicted.",
    ),
    click.option(
        "--classes", type=names, default="", metavar="NEG,POS", help="Classes, as in the data."
    ),
    click.option("--timestamp", default="", help="When the prediction was made."),
    click.option("--arrival", default="", help="When the label became known."),
    click.option("--id", "prediction_id", default="", help="Which prediction a row is about."),
    click.option("--by-version", "version", default="", help="The version that answered."),
    click.option("--weight", default="", help="How much a row counts."),
    click.option(
        "--segment", "segments", type=names, default="", metavar="A,B",
        help="Judge by their values as well.",
    ),
    click.option(
        "--features", type=names, default="", metavar="A,B",
        help="What the model sees; default: all other columns.",
    ),
    click.option(
        "--maturity", type=duration, metavar="30d", help="Age from which labels are complete."
    ),
)  # fmt: skip


def prediction_options(command: Callable[P, R]) -> Callable[P, R]:
    """Add the options; the command gets them as `spec`, a `PredictionSpec`."""

    @wraps(command)
    def gathered(*args: P.args, **options: P.kwargs) -> R:
        given: dict[str, Any] = {name: options.pop(name) for name in PredictionSpec.__match_args__}
        options["spec"] = PredictionSpec(**given)
        return command(*args, **options)

    for option in reversed(OPTIONS):
        gathered = option(gathered)
    return gathered
