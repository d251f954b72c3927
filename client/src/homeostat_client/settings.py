"""What a client can be told, checked at once: the only place that raises into the caller."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TypedDict

from homeostat_client.backoff import Backoff
from homeostat_client.wire import Address


@dataclass(frozen=True)
class Settings:
    """All settings of a client.

    Attributes
    ----------
    server, model, token, version : str
        Without them ``HOMEOSTAT_SERVER``, ``HOMEOSTAT_MODEL``, ``HOMEOSTAT_TOKEN`` and
        ``HOMEOSTAT_VERSION`` of the environment.
    spill : str or None
        Folder for records while the server is away; by default a private one of this user
        (``HOMEOSTAT_SPILL`` in the environment). An empty text keeps nothing on disk.
    flush_interval : float
        Seconds between deliveries: what a killed process loses at most.
    timeout : float
        Seconds that the server has for each step of an answer.
    exit_timeout : float
        Seconds that the end of the process may take to deliver what is left.
    max_rows, max_bytes : int
        Limits of what waits in memory; bytes are estimated from the rows before.
    batch_rows, batch_bytes : int
        Limits of one request.
    spill_bytes : int
        Limit of the folder; beyond it the oldest records go.
    retry_first, retry_most : float
        Seconds between attempts, doubled from the first to the most.
    gzip_level : int
        From 1 (fast) to 9 (small) compresses what is sent, in the background; 0, the default, does
        not: worth it where the network is slow or paid for.
    gzip_bytes : int
        Smaller requests are never compressed.
    context : ssl.SSLContext, optional
        For https with authorities of your own.
    """

    server: str = ""
    model: str = ""
    token: str = field(default="", repr=False)
    version: str = ""
    spill: str | None = None
    flush_interval: float = 1.0
    timeout: float = 10.0
    exit_timeout: float = 5.0
    max_rows: int = 100_000
    max_bytes: int = 64 << 20
    batch_rows: int = 1000
    batch_bytes: int = 1 << 20
    spill_bytes: int = 256 << 20
    retry_first: float = 0.5
    retry_most: float = 60.0
    gzip_level: int = 0
    gzip_bytes: int = 4096
    context: ssl.SSLContext | None = None

    @property
    def backoff(self) -> Backoff:
        """When to try again."""
        return Backoff(self.retry_first, self.retry_most)

    @property
    def address(self) -> Address:
        """Where the server is."""
        return Address.parse(self.server)


class Options(TypedDict, total=False):
    """The settings of `Settings` that have no place of their own in the constructors."""

    spill: str
    flush_interval: float
    timeout: float
    exit_timeout: float
    max_rows: int
    max_bytes: int
    batch_rows: int
    batch_bytes: int
    spill_bytes: int
    retry_first: float
    retry_most: float
    gzip_level: int
    gzip_bytes: int
    context: ssl.SSLContext


FROM_ENVIRONMENT = {
    "server": "HOMEOSTAT_SERVER",
    "model": "HOMEOSTAT_MODEL",
    "token": "HOMEOSTAT_TOKEN",
    "version": "HOMEOSTAT_VERSION",
    "spill": "HOMEOSTAT_SPILL",
}


def settle(given: Mapping[str, object], environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings given, completed from the environment.

    Raises
    ------
    ValueError
        If something needed is missing, or what is given cannot be.
    TypeError
        If there is no such setting.

    Examples
    --------
    >>> settle({"server": "http://h:1"}, {"HOMEOSTAT_MODEL": "fraud"}).model
    'fraud'
    """
    environ = os.environ if environ is None else environ
    known = {name: value for name, value in given.items() if value is not None}
    for name, variable in FROM_ENVIRONMENT.items():
        if name not in known and variable in environ:
            known[name] = environ[variable]
    settings = Settings(**known)  # type: ignore[arg-type]
    for name in ("server", "model"):
        if not getattr(settings, name):
            remedy = f"give {name}= or set {FROM_ENVIRONMENT[name]}"
            raise ValueError(f"a client needs to know the {name}: {remedy}")
    if not all(" " < c < "\x7f" for c in settings.token):
        raise ValueError("the token holds characters that no token has, such as a line end")
    for number in fields(settings):
        value = getattr(settings, number.name)
        none = number.name == "gzip_level" and value == 0
        if isinstance(value, (int, float)) and not (none or 0 < value < 1e12):
            raise ValueError(f"{number.name}={value!r} must be greater than 0")
    if settings.gzip_level not in range(10):
        raise ValueError(f"gzip_level={settings.gzip_level!r} must be a whole number from 0 to 9")
    Address.parse(settings.server)
    return settings
