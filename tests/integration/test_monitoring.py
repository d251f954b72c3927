"""A real Prometheus and Alertmanager on what is exported, recorded, drawn and told."""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pynvml
import pytest
import uvicorn
import yaml
from opentelemetry.sdk.trace import TracerProvider
from starlette.applications import Starlette
from starlette.types import ASGIApp

from homeostat.adapters.cards import Cards
from homeostat.adapters.clock import SystemClock
from homeostat.adapters.notifiers.alertmanager import AlertmanagerNotifier
from homeostat.adapters.notifiers.http import Poster
from homeostat.adapters.remote_write import AGAIN, RemoteWrite
from homeostat.adapters.telemetry import Telemetry
from homeostat.alerting.rules import AlertRule, default_rules
from homeostat.domain.effect import Notify, NotifyAction
from homeostat.domain.route import Route
from homeostat.entrypoints.gateway.app import app
from homeostat.entrypoints.gateway.traced import Traced, telling
from homeostat.entrypoints.http.auth import Tokens
from homeostat.entrypoints.http.scrape import scrape
from homeostat.entrypoints.monitoring.export import monitoring_files
from homeostat.entrypoints.monitoring.pushed import Pusher
from homeostat.entrypoints.settings import load
from homeostat.serving.fallback import Fallback
from integration.lived import Lived, live
from scrapers import Daemon, Pager, alertmanager, free_port, prometheus, until
from unit.adapters.test_cards import library
from unit.entrypoints.gateway.gateway_world import World

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "monitoring" / "alertmanager" / "alertmanager.yml"
CONFIG = """\
server: {port: CONTROL}
gateway: {port: GATEWAY}
alerts:
  rules:
    low: {metric: accuracy, below: 0.7, sure: true, windows: 2}
    fell: {metric: accuracy, drop: 0.05, against: 28d}
    errors: {metric: error_rate, above: 0.01, missing: {after: 1h}}
    slow: {metric: latency_p99, above: 500, inhibited_by: [model_down]}
models:
  - name: toy
    task: binary
    classes: [no, yes]
    features: {signal: numeric, amount: numeric}
    labels: {maturity: 1d}
    monitors: {thresholds: [{metric: accuracy, below: 0.7}]}
  - name: fraud
    task: binary
    classes: [no, yes]
    features: {amount: numeric, age: numeric, land: categorical}
    labels: {maturity: 30d}
"""
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
JOINED = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
ROWS = [{"amount": 12.5, "age": 40, "land": "PT"}] * 40


class Served:
    """An application on a port of this machine, in a thread."""

    def __init__(self, application: ASGIApp) -> None:
        config = uvicorn.Config(application, port=0, log_config=None, ws="none")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        until(lambda: self._server.started, lambda: "the server does not start")
        self.port = int(self._server.servers[0].sockets[0].getsockname()[1])

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(30)


@dataclass
class Site:
    """Everything that runs."""

    lived: Lived
    serving: World
    gateway: httpx.Client
    prometheus: Daemon
    alertmanager: Daemon
    pager: Pager
    files: dict[str, str]
    asked: int = 0

    def replay(self) -> None:
        """Let a little time pass: a tick, and a request; after two the champion fails as well."""
        self.lived.go_on()
        self.asked += 1
        if self.asked > 2:
            self.serving.backend.errors["v1"] = ConnectionError("the backend is away")
        answer = self.gateway.post("/v1/models/fraud/predict", json={"rows": ROWS}, headers=JOINED)
        assert answer.status_code == 200, answer.text

    def query(self, expr: str) -> list[dict[str, Any]]:
        answer = self.prometheus.http.get("/api/v1/query", params={"query": expr})
        assert answer.status_code == 200, (expr, answer.text)
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found

    def empty(self, exprs: dict[str, str]) -> list[str]:
        """Return the names of the queries that give nothing."""
        return [name for name, expr in exprs.items() if not self.query(expr)]


def hurried(files: dict[str, str], folder: Path, pager: str, port: int) -> None:
    """Write the files with short intervals, to the port and the receivers of the test."""
    for name, text in files.items():
        if not name.startswith(("prometheus/", "alertmanager/")):
            continue
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soon = re.sub(r"\b(interval|for|group_wait|group_interval): \S+", r"\1: 1s", text)
        soon = re.sub(r"_interval: (15|30)s", "_interval: 1s", soon).replace("9093", str(port))
        soon = soon.replace("/etc/alertmanager", str(folder / "alertmanager"))
        key = "      - routing_key_file:"
        path.write_text(
            soon.replace(key, f"      - url: {pager}/pagerduty\n        routing_key_file:")
        )
    secrets = folder / "alertmanager" / "secrets"
    secrets.mkdir()
    (secrets / "pagerduty_routing_key").write_text("k" * 32)
    (secrets / "slack_url").write_text(f"{pager}/slack")


@pytest.fixture(scope="module")
def cards() -> Iterator[Cards]:
    with pytest.MonkeyPatch.context() as patch:
        made: SimpleNamespace = library(1)
        patch.setattr(pynvml, "nvmlLib", made)
        patch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
        yield Cards()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, cards: Cards) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("monitoring")
    closing: list[Callable[[], object]] = []

    def begun(server: Any) -> Any:
        closing.append(server.close)
        return server

    try:
        lived = live(folder)
        tokens = Tokens(lived.world.ports.records)
        control = begun(
            Served(Starlette(routes=[scrape(lived.figures, lived.world.clock, tokens)]))
        )
        serving = World(folder)
        gateway = serving.gateway(Fallback(default=0.125))
        gateway.cards = cards
        gateway.routes.publish(Route("fraud", "v1", "v2", 0.2, ("v3",)))
        serving.backend.errors["v2"] = ConnectionError("the backend is away")
        telemetry = Telemetry(metrics=False, tracer=TracerProvider())
        gateway.watchers.append(telling(gateway.metrics, serving.clock))
        plane = begun(Served(Traced(app(gateway), telemetry, serving.clock)))
        config = folder / "homeostat.yaml"
        ports = {"CONTROL": str(control.port), "GATEWAY": str(plane.port)}
        config.write_text(re.sub("CONTROL|GATEWAY", lambda found: ports[found[0]], CONFIG))
        files = monitoring_files(load(config))
        pager, port = begun(Pager()), free_port()
        hurried(files, folder, pager.url, port)
        manager = begun(alertmanager(folder / "alertmanager", port))
        scraper = begun(prometheus(folder / "prometheus"))
        client = begun(httpx.Client(base_url=f"http://127.0.0.1:{plane.port}", timeout=30))
        found = Site(lived, serving, client, scraper, manager, pager, files)
        until(lambda: scraper.ready() and manager.ready(), lambda: "they do not start")
        yield found
    finally:
        for close in reversed(closing):
            close()


def recorded(files: dict[str, str]) -> dict[str, str]:
    groups = [
        group
        for name, text in files.items()
        if name.startswith("prometheus/rules/")
        for group in yaml.safe_load(text)["groups"]
    ]
    names = [rule["record"] for group in groups for rule in group["rules"] if "record" in rule]
    return {name: f"last_over_time({name}[5m])" for name in names}


def drawn(files: dict[str, str]) -> dict[str, str]:
    """Return the queries of all panels, as Grafana would send them."""
    found: dict[str, str] = {}
    for name, text in files.items():
        if not name.startswith("grafana/dashboards/"):
            continue
        made = json.loads(text)
        one = made["uid"] == "homeostat-model"
        for panel in made["panels"]:
            for target in panel.get("targets", ()):
                place = f"{made['title']} / {panel['title']} / {target['refId']}"
                found[place] = chosen(target["expr"], "toy" if one else ".*")
    return found


def chosen(expr: str, model: str) -> str:
    """Put values in place of variables."""
    values = {"model": model, "metric": "accuracy", "worth": ".*", "__rate_interval": "1m"}
    return re.sub(r"\$(\w+)", lambda part: values[part[1]], expr)


def test_both_are_scraped_and_every_rule_is_evaluated(site: Site) -> None:
    def health() -> dict[str, str]:
        targets = site.prometheus.http.get("/api/v1/targets").json()["data"]["activeTargets"]
        return {each["labels"]["job"]: each["health"] + each["lastError"] for each in targets}

    until(lambda: set(health().values()) == {"up"}, health)
    assert set(health()) == {"homeostat", "homeostat-gateway"}

    def rules() -> list[tuple[str, str, str]]:
        groups = site.prometheus.http.get("/api/v1/rules").json()["data"]["groups"]
        every = [rule for group in groups for rule in group["rules"]]
        assert len(every) > 50
        return [
            (rule["name"], rule["health"], rule.get("lastError", ""))
            for rule in every
            if rule["health"] != "ok"
        ]

    until(lambda: not [r for r in rules() if r[1] == "unknown"], rules)
    assert rules() == []


def test_every_recording_and_every_panel_shows_something(site: Site) -> None:
    exprs = recorded(site.files) | drawn(site.files)
    assert len(exprs) > 100
    left = exprs

    def shown() -> bool:
        nonlocal left
        site.replay()
        left = {name: left[name] for name in site.empty(left)}
        return not left

    until(shown, lambda: left)
    assert not left


def test_a_slow_answer_leads_to_its_trace(site: Site) -> None:
    def noted() -> list[tuple[dict[str, str], dict[str, Any]]]:
        site.replay()
        chosen = {"query": "homeostat_request_duration_seconds_bucket", "start": "0", "end": "2e9"}
        answer = site.prometheus.http.get("/api/v1/query_exemplars", params=chosen).json()
        return [
            (found["seriesLabels"], one) for found in answer["data"] for one in found["exemplars"]
        ]

    until(noted, noted)
    labels, first = noted()[0]
    assert first["labels"]["trace_id"] == TRACE
    assert re.fullmatch("[0-9a-f]{16}", first["labels"]["span_id"])
    assert labels["model"] == "fraud"
    assert 0 <= float(first["value"]) <= float(labels["le"])


def test_what_is_sent_is_what_a_scrape_would_find_until_it_ends(site: Site) -> None:
    clock, daemon = SystemClock(), site.prometheus
    url = f"http://127.0.0.1:{daemon.port}/api/v1/write"
    writer = RemoteWrite(Poster("remote write", url, clock, again=AGAIN), clock)
    place = {"job": "pushed", "instance": "elsewhere"}
    pusher = Pusher(site.lived.figures, writer, clock, 30.0, place)
    pusher.turn()
    samples = sum(len(family.samples) for family in site.lived.figures.families())
    assert writer.counts == {"sent": samples + 1, "refused": 0, "dropped": 0, "retries": 0}
    sent = site.query('{job="pushed"}')
    assert len(sent) == samples + 1
    same = site.query('homeostat_metric_rows{job="pushed"}')
    scraped = site.query('homeostat_metric_rows{job="homeostat"}')
    assert {_figure(one) for one in same} == {_figure(one) for one in scraped}
    pusher.end()
    assert site.query('{job="pushed"}') == []


def _figure(one: dict[str, Any]) -> tuple[str, ...]:
    labels = {key: value for key, value in one["metric"].items() if key not in {"job", "instance"}}
    return (*map(str, sorted(labels.items())), one["value"][1])


def test_grafanas_own_alert_sees_the_drop(site: Site) -> None:
    tree = yaml.safe_load(site.files["grafana/provisioning/alerting/homeostat.yml"])
    expr = tree["groups"][0]["rules"][0]["data"][0]["model"]["expr"]

    def dropped() -> set[str]:
        site.replay()
        return {one["metric"]["model"] for one in site.query(expr) if float(one["value"][1]) > 0.05}

    until(dropped, lambda: site.query(expr))
    assert dropped() == {"toy"}


def test_a_page_comes_once_for_its_cause_with_its_runbook(site: Site) -> None:
    pages = site.pager

    def paged() -> set[str]:
        return {body["payload"]["class"] for body in pages.at("/pagerduty")}

    wanted = {"HomeostatDataFault", "HomeostatBreakerOpen"}

    def come() -> bool:
        site.replay()
        return wanted <= paged()

    until(come, paged)
    fault = next(
        body for body in pages.at("/pagerduty") if body["payload"]["class"] == "HomeostatDataFault"
    )
    assert fault["routing_key"] == "k" * 32
    assert (fault["event_action"], fault["payload"]["severity"]) == ("trigger", "critical")
    assert fault["payload"]["component"] == "toy"
    link = fault["links"][0]["href"]
    assert link.endswith("/runbooks/data-fault.md")
    assert (ROOT / "runbooks" / link.rpartition("/")[2]).is_file()


def test_a_warning_goes_to_the_chat_and_what_a_fault_explains_goes_nowhere(site: Site) -> None:
    def told() -> str:
        return json.dumps(site.pager.at("/slack"))

    until(lambda: "Labels of toy have stopped coming" in told(), told)

    def stands() -> dict[str, str]:
        every = site.alertmanager.http.get("/api/v2/alerts").json()
        return {
            alert["labels"]["alertname"]: alert["status"]["state"]
            for alert in every
            if alert["labels"].get("model") == "toy"
        }

    until(lambda: stands().get("HomeostatPerformanceDrop") == "suppressed", stands)
    assert stands()["HomeostatDataFault"] == "active"
    for name in ("HomeostatCalibrationDrift", "HomeostatAccuracyLow", "HomeostatAccuracyDrop"):
        assert stands()[name] == "suppressed", name


def test_what_homeostat_tells_by_itself_is_inhibited_as_its_engine_would(tmp_path: Path) -> None:
    """Each rule's parents silence it, once Alertmanager has the file that we ship."""
    shutil.copy(SHIPPED, tmp_path)
    port, now = free_port(), SystemClock().now()
    manager = alertmanager(tmp_path, port)
    try:
        until(manager.ready, lambda: "it does not start")
        notifier = AlertmanagerNotifier(
            Poster("alertmanager", f"http://127.0.0.1:{port}", SystemClock())
        )

        def tell(rule: AlertRule, model: str) -> None:
            words = (NotifyAction.TRIGGER, "am", rule.severity, model, "t", "b", rule.runbook, now)
            notifier.send(Notify(f"{model}:{rule.name}:1", *words, rule.name))

        rules = {rule.name: rule for rule in default_rules(())}
        wanted = set()
        for rule in rules.values():
            tell(rule, f"only {rule.name}")
            for parent in rule.inhibited_by:
                model = f"{rule.name} by {parent}"
                tell(rule, model)
                tell(rules[parent], model)
                wanted.add((rule.name, model))
        alerts = manager.http.get("/api/v2/alerts").json()
        assert len(alerts) == len(rules) + 2 * len(wanted)
        assert {
            (each["labels"]["alertname"], each["labels"]["model"])
            for each in alerts
            if each["status"]["inhibitedBy"]
        } == wanted
    finally:
        manager.close()
