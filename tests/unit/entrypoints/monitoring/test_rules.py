"""Rules and routes: what is committed is what is written, sound, and tested by promtool."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from homeostat.alerting.rules import default_rules
from homeostat.domain.errors import StorageError
from homeostat.entrypoints.cli import run as homeostat
from homeostat.entrypoints.gateway.metrics import BOUNDS
from homeostat.entrypoints.monitoring.export import monitoring_files, write_monitoring
from homeostat.entrypoints.monitoring.limits import bound
from homeostat.entrypoints.settings import load
from scrapers import run
from unit.entrypoints.monitoring.exported import (
    ALERTING,
    FILES,
    FRAUD,
    MONITORING,
    RULES,
    RUNBOOKS,
    Asked,
    known,
    names,
    rules,
)
from unit.entrypoints.monitoring.promql import ALERTS, QUERIES, Fault, flat, labelled_by_value


def test_what_is_committed_is_what_is_written_for_the_example() -> None:
    found = {
        path.relative_to(MONITORING).as_posix(): path.read_text("utf-8")
        for path in MONITORING.rglob("*")
        if path.is_file() and "prometheus/tests" not in path.as_posix()
    }
    assert found == FILES, "run: homeostat monitoring export -c examples/fraud/homeostat.yaml"


@pytest.mark.parametrize("fault", QUERIES, ids=str)
def test_no_query_has_the_fault(fault: str) -> None:
    told = QUERIES[fault].told
    assert told(flat(QUERIES[fault].example)), "the example of the fault is not told"
    assert not [asked.name for asked in RULES if told(asked.expr)]


@pytest.mark.parametrize("fault", ALERTS, ids=str)
def test_no_alert_has_the_fault(fault: str) -> None:
    told = ALERTS[fault].told
    assert told(flat(ALERTS[fault].example)), "the example of the fault is not told"
    assert not [asked.name for asked in ALERTING if told(asked.expr)]


def test_no_label_changes_with_the_value() -> None:
    assert labelled_by_value({"labels": {"value": "{{ $value }}"}})
    assert not [asked.name for asked in RULES if labelled_by_value(asked.rule)]


@pytest.mark.parametrize("asked", ALERTING, ids=lambda asked: asked.name)
def test_an_alert_says_what_how_bad_and_what_to_do(asked: Asked) -> None:
    rule, told = asked.rule, asked.rule["annotations"]
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["labels"]["source"] == "homeostat"
    assert re.fullmatch(r"\d+[mh]", rule["for"])
    assert set(told) == {"summary", "description", "runbook_url"}
    # Alertmanager takes what stands before ": " for a name; a summary that changes is a new page.
    assert ": " not in told["summary"]
    assert "$value" not in told["summary"]
    base, _, runbook = told["runbook_url"].rpartition("/")
    assert base == "http://127.0.0.1:8420/runbooks"
    assert (RUNBOOKS / runbook).is_file()


def test_every_alert_has_a_test_in_which_it_fires() -> None:
    fired = {
        name
        for path in (MONITORING / "prometheus" / "tests").glob("*.yml")
        for test in yaml.safe_load(path.read_text())["tests"]
        for name in firing(test)
    }
    assert fired >= {a.name for a in ALERTING}


def firing(test: dict[str, Any]) -> Iterator[str]:
    """Yield the alerts that a test wants to fire: names in what it is to find, not in its text."""
    for asked in test.get("alert_rule_test", ()):
        if asked.get("exp_alerts"):
            yield asked["alertname"]
    for asked in test.get("promql_expr_test", ()):
        if 'alertstate="firing"' in asked["expr"]:
            for sample in asked.get("exp_samples", ()):
                if sample["value"]:
                    yield from re.findall(r'alertname="(\w+)"', sample["labels"])


def test_every_series_that_a_rule_asks_for_is_exported_or_recorded() -> None:
    asked = {name for rule in RULES for name in names(rule.expr)}
    assert asked <= known()


@pytest.mark.parametrize("name", ["models", "platform", "serving"])
def test_rules_fire_when_they_should_and_are_silent_when_they_should(name: str) -> None:
    path = MONITORING / "prometheus" / "tests" / f"{name}_test.yml"
    done = run("promtool", "test", "rules", str(path))
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_configuration_and_its_rules() -> None:
    for config in sorted((MONITORING / "prometheus").glob("*.yml")):
        done = run("promtool", "check", "config", str(config))
        assert done.returncode == 0, done.stdout + done.stderr


def test_alertmanager_takes_routes_and_receivers() -> None:
    path = MONITORING / "alertmanager" / "alertmanager.yml"
    done = run("amtool", "check-config", str(path))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("severity", "receiver"), [("critical", "on-call"), ("warning", "chat"), ("info", "chat")]
)
def test_alerts_are_routed_by_severity(severity: str, receiver: str) -> None:
    path = MONITORING / "alertmanager" / "alertmanager.yml"
    done = run(
        "amtool", "config", "routes", "test", f"--config.file={path}", f"severity={severity}"
    )
    assert done.stdout.split() == [receiver]


def test_inhibition_names_alerts_that_there_are_and_secrets_are_in_files() -> None:
    tree = yaml.safe_load(FILES["alertmanager/alertmanager.yml"])
    known = {asked.name for asked in ALERTING} | {rule.name for rule in default_rules(())}
    for rule in tree["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            pattern = re.search(r'"(.+)"', matcher)
            assert pattern is not None
            for part in pattern[1].split("|"):
                assert [name for name in known if re.fullmatch(part, name)], part
    text = FILES["alertmanager/alertmanager.yml"]
    assert not re.search(r"(?:api_url|routing_key|password|api_key): ", text)
    assert not re.search(r"hooks\.slack\.com", text)


CONFIG = """\
runbooks: https://wiki.example/runbooks/
server: {host: homeostat.lan, port: 9000}
gateway: {host: "::1", port: 9001, tls: {certificate: a.pem, key: b.pem}}
models:
  - name: price
    task: regression
    features: {size: numeric}
    labels: {maturity: 2d}
    monitors: {service: {max_latency: 20s}}
  - name: tone
    task: binary
    classes: [no, yes]
    features: {size: numeric}
    labels: {maturity: 1d}
    monitors: {thresholds: [{metric: auc, below: 0.7}, {metric: accuracy, below: 0.6}]}
  - name: spam
    task: binary
    classes: [no, yes]
    features: {size: numeric}
    labels: {maturity: 1d}
    retraining: {trainer: "train.py:train", floor: {accuracy: 0.9}}
  - name: hard
    task: multiclass
    classes: [a, b, c]
    features: {size: numeric}
    labels: {maturity: 1d}
    retraining: {trainer: "train.py:train", schedule: 10d}
"""


def limit(files: dict[str, str], name: str) -> dict[str, str]:
    return {
        asked.rule["labels"]["model"]: asked.expr
        for asked in rules(files)
        if asked.name == f"homeostat:{name}"
    }


def test_limits_follow_from_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "homeostat.yaml"
    path.write_text(CONFIG)
    assert homeostat(["monitoring", "export", "-c", str(path), "-o", str(tmp_path / "out")]) == 0
    files = {
        found.relative_to(tmp_path / "out").as_posix(): found.read_text()
        for found in (tmp_path / "out").rglob("*")
        if found.is_file()
    }
    assert limit(files, "limit_accuracy") == {
        "tone": "vector(0.6)",
        "spam": "vector(0.9)",
        "hard": "vector(0.8)",
    }
    given = {
        asked.rule["labels"]["model"]: asked.rule["labels"]["given"]
        for asked in rules(files)
        if asked.name == "homeostat:limit_accuracy"
    }
    assert given == {"tone": "configured", "spam": "configured", "hard": "default"}
    ages = limit(files, "limit_version_age_seconds")
    assert (ages["price"], ages["hard"]) == ("vector(2592000)", "vector(1468800)")
    assert limit(files, "limit_label_age_seconds")["price"] == "vector(432000)"
    slow = [a for a in rules(files) if a.name == "homeostat:slow_requests:ratio_rate5m"]
    assert slow[0].rule["labels"]["limit"] == "10"
    assert 'le="10.0"' in slow[0].expr
    config = yaml.safe_load(files["prometheus/prometheus.yml"])
    control, gateway = config["scrape_configs"]
    assert control["static_configs"][0]["targets"] == ["homeostat.lan:9000"]
    assert control["authorization"] == {"credentials_file": "/etc/prometheus/homeostat_token"}
    assert "authorization" not in gateway
    assert gateway["static_configs"][0]["targets"] == ["[::1]:9001"]
    assert gateway["scheme"] == "https"
    assert "https://wiki.example/runbooks/data-fault.md" in files["prometheus/rules/models.yml"]


def test_without_gateways_nothing_waits_for_them(tmp_path: Path) -> None:
    files = monitoring_files(load(FRAUD), gateway=False)
    assert set(FILES) - set(files) == {
        "prometheus/rules/serving.yml",
        "grafana/dashboards/homeostat-serving.json",
    }
    assert "homeostat-gateway" not in files["prometheus/prometheus.yml"]
    assert "slow_requests" not in files["prometheus/rules/limits.yml"]
    assert "homeostat:requests" not in files["grafana/dashboards/homeostat-fleet.json"]


def test_what_sends_its_figures_itself_is_not_scraped_too(tmp_path: Path) -> None:
    path = tmp_path / "homeostat.yaml"
    sending = "server: {remote_write: {url: 'http://prometheus:9090/api/v1/write'}}"
    path.write_text(re.sub("server: .*", sending, CONFIG))
    config = yaml.safe_load(monitoring_files(load(path))["prometheus/prometheus.yml"])
    assert [job["job_name"] for job in config["scrape_configs"]] == ["homeostat-gateway"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "prometheus").write_text("a file")
    with pytest.raises(StorageError, match=r"cannot write .*prometheus"):
        write_monitoring(load(FRAUD), tmp_path)


def test_a_latency_limit_is_the_end_of_a_bucket() -> None:
    assert [bound(timedelta(seconds=b)) for b in BOUNDS] == list(BOUNDS)
    assert bound(timedelta(microseconds=1)) == BOUNDS[0]


def test_faults_are_told_by_an_example_each() -> None:
    every: list[Fault] = [*QUERIES.values(), *ALERTS.values()]
    assert len({fault.example for fault in every}) == len(every)
