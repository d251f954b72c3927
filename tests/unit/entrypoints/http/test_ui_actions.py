from pathlib import Path

import pytest

from e2e.history import NOW
from e2e.site import FRAUD, INCIDENT, PAGES, Browser, Site
from homeostat.domain.model import ModelVersion
from homeostat.entrypoints.http.auth import Scope, Tokens
from homeostat.rollout.state import RolloutState, Stage


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_asking_puts_a_command_into_the_inbox_and_shows_it(site: Site) -> None:
    site.get(FRAUD)
    answer = site.post(request="abort", model="fraud", subject="v3", reason=" too slow ")
    assert (answer.status_code, answer.headers["location"]) == (303, FRAUD)
    assert site.asked() == [("abort", "v3", "too slow", "local")]
    assert "does it at its next tick" in site.get(FRAUD).text


@pytest.mark.parametrize(
    ("request_", "subject"), [("roll_back", "v2"), ("retrain", ""), ("acknowledge", INCIDENT)]
)
def test_other_requests(site: Site, request_: str, subject: str) -> None:
    site.get(FRAUD)
    assert site.post(request=request_, model="fraud", subject=subject).status_code == 303
    assert site.asked() == [(request_, subject, "", "local")]


def test_pushing_needs_a_registered_version(site: Site, tmp_path: Path) -> None:
    site.get(FRAUD)
    assert site.post(request="push", model="fraud", subject="v9").status_code == 404
    artifact = tmp_path / "model"
    artifact.write_text("x")
    site.registry.register(ModelVersion("fraud", "v9", "linear", "", NOW), artifact)
    assert site.post(request="push", model="fraud", subject="v9").status_code == 303


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"request": "abort", "model": "fraud", "subject": "v2"}, 409),
        ({"request": "abort", "model": "fresh", "subject": ""}, 409),
        ({"request": "roll_back", "model": "fraud", "subject": "v1"}, 409),
        ({"request": "delete", "model": "fraud"}, 400),
        ({"request": "retrain", "model": "gone"}, 404),
        ({"model": "fraud"}, 400),
        ({"request": "acknowledge", "model": "demand", "subject": "demand:volume_anomaly:1"}, 409),
        ({"request": "retrain", "model": "fraud", "reason": "x" * 20_000}, 400),
    ],
)
def test_requests_that_no_longer_fit_are_refused(
    site: Site, fields: dict[str, str], status: int
) -> None:
    site.get(FRAUD)
    assert site.post(**fields).status_code == status
    assert site.asked() == site.asked("fresh") == []


def test_an_approval_is_for_the_challenger_that_was_seen(site: Site) -> None:
    with site.records.begin() as uow:
        uow.load("rollout:fraud", RolloutState)
        uow.save("rollout:fraud", RolloutState("fraud", Stage.PROMOTING, "v2", challenger="v4"))
    assert "Approve v4" in site.get(FRAUD).text
    assert site.post(request="approve", model="fraud", subject="v3").status_code == 409
    assert site.post(request="approve", model="fraud", subject="v4").status_code == 303


def test_forms_from_elsewhere_are_refused(site: Site) -> None:
    fields = {"request": "retrain", "model": "fraud"}
    assert site.browser.post("/actions", data=fields).status_code == 403
    site.get(FRAUD)
    assert site.browser.post("/actions", data=fields).status_code == 403
    assert site.browser.post("/actions", data=fields | {"form_token": "ü"}).status_code == 403
    token = site.browser.cookies["homeostat_form"]
    foreign = site.browser.post(
        "/actions",
        data=fields | {"form_token": token},
        headers={"Sec-Fetch-Site": "cross-site"},
    )
    assert foreign.status_code == 403
    assert site.asked() == []


def test_a_form_that_is_not_text_is_refused(site: Site) -> None:
    site.get(FRAUD)
    assert site.browser.post("/actions", content=b"\xff\xfe").status_code == 400
    many = "&".join(f"a{k}=1" for k in range(30))
    assert site.browser.post("/actions", content=many).status_code == 400


def test_the_form_cookie_is_out_of_reach(site: Site) -> None:
    cookie = site.get("/").headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "set-cookie" not in site.get("/").headers


def test_other_machines_and_foreign_names_need_a_token(site: Site) -> None:
    for stranger in (
        Browser(site.app, "10.0.0.9"),
        Browser(site.app, base="http://rebound.example"),
    ):
        for path in (*PAGES, "/charts/drift/fraud", "/reports/fraud"):
            answer = stranger.get(path)
            assert answer.status_code == 401
            assert "content-security-policy" in answer.headers
        assert stranger.post("/actions", data={}).status_code == 401


def test_who_holds_the_token_is_who_asks(site: Site) -> None:
    tokens = Tokens(site.records)
    reader = tokens.create("rita", [Scope.READ], NOW)
    operator = tokens.create("ana", [Scope.READ, Scope.OPERATE], NOW)
    site.browser.secret = reader
    assert site.get(FRAUD).status_code == 200
    assert site.post(request="retrain", model="fraud").status_code == 403
    site.browser.secret = operator
    assert site.post(request="retrain", model="fraud", reason="why not").status_code == 303
    assert site.asked() == [("retrain", "", "why not", "ana")]
