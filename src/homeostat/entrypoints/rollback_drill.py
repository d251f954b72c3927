"""A roll-back that is only tried: what it would do, whether it can, and how long its parts take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from homeostat.adapters.models import Loader
from homeostat.domain.clock import Clock
from homeostat.domain.errors import HomeostatError, IllegalTransitionError
from homeostat.engine.ports import Registry
from homeostat.rollout.events import RollBack
from homeostat.rollout.machine import step
from homeostat.rollout.state import RolloutPolicy, RolloutState, route

GATEWAY_LOOKS = timedelta(seconds=0.5)
"""Between two looks of a gateway at its routes."""


@dataclass(frozen=True, slots=True)
class RollbackDrill:
    """What a roll-back would come to.

    Attributes
    ----------
    model, stage : str
    serves, would_serve : str
        Version that answers now, and the one that would.
    warm : bool
        Whether gateways hold it in memory already: then a request waits for nothing.
    verify_seconds, load_seconds : float
        Measured now: to hash the artifact, and to load it; 0 if it was not come to.
    look : timedelta
        Longest time until a gateway takes the route that the command publishes.
    problem : str
        Why it could not be done; empty: it can.
    """

    model: str
    stage: str
    serves: str
    would_serve: str = ""
    warm: bool = False
    verify_seconds: float = 0.0
    load_seconds: float = 0.0
    look: timedelta = timedelta(0)
    problem: str = ""

    @property
    def seconds(self) -> float:
        """Longest time from the command to the first answer of the other version."""
        cold = 0.0 if self.warm else self.verify_seconds + self.load_seconds
        return self.look.total_seconds() + cold


def drill(
    state: RolloutState,
    policy: RolloutPolicy,
    registry: Registry,
    load: Loader,
    clock: Clock,
    look: timedelta = GATEWAY_LOOKS,
) -> RollbackDrill:
    """Try a roll-back on a copy of the state, and load the version it would go to.

    Nothing is recorded and nothing is published.
    """
    now = clock.now()
    asked = RollBack("drill", "drill")
    try:
        after, _ = step(state, asked, now, policy)
    except IllegalTransitionError as error:
        return RollbackDrill(state.model, state.stage, state.champion, problem=str(error))
    target = after.champion
    unchanged = (target, after.challenger) == (state.champion, state.challenger)
    if unchanged or not target:
        return RollbackDrill(
            state.model, state.stage, state.champion, problem="there is nothing to go back to"
        )
    try:
        verify, load_time = _measure(registry, load, clock, state.model, target)
    except HomeostatError as error:
        return RollbackDrill(
            state.model, state.stage, state.champion, target, look=look, problem=str(error)
        )
    warm = target in _held(state, now)
    return RollbackDrill(
        state.model, state.stage, state.champion, target, warm, verify, load_time, look
    )


def _held(state: RolloutState, now: datetime) -> frozenset[str]:
    published = route(state, now)
    return frozenset((published.champion, published.challenger, *published.shadows))


def _measure(
    registry: Registry, load: Loader, clock: Clock, model: str, version: str
) -> tuple[float, float]:
    def timed(work: Callable[[], object]) -> float:
        began = clock.monotonic()
        work()
        return clock.monotonic() - began

    card = registry.get(model, version)
    verify = timed(lambda: registry.path(model, version))
    path = registry.path(model, version)
    return verify, timed(lambda: load(path, card.flavour))
