"""The drawings of the state machines are their tables."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from homeostat.alerting import incident
from homeostat.retraining import run
from homeostat.rollout import machine
from homeostat.serving import breaker

PAGE = Path(__file__).parents[2] / "docs" / "architecture" / "state-machines.md"


@pytest.mark.parametrize(
    ("heading", "table"),
    [
        ("Incident", incident.TRANSITIONS),
        ("Retraining run", run.TRANSITIONS),
        ("Rollout", machine.TRANSITIONS),
        ("Breaker", breaker.TRANSITIONS),
    ],
)
def test_each_transition_is_drawn_and_no_other(
    heading: str, table: Mapping[tuple[str, str], str]
) -> None:
    section = PAGE.read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    drawn = re.findall(r"^    (\w+) --> (\w+): (\w+)$", section, re.MULTILINE)
    assert sorted(drawn) == sorted((a, b, move) for (a, move), b in table.items())
