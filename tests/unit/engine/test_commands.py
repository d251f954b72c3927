"""Requests by hand wait in an inbox, whoever else writes to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest

from homeostat.domain.errors import ConflictError
from homeostat.engine.commands import (
    ATTEMPTS,
    KEPT_KEYS,
    Asked,
    Command,
    Inbox,
    Request,
    asked_key,
    inbox_key,
    submit,
    submit_once,
)  # fmt: skip
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryRecords
from homeostat.simulation.fakes.records import MemoryUnit
from simulation.world import MODEL, START

RETRAIN = Command(Request.RETRAIN, MODEL, "ana")
RIVAL = Command(Request.ABORT, MODEL, "ben")


@dataclass
class Contended(MemoryRecords):
    """Records in which somebody else is first, a few times."""

    rivals: int = 0

    @contextmanager
    def begin(self) -> Iterator[MemoryUnit]:
        with super().begin() as unit:
            yield unit
            if self.rivals:
                self.rivals -= 1
                with super().begin() as other:
                    inbox = other.load(inbox_key(MODEL), Inbox) or Inbox()
                    other.save(inbox_key(MODEL), Inbox((*inbox.commands, RIVAL)))


def waiting(records: MemoryRecords) -> tuple[Command, ...]:
    inbox = records.read(inbox_key(MODEL), Inbox)
    return inbox.commands if inbox else ()


def test_commands_wait_in_order() -> None:
    records = MemoryRecords(SimulatedClock(START))
    submit(records, RETRAIN, START)
    submit(records, RIVAL, START)
    assert waiting(records) == (replace(RETRAIN, at=START), replace(RIVAL, at=START))


def test_a_lost_race_is_run_again_and_loses_nothing() -> None:
    records = Contended(SimulatedClock(START), rivals=ATTEMPTS - 1)
    submit(records, RETRAIN, START)
    assert waiting(records) == (*[RIVAL] * (ATTEMPTS - 1), replace(RETRAIN, at=START))


def test_losing_every_time_is_an_error() -> None:
    records = Contended(SimulatedClock(START), rivals=ATTEMPTS)
    with pytest.raises(ConflictError):
        submit(records, RETRAIN, START)
    assert RETRAIN.request not in {command.request for command in waiting(records)}


def test_what_waits_or_was_asked_for_by_a_key_is_asked_for_once() -> None:
    records = Contended(SimulatedClock(START), rivals=ATTEMPTS - 1)
    assert submit_once(records, RETRAIN, "release-7", START)
    assert not submit_once(records, RETRAIN, "", START)
    assert submit_once(records, replace(RETRAIN, request=Request.PUSH, subject="2"), "", START)
    assert not submit_once(records, replace(RETRAIN, subject="x"), "release-7", START)
    asked = [command.request for command in waiting(records) if command != RIVAL]
    assert asked == [Request.RETRAIN, Request.PUSH]


def test_the_newest_keys_are_remembered() -> None:
    records = MemoryRecords(SimulatedClock(START))
    for number in range(KEPT_KEYS + 1):
        assert submit_once(records, replace(RETRAIN, subject=str(number)), str(number), START)
    asked = records.read(asked_key(MODEL), Asked)
    assert asked is not None
    assert [key for key, _ in asked.keys][:: KEPT_KEYS - 1] == ["1", str(KEPT_KEYS)]
    with pytest.raises(ConflictError):
        submit_once(Contended(SimulatedClock(START), rivals=ATTEMPTS), RETRAIN, "", START)
