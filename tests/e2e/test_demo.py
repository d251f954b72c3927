"""The demo as a newcomer runs it: a process of its own, judged by what it prints."""

import json
import os
import subprocess
import sys
from datetime import timedelta

import pytest

EVENTS = ["quiet weeks", "upstream fault", "new fraud pattern", "bad model", "backend hangs"]


@pytest.fixture(scope="module")
def table() -> dict[str, object]:
    # Measured as users run it: coverage of a child process would more than double its time.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COV")}
    done = subprocess.run(
        [sys.executable, "-m", "homeostat.entrypoints.cli", "demo", "--json"],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.timeout(960)
def test_every_event_is_handled_without_a_false_alarm(table: dict[str, object]) -> None:
    events = table["events"]
    assert [event["name"] for event in events] == EVENTS
    assert [event["name"] for event in events if not event["handled"]] == []
    assert table["false_alarms"] == []


@pytest.mark.slow
def test_each_event_meets_its_own_remedy(table: dict[str, object]) -> None:
    done = {event["name"]: event["done"] for event in table["events"]}
    assert done["quiet weeks"] == "nothing"
    assert "refuse retraining" in done["upstream fault"]
    for step in ("start training", "accept candidate", "shadow", "ramp", "promote"):
        assert step in done["new fraud pattern"]
    assert "roll back" in done["bad model"]


@pytest.mark.slow
def test_a_drop_is_found_in_minutes_and_recovered_in_a_quarter_of_an_hour(
    table: dict[str, object],
) -> None:
    bad = next(event for event in table["events"] if event["name"] == "bad model")
    assert bad["detected_seconds"] <= timedelta(minutes=5).total_seconds()
    assert bad["recovered_seconds"] <= timedelta(minutes=15).total_seconds()
    hung = next(event for event in table["events"] if event["name"] == "backend hangs")
    assert hung["detected_seconds"] <= timedelta(minutes=5).total_seconds()
