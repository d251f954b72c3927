"""A command group that imports a command only when it is run."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import ClassVar

import click

Table = Mapping[str, tuple[str, str]]
"""Command name -> (``module:attribute``, one line of help)."""


class LazyGroup(click.Group):
    """Commands named in a table, so that ``--help`` costs no import.

    Attributes
    ----------
    table : mapping
        See `Table`; its order is that of the help page.
    """

    table: ClassVar[Table] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the command names in the order of the table."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command."""
        if cmd_name not in self.table:
            return None
        module, _, attribute = self.table[cmd_name][0].partition(":")
        command: object = getattr(import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}:{attribute} is no command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.table.items()])


class MixedGroup(LazyGroup):
    """Commands of its own, and those of a table, which are imported only when they are run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of its own commands, sorted, and then those of the table."""
        return [*click.Group.list_commands(self, ctx), *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command of its own, or import one."""
        own = click.Group.get_command(self, ctx, cmd_name)
        return super().get_command(ctx, cmd_name) if own is None else own

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without an import."""
        names = click.Group.list_commands(self, ctx)
        rows = [(n, self.commands[n].get_short_help_str(60)) for n in names]
        rows += [(name, text) for name, (_, text) in self.table.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
