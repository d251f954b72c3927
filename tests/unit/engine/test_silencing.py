"""Silences on record, whoever else writes them."""

from __future__ import annotations

import pytest

from homeostat.alerting.silences import Matcher
from homeostat.domain.errors import ConflictError
from homeostat.engine.silencing import Silencing
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
