"""Silences on record, whoever else writes them."""

from __future__ import annotations

from datetime import datetime

import pytest

from homeostat.alerting.episode import IncidentState, Stage
from homeostat.alerting.silences import Matcher
from homeostat.domain.decision import Severity
from homeostat.domain.effect import Notify, NotifyAction
from homeostat.domain.errors import ConflictError
from homeostat.engine.ports import PendingEffect
from homeostat.engine.silencing import Silencing, hushed
from homeostat.engine.watch import incident_key
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryRecords
from simulation.world import MODEL, START
from unit.engine.told import MINUTE


class Contested(MemoryRecords):
    """Records in which others are first a number of times."""

    rivals = 0

    def begin(self):  # type: ignore[no-untyped-def]  # noqa: ANN201
        if self.rivals:
            self.rivals -= 1
            raise ConflictError("another writer was first")
        return super().begin()


def test_other_writers_of_silences_are_waited_for_a_few_times() -> None:
    records = Contested(SimulatedClock(START))
    silencing, span = Silencing(records, (MODEL, "other")), (None, START + MINUTE)
    matcher = Matcher(model=MODEL)
    records.rivals = 4
    made = silencing.add(matcher, "ana", "known", span, "ben", START)
    records.rivals = 4
    silencing.end(made.number, "ben", START)
    assert [(d.model, d.actor, d.action) for d in records.decisions()] == [
        (MODEL, "ben", "add_silence"),
        (MODEL, "ben", "end_silence"),
    ]
    records.rivals = 5
    with pytest.raises(ConflictError):
        silencing.add(matcher, "ana", "known", span, "ben", START)
    records.rivals = 5
    with pytest.raises(ConflictError):
        silencing.end(made.number, "ben", START)


class Counted(MemoryRecords):
    """Records that count how often they are asked for states."""

    asked = 0

    def read(self, key, kind):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        self.asked += 1
        return super().read(key, kind)

    def keys(self, prefix: str) -> tuple[str, ...]:
        self.asked += 1
        return super().keys(prefix)


def waiting(records: MemoryRecords, count: int) -> tuple[PendingEffect, ...]:
    """Let so many incidents of two models fire, of which nobody could be told."""
    for model in (MODEL, "other"):
        for number in range(count):
            rule = f"r{number}"
            state = IncidentState(
                model, rule, Stage.FIRING, 1, Severity.WARNING, ("duty",), fired_at=START
            )
            notice = Notify(
                state.key, NotifyAction.TRIGGER, "duty", Severity.WARNING, model, "", "", "",
                START, rule, START,
            )  # fmt: skip
            with records.begin() as uow:
                uow.save(incident_key(model, rule), state)
                uow.intend(notice)
    return records.pending(START)


@pytest.mark.parametrize(
    ("model", "span", "held", "asked"),
    [
        (MODEL, (None, START + MINUTE), 30, 2),
        ("*", (None, START + MINUTE), 60, 3),
        ("unknown", (None, START + MINUTE), 0, 1),
        ("*", (START - 2 * MINUTE, START), 0, 1),
    ],
    ids=["one model", "all", "another model", "over before"],
)
def test_a_flood_that_waits_costs_a_look_at_each_model_that_is_silenced(
    model: str, span: tuple[datetime | None, datetime], held: int, asked: int
) -> None:
    records = Counted(SimulatedClock(START))
    silencing = Silencing(records, (MODEL, "other"))
    silencing.add(Matcher(model=model), "ana", "known", span, "ben", START - 3 * MINUTE)
    pending = waiting(records, 30)
    records.asked = 0
    found = hushed(records, pending, {}, START)
    assert (len(found.held), found.idle) == (held, frozenset())
    assert records.asked == asked
