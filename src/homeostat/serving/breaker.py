"""Circuit breaker: stops asking a model that fails, and finds out carefully when it is well again.

This is the specification: pure functions of a frozen state, the time in monotonic seconds handed
in. `homeostat.serving.circuit` holds a state and is fast. Four rules keep it honest.

- Each transition starts a new *generation*; an outcome of an earlier generation settles nothing.
- Probes are few, spaced and *leased*: one that never reports counts as a fault when its lease ends.
- Only successes and faults are evidence. A client's error or a cancelled call says nothing about
  the model, so it neither opens nor closes the breaker; that a cancelled call had been slow does.
- Only bad news opens it: a fault, a slow call, or a call under way that has become slow. A call
  that hangs counts as slow while it hangs, and when it ends it is counted in its place, once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from homeostat.domain.errors import IllegalTransitionError
from homeostat.serving.window import Tallies, added, current, step, total


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


class Cause(StrEnum):
    """Why the breaker changed its mode."""

    NONE = ""
    FAULTS = "faults"  # enough of the calls in the window failed
    RUN = "run"  # enough failed in a row
    SLOW = "slow"  # enough were slow, or hang
    PROBE = "probe"  # a probe failed
    HUNG = "hung"  # a probe's lease ended
    SHARED = "shared"  # another process found it out


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
        Faults within the window that open the breaker; or slow calls, if `slow` is finite.
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
    last : int
        Count the last so many calls instead of those within `window` seconds; 0: by time.
    minimum : int
        Fewer outcomes in the window than this open nothing (but `run` may).
    run : int
        Faults in a row, with no success between, that open the breaker if they lie within `window`
        seconds of each other; 0: runs are not looked at.
    slow : float
        Seconds beyond which a call is slow, also while it hangs; infinite: not looked at.
    slow_share : float
        In [0, 1]: slow calls must also be at least this share of the calls, the hanging included.
    interval : float
        Least seconds between the beginnings of two probes.

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
    last: int = 0
    minimum: int = 1
    run: int = 0
    slow: float = math.inf
    slow_share: float = 0.5
    interval: float = 0.0

    def __post_init__(self) -> None:
        counts = (self.faults, self.probes, self.successes, self.minimum, self.last, self.run)
        if any(type(count) is not int for count in counts):
            raise ValueError(
                "a breaker's faults, probes, successes, minimum, last and run are integers"
            )
        if min(self.faults, self.probes, self.successes, self.minimum) < 1:
            raise ValueError("a breaker's faults, probes, successes and minimum must be at least 1")
        if min(self.last, self.run) < 0 or 0 < self.last < max(self.faults, self.minimum):
            raise ValueError(
                "a breaker's run and last must not be negative, and last, unless it is 0, not"
                " below faults and minimum"
            )
        if not (0 < self.window < math.inf and 0 < self.lease < math.inf and self.slow > 0):
            raise ValueError("a breaker's window, lease and slow must be positive, and finite")
        if not (0 <= self.cooldown < math.inf and 0 <= self.interval < math.inf):
            raise ValueError("a breaker's cooldown and interval must not be negative")
        if not (0 <= self.share <= 1 and 0 <= self.slow_share <= 1):
            raise ValueError("a breaker's share and slow_share must be in [0, 1]")

    @property
    def tracks(self) -> bool:
        """Whether calls under way have to be known while the breaker is closed."""
        return self.slow < math.inf


class Permit(NamedTuple):
    """Leave to make one call; hand it back with `settle`, once."""

    generation: int
    number: int = 0


@dataclass(frozen=True, slots=True)
class Running:
    """A call under way."""

    number: int
    began: float


@dataclass(frozen=True, slots=True)
class BreakerState:
    """Where the breaker stands. Times are monotonic seconds.

    Attributes
    ----------
    mode, generation, since, cause
        What it does, how often that changed, since when and why.
    tallies : tuple of Tally
        Outcomes in the window.
    faulty : tuple of float
        Times of the newest faults without a success since, at most `run`.
    running, hanging : tuple of Running
        Calls under way: probes; while closed all calls, those that are slow in `hanging`.
    proven : int
        Probes that succeeded.
    issued : int
        Number of the newest permit that has one.
    probed : float
        When the newest probe began.
    """

    mode: Mode = Mode.CLOSED
    generation: int = 0
    since: float = 0.0
    cause: Cause = Cause.NONE
    tallies: Tallies = ()
    faulty: tuple[float, ...] = ()
    running: tuple[Running, ...] = ()
    hanging: tuple[Running, ...] = ()
    proven: int = 0
    issued: int = 0
    probed: float = -math.inf


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of mode, for listeners."""

    before: Mode
    after: Mode
    at: float
    cause: Cause = Cause.NONE


def move(state: BreakerState, event: Event, now: float, cause: Cause = Cause.NONE) -> BreakerState:
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
    return BreakerState(
        *(mode, state.generation + 1, now, cause), issued=state.issued, probed=state.probed
    )


def acquire(
    config: BreakerConfig, state: BreakerState, now: float
) -> tuple[BreakerState, Permit | None]:
    """Ask for leave to make a call at `now`; no permit means: use a fallback."""
    state = look(config, state, now)
    if state.mode is Mode.OPEN and now - state.since >= config.cooldown:
        state = move(state, Event.COOLED, now)
    if state.mode is Mode.CLOSED and config.tracks:
        return issue(state, now)
    if state.mode in {Mode.CLOSED, Mode.DISABLED}:
        return state, Permit(state.generation)
    wanted = min(config.probes, config.successes - state.proven)
    if state.mode is not Mode.HALF_OPEN or len(state.running) >= wanted:
        return state, None
    if now - state.probed < config.interval:
        return state, None
    return issue(replace(state, probed=now), now)


def settle(
    config: BreakerConfig, state: BreakerState, permit: Permit, outcome: Outcome, now: float
) -> BreakerState:
    """Report how the permitted call ended; outcomes of an earlier generation change nothing."""
    state = look(config, state, now)
    if permit.generation != state.generation or state.mode not in {Mode.CLOSED, Mode.HALF_OPEN}:
        return state
    slow = False
    if config.tracks or state.mode is Mode.HALF_OPEN:
        call = next(
            (c for c in (*state.running, *state.hanging) if c.number == permit.number), None
        )
        if call is None:
            return state
        slow = now - call.began > config.slow and outcome is not Outcome.CLIENT_ERROR
        rest = (
            tuple(c for c in calls if c is not call) for calls in (state.running, state.hanging)
        )
        running, hanging = rest
        state = replace(state, running=running, hanging=hanging)
    fault = outcome is Outcome.FAULT
    if state.mode is Mode.HALF_OPEN:
        return _settle_probe(config, state, outcome, now, failed=fault or slow)
    if fault or slow or outcome is Outcome.SUCCESS:
        return _count(config, state, outcome, now, slow=slow)
    return state


def look(config: BreakerConfig, state: BreakerState, now: float) -> BreakerState:
    """Return the state after what time alone has done: leases that ended, calls become slow."""
    if state.mode is Mode.HALF_OPEN:
        ended = [call.began + config.lease for call in state.running]
        ended = [end for end in ended if end <= now]
        return move(state, Event.PROBE_FAILED, min(ended), Cause.HUNG) if ended else state
    late = tuple(call for call in state.running if now - call.began > config.slow)
    if not late:
        return state
    running = tuple(call for call in state.running if call not in late)
    state = replace(state, running=running, hanging=(*state.hanging, *late))
    return _judged(config, state, now, fault=False, slow=True)


def slot_of(config: BreakerConfig, now: float) -> int:
    """Return the number of the window's step that `now` lies in."""
    return int(now // step(config.window, config.last))


def succeeded(config: BreakerConfig, state: BreakerState, calls: int, slot: int) -> BreakerState:
    """Return the state after so many quick successes in one step of the window."""
    return replace(state, tallies=added(state.tallies, config.last, slot, calls), faulty=())


def issue(state: BreakerState, now: float) -> tuple[BreakerState, Permit]:
    """Return the state with one more call under way, whatever speaks against it, and its permit."""
    number = state.issued + 1
    running = (*state.running, Running(number, now))
    return replace(state, running=running, issued=number), Permit(state.generation, number)


def _settle_probe(
    config: BreakerConfig, state: BreakerState, outcome: Outcome, now: float, *, failed: bool
) -> BreakerState:
    if failed:
        return move(state, Event.PROBE_FAILED, now, Cause.PROBE)
    proven = state.proven + (outcome is Outcome.SUCCESS)
    if proven >= config.successes:
        return move(state, Event.PROVEN, now)
    return replace(state, proven=proven)


def _count(
    config: BreakerConfig, state: BreakerState, outcome: Outcome, now: float, *, slow: bool
) -> BreakerState:
    fault, faulty = outcome is Outcome.FAULT, state.faulty
    if fault:
        faulty = (*faulty, now)[-config.run :] if config.run else ()
    elif outcome is Outcome.SUCCESS:
        faulty = ()
    slot = slot_of(config, now)
    tallies = added(state.tallies, config.last, slot, 1, fault=fault, slow=slow)
    state = replace(state, tallies=tallies, faulty=faulty)
    return _judged(config, state, now, fault=fault, slow=slow)


def _judged(
    config: BreakerConfig, state: BreakerState, now: float, *, fault: bool, slow: bool
) -> BreakerState:
    seen = total(current(state.tallies, config.last, slot_of(config, now)))
    hanging, cause = len(state.hanging), Cause.NONE
    late, calls = seen.slow + hanging, seen.calls + hanging
    run = state.faulty
    if fault and _many(config, seen.faults, seen.calls, config.share):
        cause = Cause.FAULTS
    elif fault and config.run and len(run) == config.run and now - run[0] < config.window:
        cause = Cause.RUN
    elif slow and _many(config, late, calls, config.slow_share):
        cause = Cause.SLOW
    return move(state, Event.TRIPPED, now, cause) if cause else state


def _many(config: BreakerConfig, bad: int, calls: int, share: float) -> bool:
    return bad >= config.faults and calls >= config.minimum and bad >= share * calls
