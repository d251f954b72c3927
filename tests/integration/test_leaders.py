"""Two control planes on one PostgreSQL: one ticks, both serve, the other takes over."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.records import DatabaseRecords
from homeostat.entrypoints.bootstrap import open_deployment
from homeostat.entrypoints.current import leader
from homeostat.entrypoints.settings import load
from integration.live_site import CONFIG, Service, Site, adopt_in_place, homeostat, until

LEASE = "server: {port: 0, tick: 1s, lease: 3s}"


@pytest.fixture
def site(tmp_path: Path, postgres_url: str) -> Iterator[Site]:
    made = Site(tmp_path)
    config = CONFIG.replace("server: {port: 0, tick: 1s}", LEASE)
    (tmp_path / "homeostat.yaml").write_text(f"{config}records: {postgres_url}\n")
    deployment = open_deployment(load(tmp_path / "homeostat.yaml"), SystemClock())
    adopt_in_place(deployment)
    deployment.close()
    yield made
    made.stop()


@pytest.fixture
def records(site: Site, postgres_url: str) -> Iterator[DatabaseRecords]:
    made = DatabaseRecords(postgres_url, SystemClock())
    yield made
    made.close()


def decided(service: Service) -> int:
    return len(service.http.get("/api/v1/models/fraud/decisions").json()["decisions"])


def test_one_leads_and_the_other_goes_on_after_a_pause_and_after_a_kill(
    site: Site, records: DatabaseRecords
) -> None:
    def leads(service: Service) -> bool:
        found = leader(records)
        return found is not None and f"-{service.process.pid}-" in found.holder

    first = Service(site.folder, "serve")
    site.running.append(first)
    until(lambda: leads(first), what="a first leader")
    folder = site.folder / "second"
    folder.mkdir()
    for name in ("homeostat.yaml", "train.py"):
        (folder / name).symlink_to(site.folder / name)
    (folder / "homeostat-data").symlink_to(site.folder / "homeostat-data")
    second = Service(folder, "serve")
    site.running.append(second)
    until(lambda: "does not lead" in second.log or second.http, what="a second one that serves")
    assert leads(first)
    page = second.http.get("/").text
    assert f"-{first.process.pid}-" in page
    before = decided(second)
    asked = {"request": "retrain", "reason": "a test"}
    assert second.http.post("/api/v1/models/fraud/commands", json=asked).status_code == 202
    until(lambda: decided(second) > before, what="the leader does what the other was asked")

    os.kill(first.process.pid, signal.SIGSTOP)
    until(lambda: leads(second), what="the other takes over from one that is paused")
    os.kill(first.process.pid, signal.SIGCONT)
    until(lambda: "does not lead" in first.log, what="the paused one finds out")
    assert leads(second)

    second.send(signal.SIGKILL)
    until(lambda: leads(first), what="the other takes over from the dead")
    assert first.http.get("/").status_code == 200
    assert first.send(signal.SIGTERM) == 0
    done = homeostat(site.folder, "status", "--json")
    assert json.loads(done.stdout)["leader"]["holder"] == ""
    assert "no control plane leads" in homeostat(site.folder, "status").stdout
