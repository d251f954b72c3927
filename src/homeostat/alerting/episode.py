"""What is known of one alert rule on one model: the state of its incident."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from homeostat.domain.decision import Severity


class Stage(StrEnum):
    """Where an incident stands."""

    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Page:
    """What one receiver was told under one key, with all that its end needs."""

    receiver: str
    key: str
    severity: Severity
    model: str
    title: str
    runbook: str
    rule: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class IncidentState:
    """One rule on one model, as stored.

    Attributes
    ----------
    model, rule : str
    stage : Stage
    episode : int
        Number of times it fired; part of the key, so that each trigger has its own resolve.
    severity, receivers, runbook
        As they were when it fired: the resolve reaches whoever was paged, whatever the
        configuration says by then.
    title, reason, cause : str
        What happened, what the detectors say, why.
    subjects : tuple of str
        Columns or metrics it was active for in this episode.
    pending_since, fired_at, acknowledged_at, resolved_at : datetime or None
    clear_since : datetime or None
        Start of the clear spell that will resolve it.
    unknown_since : datetime or None
        Start of a gap without data, while it is pending or a clear spell is timed.
    acknowledged_by : str
    flaps : int
        Firings in quick succession; each doubles the keep-firing duration.
    inhibited : bool
        Kept from firing by a parent, or by one that is over since shortly; recorded once. Of an
        open incident: kept from escalating.
    untold : tuple of str
        Those of the receivers who are owed the trigger, because a silence held it, or the page that
        was to stand for it was given up.
    joined : tuple of Page
        Those of the receivers who have another incident's page open that stands for this one.
    silenced : int
        Number of the silence that holds, or held when it resolved; 0: none.
    escalated : int
        Steps of escalation done in this episode.
    began : datetime or None
        Since when the condition held of which it fired.
    escalates_from : datetime or None
        When those who are responsible were told, or a parent that explained it was over; None in
        states of old: when it fired.
    """

    model: str
    rule: str
    stage: Stage = Stage.INACTIVE
    episode: int = 0
    severity: Severity = Severity.INFO
    receivers: tuple[str, ...] = ()
    runbook: str = ""
    title: str = ""
    reason: str = ""
    cause: str = ""
    subjects: tuple[str, ...] = ()
    pending_since: datetime | None = None
    fired_at: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
    clear_since: datetime | None = None
    resolved_at: datetime | None = None
    flaps: int = 0
    inhibited: bool = False
    untold: tuple[str, ...] = ()
    joined: tuple[Page, ...] = ()
    silenced: int = 0
    escalated: int = 0
    began: datetime | None = None
    escalates_from: datetime | None = None
    unknown_since: datetime | None = None

    @property
    def key(self) -> str:
        """Identity of the episode, the same from trigger to resolve."""
        return f"{self.model}:{self.rule}:{self.episode}"

    @property
    def open(self) -> bool:
        """Whether it fired and is not over."""
        return self.stage in {Stage.FIRING, Stage.ACKNOWLEDGED}

    @property
    def told(self) -> tuple[str, ...]:
        """Receivers that have a page of this episode under its own key."""
        others = {*self.untold, *(page.receiver for page in self.joined)}
        return tuple(name for name in dict.fromkeys(self.receivers) if name not in others)

    @property
    def pages(self) -> tuple[Page, ...]:
        """The pages that receivers have open about it."""
        own = (
            Page(
                name, self.key, self.severity, self.model, self.title, self.runbook, self.rule,
                self.fired_at,
            )
            for name in self.told
        )  # fmt: skip
        return (*own, *self.joined)
