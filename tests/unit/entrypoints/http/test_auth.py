import asyncio
import base64
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from asgi import Caller
from homeostat.adapters.records.database import DatabaseRecords
from homeostat.domain.errors import ConfigError, ConflictError, NotFoundError
from homeostat.entrypoints.http.auth import (
    LATELY,
    MOST_REMEMBERED,
    PageGate,
    Scope,
    Tokens,
    check_bind,
)
from homeostat.simulation.clock import SimulatedClock

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)


class FixedClock:
    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


@pytest.fixture
def records(tmp_path: Path) -> Iterator[DatabaseRecords]:
    opened = DatabaseRecords(f"sqlite:///{tmp_path}/records.db", FixedClock())
    yield opened
    opened.close()


@pytest.fixture
def tokens(records: DatabaseRecords) -> Tokens:
    return Tokens(records)


def client(tokens: Tokens, host: str = "127.0.0.1", peer: str = "127.0.0.1") -> Caller:
    async def page(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.user.display_name)

    routes = [Route("/", page, methods=["GET", "POST"])]
    app = Starlette(routes=routes, middleware=[Middleware(PageGate, tokens=tokens)])
    return Caller(app, f"http://{host}:8420", peer)


def basic(password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"me:{password}".encode()).decode()}


def test_only_the_hash_is_kept(records: DatabaseRecords, tmp_path: Path) -> None:
    secret = Tokens(records).create("ci", [Scope.READ], NOW)
    records.close()
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("records.db*"))
    assert secret.encode() not in stored
    assert b"sha256" in stored


def test_tokens_live_until_they_are_revoked(tokens: Tokens) -> None:
    assert not tokens.any()
    secret = tokens.create("ci", [Scope.READ, Scope.INGEST, Scope.READ], NOW)
    other = tokens.create("bot", [Scope.OPERATE], NOW)
    assert [token.name for token in tokens.all()] == ["bot", "ci"]
    found = tokens.find(secret)
    assert found is not None
    assert (found.name, found.scopes, found.created) == ("ci", (Scope.INGEST, Scope.READ), NOW)
    assert tokens.find(secret + "x") is None
    tokens.revoke("ci")
    assert tokens.find(secret) is None
    assert tokens.find(other) is not None
    with pytest.raises(NotFoundError, match="no token named 'ci'"):
        tokens.revoke("ci")


def test_names_are_unique_and_come_free_again(tokens: Tokens) -> None:
    first = tokens.create("ci", [Scope.READ], NOW)
    with pytest.raises(ConflictError, match="revoke it first"):
        tokens.create("ci", [Scope.READ], NOW)
    tokens.revoke("ci")
    assert tokens.create("ci", [Scope.READ], NOW) != first


def test_listening_to_other_machines_needs_a_token(tokens: Tokens) -> None:
    check_bind("127.0.0.1", tokens)
    check_bind("localhost", tokens)
    for host in ("0.0.0.0", "::", "10.0.0.7", "box.example"):
        with pytest.raises(ConfigError, match=r"h\.yaml: server\.host: .*there is no token"):
            check_bind(host, tokens, "h.yaml")
    tokens.create("ci", [Scope.READ], NOW)
    check_bind("0.0.0.0", tokens)


def test_without_tokens_only_this_machine_gets_in(tokens: Tokens) -> None:
    assert client(tokens).get("/").text == "local"
    assert client(tokens, host="localhost").get("/").status_code == 200
    assert client(tokens, host="[::1]", peer="::1").get("/").status_code == 200
    assert client(tokens, peer="10.0.0.7").get("/").status_code == 401
    # A foreign page that aims its name at 127.0.0.1, and a proxy on this machine.
    assert client(tokens, host="evil.example").get("/").status_code == 401
    assert client(tokens).get("/", headers={"X-Forwarded-For": "1.2.3.4"}).status_code == 401
    assert client(tokens).get("/", headers={"Forwarded": "for=1.2.3.4"}).status_code == 401


def test_with_tokens_a_browser_sends_one_as_password(tokens: Tokens) -> None:
    reader = tokens.create("reader", [Scope.READ], NOW)
    operator = tokens.create("operator", [Scope.READ, Scope.OPERATE], NOW)
    browser = client(tokens, host="evil.example", peer="10.0.0.7")
    assert browser.get("/", headers=basic(reader)).text == "reader"
    assert browser.post("/", headers=basic(operator)).text == "operator"
    assert browser.post("/", headers=basic(reader)).status_code == 403
    assert browser.get("/", headers={"Authorization": f"bearer {reader}"}).text == "reader"


def test_anything_else_is_asked_for_a_password(tokens: Tokens) -> None:
    tokens.create("reader", [Scope.READ], NOW)
    for header in ("Basic", "Basic !!!", "Basic /w==", "Bearer", "Bearer x", "Digest y"):
        answer = client(tokens).get("/", headers={"Authorization": header})
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic")
    assert client(tokens).get("/").status_code == 401


def test_what_is_no_request_passes_through_the_gate(tokens: Tokens) -> None:
    seen: list[object] = []

    async def app(scope: object, _receive: object, _send: object) -> None:
        seen.append(scope)

    async def nothing(*_: object) -> Any:
        return None

    asyncio.run(PageGate(app, tokens)({"type": "lifespan"}, nothing, nothing))
    assert seen == [{"type": "lifespan"}]


def test_what_was_found_is_known_for_a_second(records: DatabaseRecords) -> None:
    clock, elsewhere = SimulatedClock(NOW), Tokens(records)
    tokens = Tokens(records, clock)
    assert not tokens.none_lately()
    assert not tokens.any()
    secret = elsewhere.create("ci", [Scope.READ], NOW)
    assert tokens.none_lately()
    assert tokens.lately(secret) is None
    clock.advance(timedelta(seconds=LATELY))
    assert not tokens.none_lately()
    assert tokens.any()
    assert not tokens.none_lately()
    assert tokens.find(secret) == tokens.lately(secret) is not None
    assert tokens.lately(secret + "x") is None
    elsewhere.revoke("ci")
    assert tokens.lately(secret) is not None
    clock.advance(timedelta(seconds=LATELY))
    assert tokens.lately(secret) is None
    assert tokens.find(secret) is None


def test_what_a_process_changes_itself_holds_at_once(records: DatabaseRecords) -> None:
    tokens = Tokens(records, SimulatedClock(NOW))
    page = client(tokens)
    assert page.get("/").status_code == page.get("/").status_code == 200
    secret = tokens.create("ci", [Scope.READ], NOW)
    assert page.get("/").status_code == 401
    for _ in range(2):
        assert page.get("/", headers=basic(secret)).text == "ci"
    tokens.revoke("ci")
    assert page.get("/", headers=basic(secret)).status_code == 401


def test_few_secrets_are_remembered_at_a_time(records: DatabaseRecords) -> None:
    tokens = Tokens(records, SimulatedClock(NOW))
    secret = tokens.create("ci", [Scope.READ], NOW)
    other = tokens.create("cd", [Scope.READ], NOW)
    tokens._lately = dict.fromkeys(map(str, range(MOST_REMEMBERED)), (0.0, None))
    assert tokens.find(secret) == tokens.lately(secret)
    assert tokens.find(other) == tokens.lately(other)
    assert len(tokens._lately) == 2
