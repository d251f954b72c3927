"""Router and notifier in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from homeostat.domain.effect import Notify
from homeostat.domain.errors import DeliveryError
from homeostat.domain.route import Route


@dataclass
class MemoryRoutes:
    """Implements `homeostat.engine.ports.Router`; ``published`` lists every change."""

    published: list[Route] = field(default_factory=list)
    _routes: dict[str, Route] = field(default_factory=dict)

    def current(self, model: str) -> Route | None:
        """Read back what is published."""
        return self._routes.get(model)

    def publish(self, route: Route) -> None:
        """Replace the model's route; publishing what is there already does nothing."""
        if self._routes.get(route.model) != route:
            self._routes[route.model] = route
            self.published.append(route)


@dataclass
class MemoryNotifier:
    """Implements `homeostat.engine.ports.Notifier`.

    Attributes
    ----------
    attempts : list of Notify
        Every call.
    delivered : dict
        What the receiver holds: one notice per key, as a receiver that knows keys would.
    failures : list of DeliveryError
        Raised by the next calls, first one first, instead of delivering.
    """

    attempts: list[Notify] = field(default_factory=list)
    delivered: dict[str, Notify] = field(default_factory=dict)
    failures: list[DeliveryError] = field(default_factory=list)

    def send(self, notice: Notify) -> None:
        """Deliver it, or raise the next of ``failures``."""
        self.attempts.append(notice)
        if self.failures:
            raise self.failures.pop(0)
        self.delivered.setdefault(notice.key, notice)
