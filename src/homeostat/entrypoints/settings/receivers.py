"""Receivers: where notifications go."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, model_validator

from homeostat.adapters.notifiers.webhook import check_template
from homeostat.alerting import delivery as alerting
from homeostat.alerting.delivery import Manners
from homeostat.domain.errors import ConfigError
from homeostat.entrypoints.settings.hours import Stretch
from homeostat.entrypoints.settings.part import Part, only_one
from homeostat.entrypoints.settings.values import (
    Count,
    Duration,
    Port,
    Variable,
    url_problem,
    wrong,
)

LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
OURS = frozenset({"alertname", "model", "severity", "incident"})


class Limit(Part):
    """How many new incidents are told one by one; the last notice is a summary of the others."""

    notices: Count
    """Notices in that time, the summary included."""
    per: Duration = timedelta(hours=1)
    """The time."""


class Told(Part):
    """When, and how often, a receiver is told."""

    quiet: tuple[Stretch, ...] = ()
    """In these hours all but critical incidents wait; what is over by then is not told at all."""
    limit: Limit | None = Limit(notices=30)
    """At most so many; null: each incident is told."""

    def manners(self) -> Manners:
        """Return the domain's view of it."""
        limit = None if self.limit is None else alerting.Limit(self.limit.notices, self.limit.per)
        return Manners(limit, tuple(stretch.hours() for stretch in self.quiet))


class Console(Part):
    """Writes notifications to the terminal."""

    type: Literal["console"]
    """console"""


class Webhook(Told):
    """Posts notifications as signed JSON."""

    type: Literal["webhook"]
    """webhook"""
    limit: Limit | None = None
    """At most so many; default: each incident is told, since programs want to hear of each."""
    url: str = ""
    """Where to; for a URL that is itself a secret use url_env."""
    url_env: Variable | None = None
    """Environment variable that holds the URL."""
    secret_env: Variable | None = None
    """Environment variable that holds the key which signs the body (HMAC-SHA256)."""
    template: dict[str, JsonValue] | None = None
    """What is posted instead of all fields; {{title}} and the like are replaced in its texts."""
    inbound_env: Variable | None = None
    """Environment variable that holds the secret of calls by which somebody there acknowledges or
    resolves; default: nothing may come back."""
    timeout: Duration = timedelta(seconds=10)
    """Gives up after this time; it is tried again later."""

    @model_validator(mode="after")
    def _usable(self) -> Self:
        only_one(self, "url", "url_env")
        _check_url(self.url, "https://example.org/hook")
        try:
            check_template(self.template)
        except ConfigError as error:
            raise wrong(error.problem, error.remedy, "template") from None
        return self


class PagerDuty(Told):
    """Triggers, acknowledges and resolves alerts of a PagerDuty service (Events API v2)."""

    type: Literal["pagerduty"]
    """pagerduty"""
    key_env: Variable
    """Environment variable that holds the service's integration key."""
    url: str = "https://events.pagerduty.com"
    """Base address; in Europe https://events.eu.pagerduty.com."""
    inbound_env: Variable | None = None
    """Environment variable that holds the secret of calls by which somebody there acknowledges or
    resolves; default: nothing may come back."""
    timeout: Duration = timedelta(seconds=10)
    """Gives up after this time; it is tried again later."""

    @model_validator(mode="after")
    def _usable(self) -> Self:
        _check_url(self.url, "https://events.pagerduty.com")
        return self


class Opsgenie(Told):
    """Creates, acknowledges and closes alerts of Opsgenie."""

    type: Literal["opsgenie"]
    """opsgenie"""
    key_env: Variable
    """Environment variable that holds the integration's API key."""
    url: str = "https://api.opsgenie.com"
    """Base address; in Europe https://api.eu.opsgenie.com."""
    team: str = ""
    """Team that alerts are sent to; default: as the integration says."""
    inbound_env: Variable | None = None
    """Environment variable that holds the secret of calls by which somebody there acknowledges or
    resolves; default: nothing may come back."""
    timeout: Duration = timedelta(seconds=10)
    """Gives up after this time; it is tried again later."""

    @model_validator(mode="after")
    def _usable(self) -> Self:
        _check_url(self.url, "https://api.opsgenie.com")
        return self


class Jira(Opsgenie):
    """Creates, acknowledges and closes alerts of Jira Service Management."""

    type: Literal["jira"]  # type: ignore[assignment]
    """jira"""
    url: str = "https://api.atlassian.com/jsm/ops/integration"
    """Base address."""


class Slack(Told):
    """Posts messages to a Slack channel."""

    type: Literal["slack"]
    """slack"""
    url_env: Variable
    """Environment variable that holds the URL of an incoming webhook."""
    timeout: Duration = timedelta(seconds=10)
    """Gives up after this time; it is tried again later."""


class Teams(Told):
    """Posts cards to a Microsoft Teams channel."""

    type: Literal["teams"]
    """teams"""
    url_env: Variable
    """Environment variable that holds the URL of a workflow that posts to a channel."""
    timeout: Duration = timedelta(seconds=10)
    """Gives up after this time; it is tried again later."""


class Alertmanager(Part):
    """Posts alerts to an Alertmanager, which routes them further (API v2)."""

    type: Literal["alertmanager"]
    """alertmanager"""
    url: str
    """Base address, such as http://alertmanager:9093."""
    token_env: Variable | None = None
    """Environment variable that holds a bearer token, if it asks for one."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Further labels of every alert."""
    kept: Duration = timedelta(hours=1)
    """An alert ends this long after it was last sent again, which each tick does."""
    timeout: Duration = timedelta(seconds=10)
    """Gives up after this time; it is tried again later."""

    @model_validator(mode="after")
    def _usable(self) -> Self:
        _check_url(self.url, "http://alertmanager:9093")
        for name in self.labels:
            if not LABEL.fullmatch(name) or name in OURS:
                remedy = "use letters, digits and '_', and none of Homeostat's own labels"
                raise wrong(f"{name!r} cannot be a label here", remedy, "labels", name)
        return self


class Mail(Told):
    """Sends e-mail."""

    type: Literal["mail"]
    """mail"""
    host: str = Field(min_length=1)
    """Server that takes mail."""
    port: Port = 587
    """TCP port; with security tls usually 465."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """How the connection is encrypted."""
    sender: str
    """Address that mail comes from."""
    to: tuple[str, ...] = Field(min_length=1)
    """Addresses that mail goes to."""
    user: str = ""
    """Name at the server; default: it asks for none."""
    password_env: Variable | None = None
    """Environment variable that holds the password."""
    timeout: Duration = timedelta(seconds=20)
    """Gives up after this time in one step; it is tried again later."""

    @model_validator(mode="after")
    def _usable(self) -> Self:
        for place, address in enumerate(self.to):
            _check_address(address, "to", place)
        _check_address(self.sender, "sender")
        if bool(self.user) != (self.password_env is not None):
            raise wrong("user and password_env stand together", "write both or none", "user")
        if self.user and self.security == "none":
            remedy = "use starttls or tls, so that nobody reads the password"
            raise wrong("a password needs an encrypted connection", remedy, "security")
        return self


class Apprise(Told):
    """Sends through Apprise (pip install 'homeostat[apprise]'), which knows many other services."""

    type: Literal["apprise"]
    """apprise"""
    url_env: Variable
    """Environment variable that holds the Apprise URL."""


Receiver = Annotated[
    Console | Webhook | PagerDuty | Opsgenie | Jira | Slack | Teams | Alertmanager | Mail | Apprise,
    Field(discriminator="type"),
]


def to_console() -> dict[str, Receiver]:
    """Return the receivers of a deployment that names none."""
    return {"console": Console(type="console")}


def secrets_of(receiver: Receiver) -> dict[str, str]:
    """Return the environment variables that a receiver needs, by the setting that names each.

    Examples
    --------
    >>> secrets_of(Slack(type="slack", url_env="SLACK_URL"))
    {'url_env': 'SLACK_URL'}
    """
    fields = type(receiver).model_fields
    named = {name: getattr(receiver, name) for name in fields if name.endswith("_env")}
    return {name: variable for name, variable in named.items() if variable is not None}


def manners_of(receivers: Mapping[str, Receiver]) -> dict[str, Manners]:
    """Return how those receivers want to be told that have a limit or quiet hours."""
    told = {n: r.manners() for n, r in receivers.items() if isinstance(r, Told)}
    return {name: manners for name, manners in told.items() if manners != Manners()}


def _check_url(url: str, example: str) -> None:
    problem = url_problem(url) if url else ""
    if problem:
        raise wrong(problem, f"use a URL such as {example}", "url")


def _check_address(address: str, *path: str | int) -> None:
    name, _, host = address.rpartition("@")
    if not name or not host or not address.isascii() or not address.isprintable() or "," in address:
        raise wrong(f"is no mail address: {address!r}", "use one such as ops@example.org", *path)
