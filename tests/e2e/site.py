"""The pages over fakes, with a browser that runs no script."""

import asyncio
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from starlette.applications import Starlette
from starlette.types import ASGIApp

from e2e import history
from e2e.history import HOSTILE, NOW
from homeostat.engine.commands import Inbox, inbox_key
from homeostat.engine.plan import ModelPlan
from homeostat.entrypoints.http.ui import ui
from homeostat.rollout.experiment.plan import ExperimentPlan
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes.log import MemoryLog
from homeostat.simulation.fakes.models import MemoryRegistry
from homeostat.simulation.fakes.records import MemoryRecords

FRAUD = "/models/fraud"
INCIDENT = "fraud:model_down:1"
PAGES = (
    "/",
    FRAUD,
    "/models/demand",
    "/models/fresh",
    f"/models/{quote(HOSTILE)}",
    f"/incidents/{INCIDENT}",
    f"/incidents/{quote(HOSTILE)}:data_drift:2",
    "/silences",
    "/decisions",
    f"/decisions?model={quote(HOSTILE)}",
    f"/drift/{quote(HOSTILE)}",
    "/features/fraud?column=hour",
    f"/rollouts/{quote(HOSTILE)}",
    "/rollouts/fraud",
    f"/retraining/{quote(HOSTILE)}",
    "/retraining/fraud",
    f"/experiments/{quote(HOSTILE)}",
    "/confirm?request=abort&model=fraud&subject=v3",
)
RUNBOOK = "# Model down\n\nRestart the **backend**. <script>alert(1)</script>\n"


class Reader(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


class Browser:
    """Talks to the app directly, keeps cookies, runs no script, follows no redirect."""

    def __init__(
        self, app: ASGIApp, address: str = "127.0.0.1", base: str = "http://localhost"
    ) -> None:
        self.app, self.address, self.base = app, address, base
        self.cookies, self.secret = httpx.Cookies(), ""

    def send(self, method: str, path: str, **content: Any) -> httpx.Response:
        async def answer() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, client=(self.address, 5000))
            async with httpx.AsyncClient(
                transport=transport,
                base_url=self.base,
                cookies=self.cookies,
                auth=("anybody", self.secret) if self.secret else None,
            ) as client:
                got = await client.request(method, path, **content)
                self.cookies.update(client.cookies)
                return got

        return asyncio.run(answer())

    def get(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        return self.send("GET", path, headers=headers)

    def post(self, path: str, **content: Any) -> httpx.Response:
        return self.send("POST", path, **content)


class Site:
    """The pages over fakes, and a browser without script on the same machine."""

    def __init__(self, folder: Path, *, filled: bool = True) -> None:
        (folder / "model_down.md").write_text(RUNBOOK)
        self.clock = SimulatedClock(NOW)
        self.records = MemoryRecords(self.clock)
        self.registry, self.log = MemoryRegistry(), MemoryLog(self.clock)
        self.specs = dict(history.SPECS)
        if filled:
            history.populate(self.records)
        self.plans: dict[str, ModelPlan] = {}
        self.trials: dict[str, ExperimentPlan] = {}
        routes = ui(
            self.records, self.log, self.registry, self.specs, self.clock, folder, None,
            self.plans, folder / "runs", self.trials,
        )  # fmt: skip
        self.app = Starlette(routes=routes)
        self.browser = Browser(self.app)

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.browser.get(path, headers=headers)

    def post(self, path: str = "/actions", **fields: str) -> httpx.Response:
        token = self.browser.cookies.get("homeostat_form", "")
        return self.browser.post(path, data={"form_token": token} | fields)

    def asked(self, model: str = "fraud") -> list[tuple[str, ...]]:
        inbox = self.records.read(inbox_key(model), Inbox) or Inbox()
        return [(c.request.value, c.subject, c.reason, c.actor) for c in inbox.commands]
