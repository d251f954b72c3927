"""Notifications as e-mail."""

from __future__ import annotations

import hashlib
import io
import smtplib
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from html import escape
from typing import TYPE_CHECKING, Literal

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.notifiers.http import Reading, deadline
from homeostat.adapters.notifiers.text import (
    incident_page,
    one_line,
    runbook_link,
    several_lines,
)
from homeostat.domain.clock import Clock
from homeostat.domain.effect import Notify, NotifyAction
from homeostat.domain.errors import DeliveryError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

LONGEST_SUBJECT = 200
LONGEST_TEXT = 50_000
CHART = "chart@homeostat"

Security = Literal["starttls", "tls", "none"]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture as PNG, and in words what it shows."""

    png: bytes
    words: str


Chart = Callable[[Notify], Drawn | None]
"""Draws something about a notification; returns None if there is nothing to show."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A document to be mailed; ``key`` is the same when it is sent again."""

    key: str
    subject: str
    text: str
    html: bytes
    filename: str
    at: datetime


@dataclass(frozen=True)
class MailNotifier:
    """Sends a plain text, and HTML beside it, to some addresses.

    The messages of one incident are one thread, and a repeated one has the same Message-ID, by
    which mail programs tell that it is the same.

    Parameters
    ----------
    host, port
        Of the server that takes mail.
    sender : str
    to : tuple of str
    security : {"starttls", "tls", "none"}
        How the connection is encrypted; certificates are always checked.
    user, password : str
        For the server; empty: it asks for none.
    base : str
        Address of Homeostat's pages, for links; may be empty.
    timeout : timedelta
        For all of it: to connect, and for the whole conversation.
    context : SSLContext, optional
        With further authorities to trust.
    chart : callable, optional
        Draws what the HTML shows; it stands there in words, too.
    clock : Clock
    """

    host: str
    port: int
    sender: str
    to: tuple[str, ...]
    security: Security = "starttls"
    user: str = ""
    password: str = field(default="", repr=False)
    base: str = ""
    timeout: timedelta = timedelta(seconds=20)
    context: ssl.SSLContext | None = field(default=None, repr=False)
    chart: Chart | None = None
    clock: Clock = field(default_factory=SystemClock)

    def send(self, notice: Notify) -> str:
        """Send the message.

        Raises
        ------
        DeliveryError
            With ``retry`` for network problems and answers of 4xx; without for 5xx.
        """
        return self._sent(self.message(notice))

    def post(self, letter: Letter) -> str:
        """Send a document; raises DeliveryError as `send` does."""
        return self._sent(self.enclosing(letter))

    def enclosing(self, letter: Letter) -> EmailMessage:
        """Return the message of a document: a text, and the document as a file."""
        mail = EmailMessage()
        mail["Subject"] = one_line(letter.subject, LONGEST_SUBJECT)
        mail["From"], mail["To"] = self.sender, ", ".join(self.to)
        mail["Date"] = format_datetime(letter.at)
        mail["Message-ID"] = _identity(letter.key)
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(f"{several_lines(letter.text, LONGEST_TEXT)}\n")
        mail.add_attachment(letter.html, maintype="text", subtype="html", filename=letter.filename)
        return mail

    def _sent(self, message: EmailMessage) -> str:
        try:
            refused = self._deliver(message)
        except smtplib.SMTPRecipientsRefused as error:
            refusals = list(error.recipients.values())
            retry = any(code < 500 for code, _ in refusals)
            raise self._failed(_said(refusals), retry=retry) from error
        except smtplib.SMTPResponseException as error:
            code, said = error.smtp_code, error.smtp_error
            raise self._failed(_said([(code, said)]), retry=code < 500) from error
        except smtplib.SMTPNotSupportedError as error:
            raise self._failed(str(error), retry=False) from error
        except (OSError, smtplib.SMTPException) as error:
            raise self._failed(f"{type(error).__name__}: {error}", retry=True) from error
        if not refused:
            return f"250 taken for {len(self.to)} addresses"
        return f"taken for {len(self.to) - len(refused)}; refused: {_said(refused.values())}"

    def _deliver(self, message: EmailMessage) -> dict[str, tuple[int, bytes]]:
        context = self.context or ssl.create_default_context()
        left = deadline(self.clock, self.timeout)
        server: smtplib.SMTP = (
            _TlsTalk(self.host, self.port, left, context)
            if self.security == "tls"
            else _Talk(self.host, self.port, left)
        )
        with server:
            if self.security == "starttls":
                server.starttls(context=context)
            if self.user:
                server.login(self.user, self.password)
            return server.send_message(message)

    def _failed(self, problem: str, *, retry: bool) -> DeliveryError:
        told = one_line(problem, 300)
        if self.password:
            told = told.replace(self.password, "***")
        return DeliveryError(f"mail {self.host}: {told}", retry=retry)

    def message(self, notice: Notify) -> EmailMessage:
        """Return the message of a notification."""
        mail = EmailMessage()
        first = notice.action is NotifyAction.TRIGGER
        title = one_line(notice.title, LONGEST_SUBJECT)
        happened = notice.severity.value if first else notice.action.value
        mail["Subject"] = f"[{happened}] {title}"
        mail["From"], mail["To"] = self.sender, ", ".join(self.to)
        mail["Date"] = format_datetime(notice.at)
        mail["Message-ID"] = _identity(notice.key)
        mail["Auto-Submitted"] = "auto-generated"
        if not first:
            start = f"notify:{notice.receiver}:{notice.incident}:{NotifyAction.TRIGGER}"
            mail["In-Reply-To"] = mail["References"] = _identity(start)
        page, runbook = incident_page(self.base, notice), runbook_link(self.base, notice)
        facts = {
            "what": f"{notice.action.value}: {one_line(notice.title, LONGEST_TEXT)}",
            "model": notice.model,
            "severity": notice.severity.value,
            "incident": page or one_line(notice.incident, 1000),
            "runbook": runbook or one_line(notice.runbook, 1000),
            "at": notice.at.isoformat(sep=" ", timespec="minutes"),
        }
        drawn = self.chart(notice) if self.chart is not None else None
        if drawn is not None:
            facts["chart"] = one_line(drawn.words, LONGEST_TEXT)
        body = several_lines(notice.body, LONGEST_TEXT)
        lines = "\n".join(f"{name}: {value}" for name, value in facts.items())
        mail.set_content(f"{body}\n\n{lines}\n")
        mail.add_alternative(_html(body, facts), subtype="html")
        if drawn is not None:
            shown = mail.get_payload(1)
            assert isinstance(shown, EmailMessage)
            shown.add_related(drawn.png, "image", "png", cid=f"<{CHART}>", filename="chart.png")
        return mail


class _Timed(smtplib.SMTP):
    """A conversation that ends in time, however many lines the other side says."""

    left: Callable[[], float]

    def send(self, s: ReadableBuffer | str) -> None:
        """Send, within what is left."""
        try:
            if self.sock is not None:
                self.sock.settimeout(self.left())
        except OSError as error:
            self.close()
            raise smtplib.SMTPServerDisconnected(str(error)) from error
        super().send(s)

    def getreply(self) -> tuple[int, bytes]:
        """Read an answer, within what is left."""
        if self.file is None and self.sock is not None:
            self.file = io.BufferedReader(Reading(self.sock, self.left))
        return super().getreply()


class _Talk(_Timed):
    def __init__(self, host: str, port: int, left: Callable[[], float]) -> None:
        self.left = left
        super().__init__(host, port, timeout=left())


class _TlsTalk(_Timed, smtplib.SMTP_SSL):
    def __init__(
        self, host: str, port: int, left: Callable[[], float], context: ssl.SSLContext
    ) -> None:
        self.left = left
        smtplib.SMTP_SSL.__init__(self, host, port, timeout=left(), context=context)


def _html(body: str, facts: dict[str, str]) -> str:
    rows = "".join(
        f"<tr><th align=left>{escape(name)}</th><td>{_linked(value)}</td></tr>"
        for name, value in facts.items()
    )
    words = escape(facts.get("chart", ""))
    picture = f'<p><img src="cid:{CHART}" alt="{words}"></p>' if words else ""
    return (
        '<!doctype html><html><body style="font-family: sans-serif">'
        f'<p style="white-space: pre-wrap">{escape(body)}</p>{picture}'
        f"<table>{rows}</table></body></html>\n"
    )


def _linked(value: str) -> str:
    shown = escape(value)
    is_link = value.startswith(("https://", "http://"))
    return f'<a href="{shown}">{shown}</a>' if is_link else shown


def _identity(key: str) -> str:
    digest = hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
    return f"<{digest[:40]}@homeostat>"


def _said(refusals: Iterable[tuple[int, bytes | str]]) -> str:
    return "; ".join(
        f"{code} {said.decode(errors='replace') if isinstance(said, bytes) else said}"
        for code, said in refusals
    )
