"""Holds the state of one breaker: what `homeostat.serving.breaker` decides, at little cost."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise

from homeostat.serving.breaker import (
    BreakerConfig,
    BreakerState,
    Cause,
    Event,
    Mode,
    Outcome,
    Permit,
    Running,
    Transition,
    acquire,
    look,
    move,
    settle,
    succeeded,
)
from homeostat.serving.window import step

Listener = Callable[[Transition], None]

REFUSED = "refused"
_SUCCESS = Outcome.SUCCESS
_NOWHERE = -1
_permit = tuple.__new__  # half the cost of calling the class


class Circuit:
    """One breaker, safe to use from several threads; times are monotonic seconds handed in.

    The lock is held for the decision only, never during the call. Quick successes of a closed
    breaker are only counted; whatever else happens, the pure functions decide, after what was
    counted has been put into their state.

    Parameters
    ----------
    config : BreakerConfig
    listener : callable, optional
        Is told of each transition, outside the lock; it must not raise.

    Examples
    --------
    >>> circuit = Circuit(BreakerConfig(faults=1, cooldown=10))
    >>> circuit.settle(circuit.acquire(0.0), Outcome.FAULT, 0.5)
    >>> circuit.acquire(5.0) is None, circuit.mode.value, circuit.retry_after(5.0)
    (True, 'open', 5.5)
    >>> circuit.acquire(10.5), circuit.mode.value
    (Permit(generation=2, number=1), 'half_open')
    """

    _state: BreakerState
    _pending: int  # quick successes in the step `_slot`, not yet in the state
    _slot: int
    _closed: int  # the generation, while closed
    _free: Permit | None  # for everybody, while no call under way has to be known
    _issued: int
    _running: dict[int, float]  # when the calls under way began; in place of the state's
    _oldest: float  # none of them began earlier
    _shut: float  # since when it is open; infinite: until an operator says so

    def __init__(self, config: BreakerConfig, listener: Listener | None = None) -> None:
        self.config = config
        self._listener = listener
        self._lock = threading.Lock()
        self._counts: dict[str, int] = dict.fromkeys((*Outcome, REFUSED), 0)
        self._tracks, self._slow = config.tracks, config.slow
        self._step = step(config.window, config.last)
        self._install(BreakerState())

    @property
    def state(self) -> BreakerState:
        """The state as of the last call."""
        with self._lock:
            return self._folded()

    @property
    def mode(self) -> Mode:
        """The mode as of the last call; an open breaker turns half open when it is next asked."""
        return self._state.mode

    @property
    def counts(self) -> Mapping[str, int]:
        """Calls so far by outcome, and those that were ``refused``."""
        with self._lock:
            counts = dict(self._counts)
            counts[_SUCCESS] += self._pending
        return counts

    def retry_after(self, now: float) -> float | None:
        """Return the seconds until the next probe may be made; None if that is not known."""
        state = self._state
        if state.mode is Mode.OPEN:
            return max(state.since + self.config.cooldown - now, 0.0)
        return None

    def admits(self, now: float) -> bool:
        """Whether `acquire` would give a permit; changes nothing."""
        if self._free is not None:
            return True
        with self._lock:
            if self._closed != _NOWHERE and now - self._oldest <= self._slow:
                return True
            return acquire(self.config, self._folded(), now)[1] is not None

    def acquire(self, now: float) -> Permit | None:
        """Ask for leave to make a call; None means: use a fallback."""
        permit = self._free
        if permit is not None:
            return permit
        with self._lock:
            if self._closed != _NOWHERE and now - self._oldest <= self._slow:
                self._issued = number = self._issued + 1
                if now < self._oldest:  # noqa: PLR1730 - min() would cost a tenth of it all
                    self._oldest = now
                self._running[number] = now
                return _permit(Permit, (self._closed, number))
            if now - self._shut < self.config.cooldown:
                self._counts[REFUSED] += 1
                return None
            before = self._folded()
            looked = look(self.config, before, now)
            after, permit = acquire(self.config, looked, now)
            self._install(after)
            if permit is None:
                self._counts[REFUSED] += 1
        self._tell(before, looked, after)
        return permit

    def settle(self, permit: Permit | None, outcome: Outcome, now: float) -> None:
        """Report how a call ended; without a permit nothing was called and nothing changes."""
        if permit is None:
            return
        with self._lock:
            if (
                outcome is _SUCCESS
                and permit[0] == self._closed
                and now // self._step == self._slot
                and (not self._tracks or self._quick(permit[1], now))
            ):
                self._pending += 1
                return
            before = self._folded()
            looked = look(self.config, before, now)
            after = settle(self.config, looked, permit, outcome, now)
            self._install(after)
            self._counts[outcome] += 1
        self._tell(before, looked, after)

    def command(self, event: Event, now: float, cause: Cause = Cause.NONE) -> None:
        """Carry out an operator's event.

        Raises
        ------
        IllegalTransitionError
            If the event is not possible in this mode.
        """
        with self._lock:
            before = self._folded()
            after = move(before, event, now, cause)
            self._install(after)
        self._tell(before, after)

    def _quick(self, number: int, now: float) -> bool:
        return now - self._oldest <= self._slow and self._running.pop(number, None) is not None

    def _folded(self) -> BreakerState:
        """Return the state with what was only counted since; the lock is held."""
        state = self._state
        if self._pending:
            state = succeeded(self.config, state, self._pending, self._slot)
            self._counts[_SUCCESS] += self._pending
            self._pending = 0
        if self._tracks and self._closed != _NOWHERE:
            running = tuple(Running(number, began) for number, began in self._running.items())
            state = replace(state, running=running, issued=self._issued)
        self._state = state
        return state

    def _install(self, state: BreakerState) -> None:
        self._state, self._pending = state, 0
        closed = state.mode is Mode.CLOSED
        self._closed = state.generation if closed else _NOWHERE
        self._slot = state.tallies[-1].slot if state.tallies else _NOWHERE
        self._issued = state.issued
        self._running = {call.number: call.began for call in state.running} if closed else {}
        self._oldest = min(self._running.values(), default=math.inf)
        forced, shut = state.mode is Mode.FORCED_OPEN, state.mode is Mode.OPEN
        self._shut = math.inf if forced else state.since if shut else -math.inf
        free = state.mode is Mode.DISABLED or (closed and not self._tracks)
        self._free = Permit(state.generation) if free else None

    def _tell(self, *states: BreakerState) -> None:
        if self._listener is not None:
            for before, after in pairwise(states):
                if before.generation != after.generation:
                    self._listener(Transition(before.mode, after.mode, after.since, after.cause))
