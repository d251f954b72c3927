"""Decisions of the data plane, without sockets: breaker, traffic split, fallback tiers."""

from homeostat.serving.breaker import BreakerConfig, Cause, Event, Mode, Outcome, Transition
from homeostat.serving.breakers import Breakers
from homeostat.serving.classify import Upstream
from homeostat.serving.guard import Breaker

__all__ = [
    "Breaker",
    "BreakerConfig",
    "Breakers",
    "Cause",
    "Event",
    "Mode",
    "Outcome",
    "Transition",
    "Upstream",
]
