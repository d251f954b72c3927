"""Alert rules in homeostat.yaml: what they become, and what is refused and why."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from homeostat.alerting.conditions.burn import Burn, Pair
from homeostat.alerting.conditions.kinds import Condition
from homeostat.alerting.conditions.missing import Missing
from homeostat.alerting.conditions.relative import Relative
from homeostat.alerting.conditions.signal import Series
from homeostat.alerting.conditions.static import Static
from homeostat.alerting.conditions.verdicts import Verdicts
from homeostat.alerting.rules import AlertRule
from homeostat.domain.decision import Severity
from homeostat.domain.errors import ConfigError
from homeostat.domain.limit import Limit
from homeostat.domain.verdict import Monitor
from homeostat.entrypoints.settings import load
from homeostat.entrypoints.settings.plan import model_plan

HOUR, DAY, FIVE = timedelta(hours=1), timedelta(days=1), timedelta(minutes=5)
TEXT = """\
receivers: {a: {type: console}, b: {type: console}}
routes: [{receivers: [a]}]
gateway: {deadline: 400ms}
alerts: {rules: {DEFAULTS}}
models:
  - name: fraud
    task: binary
    features: {amount: numeric, country: categorical}
    segments: [country]
    business: {saved: {value: label > 0, alert: false}, cost: {value: sum(amount)}}
    monitors: {thresholds: [{metric: auc, below: 0.8}]}
    labels: {maturity: 1d}
    alerts: {rules: {OWN}}
  - name: price
    task: regression
    features: {size: numeric}
    labels: {maturity: 1d}
  - name: mood
    task: multiclass
    classes: [good, bad]
    features: {size: numeric}
    labels: {maturity: 1d}
    alerts: {rules: {MULTI}}
"""
OWN_LINE, DEFAULTS_LINE, MULTI_LINE = 13, 4, 23


def write(folder: Path, own: str = "", defaults: str = "", multi: str = "") -> Path:
    path = folder / "homeostat.yaml"
    text = TEXT.replace("DEFAULTS", defaults).replace("OWN", own).replace("MULTI", multi)
    path.write_text(text, encoding="utf-8")
    return path


def rules(path: Path, model: str = "fraud") -> dict[str, AlertRule]:
    return {rule.name: rule for rule in model_plan(load(path), model).rules if rule.own}


CONDITIONS: list[tuple[str, Condition]] = [
    ("metric: auc, below: 0.8", Static(Series("auc", DAY), Limit(below=0.8, min_rows=30))),
    (
        "metric: saved, segment: country=FR, above: 0.5, below: 0.1, windows: 2, sure: true",
        Static(Series("saved", DAY, "country=FR"), Limit(0.5, 0.1, 2, 30, sure=True)),
    ),
    (
        "metric: error_rate, above: 0.01, over: 1h, min_rows: 7",
        Static(Series("error_rate", HOUR), Limit(above=0.01, min_rows=7)),
    ),
    ("metric: requests, below: 1", Static(Series("requests", FIVE), Limit(below=1))),
    (
        "metric: latency_p99, above: 399",
        Static(Series("latency_p99", FIVE), Limit(399.0, None, 1, 30)),
    ),
    ("metric: version_age, above: 30", Static(Series("version_age", 0 * DAY), Limit(above=30))),
    (
        "metric: drifted_features, above: 1",
        Static(Series("drifted_features", 0 * DAY), Limit(above=1)),
    ),
    (
        "metric: importance:amount, below: 0",
        Static(Series("importance:amount", 30 * DAY), Limit(below=0, min_rows=30)),
    ),
    ("metric: auc, drop: 0.05", Relative(Series("auc", DAY), 0.05, min_rows=30)),
    (
        "metric: estimated_auc, drop: 0.05",
        Relative(Series("estimated_auc", DAY), 0.05, min_rows=30),
    ),
    (
        "metric: cost, rise: 1.5, ratio: true, against: 28d",
        Relative(Series("cost", DAY), 1.5, False, True, 28 * DAY, min_rows=30),
    ),
    (
        "metric: accuracy, burn: {objective: 0.9, pairs: [{long: 7d, short: 1d, factor: 2}]}",
        Burn(Series("accuracy", DAY), 0.9, (Pair(7 * DAY, DAY, 2.0),), True, 30),
    ),
    ("verdicts: data_drift", Verdicts(Monitor.DATA_DRIFT)),
    (
        "verdicts: data_drift, subject: 'amount [[]*', more_than: 9",
        Verdicts(Monitor.DATA_DRIFT, "amount [[]*", 9),
    ),
    ("verdicts: metric, subject: auc limit", Verdicts(Monitor.METRIC, "auc limit")),
]


@pytest.mark.parametrize(("text", "condition"), CONDITIONS, ids=[text for text, _ in CONDITIONS])
def test_a_rule_becomes_a_condition(tmp_path: Path, text: str, condition: Condition) -> None:
    assert rules(write(tmp_path, f"x: {{{text}}}"))["x"].condition == condition


def test_a_rule_says_whom_it_tells_and_how(tmp_path: Path) -> None:
    text = (
        "x: {metric: auc, below: 0.8, severity: critical, hold: 1h, keep_firing: 2h,"
        " receivers: [b], runbook: 'https://wiki/x', inhibited_by: [data_fault, y],"
        " missing: {after: 3d}},"
        " y: {verdicts: volume}"
    )
    found = rules(write(tmp_path, text))
    one, lost, other = found["x"], found["x.missing"], found["y"]
    assert (one.severity, one.hold, one.keep_firing) == (Severity.CRITICAL, HOUR, 2 * HOUR)
    assert (one.receivers, one.routes, one.runbook) == (("b",), (), "https://wiki/x")
    assert one.inhibited_by == lost.inhibited_by == ("data_fault", "y")
    assert lost.condition == Missing(Series("auc", DAY), 3 * DAY)
    assert (lost.severity, lost.receivers, lost.runbook) == (Severity.WARNING, ("b",), one.runbook)
    assert (other.runbook, other.receivers) == ("runbooks/owner-rule.md", ("a", "b"))
    assert len(other.routes) == 1
    assert (Path(__file__).parents[4] / other.runbook).is_file()


def test_a_runbook_of_missing_data_may_be_another(tmp_path: Path) -> None:
    text = "x: {metric: auc, below: 0.8, missing: {after: 3d, runbook: labels-stalled.md}}"
    assert rules(write(tmp_path, text))["x.missing"].runbook == "runbooks/labels-stalled.md"


def test_rules_of_all_models_hold_where_their_metric_is_written(tmp_path: Path) -> None:
    defaults = (
        "low: {metric: auc, below: 0.8}, old: {metric: version_age, above: 30},"
        " many: {verdicts: data_drift}, errors: {metric: error_rate, above: 0.1}"
    )
    path = write(tmp_path, "old: {metric: version_age, above: 9}, errors: null", defaults)
    assert rules(path).keys() == {"low", "old", "many"}
    assert rules(path)["old"].condition == Static(Series("version_age", 0 * DAY), Limit(above=9))
    assert rules(path, "price").keys() == {"old", "many", "errors"}


def test_a_usual_burn_rate_can_be_reached(tmp_path: Path) -> None:
    found = rules(write(tmp_path, "x: {metric: fallback_share, burn: {objective: 0.8}}"))["x"]
    assert isinstance(found.condition, Burn)
    assert max(pair.factor for pair in found.condition.pairs) == pytest.approx(5.0)


# (own rule, field below the rule, part of the problem, part of the remedy)
MISTAKES = [
    ("metric: auk, below: 0.8", "metric", "nobody writes a metric 'auk'", "did you mean 'auc'?"),
    ("metric: auc", "", "has no condition", "below: 0.8"),
    ("metric: auc, below: 0.8, drop: 0.1", "drop", "two conditions", "two rules"),
    ("metric: auc, below: 0.8, verdicts: volume", "below", "two conditions", "two rules"),
    ("below: 0.8", "below", "no metric", "metric: accuracy"),
    ("metric: auc, above: 0.1, below: 0.8", "above", "is under below (0.8)", "swap"),
    ("metric: auc, below: 0.8, more_than: 3", "more_than", "beside a limit", "remove"),
    ("verdicts: volume, missing: {after: 1h}", "missing", "beside verdicts", "remove"),
    ("metric: error_rate, burn: {objective: 0.9}, sure: true", "sure", "beside", ""),
    ("metric: auc, below: 0.8, runbook: ' '", "runbook", "no page without", "name one"),
    ("metric: auc, below: 0.8, over: 1h", "over", "auc has windows of its own", "remove"),
    ("verdicts: volume, over: 1h", "over", "beside verdicts", "remove"),
    ("metric: version_age, drop: 3", "metric", "of this moment", "above or below"),
    ("metric: version_age, above: 3, windows: 2", "windows", "nothing for version_age", "remove"),
    ("metric: requests, below: 1, missing: {after: 1h}", "missing", "for requests", "remove"),
    ("metric: latency_p50, above: 9, sure: true", "sure", "nothing for latency_p50", "remove"),
    ("metric: auc, below: 0", "below", "there would never be an alarm", "above 0 and below 1"),
    ("metric: error_rate, below: 0", "below", "there would never be an alarm", "above 0"),
    ("metric: label_coverage, above: 1", "above", "never be an alarm", "below 1"),
    ("metric: drifted_features, above: 2", "above", "never be an alarm", "below 2"),
    ("metric: latency_p99, below: 0", "below", "never be an alarm", "write a value above 0"),
    ("metric: latency_p99, above: 400", "above", "gateway.deadline (400ms)", "fewer"),
    ("metric: auc, drop: 1", "drop", "cannot drop by 1", "below 1"),
    ("metric: auc, drop: 1, ratio: true", "drop", "cannot drop by 1", "below 1"),
    ("metric: cost, drop: 0.5", "drop", "no reference of cost", "against: 28d"),
    ("metric: auc, segment: country=FR, drop: 0.5", "drop", "in a segment", "against: 28d"),
    ("metric: error_rate, rise: 0.5", "rise", "no reference of error_rate", "against: 28d"),
    ("metric: auc, drop: 0.5, against: soon", "against", "neither reference nor", "28d"),
    ("metric: auc, drop: 0.5, against: 0d", "against", "longer than zero", "28d"),
    ("metric: auc, drop: 0.5, against: 2d", "against", "is of 1d", "3d or more"),
    ("metric: auc, segment: land=FR, below: 0.5", "segment", "none of the segments", "country=..."),
    ("metric: requests, segment: country=FR, below: 5", "segment", "no figures", "remove"),
    ("metric: auc, burn: {objective: 0.9}", "metric", "no share of good", "error_rate"),
    ("metric: accuracy, burn: {objective: 0.9}", "burn", "is of 1d", "longer windows"),
    (
        "metric: error_rate, burn: {objective: 0.8, pairs: [{long: 1h, short: 5m, factor: 14.4}]}",
        "burn.pairs.0.factor", "14.4 times the budget of 0.2 is more than all", "at most 5",
    ),
    (
        "metric: error_rate, burn: {objective: 0.9, pairs: [{long: 1h, short: 1m, factor: 2}]}",
        "burn.pairs.0.short", "is of 5m", "longer",
    ),
    (
        "metric: error_rate, burn: {objective: 0.9, pairs: [{long: 1h, short: 1h, factor: 2}]}",
        "burn.pairs.0.short", "is not shorter", "twelfth",
    ),
    ("metric: auc, below: 0.8, missing: {after: 1d}", "missing.after", "only every 1d", "longer"),
    ("verdicts: drift", "verdicts", "'drift' is not known", "data_drift"),
    ("verdicts: data_quality, subject: amuont", "subject", "nothing about 'amuont'", "'amount'"),
    ("verdicts: value, subject: saved", "subject", "nothing about 'saved'", "cost"),
    ("verdicts: data_quality, more_than: 2", "more_than", "2 of them at most", "less than 2"),
    ("verdicts: volume, receivers: [a, c]", "receivers.1", "no receiver is named 'c'", ""),
    ("verdicts: volume, inhibited_by: [x]", "inhibited_by.0", "no other alert rule is", ""),
    ("verdicts: volume, severity: page", "severity", "'page' is not known", "critical"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "field", "problem", "remedy"), MISTAKES, ids=[text for text, *_ in MISTAKES]
)
def test_a_mistake_is_told_with_line_and_remedy(
    tmp_path: Path, text: str, field: str, problem: str, remedy: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, f"x: {{{text}}}"))
    error = caught.value
    assert problem in error.problem
    assert remedy in error.remedy
    assert error.line == OWN_LINE
    assert error.field == ".".join(filter(None, ("models.0.alerts.rules.x", field)))


@pytest.mark.parametrize(
    ("own", "defaults", "multi", "line", "field", "problem"),
    [
        ("", "x: {metric: auk, below: 1}", "", DEFAULTS_LINE, "alerts.rules.x.metric", "auk"),
        ("", "x: {metric: auc, below: 0}", "", DEFAULTS_LINE, "alerts.rules.x.below", "never"),
        ("x: null", "", "", OWN_LINE, "models.0.alerts.rules.x", "is no rule of the deployment"),
        ("x: null", "y: {verdicts: volume}", "", OWN_LINE, "models.0.alerts.rules.x", "no rule of"),
        (
            "data_drift: {verdicts: volume}", "", "", OWN_LINE, "models.0.alerts.rules.data_drift",
            "name of a built-in rule",
        ),
        (
            "a.missing: {verdicts: volume}", "", "", OWN_LINE,
            "models.0.alerts.rules.a.missing", "missing data of another rule",
        ),
        (
            "", "", "x: {metric: log_loss, rise: 1}", MULTI_LINE, "models.2.alerts.rules.x.rise",
            "no reference of log_loss",
        ),
    ],
    ids=["unknown", "never", "nothing_there", "other_there", "built_in", "missing", "multiclass"],
)  # fmt: skip
def test_mistakes_about_several_models(
    tmp_path: Path, own: str, defaults: str, multi: str, line: int, field: str, problem: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, own, defaults, multi))
    assert (caught.value.line, caught.value.field) == (line, field)
    assert problem in caught.value.problem


def test_a_metric_of_ours_and_of_the_owners_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "x: {metric: requests, below: 5}")
    path.write_text(path.read_text().replace("saved:", "requests:"))
    with pytest.raises(ConfigError, match="is also a business metric"):
        load(path)


def test_a_deadline_that_nobody_set_limits_no_latency(tmp_path: Path) -> None:
    path = write(tmp_path, "x: {metric: latency_p99, above: 500}")
    path.write_text(path.read_text().replace("gateway: {deadline: 400ms}", "gateway: {}"))
    assert "x" in rules(path)
