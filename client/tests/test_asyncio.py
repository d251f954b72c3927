"""asyncio: waiting for delivery, decorators, and the middleware of ASGI applications."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from homeostat_client import AsyncClient, Client, HomeostatMiddleware, Row
from homeostat_client.middleware import read_json
from odd_peers import Peer, receipt
from real_server import Make, Server, until

ROW = {"amount": 1.0, "country": "NL"}


def usual(tmp_path: Path) -> dict[str, Any]:
    return {"model": "fraud", "spill": str(tmp_path / "spill"), "flush_interval": 0.05}


def test_an_async_client_delivers_and_survives_cancellation(server: Server, tmp_path: Path) -> None:
    async def main() -> tuple[str, bool]:
        async with AsyncClient(server.url, **usual(tmp_path)) as client:
            key = client.log_prediction(ROW, 0.5)
            waiting = asyncio.create_task(client.flush(60))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            client.log_label(key, 1)
            client.log_outcome(key, "lost", 3)
            return key, await client.flush(60)

    key, delivered = asyncio.run(main())
    assert delivered
    assert [(row["label"], row["lost"]) for row in server.rows([key])] == [(1.0, 3.0)]


def test_a_server_that_hangs_does_not_stop_the_loop(tmp_path: Path) -> None:
    release = threading.Event()

    def hang(*_: object) -> bytes:
        release.wait(60)
        return b""

    async def main(url: str) -> list[bool]:
        client = AsyncClient(url, **usual(tmp_path))
        client.log_prediction(ROW, 0.5)
        beats = 0
        flushing = asyncio.create_task(client.flush(0.5))
        while not flushing.done():
            await asyncio.sleep(0.01)
            beats += 1
        closing = asyncio.create_task(client.close(0.5))
        while not closing.done():
            await asyncio.sleep(0.01)
            beats += 1
        assert beats > 2
        return [await flushing, await closing]

    with Peer(hang) as peer:
        assert asyncio.run(main(peer.url)) == [False, False]
        release.set()


def test_a_decorated_function_answers_and_raises_as_before(server: Server, make: Make) -> None:
    client = make(server.url)

    @client.logged(version="5")
    def score(features: Mapping[str, Any]) -> float:
        """Score."""
        if features["amount"] < 0:
            raise ValueError("negative")
        return float(features["amount"]) / 10

    @client.logged(
        features=lambda _, row: row,
        score=lambda found: found["p"],
        prediction_id=lambda key, _: key,
    )
    async def later(key: str, row: dict[str, Any]) -> dict[str, float]:
        await asyncio.sleep(0.001)
        return {"p": 0.25}

    @client.logged(score=lambda found: found["nothing of the sort"])
    def unlucky(features: Mapping[str, Any]) -> dict[str, float]:
        return {}

    assert score.__doc__ == "Score."
    assert score({"amount": 5.0, "country": "decorated"}) == 0.5
    with pytest.raises(ValueError, match="negative"):
        score({"amount": -1.0})
    assert asyncio.run(later("late", ROW)) == {"p": 0.25}
    assert unlucky(ROW) == {}
    assert client.flush(60)
    rows = server.rows()
    (first,) = [row for row in rows if row["country"] == "decorated"]
    assert (first["score"], first["version"], first["latency_ms"] >= 0) == (0.5, "5", True)
    (second,) = [row for row in rows if row["prediction_id"] == "late"]
    assert second["score"] == 0.25
    assert second["latency_ms"] > 1.0
    assert (client.counters.sent, client.counters.dropped) == (2, {"bad_record": 1})


def test_a_cancelled_prediction_is_not_logged(make: Make) -> None:
    with Peer(lambda _, body: receipt(body)) as peer:
        client = make(peer.url)

        @client.logged
        async def never(features: dict[str, Any]) -> float:
            await asyncio.sleep(3600)
            return 0.5

        async def main() -> None:
            await asyncio.wait_for(never(ROW), 0.01)

        with pytest.raises(asyncio.TimeoutError):
            asyncio.run(main())
        assert client.flush(60)
        assert client.counters.queued == 0


def test_a_block_logs_what_was_set_in_it(server: Server, make: Make) -> None:
    client = make(server.url, version="1")
    with client.predict_logged(ROW) as call:
        call.score, call.entity = 0.75, "c9"
    failed = client.predict_logged(ROW)
    failed.score = 0.5
    with pytest.raises(KeyError), failed:
        raise KeyError
    with client.predict_logged(ROW):
        pass
    assert client.flush(60)
    (row,) = server.rows([call.prediction_id, failed.prediction_id])
    assert (row["score"], row["entity"], row["version"]) == (0.75, "c9", "1")
    assert client.counters.queued == 1


class Asgi:
    """An application that answers what it is told, in parts."""

    def __init__(self, *parts: bytes, status: int = 200) -> None:
        self._parts, self._status = parts, status

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": self._status, "headers": []})
        for part in self._parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def call(
    app: Any, body: object, path: str = "/predict", **more: object
) -> tuple[dict[bytes, bytes], bytes]:
    """Call an application with a body in two parts; return the answer's headers and body."""
    text = json.dumps(body).encode()
    parts = [
        {"type": "http.request", "body": text[:3], "more_body": True},
        {"type": "http.request", "body": text[3:], "more_body": False},
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        return parts.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "headers": [], **more}
    asyncio.run(app(scope, receive, send))
    content = b"".join(message.get("body", b"") for message in sent[1:])
    return dict(sent[0]["headers"]), content


def test_the_middleware_logs_and_changes_no_answer(server: Server, make: Make) -> None:
    client = make(server.url)
    app = HomeostatMiddleware(Asgi(b'{"sco', b're": 0.5}'), client, version="7")
    headers, content = call(app, {"features": ROW})
    assert content == b'{"score": 0.5}'
    key = headers[b"x-prediction-id"].decode()
    many = HomeostatMiddleware(Asgi(b'{"predictions": [0.1, {"probability": 0.2}]}'), client)
    base = call(many, {"rows": [ROW, ROW]})[0][b"x-prediction-id"].decode()
    assert client.flush(60)
    rows = {row["prediction_id"]: row for row in server.rows([key, f"{base}-0", f"{base}-1"])}
    assert {name: row["score"] for name, row in rows.items()} == {
        key: 0.5,
        f"{base}-0": 0.1,
        f"{base}-1": 0.2,
    }
    assert rows[key]["version"] == "7"
    assert rows[key]["latency_ms"] > 0


def test_the_middleware_finds_its_paths_below_a_prefix(make: Make) -> None:
    with Peer(lambda _, body: receipt(body)) as peer:
        client = make(peer.url)
        app = HomeostatMiddleware(Asgi(b'{"score": 0.5}'), client)
        headers = call(app, {"features": ROW}, "/svc/predict", root_path="/svc")[0]
        assert b"x-prediction-id" in headers
        assert b"x-prediction-id" not in call(app, {"features": ROW}, "/svc/predict")[0]


def test_an_answer_of_a_fallback_tier_is_logged_as_such() -> None:
    said = {"score": 1, "tier": "rules", "reason": "timeout"}
    (row,) = read_json(ROW, said)
    assert row.fields == {"tier": "rules", "reason": "timeout"}
    for own in ("gold", 3, None):  # the application means something else by it
        (row,) = read_json(ROW, {**said, "tier": own})
        assert row.fields == {}


def test_what_the_middleware_leaves_alone(make: Make) -> None:
    with Peer(lambda _, body: receipt(body)) as peer:
        client = make(peer.url)
        answers = {
            "elsewhere": (Asgi(b'{"score": 1}'), ROW, "/health"),
            "failed": (Asgi(b'{"score": 1}', status=500), ROW, "/predict"),
            "no json": (Asgi(b"<html>"), ROW, "/predict"),
            "no score": (Asgi(b'{"answer": 42}'), ROW, "/predict"),
            "other count": (Asgi(b"[1, 2]"), ROW, "/predict"),
            "no features": (Asgi(b"1"), 7, "/predict"),
            "large": (Asgi(b"1" * 5000), ROW, "/predict"),
        }
        for app, body, path in answers.values():
            bare = call(app, body, path)[1]
            assert call(HomeostatMiddleware(app, client, max_body=4096), body, path)[1] == bare
        assert client.flush(60)
        assert client.counters.queued == 0
        assert client.counters.dropped == {"callback": 5}


@pytest.mark.parametrize("end", ["complete", "failed"])
def test_the_end_of_an_application_delivers_and_the_client_goes_on(make: Make, end: str) -> None:
    async def lifespan(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": f"lifespan.shutdown.{end}"})

    async def receive() -> Any:
        return {"type": "lifespan.shutdown"}

    with Peer(lambda _, body: receipt(body)) as peer:
        client = make(peer.url, flush_interval=60.0)
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append((message["type"], len(peer.rows())))

        client.log_prediction(ROW, 0.5)
        asyncio.run(HomeostatMiddleware(lifespan, client)({"type": "lifespan"}, receive, send))
        assert sent == [(f"lifespan.shutdown.{end}", 1)]
        client.log_prediction(ROW, 0.5)
        assert client.flush(60)
        assert client.counters.sent == 2


def test_the_end_of_an_application_while_the_server_hangs(tmp_path: Path, make: Make) -> None:
    release = threading.Event()

    def hang(*_: object) -> bytes:
        release.wait(60)
        return b""

    with Peer(hang) as peer:
        client = make(peer.url, batch_rows=1, exit_timeout=0.2)
        ids = [client.log_prediction(ROW, 0.5) for _ in range(5)]
        until(lambda: peer.requests, "a request under way")
        assert not client.settle()
        kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*.spill"))
        assert all(key.encode() in kept for key in ids)
        release.set()


def test_the_end_of_an_application_while_the_server_is_away(tmp_path: Path, make: Make) -> None:
    client = make("http://127.0.0.1:9", flush_interval=60.0)
    client.log_prediction(ROW, 0.5)
    assert not client.settle()
    ids = [client.log_prediction(ROW, 0.5) for _ in range(5)]
    assert not client.settle()
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*.spill"))
    assert all(key.encode() in kept for key in ids)


def test_bodies_that_wait_are_bounded(make: Make) -> None:
    client = make("http://127.0.0.1:9", max_bytes=4000, flush_interval=30.0)
    app = HomeostatMiddleware(Asgi(b'{"score": 0.5}'), client)
    call(app, ROW)
    client.flush(0.0)  # the collector looks now, and not again for an interval
    until(lambda: client.counters.queued == 1, "threads are up")
    for _ in range(3):
        call(app, {"amount": 1.0, "country": "x" * 1500})
    assert client.counters.dropped == {"queue_full": 1}


def test_a_reader_of_ones_own(make: Make) -> None:
    def read(asked: Any, answer: Any) -> list[Row]:
        return [Row({"length": len(asked["text"])}, answer["p"][0], {"version": "x"})]

    with Peer(lambda _, body: receipt(body)) as peer:
        client = make(peer.url)
        app = HomeostatMiddleware(Asgi(b'{"p": [0.75]}'), client, ["/score"], read)
        call(app, {"text": "hello"}, "/score")
        asyncio.run(app({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
        assert client.flush(60)
        (row,) = peer.rows()
    assert (row["length"], row["score"], row["version"]) == (5, 0.75, "x")
    assert isinstance(client, Client)
