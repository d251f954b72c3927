"""Notifications through Apprise, which knows more than a hundred other services."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol, cast

from homeostat.adapters.notifiers.text import one_line, several_lines, unmentioned
from homeostat.domain.decision import Severity
from homeostat.domain.effect import Notify, NotifyAction
from homeostat.domain.errors import ConfigError, DeliveryError

KINDS = {Severity.CRITICAL: "failure", Severity.WARNING: "warning", Severity.INFO: "info"}
LONGEST = timedelta(seconds=60)


class Sender(Protocol):
    """What of an ``apprise.Apprise`` is used."""

    def add(self, servers: str) -> bool:
        """Add an address; False if it is not known."""
        ...

    def notify(self, body: str, title: str, notify_type: str, body_format: str) -> bool | None:
        """Send to all addresses; False if one failed."""
        ...


@dataclass(frozen=True)
class AppriseNotifier:
    """Sends to one Apprise address, such as ``matrix://user:password@host/#room``.

    Apprise tells only whether it was delivered; it knows no keys, so that a delivery whose answer
    was lost may be seen twice.

    Parameters
    ----------
    sender : Sender
        Made by `connect`.
    base : str
        Address of Homeostat's pages, for links; may be empty.
    timeout : timedelta
        After which it is left alone, since it has no end of its own for a server that answers
        byte by byte; as long as that goes on nothing more is sent.
    """

    sender: Sender = field(repr=False)
    base: str = ""
    timeout: timedelta = LONGEST
    _hanging: list[threading.Thread] = field(default_factory=list, init=False, repr=False)

    def send(self, notice: Notify) -> str:
        """Send the notification; raises DeliveryError."""
        over = notice.action is NotifyAction.RESOLVE
        title = unmentioned(f"{notice.action.value.upper()} {one_line(notice.title, 200)}")
        where = one_line(f"{notice.incident}; runbook: {notice.runbook}", 1000)
        body = unmentioned(f"{several_lines(notice.body, 3000)}\n{where}")
        kind = "success" if over else KINDS[notice.severity]
        if not self._sent(title, body, kind):
            raise DeliveryError("apprise: not delivered, or not by all", retry=True)
        return "delivered"

    def _sent(self, title: str, body: str, kind: str) -> bool:
        """Send from a thread, which can be left behind."""
        self._hanging[:] = [thread for thread in self._hanging if thread.is_alive()]
        if self._hanging:
            raise DeliveryError("apprise: an earlier notification still hangs", retry=True)
        said: list[bool | None] = []
        problems: list[str] = []

        def send() -> None:
            try:
                said.append(
                    self.sender.notify(body=body, title=title, notify_type=kind, body_format="text")
                )
            except Exception as error:  # noqa: BLE001 - of a library, in a thread of its own
                problems.append(type(error).__name__)

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        thread.join(self.timeout.total_seconds())
        if thread.is_alive():
            self._hanging.append(thread)
            seconds = self.timeout.total_seconds()
            raise DeliveryError(f"apprise: not done after {seconds:g} s", retry=True)
        if problems:
            raise DeliveryError(f"apprise: {problems[0]}", retry=True)
        return bool(said[0])


def connect(address: str) -> Sender:
    """Return what sends to an address.

    Raises
    ------
    ConfigError
        If Apprise is not installed, or does not know the address.
    """
    try:
        from apprise import Apprise  # noqa: PLC0415 - an extra, and slow to import
    except ImportError as error:
        raise ConfigError("Apprise is not installed", "pip install 'homeostat[apprise]'") from error
    sender = cast("Sender", Apprise())
    if not sender.add(address):
        raise ConfigError("Apprise does not know this address", "see its list of services")
    return sender
