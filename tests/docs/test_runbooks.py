"""Each runbook answers the same questions, with commands that exist."""

import re
from pathlib import Path

import pytest

from homeostat.entrypoints.cli import COMMANDS

RUNBOOKS = sorted((Path(__file__).parents[2] / "runbooks").glob("*.md"))
HEADINGS = [
    "Meaning",
    "Impact",
    "First five minutes",
    "Diagnosis",
    "Mitigation",
    "Rollback",
    "Escalation",
    "Follow-up",
]


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.stem)
def test_a_runbook_has_every_section(path: Path) -> None:
    assert re.findall(r"^## (.+)$", path.read_text(), re.MULTILINE) == HEADINGS


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.stem)
def test_a_runbook_names_commands_that_exist(path: Path) -> None:
    named = set(re.findall(r"^homeostat (\S+)", path.read_text(), re.MULTILINE))
    assert {"decisions", "status"} & named
    assert named <= COMMANDS.keys()
