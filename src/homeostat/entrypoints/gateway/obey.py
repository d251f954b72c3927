"""Carries out what operators want of this process's breakers."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from weakref import WeakKeyDictionary

from homeostat.domain.clock import Clock
from homeostat.domain.errors import IllegalTransitionError
from homeostat.engine.orders import BreakerOrder, standing
from homeostat.engine.ports import Records
from homeostat.entrypoints.gateway.loads import said
from homeostat.entrypoints.gateway.routes import LoadedVersion
from homeostat.entrypoints.gateway.table import RouteTable
from homeostat.serving.breaker import Event
from homeostat.serving.circuit import Circuit

logger = logging.getLogger(__name__)


class Obedience:
    """Follows the orders in the records, each once for each breaker.

    A version that is loaded later is treated as ordered before it was, except that there is nothing
    to reset; it serves no request before what was ordered holds. An order holds for the version's
    shadow scores too.

    Parameters
    ----------
    records : Records
    routes : RouteTable
    clock : Clock
    """

    def __init__(self, records: Records, routes: RouteTable, clock: Clock) -> None:
        self._records, self._routes, self._clock = records, routes, clock
        self._orders: dict[str, Mapping[str, BreakerOrder]] = {}
        self._done: WeakKeyDictionary[Circuit, int] = WeakKeyDictionary()
        self._failing: dict[str, str] = {}
        routes.arriving.append(self._obey)

    def follow(self) -> None:
        """Look once; while the records cannot be read, breakers stay as they are."""
        failing: dict[str, str] = {}
        for model in self._routes.models:
            try:
                self._orders[model] = {o.version: o for o in standing(self._records, model)}
                live = self._routes.live(model)
                self._obey(model, live.versions if live else {})
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one, others go on
                failing[model] = said(error)
        for problem in sorted({*failing.values()} - {*self._failing.values()}):
            logger.warning("orders to breakers cannot be followed: %s", problem)
        self._failing = failing

    def _obey(self, model: str, versions: Mapping[str, LoadedVersion]) -> None:
        """Carry out what is ordered as of the last look on versions that serve, or are about to."""
        orders = self._orders.get(model)
        if orders is None:  # nobody has looked yet
            return
        for name, circuits in _steered(versions):
            order = orders.get(name)
            for circuit in circuits:
                done = self._done.get(circuit)
                self._done[circuit] = order.number if order else 0
                fresh = done is None
                if order is None or (order.event is Event.RESET if fresh else done == order.number):
                    continue
                with suppress(IllegalTransitionError):  # it is so already
                    circuit.command(order.event, self._clock.monotonic())


def _steered(
    versions: Mapping[str, LoadedVersion],
) -> Iterator[tuple[str, tuple[Circuit, ...]]]:
    """Go through breakers by what orders call them: versions and their endpoints."""
    for version, loaded in versions.items():
        yield version, (loaded.breaker, loaded.shadow_breaker)
        for name, circuit in loaded.endpoints.items():
            yield name, (circuit,)
