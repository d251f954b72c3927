"""What the control plane exports."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from starlette.applications import Starlette

from asgi import Caller
from homeostat.alerting.escalation import EscalationStep
from homeostat.alerting.routes import Route
from homeostat.domain.decision import Decision, Severity
from homeostat.domain.effect import Notify, NotifyAction
from homeostat.domain.errors import StorageError
from homeostat.domain.model import ModelVersion
from homeostat.domain.verdict import Monitor, Status
from homeostat.engine.lease import BEAT, LEASE, Beat, Lease
from homeostat.engine.ports import Settled
from homeostat.engine.watch import fresh
from homeostat.entrypoints.exposition import Definition, Kind, Sheet, render, wants_openmetrics
from homeostat.entrypoints.http.auth import Scope, Tokens
from homeostat.entrypoints.http.scrape import FRESH, scrape
from homeostat.entrypoints.monitoring.control import ControlFigures
from homeostat.entrypoints.monitoring.definitions import DEFINITIONS, MOST
from homeostat.entrypoints.monitoring.watched import put_verdicts
from scrapers import run
from unit.entrypoints.monitoring.standing import (
    DAY,
    FEATURES,
    NOW,
    SINCE,
    Deployed,
    busy,
    deployed,
    point,
    verdict,
)

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;"
    "version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,*/*;q=0.2"
)
SAMPLE = re.compile(r"^([a-z_]+)(?:\{(.*)\})? (\S+)$")


def told(figures: ControlFigures) -> dict[str, float]:
    """Return the samples by name and labels as they are written."""
    text = render(figures.families(), openmetrics=False)
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(number) for name, _, number in (line.rpartition(" ") for line in lines)}


@pytest.fixture(scope="module")
def samples() -> dict[str, float]:
    return told(busy().figures)


def test_a_notice_that_is_held_after_a_failure_does_not_fail_any_more() -> None:
    made = deployed()
    words = (NotifyAction.TRIGGER, "duty", Severity.WARNING, "fraud", "t", "b", "r", NOW)
    with made.records.begin() as uow:
        uow.intend(Notify("held", *words), Notify("refused", *words))
    held, refused = made.records.pending(NOW)
    with made.records.begin() as uow:
        uow.settle(Settled(held.number, "pending", NOW - 3 * DAY, "refused"))
        uow.settle(Settled(refused.number, "pending", NOW, "refused"))
    found = told(made.figures)
    assert found['homeostat_notifications_waiting{receiver="duty"}'] == 2
    assert found['homeostat_notifications_failing{receiver="duty"}'] == 1


def test_whom_routes_and_escalation_name_is_counted_before_anything_is_lost() -> None:
    figures = deployed().figures
    plan = figures.plans["fraud"]
    routed = tuple(replace(rule, routes=(Route(("night",)),)) for rule in plan.rules)
    escalation = (EscalationStep(DAY, ("boss",)),)
    plans = {"fraud": replace(plan, rules=routed, escalation=escalation)}
    found = told(replace(figures, plans=plans))
    for receiver in ("night", "boss"):
        name = f'homeostat_notifications_undelivered_total{{receiver="{receiver}"}}'
        assert found[name] == 0


@pytest.mark.parametrize(
    ("sample", "number"),
    [
        ('homeostat_model_info{model="fraud",task="binary",champion="2"}', 1),
        ('homeostat_champion_since_timestamp_seconds{model="fraud",version="2"}', 1704931200),
        ('homeostat_verdicts{model="fraud",monitor="calibration",status="ok"}', 1),
        ('homeostat_verdicts{model="fraud",monitor="calibration",status="drift"}', 0),
        ('homeostat_verdicts{model="fraud",monitor="prediction_drift",status="no_data"}', 1),
        ('homeostat_verdict_score_ratio{model="fraud",monitor="calibration"}', 0.5),
        ('homeostat_verdict_evidence_ratio{model="fraud",monitor="calibration"}', 0.0625),
        ('homeostat_judged_rows{model="fraud",monitor="data_drift"}', 480),
        ('homeostat_judged_timestamp_seconds{model="fraud",monitor="data_drift"}', 1709251200),
        ('homeostat_drift_score_ratio{model="fraud",monitor="data_drift",feature="f03"}', 1.8),
        ('homeostat_drifted_features{model="fraud"}', 1),
        ('homeostat_drifted_segments{model="fraud"}', 1),
        ('homeostat_watched_features{model="fraud"}', 25),
        ('homeostat_data_faults{model="fraud"}', 2),
        ('homeostat_data_fault_open{model="fraud",feature="f01"}', 1),
        ('homeostat_late_rows_total{model="fraud"}', 5),
        ('homeostat_late_labels_total{model="fraud"}', 7),
        ('homeostat_incident_open{model="fraud",rule="data_drift",severity="critical"}', 1),
        ('homeostat_incident_open{model="fraud",rule="model_down",severity="critical"}', 0),
        ('homeostat_incident_episodes_total{model="fraud",rule="data_drift"}', 3),
        ('homeostat_incident_episodes_total{model="fraud",rule="model_down"}', 0),
        ('homeostat_incidents{model="fraud",stage="firing"}', 1),
        ('homeostat_alarms_accepted{model="fraud"}', 1),
        ('homeostat_alarms_fired{model="fraud"}', 1),
        ('homeostat_retraining_stage{model="fraud",stage="training"}', 1),
        ('homeostat_retraining_stage{model="fraud",stage="idle"}', 0),
        ('homeostat_retraining_runs_total{model="fraud"}', 4),
        ('homeostat_rollout_stage{model="fraud",stage="canary"}', 1),
        ('homeostat_rollout_weight_ratio{model="fraud"}', 0.25),
        ('homeostat_rollout_since_timestamp_seconds{model="fraud"}', 1709164800),
        ('homeostat_notifications_waiting{receiver="duty"}', 2),
        ('homeostat_notifications_failing{receiver="duty"}', 1),
        ('homeostat_notifications_undelivered_total{receiver="duty"}', 2),
        ('homeostat_business_value{model="fraud",metric="saved"}', 13.5),
        ('homeostat_business_value_rows{model="fraud",metric="saved"}', 100),
        ('homeostat_metric_timestamp_seconds{model="fraud",cohort="matured"}', 1709164800),
        ('homeostat_label_coverage_ratio{model="fraud",cohort="matured"}', 0.75),
    ],
)
def test_a_figure_says_what_the_records_hold(
    samples: dict[str, float], sample: str, number: float
) -> None:
    assert samples[sample] == pytest.approx(number)


def test_metrics_come_with_interval_rows_and_what_was_usual(samples: dict[str, float]) -> None:
    def figures(part: str) -> dict[tuple[str, str], float]:
        begin = f'homeostat_metric_{part}{{model="fraud",metric="accuracy",cohort="'
        found = {key: n for key, n in samples.items() if key.startswith(begin)}
        return {tuple(re.findall(r'"(\w+)"', key)[2:]): n for key, n in found.items()}

    newest = {("matured", "2"): 0.8, ("matured", "1"): 0.85}
    assert figures("value") == newest | {("estimated", "2"): 0.78, ("weighted", "2"): 0.77}
    assert figures("lower")["matured", "2"] == pytest.approx(0.7)
    assert figures("upper")["matured", "2"] == pytest.approx(0.9)
    assert figures("rows") == {
        ("matured", "2"): 120,
        ("matured", "1"): 90,
        ("estimated", "2"): 100,
        ("weighted", "2"): 100,
    }
    # Nine days of 100 rows at 0.9 and one, restated, of 300 rows at 0.7.
    usual = (9 * 100 * 0.9 + 300 * 0.7) / 1200
    assert figures("reference_value") == {("matured", "2"): pytest.approx(usual)}
    assert not any("importance" in key or "country" in key for key in samples)


def test_features_beyond_the_most_are_one_series(samples: dict[str, float]) -> None:
    begin = 'homeostat_drift_score_ratio{model="fraud",monitor="data_drift",feature="'
    shown = {key.removeprefix(begin): n for key, n in samples.items() if key.startswith(begin)}
    assert len(FEATURES) > MOST
    assert len(shown) == MOST + 1
    assert shown['other"}'] == pytest.approx(0.1)  # the most of those that are left out
    assert 'f03"}' in shown  # drifted, though many score as much
    assert all(len(key) < 1000 for key in samples)


def parsed(text: str) -> Counter[str]:
    """Count samples by name, as a strict reader of the classic format sees them."""
    names: Counter[str] = Counter()
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        found = SAMPLE.match(line)
        assert found is not None, line
        names[found[1]] += 1
    return names


def test_promtool_finds_no_fault_in_names_types_and_help() -> None:
    text = render(busy().figures.families(), openmetrics=False)
    done = run("promtool", "check", "metrics", given=text)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_both_formats_hold_the_same_samples() -> None:
    families = busy().figures.families()
    classic, modern = (render(families, openmetrics=flag) for flag in (False, True))
    assert parsed(classic) == parsed(modern)
    assert modern.endswith("\n# EOF\n")
    assert "# TYPE homeostat_ticks counter\n" in modern
    assert "# TYPE homeostat_ticks_total counter\n" in classic
    assert "# TYPE homeostat_build info\n" in modern
    assert "# UNIT homeostat_tick_interval_seconds seconds\n" in modern
    kinds = {line.split()[2] for line in modern.splitlines() if line.startswith("# TYPE ")}
    assert kinds <= set(DEFINITIONS)


def test_a_model_that_is_not_adopted_has_no_figures_that_are_guessed() -> None:
    found = told(deployed().figures)
    assert found['homeostat_model_info{model="fraud",task="binary",champion=""}'] == 1
    assert found['homeostat_rollout_stage{model="fraud",stage="empty"}'] == 1
    guessed = tuple(f"homeostat_{part}" for part in ("metric", "verdict", "champion", "judged"))
    assert not [key for key in found if key.startswith(guessed)]


def test_labels_that_stopped_coming_leave_the_age_of_the_last_ones() -> None:
    found = deployed((point("auc", 0.9, 30),))
    watch = fresh("fraud", "2", SINCE, ("matured", "audit"))
    found.save(watch__fraud=watch)
    samples = told(found.figures)
    age = 'homeostat_metric_timestamp_seconds{model="fraud",cohort="'
    assert samples[f'{age}matured"}}'] == (NOW - 30 * DAY).timestamp()
    assert samples[f'{age}audit"}}'] == SINCE.timestamp(), "since when there should be some"
    assert not any("coverage" in key or "metric_value" in key for key in samples)


def test_the_age_of_a_champion_is_that_of_its_newest_training_row(tmp_path: Path) -> None:
    found = busy()
    assert not any("trained" in key for key in told(found.figures)), "its card is not known"
    artifact = tmp_path / "model"
    artifact.write_text("weights")
    card = ModelVersion("fraud", "2", "linear", "", NOW, trained_until=SINCE)
    found.figures.registry.register(card, artifact)
    age = 'homeostat_champion_trained_timestamp_seconds{model="fraud",version="2"}'
    assert told(found.figures)[age] == SINCE.timestamp()
    assert told(found.figures)[age] == SINCE.timestamp(), "and again, from memory"


def test_ticks_and_leader_are_counted() -> None:
    found = deployed()
    assert "homeostat_tick_last_success_timestamp_seconds" not in told(found.figures)
    pulse = found.figures.pulse
    pulse.ticks, pulse.failed, pulse.seconds, pulse.leads = 5, 2, 1.5, True
    pulse.succeeded = NOW
    with found.records.begin() as uow:
        uow.save(LEASE, Lease("one", 1, "", NOW - DAY))
        uow.save(BEAT, Beat(1, 7, NOW - timedelta(seconds=3)))
    samples = told(found.figures)
    assert {
        "homeostat_ticks_total": 5,
        "homeostat_failed_ticks_total": 2,
        "homeostat_tick_duration_seconds_sum": 1.5,
        "homeostat_tick_duration_seconds_count": 5,
        "homeostat_tick_last_success_timestamp_seconds": NOW.timestamp(),
        "homeostat_tick_interval_seconds": 86400,
        "homeostat_leading": 1,
        "homeostat_leader_beat_timestamp_seconds": NOW.timestamp() - 3,
        "homeostat_process_start_time_seconds": NOW.timestamp(),
    }.items() <= samples.items()


def test_what_was_usual_and_how_many_alarms_there_were_is_not_read_at_every_scrape() -> None:
    found = busy()
    reference = (
        'homeostat_metric_reference_value{model="fraud",metric="accuracy",'
        'cohort="matured",version="2"}'
    )
    before = told(found.figures)
    with found.records.begin() as uow:
        uow.measure(point("accuracy", 0.1, 39))
        uow.decide(Decision("fraud", NOW, "homeostat", "fire", "fraud:data_drift:4", "because"))
    assert told(found.figures) == before
    found.clock.advance(timedelta(hours=2))
    after = told(found.figures)
    assert after[reference] < before[reference]
    assert after['homeostat_alarms_fired{model="fraud"}'] == 2


def test_evidence_that_has_no_threshold_is_no_ratio() -> None:
    sheet = Sheet(DEFINITIONS)
    odd = replace(verdict(Monitor.DATA_DRIFT, "f01", 0.2), effect_threshold=0.0)
    put_verdicts(sheet, "fraud", [odd], ["f01"])
    names = {family.name for family in sheet.families()}
    assert "homeostat_drift_evidence_ratio" in names
    assert "homeostat_drift_score_ratio" not in names


def test_a_sheet_takes_what_is_defined() -> None:
    sheet = Sheet({"asked": Definition(Kind.COUNTER, ("model",), "Line\n\\two.")})
    with pytest.raises(KeyError):
        sheet.put("other", number=1)
    with pytest.raises(ValueError, match="was given 2 values"):
        sheet.put("asked", "a", "b", number=1)
    sheet.put("asked", "a\ud800", number=float("-inf"))
    text = render(sheet.families(), openmetrics=False)
    assert text.splitlines()[0] == r"# HELP asked_total Line\n\\two."
    assert text.endswith('asked_total{model="a?"} -Inf\n')


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        (PROMETHEUS_2, True),
        (PROMETHEUS_3, True),
        ("*/*", False),
        ("text/html,application/xhtml+xml,*/*;q=0.8", False),
        ("application/openmetrics-text;q=oops", False),
    ],
)
def test_the_format_is_the_one_that_is_asked_for(accept: str, openmetrics: bool) -> None:
    assert wants_openmetrics(accept) is openmetrics


def caller(found: Deployed, peer: str = "127.0.0.1") -> Caller:
    route = scrape(found.figures, found.clock, Tokens(found.records))
    return Caller(Starlette(routes=[route]), "http://127.0.0.1:8420", peer)


def test_a_scrape_is_negotiated_and_guarded() -> None:
    found = busy()
    plain = caller(found).get("/metrics")
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert plain.text == render(found.figures.families(), openmetrics=False)
    modern = caller(found).get("/metrics", headers={"accept": "application/openmetrics-text"})
    assert modern.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert modern.text.endswith("# EOF\n")
    assert caller(found, "10.0.0.7").get("/metrics").status_code == 401
    secret = Tokens(found.records).create("prometheus", [Scope.READ], NOW)
    headers = {"authorization": f"Bearer {secret}"}
    assert caller(found, "10.0.0.7").get("/metrics", headers=headers).status_code == 200


def test_scrapes_at_about_the_same_time_read_the_records_once() -> None:
    found, sample = deployed(), "homeostat_ticks_total"
    client = caller(found)
    found.figures.pulse.ticks = 1
    assert f"{sample} 1\n" in client.get("/metrics").text
    found.figures.pulse.ticks = 2
    assert f"{sample} 1\n" in client.get("/metrics").text
    found.clock.advance(timedelta(seconds=FRESH))
    assert f"{sample} 2\n" in client.get("/metrics").text


def test_figures_that_take_long_to_read_are_read_more_seldom() -> None:
    found, sample = deployed(), "homeostat_ticks_total"
    client, pulse = caller(found), found.figures.pulse

    def slow() -> dict[str, int]:
        found.clock.advance(timedelta(seconds=2))
        pulse.ticks += 1
        return {}

    found.figures.undelivered = slow
    assert f"{sample} 0\n" in client.get("/metrics").text
    found.clock.advance(timedelta(seconds=17))
    assert f"{sample} 0\n" in client.get("/metrics").text
    found.clock.advance(timedelta(seconds=1))
    assert f"{sample} 1\n" in client.get("/metrics").text


def test_records_that_cannot_be_read_fail_the_scrape() -> None:
    found = deployed()

    def away() -> dict[str, int]:
        raise StorageError("the database is away")

    found.figures.undelivered = away
    answer = caller(found).get("/metrics")
    assert (answer.status_code, "away" in answer.text) == (503, True)


def test_verdicts_of_every_status_are_there_before_the_first_alarm(
    samples: dict[str, float],
) -> None:
    """A rule on a series that begins with the fault would miss its first moment."""
    for monitor in ("data_drift", "prediction_drift", "calibration"):
        for status in Status:
            assert (
                f'homeostat_verdicts{{model="fraud",monitor="{monitor}",status="{status}"}}'
                in samples
            )
