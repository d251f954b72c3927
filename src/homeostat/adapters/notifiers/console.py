"""Notifications as lines of text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TextIO

from homeostat.domain.effect import Notify
from homeostat.domain.errors import DeliveryError


@dataclass(frozen=True, slots=True)
class ConsoleNotifier:
    """Writes each notification to a stream, one line for each line of its text.

    Examples
    --------
    >>> import sys
    >>> from datetime import UTC, datetime
    >>> from homeostat.domain.decision import Severity
    >>> from homeostat.domain.effect import NotifyAction
    >>> notice = Notify(
    ...     "fraud:data_fault:1", NotifyAction.TRIGGER, "console", Severity.CRITICAL, "fraud",
    ...     "fraud: data fault (amount)", "amount is 100 times too big",
    ...     "runbooks/data-fault.md", datetime(2024, 1, 1, 12, tzinfo=UTC),
    ... )
    >>> _ = ConsoleNotifier(sys.stdout).send(notice)
    2024-01-01 12:00 CRITICAL trigger fraud:data_fault:1 fraud: data fault (amount)
      amount is 100 times too big
      runbook: runbooks/data-fault.md
    """

    stream: TextIO

    def send(self, notice: Notify) -> str:
        """Write the notification.

        Raises
        ------
        DeliveryError
            If the stream is closed or cannot be written to.
        """
        head = f"{notice.at:%Y-%m-%d %H:%M} {notice.severity.upper()} {notice.action}"
        lines = (
            f"{head} {notice.incident} {notice.title}",
            *(f"  {line}" for line in notice.body.splitlines()),
            f"  runbook: {notice.runbook}",
        )
        text = "\n".join(_printable(line) for line in lines)
        try:
            self.stream.write(f"{text}\n")
            self.stream.flush()
        except (OSError, ValueError) as error:
            retry = isinstance(error, OSError)
            raise DeliveryError(f"console: cannot write: {error}", retry=retry) from error
        return "written"


def _printable(line: str) -> str:
    """Escape control characters: a feature's name may hold terminal commands."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
