"""The gateway's figures, dressed for scrapers."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest

from homeostat.domain.route import Route
from homeostat.entrypoints.exposition import dressed
from homeostat.entrypoints.gateway.process import card_lines
from homeostat.entrypoints.monitoring.served import SERVED, built
from homeostat.serving.fallback import Fallback
from scrapers import run
from unit.entrypoints.gateway.gateway_world import World


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    world = World(Path(tmp_path_factory.mktemp("served")))
    gateway = world.gateway(Fallback(default=0.5))
    gateway.routes.publish(Route("fraud", "v1"))
    for amount in (1.0, 2000.0):
        gateway.predict("fraud", pa.table({"amount": [amount], "age": [4.0], "land": ["PT"]}))
    told = built("gateway") + gateway.metrics_text()
    gateway.close()
    return told


def test_promtool_finds_no_fault(text: str) -> None:
    done = run("promtool", "check", "metrics", given=dressed(text, SERVED, openmetrics=False))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_family_says_what_it_is(text: str) -> None:
    kinds = set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))
    assert kinds <= set(SERVED), "say what it is in monitoring/served.py"
    assert set(SERVED) - kinds == {name for name in SERVED if "_gpu_" in name}
    assert card_lines([]) == []


def test_openmetrics_has_the_same_samples_and_an_end(text: str) -> None:
    classic, modern = (dressed(text, SERVED, openmetrics=flag) for flag in (False, True))
    samples = [
        [line for line in form.splitlines() if not line.startswith("#")]
        for form in (classic, modern, text)
    ]
    assert samples[0] == samples[1] == [line for line in samples[2] if line]
    assert modern.endswith("\n# EOF\n")
    assert "# TYPE homeostat_predictions counter\n" in modern
    assert "# HELP homeostat_predictions_total Rows answered" in classic
