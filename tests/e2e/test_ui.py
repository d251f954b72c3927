"""The pages in Chromium: everything drawn, nothing refused, hostile names harmless."""

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from e2e import history
from e2e.history import HOSTILE, NOW
from homeostat.entrypoints.http.ui import ui
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes.log import MemoryLog
from homeostat.simulation.fakes.models import MemoryRegistry
from homeostat.simulation.fakes.records import MemoryRecords

NAMES = ("chromium", "chromium-browser", "google-chrome")
REMEDY = "no Chromium found: apt-get install chromium"
MODELS = ("fraud", "demand", "fresh", HOSTILE)


class Visit(Protocol):
    """Loads a page and gives its final DOM and what the console said."""

    def __call__(self, path: str, *flags: str, seconds: int = 4) -> tuple[str, list[str]]: ...


class Counting:
    """Counts the requests that htmx makes by itself."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.polls: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (b"hx-request", b"true") in scope["headers"]:
            self.polls.append(scope["path"])
        await self.app(scope, receive, send)


@pytest.fixture(scope="module")
def browser() -> str:
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None and os.environ.get("CI") == "true":
        pytest.fail(REMEDY, pytrace=False)
    if path is None:
        pytest.skip(REMEDY)
    return path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Counting]]:
    clock = SimulatedClock(NOW)
    records = MemoryRecords(clock)
    history.populate(records)
    folder = tmp_path_factory.mktemp("runbooks")
    routes = ui(records, MemoryLog(clock), MemoryRegistry(), history.SPECS, clock, folder)
    app = Counting(Starlette(routes=routes))
    config = uvicorn.Config(app, port=0, log_level="error", lifespan="off", loop="asyncio")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        thread.join(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}", app
    server.should_exit = True
    thread.join()


@pytest.fixture
def visit(browser: str, site: tuple[str, Counting], tmp_path: Path) -> Visit:
    def go(path: str, *flags: str, seconds: int = 4) -> tuple[str, list[str]]:
        command = [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--virtual-time-budget={seconds * 1000}",
            "--enable-logging=stderr",
            "--dump-dom",
            *flags,
            site[0] + path,
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        return done.stdout, said

    return go


@pytest.mark.parametrize("model", MODELS)
def test_every_chart_of_a_model_is_drawn(visit: Visit, model: str) -> None:
    dom, said = visit(f"/models/{quote(model)}")
    assert said == []
    charts = re.findall(r"<div data-chart=[^>]*>", dom)
    assert len(charts) == 4
    assert all("data-drawn" in chart for chart in charts)
    assert dom.count('class="marks"') == 4


def test_curves_bands_and_cells_are_there(visit: Visit) -> None:
    dom, _ = visit("/models/fraud", "--window-size=390,800", "--force-dark-mode")
    for mark in ("mark-area", "mark-line", "mark-symbol", "mark-rule", "mark-rect", "mark-text"):
        assert re.search(rf'class="{mark}[^"]*"[^>]*>\s*<(path|line|text)', dom), mark
    assert dom.count("▲") > 5


def test_hostile_names_stay_text_in_pages_and_charts(visit: Visit) -> None:
    for path in ("/", f"/models/{quote(HOSTILE)}", f"/incidents/{quote(HOSTILE)}:data_drift:2"):
        dom, said = visit(path)
        assert said == []
        assert "<title>owned" not in dom
        assert "<script>document.title" not in dom
        assert "&lt;/script&gt;" in dom


def test_pages_stay_live_without_losing_their_charts(
    visit: Visit, site: tuple[str, Counting]
) -> None:
    dom, said = visit("/models/fraud", seconds=20)
    assert said == []
    assert "/models/fraud" in site[1].polls
    assert dom.count('id="live"') == 1
    assert dom.count("data-drawn") == 4
    assert re.search(r'id="lost"[^>]*hidden', dom)
