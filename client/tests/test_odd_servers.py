"""Servers that refuse, hang and talk nonsense: the caller notices nothing, nothing is lost."""

from __future__ import annotations

import json
import random
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from homeostat_client import Client
from homeostat_client.batch import Batch
from homeostat_client.spill import Kept, Spill
from homeostat_client.wire import Answer, Wire, WireError
from odd_peers import Peer, answer, receipt
from real_server import Make, free_port, until

ROW = {"amount": 1.0}


def taken(peer: Peer) -> list[str]:
    return sorted(str(row["prediction_id"]) for row in peer.rows())


NONSENSE = {
    "html": answer(200, "<html>Welcome to the hotel's network</html>"),
    "other receipt": answer(200, {"accepted": 7, "duplicates": 0, "rejected": []}),
    "negative": answer(200, {"accepted": -1, "duplicates": 1, "rejected": [1]}),
    "true": answer(200, {"accepted": True, "rejected": []}),
    "list": answer(200, "[1, 2]"),
    "no http": b"SSH-2.0-OpenSSH_9.6\r\n",
    "binary": bytes(range(256)) * 4,
    "cut": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
    "long line": b"HTTP/1.1 200 " + b"x" * 100_000,
    "endless headers": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000,
    "deep": answer(200, "[" * 100_000),
    "continue": b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + b"HTTP/1.1 204 None\r\n\r\n",
    "redirect": answer(307, Location="http://elsewhere/"),
    "teapot": answer(418, "I'm a teapot\x1b[2J"),
    "unauthorized": answer(401, {"error": "no"}),
    "unavailable": answer(503, "", Retry_After="soon"),
    "error": answer(500),
    "bad request of a proxy": answer(400, "<html>plain HTTP sent to HTTPS</html>"),
}


@pytest.mark.parametrize("nonsense", NONSENSE.values(), ids=NONSENSE)
def test_an_answer_that_is_no_receipt_acknowledges_nothing(make: Make, nonsense: bytes) -> None:
    seen: list[bytes] = []

    def reply(_: dict[str, str], body: bytes) -> bytes:
        seen.append(body)
        return nonsense if len(seen) == 1 else receipt(body)

    with Peer(reply) as peer:
        client = make(peer.url, timeout=0.5)
        key = client.log_prediction(ROW, 0.5)
        until(lambda: seen, "a first try")
        assert client.flush(60)
        assert {row["prediction_id"] for row in peer.rows()} == {key}
        assert len(seen) >= 2
        found = client.counters
        assert (found.sent, found.refused, found.dropped) == (1, 0, {})


def test_a_server_that_asks_to_wait_is_not_asked_before(make: Make) -> None:
    with Peer(lambda *_: answer(429, {"error": "slow down"}, Retry_After="3600")) as peer:
        client = make(peer.url)
        for _ in range(5):
            client.log_prediction(ROW, 0.5)
            until(lambda: client.counters.pending == 0 and len(peer.requests) == 1, "kept")
        assert client.counters.waiting == 5
        assert not client.close()
        assert len(peer.requests) == 1


def test_each_batch_has_its_key_also_when_it_is_sent_again(make: Make) -> None:
    def reply(_: dict[str, str], body: bytes) -> bytes:
        return answer(503) if len(peer.requests) < 3 else receipt(body)

    with Peer(reply) as peer:
        client = make(peer.url, token="hs_secret", spill="")
        client.log_prediction(ROW, 0.5)
        assert client.flush(60)
        client.log_label("x", 1)
        assert client.flush(60)
        keys = [headers["idempotency-key"] for headers, _ in peer.requests]
        assert keys[0] == keys[1] == keys[2] != keys[3]
        assert {headers["authorization"] for headers, _ in peer.requests} == {"Bearer hs_secret"}
        assert peer.connections == 1, "one connection for all"


def test_one_batch_that_the_server_stumbles_over_stops_no_other(make: Make) -> None:
    def reply(_: dict[str, str], body: bytes) -> bytes:
        return answer(500) if b"poison" in body else receipt(body)

    with Peer(reply) as peer:
        client = make(peer.url)
        client.log_prediction(ROW, 0.5, "poison")
        until(lambda: client.counters.waiting, "kept aside")
        good = [client.log_prediction(ROW, 0.5) for _ in range(3000)]
        until(lambda: client.counters.sent == 3000, "the others")
        assert set(good) < {row["prediction_id"] for row in peer.rows()}
        assert client.counters.waiting == 1


def test_one_row_that_spoils_a_batch_is_found_and_refused(make: Make) -> None:
    def reply(_: dict[str, str], body: bytes) -> bytes:
        return answer(400, {"error": "the body is not JSON"}) if b"bad" in body else receipt(body)

    with Peer(reply) as peer:
        client = make(peer.url, flush_interval=30.0)
        for place in range(100):
            client.log_prediction(ROW, 0.5, "bad" if place == 37 else None)
        assert client.flush(60)
        assert (client.counters.sent, client.counters.refused) == (99, 1)


@pytest.mark.parametrize("drip", [b"", b"H"], ids=["never answers", "drips"])
def test_a_server_that_hangs_costs_neither_records_nor_the_end(
    tmp_path: Path, make: Make, drip: bytes
) -> None:
    """What is logged meanwhile goes to disk; closing takes no longer than it is given."""
    release = threading.Event()

    def hang(_: dict[str, str], __: bytes) -> bytes:
        release.wait(60)
        return drip

    with Peer(hang) as peer:
        client = make(peer.url, timeout=30.0, max_bytes=100_000, batch_rows=100)
        ids = [log_when_there_is_room(client) for _ in range(3000)]
        until(lambda: client.counters.spilled > 1000, "memory is full, the rest goes to disk")
        assert not client.close(0.3)
        kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*.spill"))
        assert all(key.encode() in kept for key in ids)
        release.set()


def log_when_there_is_room(client: Client) -> str:
    """Log, and again if the queue was full: a busy machine may not empty it as fast as we fill it.

    Returns
    -------
    str
        The id under which the row was taken.
    """
    while True:
        before = client.counters.dropped
        key = client.log_prediction(ROW, 0.5)
        if client.counters.dropped == before:
            return key
        time.sleep(0.01)


def test_a_slow_answer_byte_by_byte_is_given_up(make: Make) -> None:
    """Each byte comes within the time limit, the whole answer never."""
    stop = threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        connection, _ = listening.accept()
        with connection:
            while not stop.is_set():
                try:
                    connection.sendall(b"H")
                except OSError:
                    return
                stop.wait(0.02)

    thread = threading.Thread(target=drip)
    thread.start()
    client = make(f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=0.1)
    client.log_prediction(ROW, 0.5)
    until(lambda: client.counters.waiting == 1, "given up")
    assert client.counters.sent == 0
    stop.set()
    thread.join()
    listening.close()


def test_a_proxy_of_the_environment_is_used(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    with Peer(lambda _, body: receipt(body)) as proxy:
        url = proxy.url.replace("http://", "http://me:s%40cret@")
        monkeypatch.setenv("http_proxy", url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        far, near = make("http://homeostat.invalid:8420/watch"), make(proxy.url)
        for client in (far, near):
            client.log_prediction(ROW, 0.5)
            assert client.flush(60)
        (proxied, _), (direct, _) = proxy.requests
        assert proxied["host"] == "homeostat.invalid:8420"
        assert proxied["proxy-authorization"] == "Basic bWU6c0BjcmV0"
        assert "proxy-authorization" not in direct


def test_https_sends_nothing_to_whom_nobody_vouches_for(make: Make) -> None:
    authority = Path(__file__).with_name("authority.pem")
    at_server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    at_server.load_cert_chain(authority)
    trusting = ssl.create_default_context(cafile=str(authority))
    with Peer(lambda _, body: receipt(body), at_server) as peer:
        url = peer.url.replace("http:", "https:")
        client = make(url, token="hs_secret")
        key = client.log_prediction(ROW, 0.5)
        until(lambda: client.counters.waiting, "kept")
        client.close()
        assert peer.requests == []
        other = make(url, token="hs_secret", context=trusting)
        second = other.log_prediction(ROW, 0.5)
        assert other.flush(60)
        until(lambda: other.counters.replayed, "what was kept")
        assert taken(peer) == sorted([key, second])


def test_the_jitter_is_what_is_passed_in() -> None:
    """Two clients with one seed wait alike; the default differs from client to client."""
    from homeostat_client.backoff import Backoff

    def waits(seed: int) -> list[float]:
        rng = random.Random(seed)
        return [Backoff(1.0, 60.0).delay(failures, rng) for failures in range(1, 20)]

    assert waits(1) == waits(1) != waits(2)
    assert all(0.5 * min(60, 2**n) <= wait <= min(60, 2**n) for n, wait in enumerate(waits(3)))


def test_nothing_that_a_caller_passes_raises(make: Make) -> None:
    class Hostile:
        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError(name)

    client = make(f"http://127.0.0.1:{free_port()}")
    hostile: Any = Hostile()
    cycle: dict[str, Any] = {}
    cycle["self"] = cycle
    odd: list[Any] = [hostile, None, 7, "text", [1, 2], cycle, {"a": hostile}, {("t",): 1, None: 2}]
    for features in odd:
        client.log_prediction(features, 0.5)
        client.log_prediction({"a": 1}, features)
        client.log_label("x", features, hostile)
        client.log_batch(features)
        client.log_batch([features])
        client.log_prediction({"a": 1}, 0.5, timestamp=features, probabilities=features)
    until(lambda: client.counters.pending == 0, "looked at")
    assert isinstance(client, Client)
    found = client.counters
    assert found.queued == found.waiting + found.dropped["unserialisable"]
    assert json.dumps(dict(found.dropped))


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_what_nobody_thought_of_loses_no_batch(
    make: Make, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    real = Wire.post
    faults: list[Exception] = [WireError("away")] if where == "disk" else []
    faults += [RuntimeError("odd"), MemoryError()]

    def post(wire: Wire, kind: str, body: bytes, key: str, encoding: str = "") -> Answer:
        if faults:
            raise faults.pop(0)
        return real(wire, kind, body, key, encoding)

    monkeypatch.setattr(Wire, "post", post)
    with Peer(lambda _headers, body: receipt(body)) as peer:
        client = make(peer.url)
        client.log_prediction({"a": 1}, 0.5, "a")
        assert client.flush(30)
        assert taken(peer) == ["a"]
        found = client.counters
        assert (found.queued, found.sent, found.waiting, dict(found.dropped)) == (1, 1, 0, {})


def test_a_disk_that_fails_oddly_loses_no_batch(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = [RuntimeError("odd")] * 3
    real = Spill.write

    def write(spill: Spill, batch: Batch, *, alone: bool = False) -> Kept:
        if faults:
            raise faults.pop()
        return real(spill, batch, alone=alone)

    monkeypatch.setattr(Spill, "write", write)
    with Peer(lambda _headers, body: receipt(body) if not faults else answer(503)) as peer:
        client = make(peer.url)
        for name in "abc":
            client.log_prediction({"a": 1}, 0.5, name)
            time.sleep(0.1)
        assert client.flush(30)
        assert set(taken(peer)) == {"a", "b", "c"}
        assert (client.counters.sent, dict(client.counters.dropped)) == (3, {})
