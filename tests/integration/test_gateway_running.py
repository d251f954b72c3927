"""The gateway's processes: killed, stopped under load, restarted, cut off from the log."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from homeostat.adapters.clock import SystemClock
from homeostat.domain.window import Window
from homeostat.entrypoints.bootstrap import open_deployment
from homeostat.entrypoints.settings import load
from integration.live_site import CONFIG, Service, Site, adopt_in_place, until, workers

PREDICT = "/v1/models/fraud/predict"
NOTICE = "gateway: {port: 0, deadline: 5s, notice: 2s}"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    configure(site, NOTICE)
    deployment = open_deployment(load(tmp_path / "homeostat.yaml"), SystemClock())
    adopt_in_place(deployment)
    deployment.engine(deployment.ports()).tick(SystemClock().now())  # publishes the route
    deployment.close()
    yield site
    site.stop()


def configure(site: Site, gateway: str) -> None:
    text = re.sub(r"^gateway: .*$", gateway, CONFIG, flags=re.MULTILINE)
    (site.folder / "homeostat.yaml").write_text(text)


def logged(site: Site) -> list[str]:
    deployment = open_deployment(load(site.folder / "homeostat.yaml"), SystemClock())
    now = SystemClock().now()
    window = Window(now - timedelta(days=1), now + timedelta(days=1))
    rows = deployment.log.rows(deployment.settings.specs[0], window, ["prediction_id"])
    deployment.close()
    return sorted(str(name) for name in rows["prediction_id"].to_pylist())


def ready(gateway: Service, path: str = "/health/ready") -> None:
    until(lambda: gateway.http.get(path).status_code == 200, what="ready")


def total(gateway: Service, name: str) -> float:
    found = re.findall(
        rf"^{name}(?:\{{.*\}})? (\S+)$", gateway.http.get("/metrics").text, re.MULTILINE
    )
    return sum(map(float, found))


def lives(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port: int = bound.getsockname()[1]
        return port


def published(worker: int) -> float:
    """Add up what a worker and its sibling have written down of the rows that they answered."""
    arguments = Path(f"/proc/{worker}/cmdline").read_text().split("\0")
    folder = Path(arguments[arguments.index("--place") + 1].split(":", 3)[3])
    texts = [path.read_text() for path in folder.glob("figures-*") if not path.suffix]
    found = re.findall(r"^homeostat_predictions_total\{.*\} (\S+)$", "\n".join(texts), re.MULTILINE)
    return sum(map(float, found))


class Load:
    """Clients that ask until they are told to stop, some over kept connections, some over new."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.outcomes: Counter[str] = Counter()
        self.ids: list[str] = []
        self.going = True

    async def kept(self, name: str) -> None:
        async with httpx.AsyncClient(base_url=self.url, timeout=20, verify=False) as client:
            number = 0
            while self.going:
                number += 1
                await self.ask(client, f"{name}-{number}")
                await asyncio.sleep(0.005)

    async def fresh(self, name: str) -> None:
        number = 0
        while self.going:
            number += 1
            async with httpx.AsyncClient(base_url=self.url, timeout=20, verify=False) as client:
                await self.ask(client, f"{name}-{number}")
            await asyncio.sleep(0.005)

    async def ask(self, client: httpx.AsyncClient, name: str) -> None:
        row = {"amount": 100.0, "prediction_id": name}
        try:
            answer = await client.post(PREDICT, json={"rows": [row]})
        except httpx.ConnectError:
            self.outcomes["refused"] += 1  # nothing was sent: the caller goes elsewhere
            await asyncio.sleep(0.1)
        except httpx.TransportError as error:
            self.outcomes[repr(error)] += 1
        else:
            self.outcomes[str(answer.status_code)] += 1
            self.ids += [row["prediction_id"] for row in answer.json()["predictions"]]

    async def run(self, seconds: float) -> None:
        tasks = [self.kept(f"kept{n}") for n in range(3)] + [
            self.fresh(f"new{n}") for n in range(2)
        ]
        running = [asyncio.create_task(task) for task in tasks]
        await asyncio.sleep(seconds)
        self.going = False
        await asyncio.gather(*running)


def test_sigterm_under_load_loses_no_answer(site: Site) -> None:
    gateway = site.start("gateway", "--workers", "2")
    ready(gateway)
    until(lambda: len(re.findall("process_open_fds{", gateway.http.get("/metrics").text)) == 2)
    load_ = Load(str(gateway.http.base_url))

    async def play() -> list[int]:
        loading = asyncio.create_task(load_.run(4.0))
        await asyncio.sleep(0.3)
        os.kill(gateway.process.pid, signal.SIGHUP)  # there is no certificate
        await asyncio.sleep(0.4)
        os.kill(gateway.process.pid, signal.SIGTERM)
        statuses = []
        async with httpx.AsyncClient(base_url=load_.url, timeout=20) as client:
            await asyncio.sleep(0.3)
            statuses.append((await client.get("/health/ready")).status_code)
            statuses.append((await client.get("/health/live")).status_code)
        await loading
        return statuses

    assert asyncio.run(play()) == [503, 200]
    gateway.http.close()
    assert gateway.process.wait(30) == 0, gateway.log
    assert "ended with code" not in gateway.log
    assert set(load_.outcomes) <= {"200", "refused"}, load_.outcomes
    assert load_.outcomes["200"] > 50
    assert load_.outcomes["refused"] > 0, "it took no more connections"
    assert logged(site) == sorted(load_.ids)


def test_a_killed_worker_is_replaced_and_what_it_counted_stays(site: Site) -> None:
    gateway = site.start("gateway", "--workers", "2")
    ready(gateway)
    until(lambda: len(workers(gateway)) == 2, what="both")
    url = str(gateway.http.base_url)
    for number in range(40):
        row = {"amount": 100.0, "prediction_id": f"p{number}"}
        with httpx.Client(base_url=url, timeout=20) as client:  # a new connection each
            assert client.post(PREDICT, json={"rows": [row]}).status_code == 200
    until(lambda: total(gateway, "homeostat_predictions_total") == 40, what="sum of both")
    until(lambda: len(re.findall("process_open_fds{", gateway.http.get("/metrics").text)) == 2)
    first, second = workers(gateway)
    until(lambda: published(first) == 40, what="both have written their figures down")
    gateway.http.close()
    del gateway.http  # its connection may be one of the worker that dies
    configuration = site.folder / "homeostat.yaml"
    configuration.write_text(configuration.read_text() + "garbage: [\n")
    os.kill(first, signal.SIGKILL)
    until(lambda: len(workers(gateway)) == 2 and first not in workers(gateway), what="restart")
    (new,) = set(workers(gateway)) - {second}
    os.kill(new, signal.SIGSTOP)  # a start that takes long: the other one answers all
    for _ in range(20):
        with httpx.Client(base_url=url, timeout=5) as client:
            assert client.get("/health/live").status_code == 200
    os.kill(new, signal.SIGCONT)
    assert second in workers(gateway)
    until(lambda: total(gateway, "homeostat_predictions_total") == 40, what="still counted")
    assert re.search(r"worker \d ended with code -9, next start in 0 s", gateway.log)
    pids = workers(gateway)
    assert gateway.send(signal.SIGKILL) == -signal.SIGKILL
    until(lambda: not any(map(lives, pids)), what="workers end with the one who started them")


def test_answers_survive_kill_9_while_the_log_is_away(site: Site) -> None:
    port = free_port()
    configure(site, NOTICE.replace("}", f", log: 'http://127.0.0.1:{port}'}}"))
    gateway = site.start("gateway")
    ready(gateway)
    for _ in range(5):
        site.predict(gateway)
    until(lambda: 'where="disk"} 250' in gateway.http.get("/metrics").text, what="on disk")
    assert gateway.send(signal.SIGKILL) == -signal.SIGKILL
    assert logged(site) == []
    server, again = site.start("serve", "--port", str(port)), site.start("gateway")
    ready(again)
    site.predict(again)
    until(lambda: total(again, "homeostat_log_rows_total") == 300, what="replay")
    assert again.send(signal.SIGTERM) == 0
    assert server.send(signal.SIGTERM) == 0
    assert logged(site) == sorted(site.sent)
    assert list((site.folder / "homeostat-data" / "gateway-spill").iterdir()) == []
