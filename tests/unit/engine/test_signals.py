"""What rules of the owner's remember from tick to tick, and what happens as they come and go."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from homeostat.alerting.conditions.signal import Series
from homeostat.alerting.conditions.static import Static
from homeostat.alerting.incident import Stage
from homeostat.alerting.rules import AlertRule
from homeostat.domain.decision import Severity
from homeostat.domain.limit import Limit
from homeostat.domain.verdict import MetricPoint, Monitor, Status
from homeostat.domain.window import Window
from homeostat.engine.cohort import AUDIT
from homeostat.engine.commands import Command, Request, submit
from homeostat.engine.figures import WHOLE
from homeostat.engine.loop import state_keys
from homeostat.engine.mishaps import Bulkhead
from homeostat.engine.plan import ModelPlan
from homeostat.engine.signals import RulesMemory, hear
from homeostat.engine.signals_figures import Figures, Sources
from homeostat.engine.signals_served import QUANTILES, Served, Tally, count
from homeostat.engine.watch import Watch, rules_key, tallies_key, watch_key
from unit.engine.ruled import DAY, HOUR, MINUTE, MODEL, START, Site, plan_of, verdict

FIVE = 5 * MINUTE


def site(folder: Path, *rules: str) -> Site:
    return Site(plan_of(folder, alerts(*rules)), folder)


def alerts(*rules: str) -> str:
    """Return the settings of rules ``name: settings``."""
    return f"alerts: {{rules: {{{', '.join(rules)}}}}}"


MISSED = "missing: {after: 10m, severity: info}"
ERRORS = f"errors: {{metric: error_rate, above: 0.01, min_rows: 100, {MISSED}}}"
LOST = "errors.missing"


def test_a_figure_of_few_rows_neither_fires_nor_resolves(tmp_path: Path) -> None:
    made = site(tmp_path, ERRORS)
    made.answer(99, failed=50)
    assert made.stage("errors") is None
    made.answer(100, failed=50)
    assert made.stage("errors") is Stage.FIRING
    made.answer(99)
    made.answer(50, HOUR)
    assert made.stage("errors") is Stage.FIRING
    for _ in range(4):
        made.answer(100)
    assert made.stage("errors") is Stage.RESOLVED
    mine = [action for rule, action in made.told if rule == "errors"]
    assert mine == ["trigger", "resolve"]


def test_without_traffic_rates_are_missing_and_requests_are_not(tmp_path: Path) -> None:
    made = site(tmp_path, ERRORS, "silent: {metric: requests, below: 1}")
    made.answer(200, failed=100)
    for _ in range(3):
        made.answer(0)
    assert made.stage("errors") is Stage.FIRING  # not known is not over
    assert made.stage("silent") is Stage.FIRING
    found = made.incident(LOST)
    assert found is not None
    assert (found.stage, found.severity, found.runbook) == (
        Stage.FIRING,
        Severity.INFO,
        "runbooks/owner-rule.md",
    )
    assert found.reason == "error_rate: no figure since 2024-01-01T00:05"
    for _ in range(4):
        made.answer(200)
    assert [made.stage(name) for name in ("errors", LOST, "silent")] == [Stage.RESOLVED] * 3


def test_ticks_that_come_more_often_make_one_figure_together(tmp_path: Path) -> None:
    made = site(tmp_path, ERRORS, "slow: {metric: latency_p99, above: 100}")
    for _ in range(4):
        made.answer(25, MINUTE, failed=1, latency=200.0)
        assert made.stage("errors") is made.stage("slow") is None
        assert made.ports.records.keys("tallies:")
    made.answer(25, MINUTE, failed=1, latency=200.0)
    found = made.incident("errors")
    assert found is not None
    assert found.reason == "error_rate is 0.04, above the limit of 0.01"
    assert made.stage("slow") is Stage.FIRING


def test_no_new_share_of_labels_is_missed_though_old_ones_are_kept(
    tmp_path: Path,
) -> None:
    made = site(tmp_path, "cover: {metric: label_coverage, below: 0.5, missing: {after: 3h}}")
    for _ in range(3):
        made.answer(100, HOUR, right=0.9)
    made.answer(0, HOUR)
    assert made.stage("cover.missing") is None
    for _ in range(4):
        made.answer(0, HOUR)
    assert made.stage("cover.missing") is Stage.FIRING


def test_a_metric_whose_figures_stop_is_not_known_and_then_missing(tmp_path: Path) -> None:
    made = site(tmp_path, "low: {metric: accuracy, below: 0.8, missing: {after: 3h}}")
    made.answer(100, HOUR, right=0.5)
    made.answer(0, HOUR)
    assert made.stage("low") is Stage.FIRING
    for _ in range(3):
        made.answer(0, HOUR)
    assert made.stage("low.missing") is Stage.FIRING
    heard = heard_of(made)
    assert (heard.active, heard.reason) == (None, "accuracy: no figure since 2024-01-01T02:00")
    made.answer(100, HOUR, right=1.0)
    made.answer(0, HOUR)
    made.answer(0, 20 * MINUTE)
    assert made.stage("low") is Stage.RESOLVED


def heard_of(made: Site, rule: str = "low"):  # noqa: ANN201
    watch = made.ports.records.read(watch_key(MODEL), Watch)
    assert watch is not None
    sources = Sources(made.ports.records, made.ports.registry, watch, "1")
    with made.ports.records.begin() as uow:
        return hear(made.plan, uow, sources, made.now, Bulkhead()).signals[rule]


def test_a_new_rule_begins_with_what_is_on_record(tmp_path: Path) -> None:
    made = site(tmp_path)
    for _ in range(4):
        made.answer(100, HOUR, right=0.5)
    assert made.ports.records.keys("rules:") == ()
    low = "low: {metric: accuracy, below: 0.8, windows: 3}"
    covered = "covered: {metric: label_coverage, below: 0.5}"
    made.follow(plan_of(tmp_path, alerts(low, covered)))
    made.answer(0, MINUTE)
    assert made.stage("low") is Stage.FIRING
    assert made.stage("covered") is None
    # Another limit looks at all of it anew, and its incident goes on.
    made.follow(plan_of(tmp_path, alerts(low.replace("0.8", "0.7"))))
    made.answer(0, MINUTE)
    assert made.stage("low") is Stage.FIRING
    assert made.told == [("low", "trigger")]


@pytest.mark.parametrize(
    "after",
    ["", "low: {metric: auc, below: 0.1}", "low: {verdicts: data_drift}"],
    ids=["removed", "another_metric", "verdicts"],
)
def test_a_rule_that_goes_ends_its_incident(tmp_path: Path, after: str) -> None:
    made = site(tmp_path, "low: {metric: accuracy, below: 0.8}")
    made.answer(100, HOUR, right=0.5)
    made.answer(0, HOUR)
    assert made.stage("low") is Stage.FIRING
    made.follow(plan_of(tmp_path, alerts(*([after] if after else []))))
    made.answer(0, MINUTE)
    assert made.stage("low") is Stage.RESOLVED
    (told,) = (n for n in made.notifier.attempts if n.action == "resolve")
    assert told.body == "its rule was removed, or is about something else now"
    made.answer(0, MINUTE)
    assert made.told == [("low", "trigger"), ("low", "resolve")]
    memory = made.ports.records.read(rules_key(MODEL), RulesMemory)
    assert memory is not None
    assert [entry.rule for entry in memory.rules] == (["low"] if after else [])


def test_a_rule_that_goes_while_it_waits_never_fires(tmp_path: Path) -> None:
    made = site(
        tmp_path, "low: {metric: accuracy, below: 0.8, hold: 1d}", "fine: {metric: auc, below: 0.1}"
    )
    made.answer(100, HOUR, right=0.5)
    made.answer(0, HOUR)
    assert made.stage("low") is Stage.PENDING
    made.follow(plan_of(tmp_path, alerts()))
    made.answer(0, MINUTE)
    assert made.stage("low") is Stage.INACTIVE
    assert made.told == []


def test_a_rule_that_fails_leaves_the_others_alone(tmp_path: Path) -> None:
    class Broken(Static):
        def evaluate(self, *_: object) -> None:  # type: ignore[override]
            raise ValueError("odd")

    made = site(tmp_path, ERRORS)
    broken = AlertRule(
        "broken", Broken(Series("requests", FIVE), Limit(below=1)), Severity.INFO, "r.md", own=True
    )
    made.follow(replace(made.plan, rules=(broken, *made.plan.rules)))
    made.answer(100, failed=50)
    assert made.stage("errors") is Stage.FIRING
    assert made.stage("broken") is None
    (told,) = made.problems
    assert told.startswith("toy: alert rule broken: a fault in Homeostat: ValueError: odd")


def test_rules_inhibit_and_are_acknowledged_as_others(tmp_path: Path) -> None:
    child = "slow: {metric: latency_p99, above: 100, inhibited_by: [errors]}"
    made = site(tmp_path, ERRORS, child, "drift: {verdicts: data_drift, more_than: 1}")
    made.judge(verdict(Monitor.DATA_DRIFT, "amount"))
    made.answer(200, failed=100, latency=200.0)
    assert [made.stage(name) for name in ("errors", "slow", "drift")] == [
        Stage.FIRING,
        Stage.PENDING,
        None,
    ]
    submit(made.ports.records, Command(Request.ACKNOWLEDGE, MODEL, "ana", "toy:errors:1"), START)
    made.judge(verdict(Monitor.DATA_DRIFT, "age"))
    made.answer(200, failed=100)
    assert made.stage("errors") is Stage.ACKNOWLEDGED
    assert made.stage("drift") is Stage.FIRING


def test_moments_are_of_now_and_missing_where_they_are_not_known(tmp_path: Path) -> None:
    made = site(
        tmp_path,
        "old: {metric: version_age, above: 0.5, missing: {after: 5m}}",
        "drifted: {metric: drifted_features, above: 0}",
        "late: {metric: label_age, above: 12.99}",
    )
    made.answer(10)
    assert [made.stage(n) for n in ("old", "drifted", "late")] == [
        Stage.FIRING,
        None,
        Stage.FIRING,
    ]
    before = made.ports.records.state(rules_key(MODEL)).version  # type: ignore[attr-defined]
    for status in (Status.OK, Status.DRIFT):
        made.judge(verdict(Monitor.DATA_DRIFT, "age", status))
        made.judge(verdict(Monitor.DATA_DRIFT, "age [country=FR]"))
        made.answer(10)
        assert made.stage("drifted") is (Stage.FIRING if status is Status.DRIFT else None)
    after = made.ports.records.state(rules_key(MODEL)).version  # type: ignore[attr-defined]
    assert after == before + 1  # what only changes its figure is not written again
    watch = made.ports.records.read(watch_key(MODEL), Watch)
    assert watch is not None
    gone = Figures(
        made.plan, Sources(made.ports.records, made.ports.registry, watch, "9"), made.now, {}
    )
    (age,) = gone.new(Series("version_age", DAY - DAY), None)
    assert np.isnan(age.value)


def test_the_figure_of_the_champion_counts_and_of_totals_that_of_all(plan: ModelPlan) -> None:
    window = Window(START, START + HOUR)

    def figure(version: str, rows: int, value: float, cohort: str = "matured") -> MetricPoint:
        return MetricPoint(MODEL, version, "auc", window, value, 0.1, 0.9, rows, 1.0, cohort)

    points = (
        figure("2", 900, 0.2),
        figure("1", 100, 0.7),
        figure("1", 999, 0.3, AUDIT),
        figure(WHOLE, 50, 0.5),
    )
    sources = Sources(None, None, None, "1", points)  # type: ignore[arg-type]
    (found,) = Figures(plan, sources, START, {}).new(Series("auc", HOUR), None)
    assert (found.value, found.rows) == (0.7, 100)
    assert found.error == pytest.approx(0.8 / 3.92)
    assert Figures(plan, sources, START, {}).new(Series("auc", HOUR), START) == ()


@pytest.fixture
def plan(tmp_path: Path) -> ModelPlan:
    return plan_of(tmp_path, "alerts: {}")


@pytest.mark.parametrize("name", QUANTILES)
def test_quantiles_of_latencies_are_those_of_all_ticks(name: str) -> None:
    rng = np.random.default_rng(7)
    parts = [rng.lognormal(3, 1, 700) for _ in range(4)]
    tally = Tally(HOUR, START, START)
    for place, part in enumerate(parts):
        window = Window(START + place * FIVE, START + (place + 1) * FIVE)
        tally = tally.adding(Served(window, 700, 0, {}, np.append(part, np.nan)))
    expected = np.quantile(np.concatenate(parts), QUANTILES[name], method="inverted_cdf")
    found = tally.point(name)
    assert found.value == pytest.approx(expected, rel=0.01)
    assert found.rows == 2_800


def test_a_gap_between_ticks_begins_a_tally_anew() -> None:
    def served(minute: int) -> Served:
        window = Window(START + minute * MINUTE, START + (minute + 1) * MINUTE)
        return Served(window, 10, 0, {}, np.empty(0))

    asked = {FIVE: {"requests"}}
    tallies, full = count((), served(0), asked)
    assert full == {}
    tallies, _ = count(tallies, served(1), asked)
    assert tallies[0].asked == 20
    tallies, _ = count(tallies, served(7), asked)
    assert (tallies[0].asked, tallies[0].start) == (10, START + 7 * MINUTE)


def test_what_a_tick_reads_is_named(tmp_path: Path, plan: ModelPlan) -> None:
    made = site(tmp_path, ERRORS)
    made.answer(10, MINUTE)
    assert set(made.ports.records.keys("")) <= set(state_keys(made.plan))
    assert tallies_key(MODEL) not in state_keys(plan)
