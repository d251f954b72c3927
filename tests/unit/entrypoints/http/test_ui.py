import asyncio
import gzip
import json
import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from urllib.parse import quote

import httpx
import pyarrow as pa
import pytest
from e2e import history
from e2e.history import HOSTILE, NOW
from starlette.applications import Starlette

from homeostat.domain.errors import StorageError
from homeostat.domain.model import ModelVersion
from homeostat.domain.record import LABEL_SCHEMA
from homeostat.engine.commands import Inbox, inbox_key
from homeostat.entrypoints.http.auth import Scope, Tokens
from homeostat.entrypoints.http.ui import ui
from homeostat.rollout.state import RolloutState, Stage
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes.log import MemoryLog
from homeostat.simulation.fakes.models import MemoryRegistry
from homeostat.simulation.fakes.records import MemoryRecords

FRAUD = "/models/fraud"
INCIDENT = "fraud:model_down:1"
PAGES = (
    "/",
    FRAUD,
    "/models/demand",
    "/models/fresh",
    f"/models/{quote(HOSTILE)}",
    f"/incidents/{INCIDENT}",
    f"/incidents/{quote(HOSTILE)}:data_drift:2",
    "/decisions",
    f"/decisions?model={quote(HOSTILE)}",
)
RUNBOOK = "# Model down\n\nRestart the **backend**. <script>alert(1)</script>\n"


class Reader(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)


class Browser:
    """Talks to the app directly, keeps cookies, runs no script, follows no redirect."""

    def __init__(self, app, address="127.0.0.1", base="http://localhost"):
        self.app, self.address, self.base = app, address, base
        self.cookies = httpx.Cookies()

    def send(self, method, path, **content):
        async def answer():
            transport = httpx.ASGITransport(self.app, client=(self.address, 5000))
            async with httpx.AsyncClient(
                transport=transport, base_url=self.base, cookies=self.cookies
            ) as client:
                got = await client.request(method, path, **content)
                self.cookies.update(client.cookies)
                return got

        return asyncio.run(answer())

    def get(self, path, headers=None):
        return self.send("GET", path, headers=headers)

    def post(self, path, **content):
        return self.send("POST", path, **content)


class Site:
    """The pages over fakes, and a browser without script on the same machine."""

    def __init__(self, folder, *, filled=True):
        (folder / "model_down.md").write_text(RUNBOOK)
        self.clock = SimulatedClock(NOW)
        self.records = MemoryRecords(self.clock)
        self.registry, self.log = MemoryRegistry(), MemoryLog(self.clock)
        self.specs = dict(history.SPECS)
        if filled:
            history.populate(self.records)
        routes = ui(self.records, self.log, self.registry, self.specs, self.clock, folder)
        self.app = Starlette(routes=routes)
        self.browser = Browser(self.app)

    def get(self, path, **headers):
        return self.browser.get(path, headers=headers)

    def post(self, path="/actions", **fields):
        token = self.browser.cookies.get("homeostat_form", "")
        return self.browser.post(path, data={"form_token": token} | fields)

    def asked(self, model="fraud"):
        inbox = self.records.read(inbox_key(model), Inbox) or Inbox()
        return [(c.request.value, c.subject, c.reason, c.actor) for c in inbox.commands]


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


@pytest.mark.parametrize("path", PAGES)
def test_every_page_answers_with_strict_headers(site, path):
    answer = site.get(path)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", PAGES)
def test_pages_have_no_inline_script_or_style_and_fetch_nothing_elsewhere(site, path):
    for tag, attrs in Reader(site.get(path).text).tags:
        assert not [name for name in attrs if name[:2] == "on" or name == "style"]
        assert tag != "style"
        if tag == "script":
            assert attrs["src"].startswith("/static/")
        if tag in {"link", "img"}:
            assert attrs.get("href", "").startswith(("/static/", "data:,"))


@pytest.mark.parametrize("path", ["/", f"/models/{quote(HOSTILE)}", "/decisions"])
def test_hostile_names_show_as_text(site, path):
    text = site.get(path).text
    assert "<script>document.title" not in text
    assert HOSTILE in "".join(Reader(text).words)


def test_overview_puts_trouble_first_in_words(site):
    words = " ".join("".join(Reader(site.get("/").text).words).split())
    order = [words.index(text) for text in ("Needs you now", "Needs a look", "Not known")]
    assert order == sorted(order)
    assert "3 of 4 need attention" in words


def test_overview_without_models_says_how_to_add_one(tmp_path):
    site = Site(tmp_path, filled=False)
    site.specs.clear()
    assert "homeostat init" in site.get("/").text


def test_overview_of_healthy_models_says_so(tmp_path):
    site = Site(tmp_path)
    for name in ("fraud", "fresh", HOSTILE):
        del site.specs[name]
    assert "All 1 healthy" in site.get("/").text


def test_model_page_says_what_is_wrong_and_where_the_rollout_stands(site):
    words = " ".join(" ".join(Reader(site.get(FRAUD).text).words).split())
    for text in (
        "Needs you now",
        "42 % of answers came from a fallback",
        "Challenger v3",
        "10 %",
        "Retraining fraud-0003: accepted",
        "0.848 to 0.875",
        "better on 3,120 matured rows",
    ):
        assert text in words


def test_model_without_data_is_honest(site):
    text = site.get("/models/fresh").text
    assert "No data yet" in text
    assert "No version serves yet" in text
    assert "Nothing decided yet" in text


def test_time_goes_by_and_silence_is_not_health(site):
    site.clock.advance(timedelta(days=20))
    assert "Not being judged" in site.get("/models/demand").text


def test_labels_without_prediction_are_counted(site):
    arrived = NOW - timedelta(days=2)
    labels = pa.table(
        {"prediction_id": ["lost"], "label": [1.0], "arrival": [arrived]}, LABEL_SCHEMA
    )
    site.log.append_labels(site.specs["fraud"], labels)
    assert "1 labels arrived more than a day ago" in site.get(FRAUD).text


def test_htmx_gets_the_live_part_only(site):
    part = site.get(FRAUD, **{"HX-Request": "true"}).text
    assert part.lstrip().startswith('<div id="live"')
    assert "<html" not in part
    whole = site.get(FRAUD).text
    assert len(part) < len(whole)


@pytest.mark.parametrize("chart", ["performance", "coverage", "drift", "volume"])
@pytest.mark.parametrize("model", ["fraud", "fresh", HOSTILE])
def test_charts_are_json_with_values(site, chart, model):
    answer = site.get(f"/charts/{chart}/{quote(model)}")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["$schema"].endswith("v6.json")
    assert answer.json()["description"].startswith("No ") == (model == "fresh")


def test_performance_shows_the_asked_metric_and_falls_back_on_the_first(site):
    def metric(query):
        return site.get(f"/charts/performance/fraud?{query}").json()["description"].split()[0]

    assert [metric("metric=brier"), metric("metric=nope"), metric("")] == ["brier", "auc", "auc"]


def test_range_is_kept_in_links_and_applied(site):
    page = site.get(f"{FRAUD}?days=7&until=2024-03-20T00:00:00Z").text
    assert "days=90&amp;until=2024-03-20T00%3A00%3A00%2B00%3A00" in page
    chart = site.get("/charts/volume/fraud?days=7&until=2024-03-20T00:00:00%2B00:00").json()
    days = {row["start"][:10] for row in chart["data"]["values"]}
    assert (min(days), max(days)) == ("2024-03-13", "2024-03-19")


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        (f"{FRAUD}?days=0", 400, "whole number from 1 to 400"),
        (f"{FRAUD}?days=1e9", 400, "whole number"),
        (f"{FRAUD}?days=²", 400, "whole number"),
        (f"{FRAUD}?until=yesterday", 400, "2024-03-01T00:00:00Z"),
        (f"{FRAUD}?until=0001-01-01", 400, "no data is that old"),
        ("/models/gone", 404, "no model is named"),
        ("/incidents/fraud:none:7", 404, "no incident"),
        ("/incidents/none", 404, "no incident"),
        ("/decisions?model=gone", 404, "no model is named"),
        ("/charts/pie/fraud", 404, "no chart"),
        ("/reports/fraud?format=pdf", 400, "html, md, json"),
    ],
)
def test_bad_addresses_say_what_and_what_to_do(site, path, status, words):
    answer = site.get(path)
    assert answer.status_code == status
    assert words in answer.text


def test_a_broken_database_is_ours_and_said(site, monkeypatch):
    def broken(*_, **__):
        raise StorageError("the records database cannot be read: disk I/O error")

    monkeypatch.setattr(site.records, "verdicts", broken)
    answer = site.get("/")
    assert answer.status_code == 503
    assert "Gateways keep serving" in answer.text


def test_incident_page_has_cause_timeline_and_runbook(site):
    text = site.get(f"/incidents/{INCIDENT}").text
    assert "backend hangs" in text
    assert "42 % of answers failed" in text
    assert "<strong>backend</strong>" in text
    assert "<script>alert(1)" not in text


def test_runbook_elsewhere_is_linked_and_a_lost_one_is_named(site):
    assert 'href="https://runbooks.example/drift"' in site.get(PAGES[6]).text
    assert "not on this server" in site.get("/incidents/demand:volume_anomaly:1").text


def test_past_episodes_come_from_the_decision_log(site):
    from homeostat.domain.decision import Decision

    with site.records.begin() as uow:
        for hour, action in enumerate(("fire", "acknowledge", "resolve")):
            at = datetime(2024, 3, 9, hour, tzinfo=UTC)
            uow.decide(Decision("fraud", at, "ana", action, "fraud:data_fault:4", f"why {hour}"))
    listed = site.get(FRAUD).text
    assert "fraud: data fault" in listed
    text = site.get("/incidents/fraud:data_fault:4").text
    assert "resolved 2024-03-09 02:00 UTC" in re.sub(r"<[^>]+>", "", text)
    assert "no longer configured" in text


@pytest.mark.parametrize(
    ("kind", "start"), [("html", "<!doctype html>"), ("md", "# Health of fraud"), ("json", "{")]
)
def test_the_period_can_be_downloaded(site, kind, start):
    answer = site.get(f"/reports/fraud?format={kind}")
    assert answer.text.startswith(start)
    assert f"report.{kind}" in answer.headers["content-disposition"]


def test_json_report_holds_the_period_only(site):
    report = json.loads(site.get("/reports/fraud?format=json&days=3&until=2024-03-20").text)
    starts = [point["window"]["start"] for point in report["models"][0]["metrics"]]
    assert min(starts) >= "2024-03-17"
    assert max(starts) < "2024-03-20"


def test_static_files_last_and_pages_point_at_their_content(site):
    scripts = [attrs["src"] for tag, attrs in Reader(site.get(FRAUD).text).tags if tag == "script"]
    assert len(scripts) == 5
    for path in scripts:
        answer = site.get(path)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]


def test_asking_puts_a_command_into_the_inbox_and_shows_it(site):
    site.get(FRAUD)
    answer = site.post(request="abort", model="fraud", subject="v3", reason=" too slow ")
    assert (answer.status_code, answer.headers["location"]) == (303, FRAUD)
    assert site.asked() == [("abort", "v3", "too slow", "local")]
    assert "does it at its next tick" in site.get(FRAUD).text


@pytest.mark.parametrize(
    ("request_", "subject"), [("roll_back", "v2"), ("retrain", ""), ("acknowledge", INCIDENT)]
)
def test_other_requests(site, request_, subject):
    site.get(FRAUD)
    assert site.post(request=request_, model="fraud", subject=subject).status_code == 303
    assert site.asked() == [(request_, subject, "", "local")]


def test_pushing_needs_a_registered_version(site, tmp_path):
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
def test_requests_that_no_longer_fit_are_refused(site, fields, status):
    site.get(FRAUD)
    assert site.post(**fields).status_code == status
    assert site.asked() == site.asked("fresh") == []


def test_an_approval_is_for_the_challenger_that_was_seen(site):
    with site.records.begin() as uow:
        uow.load("rollout:fraud", RolloutState)
        uow.save("rollout:fraud", RolloutState("fraud", Stage.PROMOTING, "v2", challenger="v4"))
    assert "Approve v4" in site.get(FRAUD).text
    assert site.post(request="approve", model="fraud", subject="v3").status_code == 409
    assert site.post(request="approve", model="fraud", subject="v4").status_code == 303


def test_forms_from_elsewhere_are_refused(site):
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


def test_a_form_that_is_not_text_is_refused(site):
    site.get(FRAUD)
    assert site.browser.post("/actions", content=b"\xff\xfe").status_code == 400
    many = "&".join(f"a{k}=1" for k in range(30))
    assert site.browser.post("/actions", content=many).status_code == 400


def test_the_form_cookie_is_out_of_reach(site):
    cookie = site.get("/").headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "set-cookie" not in site.get("/").headers


def test_other_machines_and_foreign_names_have_to_sign_in(site):
    for stranger in (
        Browser(site.app, "10.0.0.9"),
        Browser(site.app, base="http://rebound.example"),
    ):
        answer = stranger.get(FRAUD)
        assert (answer.status_code, answer.headers["location"]) == (303, f"/sign-in?then={FRAUD}")
        assert stranger.get("/charts/drift/fraud").status_code == 303
        assert stranger.post("/actions", data={}).status_code == 403


def test_signing_in_with_a_token_lets_it_do_what_its_scopes_say(site):
    secret = Tokens(site.records).create("ana", [Scope.READ], NOW)
    assert site.get(FRAUD).headers["location"] == f"/sign-in?then={FRAUD}"
    assert "Token" in site.get(f"/sign-in?then={FRAUD}").text
    assert site.post("/sign-in", token="hs_wrong").status_code == 403
    answer = site.post(f"/sign-in?then={FRAUD}", token=secret)
    assert (answer.status_code, answer.headers["location"]) == (303, FRAUD)
    assert site.get(FRAUD).status_code == 200
    refused = site.post(request="retrain", model="fraud")
    assert refused.status_code == 403
    assert "lacks the scope operate" in refused.text


def test_who_signed_in_is_who_asks(site):
    secret = Tokens(site.records).create("ana", [Scope.READ, Scope.OPERATE], NOW)
    site.get("/sign-in")
    site.post("/sign-in", token=secret)
    assert site.post(request="retrain", model="fraud", reason="why not").status_code == 303
    assert site.asked() == [("retrain", "", "why not", "ana")]


@pytest.mark.parametrize("then", ["//evil.example", "https://evil.example", "/\\evil.example"])
def test_signing_in_stays_on_this_site(site, then):
    secret = Tokens(site.records).create("ana", [Scope.READ], NOW)
    site.get("/sign-in")
    answer = site.post(f"/sign-in?then={quote(then, safe='')}", token=secret)
    assert answer.headers["location"] == "/"


def test_a_full_first_visit_stays_small(site):
    page = site.get(FRAUD)
    paths = [attrs.get("src") for _, attrs in Reader(page.text).tags] + [
        attrs["href"] for tag, attrs in Reader(page.text).tags if tag == "link"
    ]
    files = [path for path in paths if path and path.startswith("/static/")]
    files.append("/static/vendor/vega-interpreter-2.3.2.js")
    files += [f"/charts/{chart}/fraud" for chart in ("performance", "coverage", "drift", "volume")]
    sent = sum(len(gzip.compress(site.get(path).content)) for path in files)
    assert sent + len(gzip.compress(page.content)) < 400_000
