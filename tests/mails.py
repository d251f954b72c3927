"""A mail server that speaks enough of SMTP to take or refuse messages, in a thread."""

from __future__ import annotations

import base64
import ipaddress
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass
class MailServer:
    """What arrived, and what the next commands are answered.

    Attributes
    ----------
    refusals : dict
        Answers to verbs or whole commands, such as ``{"RCPT": "550 no such user"}``.
    password : str
        Of the user ``ops``; asked for only on an encrypted connection.
    """

    port: int = 0
    context: ssl.SSLContext | None = None
    refusals: dict[str, str] = field(default_factory=dict)
    password: str = ""
    mails: list[EmailMessage] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    farewells: int = 0


class _Session(socketserver.StreamRequestHandler):
    state: MailServer

    def handle(self) -> None:
        """Talk until the client quits."""
        self._secure = False
        try:
            self._talk()
        except (OSError, UnicodeDecodeError):
            pass  # it speaks TLS where that was not agreed on, or does not trust the certificate
        finally:
            self.connection.close()

    def _talk(self) -> None:
        self._say("220 fake")
        while line := self.rfile.readline():
            command = line.decode().strip()
            verb = command.split(" ")[0].upper()
            refusals = self.state.refusals
            refusal = refusals.get(verb) or refusals.get(command.upper())
            if refusal:
                self._say(refusal)
            elif verb == "EHLO":
                more = "AUTH PLAIN" if self._secure else "STARTTLS"
                offered = more if self.state.context else "8BITMIME"
                self._say(f"250-fake\r\n250 {offered}")
            elif verb == "STARTTLS" and self.state.context:
                self._say("220 go on")
                self._encrypt(self.state.context)
            elif verb == "AUTH":
                given = base64.b64decode(command.split(" ")[2]).split(b"\0")
                right = given == [b"", b"ops", self.state.password.encode()]
                self._say("235 welcome" if right else f"535 wrong: {given[2].decode()}")
            elif verb == "DATA":
                self._say("354 go on")
                self._take()
            elif verb == "QUIT":
                self.state.farewells += 1
                self._say("221 bye")
                return
            else:
                self._say("250 fine")

    def _take(self) -> None:
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        mail = message_from_bytes(b"".join(lines), policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.state.mails.append(mail)
        self.state.encrypted.append(self._secure)
        self._say("250 taken")

    def _encrypt(self, context: ssl.SSLContext) -> None:
        self.rfile.close()
        self.connection = context.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self._secure = True

    def _say(self, line: str) -> None:
        self.connection.sendall(f"{line}\r\n".encode())


def certificates(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return contexts of a server on the loopback address and of a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    today = datetime.now(UTC)  # noqa: TID251 - a certificate is valid by the machine's clock
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    file = folder / "server.pem"
    file.write_bytes(private + made.public_bytes(pem))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cadata=made.public_bytes(pem).decode())


@contextmanager
def mail_server(context: ssl.SSLContext | None = None) -> Iterator[MailServer]:
    """Run the server on a free port; with a context it offers STARTTLS."""
    state = MailServer(context=context)
    handler = type("Session", (_Session,), {"state": state})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        state.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
