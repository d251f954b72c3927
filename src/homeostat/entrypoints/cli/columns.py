"""Options that say what columns are and how they are called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import ParamSpec, TypeVar

import click

from homeostat.domain.errors import UserError

P = ParamSpec("P")
R = TypeVar("R")

KINDS = {
    "numeric": "Columns to take as numbers.",
    "categorical": "Columns to take as categories, such as codes.",
    "boolean": "Columns to take as yes or no.",
    "ignore": "Columns to leave out.",
}


def kind_options(command: Callable[P, R]) -> Callable[P, R]:
    """Add an option a kind, such as ``--numeric``; the command gets them as `kinds`."""

    @wraps(command)
    def gathered(*args: P.args, **options: P.kwargs) -> R:
        options["kinds"] = kinds_of(**{kind: str(options.pop(kind)) for kind in KINDS})
        return command(*args, **options)

    for name, text in reversed(KINDS.items()):
        gathered = click.option(f"--{name}", default="", metavar="A,B", help=text)(gathered)
    return gathered


def kinds_of(**lists: str) -> dict[str, str]:
    """Return the kind of each column named in the options.

    Examples
    --------
    >>> kinds_of(numeric="age, income", ignore="id")
    {'age': 'numeric', 'income': 'numeric', 'id': 'ignore'}
    """
    found: dict[str, str] = {}
    for kind, names in lists.items():
        for name in split_names(names):
            if name in found:
                raise UserError(f"column {name!r} is given as {found[name]} and as {kind}")
            found[name] = kind
    return found


def mapping_of(pairs: Sequence[str]) -> dict[str, str]:
    """Return reference names and what the current data calls them.

    Examples
    --------
    >>> mapping_of(["amount=amt"])
    {'amount': 'amt'}
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, other = pair.partition("=")
        if not (name and equals and other):
            raise UserError(f"--map {pair}: write REFERENCE_NAME=CURRENT_NAME, as in amount=amt")
        found[name] = other
    return found


def split_names(names: str) -> list[str]:
    """Return the names in a list with commas."""
    return [name.strip() for name in names.split(",") if name.strip()]
