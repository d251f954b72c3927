"""Each runbook answers the same questions, and its commands run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homeostat.adapters.clock import SystemClock
from homeostat.alerting.episode import IncidentState, Stage
from homeostat.alerting.rules import default_rules
from homeostat.domain.decision import Severity
from homeostat.engine.watch import incident_key, rollout_key
from homeostat.entrypoints.bootstrap import Deployment, open_deployment
from homeostat.entrypoints.cli import homeostat
from homeostat.entrypoints.cli.retrain import ASK, AskingGroup
from homeostat.entrypoints.settings import load
from homeostat.rollout.state import RolloutState
from integration.live_site import CONFIG, TRAINER, adopt_in_place, history
from unit.entrypoints.cli.test_cli import call
from unit.entrypoints.monitoring.exported import ALERTING

FOLDER = Path(__file__).parents[2] / "runbooks"
RUNBOOKS = sorted(FOLDER.glob("*.md"))
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
SHELL = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`homeostat ([^`]+)`")
PLACEHOLDERS = {
    "MODEL": "fraud",
    "INCIDENT": "fraud:data_drift:1",
    "RECEIVER": "console",
    "HISTORY": "history.parquet",
    "FILE": "labels.parquet",
}


def sections(path: Path) -> dict[str, str]:
    """Return what stands below each heading."""
    parts = re.split(r"^## (.+)\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def commands(text: str) -> list[str]:
    """Return the lines of the shell blocks."""
    return [line for block in SHELL.findall(text) for line in block.splitlines() if line]


@dataclass
class Duty:
    """Somebody on duty at a deployment that has an open incident."""

    done: dict[str, tuple[int, str, str]] = field(default_factory=dict)

    def run(self, line: str) -> tuple[int, str, str]:
        """Run a line once; it is in most runbooks."""
        if line not in self.done:
            program, *arguments = (PLACEHOLDERS.get(word, word) for word in shlex.split(line))
            assert program == "homeostat"
            self.done[line] = call(*arguments)
        return self.done[line]


def served_by_many(deployment: Deployment) -> None:
    """Give the model a past, so that each runbook's way back leads somewhere."""
    registry = deployment.registry
    card, artifact = registry.get("fraud", "1"), registry.path("fraud", "1")
    past = [registry.register(replace(card, version="", run_id=""), artifact) for _ in RUNBOOKS]
    with deployment.records.begin() as uow:
        state = uow.load(rollout_key("fraud"), RolloutState)
        assert state is not None
        lineage = ("1", *(each.version for each in past[:-1]))
        uow.save(rollout_key("fraud"), replace(state, champion=past[-1].version, lineage=lineage))


@pytest.fixture(scope="module")
def duty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Duty]:
    folder = tmp_path_factory.mktemp("duty")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        # Windows of a minute would be 40 000 in four weeks.
        quick = CONFIG.replace("window: 1m", "window: 1d").replace("maturity: 1s", "maturity: 1d")
        (folder / "homeostat.yaml").write_text(quick)
        (folder / "train.py").write_text(TRAINER)
        rows = history(600)
        pq.write_table(rows, folder / "history.parquet")
        deployment = open_deployment(load(folder / "homeostat.yaml"), SystemClock(), durable=False)
        adopt_in_place(deployment)
        served_by_many(deployment)
        now = deployment.clock.now()
        incident = IncidentState(
            "fraud", "data_drift", Stage.FIRING, 1, Severity.WARNING, ("console",),
            "runbooks/data-drift.md", "amount has drifted", fired_at=now,
        )  # fmt: skip
        with deployment.records.begin() as uow:
            uow.load(incident_key("fraud", "data_drift"), IncidentState)
            uow.save(incident_key("fraud", "data_drift"), incident)
        deployment.close()
        labels = {"prediction_id": pa.array(["none"]), "label": pa.array([1.0]), "arrival": [now]}
        pq.write_table(pa.table(labels), folder / "labels.parquet")
        yield Duty()


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.stem)
def test_a_runbook_has_every_section_and_says_something_in_it(path: Path) -> None:
    found = sections(path)
    assert list(found) == HEADINGS
    assert [name for name, text in found.items() if len(text.split()) < 5] == []


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.stem)
def test_the_first_minutes_and_the_diagnosis_are_done_with_commands(path: Path) -> None:
    found = sections(path)
    assert commands(found["First five minutes"])
    assert commands(found["Diagnosis"])


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.stem)
def test_its_commands_run_as_they_stand(duty: Duty, path: Path) -> None:
    lines = commands(path.read_text(encoding="utf-8"))
    failed = {line: told for line in lines if (told := duty.run(line))[0] != 0}
    assert failed == {}


def test_the_incident_is_seen_and_taken_on(duty: Duty) -> None:
    _, listed, _ = duty.run("homeostat alerts list -m MODEL --json")
    assert "fraud:data_drift:1" in listed
    code, _, err = duty.run("homeostat alerts ack NONE")
    assert (code, err.count("\n")) == (2, 1)


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.stem)
def test_commands_in_its_sentences_exist_with_their_options(path: Path) -> None:
    for line in INLINE.findall(path.read_text(encoding="utf-8")):
        at: click.Command = homeostat
        context = click.Context(at)
        words = shlex.split(line)
        while isinstance(at, click.Group) and words and not words[0].startswith("-"):
            if at.get_command(context, words[0]) is None:
                assert at.invoke_without_command, line
                break
            at = at.get_command(context, words.pop(0)) or at
        if isinstance(at, AskingGroup):  # its plain form asks
            at = at.commands[ASK]
        known = {name for option in at.get_params(context) for name in option.opts}
        assert {word for word in words if word.startswith("-")} <= known, line


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    linked = {rule.runbook.rpartition("/")[2] for rule in default_rules(("duty",))}
    linked |= {a.rule["annotations"]["runbook_url"].rpartition("/")[2] for a in ALERTING}
    # Of `homeostat alerts test`, and of rules that owners write.
    asked = {"test-notification.md", "owner-rule.md"}
    assert linked <= {path.name for path in RUNBOOKS} <= linked | asked
