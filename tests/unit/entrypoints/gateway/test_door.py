"""The gateway's door: tokens for other machines, health for everybody."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from asgi import Caller
from homeostat.domain.errors import StorageError
from homeostat.entrypoints.gateway import door as door_module
from homeostat.entrypoints.gateway.door import Door
from homeostat.entrypoints.http.auth import Scope as TokenScope
from homeostat.entrypoints.http.auth import Token, Tokens
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryRecords

NOW = datetime(2024, 1, 1, tzinfo=UTC)
PREDICT = "/v1/models/m/predict"


async def inside(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("inside")(scope, receive, send)


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(NOW)


@pytest.fixture
def tokens(clock: SimulatedClock) -> Tokens:
    return Tokens(MemoryRecords(clock))


@pytest.fixture
def caller(tokens: Tokens, clock: SimulatedClock) -> Caller:
    return Caller(Door(inside, tokens, clock), "http://gateway.lan", peer="192.0.2.7")


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def test_health_needs_no_token(caller: Caller) -> None:
    assert caller.get("/health/live").status_code == 200


@pytest.mark.parametrize("header", [{}, bearer("wrong"), {"Authorization": "Basic abc"}])
def test_nobody_asks_without_a_valid_token(
    caller: Caller, tokens: Tokens, header: dict[str, str]
) -> None:
    tokens.create("app", [TokenScope.INGEST], NOW)
    answer = caller.post(PREDICT, headers=header)
    assert answer.status_code == 401
    assert "Bearer TOKEN" in answer.json()["error"]["message"]


def test_each_path_asks_for_its_scope(caller: Caller, tokens: Tokens) -> None:
    secret = tokens.create("app", [TokenScope.INGEST], NOW)
    assert caller.post(PREDICT, headers=bearer(secret)).text == "inside"
    refused = caller.get("/metrics", headers=bearer(secret))
    assert (refused.status_code, "scope read" in refused.text) == (403, True)


def test_a_revoked_token_is_good_for_a_few_seconds_at_most(
    caller: Caller, tokens: Tokens, clock: SimulatedClock
) -> None:
    secret = tokens.create("app", [TokenScope.INGEST], NOW)
    assert caller.post(PREDICT, headers=bearer(secret)).status_code == 200
    tokens.revoke("app")
    clock.advance(timedelta(seconds=6))
    assert caller.post(PREDICT, headers=bearer(secret)).status_code == 401


def test_known_tokens_stay_good_while_the_records_are_away(
    tokens: Tokens, clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = Caller(Door(inside, tokens, clock), "http://gateway.lan", peer="192.0.2.7")
    secret = tokens.create("app", [TokenScope.INGEST], NOW)
    assert caller.post(PREDICT, headers=bearer(secret)).status_code == 200

    def away() -> None:
        raise StorageError("the disk is gone")

    monkeypatch.setattr(tokens, "all", away)
    clock.advance(timedelta(minutes=5))
    assert caller.post(PREDICT, headers=bearer(secret)).status_code == 200


def together(door: Door, secret: str, count: int) -> list[int]:
    """Statuses of as many requests at the same time."""

    async def ask() -> list[int]:
        transport = httpx.ASGITransport(door)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway.lan") as http:
            asked = [http.post(PREDICT, headers=bearer(secret)) for _ in range(count)]
            return [answer.status_code for answer in await asyncio.gather(*asked)]

    return asyncio.run(ask())


def test_the_first_requests_wait_for_one_look_at_the_tokens(
    tokens: Tokens, clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tokens.create("app", [TokenScope.INGEST], NOW)
    looks, read = list[None](), tokens.all

    def slowly() -> tuple[Token, ...]:
        looks.append(None)
        threading.Event().wait(0.05)
        return read()

    monkeypatch.setattr(tokens, "all", slowly)
    assert together(Door(inside, tokens, clock), secret, 10) == [200] * 10
    assert len(looks) == 1


def test_no_request_waits_for_records_that_hang(
    tokens: Tokens, clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tokens.create("app", [TokenScope.INGEST], NOW)
    door, read, looks = Door(inside, tokens, clock), tokens.all, list[None]()
    freed, begun = threading.Event(), threading.Event()

    def hang() -> tuple[Token, ...]:
        looks.append(None)
        begun.set()
        freed.wait(20)
        return read()

    async def ask() -> None:
        transport = httpx.ASGITransport(door)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway.lan") as http:

            async def post() -> int:
                return (await http.post(PREDICT, headers=bearer(secret))).status_code

            assert await post() == 200
            tokens.revoke("app")
            monkeypatch.setattr(tokens, "all", hang)
            for seconds in (4, 60, 60):
                clock.advance(timedelta(seconds=seconds))
                assert await asyncio.wait_for(post(), 0.5) == 200, "nor does any wait a second time"
                assert await asyncio.to_thread(begun.wait, 5)
            assert len(looks) == 1
            freed.set()
            for _ in range(1000):
                if await post() == 401:
                    return
                await asyncio.sleep(0.005)
            raise AssertionError

    asyncio.run(ask())


def test_while_no_token_could_be_read_yet_none_is_said_to_be_wrong(
    tokens: Tokens, clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, freed = tokens.create("app", [TokenScope.INGEST], NOW), threading.Event()
    monkeypatch.setattr(door_module, "PATIENCE", 0.05)
    monkeypatch.setattr(tokens, "all", lambda: freed.wait(0.2) and ())
    caller = Caller(Door(inside, tokens, clock), "http://gateway.lan", peer="192.0.2.7")
    refused = caller.post(PREDICT, headers=bearer(secret))
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    monkeypatch.undo()
    clock.advance(timedelta(seconds=4))
    assert caller.post(PREDICT, headers=bearer(secret)).status_code == 200


@pytest.mark.parametrize("path", ["/v2/health/ready", "/v2/health/live", "/health", "/ping"])
def test_health_of_other_protocols_needs_no_token_either(caller: Caller, path: str) -> None:
    assert caller.get(path).text == "inside"


def test_models_are_loaded_by_operators_only(caller: Caller, tokens: Tokens) -> None:
    app = bearer(tokens.create("app", [TokenScope.INGEST, TokenScope.READ], NOW))
    operator = bearer(tokens.create("me", [TokenScope.OPERATE], NOW))
    load = "/v2/repository/models/m/load"
    refused = caller.post(load, headers=app)
    assert (refused.status_code, refused.json()) == (
        403,
        {"error": "the token lacks the scope operate"},
    )
    assert caller.post(load, headers=operator).text == "inside"
    assert caller.post("/v2/repository/index", headers=app).text == "inside"
    assert caller.post("/invocations", headers=operator).json()["error_code"] == "PERMISSION_DENIED"
