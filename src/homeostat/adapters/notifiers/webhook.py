"""Notifications as signed JSON, posted to one configured address."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from datetime import timedelta
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import SplitResult, quote, urlsplit

from homeostat.domain.clock import Clock
from homeostat.domain.effect import Notify
from homeostat.domain.errors import ConfigError, DeliveryError

SIGNATURE = "X-Homeostat-Signature"
TIMESTAMP = "X-Homeostat-Timestamp"
IDEMPOTENCY = "Idempotency-Key"
TOO_MANY = 429
REMEDY = "use an address such as https://example.org/hook"


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Return what the signature header must hold for a body.

    A receiver computes it over the timestamp header, a dot and the raw body, compares it in
    constant time, and turns old timestamps away, so that a recorded notification cannot be
    replayed.

    Examples
    --------
    >>> signature("secret", "1704110400", b"{}")[:24]
    'sha256=f3817c196e58b728e'
    """
    signed = f"{timestamp}.".encode() + body
    return f"sha256={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


@dataclass(frozen=True)
class WebhookNotifier:
    """Posts notifications to one http(s) address.

    It talks to the configured host and to no other: redirects are not followed and proxies of the
    environment are not used. ``Idempotency-Key`` holds the notification's key, by which a receiver
    tells repeated deliveries.

    Parameters
    ----------
    url : str
        Not shown in errors, since a path may be a secret.
    clock : Clock
        For the signature's timestamp.
    secret : str
        Key of the signature; empty: not signed.
    timeout : timedelta
        For the connection and for each read.

    Raises
    ------
    ConfigError
        If the address is not one of http or https, or holds a password.
    """

    url: str = field(repr=False)
    clock: Clock
    secret: str = field(default="", repr=False)
    timeout: timedelta = timedelta(seconds=10)

    def __post_init__(self) -> None:
        _parts(self.url)

    def send(self, notice: Notify) -> None:
        """Post the notification.

        Raises
        ------
        DeliveryError
            With ``retry`` for network problems, 429 and 5xx; without for any other answer that is
            not 2xx.
        """
        parts = _parts(self.url)
        body = payload(notice)
        timestamp = str(int(self.clock.now().timestamp()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "homeostat",
            IDEMPOTENCY: quote(notice.key, safe=":"),
            TIMESTAMP: timestamp,
        }
        if self.secret:
            headers[SIGNATURE] = signature(self.secret, timestamp, body)
        try:
            status = self._post(parts, body, headers)
        except (OSError, HTTPException) as error:
            problem = f"webhook {parts.hostname}: {type(error).__name__}: {error}"
            raise DeliveryError(problem, retry=True) from error
        if not 200 <= status < 300:
            hint = "; redirects are not followed" if 300 <= status < 400 else ""
            retry = status == TOO_MANY or status >= 500
            raise DeliveryError(f"webhook {parts.hostname} answered {status}{hint}", retry=retry)

    def _post(self, parts: SplitResult, body: bytes, headers: dict[str, str]) -> int:
        connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        connection = connect(parts.hostname or "", parts.port, timeout=self.timeout.total_seconds())
        try:
            connection.request("POST", _target(parts), body, headers)
            return connection.getresponse().status
        finally:
            connection.close()


def payload(notice: Notify) -> bytes:
    """Return the JSON body: every field of the notification and its key."""
    fields = {
        "key": notice.key,
        "incident": notice.incident,
        "action": notice.action.value,
        "receiver": notice.receiver,
        "severity": notice.severity.value,
        "model": notice.model,
        "title": notice.title,
        "body": notice.body,
        "runbook": notice.runbook,
        "at": notice.at.isoformat(),
    }
    return json.dumps(fields, separators=(",", ":")).encode()


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        if host:
            host.encode("idna")
    except ValueError as error:
        raise ConfigError("the webhook's address is not a URL", REMEDY) from error
    if parts.scheme not in {"http", "https"} or not host or port == 0:
        raise ConfigError("the webhook's address is not an http or https URL", REMEDY)
    if parts.username or parts.password:
        raise ConfigError("the webhook's address holds a user or a password", REMEDY)
    return parts


def _target(parts: SplitResult) -> str:
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    return f"{path}?{quote(parts.query, safe='/%:@!$&()*+,;=~?')}" if parts.query else path
