"""Carries out what operators want of this process's breakers."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from weakref import WeakKeyDictionary

from homeostat.domain.clock import Clock
from homeostat.domain.errors import HomeostatError, IllegalTransitionError
from homeostat.engine.orders import BreakerOrder, standing
from homeostat.engine.ports import Records
from homeostat.entrypoints.gateway.routes import RouteTable
from homeostat.serving.breaker import Event
from homeostat.serving.circuit import Circuit

logger = logging.getLogger(__name__)


class Obedience:
    """Follows the orders in the records, each once for each breaker.

    A version that is loaded later is treated as ordered before it was, except that there is nothing
    to reset. An order holds for the version's shadow scores too.

    Parameters
    ----------
    records : Records
    routes : RouteTable
    clock : Clock
    """

    def __init__(self, records: Records, routes: RouteTable, clock: Clock) -> None:
        self._records, self._routes, self._clock = records, routes, clock
        self._done: WeakKeyDictionary[Circuit, int] = WeakKeyDictionary()
        self._failing = ""

    def follow(self) -> None:
        """Look once; while the records cannot be read, breakers stay as they are."""
        try:
            for model in self._routes.models:
                self._obey(model, {o.version: o for o in standing(self._records, model)})
        except HomeostatError as error:
            if self._failing != str(error):
                logger.warning("orders to breakers cannot be read: %s", error)
            self._failing = str(error)
        else:
            self._failing = ""

    def _obey(self, model: str, orders: Mapping[str, BreakerOrder]) -> None:
        live = self._routes.live(model)
        for version, loaded in live.versions.items() if live else ():
            order = orders.get(version)
            for circuit in (loaded.breaker, loaded.shadow_breaker):
                done = self._done.get(circuit)
                self._done[circuit] = order.number if order else 0
                fresh = done is None
                if order is None or (order.event is Event.RESET if fresh else done == order.number):
                    continue
                with suppress(IllegalTransitionError):  # it is so already
                    circuit.command(order.event, self._clock.monotonic())
