"""The owner's alert rules, exported to Prometheus with tests of their own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from homeostat.entrypoints.monitoring.export import monitoring_files, write_monitoring
from homeostat.entrypoints.settings import load
from scrapers import run
from unit.entrypoints.monitoring.exported import FILES, NAME, names
from unit.entrypoints.monitoring.exported import known as others

CONFIG = """\
runbooks: https://wiki.example/runbooks
alerts:
  rules:
    accuracy_low: {metric: accuracy, below: 0.8, windows: 2, min_rows: 200, severity: critical}
    accuracy_fell: {metric: accuracy, drop: 0.05, min_rows: 200}
    accuracy-falls: {metric: accuracy, drop: 0.05, against: 1h}
    accuracy_surely: {metric: accuracy, below: 0.75, sure: true, runbook: low.md}
    auc.between: {metric: auc, below: 0.6, above: 0.99, min_rows: 0}
    expected: {metric: estimated_accuracy, below: 0.7, missing: {after: 2h}}
    loss_rose: {metric: log_loss, rise: 0.5, ratio: true, against: 1h, sure: true}
    drift_in_many: {metric: drifted_features, above: 1, hold: 10m}
    data_is_broken: {verdicts: data_quality, severity: critical}
    many_columns: {verdicts: data_drift, more_than: 1}
    errors: {metric: error_rate, above: 0.01, min_rows: 100, missing: {after: 30m, severity: info}}
    error_budget: {metric: error_rate, burn: {objective: 0.999}, min_rows: 500}
    own_pairs:
      metric: fallback_share
      burn: {objective: 0.9, pairs: [{long: 30m, short: 5m, factor: 9}]}
      min_rows: 0
    slow: {metric: latency_p99, above: 500, windows: 2, inhibited_by: [model_down, errors]}
    quick: {metric: latency_p50, below: 5}
    silent: {metric: requests, below: 10, over: 15m, severity: critical}
    flooded: {metric: requests, above: 100000, over: 30s}
    more_errors: {metric: error_rate, rise: 0.1, against: 7d}
    surely_errors: {metric: error_rate, above: 0.1, sure: true}
    version_old: {metric: version_age, above: 30, severity: info, missing: {after: 1h}}
    version_new: {metric: version_age, below: 1}
    breaker: {metric: breaker_open, above: 0, min_rows: 1}
    fallback_low: {metric: fallback_share, below: 0.2}
    value_fell: {metric: saved, drop: 0.2, ratio: true, against: 2h}
    value_low: {metric: saved, below: 100}
    labels_stalled: {metric: label_coverage, below: 0.5}
    labels_old: {metric: label_age, above: 14}
    importance: {metric: 'importance:amount', below: 0.1}
    segment: {metric: accuracy, below: 0.7, segment: country=FR}
    unusual: {metric: requests, band: {}}
    good_burn: {metric: accuracy, burn: {objective: 0.8, pairs: [{long: 1d, short: 1h, factor: 2}]}}
models:
  - name: fraud
    task: binary
    classes: [no, yes]
    features: {amount: numeric, age: numeric, country: categorical}
    segments: [country]
    labels: {maturity: 1d}
    monitors: {performance: {window: 10m}}
    business: {saved: {value: mean(score)}}
"""
LEFT = {
    "expected.missing": "the newest figure is exported",
    "many_columns": "by monitor, not by subject",
    "quick": "a latency below a limit",
    "more_errors": "compared with limits only",
    "surely_errors": "without their interval",
    "labels_stalled": "label_coverage are not exported",
    "importance": "importances are not exported",
    "segment": "of segments are not exported",
    "unusual": "is learnt here",
    "good_burn": "windows of labelled rows",
}
RULES, TESTS = "prometheus/rules/own.yml", "prometheus/tests/own_test.yml"


def exported(folder: Path, text: str = CONFIG, *, gateway: bool = True) -> dict[str, str]:
    path = folder / "homeostat.yaml"
    path.write_text(text)
    return monitoring_files(load(path), gateway=gateway)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return exported(tmp_path_factory.mktemp("own"))


def alerts(files: dict[str, str]) -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load(files[RULES])["groups"]
    every = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    return {rule["labels"]["rule"]: rule for rule in every}


def tried(folder: Path, files: dict[str, str]) -> tuple[int, str]:
    """Return the exit code of the tests, and what promtool says."""
    for name, text in files.items():
        if name.startswith("prometheus/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
    found = sorted(map(str, (folder / "prometheus" / "tests").glob("*.yml")))
    assert found
    done = run("promtool", "test", "rules", *found)
    return done.returncode, done.stdout + done.stderr


def test_each_fires_when_it_should_and_is_silent_when_it_should(
    tmp_path: Path, files: dict[str, str]
) -> None:
    code, told = tried(tmp_path, files)
    assert code == 0, told
    config = run("promtool", "check", "config", str(tmp_path / "prometheus" / "prometheus.yml"))
    assert config.returncode == 0, config.stdout + config.stderr
    tests = yaml.safe_load(files[TESTS])["tests"]
    asked = {(test["name"], bool(test["alert_rule_test"][0]["exp_alerts"])) for test in tests}
    for rule in alerts(files):
        assert {(f"fraud / {rule} fires", True), (f"fraud / {rule} is silent", False)} <= asked


def test_no_requests_are_missed_before_they_could_be_counted(
    tmp_path: Path, files: dict[str, str]
) -> None:
    tree = yaml.safe_load(files[TESTS])
    (one,) = (test for test in tree["tests"] if test["name"] == "fraud / silent is silent")
    for moment in ("0m", "14m"):
        one["alert_rule_test"].append(
            {"eval_time": moment, "alertname": "HomeostatOwnSilent", "exp_alerts": []}
        )
    one["input_series"][0]["values"] = "0+1x5 5+1000x100"
    code, told = tried(tmp_path, files | {TESTS: yaml.safe_dump({**tree, "tests": [one]})})
    assert code == 0, told


@pytest.mark.parametrize(
    ("rule", "before", "after"),
    [
        ("accuracy_low", "< 0.8", "> 0.8"),
        ("accuracy-falls", "> 0.05", "> 0.5"),
        ("error_budget", "error|", ""),
        ("silent", "0 * label_replace", "1000 * label_replace"),
        ("slow", 'le="0.5"', 'le="0.1"'),
    ],
)
def test_a_rule_that_says_something_else_fails_its_tests(
    tmp_path: Path, files: dict[str, str], rule: str, before: str, after: str
) -> None:
    tree = yaml.safe_load(files[RULES])
    for group in tree["groups"]:
        for each in group["rules"]:
            if each.get("labels", {}).get("rule") == rule:
                assert before in each["expr"]
                each["expr"] = each["expr"].replace(before, after)
    tests = yaml.safe_load(files[TESTS])
    tests["tests"] = [t for t in tests["tests"] if t["name"].startswith(f"fraud / {rule} ")]
    changed = {RULES: yaml.safe_dump(tree), TESTS: yaml.safe_dump(tests)}
    code, told = tried(tmp_path, files | changed)
    assert code == 1
    assert f"fraud / {rule} " in told


def test_what_prometheus_cannot_tell_is_named_with_the_reason(
    tmp_path: Path, files: dict[str, str]
) -> None:
    told = dict(re.findall(r"^#   fraud / (\S+): (.+)$", files[RULES], re.MULTILINE))
    assert set(told) == set(LEFT)
    assert [name for name, why in told.items() if LEFT[name] not in why] == []
    assert not set(told) & set(alerts(files))


def test_without_gateways_what_they_count_is_named(tmp_path: Path) -> None:
    text = "alerts: {rules: {errors: {metric: error_rate, above: 0.1}}}\n"
    found = exported(tmp_path, text + CONFIG[CONFIG.index("models:") :], gateway=False)
    assert "#   fraud / errors: no gateway is scraped" in found[RULES]
    assert (yaml.safe_load(found[RULES]), TESTS in found) == ({"groups": []}, False)


def test_rules_keep_what_the_owner_said(files: dict[str, str]) -> None:
    found = alerts(files)
    assert found["accuracy_low"]["labels"]["severity"] == "critical"
    assert (found["accuracy_low"]["for"], found["accuracy_low"]["keep_firing_for"]) == (
        "10m",
        "25m",
    )
    assert (found["drift_in_many"]["for"], found["slow"]["for"]) == ("10m", "5m")
    assert found["errors.missing"]["for"] == "30m"
    assert found["accuracy_surely"]["annotations"]["runbook_url"].endswith("/runbooks/low.md")
    assert found["accuracy-falls"]["alert"] == "HomeostatOwnAccuracyFalls"
    assert 'rule=~"model_down|errors"' in found["slow"]["expr"]
    assert "[2m]" in found["flooded"]["expr"], "a range holds some scrapes"


def test_only_what_is_asked_for_is_recorded_and_all_of_it_exists(files: dict[str, str]) -> None:
    groups = yaml.safe_load(files[RULES])["groups"]
    every = [rule for group in groups for rule in group["rules"]]
    recorded = {(r["record"], r["labels"]["metric"]) for r in every if "record" in r}
    assert ("homeostat:figure_upper", "accuracy") in recorded
    assert ("homeostat:figure_upper", "auc") not in recorded
    asked = {name for rule in every for name in names(rule["expr"])}
    assert asked <= others() | {name for name, _ in recorded}
    assert all(NAME.fullmatch(name) for name in asked)


def test_long_courses_are_in_a_file_of_their_own(tmp_path: Path) -> None:
    text = "alerts: {rules: {low: {metric: accuracy, below: 0.8, windows: 2}}}\n"
    found = exported(tmp_path, text + CONFIG[CONFIG.index("models:") :].replace("10m", "1d"))
    assert TESTS not in found
    code, told = tried(tmp_path, found)
    assert code == 0, told


def test_rules_of_before_are_removed_and_what_others_wrote_stays(tmp_path: Path) -> None:
    config = tmp_path / "homeostat.yaml"
    config.write_text(CONFIG)
    write_monitoring(load(config), tmp_path)
    mine = tmp_path / "prometheus" / "rules" / "mine.yml"
    mine.write_text("groups: []\n")
    config.write_text(CONFIG[CONFIG.index("models:") :])
    written = write_monitoring(load(config), tmp_path, gateway=False)
    left = {
        str(path.relative_to(tmp_path))
        for part in ("rules", "tests")
        for path in (tmp_path / "prometheus" / part).iterdir()
    }
    assert RULES not in written
    assert left - set(written) == {"prometheus/rules/mine.yml"}


def test_an_owner_without_rules_gets_no_file_of_them() -> None:
    assert RULES not in FILES
