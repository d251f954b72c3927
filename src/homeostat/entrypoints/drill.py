"""A marked test of receivers, through the path that every page takes."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from homeostat.alerting.delivery import OURS
from homeostat.domain.decision import Severity
from homeostat.domain.effect import Notify, NotifyAction, StartTraining
from homeostat.domain.errors import ConflictError, NotFoundError
from homeostat.domain.model import ModelSpec
from homeostat.engine.act import Dispatcher
from homeostat.engine.ports import Delivery, Notifier, Records, Settled

STEP = 0.2
WORDS = {
    NotifyAction.TRIGGER: "Nothing is wrong: somebody tests whether this receiver can be reached.",
    NotifyAction.RESOLVE: "The test is over.",
}


@dataclass(frozen=True, slots=True)
class Drill:
    """A test that was begun: two notices for each receiver, a trigger and its resolve."""

    notices: tuple[Notify, ...]

    @property
    def incidents(self) -> frozenset[str]:
        """Keys of what looks like incidents."""
        return frozenset(notice.incident for notice in self.notices)


def begin(
    records: Records,
    receivers: Sequence[str],
    severity: Severity,
    runbook: str,
    actor: str,
    now: datetime,
) -> Drill:
    """Put the notices of a test on record, as the engine does with those of an incident.

    Parameters
    ----------
    records : Records
    receivers : sequence of str
    severity : Severity
        As which it pages.
    runbook : str
    actor : str
        Who tests, for the text.
    now : datetime
        Part of the keys: two tests are two incidents.
    """
    notices = tuple(
        Notify(
            incident=f"{OURS}test:{receiver}:{now:%Y%m%dT%H%M%S.%f}",
            action=action,
            receiver=receiver,
            severity=severity,
            model="homeostat",
            title="[TEST] Homeostat can reach this receiver",
            body=f"{words} It was begun by {actor}.",
            runbook=runbook,
            at=now,
            rule="test",
            since=now,
        )
        for receiver in receivers
        for action, words in WORDS.items()
    )
    with records.begin() as uow:
        uow.intend(*notices)
    return Drill(notices)


def send(drill: Drill, records: Records, notifiers: Mapping[str, Notifier], now: datetime) -> None:
    """Send a test's notices from this process, where no control plane does."""
    Dispatcher(records, notifiers, {}, {}, _no_rows).run(now, (Notify,), drill.incidents)


def _no_rows(spec: ModelSpec, request: StartTraining) -> pa.Table:
    raise NotFoundError(f"a test of receivers trains nothing: {spec.name}, {request.run_id}")


def wait(drill: Drill, records: Records, seconds: float) -> None:
    """Wait until a control plane has tried all of a test's notices, or the time is up."""
    left = seconds
    while left > 0 and any(_open(delivery) for delivery in found(drill, records)):
        threading.Event().wait(STEP)
        left -= STEP


def _open(delivery: Delivery) -> bool:
    return delivery.status == "pending"


def end(drill: Drill, records: Records, now: datetime) -> tuple[Delivery, ...]:
    """Give up what is still to be sent, so that no test pages anybody later; return what became.

    What a control plane settles at the same moment stays as it says.
    """
    try:
        with records.begin() as uow:
            for delivery in found(drill, records):
                if _open(delivery):
                    said = delivery.said or "not sent in time"
                    uow.settle(Settled(delivery.number, "dead", now, said))
    except ConflictError:
        return end(drill, records, now)
    return found(drill, records)


def found(drill: Drill, records: Records) -> tuple[Delivery, ...]:
    """Return what became of a test's notices so far, in their order."""
    made = {
        delivery.notice.key: delivery
        for incident in drill.incidents
        for delivery in records.deliveries(len(WORDS), incident=incident)
    }
    return tuple(made[notice.key] for notice in drill.notices if notice.key in made)
