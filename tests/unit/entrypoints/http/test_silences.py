"""Silences and incidents' stories over HTTP: scopes, mistakes, and hostile text on pages."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest

from e2e.history import HOSTILE, NOW
from e2e.site import INCIDENT, Reader, Site
from homeostat.alerting.episode import IncidentState
from homeostat.engine.silencing import all_silences
from homeostat.engine.watch import incident_key
from homeostat.entrypoints.http.auth import Scope, Tokens
from unit.entrypoints.http.test_api import World, world  # noqa: F401 - a fixture

HOUR = timedelta(hours=1)
PATH = "/api/v1/silences"
GOOD = {"model": "fraud", "owner": "ana", "reason": "known", "for": "2h"}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def send(site: Site, **fields: str) -> int:
    site.get("/silences")
    token = site.browser.cookies["homeostat_form"]
    given = fields | {"form_token": token}
    return site.browser.post("/silences", data=given).status_code


def test_a_silence_is_made_and_ended_on_its_page(site: Site) -> None:
    assert "There are no silences" in site.get("/silences").text
    hostile = {"owner": HOSTILE[:500], "reason": HOSTILE[:500]}
    assert send(site, **(GOOD | hostile)) == 303
    page = Reader(site.get("/silences").text)
    assert "holding" in page.words
    assert not [tag for tag, attrs in page.tags if tag == "script" and "src" not in attrs]
    assert send(site, end_number="1") == 303
    assert "over" in Reader(site.get("/silences").text).words
    (ended,) = all_silences(site.records)
    assert ended.is_over(NOW)
    assert ended.ended_by


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"owner": ""}, 400), ({"for": "x"}, 400), ({"model": ""}, 400), ({"end_number": "7"}, 404),
        ({"end_number": "²"}, 400), ({"colour": "red"}, 400),
    ],
    ids=["owner", "duration", "all", "unknown", "number", "field"],
)  # fmt: skip
def test_what_a_form_lacks_is_said(site: Site, fields: dict[str, str], status: int) -> None:
    assert send(site, **(GOOD | fields)) == status
    assert all_silences(site.records) == ()


def test_forms_from_elsewhere_make_no_silence(site: Site) -> None:
    assert site.browser.post("/silences", data=GOOD).status_code == 403
    tokens = Tokens(site.records)
    site.browser.secret = tokens.create("rita", [Scope.READ], NOW)
    assert site.get("/silences").status_code == 200
    assert send(site, **GOOD) == 403
    assert all_silences(site.records) == ()


def test_the_address_fills_the_form(site: Site) -> None:
    text = site.get(f"/silences?model=fraud&rule={quote(HOSTILE)}").text
    values = [attrs.get("value") for tag, attrs in Reader(text).tags if tag == "input"]
    assert "fraud" in values
    assert HOSTILE[:500] in values


def test_the_incident_page_tells_its_story(site: Site) -> None:
    page = site.get(f"/incidents/{INCIDENT}").text
    assert "Timeline" in page
    assert f"/postmortems/{quote(INCIDENT)}?format=md" in page
    key = incident_key("fraud", "model_down")
    with site.records.begin() as uow:
        state = uow.load(key, IncidentState)
        assert state is not None
        uow.save(key, replace(state, silenced=3))
    assert "Silence 3" in site.get(f"/incidents/{INCIDENT}").text


def test_a_post_mortem_is_a_file(site: Site) -> None:
    for kind, start in (("html", "<!doctype html>"), ("md", "# Post-mortem")):
        answer = site.get(f"/postmortems/{INCIDENT}?format={kind}")
        assert answer.status_code == 200
        assert answer.text.startswith(start)
        assert answer.headers["content-disposition"] == f'attachment; filename="postmortem.{kind}"'
    assert site.get(f"/postmortems/{INCIDENT}?format=pdf").status_code == 400
    assert site.get("/postmortems/fraud:none:1").status_code == 404
    hostile = site.get(f"/postmortems/{quote(HOSTILE)}:data_drift:2?format=html").text
    assert "<script" not in hostile


def test_programs_make_list_and_end_silences(world: World) -> None:  # noqa: F811
    client = world.client
    made = client.post(PATH, json=GOOD)
    assert made.status_code == 201
    silence = made.json()["silence"]
    assert (silence["number"], silence["standing"], silence["matcher"]["rule"]) == (
        1,
        "holding",
        "*",
    )
    assert [s["number"] for s in client.get(PATH).json()["silences"]] == [1]
    assert client.post(f"{PATH}/1/end").json()["silence"]["standing"] == "over"
    for number in ("1", "2", "x"):
        answer = client.post(f"{PATH}/{number}/end")
        assert (answer.status_code, answer.json()["field"]) == (404, "number")


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        (GOOD | {"owner": 1}, "owner", "must be text"),
        (GOOD | {"colour": "red"}, "colour", "unknown field"),
        ({**GOOD, "reason": ""}, "", "reason"),
        ({**GOOD, "model": "froud"}, "", "known: fraud, price, tone"),
    ],
    ids=["type", "field", "reason", "model"],
)
def test_mistakes_of_programs_are_told(
    world: World,  # noqa: F811
    body: dict[str, object],
    field: str,
    words: str,
) -> None:
    answer = world.client.post(PATH, json=body)
    assert answer.status_code == 422
    assert answer.json().get("field", "") == field
    assert words in answer.json()["error"]


def test_an_incidents_story_can_be_read(world: World) -> None:  # noqa: F811
    base = "/api/v1/models/fraud/incidents"
    state = IncidentState("fraud", "data_fault", episode=1, title="t", fired_at=None)
    with world.records.begin() as uow:
        uow.save(incident_key("fraud", "data_fault"), state)
    found = world.client.get(f"{base}/fraud:data_fault:1").json()["incident"]
    assert (found["key"], found["timeline"]) == ("fraud:data_fault:1", [])
    for key in ("fraud:data_fault:9", "price:data_fault:1"):
        answer = world.client.get(f"{base}/{key}")
        assert (answer.status_code, answer.json()["field"]) == (404, "key")
