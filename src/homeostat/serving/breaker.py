"""Circuit breaker: stops asking a model that fails, and finds out carefully when it is well again.

Pure: time is monotonic seconds handed in, and every function returns the next state. Three rules
keep it honest. Each transition starts a new *generation*, and an outcome of an earlier generation
settles nothing. Probes are few and *leased*: one that never reports counts as a fault when its
lease ends. Only successes and faults are evidence; a client's error or a cancelled call says
nothing about the model, so it neither opens nor closes the breaker.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from homeostat.domain.errors import IllegalTransitionError

SLOTS = 20  # the window of faults moves in steps of a twentieth


class Mode(StrEnum):
    """Whether calls pass."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    FORCED_OPEN = "forced_open"
    DISABLED = "disabled"


class Event(StrEnum):
    """What moves the breaker; the last three are an operator's."""

    TRIPPED = "tripped"
    COOLED = "cooled"
    PROVEN = "proven"
    PROBE_FAILED = "probe_failed"
    FORCE_OPEN = "force_open"
    DISABLE = "disable"
    RESET = "reset"


class Outcome(StrEnum):
    """How a call ended."""

    SUCCESS = "success"
    FAULT = "fault"  # the model failed or was too slow
    CLIENT_ERROR = "client_error"  # the request was wrong: no evidence about the model
    NEUTRAL = "neutral"  # cancelled or shed: no evidence either


TRANSITIONS: Mapping[tuple[Mode, Event], Mode] = MappingProxyType(
    {
        (Mode.CLOSED, Event.TRIPPED): Mode.OPEN,
        (Mode.CLOSED, Event.FORCE_OPEN): Mode.FORCED_OPEN,
        (Mode.CLOSED, Event.DISABLE): Mode.DISABLED,
        (Mode.OPEN, Event.COOLED): Mode.HALF_OPEN,
        (Mode.OPEN, Event.FORCE_OPEN): Mode.FORCED_OPEN,
        (Mode.OPEN, Event.DISABLE): Mode.DISABLED,
        (Mode.OPEN, Event.RESET): Mode.CLOSED,
        (Mode.HALF_OPEN, Event.PROVEN): Mode.CLOSED,
        (Mode.HALF_OPEN, Event.PROBE_FAILED): Mode.OPEN,
        (Mode.HALF_OPEN, Event.FORCE_OPEN): Mode.FORCED_OPEN,
        (Mode.HALF_OPEN, Event.DISABLE): Mode.DISABLED,
        (Mode.HALF_OPEN, Event.RESET): Mode.CLOSED,
        (Mode.FORCED_OPEN, Event.DISABLE): Mode.DISABLED,
        (Mode.FORCED_OPEN, Event.RESET): Mode.CLOSED,
        (Mode.DISABLED, Event.FORCE_OPEN): Mode.FORCED_OPEN,
        (Mode.DISABLED, Event.RESET): Mode.CLOSED,
    }
)


@dataclass(frozen=True, slots=True)
class BreakerConfig:
    """When to open and how to close again.

    Attributes
    ----------
    faults : int
        Faults within `window` that open the breaker.
    window : float
        Seconds over which outcomes are counted; it moves in steps of a twentieth.
    share : float
        In [0, 1]: faults must also be at least this share of the outcomes in the window, so that
        rare faults in heavy traffic do not open it. Zero: the count alone decides.
    cooldown : float
        Seconds from opening to the first probe.
    probes : int
        Most probes under way at once.
    successes : int
        Probes that must succeed to close the breaker.
    lease : float
        Seconds after which a probe that has not reported counts as a fault.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    faults: int = 5
    window: float = 60.0
    share: float = 0.5
    cooldown: float = 30.0
    probes: int = 1
    successes: int = 2
    lease: float = 30.0

    def __post_init__(self) -> None:
        if min(self.faults, self.probes, self.successes) < 1:
            raise ValueError("a breaker's faults, probes and successes must be at least 1")
        if not (0 < self.window < math.inf and 0 < self.lease < math.inf):
            raise ValueError("a breaker's window and lease must be positive and finite")
        if not (0 <= self.cooldown < math.inf and 0 <= self.share <= 1):
            raise ValueError("a breaker's cooldown must not be negative, its share in [0, 1]")


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to make one call; hand it back with `settle`, once."""

    generation: int
    number: int = 0


@dataclass(frozen=True, slots=True)
class Tally:
    """Outcomes in one step of the window."""

    slot: int
    successes: int = 0
    faults: int = 0


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe under way."""

    number: int
    expires: float


@dataclass(frozen=True, slots=True)
class BreakerState:
    """Where the breaker stands. ``since`` is in monotonic seconds."""

    mode: Mode = Mode.CLOSED
    generation: int = 0
    since: float = 0.0
    tallies: tuple[Tally, ...] = ()
    probes: tuple[Probe, ...] = ()
    proven: int = 0
    issued: int = 0


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of mode, for listeners."""

    before: Mode
    after: Mode
    at: float


def move(state: BreakerState, event: Event, now: float) -> BreakerState:
    """Return the state after `event`, in a new generation.

    Raises
    ------
    IllegalTransitionError
        If `TRANSITIONS` has no entry for the mode and the event.

    Examples
    --------
    >>> move(BreakerState(), Event.FORCE_OPEN, 0.0).mode.value
    'forced_open'
    """
    mode = TRANSITIONS.get((state.mode, event))
    if mode is None:
        raise IllegalTransitionError("breaker", state.mode, event)
    return BreakerState(mode, state.generation + 1, now, issued=state.issued)


def acquire(
    config: BreakerConfig, state: BreakerState, now: float
) -> tuple[BreakerState, Permit | None]:
    """Ask for leave to make a call at `now`; no permit means: use a fallback."""
    state = _expire(state, now)
    if state.mode is Mode.OPEN and now - state.since >= config.cooldown:
        state = move(state, Event.COOLED, now)
    if state.mode in {Mode.CLOSED, Mode.DISABLED}:
        return state, Permit(state.generation)
    wanted = min(config.probes, config.successes - state.proven)
    if state.mode is not Mode.HALF_OPEN or len(state.probes) >= wanted:
        return state, None
    number = state.issued + 1
    probes = (*state.probes, Probe(number, now + config.lease))
    return replace(state, probes=probes, issued=number), Permit(state.generation, number)


def settle(
    config: BreakerConfig, state: BreakerState, permit: Permit, outcome: Outcome, now: float
) -> BreakerState:
    """Report how the permitted call ended; outcomes of an earlier generation change nothing."""
    state = _expire(state, now)
    if permit.generation != state.generation:
        return state
    if state.mode is Mode.HALF_OPEN:
        return _settle_probe(config, state, permit, outcome, now)
    if state.mode is Mode.CLOSED and outcome in {Outcome.SUCCESS, Outcome.FAULT}:
        return _count(config, state, outcome, now)
    return state


def _settle_probe(
    config: BreakerConfig, state: BreakerState, permit: Permit, outcome: Outcome, now: float
) -> BreakerState:
    rest = tuple(probe for probe in state.probes if probe.number != permit.number)
    if len(rest) == len(state.probes):
        return state
    if outcome is Outcome.FAULT:
        return move(state, Event.PROBE_FAILED, now)
    proven = state.proven + (outcome is Outcome.SUCCESS)
    if proven >= config.successes:
        return move(state, Event.PROVEN, now)
    return replace(state, probes=rest, proven=proven)


def _expire(state: BreakerState, now: float) -> BreakerState:
    ended = [probe.expires for probe in state.probes if probe.expires <= now]
    return move(state, Event.PROBE_FAILED, min(ended)) if ended else state


def _count(
    config: BreakerConfig, state: BreakerState, outcome: Outcome, now: float
) -> BreakerState:
    slot = math.floor(now * SLOTS / config.window)
    if state.tallies:
        slot = max(slot, state.tallies[-1].slot)  # threads may report slightly out of order
    kept = tuple(tally for tally in state.tallies if tally.slot > slot - SLOTS)
    last = Tally(slot)
    if kept and kept[-1].slot == slot:
        kept, last = kept[:-1], kept[-1]
    fault = outcome is Outcome.FAULT
    last = Tally(slot, last.successes + (not fault), last.faults + fault)
    tallies = (*kept, last)
    faults = sum(tally.faults for tally in tallies)
    total = faults + sum(tally.successes for tally in tallies)
    if fault and faults >= config.faults and faults >= config.share * total:
        return move(state, Event.TRIPPED, now)
    return replace(state, tallies=tallies)


class Breaker:
    """Holds the state of one breaker; safe to use from several threads.

    The lock is held for the decision only, never during the call.

    Examples
    --------
    >>> breaker = Breaker(BreakerConfig(faults=1, cooldown=10))
    >>> breaker.settle(breaker.acquire(0.0), Outcome.FAULT, 0.5)
    >>> breaker.acquire(5.0) is None, breaker.mode.value
    (True, 'open')
    >>> breaker.acquire(10.5), breaker.mode.value
    (Permit(generation=2, number=1), 'half_open')
    """

    def __init__(
        self, config: BreakerConfig, listener: Callable[[Transition], None] | None = None
    ) -> None:
        self.config = config
        self._listener = listener
        self._state = BreakerState()
        self._lock = threading.Lock()

    @property
    def state(self) -> BreakerState:
        """The state as of the last call."""
        return self._state

    @property
    def mode(self) -> Mode:
        """The mode as of the last call; an open breaker turns half open when it is next asked."""
        return self._state.mode

    def admits(self, now: float) -> bool:
        """Whether `acquire` would give a permit; changes nothing."""
        return acquire(self.config, self._state, now)[1] is not None

    def acquire(self, now: float) -> Permit | None:
        """Ask for leave to make a call; None means: use a fallback."""
        with self._lock:
            before = self._state
            self._state, permit = acquire(self.config, before, now)
            after = self._state
        self._tell(before, after)
        return permit

    def settle(self, permit: Permit | None, outcome: Outcome, now: float) -> None:
        """Report how a call ended; without a permit nothing was called and nothing changes."""
        if permit is None:
            return
        with self._lock:
            before = self._state
            self._state = after = settle(self.config, before, permit, outcome, now)
        self._tell(before, after)

    def command(self, event: Event, now: float) -> None:
        """Carry out an operator's event.

        Raises
        ------
        IllegalTransitionError
            If the event is not possible in this mode.
        """
        with self._lock:
            before = self._state
            self._state = after = move(before, event, now)
        self._tell(before, after)

    def _tell(self, before: BreakerState, after: BreakerState) -> None:
        if self._listener is not None and before.generation != after.generation:
            self._listener(Transition(before.mode, after.mode, after.since))
