"""What commands print: tables for people, JSON for machines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

import click
import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from homeostat.domain.text import printable

F = TypeVar("F", bound=Callable[..., object])

PIPED_WIDTH = 240


def json_option(command: F) -> F:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")(command)


def print_json(value: object) -> None:
    """Print a value as indented JSON; NaN and infinities become null."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z
    click.echo(orjson.dumps(value, default=_plain, option=options).decode())


def _plain(value: object) -> object:
    if isinstance(value, timedelta):
        return value.total_seconds()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def print_table(titles: Sequence[str], rows: Iterable[Sequence[str]], empty: str) -> None:
    """Print a table, or the sentence `empty` if there are no rows.

    Cells are data, never markup: a feature may be called ``[red]``.
    """
    table = Table(*titles, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        cells = [Text(printable(cell)) for cell in row]
        table.add_row(*cells)
    if not table.row_count:
        click.echo(empty)
        return
    # Piped output must not be cut at the width of a terminal that is not there.
    Console(width=None if sys.stdout.isatty() else PIPED_WIDTH).print(table)


def when(moment: datetime | None) -> str:
    """Return a time in UTC for people; a dash if there is none.

    Examples
    --------
    >>> from datetime import UTC
    >>> when(datetime(2024, 1, 31, 12, 0, tzinfo=UTC))
    '2024-01-31 12:00'
    """
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M}"
