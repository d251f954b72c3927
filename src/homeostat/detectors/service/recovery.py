"""When an alarm about a share of rows is over: by evidence, not by a few rows that were good."""

from __future__ import annotations

import math
from dataclasses import dataclass

FEWEST_ROWS = 20
MOST = 0.5  # of a larger share no more is needed
ENOUGH = math.log(10_000.0)
"""Of the CUSUM, the logarithm of the rows between two wrong ends of an alarm, at least."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """While an alarm lasts: the rows that speak for it, and those of late that speak against it.

    Attributes
    ----------
    missed, judged : int
        Rows that missed the objective, and all, of the periods that spoke for the alarm.
    late_missed, late_judged : int
        The same of the periods since.
    evidence : float
        That it is over; 0 where the last period spoke for the alarm.
    """

    missed: int = 0
    judged: int = 0
    late_missed: int = 0
    late_judged: int = 0
    evidence: float = 0.0


def recover(state: Recovery, missed: int, judged: int, allowed: float) -> tuple[Recovery, bool]:
    """Take another period's rows into account, and say whether the alarm is over.

    A CUSUM of the likelihood ratio between the share that is allowed and the share that was seen
    while the alarm lasted (Page, "Continuous inspection schemes", Biometrika 1954). It is over only
    if the late rows also keep to what is allowed: where they are merely better than they were,
    theirs becomes the share that recovery is held against.

    Parameters
    ----------
    state : Recovery
        ``Recovery()`` at first.
    missed, judged : int
        Rows of the period that missed the objective, and all.
    allowed : float
        Share that may, in (0, 1).

    Examples
    --------
    >>> outage, _ = recover(Recovery(), 50, 50, 0.01)
    >>> recover(outage, 0, 19, 0.01)[1], recover(outage, 0, 20, 0.01)[1]
    (False, True)
    >>> tenth = Recovery(10, 100)
    >>> recover(tenth, 0, 60, 0.01)[1], recover(tenth, 0, 100, 0.01)[1]
    (False, True)
    """
    share = _against(state, allowed)
    good, bad = math.log((1.0 - allowed) / (1.0 - share)), math.log(allowed / share)
    evidence = state.evidence + (judged - missed) * good + missed * bad
    late_missed, late_judged = state.late_missed + missed, state.late_judged + judged
    if evidence <= 0.0:
        return Recovery(state.missed + late_missed, state.judged + late_judged), False
    if evidence < ENOUGH or late_judged < FEWEST_ROWS:
        return Recovery(state.missed, state.judged, late_missed, late_judged, evidence), False
    if late_missed <= allowed * late_judged:
        return Recovery(), True
    return Recovery(late_missed, late_judged), False


def _against(state: Recovery, allowed: float) -> float:
    """Return the share that recovery is held against: twice the allowed one at least, never 1."""
    seen = state.missed / state.judged if state.judged else 1.0
    least = min(2.0 * allowed, (1.0 + allowed) / 2.0)
    return max(min(seen, MOST), least)
