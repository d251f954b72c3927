import gzip
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Never
from urllib.parse import quote

import pyarrow as pa
import pytest

from e2e.history import HOSTILE, NOW
from e2e.site import FRAUD, INCIDENT, PAGES, Reader, Site
from homeostat.domain.decision import Cause, Decision, Diagnosis
from homeostat.domain.errors import StorageError
from homeostat.domain.explanation import Action, Carrier, Change, Explanation, Part
from homeostat.domain.record import LABEL_SCHEMA
from homeostat.domain.verdict import MetricPoint
from homeostat.domain.window import Window
from homeostat.engine.explanations import ExplanationMemory, explanation_key
from homeostat.engine.late import LateMemory, late_key
from homeostat.engine.watch import fresh, watch_key

DAY = timedelta(days=1)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.mark.parametrize("path", PAGES)
def test_every_page_answers_with_strict_headers(site: Site, path: str) -> None:
    answer = site.get(path)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", PAGES)
def test_pages_have_no_inline_script_or_style_and_fetch_nothing_elsewhere(
    site: Site, path: str
) -> None:
    for tag, attrs in Reader(site.get(path).text).tags:
        assert not [name for name in attrs if name[:2] == "on" or name == "style"]
        assert tag != "style"
        if tag == "script":
            assert attrs["src"].startswith("/static/")
        if tag in {"link", "img"}:
            assert attrs.get("href", "").startswith(("/static/", "data:,"))


@pytest.mark.parametrize("path", ["/", f"/models/{quote(HOSTILE)}", "/decisions"])
def test_hostile_names_show_as_text(site: Site, path: str) -> None:
    text = site.get(path).text
    assert "<script>document.title" not in text
    assert HOSTILE in "".join(Reader(text).words)


def test_importances_are_no_metric_of_the_pages(site: Site) -> None:
    point = MetricPoint(FRAUD, "1", "importance:amount", Window(NOW - DAY, NOW), 0.1, 0.0, 0.2, 99)
    with site.records.begin() as unit:
        unit.measure(point)
    assert "importance" not in site.get(f"/models/{FRAUD}").text


def test_overview_puts_trouble_first_in_words(site: Site) -> None:
    words = " ".join("".join(Reader(site.get("/").text).words).split())
    order = [words.index(text) for text in ("Needs you now", "Needs a look", "Not known")]
    assert order == sorted(order)
    assert "3 of 4 need attention" in words


def test_overview_without_models_says_how_to_add_one(tmp_path: Path) -> None:
    site = Site(tmp_path, filled=False)
    site.specs.clear()
    assert "homeostat init" in site.get("/").text


def test_overview_of_healthy_models_says_so(tmp_path: Path) -> None:
    site = Site(tmp_path)
    for name in ("fraud", "fresh", HOSTILE):
        del site.specs[name]
    assert "All 1 healthy" in site.get("/").text


def test_model_page_says_what_is_wrong_and_where_the_rollout_stands(site: Site) -> None:
    words = " ".join(" ".join(Reader(site.get(FRAUD).text).words).split())
    for text in (
        "Needs you now",
        "42 % of answers came from a fallback",
        "Challenger v3",
        "10 %",
        "fraud-0003 : accepted",
        "0.848 to 0.875",
        "better on 3,120 matured rows",
    ):
        assert text in words


def test_model_page_says_why_and_on_which_rows(site: Site) -> None:
    found = Diagnosis(Cause.CONCEPT_DRIFT, (), "Retrain.", f"Worse: {HOSTILE}.", retrain=True)
    part = Part("concept", 0.25, 0.2, 0.3)
    told = Explanation(
        Cause.CONCEPT_DRIFT,
        (Cause.CONCEPT_DRIFT,),
        True,
        Action.RETRAIN,
        "Retrain.",
        "The meaning has changed.",
        loss=Change("Brier", 0.1, 0.35, part, (part,)),
        carriers=(Carrier(HOSTILE, 0.2),),
        segments=(Carrier("land=FR", 0.1),),
        caveats=("few days",),
        n_reference=1234,
    )
    seen = replace(fresh("fraud", "1", NOW, ("matured",)), diagnosis=found)
    memory = ExplanationMemory("1", NOW - DAY, NOW - DAY, looked=NOW - DAY, explanation=told)
    with site.records.begin() as unit:
        unit.save(watch_key("fraud"), seen)
        unit.save(explanation_key("fraud"), memory)
    page = Reader(site.get(FRAUD).text)
    words = " ".join(" ".join(page.words).split())
    for text in ("concept drift", "Retrain.", "0.2 to 0.3", "land=FR", "1234 rows", "few days"):
        assert text in words
    assert HOSTILE in "".join(page.words)
    with site.records.begin() as unit:
        unit.load(explanation_key("fraud"), ExplanationMemory)
        unit.save(explanation_key("fraud"), ExplanationMemory("1", problem="5 current rows"))
    assert "5 current rows" in site.get(FRAUD).text


def test_model_page_says_what_came_late(site: Site) -> None:
    assert "restated" not in site.get(FRAUD).text
    with site.records.begin() as unit:
        unit.save(late_key("fraud"), LateMemory(rows=12, labels=3, corrected=1, told=NOW - DAY))
    words = " ".join(" ".join(Reader(site.get(FRAUD).text).words).split())
    assert "12 rows, 3 labels, 1 corrected labels, the last 1 day ago" in words


def test_model_without_data_is_honest(site: Site) -> None:
    text = site.get("/models/fresh").text
    assert "No data yet" in text
    assert "No version serves yet" in text
    assert "Nothing decided yet" in text


def test_time_goes_by_and_silence_is_not_health(site: Site) -> None:
    site.clock.advance(timedelta(days=20))
    assert "Not being judged" in site.get("/models/demand").text


def test_labels_without_prediction_are_counted(site: Site) -> None:
    arrived = NOW - timedelta(days=2)
    labels = pa.table(
        {"prediction_id": ["lost"], "label": [1.0], "arrival": [arrived]}, LABEL_SCHEMA
    )
    site.log.append_labels(site.specs["fraud"], labels)
    assert "1 labels arrived more than a day ago" in site.get(FRAUD).text


def test_htmx_gets_the_live_part_only(site: Site) -> None:
    part = site.get(FRAUD, **{"HX-Request": "true"}).text
    assert part.lstrip().startswith('<div id="live"')
    assert "<html" not in part
    whole = site.get(FRAUD).text
    assert len(part) < len(whole)


@pytest.mark.parametrize("chart", ["performance", "coverage", "drift", "volume"])
@pytest.mark.parametrize("model", ["fraud", "fresh", HOSTILE])
def test_charts_are_json_with_values(site: Site, chart: str, model: str) -> None:
    answer = site.get(f"/charts/{chart}/{quote(model)}")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["$schema"].endswith("v6.json")
    assert answer.json()["description"].startswith("No ") == (model == "fresh")


def test_performance_shows_the_asked_metric_and_falls_back_on_the_first(site: Site) -> None:
    def metric(query: str) -> str:
        return site.get(f"/charts/performance/fraud?{query}").json()["description"].split()[0]

    assert [metric("metric=brier"), metric("metric=nope"), metric("")] == ["brier", "auc", "auc"]


def test_range_is_kept_in_links_and_applied(site: Site) -> None:
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
def test_bad_addresses_say_what_and_what_to_do(
    site: Site, path: str, status: int, words: str
) -> None:
    answer = site.get(path)
    assert answer.status_code == status
    assert words in answer.text


def test_a_broken_database_is_ours_and_said(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> Never:
        raise StorageError("the records database cannot be read: disk I/O error")

    monkeypatch.setattr(site.records, "verdicts", broken)
    answer = site.get("/")
    assert answer.status_code == 503
    assert "Gateways keep serving" in answer.text


def test_incident_page_has_cause_timeline_and_runbook(site: Site) -> None:
    text = site.get(f"/incidents/{INCIDENT}").text
    assert "backend hangs" in text
    assert "42 % of answers failed" in text
    assert "<strong>backend</strong>" in text
    assert "<script>alert(1)" not in text


def test_runbook_elsewhere_is_linked_and_a_lost_one_is_named(site: Site) -> None:
    assert 'href="https://runbooks.example/drift"' in site.get(PAGES[6]).text
    assert "not on this server" in site.get("/incidents/demand:volume_anomaly:1").text


def test_past_episodes_come_from_the_decision_log(site: Site) -> None:
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
def test_the_period_can_be_downloaded(site: Site, kind: str, start: str) -> None:
    answer = site.get(f"/reports/fraud?format={kind}")
    assert answer.text.startswith(start)
    assert f"report.{kind}" in answer.headers["content-disposition"]


def test_json_report_holds_the_period_only(site: Site) -> None:
    report = json.loads(site.get("/reports/fraud?format=json&days=3&until=2024-03-20").text)
    starts = [point["window"]["start"] for point in report["models"][0]["metrics"]]
    assert min(starts) >= "2024-03-17"
    assert max(starts) < "2024-03-20"


def test_static_files_last_and_pages_point_at_their_content(site: Site) -> None:
    scripts = [attrs["src"] for tag, attrs in Reader(site.get(FRAUD).text).tags if tag == "script"]
    assert len(scripts) == 5
    for path in scripts:
        answer = site.get(path)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]


def test_a_full_first_visit_stays_small(site: Site) -> None:
    page = site.get(FRAUD)
    paths = [attrs.get("src") for _, attrs in Reader(page.text).tags] + [
        attrs["href"] for tag, attrs in Reader(page.text).tags if tag == "link"
    ]
    files = [path for path in paths if path and path.startswith("/static/")]
    files.append("/static/vendor/vega-interpreter-2.3.2.js")
    files += [f"/charts/{chart}/fraud" for chart in ("performance", "coverage", "drift", "volume")]
    sent = sum(len(gzip.compress(site.get(path).content)) for path in files)
    assert sent + len(gzip.compress(page.content)) < 400_000


def test_the_timeline_leaves_other_incidents_and_later_decisions_out(site: Site) -> None:
    def did(minutes: int, action: str, subject: str) -> Decision:
        at = NOW - timedelta(days=9, hours=12) + timedelta(minutes=minutes)
        return Decision("demand", at, "homeostat", action, subject, f"{action} {subject}")

    with site.records.begin() as uow:
        uow.decide(
            did(0, "degrade", "hour"),
            did(1, "fire", "demand:other:1"),
            did(2, "inhibit", "demand:another"),
            did(60 * 24 * 3, "promote", "v7"),
        )
    page = site.get("/incidents/demand:volume_anomaly:1").text
    shown = [word for word in ("degrade hour", "demand:other", "another", "v7") if word in page]
    assert shown == ["degrade hour"]
