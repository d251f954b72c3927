"""Notifications as signed JSON, posted to one configured address."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from homeostat.adapters.notifiers.http import Poster
from homeostat.domain.effect import Notify
from homeostat.domain.errors import ConfigError

SIGNATURE = "X-Homeostat-Signature"
TIMESTAMP = "X-Homeostat-Timestamp"
IDEMPOTENCY = "Idempotency-Key"
PLACE = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
FIELDS = (
    "key", "incident", "action", "receiver", "severity", "model", "title", "body", "runbook", "at",
)  # fmt: skip

Json = Mapping[str, "Json"] | Sequence["Json"] | str | float | bool | None


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

    ``Idempotency-Key`` holds the notification's key, by which a receiver tells repeated deliveries.

    Parameters
    ----------
    poster : Poster
    secret : str
        Key of the signature; empty: not signed.
    template : JSON value, optional
        What is posted instead of all fields; see `filled`.

    Raises
    ------
    ConfigError
        If the template names a field that there is not.
    """

    poster: Poster
    secret: str = field(default="", repr=False)
    template: Json = None

    def __post_init__(self) -> None:
        check_template(self.template)

    def send(self, notice: Notify) -> str:
        """Post the notification; raises DeliveryError."""
        body = payload(notice, self.template)
        timestamp = str(int(self.poster.clock.now().timestamp()))
        headers = {IDEMPOTENCY: quote(notice.key, safe=":"), TIMESTAMP: timestamp}
        if self.secret:
            headers[SIGNATURE] = signature(self.secret, timestamp, body)
        return str(self.poster.post(body, headers))


def payload(notice: Notify, template: Json = None) -> bytes:
    """Return the JSON body: every field of the notification and its key, or the template filled."""
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
    value = fields if template is None else filled(template, fields)
    return json.dumps(value, separators=(",", ":")).encode()


def filled(template: Json, fields: Mapping[str, str]) -> Json:
    """Return a JSON value with ``{{field}}`` in its texts replaced.

    Only names of fields are known, nothing is computed, and what a field holds is not looked at
    again; the result is JSON whatever it holds.

    Examples
    --------
    >>> filled({"text": "{{title}}!", "tags": ["{{ model }}"]}, {"title": 'a"b', "model": "m"})
    {'text': 'a"b!', 'tags': ['m']}
    """
    if isinstance(template, str):
        return PLACE.sub(lambda found: fields[found[1]], template)
    if isinstance(template, Mapping):
        return {key: filled(value, fields) for key, value in template.items()}
    if isinstance(template, Sequence):
        return [filled(value, fields) for value in template]
    return template


def check_template(template: Json) -> None:
    """Raise ConfigError if a template names a field that there is not."""
    known = dict.fromkeys(FIELDS, "")
    try:
        filled(template, known)
    except KeyError as error:
        remedy = f"use one of {', '.join(FIELDS)}"
        raise ConfigError(f"the template names {error.args[0]!r}", remedy) from None
