"""A drill says whether a roll-back works, and changes nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.models import Term, save_linear
from homeostat.adapters.registry import LocalRegistry
from homeostat.domain.model import ModelVersion
from homeostat.engine.commands import Inbox, inbox_key
from homeostat.engine.watch import rollout_key
from homeostat.entrypoints.bootstrap import open_records
from homeostat.entrypoints.cli.rollout import rollback
from homeostat.entrypoints.settings import load
from homeostat.rollout.state import RolloutState, Stage

CONFIG = """\
server: {tick: 20s}
models:
  - name: fraud
    task: binary
    classes: [no, yes]
    features: {amount: numeric}
    labels: {maturity: 1d}
"""
LATER = datetime(2999, 1, 1, tzinfo=UTC)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "homeostat.yaml"
    file.write_text(CONFIG)
    registry = LocalRegistry(load(file).models_folder, SystemClock())
    for version in ("1", "2"):
        save_linear(tmp_path / version, 0.0, [Term("amount", float(version))])
        card = ModelVersion("fraud", version, "linear", "", LATER)
        registry.register(card, tmp_path / version)
    return file


def drilled(config: Path, state: RolloutState) -> tuple[int, str, dict[str, object]]:
    """Return exit code, words and JSON of a drill; nothing may have changed by it."""
    records = open_records(load(config), SystemClock())
    with records.begin() as uow:
        uow.load(rollout_key("fraud"), RolloutState)
        uow.save(rollout_key("fraud"), state)
    arguments = ["-c", str(config), "--drill"]
    words = CliRunner().invoke(rollback, arguments)
    machine = CliRunner().invoke(rollback, [*arguments, "--json"])
    assert records.read(rollout_key("fraud"), RolloutState) == state
    assert records.read(inbox_key("fraud"), Inbox) is None
    assert records.decisions() == ()
    records.close()
    assert words.exit_code == machine.exit_code
    return words.exit_code, words.stdout, json.loads(machine.stdout)


def test_to_a_version_that_is_kept_warm(config: Path) -> None:
    state = RolloutState("fraud", Stage.CHAMPION, "2", ("1",), probation_until=LATER)
    code, words, found = drilled(config, state)
    assert code == 0
    assert "fraud: from 2 to 1; within 0.5 s: gateways look every 0.5 s" in words
    assert "nothing was changed" in words
    assert (found["would_serve"], found["warm"], found["seconds"]) == ("1", True, 0.5)
    assert float(str(found["load_seconds"])) > 0


def test_a_cold_one_has_to_be_loaded(config: Path) -> None:
    _, words, found = drilled(config, RolloutState("fraud", Stage.CHAMPION, "2", ("1",)))
    assert "not kept warm" in words
    parts = (float(str(found[part])) for part in ("verify_seconds", "load_seconds", "look"))
    assert found["seconds"] == pytest.approx(sum(parts))


def test_a_challenger_would_be_withdrawn(config: Path) -> None:
    state = RolloutState("fraud", Stage.CANARY, "1", challenger="2", weight=0.1)
    code, words, found = drilled(config, state)
    assert (code, found["would_serve"], found["warm"]) == (0, "1", True)
    assert "the challenger would be withdrawn, 1 stays" in words


@pytest.mark.parametrize(
    "state",
    [RolloutState("fraud", Stage.CHAMPION, "1"), RolloutState("fraud")],
    ids=["no earlier one", "empty"],
)
def test_where_there_is_nothing_to_go_back_to(config: Path, state: RolloutState) -> None:
    code, words, found = drilled(config, state)
    assert code == 1
    assert "fraud: cannot be rolled back" in words
    assert found["problem"]


def test_an_artifact_that_was_changed(config: Path) -> None:
    path = LocalRegistry(load(config).models_folder, SystemClock()).path("fraud", "1")
    (path / "model.json").write_text("{}")
    code, words, _ = drilled(config, RolloutState("fraud", Stage.CHAMPION, "2", ("1",)))
    assert code == 1
    assert "never load it" in words
