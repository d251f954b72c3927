"""The page of a rollout, without script: evidence, guardrails, and what is confirmed first."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pytest

from e2e.history import HOSTILE, NOW, canary
from e2e.site import Reader, Site
from homeostat.detectors.performance.detector import PairedBets, compare_paired
from homeostat.domain.errors import StorageError
from homeostat.domain.record import LABEL_SCHEMA, prediction_schema
from homeostat.engine.arms import set_shadow
from homeostat.engine.guardrails import GuardrailMemory
from homeostat.engine.watch import Pairing, fresh, guardrails_key, watch_key
from homeostat.rollout.guardrails import Answers, GuardrailPolicy, Rails, see_answers
from homeostat.rollout.state import RolloutState, Stage
from unit.entrypoints.monitoring.standing import PLAN

HOUR = timedelta(hours=1)
PAGE = "/rollouts/fraud"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    made.plans["fraud"] = replace(PLAN, spec=made.specs["fraud"])
    return made


def words(site: Site, path: str) -> str:
    return " ".join(" ".join(Reader(site.get(path).text).words).split())


def put(site: Site, state: RolloutState) -> None:
    with site.records.begin() as unit:
        unit.load(f"rollout:{state.model}", RolloutState)
        unit.save(f"rollout:{state.model}", state)


def bet(site: Site, rows: int = 400) -> None:
    """Let the challenger be better on paired rows, and slower on its canary."""
    rng = np.random.default_rng(3)
    bets, _ = compare_paired((rng.random(rows) < 0.4).astype(float), np.zeros(rows), PairedBets())
    pairing = Pairing("v2", "v3", bets, answered=64, served=80)
    watch = replace(fresh("fraud", "v2", NOW, ("matured",)), challenger=pairing)
    treated = rng.random(4000) < 0.2
    slow = rng.lognormal(3.0, 0.4, 4000) * np.where(treated, 2.0, 1.0)
    answers = Answers(treated, np.zeros(4000, np.bool_), slow, np.full(4000, np.nan))
    rails = see_answers(GuardrailPolicy(), Rails(), answers, weight=0.2)
    memory = GuardrailMemory("v2", "v3", rails=rails, problem=f"not now: {HOSTILE}")
    with site.records.begin() as unit:
        unit.save(watch_key("fraud"), watch)
        unit.save(guardrails_key("fraud"), memory)


def test_a_canary_tells_evidence_needs_and_guardrails(site: Site) -> None:
    told = words(site, PAGE)
    assert "None yet: no row" in told
    assert "none was looked at yet" in told
    bet(site)
    answer = site.get(PAGE)
    told = " ".join(" ".join(Reader(answer.text).words).split())
    for text in (
        "Its traffic 10 %",
        "Awaited: hold v3: 64 of 100 rows answered",
        "On 400 rows that both versions scored",
        "reached it goes on",
        "time in this step 5.0 h 6.0 h",
        "rows with complete labels 64 100",
        "latency",
        "breached",
        "better on 3,120 matured rows",
    ):
        assert text in told
    assert "<script>document.title" not in answer.text


def test_a_shadow_has_needs_of_its_own_and_rest_has_none(site: Site) -> None:
    bet(site)
    put(site, replace(canary(), stage=Stage.SHADOW, weight=0.0, since=NOW - 30 * HOUR))
    assert "time in this step 30.0 h 24.0 h reached" in words(site, PAGE)
    waits = replace(canary(), stage=Stage.PROMOTING)
    put(site, waits)
    site.plans["fraud"] = replace(site.plans["fraud"], rollout=replace(PLAN.rollout, approval=True))
    assert "waits for your approval" in words(site, PAGE)
    put(site, replace(waits, approved_by="ana", aborted=("v0",)))
    told = words(site, PAGE)
    assert "Approved by ana" in told
    assert "Aborted before v0" in told
    rest = RolloutState("fraud", Stage.CHAMPION, "v3", ("v2",), probation_until=NOW + HOUR)
    put(site, rest)
    told = words(site, PAGE)
    assert "At rest" in told
    assert "On probation until" in told
    assert "Evidence so far" not in told


def test_pages_without_a_version_or_a_plan_are_honest(site: Site) -> None:
    assert "No version serves yet" in words(site, "/rollouts/fresh")
    put(site, replace(canary(), model="demand"))
    assert "Not on this server" in words(site, "/rollouts/demand")
    assert site.get("/rollouts/demand?paired=1").status_code == 404
    assert site.get("/rollouts/gone").status_code == 404


def test_shadows_and_arms_stand_beside_it(site: Site) -> None:
    with site.records.begin() as unit:
        set_shadow(unit, model="fraud", version="v9", on=True, actor="ana", reason="", now=NOW)
    assert "Shadows v9" in words(site, PAGE)


def test_the_comparison_reads_the_log_only_if_asked(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Compare them on all rows" in words(site, PAGE)
    assert "no row that both scored" in words(site, f"{PAGE}?paired=1")
    began = NOW - timedelta(days=20)
    put(site, replace(canary(), submitted_at=began))
    answered(site, began)
    told = words(site, f"{PAGE}?paired=1")
    assert "60 rows" in told
    assert "DeLong" in told
    assert "McNemar" in told

    def broken(*_: object, **__: object) -> None:
        raise StorageError("the prediction log cannot be read: disk I/O error")

    monkeypatch.setattr(site.log, "labelled", broken)
    assert "disk I/O error" in words(site, f"{PAGE}?paired=1")


def answered(site: Site, began: object) -> None:
    """Log rows that both versions scored, with labels."""
    spec = site.specs["fraud"]
    schema, rows = prediction_schema(spec), []
    for number in range(60):
        for version, role in (("v2", "champion"), ("v3", "shadow")):
            score = (number * (7 if version == "v2" else 11)) % 60 / 60
            known = {
                "prediction_id": f"p{number}", "timestamp": began, "version": version,
                "role": role, "tier": "model", "score": score, "prediction": float(score > 0.5),
            }  # fmt: skip
            rows.append({name: known.get(name) for name in schema.names})
    assert site.log.append(spec, pa.Table.from_pylist(rows, schema)).accepted == 120
    labels = [
        {"prediction_id": f"p{number}", "label": float(number % 2), "arrival": began}
        for number in range(60)
    ]
    site.log.append_labels(spec, pa.Table.from_pylist(labels, LABEL_SCHEMA))


def test_an_action_is_confirmed_on_a_page_and_goes_back(site: Site) -> None:
    page = Reader(site.get(PAGE).text)
    links = [a["href"] for tag, a in page.tags if tag == "a" and "/confirm" in a.get("href", "")]
    assert len(links) == 2
    told = words(site, links[0])
    assert "Abort v3 ?" in told
    assert "never rolled out again by itself" in told
    sent = {"request": "abort", "model": "fraud", "subject": "v3", "reason": "slow"}
    answer = site.post(**sent, back="rollouts")
    assert (answer.status_code, answer.headers["location"]) == (303, PAGE)
    assert site.post(**sent, back="//evil").headers["location"] == "/models/fraud"
    assert site.asked()[0] == ("abort", "v3", "slow", "local")
    assert "does it at its next tick" in words(site, PAGE)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("request=abort&model=fraud&subject=v2", 409),
        ("request=roll_back&model=fraud&subject=v1", 409),
        ("request=approve&model=fresh&subject=v1", 409),
        ("request=push&model=fraud&subject=v1", 400),
        ("request=delete&model=fraud", 400),
        ("request=abort&model=gone&subject=v1", 404),
        ("request=retrain&model=fraud", 200),
        (f"request=retrain&model={quote(HOSTILE)}&subject={quote('<script>1</script>')}", 200),
    ],
    ids=["other", "older", "none", "push", "unknown", "gone", "retrain", "hostile"],
)
def test_what_no_longer_fits_is_refused_before_it_is_asked(
    site: Site, query: str, status: int
) -> None:
    answer = site.get(f"/confirm?{query}")
    assert answer.status_code == status
    assert "<script>1" not in answer.text
