"""The outcomes that a breaker remembers: those of the last seconds, or of the last calls."""

from __future__ import annotations

import math
from dataclasses import dataclass

SLOTS = 20  # a window of time moves in steps of a twentieth


@dataclass(frozen=True, slots=True)
class Tally:
    """Calls in one step of a window of time, or calls in a row that ended alike.

    Attributes
    ----------
    slot : int
        Number of the step; 0 in a window of calls.
    calls, faults, slow : int
        All calls, and how many of them failed or were slow (both, possibly).
    """

    slot: int
    calls: int = 0
    faults: int = 0
    slow: int = 0


Tallies = tuple[Tally, ...]


def step(window: float, last: int) -> float:
    """Return the seconds in one step of the window; infinite if it is one of calls."""
    return math.inf if last else window / SLOTS


def added(
    tallies: Tallies, last: int, slot: int, calls: int, *, fault: bool = False, slow: bool = False
) -> Tallies:
    """Return the window with `calls` more that ended alike, and without what has left it.

    Examples
    --------
    >>> window = added((), 0, 7, 3)
    >>> added(window, 0, 8, 1, fault=True)
    (Tally(slot=7, calls=3, faults=0, slow=0), Tally(slot=8, calls=1, faults=1, slow=0))
    >>> added(added((), 3, 0, 3), 3, 0, 1, fault=True)  # the last three calls
    (Tally(slot=0, calls=2, faults=0, slow=0), Tally(slot=0, calls=1, faults=1, slow=0))
    """
    new = Tally(slot, calls, calls * fault, calls * slow)
    if last:
        return _shortened(_joined(tallies, new), last)
    if tallies:
        slot = max(slot, tallies[-1].slot)  # threads may report slightly out of order
    kept = current(tallies, last, slot)
    if kept and kept[-1].slot == slot:
        old = kept[-1]
        merged = Tally(slot, old.calls + calls, old.faults + new.faults, old.slow + new.slow)
        return (*kept[:-1], merged)
    return (*kept, Tally(slot, calls, new.faults, new.slow))


def current(tallies: Tallies, last: int, slot: int) -> Tallies:
    """Return what is still in the window in the step `slot`."""
    if last:
        return tallies
    return tuple(tally for tally in tallies if tally.slot > slot - SLOTS)


def total(tallies: Tallies) -> Tally:
    """Sum the window up."""
    return Tally(
        0,
        sum(tally.calls for tally in tallies),
        sum(tally.faults for tally in tallies),
        sum(tally.slow for tally in tallies),
    )


def _joined(tallies: Tallies, new: Tally) -> Tallies:
    if tallies:
        old = tallies[-1]
        if (old.faults > 0, old.slow > 0) == (new.faults > 0, new.slow > 0):
            merged = _alike(old, old.calls + new.calls)
            return (*tallies[:-1], merged)
    return (*tallies, new)


def _shortened(tallies: Tallies, last: int) -> Tallies:
    surplus = sum(tally.calls for tally in tallies) - last
    while surplus > 0:
        oldest, tallies = tallies[0], tallies[1:]
        if oldest.calls > surplus:
            tallies = (_alike(oldest, oldest.calls - surplus), *tallies)
        surplus -= oldest.calls
    return tallies


def _alike(tally: Tally, calls: int) -> Tally:
    return Tally(tally.slot, calls, calls * (tally.faults > 0), calls * (tally.slow > 0))
