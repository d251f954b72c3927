"""Experiments over HTTP and on their page: what programs and product owners see."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from starlette.applications import Starlette

from asgi import Caller
from e2e.site import Reader
from homeostat.adapters.records.database import DatabaseRecords
from homeostat.engine.arms import arms_of
from homeostat.entrypoints.experiments import page_of
from homeostat.entrypoints.http.auth import Scope, Tokens
from homeostat.entrypoints.http.experiments import PATH, Tried, experiments_api
from homeostat.reports.experiment import to_markdown
from homeostat.rollout.experiment.plan import ExperimentPlan, Source
from simulation.market import DESIGN, ERRORS, MODEL, PAID, PLAN, SLOW, SPEC, Manner, Market, market

HOSTILE = "<script>x</script>|[a](b)"
THREE = replace(
    DESIGN, arms=("v1", "v2", "v3"), shares=(0.4, 0.3, 0.3), metrics=(PAID, SLOW, ERRORS)
)
SOURCES = (*PLAN.sources, Source("slow"), Source("errors"))
PLANS = {
    "checkout": replace(PLAN, design=THREE, sources=SOURCES, segments=("country",)),
    HOSTILE: replace(PLAN, design=replace(DESIGN, name=HOSTILE, arms=("v1", "v3"))),
}


def site(world: Market, plans: dict[str, ExperimentPlan] | None = None) -> Caller:
    ports = world.ports
    plans = PLANS if plans is None else plans
    tried = Tried(ports.records, ports.registry, world.log, plans, {MODEL: SPEC}, world.clock)
    return Caller(
        Starlette(routes=experiments_api(tried, Tokens(ports.records))), "http://127.0.0.1"
    )


def test_from_start_to_end(tmp_path: Path) -> None:
    world = market(1, folder=tmp_path, customers=500, v2=Manner(buys=0.5), v3=Manner(slow=300.0))
    web = site(world)
    first = web.get(PATH).json()["experiments"]
    assert [(each["name"], each["stage"]) for each in first] == [
        ("checkout", "not started"),
        (HOSTILE, "not started"),
    ]
    assert web.get(f"{PATH}/checkout").status_code == 404
    begun = web.post(f"{PATH}/checkout/start", json={"reason": "spring"})
    assert (begun.status_code, begun.json()["experiment"]["stage"]) == (201, "running")
    assert web.post(f"{PATH}/checkout/start", json={}).status_code == 422
    nothing = web.get(f"{PATH}/checkout/report").text
    assert "Nothing can be judged yet" in Reader(nothing).words
    world.live(7)
    found = web.get(f"{PATH}/checkout").json()["experiment"]
    assert (found["stage"], found["winner"], found["dropped"]) == ("waiting", "v2", ["v3"])
    assert found["report"]["arms"][0]["effects"][0]["metric"]["name"] == "paid"
    page = web.get(f"{PATH}/checkout/report")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    words = Reader(page.text).words
    assert "Version v2 is better than v1: it waits for you" in words
    assert "country=DE: paid" in words
    assert "within its margin" in words
    ended = web.post(f"{PATH}/checkout/stop", json={"promote": True})
    assert ended.json()["experiment"] == {"name": "checkout", "stage": "ended", "winner": "v2"}
    assert not arms_of(world.ports.records, MODEL).owner
    assert "it was handed to the rollout" in web.get(f"{PATH}/checkout/report").text
    left = site(world, {HOSTILE: PLANS[HOSTILE]}).get(PATH).json()["experiments"]
    assert [each["name"] for each in left] == [HOSTILE, "checkout"]


def test_names_are_text_on_the_page_and_in_markdown(tmp_path: Path) -> None:
    world = market(1, folder=tmp_path, customers=60)
    world.begin(PLANS[HOSTILE])
    page = page_of(world.ports.records, world.state, world.clock.now())
    text = to_markdown(page)
    assert "<script>" not in text
    assert "\\|" in text


def test_the_past_is_asked(tmp_path: Path) -> None:
    world = market(1, folder=tmp_path, customers=150)
    world.live(8)
    web = site(world)
    found = web.get(f"{PATH}/checkout/power?days=4&effect=0.5").json()
    assert found["size"] > 0
    assert [need["metric"] for need in found["needs"]] == ["paid", "slow", "errors"]
    tried = web.get(f"{PATH}/checkout/aa?days=4&runs=5").json()
    assert (tried["runs"], tried["sound"]) == (5, True)
    assert len(tried["metrics"]) == 2


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("power?days=0", "days"), ("power?effect=x", "effect"), ("power?power=1", "power"),
        ("aa?runs=9999", "runs"), ("aa?seed=-1", "seed"),
    ],
    ids=["days", "effect", "power", "runs", "seed"],
)  # fmt: skip
def test_what_cannot_be_asked_is_said(tmp_path: Path, path: str, field: str) -> None:
    answer = site(market(1, folder=tmp_path)).get(f"{PATH}/checkout/{path}")
    assert (answer.status_code, answer.json()["field"]) == (422, field)


@pytest.mark.parametrize(
    ("body", "field"),
    [({"reason": 1}, "reason"), ({"promote": "yes"}, "promote"), ({"colour": "red"}, "colour")],
    ids=["reason", "promote", "unknown"],
)
def test_what_a_request_must_not_hold_is_said(
    tmp_path: Path, body: dict[str, object], field: str
) -> None:
    answer = site(market(1, folder=tmp_path)).post(f"{PATH}/checkout/stop", json=body)
    assert (answer.status_code, answer.json()["field"]) == (422, field)


def test_scopes_and_unknown_names(tmp_path: Path) -> None:
    world = market(1, folder=tmp_path)
    web = site(world)
    assert web.get(f"{PATH}/other/power").status_code == 404
    assert web.post(f"{PATH}/other/start", json={}).status_code == 404
    assert web.post(f"{PATH}/checkout/stop", json={}).status_code == 404
    secret = Tokens(world.ports.records).create("rita", [Scope.READ], world.clock.now())
    told = {"Authorization": f"Bearer {secret}"}
    assert web.get(PATH, headers=told).status_code == 200
    assert web.post(f"{PATH}/checkout/start", json={}, headers=told).status_code == 403


def test_the_database_keeps_experiments(tmp_path: Path) -> None:
    world = market(1, folder=tmp_path, customers=60)
    records = DatabaseRecords(f"sqlite:///{tmp_path}/records.db", world.clock, "OFF")
    with records.begin() as uow:
        state = world.begin(PLANS["checkout"])
        world.live(2)
        uow.save("x", world.state)
    assert records.read("x", type(state)) == world.state
    records.close()
