"""What doctor finds of a deployment that runs, or should."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from homeostat.adapters.records.database import DatabaseRecords
from homeostat.domain.decision import Severity
from homeostat.domain.effect import Notify, NotifyAction
from homeostat.domain.verdict import MetricPoint, Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.engine.lease import BEAT, LEASE, Beat, Lease
from homeostat.engine.ports import Settled
from homeostat.engine.watch import rollout_key
from homeostat.entrypoints.cli.doctor_running import libraries, rights, running
from homeostat.entrypoints.cli.options import Deployment
from homeostat.entrypoints.settings import load
from homeostat.rollout.state import RolloutState, Stage
from homeostat.simulation.clock import SimulatedClock

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Deployment]:
    file = tmp_path / "homeostat.yaml"
    file.write_text(
        "receivers: {on_call: {type: console}}\n"
        "models: [{name: fraud, task: binary, features: {amount: numeric},"
        " labels: {maturity: 10d}}]\n"
    )
    clock = SimulatedClock(NOW)
    records = DatabaseRecords(f"sqlite:///{tmp_path}/records.db", clock)
    yield Deployment(load(file), records, clock)
    records.close()


def said(opened: Deployment) -> dict[str, tuple[str, str]]:
    return {found.check: (found.grade.value, found.text) for found in running(opened)}


def beat(opened: Deployment, at: datetime) -> None:
    with opened.records.begin() as uow:
        uow.load(LEASE, Lease)
        uow.load(BEAT, Beat)
        uow.save(LEASE, Lease("host-a", 1, since=NOW))
        uow.save(BEAT, Beat(1, 1, at))


@pytest.mark.parametrize(
    ("ago", "grade", "words"),
    [
        (timedelta(0), "ok", "host-a was heard of"),
        (2 * HOUR, "warning", "nothing ticks since 2026-02-28 22:00"),
        (-HOUR, "warning", "1:00:00 from now: its clock or this one is wrong"),
    ],
    ids=["lately", "long ago", "later"],
)
def test_ticks_and_clocks(opened: Deployment, ago: timedelta, grade: str, words: str) -> None:
    assert "no control plane has run yet; run: homeostat serve -c" in said(opened)["ticks"][1]
    beat(opened, NOW - ago)
    found = said(opened)["ticks"]
    assert found[0] == grade
    assert words in found[1]


def test_deliveries(opened: Deployment) -> None:
    check = "deliveries to on_call"
    assert said(opened)[check] == (
        "warning", "nothing was sent there yet; try: homeostat alerts test on_call",
    )  # fmt: skip
    about = ("on_call", Severity.WARNING, "fraud", "title", "body", "", NOW)
    with opened.records.begin() as uow:
        uow.intend(Notify("fraud:drift:1", NotifyAction.TRIGGER, *about))
    (pending,) = opened.records.pending(NOW)
    with opened.records.begin() as uow:
        uow.settle(Settled(pending.number, "pending", NOW, "403 \x1b[31m"))
    assert r"none of 1 arrived (403 \x1b[31m)" in said(opened)[check][1]
    with opened.records.begin() as uow:
        uow.settle(Settled(pending.number, "done", NOW, "taken"))
    assert said(opened)[check] == ("ok", "the newest arrived at 2026-03-01 00:00 (UTC)")


def judge(opened: Deployment, at: datetime, status: Status) -> None:
    verdict = Verdict(
        Monitor.VOLUME, "fraud", "", Window(at, at + HOUR), status, 0, 1, 0, 1, 1.0, 9, 9, ""
    )
    with opened.records.begin() as uow:
        uow.judge(verdict)


def test_predictions_and_labels(opened: Deployment) -> None:
    checks = {"predictions of fraud", "labels of fraud"}
    assert not checks & set(said(opened)), "nothing to expect before there is a champion"
    with opened.records.begin() as uow:
        uow.save(rollout_key("fraud"), RolloutState("fraud", Stage.CHAMPION, "1"))
    judge(opened, NOW - 8 * DAY, Status.OK)
    assert "no monitor has said anything in 7 days" in said(opened)["predictions of fraud"][1]
    judge(opened, NOW - DAY, Status.NO_DATA)
    assert "none in 7 days; send them: homeostat.Client" in said(opened)["predictions of fraud"][1]
    judge(opened, NOW - DAY, Status.OK)
    assert said(opened)["labels of fraud"][0] == "ok", "too young to tell"
    judge(opened, NOW - 20 * DAY, Status.OK)
    assert "nothing was measured since 2026-01-22" in said(opened)["labels of fraud"][1]
    window = Window(NOW - 20 * DAY, NOW - 19 * DAY)
    with opened.records.begin() as uow:
        uow.measure(MetricPoint("fraud", "1", "auc", window, 0.9, 0.8, 1.0, 50))
    assert said(opened)["labels of fraud"][0] == "ok"


def test_the_place_it_runs_at(tmp_path: Path) -> None:
    assert libraries().text.startswith("Python 3")
    assert "gets no repairs" in libraries((1, 1, 1)).text
    folder = tmp_path / "data"
    assert not list(rights(folder))
    folder.mkdir(mode=0o700)
    assert not list(rights(folder))
    folder.chmod(0o777)
    assert [found.text for found in rights(folder)] == [
        f"everybody on this machine can write in {folder}; chmod o-w {folder}"
    ]
