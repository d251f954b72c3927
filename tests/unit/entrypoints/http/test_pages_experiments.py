"""The page of experiments and bandits, without script: what they say, starting, ending."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from starlette.applications import Starlette

from e2e.history import HOSTILE, NOW
from e2e.site import Browser, Reader, Site
from homeostat.domain.model import ModelVersion
from homeostat.engine.bandit_state import ArmState, BanditState, bandit_key
from homeostat.engine.experiments import experiments_of
from homeostat.entrypoints.http.ui import ui
from homeostat.rollout.bandit.design import Bandit
from simulation.market import DESIGN, MODEL, PLAN, SPEC, Manner, market
from unit.entrypoints.monitoring.standing import PLAN as DEPLOYED

PAGE = "/experiments/fraud"
NAME = "<script>x</script>"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    design = replace(DESIGN, name=NAME, arms=("v2", "v3"))
    made.trials[NAME] = replace(PLAN, model="fraud", design=design)
    bandit = Bandit(HOSTILE, "fraud", ("v2", "v3"), PLAN.sources[0].of)
    made.plans["fraud"] = replace(DEPLOYED, spec=made.specs["fraud"], bandits=(bandit,))
    artifact = tmp_path / "model"
    artifact.write_text("x")
    for version in ("v2", "v3"):
        made.registry.register(ModelVersion("fraud", version, "linear", "", NOW), artifact)
    return made


def words(site: Site, path: str) -> str:
    return " ".join(" ".join(Reader(site.get(path).text).words).split())


def send(site: Site, order: str, name: str = NAME) -> int:
    return site.post("/experiments", model="fraud", name=name, order=order, reason="x").status_code


def test_an_experiment_is_started_and_stopped_with_confirmation(site: Site) -> None:
    assert "not started" in words(site, PAGE)
    assert "It was never started" in words(site, f"{PAGE}?name={NAME}")
    asked = site.get(f"{PAGE}?name={NAME}&order=start")
    assert "arms are published at the next tick" in asked.text
    assert "<script>x" not in asked.text
    assert send(site, "start") == 303
    told = words(site, f"{PAGE}?name={NAME}")
    assert "Nothing can be judged yet" in told
    assert send(site, "start") == 409
    assert site.get(f"{PAGE}?name={NAME}&order=start").status_code == 409
    assert send(site, "promote") == 400
    assert send(site, "stop") == 303
    assert send(site, "stop") == 409
    state = experiments_of(site.records, "fraud").named(NAME)
    assert state is not None
    assert state.reason == "x"
    site.trials.clear()
    assert "ended" in words(site, PAGE)
    assert send(site, "start") == 404


@pytest.mark.parametrize(
    ("order", "name", "status"), [("burn", NAME, 400), ("stop", "gone", 404)], ids=["order", "name"]
)
def test_what_there_is_not_is_refused(site: Site, order: str, name: str, status: int) -> None:
    site.get(PAGE)
    assert send(site, order, name) == status
    assert site.get("/experiments/gone").status_code == 404
    assert site.get(f"{PAGE}?name=gone").status_code == 404
    assert site.browser.post("/experiments", data={"order": "stop"}).status_code == 403
    assert "None; homeostat.yaml" in words(site, "/experiments/fresh")


def test_bandits_are_shown_started_and_stopped(site: Site) -> None:
    page = site.get(PAGE)
    assert "It was not started ." in words(site, PAGE)
    links = [a["href"] for tag, a in Reader(page.text).tags if "/confirm" in a.get("href", "")]
    assert len(links) == 1
    assert site.get(links[0]).status_code == 200
    asked = {"model": "fraud", "subject": HOSTILE, "back": "experiments"}
    assert site.post(request="stop_bandit", **asked).status_code == 409
    answer = site.post(request="start_bandit", **asked)
    assert (answer.status_code, answer.headers["location"]) == (303, PAGE)
    assert site.post(request="start_bandit", model="fraud", subject="no").status_code == 404
    assert site.post(request="start_bandit", model="demand", subject="no").status_code == 404
    arms = (ArmState("v2", 0.1, 60.0, 0.1), ArmState("v3", 0.9, 80.0, 0.3))
    state = BanditState(HOSTILE, True, "v2", NOW, NOW, NOW, arms, held="a data fault is open")
    with site.records.begin() as unit:
        unit.save(bandit_key("fraud"), state)
    told = words(site, PAGE)
    assert "is held" in told
    assert "a data fault is open" in told
    assert "90 %" in told
    assert site.post(request="start_bandit", **asked).status_code == 409
    assert site.post(request="stop_bandit", **asked).status_code == 303


def test_figures_have_intervals(tmp_path: Path) -> None:
    world = market(1, folder=tmp_path, customers=500, v2=Manner(buys=0.5))
    ports = world.ports
    routes = ui(
        ports.records, world.log, ports.registry, {MODEL: SPEC}, world.clock,
        trials={PLAN.name: PLAN},
    )  # fmt: skip
    browser = Browser(Starlette(routes=routes))
    browser.get("/")
    sent = {"form_token": browser.cookies["homeostat_form"], "model": MODEL, "name": PLAN.name}
    assert browser.post("/experiments", data=sent | {"order": "start"}).status_code == 303
    world.live(5)
    page = Reader(browser.get(f"/experiments/{MODEL}?name={PLAN.name}").text)
    assert "Everybody" in page.words
    assert [attrs for tag, attrs in page.tags if tag == "svg" and "to" in attrs["aria-label"]]
