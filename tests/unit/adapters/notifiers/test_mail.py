"""E-mail to a server that checks, encrypted and not."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from homeostat.adapters.notifiers.mail import Drawn, Letter, MailNotifier
from homeostat.domain.decision import Severity
from homeostat.domain.effect import Notify, NotifyAction
from homeostat.domain.errors import DeliveryError
from homeostat.simulation.clock import SimulatedClock
from mails import MailServer, certificates, mail_server

NOW = datetime(2024, 1, 1, 12, tzinfo=UTC)
NOTICE = Notify(
    "fraud:data_drift:3", NotifyAction.TRIGGER, "ops", Severity.WARNING, "fraud",
    "fraud: data drift (amount)", "amount moved <b>by</b> 0.3\nnow", "runbooks/data-drift.md",
    NOW, "data_drift", NOW,
)  # fmt: skip
RESOLVED = replace(NOTICE, action=NotifyAction.RESOLVE, body="back to normal")
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def server() -> Iterator[MailServer]:
    with mail_server() as state:
        yield state


@pytest.fixture
def post(server: MailServer) -> MailServer:
    """Return the server as if nothing had been sent."""
    server.mails.clear()
    server.encrypted.clear()
    server.refusals.clear()
    return server


def plain(post: MailServer) -> MailNotifier:
    to = ("ann@example.org", "bob@example.org")
    return MailNotifier("127.0.0.1", post.port, "ml@example.org", to, "none", base="https://ml.x")


def test_a_document_is_enclosed_as_a_file_and_known_again(post: MailServer) -> None:
    html = "<p>Müller 😀</p>".encode()
    letter = Letter("report:1", "Week\n of fraud", "All\nwell", html, "week.html", NOW)
    assert plain(post).post(letter) == "250 taken for 2 addresses"
    plain(post).post(letter)
    first, again = post.mails
    assert first["Subject"] == "Week of fraud"
    assert first["Message-ID"] == again["Message-ID"]
    text, enclosed = first.iter_parts()
    assert text.get_content().splitlines() == ["All", "well"]
    assert enclosed.get_filename() == "week.html"
    assert enclosed.get_content_type() == "text/html"
    assert enclosed.get_payload(decode=True) == html
    post.refusals["RCPT"] = "550 no such user"
    with pytest.raises(DeliveryError, match="550"):
        plain(post).post(letter)


def test_text_and_html_arrive_as_one_thread(post: MailServer) -> None:
    notifier = plain(post)
    assert notifier.send(NOTICE) == "250 taken for 2 addresses"
    notifier.send(NOTICE)
    notifier.send(RESOLVED)
    first, again, last = post.mails
    assert first["Subject"] == "[warning] fraud: data drift (amount)"
    assert last["Subject"] == "[resolve] fraud: data drift (amount)"
    assert first["To"] == "ann@example.org, bob@example.org"
    assert first["Message-ID"] == again["Message-ID"] == last["In-Reply-To"]
    text, html = first.get_body(("plain",)), first.get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content().splitlines()[:2] == ["amount moved <b>by</b> 0.3", "now"]
    assert "amount moved &lt;b&gt;by&lt;/b&gt; 0.3" in html.get_content()
    assert '<a href="https://ml.x/incidents/fraud%3Adata_drift%3A3">' in html.get_content()


def test_a_chart_is_shown_in_the_html(post: MailServer) -> None:
    drawn = Drawn(PNG, "amount <b>\nfrom 0.1 to 0.4")
    replace(plain(post), chart=lambda _: drawn).send(NOTICE)
    replace(plain(post), chart=lambda _: None).send(NOTICE)
    pictured, bare = post.mails
    (picture,) = [part for part in pictured.walk() if part.get_content_type() == "image/png"]
    assert picture.get_payload(decode=True) == PNG
    html = pictured.get_body(("html",))
    assert html is not None
    assert f"cid:{picture['Content-ID'].strip('<>')}" in html.get_content()
    assert 'alt="amount &lt;b&gt; from 0.1 to 0.4"' in html.get_content()
    text = pictured.get_body(("plain",))
    assert text is not None
    assert "chart: amount <b> from 0.1 to 0.4" in text.get_content()
    assert all(part.get_content_type() != "image/png" for part in bare.walk())


def test_hostile_text_adds_no_header(post: MailServer) -> None:
    hostile = replace(
        NOTICE,
        incident="m\r\nBcc: all@example.org:1",
        title="t\r\nBcc: all@example.org\x00" + "t" * 10_000,
        body="b\r\n.\r\nMAIL FROM:<evil>\x1b\ud800" + "<&" * 10_000,
    )
    plain(post).send(hostile)
    (mail,) = post.mails
    assert mail["Bcc"] is None
    assert "\n" not in mail["Subject"]
    assert len(mail["Subject"]) < 250


@pytest.mark.parametrize(
    ("verb", "answer", "retry"),
    [
        ("RCPT", "550 no such user", False),
        ("RCPT", "450 mailbox busy", True),
        ("MAIL", "553 not allowed", False),
        ("DATA", "451 local error", True),
        ("EHLO", "421 shutting down", True),
    ],
)
def test_refusals(post: MailServer, verb: str, answer: str, retry: bool) -> None:
    post.refusals = {verb: answer, "HELO": answer}
    with pytest.raises(DeliveryError, match=f"mail 127.0.0.1: {answer}") as caught:
        plain(post).send(NOTICE)
    assert caught.value.retry is retry


def test_a_message_that_some_get_is_delivered(post: MailServer) -> None:
    post.refusals = {"RCPT TO:<BOB@EXAMPLE.ORG>": "550 gone"}
    assert plain(post).send(NOTICE) == "taken for 1; refused: 550 gone"


def test_nobody_there_may_be_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        quick = timedelta(milliseconds=50)
        notifier = MailNotifier("127.0.0.1", port, "a@b.c", ("d@e.f",), "none", timeout=quick)
        with pytest.raises(DeliveryError, match=r"timed out$") as caught:
            notifier.send(NOTICE)
    assert caught.value.retry


@contextmanager
def talker(greeting: bytes) -> Iterator[int]:
    """Run a server that says this for ever, to whoever comes; yield its port."""
    over = threading.Event()

    def talk(server: socket.socket) -> None:
        line, _ = server.accept()
        with line, suppress(OSError):
            while not over.wait(0.01):
                line.sendall(greeting)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=talk, args=(server,))
        thread.start()
        yield server.getsockname()[1]
        over.set()
        thread.join()


@pytest.mark.parametrize("greeting", [b"220-and then\r\n", b"2"], ids=["lines", "drip"])
def test_a_server_that_never_comes_to_an_end_is_given_up(greeting: bytes) -> None:
    """Each line is in time; it was the tick of all models that waited for the last one."""
    with talker(greeting) as port:
        quick = timedelta(milliseconds=200)
        notifier = MailNotifier("127.0.0.1", port, "a@b.c", ("d@e.f",), "none", timeout=quick)
        with pytest.raises(DeliveryError, match=r"timed out$") as caught:
            notifier.send(NOTICE)
    assert caught.value.retry


class Late(SimulatedClock):
    """Time is up once the client has said farewell."""

    def __init__(self, post: MailServer) -> None:
        super().__init__(NOW)
        self.post = post

    def monotonic(self) -> float:
        return 1000.0 * self.post.farewells


def test_a_message_that_was_taken_in_time_is_delivered_though_the_farewell_is_late(
    post: MailServer,
) -> None:
    assert replace(plain(post), clock=Late(post)).send(NOTICE) == "250 taken for 2 addresses"
    assert len(post.mails) == 1


def test_encryption_is_demanded_checked_and_used_before_the_password(
    post: MailServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for_server, for_client = certificates(tmp_path_factory.mktemp("tls"))
    with mail_server(for_server) as secure:
        secure.password = "correct horse"
        notifier = MailNotifier(
            "127.0.0.1", secure.port, "a@b.c", ("d@e.f",), "starttls", "ops", "correct horse"
        )
        with pytest.raises(DeliveryError, match="CERTIFICATE_VERIFY_FAILED"):
            notifier.send(NOTICE)
        notifier = replace(notifier, context=for_client)
        notifier.send(NOTICE)
        assert secure.encrypted == [True]
        with pytest.raises(DeliveryError, match=r"535 wrong: \*\*\*$") as caught:
            replace(notifier, password="wrong horse").send(NOTICE)
        assert not caught.value.retry
    with pytest.raises(DeliveryError, match="STARTTLS extension not supported") as caught:
        replace(plain(post), security="starttls").send(NOTICE)
    assert not caught.value.retry
    with pytest.raises(DeliveryError, match="SSL"):
        replace(plain(post), security="tls", context=ssl.create_default_context()).send(NOTICE)
