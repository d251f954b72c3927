"""How many calls may be under way: finds out by itself how many end in time.

Additive increase, multiplicative decrease (Chiu & Jain 1989): a call that ends in time while at
least half of the places are taken adds one place a round of calls; a call that ends late takes a
tenth of them away, at most once a round. What counts as late is given, so nothing has to be
measured first, and the limit is never lowered to find something out. Work that takes long by itself
is not late for that: what it takes while nothing else is under way is allowed for.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

ALLOWED = 1.5  # times what a call takes alone, within which it is not late
LATEST = 2.0  # times `late`, after which it is in any case
LEARNT = 0.25  # weight of the newest call that was alone


@dataclass(frozen=True, slots=True)
class LimitBounds:
    """Bounds of a limit.

    Attributes
    ----------
    most : int
        Highest limit, from 1.
    late : float
        Seconds; a call that takes longer, its waiting included, is late, unless a call that is
        alone takes about as long. After twice the time it is late in any case.
    least : int
        Lowest limit, from 1 to `most`.
    start : int
        The limit at first; 0: `most`.
    shrink : float
        What is left of the limit after a late call, in (0, 1).
    """

    most: int
    late: float
    least: int = 1
    start: int = 0
    shrink: float = 0.9


@dataclass(frozen=True, slots=True)
class LimitState:
    """The limit now, when it was lowered last, and the seconds that a call takes alone."""

    limit: float
    lowered: float = float("-inf")
    alone: float = 0.0


def ended(
    config: LimitBounds,
    state: LimitState,
    under_way: int,
    began: float,
    now: float,
    *,
    good: bool,
    dropped: bool = False,
    alone: bool = False,
) -> LimitState:
    """Return the state after a call has ended.

    Parameters
    ----------
    config : LimitBounds
    state : LimitState
    under_way : int
        Calls under way before it ended, itself included.
    began, now : float
        Monotonic seconds.
    good : bool
        Whether it did its work; one that was cancelled or failed early raises no limit.
    dropped : bool
        Whether it was refused because there is too much to do: as bad as late.
    alone : bool
        Whether no other call was under way at any time between.

    Examples
    --------
    >>> config = LimitBounds(most=20, late=0.1)
    >>> ended(config, LimitState(10.0), 10, 0.0, 0.05, good=True).limit
    10.1
    >>> lowered = ended(config, LimitState(10.0), 10, 0.0, 0.5, good=True)
    >>> lowered.limit, ended(config, lowered, 9, 0.1, 0.6, good=True).limit  # of the same round
    (9.0, 9.0)
    >>> ended(config, LimitState(1.0), 1, 0.0, 0.11, good=True, alone=True)
    LimitState(limit=2.0, lowered=-inf, alone=0.11)
    """
    taken = now - began
    if good and alone:
        change = LEARNT if state.alone else 1.0
        state = replace(state, alone=state.alone + change * (taken - state.alone))
    late = min(max(config.late, ALLOWED * state.alone), LATEST * config.late)
    if dropped or taken > late:
        if began < state.lowered:
            return state
        return LimitState(max(state.limit * config.shrink, float(config.least)), now, state.alone)
    if good and 2 * under_way >= state.limit:
        return replace(state, limit=min(state.limit + 1 / state.limit, float(config.most)))
    return state


class Limit:
    """Places for calls, safe to use from several threads; times are monotonic seconds handed in.

    Parameters
    ----------
    config : LimitBounds
    """

    def __init__(self, config: LimitBounds) -> None:
        self.config = config
        self._state = LimitState(float(config.start or config.most))
        self._under_way = 0
        self._company = False  # whether calls have been under way together since none was
        self._lock = threading.Lock()

    @property
    def under_way(self) -> int:
        """Places that are taken."""
        return self._under_way

    @property
    def places(self) -> int:
        """Places that there are now."""
        return int(self._state.limit)

    def enter(self) -> bool:
        """Take a place; False if there is none, and the call must not be made."""
        with self._lock:
            if self._under_way >= int(self._state.limit):
                return False
            self._company = self._under_way > 0
            self._under_way += 1
            return True

    def leave(self, began: float, now: float, *, good: bool, dropped: bool = False) -> None:
        """Give a place back; parameters as of `ended`."""
        with self._lock:
            self._state = ended(
                self.config,
                self._state,
                self._under_way,
                began,
                now,
                good=good,
                dropped=dropped,
                alone=not self._company,
            )
            self._under_way -= 1
