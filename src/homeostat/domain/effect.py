"""What the core asks the shell to do. Recorded before it is done, idempotent by ``key``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from homeostat.domain.choice import RowChoice
from homeostat.domain.decision import Severity
from homeostat.domain.window import Window


class NotifyAction(StrEnum):
    """What happens to the incident at the receiver."""

    TRIGGER = "trigger"
    ACKNOWLEDGE = "acknowledge"
    RESOLVE = "resolve"
    UPDATE = "update"  # more is known of what was told; it wakes nobody


@dataclass(frozen=True, slots=True)
class Notify:
    """Tell a receiver about an incident.

    ``incident`` and ``since``, when it fired, are the same from trigger to resolve; ``rule`` is
    the alert rule's name. ``about`` is the key of the other incident that an update is about.
    """

    incident: str
    action: NotifyAction
    receiver: str
    severity: Severity
    model: str
    title: str
    body: str
    runbook: str
    at: datetime
    rule: str = ""
    since: datetime | None = None
    about: str = ""

    @property
    def key(self) -> str:
        """Identity of this effect: doing it twice must be seen as once."""
        about = f":{self.about}" if self.about else ""
        return f"notify:{self.receiver}:{self.incident}:{self.action}{about}"


@dataclass(frozen=True, slots=True)
class StartTraining:
    """Train a candidate on the labels known at ``as_of`` of the predictions in ``window``.

    ``excluded`` are the windows that a data fault covers, ``reasons`` what is known of each,
    ``choice`` is which rows are taken and how much they count. With a ``guide`` rows that are too
    young for all labels are there too: that version says what the labels will be that have not
    come, by ``kinds``, the features that decide how long a label takes.
    """

    run_id: str
    model: str
    parent: str
    window: Window
    as_of: datetime
    excluded: tuple[Window, ...] = ()
    choice: RowChoice = RowChoice()  # noqa: RUF009 - a frozen value
    guide: str = ""
    kinds: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Identity of this effect."""
        return f"train:{self.run_id}"


@dataclass(frozen=True, slots=True)
class CancelTraining:
    """Stop a run's trainer, if it still runs."""

    run_id: str
    model: str

    @property
    def key(self) -> str:
        """Identity of this effect."""
        return f"cancel:{self.run_id}"


Effect = Notify | StartTraining | CancelTraining
