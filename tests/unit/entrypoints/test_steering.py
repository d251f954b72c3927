"""Steering a model's traffic from the command line and over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.applications import Starlette

from asgi import Caller
from homeostat.adapters.clock import SystemClock
from homeostat.adapters.models import Term, save_linear
from homeostat.adapters.routes import RecordsRoutes
from homeostat.domain.errors import StorageError
from homeostat.domain.model import ModelVersion
from homeostat.domain.route import Route
from homeostat.engine.paired_report import PairedReport
from homeostat.engine.watch import rollout_key
from homeostat.entrypoints.bootstrap import Deployment, open_deployment
from homeostat.entrypoints.cli.rollout_arms import told_of
from homeostat.entrypoints.settings.load import load
from homeostat.rollout.state import RolloutState, Stage
from unit.entrypoints.cli.test_cli import CONFIG, call

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)
BASE = "/api/v1/models/fraud"


@pytest.fixture
def deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "homeostat.yaml").write_text(CONFIG)
    found = open_deployment(load(tmp_path / "homeostat.yaml"), SystemClock(), durable=False)
    save_linear(tmp_path / "model", 0.0, [Term("amount", 1.0)])
    for name in ("v0", "v1", "v2", "v3"):
        found.registry.register(ModelVersion("fraud", name, "linear", "", NOW), tmp_path / "model")
    state = RolloutState("fraud", Stage.CANARY, "v1", ("v0",), "v2", weight=0.1)
    with found.records.begin() as uow:
        uow.save(rollout_key("fraud"), state)
    yield found
    found.close()


@pytest.fixture
def client(deployed: Deployment) -> Caller:
    return Caller(Starlette(routes=deployed.pages()), "http://127.0.0.1:8420")


def published(deployed: Deployment) -> Route:
    route = RecordsRoutes(deployed.records).current("fraud")
    assert route is not None
    return route


def actions(deployed: Deployment) -> list[tuple[str, str]]:
    return [(d.action, d.subject) for d in deployed.records.decisions("fraud")]


def test_a_roll_back_is_done_before_the_command_ends(deployed: Deployment) -> None:
    code, out, _ = call("rollback", "-m", "fraud", "--reason", "wrong scores")
    assert (code, out.splitlines()[0]) == (0, "fraud: v1 serves; wrong scores")
    assert "only the challenger v2 was withdrawn; ask again to leave v1" in out
    assert (published(deployed).champion, published(deployed).challenger) == ("v1", "")
    told = json.loads(call("rollback", "--json")[1])
    assert (told["served"], told["serves"], told["withdrawn"]) == ("v1", "v0", "")
    assert published(deployed).champion == "v0"
    assert actions(deployed) == [("abort", "v2"), ("roll_back", "v1")]
    code, out, err = call("rollback")
    assert (code, out) == (1, "")
    assert "fraud: not rolled back: there is no earlier version to go back to" in err
    assert actions(deployed)[-1][0] == "refuse"
    assert json.loads(call("rollback", "--json")[1])["refused"].startswith("there is no earlier")


def test_arms_and_shadows_by_command(deployed: Deployment) -> None:
    code, out, _ = call("rollout", "arms", "v2=0.25", "v3=0.5", "--reason", "prices")
    assert (code, out.strip()) == (
        0, "fraud: v2 0.25, v3 0.5; v1 the rest; gateways follow at once",
    )  # fmt: skip
    assert call("rollout", "shadow", "v0")[0] == 0
    route = published(deployed)
    assert route.shares == {"v1": 0.225, "v2": 0.275, "v3": 0.5}
    assert route.shadows[-1] == "v0"
    out = call("rollout", "show")[1]
    assert "arms of operator since" in out
    assert "shadows by hand: v0" in out
    assert "v2 against v1 since" in out
    assert "the rest" not in call("rollout", "arms", "v1=0.5", "v3=0.5")[1]
    assert "no arms" in call("rollout", "arms", "--off")[1]
    assert "none" in call("rollout", "shadow", "v0", "--off")[1]
    assert (published(deployed).arms, "v0" in published(deployed).shadows) == ((), False)
    assert [action for action, _ in actions(deployed)] == [
        "publish_arms", "add_shadow", "publish_arms", "withdraw_arms", "remove_shadow",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("arms",), "name a share"),
        (("arms", "v2=0.5", "--off"), "name a share"),
        (("arms", "v2"), "is no VERSION=SHARE"),
        (("arms", "v2=half"), "is no VERSION=SHARE"),
        (("arms", "v2=0.7", "v3=0.7"), "together at most 1"),
        (("arms", "v9=0.1"), "no version 'v9'"),
        (("arms", "=0.1"), "name a version"),
        (("shadow", "v9"), "no version 'v9'"),
    ],
    ids=["none", "both", "no share", "no number", "too much", "unknown", "no name", "shadow"],
)
def test_what_cannot_be_is_refused(
    deployed: Deployment, arguments: tuple[str, ...], told: str
) -> None:
    code, out, err = call("rollout", *arguments)
    assert code == 2
    assert told in out + err
    assert actions(deployed) == []


def test_the_rollout_for_machines(deployed: Deployment, client: Caller) -> None:
    told = json.loads(call("rollout", "show", "--json")[1])
    assert told["rollout"]["challenger"] == "v2"
    assert told["paired"]["problem"].startswith("no row that both scored")
    assert client.get(f"{BASE}/rollout").json()["rollout"] == told["rollout"]
    call("rollback")
    assert json.loads(call("rollout", "show", "--json")[1])["paired"] is None
    assert "no challenger to compare" in call("rollout", "show")[1]


def test_the_same_over_http(deployed: Deployment, client: Caller) -> None:
    body = {"shares": {"v3": 0.5}, "reason": "prices", "deal": "again"}
    answer = client.post(f"{BASE}/arms", json=body)
    assert (answer.status_code, answer.json()["arms"]["shares"]) == (200, {"v3": 0.5})
    assert published(deployed).experiment == "again"
    assert client.post(f"{BASE}/shadows", json={"version": "v0"}).json()["shadows"] == ["v0"]
    assert client.get(f"{BASE}/arms").json()["shadows"] == ["v0"]
    off = client.post(f"{BASE}/shadows", json={"version": "v0", "on": False})
    assert off.json()["shadows"] == []
    assert client.post(f"{BASE}/arms", json={"shares": {}}).json()["arms"]["owner"] == ""
    answer = client.post(f"{BASE}/rollback", json={"reason": "wrong scores"})
    assert (answer.status_code, answer.json()["rollback"]["withdrawn"]) == (200, "v2")
    assert published(deployed).challenger == ""
    assert client.post(f"{BASE}/rollback", json={}).json()["rollback"]["serves"] == "v0"
    refused = client.post(f"{BASE}/rollback", json={})
    assert (refused.status_code, "no earlier version" in refused.text) == (409, True)
    assert {d.actor for d in deployed.records.decisions("fraud")} == {"local"}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("arms", {"shares": {"v9": 0.1}}, 422),
        ("arms", {"shares": {"v2": 2}}, 422),
        ("arms", {"shares": {"v2": True}}, 422),
        ("arms", {"shares": 1}, 422),
        ("arms", {}, 422),
        ("arms", {"shares": {}, "why": ""}, 422),
        ("shadows", {"version": 1}, 422),
        ("shadows", {"version": "v2", "on": "yes"}, 422),
        ("shadows", {}, 422),
        ("rollback", {"reason": 1}, 422),
    ],
)
def test_wrong_bodies(
    client: Caller, deployed: Deployment, path: str, body: dict[str, object], status: int
) -> None:
    assert client.post(f"{BASE}/{path}", json=body).status_code == status
    assert actions(deployed) == []


def test_a_registry_or_routes_that_fail_leave_it_to_the_next_tick(
    deployed: Deployment, client: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise StorageError("no answer")

    monkeypatch.setattr(RecordsRoutes, "publish", away)
    code, _, err = call("rollback")
    assert (code, err.strip()) == (0, "fraud: the next tick does it: no answer")
    assert client.post(f"{BASE}/rollback", json={}).status_code == 202
    assert actions(deployed) == [("abort", "v2"), ("roll_back", "v1")]


def test_the_report_in_words() -> None:
    until = NOW + timedelta(days=1)
    found = PairedReport(
        "fraud", "v1", "v2", NOW, until, rows=100, entities=40, champion_loss=0.2,
        challenger_loss=0.1, difference=0.1, champion_alone=3, challenger_alone=9,
        mcnemar_p=0.146, champion_auc=0.8, challenger_auc=0.9, auc_p=0.01, better_e=31.0, paired=90,
    )  # fmt: skip
    text = "\n".join(told_of(found))
    for part in ("100 rows, 40 entities", "9 against 3; p 0.146", "AUC 0.9000 against 0.8000",
                 "better 31", "on 90 rows; 20 is enough"):  # fmt: skip
        assert part in text
    short = told_of(PairedReport("fraud", "v1", "v2", NOW, until, rows=9))
    assert len(short) == 4
    assert "unknown entities" in short[0]
