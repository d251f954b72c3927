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
from enum import StrEnum

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
PATIENCE = 2.0  # seconds without an answer after which a member decides alone
HELD = 5.0  # most seconds that a lease may lie here while nobody calls
WISH = 300.0  # seconds without a caller after which a member asks for no more leases


class Use(StrEnum):
    """What else than an `Outcome` becomes of a lease."""

    BEGUN = "begun"  # the probe begins now: the lease counts from here
    UNUSED = "unused"  # no probe was made


@dataclass(frozen=True, slots=True)
class Report:
    """What a member saw since its last report.

    Attributes
    ----------
    generation : int or None
        The shared generation that it is about; None: not yet known.
    calls, faults : int
        Calls that succeeded or failed, and the latter alone.
    leases : tuple of (int, Outcome or Use)
        What became of leases, in order.
    wants : bool
        Whether it asks for a probe.
    reset : bool
        Whether an operator closed it.
    """

    generation: int | None
    calls: int = 0
    faults: int = 0
    leases: tuple[tuple[int, Outcome | Use], ...] = ()
    wants: bool = False
    reset: bool = False


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

    No caller waits for the others: `synchronise`, called in the background, tells what was seen and
    learns where the shared breaker stands. Who may probe is decided for all: a caller that comes
    when the cooldown is over has a lease asked for and is refused, and one that comes when it is
    there makes the probe. A lease that nobody uses for five seconds is given back. Without an
    answer for two seconds a member decides alone. An operator's reset closes the shared breaker;
    what else is commanded is each member's own.

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
        self._talking = threading.Lock()  # views are adopted in their order
        self._seen: int | None = None
        self._follows = False  # the shared breaker was not closed when last heard of
        self._leases: dict[int, int] = {}  # of probes under way, by the number of the permit
        self._held, self._since = 0, 0.0  # the lease that waits for a caller, and since when
        self._used: list[tuple[int, Outcome | Use]] = []
        self._faults, self._told, self._asked = 0, 0, -math.inf
        self._waits = math.inf  # since when a question has no answer
        self._reset = False

    @property
    def alone(self) -> bool:
        """Whether the others could not be reached at the last attempt, or none was made."""
        return self._seen is None

    @property
    def due(self) -> bool:
        """Whether there is something that the others should hear of now."""
        return self._faults > 0 or self._reset or bool(self._used) or self._waits < math.inf

    def admits(self, now: float) -> bool:
        """Whether `acquire` would give a permit; a lease is asked for if it takes one."""
        if self._apart(now):
            return super().admits(now)
        if not self._held:
            self._ask(now)
        return self._held > 0

    def acquire(self, now: float) -> Permit | None:
        """Ask for leave to make a call; None means: use a fallback."""
        if self._apart(now):
            return super().acquire(now)
        with self._lock:
            lease, self._held = self._held, 0
            if not lease:
                self._counts[REFUSED] += 1
        if lease:
            return self._probe(lease, now)
        self._ask(now)
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
                lease = self._leases.pop(permit.number, 0)
                if lease:  # else the others have opened it in this moment
                    self._used.append((lease, Outcome.FAULT if slow else outcome))
            self._wake()

    def command(self, event: Event, now: float, cause: Cause = Cause.NONE) -> None:
        """Carry out an operator's event; all members hear of a reset."""
        super().command(event, now, cause)
        if event is Event.RESET:
            with self._lock:
                self._reset = True
            self._wake()

    def synchronise(self, now: float) -> View | None:
        """Tell what was seen and take over where the shared breaker stands."""
        with self._talking:
            asked = self._asked
            report = self._report(now)
            view = self._exchange(report)
            if view is None:
                self._part(report)
            else:
                self._adopt(view, now)
            with self._lock:  # a question that came up meanwhile has no answer yet
                self._waits = self._asked if self._asked > asked else math.inf
        return view

    def withdraw(self, now: float) -> None:
        """Give all leases back, for a process that ends."""
        with self._lock:
            self._used += [(lease, Outcome.NEUTRAL) for lease in self._leases.values()]
            if self._held:
                self._used.append((self._held, Use.UNUSED))
            self._leases, self._held, self._asked = {}, 0, -math.inf
        self.synchronise(now)

    def _apart(self, now: float) -> bool:
        return (
            not self._follows or self._state.mode not in NOT_CLOSED or now - self._waits > PATIENCE
        )

    def _ask(self, now: float) -> None:
        """Have a lease asked for, if it is time to."""
        with self._lock:
            state = self._state
            cooling = state.mode is Mode.OPEN and now - state.since < self.config.cooldown
            if cooling or now - self._asked < PACE:
                return
            self._asked, self._waits = now, min(self._waits, now)
        self._wake()

    def _report(self, now: float) -> Report:
        with self._lock:
            self._folded()  # so that all successes are counted
            successes = self._counts[Outcome.SUCCESS]
            useful = self._state.mode in NOT_CLOSED
            stale = not useful or now - self._since >= min(HELD, self.config.lease / 2)
            # Who gives one back does not ask in the same breath: others may have callers.
            wants = useful and not self._held and now - self._asked < WISH
            if self._held and stale:
                self._used.append((self._held, Use.UNUSED))
                self._held = 0
            report = Report(
                self._seen,
                successes - self._told + self._faults,
                self._faults,
                tuple(self._used),
                wants,
                self._reset,
            )
            self._told, self._faults, self._used = successes, 0, []
            self._reset = False
        return report

    def _part(self, report: Report) -> None:
        with self._lock:
            self._seen, self._follows, self._held = None, False, 0
            self._reset |= report.reset

    def _adopt(self, view: View, now: float) -> None:
        with self._lock:
            before = after = self._folded()
            if view.generation != self._seen:
                after = self._followed(before, view, now)
                self._held = 0
            if after is not before:
                self._leases = {}
                self._install(after)
            self._seen, self._follows = view.generation, view.mode is not Mode.CLOSED
            if view.lease:
                self._held, self._since = view.lease, now
        self._tell(before, after)

    def _followed(self, state: BreakerState, view: View, now: float) -> BreakerState:
        if view.mode is Mode.CLOSED:
            if self._follows and state.mode in NOT_CLOSED:
                return move(state, Event.RESET, now, Cause.SHARED)
        elif state.mode is Mode.CLOSED:
            return move(state, Event.TRIPPED, now - view.age, Cause.SHARED)
        elif state.mode is Mode.HALF_OPEN:  # and if it is again: what was proven before is void
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
                self._used.append((lease, Use.BEGUN))
                self._asked = -math.inf
            else:  # an operator, or another thread, was faster
                self._used.append((lease, Use.UNUSED))
        self._wake()
        self._tell(before, after)
        return permit
