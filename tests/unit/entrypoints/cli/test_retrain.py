"""``homeostat retrain``: asking, manifests and logs."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from homeostat.adapters.clock import SystemClock
from homeostat.domain.effect import StartTraining
from homeostat.domain.model import ModelVersion
from homeostat.domain.window import Window
from homeostat.engine.commands import Inbox, inbox_key
from homeostat.engine.manifests import Manifests, manifest_of_history
from homeostat.engine.ports import Training
from homeostat.engine.training import TrainingRows
from homeostat.entrypoints.bootstrap import Deployment, open_deployment
from homeostat.entrypoints.cli import run
from homeostat.entrypoints.settings import load
from homeostat.simulation.conformance.log import NOW, SPEC, T0, labels, predictions
from homeostat.simulation.fakes import MemoryTrainer

CONFIG = """\
models:
  - name: fraud
    task: binary
    classes: [legitimate, fraud]
    entity: entity
    features: {amount: numeric, country: categorical}
    labels: {maturity: 30d}
"""
REQUEST = StartTraining(
    "fraud-0001", "fraud", "1", Window(T0, T0 + timedelta(days=1)), NOW,
    (Window(T0, T0 + timedelta(minutes=1)),), reasons=("amount: \x1b[31mcents",),
)  # fmt: skip


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "homeostat.yaml").write_text(CONFIG)
    made = open_deployment(load(tmp_path / "homeostat.yaml"), SystemClock())
    yield made
    made.close()


def trained(opened: Deployment) -> None:
    spec = opened.plans["fraud"].spec
    assert spec.schema.names == SPEC.schema.names
    opened.log.append(spec, predictions(["a", "b", "c"]))
    opened.log.append_labels(spec, labels(["a", "b"], 1.0, T0 + timedelta(hours=1)))
    rows = TrainingRows(opened.log)(spec, REQUEST)
    trainer = MemoryTrainer(lambda *_: Training(done=True))
    Manifests(opened.records, opened.log)(spec, REQUEST, rows, trainer)


def test_it_asks_with_and_without_a_model(
    opened: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["retrain", "fraud", "--reason", "new shop"]) == 0
    assert run(["retrain", "-m", "fraud"]) == 0
    assert "asked to retrain" in capsys.readouterr().out
    inbox = opened.records.read(inbox_key("fraud"), Inbox)
    assert inbox is not None
    assert [command.reason for command in inbox.commands] == ["new shop", ""]
    assert run(["retrain", "fraud", "-m", "other"]) == 2
    assert run(["retrain", "--help"]) == 0
    told = capsys.readouterr()
    assert "one model at a time" in told.err
    assert "manifest" in told.out


def test_a_manifest_is_shown_and_proved(
    opened: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(opened)
    assert run(["retrain", "manifest", "fraud-0001", "--check"]) == 0
    told = capsys.readouterr().out
    assert "rows       1 of 2 requests (50.0% had a label)" in told
    assert "left out   2024-01-01 00:00 to 2024-01-01 00:01: amount: \\x1b[31mcents" in told
    assert "proved: the log gives the same 1 rows" in told
    assert run(["retrain", "manifest", "fraud-0001", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["manifest"]["coverage"] == 0.5
    spec = opened.plans["fraud"].spec
    opened.log.append_labels(spec, labels(["c"], 0.0, T0 + timedelta(hours=2)))
    assert run(["retrain", "manifest", "fraud-0001", "--check"]) == 1
    assert "not proved: there were 1 rows then, there are 2 now" in capsys.readouterr().out
    assert run(["retrain", "manifest", "fraud-0001", "--check", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["holds"], found["found"]["rows"]) == (False, 2)


def test_a_version_has_the_manifest_of_its_card(
    opened: Deployment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.json").write_text("{}")
    card = ModelVersion("fraud", "", "linear", "", NOW)
    opened.registry.register(card, tmp_path / "model.json")
    trained(opened)
    assert run(["retrain", "manifest", "fraud-0001", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)["manifest"]["content"]
    spec, rows = opened.plans["fraud"].spec, predictions(["a"])

    first = manifest_of_history(spec, "run", rows, T0 + timedelta(days=1), NOW, None)
    opened.registry.register(replace(card, manifest=first), tmp_path / "model.json")
    assert opened.registry.get("fraud", "2").manifest == first
    assert run(["retrain", "manifest", "2", "--check"]) == 1
    told = capsys.readouterr().out
    assert "code       not known" in told
    assert "not proved: it was trained on a file that was handed in" in told
    assert content not in told
    assert run(["retrain", "manifest", "1"]) == 2
    assert "version 1 of fraud was kept without one" in capsys.readouterr().err
    assert run(["retrain", "manifest", "3"]) == 2
    assert "no training run and no version '3'" in capsys.readouterr().err


def test_the_log_of_a_training_is_printed_harmlessly(
    opened: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["retrain", "log"]) == 2
    assert "no training of fraud is kept in" in capsys.readouterr().err
    folder = opened.settings.data_folder / "runs" / "fraud-0001"
    folder.mkdir(parents=True)
    (folder / "log.1.txt").write_text("one\n")
    (folder / "log.txt").write_text("two \x1b[31m\n")
    assert run(["retrain", "log", "fraud-0001"]) == 0
    assert capsys.readouterr().out == "one\ntwo \\x1b[31m\n"
    assert run(["retrain", "log", "../runs/fraud-0001"]) == 2
    assert "no training ../runs/fraud-0001" in capsys.readouterr().err
