"""A breaker that several processes share, each deciding by itself what it can.

The faults of all are added up; if together they are enough, the shared breaker opens and every
member follows it, and who may probe is decided for all. Beyond that each member is a breaker of
its own: what only it sees opens it and no other, so that one bad process does not poison the rest.
Where the others cannot be reached, that is all there is, until they can.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

from homeostat.serving.breaker import (
    BreakerConfig,
    BreakerState,
    Cause,
    Event,
    Mode,
    Outcome,
    Permit,
    issue,
    move,
)
from homeostat.serving.circuit import REFUSED, Circuit, Listener

NOT_CLOSED = frozenset({Mode.OPEN, Mode.HALF_OPEN})
PACE = 0.05  # least seconds between two questions for a probe


@dataclass(frozen=True, slots=True)
class Report:
    """What a member saw since its last report.

    Attributes
    ----------
    generation : int or None
        The shared generation that it is about; None: not yet known.
    calls, faults : int
        Calls that succeeded or failed, and the latter alone.
    ended : tuple of (int, Outcome)
        Leases of probes that it gives back.
    wants : bool
        Whether it asks for a probe.
    """

    generation: int | None
    calls: int = 0
    faults: int = 0
    ended: tuple[tuple[int, Outcome], ...] = ()
    wants: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """Where the shared breaker stands: mode closed, open or half_open, since `age` seconds.

    ``lease`` is the number of a probe that may be made, 0 if none was asked for or given.
    """

    generation: int
    mode: Mode
    age: float
    lease: int = 0


Exchange = Callable[[Report], View | None]


class SharedCircuit(Circuit):
    """A member of a shared breaker.

    `acquire` may wait for `exchange`: only while the shared breaker is open, its cooldown is over,
    and no more often than every 50 ms. All else is told when `synchronise` is called. What an
    operator commands is each member's own.

    Parameters
    ----------
    config : BreakerConfig
        Equal in all members.
    exchange : callable
        Hands a report over and returns the view after it; None if the others cannot be reached.
    wake : callable
        Asks for a call of `synchronise` soon, from any thread.
    listener : callable, optional
        As of `Circuit`.
    """

    def __init__(
        self,
        config: BreakerConfig,
        exchange: Exchange,
        wake: Callable[[], None],
        listener: Listener | None = None,
    ) -> None:
        super().__init__(config, listener)
        self._exchange, self._wake = exchange, wake
        self._talking = threading.RLock()  # views are adopted in their order; a listener may ask
        self._seen: int | None = None
        self._follows = False  # the shared breaker was not closed when last heard of
        self._leases: dict[int, int] = {}
        self._ended: list[tuple[int, Outcome]] = []
        self._faults, self._told, self._asked = 0, 0, -math.inf

    @property
    def alone(self) -> bool:
        """Whether the others could not be reached at the last attempt, or none was made."""
        return self._seen is None

    def acquire(self, now: float) -> Permit | None:
        """Ask for leave to make a call; None means: use a fallback."""
        if not self._follows or self._state.mode not in NOT_CLOSED:
            return super().acquire(now)
        if self._may_ask(now):
            view = self.synchronise(now, wants=True)
            if view is None or not self._follows:
                return super().acquire(now)
            if view.lease:
                return self._probe(view.lease, now)
        with self._lock:
            self._counts[REFUSED] += 1
        return None

    def settle(self, permit: Permit | None, outcome: Outcome, now: float) -> None:
        """Report how a call ended; without a permit nothing was called and nothing changes."""
        if permit is None:
            return
        fault = outcome is Outcome.FAULT and permit.generation == self._closed
        super().settle(permit, outcome, now)
        if fault:
            with self._lock:
                self._faults += 1
            self._wake()
        elif permit.number in self._leases:
            with self._lock:
                state = self._state
                slow = state.cause is Cause.PROBE and state.generation == permit.generation + 1
                lease = self._leases.pop(permit.number)
                self._ended.append((lease, Outcome.FAULT if slow else outcome))
            self._wake()

    def synchronise(self, now: float, *, wants: bool = False) -> View | None:
        """Tell what was seen and take over where the shared breaker stands."""
        with self._talking:
            view = self._exchange(self._report(wants=wants))
            if view is None:
                self._seen, self._follows = None, False
            else:
                self._adopt(view, now)
        return view

    def _may_ask(self, now: float) -> bool:
        with self._lock:
            state = self._state
            cooling = state.mode is Mode.OPEN and now - state.since < self.config.cooldown
            if cooling or now - self._asked < PACE:
                return False
            self._asked = now
            return True

    def _report(self, *, wants: bool) -> Report:
        with self._lock:
            self._folded()  # so that all successes are counted
            successes = self._counts[Outcome.SUCCESS]
            report = Report(
                self._seen,
                successes - self._told + self._faults,
                self._faults,
                tuple(self._ended),
                wants,
            )
            self._told, self._faults, self._ended = successes, 0, []
        return report

    def _adopt(self, view: View, now: float) -> None:
        with self._lock:
            before = after = self._folded()
            if view.generation != self._seen:
                after = self._followed(before, view, now)
            if after is not before:
                self._leases = {}
                self._install(after)
            self._seen, self._follows = view.generation, view.mode is not Mode.CLOSED
        self._tell(before, after)

    def _followed(self, state: BreakerState, view: View, now: float) -> BreakerState:
        if view.mode is Mode.CLOSED:
            if self._follows and state.mode in NOT_CLOSED:
                return move(state, Event.RESET, now, Cause.SHARED)
        elif state.mode is Mode.CLOSED:
            return move(state, Event.TRIPPED, now - view.age, Cause.SHARED)
        elif state.mode is Mode.HALF_OPEN and view.mode is Mode.OPEN:
            return move(state, Event.PROBE_FAILED, now - view.age, Cause.SHARED)
        return state

    def _probe(self, lease: int, now: float) -> Permit | None:
        with self._lock:
            before = after = self._folded()
            permit = None
            if after.mode is Mode.OPEN:
                after = move(after, Event.COOLED, now)
            if after.mode is Mode.HALF_OPEN:
                after, permit = issue(after, now)
                self._install(after)
                self._leases[permit.number] = lease
            else:  # an operator, or another thread, was faster
                self._ended.append((lease, Outcome.NEUTRAL))
        self._tell(before, after)
        return permit
