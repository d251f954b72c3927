"""Container, compose and systemd files agree with each other and with the programs they start."""

import re
from pathlib import Path

import click
import pytest
import yaml

from homeostat.entrypoints.cli import homeostat
from homeostat.entrypoints.settings import load

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose/compose.yaml").read_text())
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def parses(arguments: list[str]) -> None:
    """Fail if a command is none of ours, or has options that it does not know."""
    command: click.Command = homeostat
    context = click.Context(homeostat, info_name="homeostat")
    while isinstance(command, click.Group) and not arguments[0].startswith("-"):
        found = command.get_command(context, arguments[0])
        assert found is not None, arguments
        command, arguments = found, arguments[1:]
    command.make_context(command.name, list(arguments), context)


def test_the_image_does_not_run_as_root() -> None:
    lines = (DEPLOY / "container/Containerfile").read_text().splitlines()
    last = max(number for number, line in enumerate(lines) if line.startswith("FROM"))
    assert [line for line in lines[last:] if line.startswith("USER")] == ["USER 10001:10001"]
    (entry,) = [yaml.safe_load(line.partition(" ")[2]) for line in lines if "ENTRYPOINT" in line]
    (command,) = [yaml.safe_load(line.partition(" ")[2]) for line in lines if line[:3] == "CMD"]
    assert entry == ["homeostat"]
    parses(command)


@pytest.mark.parametrize("name", ["token", "control-plane", "gateway"])
def test_compose_starts_commands_that_there_are(name: str) -> None:
    service = COMPOSE["services"][name]
    parses(service["command"].split())
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]


def test_compose_s_configuration_loads() -> None:
    settings = load(DEPLOY / "compose/homeostat.yaml")
    assert settings.data == "/var/lib/homeostat"
    assert settings.records_env in COMPOSE["x-homeostat"]["environment"]
    wanted = set(re.findall(r"\$\{([A-Z_]+):\?\}", (DEPLOY / "compose/compose.yaml").read_text()))
    example = (DEPLOY / "compose/env.example").read_text()
    assert wanted == set(re.findall(r"^([A-Z_]+)=$", example, re.MULTILINE))


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_units_start_commands_that_there_are(unit: Path) -> None:
    started = r"^Exec\w+=/opt/homeostat/bin/homeostat (.*)$"
    lines = re.findall(started, unit.read_text(), re.MULTILINE)
    assert len(lines) == 2
    for line in lines:
        parses(line.split())
