"""Every command, found by walking the tree: its help, its examples, its form for machines."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.models import Term, save_linear
from homeostat.adapters.registry.local import LocalRegistry
from homeostat.domain.model import ModelVersion
from homeostat.entrypoints.cli import homeostat, main

ASKS = "what it says is one sentence, and its exit code: it was asked for"
WRITES = "it writes a file, or is one"
STAYS = "it runs until it is stopped"
NO_JSON = {
    **dict.fromkeys(["serve", "gateway", "consume"], STAYS),
    **dict.fromkeys(
        ["init", "completion", "config schema", "gateway config", "alerts postmortem",
         "monitoring export", "report card", "report drift", "report monthly", "report weekly",
         "data export", "retrain log"],
        WRITES,
    ),
    **dict.fromkeys(
        ["register", "alerts ack", "alerts close", "alerts unsilence", "rollout abort",
         "rollout approve", "rollout arms", "rollout push", "rollout shadow", "rollout submit",
         "experiment start", "experiment stop", "bandit start", "bandit stop", "breaker disable",
         "breaker force-open", "breaker reset", "retrain ask", "data quarantine drop",
         "data quarantine fix", "token revoke"],
        ASKS,
    ),
}  # fmt: skip


def walk(
    command: click.Command, path: tuple[str, ...], parent: click.Context
) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield " ".join(path), command
        return
    context = click.Context(command, parent=parent)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from walk(found, (*path, name), context)
    if command.invoke_without_command:
        yield " ".join(path), command


LEAVES = dict(walk(homeostat, (), click.Context(homeostat)))


def examples(command: click.Command) -> list[str]:
    """Return the commands of "Example: ..." and of the lines below "Examples:"."""
    told = inspect.cleandoc(command.help or "")
    single = re.findall(r"^Example: (.+(?:\n(?!\n).+)*)", told, re.MULTILINE)
    several = re.findall(r"^Examples:\n((?:  .+\n?)+)", told, re.MULTILINE)
    lines = [" ".join(text.split()) for text in single]
    return lines + [line.strip() for block in several for line in block.splitlines()]


def arguments(example: str) -> list[list[str]]:
    """Return the arguments of each call of homeostat in a line of a shell."""
    lexer = shlex.shlex(example, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    calls: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set("|&;"):
            calls.append([])
        else:
            calls[-1].append(word)
    cut = [call[: call.index(">")] if ">" in call else call for call in calls]
    return [call[1:] for call in cut if call[0] == "homeostat"]


def parses(given: list[str]) -> str:
    """Return the path of the command that a line calls; raises if it cannot be read."""
    command: click.Command = homeostat
    context = command.make_context("homeostat", list(given))
    path: list[str] = []
    while isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]
        if not rest:
            break
        name, found, rest = command.resolve_command(context, rest)
        assert name is not None
        assert found is not None
        command, context = found, found.make_context(name, list(rest), context)
        path.append(name)
    return " ".join(path)


@pytest.mark.parametrize("name", LEAVES)
def test_help_has_examples_that_can_be_run(name: str) -> None:
    found = examples(LEAVES[name])
    calls = [call for example in found for call in arguments(example)]
    assert calls, f"{name} has no example"
    assert name in {parses(call) for call in calls}


def test_every_option_has_help() -> None:
    silent = [
        f"{name} {parameter.opts[0]}"
        for name, command in LEAVES.items()
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.help
    ]
    assert not silent


def test_what_prints_has_a_form_for_machines_or_says_why_not() -> None:
    without = {
        name
        for name, command in LEAVES.items()
        if not any("--json" in parameter.opts for parameter in command.params)
    }
    assert without == set(NO_JSON)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    model = "task: binary, features: {amount: numeric}, labels: {maturity: 60d}"
    (tmp_path / "homeostat.yaml").write_text(
        f"models: [{{name: fraud, {model}}}, {{name: churn, {model}}}]\n"
        "receivers: {on_call: {type: console}}\n"
    )
    return tmp_path


def offered(name: str, parameter: str, begun: str, given: list[str]) -> list[str]:
    command = LEAVES[name]
    context = command.make_context(name, given, resilient_parsing=True)
    (found,) = (each for each in command.params if each.name == parameter)
    return [item.value for item in found.shell_complete(context, begun)]


def test_a_shell_asks_through_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_HOMEOSTAT_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "homeostat do")
    monkeypatch.setenv("COMP_CWORD", "1")
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert capsys.readouterr().out == "plain,doctor\n"


def test_names_are_completed(here: Path) -> None:
    assert offered("decisions", "model", "f", []) == ["fraud"]
    assert offered("data export", "model", "", []) == ["churn", "fraud"]
    assert offered("alerts test", "receiver", "", []) == ["on_call"]
    assert offered("experiment show", "name", "", []) == []
    assert offered("bandit show", "name", "", []) == []
    assert offered("rollout push", "version", "", ["-m", "fraud"]) == []
    assert not (here / "homeostat-data").exists(), "looking makes nothing"
    save_linear(here / "made", 0.0, [Term("amount", 1.0, 0.0, 1.0)])
    registry = LocalRegistry(here / "homeostat-data/models", SystemClock())
    version = registry.register(
        ModelVersion("fraud", "7", "linear", "", datetime(2026, 1, 1, tzinfo=UTC)), here / "made"
    ).version
    assert offered("rollout push", "version", "", ["-m", "fraud"]) == [version]
    (here / "homeostat.yaml").write_text("nonsense: [")
    assert offered("decisions", "model", "", []) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    homeostat.main(["completion", shell], standalone_mode=False)
    told = capsys.readouterr().out
    assert f"_HOMEOSTAT_COMPLETE={shell}_complete" in told
