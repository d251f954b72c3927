"""Routes through the records database: the engine publishes here, gateways elsewhere follow."""

from __future__ import annotations

from homeostat.domain.route import Route
from homeostat.engine.ports import Records


class RecordsRoutes:
    """Implements the port ``Router`` between processes; a gateway's route table follows it."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def current(self, model: str) -> Route | None:
        """Read back what is published."""
        return self._records.read(_key(model), Route)

    def publish(self, route: Route) -> None:
        """Replace the model's route in one step."""
        with self._records.begin() as uow:
            if uow.load(_key(route.model), Route) != route:
                uow.save(_key(route.model), route)


def _key(model: str) -> str:
    return f"route:{model}"
