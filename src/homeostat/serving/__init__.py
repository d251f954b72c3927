"""Decisions of the data plane, without sockets: breaker, traffic split, fallback tiers."""

from homeostat.serving.breaker import BreakerConfig, Cause, Event, Mode, Outcome, Transition
from homeostat.serving.breakers import Breakers
from homeostat.serving.classify import Upstream
from homeostat.serving.fallback import (
    Cached,
    Fallback,
    Kept,
    Lighter,
    Rules,
    ScoreCache,
    StoodIn,
    parse_rules,
)
from homeostat.serving.guard import Breaker
from homeostat.serving.router import Choice, Router

__all__ = [
    "Breaker",
    "BreakerConfig",
    "Breakers",
    "Cached",
    "Cause",
    "Choice",
    "Event",
    "Fallback",
    "Kept",
    "Lighter",
    "Mode",
    "Outcome",
    "Router",
    "Rules",
    "ScoreCache",
    "StoodIn",
    "Transition",
    "Upstream",
    "parse_rules",
]
