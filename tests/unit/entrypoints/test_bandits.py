"""Bandits over HTTP and on the command line: where they stand, and what others would earn."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from starlette.applications import Starlette

from asgi import Caller
from homeostat.adapters.clock import SystemClock
from homeostat.adapters.predlog.log import FilePredictionLog
from homeostat.adapters.records.database import DatabaseRecords
from homeostat.domain.errors import DataError, NotFoundError
from homeostat.domain.model import ModelSpec
from homeostat.domain.record import LABEL_SCHEMA, prediction_schema
from homeostat.engine.arms import publish_arms
from homeostat.engine.bandit_state import ArmState, BanditState, bandit_key
from homeostat.engine.commands import Inbox, Request, inbox_key
from homeostat.engine.watch import rollout_key
from homeostat.entrypoints.bandits import (
    MOST_RULES,
    Policy,
    design_of,
    judged,
    read_policy,
    read_rule,
    read_shares,
)
from homeostat.entrypoints.http.auth import Scope, Tokens
from homeostat.entrypoints.http.bandits import bandits_api
from homeostat.entrypoints.settings import load
from homeostat.rollout.bandit.design import Bandit, Kind
from homeostat.rollout.state import RolloutState, Stage
from simulation.dealing import NAME, OUTCOME, Market, steady
from simulation.world import DAY, MODEL
from unit.entrypoints.cli.test_cli import call

DESIGN = Bandit(NAME, MODEL, ("v1", "v2"), OUTCOME, least=60, floor=0.2, traffic=0.8)
PATH = f"/api/v1/models/{MODEL}/bandits"


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Market:
    folder = tmp_path_factory.mktemp("market")
    rates, delays = {"v1": steady(0.1), "v2": steady(0.3)}, {"v1": 0.2, "v2": 0.2}
    found = Market(folder, DESIGN, rates, delays, maturity=DAY, daily=110)
    found.tick(Request.START_BANDIT)
    found.live(10)
    return found


@pytest.fixture(scope="module")
def caller(market: Market) -> tuple[Caller, dict[str, str]]:
    tokens = Tokens(market.records)
    routes = bandits_api(market.records, market.log, {MODEL: market.plan}, market.clock, tokens)
    secret = tokens.create("reader", (Scope.READ,), market.clock.now())
    return Caller(Starlette(routes=routes), "http://h:1"), {"Authorization": f"Bearer {secret}"}


def test_what_stands_is_told(market: Market, caller: tuple[Caller, dict[str, str]]) -> None:
    client, token = caller
    (told,) = client.get(PATH, headers=token).json()["bandits"]
    assert told["stands"] == "runs"
    assert told["bandit"]["arms"] == ["v1", "v2"]
    assert sum(told["shares"].values()) == pytest.approx(0.8)
    assert told["state"]["batches"] == 10
    assert client.get(PATH, headers={"Authorization": "Bearer x"}).status_code == 401
    assert client.get(PATH.replace(MODEL, "no"), headers=token).status_code == 404


def test_other_shares_are_judged(caller: tuple[Caller, dict[str, str]]) -> None:
    client, token = caller
    path = f"{PATH}/{NAME}/evaluation"
    found = client.get(path, params={"share": "v2=1"}, headers=token).json()["evaluation"]
    for name in ("ips", "snips", "doubly_robust"):
        each = found[name]
        assert each["lower"] < 0.3 < each["upper"]
    assert found["logged"] < 0.3
    assert not found["refused"]
    assert 0 < found["entities"] <= found["rows"]


@pytest.mark.parametrize(
    ("name", "params", "status", "says"),
    [
        ("nobody", {"share": "v2=1"}, 404, "no bandit is named 'nobody'; there are: prices"),
        (NAME, {}, 422, "their sum is 1"),
        (NAME, {"share": "v2=x"}, 422, "no new VERSION=SHARE"),
        (NAME, {"share": "v9=1"}, 422, "'v9' is no arm"),
        (NAME, {"share": "v2=1", "rule": "amount"}, 422, "is no rule"),
        (NAME, {"share": "v2=1", "rule": "colour > 1 -> v1"}, 422, "a rule of the policy"),
        (NAME, {"share": "v2=1", "rule": "amount > 1 -> v9"}, 422, "'v9' is no arm"),
    ],
    ids=["bandit", "none", "number", "arm", "rule", "column", "version"],
)
def test_what_cannot_be_judged_is_said(
    caller: tuple[Caller, dict[str, str]], name: str, params: dict[str, str], status: int, says: str
) -> None:
    client, token = caller
    answer = client.get(f"{PATH}/{name}/evaluation", params=params, headers=token)
    assert answer.status_code == status
    assert says in answer.json()["error"]


def test_a_rule_sends_some_to_another_arm(market: Market) -> None:
    rows = pa.table({"signal": [1.0, -1.0], "amount": [1.0, 1.0]})
    rules = (("signal > 0 and amount > 5", "v1"), ("signal > 0", "v2"))
    policy = Policy({"v1": 1.0}, rules)
    schema = market.spec.schema
    dealt = read_policy(schema, DESIGN, policy)
    assert dealt.columns == ["amount", "signal"]
    assert dealt.chances(rows).tolist() == [[0.0, 1.0], [1.0, 0.0]]
    with pytest.raises(DataError, match="at most 20 rules"):
        read_policy(schema, DESIGN, Policy({"v1": 1.0}, rules * MOST_RULES))


def test_of_scores_only_those_that_were_given_are_judged(market: Market) -> None:
    design, policy = replace(DESIGN, kind=Kind.SCORE), Policy({"v2": 1.0})
    now = market.clock.now()
    found = judged(market.records, market.log, market.plan, design, policy, now)
    assert found.snips is not None
    assert found.snips.value == pytest.approx(1.0)
    assert found.logged == 1.0


def test_one_that_was_not_started_or_just_now_has_nothing_to_judge(market: Market) -> None:
    def ask(design: Bandit, now: Any) -> None:
        judged(market.records, market.log, market.plan, design, Policy({"v1": 1.0}), now)

    with pytest.raises(DataError, match="was not started"):
        ask(replace(DESIGN, name="other"), market.clock.now())
    with pytest.raises(DataError, match="no labels of prices are complete yet"):
        ask(DESIGN, market.clock.now() - 9 * DAY)
    with pytest.raises(NotFoundError, match=r"homeostat\.yaml has no bandits"):
        design_of({MODEL: replace(market.plan, bandits=())}, NAME)


@pytest.mark.parametrize("text", ["v1", "=1", "v1=", "v1=nan"])
def test_pairs_and_rules_are_read_with_care(text: str) -> None:
    with pytest.raises(DataError, match="VERSION=SHARE"):
        read_shares([text])
    with pytest.raises(DataError, match="VERSION=SHARE"):
        read_shares(["v1=0.5", "v1=0.5"])
    assert read_rule("a > 1 -> v=1") == ("a > 1", "v=1")


CONFIG = """\
models:
  - name: shop
    task: binary
    features: {amount: numeric}
    labels: {maturity: 1d}
bandits:
  - {name: offers, model: shop, arms: ['7', '8'], least: 10}
  - {name: other, model: shop, arms: ['7', '9']}
"""


def logged(spec: ModelSpec, log: FilePredictionLog, rows: int) -> None:
    """Two days old rows: the second arm is twice as good."""
    at = SystemClock().now() - timedelta(days=2)
    arms = ["7", "8"] * (rows // 2)
    columns = {
        "prediction_id": [f"r{n}" for n in range(rows)],
        "timestamp": [at] * rows,
        "version": arms,
        "role": [f"arm:{arm}" for arm in arms],
        "tier": ["model"] * rows,
        "reason": [""] * rows,
        "entity": [f"c{n}" for n in range(rows)],
        "score": [0.5] * rows,
        "arm_share": [0.5] * rows,
        "amount": [float(n % 3) for n in range(rows)],
    }
    schema = prediction_schema(spec)
    absent = {f.name: pa.nulls(rows, f.type) for f in schema if f.name not in columns}
    log.append(spec, pa.table({f.name: (columns | absent)[f.name] for f in schema}, schema=schema))
    good = [n for n in range(rows) if n % 20 in {0, 1, 3}]
    labels = {
        "prediction_id": [f"r{n}" for n in good],
        "label": [1.0] * len(good),
        "arrival": [at + timedelta(hours=1)] * len(good),
    }
    log.append_labels(spec, pa.table(labels, schema=LABEL_SCHEMA))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "homeostat.yaml").write_text(CONFIG)
    (tmp_path / "homeostat-data").mkdir()
    clock = SystemClock()
    records = DatabaseRecords("sqlite:///homeostat-data/records.db", clock)
    since = clock.now() - timedelta(days=3)
    arms = (ArmState("7", 0.1, 50.0, 0.05), ArmState("8", 0.9, 50.0, 0.1))
    state = BanditState(
        "offers", True, "7", since, since, since, arms, 3, True, (), "no reward of 8 comes"
    )
    with records.begin() as uow:
        uow.save(bandit_key("shop"), state)
        uow.save(rollout_key("shop"), RolloutState("shop", Stage.CHAMPION, "7"))
        publish_arms(
            uow, "shop", {"7": 0.2, "8": 0.8},
            owner="bandit:offers", actor="ana", reason="x", now=since,
        )  # fmt: skip
    settings = load(tmp_path / "homeostat.yaml")
    log = FilePredictionLog(settings.log_folder, records, fsync=False)
    logged(settings.specs[0], log, 400)
    log.close()
    records.close()
    return tmp_path


def test_the_command_line_shows_and_judges(here: Path) -> None:
    code, out, _ = call("bandit", "list")
    assert code == 0
    assert "7=20.0% 8=80.0%" in out
    assert "not started" in out
    told = json.loads(call("bandit", "list", "--json")[1])["bandits"]
    assert [each["stands"] for each in told] == ["held", "not started"]
    code, out, _ = call("bandit", "show", "offers")
    assert code == 1
    assert "no reward of 8 comes" in out
    assert "90.0%" in out
    code, out, _ = call("bandit", "show", "other")
    assert (code, "not started" in out) == (0, True)
    assert json.loads(call("bandit", "show", "offers", "--json")[1])["shares"]["8"] == 0.8
    code, out, _ = call(
        "bandit", "evaluate", "offers", "7=0.5", "8=0.5", "--rule", "amount > 5 -> 7"
    )
    assert code == 0
    assert "snips 0.15 " in " ".join(out.split())
    assert "what was done earned 0.15 in 400 answers of 400 entities" in out
    found = json.loads(call("bandit", "evaluate", "offers", "8=1", "--json")[1])["evaluation"]
    assert found["snips"]["value"] == pytest.approx(0.2)
    code, _, err = call("bandit", "evaluate", "other", "7=1")
    assert (code, "was not started" in err) == (2, True)


def test_what_is_asked_on_the_command_line_waits_for_the_engine(here: Path) -> None:
    assert call("bandit", "start", "other", "--reason", "go")[0] == 0
    assert "asked to stop bandit" in call("bandit", "stop", "offers")[1]
    code, _, err = call("bandit", "start", "nobody")
    assert (code, "no bandit is named 'nobody'" in err) == (2, True)
    records = DatabaseRecords("sqlite:///homeostat-data/records.db", SystemClock())
    inbox = records.read(inbox_key("shop"), Inbox)
    records.close()
    assert inbox is not None
    asked = [(command.request, command.subject) for command in inbox.commands]
    assert asked == [(Request.START_BANDIT, "other"), (Request.STOP_BANDIT, "offers")]


def test_a_policy_without_support_is_refused(here: Path) -> None:
    text = (here / "homeostat.yaml").read_text()
    (here / "homeostat.yaml").write_text(text.replace("['7', '8']", "['7', '8', '9']"))
    code, out, _ = call("bandit", "evaluate", "offers", "9=1")
    assert code == 1
    assert "it wants 9, which was never tried" in out
    assert (
        json.loads(call("bandit", "evaluate", "offers", "9=1", "--json")[1])["evaluation"]["ips"]
        is None
    )
