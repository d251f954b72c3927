"""Signed webhooks, against a real server on the loopback address."""

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from homeostat.adapters.notifiers.webhook import WebhookNotifier, payload, signature
from homeostat.domain.decision import Severity
from homeostat.domain.effect import Notify, NotifyAction
from homeostat.domain.errors import ConfigError, DeliveryError

NOW = datetime(2024, 1, 1, 12, tzinfo=UTC)
NOTICE = Notify(
    "fraud:data_fault:1", NotifyAction.TRIGGER, "hook", Severity.CRITICAL, "fraud",
    "fraud: data fault (amount)", "amount is 100 times too big", "runbooks/data-fault.md", NOW,
)  # fmt: skip


class Noon:
    """A clock that stands still."""

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


@dataclass
class Receiver:
    """What the server answers, and what it got."""

    port: int = 0
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: threading.Event | None = None
    got: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    state = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.got.append((self.path, dict(self.headers), body))
            if state.delay is not None:
                state.delay.wait(10)
            self.send_response(state.status)
            for name, value in state.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


def test_everything_arrives_signed(receiver: Receiver) -> None:
    WebhookNotifier(receiver.url, Noon(), "secret").send(NOTICE)
    ((path, headers, body),) = receiver.got
    assert path == "/hook"
    assert json.loads(body) == {
        "key": "notify:hook:fraud:data_fault:1:trigger",
        "incident": "fraud:data_fault:1",
        "action": "trigger",
        "receiver": "hook",
        "severity": "critical",
        "model": "fraud",
        "title": "fraud: data fault (amount)",
        "body": "amount is 100 times too big",
        "runbook": "runbooks/data-fault.md",
        "at": "2024-01-01T12:00:00+00:00",
    }
    assert headers["Content-Type"] == "application/json"
    assert headers["Idempotency-Key"] == NOTICE.key
    assert headers["X-Homeostat-Timestamp"] == "1704110400"
    assert headers["X-Homeostat-Signature"] == signature("secret", "1704110400", body)


def test_the_signature_is_what_openssl_computes() -> None:
    # printf '1704110400.{}' | openssl dgst -sha256 -hmac secret
    expected = "f3817c196e58b728e07e8a3b5204ec984ab8d8c5baa0ad0e15947c0d29839e35"
    assert signature("secret", "1704110400", b"{}") == f"sha256={expected}"


def test_without_a_secret_nothing_is_signed(receiver: Receiver) -> None:
    WebhookNotifier(receiver.url, Noon()).send(NOTICE)
    assert "X-Homeostat-Signature" not in receiver.got[0][1]


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_success_will_do(receiver: Receiver, status: int) -> None:
    receiver.status = status
    WebhookNotifier(receiver.url, Noon()).send(NOTICE)
    assert len(receiver.got) == 1


@pytest.mark.parametrize(
    ("status", "retry"),
    [(429, True), (500, True), (503, True), (400, False), (401, False), (404, False), (410, False)],
)
def test_refusals_say_whether_trying_again_helps(
    receiver: Receiver, status: int, retry: bool
) -> None:
    receiver.status = status
    with pytest.raises(DeliveryError, match=f"127.0.0.1 answered {status}$") as caught:
        WebhookNotifier(receiver.url, Noon()).send(NOTICE)
    assert caught.value.retry is retry


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(receiver: Receiver, status: int) -> None:
    receiver.status, receiver.headers = status, {"Location": "/elsewhere"}
    with pytest.raises(DeliveryError, match="redirects are not followed") as caught:
        WebhookNotifier(receiver.url, Noon()).send(NOTICE)
    assert not caught.value.retry
    assert [path for path, _, _ in receiver.got] == ["/hook"]


def test_proxies_of_the_environment_are_not_used(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    WebhookNotifier(receiver.url, Noon()).send(NOTICE)
    assert len(receiver.got) == 1


def test_a_slow_receiver_is_given_up(receiver: Receiver) -> None:
    receiver.delay = threading.Event()
    notifier = WebhookNotifier(receiver.url, Noon(), timeout=timedelta(milliseconds=100))
    with pytest.raises(DeliveryError, match="timed out") as caught:
        notifier.send(NOTICE)
    receiver.delay.set()
    assert caught.value.retry


def test_nobody_there_may_be_tried_again() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DeliveryError, match="ConnectionRefusedError") as caught:
        WebhookNotifier(f"http://127.0.0.1:{port}", Noon()).send(NOTICE)
    assert caught.value.retry


def test_an_answer_that_is_no_http_may_be_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"what?\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(DeliveryError, match="BadStatusLine") as caught:
            WebhookNotifier(f"http://127.0.0.1:{server.getsockname()[1]}", Noon()).send(NOTICE)
        thread.join()
    assert caught.value.retry


def test_https_does_not_fall_back_to_plain(receiver: Receiver) -> None:
    notifier = WebhookNotifier(receiver.url.replace("http:", "https:"), Noon())
    with pytest.raises(DeliveryError, match="SSL"):
        notifier.send(NOTICE)
    assert receiver.got == []


def test_hostile_names_stay_in_their_header(receiver: Receiver) -> None:
    hostile = replace(NOTICE, incident="m\r\nX-Evil: 1:r\u00e9gle:1", title="\u2028\r\n")
    WebhookNotifier(receiver.url, Noon()).send(hostile)
    _, headers, body = receiver.got[0]
    assert "X-Evil" not in headers
    assert headers["Idempotency-Key"].startswith("notify:hook:m%0D%0AX-Evil")
    assert json.loads(body)["title"] == "\u2028\r\n"


def test_path_and_query_are_kept(receiver: Receiver) -> None:
    WebhookNotifier(f"{receiver.url}/a b?token=x%20y&z=1", Noon()).send(NOTICE)
    assert receiver.got[0][0] == "/hook/a%20b?token=x%20y&z=1"
    WebhookNotifier(f"http://127.0.0.1:{receiver.port}", Noon()).send(NOTICE)
    assert receiver.got[1][0] == "/"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://example.org/x",
        "file:///etc/passwd",
        "http://",
        "example.org/hook",
        "http://example.org:99999/",
        "http://example.org:0/",
        "http://user:password@example.org/",
        "http://[::1/",
        f"http://{'a' * 64}.org/",
    ],
)
def test_an_unusable_address_is_a_config_error(url: str) -> None:
    with pytest.raises(ConfigError, match="the webhook's address"):
        WebhookNotifier(url, Noon())


def test_the_path_and_the_key_stay_out_of_errors_and_reprs(receiver: Receiver) -> None:
    receiver.status = 500
    notifier = WebhookNotifier(f"{receiver.url}/T0KEN", Noon(), "secret")
    with pytest.raises(DeliveryError) as caught:
        notifier.send(NOTICE)
    shown = f"{caught.value} {notifier!r}"
    assert "T0KEN" not in shown
    assert "secret=" not in shown


def test_the_payload_is_plain_ascii() -> None:
    assert payload(replace(NOTICE, body="\u00e9")).isascii()
