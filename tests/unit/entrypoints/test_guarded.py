"""Breaker, deadline and fallback around an application's own endpoint."""

import asyncio
import contextlib

import httpx
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.types import Send

import homeostat as hs
from homeostat.entrypoints import guarded
from homeostat.serving import BreakerConfig, Mode, Outcome


class Endpoint:
    """An endpoint in any mood, and how often it was asked."""

    def __init__(self) -> None:
        self.mood, self.asked, self.audits = "well", 0, 0

    async def answer(self, request: Request) -> Response:
        self.asked += 1
        body = await request.json()
        if self.mood == "hangs":
            await asyncio.sleep(60)
        if self.mood == "raises":
            raise RuntimeError("boom")
        if self.mood == "refuses":
            raise KeyError(body["customer"])
        if self.mood == "streams":
            return StreamingResponse(iter([b'{"sco', b're": 0.5}']))
        codes = {"fails": 500, "audited_fails": 500, "client": 422}
        task = BackgroundTask(self.audit) if self.mood.startswith("audited") else None
        status = codes.get(self.mood, 200)
        return JSONResponse({"score": body["amount"] / 10}, status, background=task)

    async def audit(self) -> None:
        await asyncio.sleep(0.1)
        self.audits += 1
        if self.mood == "audited_badly":
            raise RuntimeError("boom")


def default(asked: object) -> object:
    amount = asked.get("amount", 0) if isinstance(asked, dict) else 0
    return {"score": 0.9 if amount > 5 else 0.1, "tier": "rules", "reason": "error"}


class Site:
    """The application behind its guard."""

    def __init__(self, deadline: float = 30.0, fallback: bool = True) -> None:
        self.endpoint = Endpoint()
        config = BreakerConfig(faults=2, share=0.0, cooldown=60.0)
        self.breaker = hs.Breaker(config, exclude=KeyError)
        self.app = Starlette(
            routes=[Route("/{any}", self.endpoint.answer, methods=["POST", "PUT"])]
        )
        self.app.add_middleware(
            hs.BreakerMiddleware,
            breaker=self.breaker,
            fallback=default if fallback else None,
            deadline=deadline,
        )

    def ask(
        self,
        mood: str,
        content: bytes = b'{"amount": 7, "customer": "anna"}',
        path: str = "predict",
    ) -> httpx.Response:
        self.endpoint.mood = mood

        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
                return await client.post(f"/{path}", content=content)

        return asyncio.run(run())


@pytest.mark.parametrize("mood", ["fails", "raises"])
def test_failures_are_answered_by_the_fallback_and_open_the_breaker(mood: str) -> None:
    site = Site()
    for _ in range(4):
        answer = site.ask(mood)
        assert (answer.status_code, answer.json()["score"]) == (200, 0.9)
        assert answer.headers["x-homeostat-tier"] == "fallback"
    assert (site.endpoint.asked, site.breaker.mode) == (2, Mode.OPEN)
    assert site.ask("well").json()["tier"] == "rules"
    site.breaker.reset()
    answer = site.ask("well")
    assert answer.json() == {"score": 0.7}
    assert "x-homeostat-tier" not in answer.headers


def test_what_hangs_is_answered_at_the_deadline() -> None:
    site = Site(deadline=0.02)
    for _ in range(3):
        assert site.ask("hangs").json()["tier"] == "rules"
    assert (site.endpoint.asked, site.breaker.mode) == (2, Mode.OPEN)


@pytest.mark.parametrize("mood", ["audited", "audited_badly", "audited_fails"])
def test_what_is_done_after_the_answer_is_neither_timed_nor_judged(mood: str) -> None:
    site = Site(deadline=0.05)
    answer = site.ask(mood)
    fails = mood == "audited_fails"
    assert answer.status_code == 200
    assert ("x-homeostat-tier" in answer.headers) == fails
    assert site.endpoint.audits == 1
    assert site.breaker.circuit.counts[Outcome.SUCCESS] == (not fails)
    assert site.breaker.circuit.counts[Outcome.FAULT] == fails


def test_what_goes_wrong_after_the_answer_is_raised_on() -> None:
    site = Site()
    site.endpoint.mood = "audited_badly"

    async def run() -> None:
        transport = httpx.ASGITransport(site.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            await client.post("/predict", content=b'{"amount": 7}')

    with pytest.raises(RuntimeError, match="boom"):
        asyncio.run(run())


def test_a_fallback_that_fails_is_told() -> None:
    app, breaker = Site().endpoint, hs.Breaker()

    def bad(_: object) -> object:
        raise ValueError("no fallback")

    async def run() -> None:
        app.mood = "fails"
        routes = Starlette(routes=[Route("/predict", app.answer, methods=["POST"])])
        transport = httpx.ASGITransport(hs.BreakerMiddleware(routes, breaker, bad))
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            await client.post("/predict", content=b'{"amount": 7}')

    with pytest.raises(ValueError, match="no fallback"):
        asyncio.run(run())
    assert breaker.circuit.counts[Outcome.FAULT] == 1


def test_an_answer_that_comes_in_spite_of_the_deadline_is_too_late() -> None:
    async def stubborn(_scope: object, _receive: object, send: Send) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    async def run() -> httpx.Response:
        app = hs.BreakerMiddleware(stubborn, hs.Breaker(), default, deadline=0.02)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            return await client.post("/predict", content=b'{"amount": 7}')

    assert asyncio.run(run()).json()["tier"] == "rules"


def test_a_clients_mistakes_are_passed_on_and_open_nothing() -> None:
    site = Site()
    for _ in range(5):
        assert site.ask("client").status_code == 422
        assert site.ask("refuses").status_code == 500, "what the breaker excludes is raised on"
    assert site.breaker.mode is Mode.CLOSED
    assert site.breaker.circuit.counts[Outcome.CLIENT_ERROR] == 10


def test_bodies_that_are_no_json_reach_the_fallback_as_none() -> None:
    site = Site()
    site.breaker.force_open()
    assert site.ask("well", b"{").json()["score"] == 0.1


def test_without_a_fallback_the_answer_is_503() -> None:
    site = Site(fallback=False)
    answer = site.ask("fails")
    assert (answer.status_code, "try again later" in answer.text) == (503, True)


def test_streams_come_whole() -> None:
    assert Site().ask("streams").json() == {"score": 0.5}


def test_other_paths_are_left_alone() -> None:
    site = Site()
    site.breaker.force_open()
    assert site.ask("well", path="other").json() == {"score": 0.7}


def test_large_bodies_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded, "LARGEST_BODY", 10)
    site = Site()
    assert site.ask("well").status_code == 413
    assert site.endpoint.asked == 0


@pytest.mark.parametrize("how", ["mount", "root_path"])
def test_paths_are_those_below_a_prefix(how: str) -> None:
    async def fails(request: Request) -> Response:
        return Response(status_code=500)

    inner = Starlette(routes=[Route("/predict", fails, methods=["POST"])])
    guard = hs.BreakerMiddleware(inner, hs.Breaker(), default)
    outer = Starlette(routes=[Mount("/svc", guard)]) if how == "mount" else guard
    root = "" if how == "mount" else "/svc"

    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(outer, root_path=root)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            return await client.post("/svc/predict", content=b"{}")

    assert asyncio.run(run()).json()["tier"] == "rules"


def test_an_application_that_says_nothing_has_failed() -> None:
    async def silent(*_: object) -> None:
        return

    async def run() -> httpx.Response:
        app = hs.BreakerMiddleware(silent, hs.Breaker(), default)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            return await client.post("/predict", content=b"{}")

    assert asyncio.run(run()).json()["tier"] == "rules"
