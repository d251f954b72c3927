"""Orders to breakers: on record, with their decision, whoever else writes."""

from datetime import UTC, datetime

import pytest

from homeostat.domain.errors import ConflictError, DataError
from homeostat.engine.orders import MOST, BreakerOrder, give_order, orders_key, standing
from homeostat.serving.breaker import Event
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes.records import MemoryRecords

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def records() -> MemoryRecords:
    return MemoryRecords(SimulatedClock(NOW))


def test_the_newest_order_of_each_version_stands(records: MemoryRecords) -> None:
    for version, event in (("v1", Event.FORCE_OPEN), ("v2", Event.DISABLE), ("v1", Event.RESET)):
        give_order(records, "fraud", version, event, "olga", "why", NOW)
    assert standing(records, "fraud") == (
        BreakerOrder("v2", Event.DISABLE, 2, "olga", "why", NOW),
        BreakerOrder("v1", Event.RESET, 3, "olga", "why", NOW),
    )
    assert standing(records, "spam") == ()


def test_each_order_is_a_decision(records: MemoryRecords) -> None:
    give_order(records, "fraud", "v1", Event.FORCE_OPEN, "olga", "it answers nonsense", NOW)
    (decision,) = records.decisions("fraud")
    assert (decision.actor, decision.action) == ("olga", "force_open_breaker")
    assert (decision.subject, decision.reason) == ("v1", "it answers nonsense")


@pytest.mark.parametrize("event", [Event.TRIPPED, Event.PROVEN])
def test_what_happens_by_itself_is_no_order(records: MemoryRecords, event: Event) -> None:
    with pytest.raises(DataError, match="people order force_open, disable, reset"):
        give_order(records, "fraud", "v1", event, "olga", "", NOW)


def test_an_order_names_a_version(records: MemoryRecords) -> None:
    with pytest.raises(DataError, match="names the version"):
        give_order(records, "fraud", "", Event.RESET, "olga", "", NOW)


def test_orders_are_bounded_and_numbers_go_on(records: MemoryRecords) -> None:
    for number in range(MOST + 5):
        give_order(records, "fraud", f"v{number}", Event.RESET, "olga", "", NOW)
    found = standing(records, "fraud")
    assert [order.number for order in found] == list(range(6, MOST + 6))


class Contested(MemoryRecords):
    """Records in which others are first a number of times."""

    rivals = 0

    def begin(self):  # type: ignore[no-untyped-def]  # noqa: ANN201
        if self.rivals:
            self.rivals -= 1
            raise ConflictError("another writer was first")
        return super().begin()


def test_other_writers_are_waited_for_a_few_times() -> None:
    records = Contested(SimulatedClock(NOW))
    records.rivals = 4
    give_order(records, "fraud", "v1", Event.RESET, "olga", "", NOW)
    assert len(standing(records, "fraud")) == 1
    records.rivals = 5
    with pytest.raises(ConflictError):
        give_order(records, "fraud", "v1", Event.RESET, "olga", "", NOW)
    assert orders_key("fraud") == "breakers:fraud"
