"""What operators want of breakers: kept in the records, from where every gateway takes it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from homeostat.domain.decision import Decision
from homeostat.domain.errors import ConflictError, DataError
from homeostat.engine.ports import Records
from homeostat.serving.breaker import Event

ATTEMPTS = 5
MOST = 100  # versions with an order; the oldest goes
BY_HAND = (Event.FORCE_OPEN, Event.DISABLE, Event.RESET)


@dataclass(frozen=True, slots=True)
class BreakerOrder:
    """One version's newest order.

    Attributes
    ----------
    version : str
    event : Event
        force_open (it is asked no more), disable (it is always asked) or reset (it decides again).
    number : int
        Rises with each order for the model; a gateway carries a number out once.
    actor, reason, at
        Who wanted it, why and when.
    """

    version: str
    event: Event
    number: int
    actor: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class BreakerOrders:
    """The newest order for each version of a model, oldest first."""

    orders: tuple[BreakerOrder, ...] = ()


def orders_key(model: str) -> str:
    """Return the state key of a model's orders."""
    return f"breakers:{model}"


def standing(records: Records, model: str) -> tuple[BreakerOrder, ...]:
    """Return the orders that gateways of a model obey."""
    found = records.read(orders_key(model), BreakerOrders)
    return found.orders if found else ()


def give_order(
    records: Records, model: str, version: str, event: Event, actor: str, reason: str, now: datetime
) -> BreakerOrder:
    """Put an order on record, and its decision; gateways carry it out within a second.

    Raises
    ------
    DataError
        If it names no version, or is none that people give.
    ConflictError
        If other writers were first several times in a row.
    """
    if not version:
        raise DataError("an order to a breaker names the version whose it is")
    if event not in BY_HAND:
        raise DataError(f"{event} happens by itself; people order {', '.join(BY_HAND)}")
    for _ in range(ATTEMPTS - 1):
        with suppress(ConflictError):
            return _give(records, model, version, event, actor, reason, now)
    return _give(records, model, version, event, actor, reason, now)


def _give(
    records: Records, model: str, version: str, event: Event, actor: str, reason: str, now: datetime
) -> BreakerOrder:
    with records.begin() as uow:
        before = (uow.load(orders_key(model), BreakerOrders) or BreakerOrders()).orders
        number = max((order.number for order in before), default=0) + 1
        order = BreakerOrder(version, event, number, actor, reason, now)
        others = tuple(other for other in before if other.version != version)
        uow.save(orders_key(model), BreakerOrders((*others, order)[-MOST:]))
        uow.decide(Decision(model, now, actor, f"{event}_breaker", version, reason))
    return order
