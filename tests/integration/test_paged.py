"""From what happens to a model, through a real Prometheus and Alertmanager, to who is paged.

One tale: for a while nothing is wrong. Then accuracy drops and inputs drift in a simulated shop,
one served model gets slow, one fails, and one is asked no more. Then all is well again.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from starlette.applications import Starlette
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.models import Term, save_linear
from homeostat.domain.model import ModelVersion
from homeostat.domain.route import Route
from homeostat.domain.window import Window
from homeostat.entrypoints.gateway import Gateway, LogWriter, RouteTable, ServedModel
from homeostat.entrypoints.gateway.app import app
from homeostat.entrypoints.http.auth import Tokens
from homeostat.entrypoints.http.scrape import scrape
from homeostat.entrypoints.monitoring.control import ControlFigures
from homeostat.entrypoints.monitoring.export import monitoring_files
from homeostat.entrypoints.settings import load
from homeostat.entrypoints.worker import Pulse, Worker
from homeostat.serving.breaker import BreakerConfig
from homeostat.serving.fallback import Fallback
from homeostat.simulation.clock import SimulatedClock
from integration.test_monitoring import Served
from receivers import GENIE_KEY, ROUTING_KEY, Receivers, serving
from scrapers import Daemon, alertmanager, free_port, prometheus, until
from simulation.duty import CONFIG, MODEL, START, Duty, begin
from simulation.shop import DAY, Incident, Kind, Shop
from unit.entrypoints.gateway.gateway_world import World

TICK = timedelta(hours=6)
SLOW, BROKEN, ASKED = "slow", "broken", "asked"
SERVED = (SLOW, BROKEN, ASKED)
MODELS = """\
  - name: {name}
    task: binary
    classes: [no, yes]
    features: {{amount: numeric, age: numeric, land: categorical}}
    labels: {{maturity: 30d}}
"""
INCIDENTS = (
    Incident(Kind.CONCEPT, Window(START + 5 * DAY, START + 6 * DAY)),
    Incident(Kind.MOVED, Window(START + 8 * DAY, START + 9 * DAY)),
)
WELL, ILL, CURED = 5, 9, 12
"""Days of the shop: labels need three to tell of the day before them."""
PAGED = {
    "HomeostatAccuracyDrop": MODEL,
    "HomeostatBreakerOpen": BROKEN,
    "HomeostatDataDrift": MODEL,
    "HomeostatLatencyHigh": SLOW,
    "HomeostatNoRequests": ASKED,
}
"""What each service is told of, and of which model."""
WANTED = set(PAGED.items())
LASTS = "HomeostatAlarmBudgetSpent"
"""That there was more of it than one would want is true for long."""
SUBJECT = re.compile(r"\[(FIRING|RESOLVED)(?::\d+)?\] (\S+)(?: ([^\s(]+))?")
ROWS = [{"amount": 12.5, "age": 40, "land": "PT"}] * 5
SPANS = {"2m": "6s", "5m": "10s", "10m": "10s", "15m": "10s", "1h": "20s", "1w": "5m"}
EVENT = re.compile(r"(?m)^(homeostat_\w+_(?:timestamp|start_time)_seconds(?:\{.*\})?) (\S+)$")


@dataclass
class Today:
    """An application that lives in other days, with the times that it tells moved to today."""

    application: ASGIApp
    there: datetime = START

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ahead = SystemClock().now().timestamp() - self.there.timestamp()

        async def moved(message: Message) -> None:
            if message["type"] == "http.response.body":
                text = message["body"].decode()
                text = EVENT.sub(lambda m: f"{m[1]} {float(m[2]) + ahead!r}", text)
                message = {**message, "body": text.encode()}
            elif message["type"] == "http.response.start":
                headers = [pair for pair in message["headers"] if pair[0] != b"content-length"]
                message = {**message, "headers": headers}
            await send(message)

        await self.application(scope, receive, moved)


@dataclass
class Control:
    """A control plane over the shop, which lives as fast as it can."""

    duty: Duty

    def __post_init__(self) -> None:
        ports, clock, plans = self.duty.ports, self.duty.clock, self.duty.engine.plans
        pulse = Pulse(leads=True)
        self.worker = Worker(self.duty.engine, ports.log, clock, TICK, pulse=pulse)
        figures = ControlFigures(ports.records, ports.registry, plans, clock, pulse, TICK)
        self.looked = SimulatedClock(START)  # what is read stays, till all of it was lived through
        pages = Starlette(routes=[scrape(figures, self.looked, Tokens(ports.records))])
        self.application = Today(pages)

    def live(self, days: int) -> None:
        """Live on until a day."""
        while self.duty.clock.now() < START + days * DAY + TICK:
            self.duty.advance()
        self.worker.once()
        self.application.there = self.duty.clock.now()
        self.looked.advance(DAY)
        assert self.duty.problems == []


class Asking(threading.Thread):
    """Asks a gateway's models a few times a second."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url, self.models, self.over = url, set(SERVED), threading.Event()
        self.answers: list[int] = []

    def run(self) -> None:
        with httpx.Client(base_url=self.url, timeout=30) as http:
            while not self.over.wait(0.2):
                for model in sorted(self.models):
                    answer = http.post(f"/v1/models/{model}/predict", json={"rows": ROWS})
                    self.answers.append(answer.status_code)

    def close(self) -> None:
        self.over.set()
        self.join(30)


@dataclass
class Plane:
    """A gateway of three models, each of one version, and what can befall them."""

    world: World
    gateway: Gateway = field(init=False)
    slow: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        world, served = self.world, []
        world.backend.meanwhile = self.work
        for name in SERVED:
            save_linear(world.root / name, 0.0, [Term("amount", 0.1)])
            card = ModelVersion(name, name, "linear", "", world.clock.now())
            world.registry.register(card, world.root / name)
            breaker = BreakerConfig(faults=2, share=0.0, cooldown=600.0, successes=1)
            spec = replace(world.spec, name=name)
            served.append(ServedModel(spec, Fallback(default=0.125), breaker, 5.0))
        routes = RouteTable(world.registry, served, world.clock, world.backend.load)
        self.gateway = Gateway(routes, LogWriter(world.log, 10_000), world.clock)
        for name in SERVED:
            routes.publish(Route(name, name))

    def work(self) -> None:
        """Take time, where it is the slow one's turn."""
        calls = self.world.backend.calls
        if self.slow.is_set() and calls is not None and calls[-1] == SLOW:
            self.world.clock.advance(timedelta(seconds=0.4))


def hurried(files: dict[str, str], folder: Path, urls: dict[str, str], port: int) -> None:
    """Write the files with seconds for minutes, to the port and the receivers of the test."""
    for name, text in files.items():
        if not name.startswith(("prometheus/", "alertmanager/")):
            continue
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soon = re.sub(r"\[(\w+)\]", lambda span: f"[{SPANS.get(span[1], span[1])}]", text)
        soon = re.sub(r"\b(keep_firing_for|for|interval): \d\w+", r"\1: 2s", soon)
        soon = re.sub(r"\b(interval|group_wait|\w+_interval): (10s|15s|30s|5m|10m)\b",
                      r"\1: 1s", soon)  # fmt: skip
        soon = soon.replace("9093", str(port))
        soon = soon.replace("/etc/alertmanager", str(folder / "alertmanager"))
        if name == "alertmanager/alertmanager.yml":
            soon = to_all(soon, urls)
        path.write_text(soon)
    secrets = folder / "alertmanager" / "secrets"
    secrets.mkdir()
    (secrets / "pagerduty_routing_key").write_text(ROUTING_KEY)
    (secrets / "slack_url").write_text(f"{urls['slack']}/services/T/B/X")


def to_all(text: str, urls: dict[str, str]) -> str:
    """Return the configuration with all three services behind each of its receivers."""
    tree = yaml.safe_load(text)
    found = {kind: each[kind] for each in tree["receivers"] for kind in each if kind != "name"}
    (pagerduty,), (slack,) = found["pagerduty_configs"], found["slack_configs"]
    genie = {"api_url": f"{urls['opsgenie']}/", "api_key": GENIE_KEY, "priority": "P1"}
    every = {
        "pagerduty_configs": [{**pagerduty, "url": f"{urls['pagerduty']}/v2/enqueue"}],
        "opsgenie_configs": [genie],
        "slack_configs": [slack],
    }
    tree["receivers"] = [{"name": each["name"], **every} for each in tree["receivers"]]
    return yaml.safe_dump(tree)


@dataclass
class Site:
    """Everything that runs."""

    control: Control
    plane: Plane
    asking: Asking
    prometheus: Daemon
    alertmanager: Daemon
    receivers: dict[str, Receivers]

    def told(self) -> dict[str, list[tuple[str, str, str]]]:
        """Return what each service was told: alert, model, and whether it fires or is over."""
        found = {"slack": [_said(body) for body in self.receivers["slack"].bodies]}
        for name, about in (("pagerduty", _event), ("opsgenie", _alert)):
            receiver = self.receivers[name]
            known = dict(filter(None, map(about, receiver.bodies)))
            told = [(*known[key], action) for key, action in receiver.paged]
            found[name] = told
        return {name: [each for each in told if each[0] != LASTS] for name, told in found.items()}

    def left(self, action: str) -> dict[str, set[tuple[str, str]]]:
        """Return what each service should yet be told."""
        return {
            name: WANTED - {(alert, model) for alert, model, what in told if what == action}
            for name, told in self.told().items()
        }

    def open(self) -> dict[str, list[tuple[str, str]]]:
        """Return what is open at each service."""
        found = {}
        for name, told in self.told().items():
            last = {(alert, model): action for alert, model, action in told}
            found[name] = [what for what, action in last.items() if action != "resolve"]
        return found

    def untouched(self) -> bool:
        """Whether nobody was told anything."""
        return not any(each.got for each in self.receivers.values())


def _event(body: dict[str, Any]) -> tuple[str, tuple[str, str]] | None:
    """Return the key of an event of PagerDuty that triggers, and what it is about."""
    if body["event_action"] != "trigger":
        return None
    payload = body["payload"]
    return body["dedup_key"], (payload["class"], payload.get("component", ""))


def _alert(body: dict[str, Any]) -> tuple[str, tuple[str, str]] | None:
    """Return the same of an alert of Opsgenie."""
    if "alias" not in body:
        return None
    return body["alias"], (body["details"]["alertname"], body["details"].get("model", ""))


def _said(body: dict[str, Any]) -> tuple[str, str, str]:
    """Return what a message of Slack is about, and whether it begins or ends."""
    found = SUBJECT.match(body["attachments"][0]["fallback"])
    assert found is not None
    return found[2], found[3] or "", "trigger" if found[1] == "FIRING" else "resolve"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("paged")
    with ExitStack() as stack:

        def begun(server: Any) -> Any:
            stack.callback(server.close)
            return server

        receivers = {
            name: stack.enter_context(serving()) for name in ("pagerduty", "opsgenie", "slack")
        }
        control = Control(begin(folder, Shop(11, 1500, incidents=INCIDENTS), TICK, retrains=False))
        control.live(WELL)
        plane = Plane(World(folder))
        watched, data = begun(Served(control.application)), begun(Served(app(plane.gateway)))
        config = folder / "homeostat.yaml"
        server = f"server: {{{{port: {watched.port}, tick: {{tick}}}}}}\n"
        text = CONFIG.replace("server: {{tick: {tick}}}\n", server)
        told = text.format(tick="6h", receivers="{pager: {type: console}}")
        config.write_text(
            f"gateway: {{port: {data.port}}}\n{told}"
            + "".join(MODELS.format(name=name) for name in SERVED)
        )
        port, urls = free_port(), {name: each.url for name, each in receivers.items()}
        hurried(monitoring_files(load(config)), folder, urls, port)
        asking = begun(Asking(f"http://127.0.0.1:{data.port}"))
        asking.start()
        manager = begun(alertmanager(folder / "alertmanager", port))
        scraper = begun(prometheus(folder / "prometheus"))
        until(lambda: scraper.ready() and manager.ready(), lambda: "they do not start")
        yield Site(control, plane, asking, scraper, manager, receivers)


def firing(site: Site) -> set[tuple[str, str]]:
    """Return what fires."""
    alerts = site.prometheus.http.get("/api/v1/alerts").json()["data"]["alerts"]
    return {
        (each["labels"]["alertname"], each["labels"].get("model", ""))
        for each in alerts
        if each["state"] == "firing" and each["labels"]["alertname"] != LASTS
    }


def passed(seconds: float) -> Callable[[], bool]:
    """Return a condition that is true after so many seconds."""
    clock = SystemClock()
    end = clock.monotonic() + seconds
    return lambda: clock.monotonic() >= end


def test_nobody_is_told_while_nothing_is_wrong(site: Site) -> None:
    exprs = ["homeostat:accuracy_drop", "homeostat:drifted_features", "homeostat:breakers_open"]
    exprs += ["homeostat:requests:rate5m", "homeostat:slow_requests:ratio_rate1h"]

    def known() -> list[str]:
        asked = {e: site.prometheus.http.get("/api/v1/query", params={"query": e}) for e in exprs}
        return [e for e, found in asked.items() if not found.json()["data"]["result"]]

    until(lambda: not known(), known)
    until(passed(5.0), lambda: "time does not pass")
    assert firing(site) == set()
    assert site.untouched()


def test_each_condition_pages_once_and_is_over_when_it_ends(site: Site) -> None:
    clock, world = SystemClock(), site.plane.world
    seen: dict[str, float] = {}
    site.control.live(ILL)
    began = clock.monotonic()

    def noted(action: str) -> bool:
        """Note when each service was told of each; return whether that was all."""
        left = site.left(action)
        for service, missing in left.items():
            for alert, _ in WANTED - missing:
                what = f"{alert} {service} {action}"
                seen.setdefault(what, round(clock.monotonic() - began, 1))
        return not any(left.values())

    site.plane.slow.set()
    world.backend.errors[BROKEN] = ConnectionError("the backend is away")
    site.asking.models.discard(ASKED)
    until(lambda: noted("trigger"), lambda: site.left("trigger"))
    site.control.live(CURED)
    began = clock.monotonic()
    site.plane.slow.clear()
    world.backend.errors.clear()
    world.clock.advance(timedelta(seconds=601))
    site.asking.models.add(ASKED)

    def over() -> bool:
        return noted("resolve") and not firing(site) and not any(site.open().values())

    until(over, lambda: (firing(site), site.left("resolve"), site.open()))
    sys.stdout.write(f"seconds: {json.dumps(seen)}\n")
    for name, told in site.told().items():
        assert all(got.status < 300 for got in site.receivers[name].got)
        begun = sorted(told_of for *told_of, action in told if action == "trigger")
        ended = sorted(told_of for *told_of, action in told if action == "resolve")
        assert begun == ended, f"{name} was told twice of one, or not of its end"
        assert len(begun) == len({tuple(each) for each in begun})
    assert set(site.asking.answers) == {200}
