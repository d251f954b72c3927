"""``homeostat completion``: words that a shell completes, and the script that has it ask."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import click
from click.shell_completion import get_completion_class, shell_complete

from homeostat.adapters.clock import SystemClock
from homeostat.domain.errors import HomeostatError
from homeostat.entrypoints.cli import COMPLETING as VARIABLE
from homeostat.entrypoints.registries import open_registry
from homeostat.entrypoints.settings import Settings, load

SHELLS = ("bash", "zsh", "fish")

Complete = Callable[[click.Context, click.Parameter, str], list[str]]


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    r"""Print what has SHELL complete commands, options, models, versions, receivers and so on.

    \b
    Examples:
      homeostat completion bash > ~/.local/share/bash-completion/completions/homeostat
      homeostat completion zsh > ~/.zfunc/_homeostat
      homeostat completion fish > ~/.config/fish/completions/homeostat.fish
    """
    found = get_completion_class(shell)
    assert found is not None
    told = found(context.find_root().command, {}, "homeostat", VARIABLE)
    # Not `source()`, which runs bash to find its version out.
    click.echo(told.source_template % told.source_vars())


def answer(command: click.Command) -> int:
    """Answer the shell that asks through the environment how words go on."""
    return shell_complete(command, {}, "homeostat", VARIABLE, os.environ[VARIABLE])


def _completing(known: Callable[[Settings, click.Context], Iterable[str]]) -> Complete:
    def complete(context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
        found: list[str] = []
        # Whoever presses a key is not told what is wrong with a file.
        with suppress(HomeostatError, OSError):
            path = context.params.get("config_path") or Path("homeostat.yaml")
            found = sorted({*known(load(Path(path)), context)})
        return [name for name in found if name.startswith(begun)]

    return complete


def _versions(settings: Settings, context: click.Context) -> list[str]:
    # Looking makes no folder and asks no other machine.
    if settings.registry.mlflow or not settings.models_folder.is_dir():
        return []
    name = settings.model(context.params.get("model") or "").name
    return [v.version for v in open_registry(settings, SystemClock()).versions(name)]


models = _completing(lambda settings, _: [part.name for part in settings.models])
versions = _completing(_versions)
receivers = _completing(lambda settings, _: settings.receivers)
experiments = _completing(lambda settings, _: [part.name for part in settings.experiments])
bandits = _completing(lambda settings, _: [part.name for part in settings.bandits])

__all__ = [
    "answer",
    "bandits",
    "completion",
    "experiments",
    "models",
    "receivers",
    "versions",
]
