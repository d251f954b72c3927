"""Runs worlds, and makes those that break an invariant as small as they get."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from homeostat.domain.decision import Decision
from homeostat.domain.effect import NotifyAction
from homeostat.simulation.invariants import BrokenInvariantError, check_all
from homeostat.simulation.worlds.case import DAY, Case, Event
from homeostat.simulation.worlds.life import TICK, Life
from homeostat.simulation.worlds.score import Score, score


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a world.

    Attributes
    ----------
    case : Case
    score : Score
    digest : str
        SHA-256 of the decision log.
    decisions, deaths : int
    broken : str
        Name of the invariant that did not hold; empty if all held.
    found : str
        How it did not hold.
    ticks : int
        Ticks that were lived through.
    """

    case: Case
    score: Score
    digest: str
    decisions: int
    deaths: int
    broken: str = ""
    found: str = ""
    ticks: int = 0


def run(case: Case) -> Result:
    """Live through a world and check every invariant after every tick."""
    with tempfile.TemporaryDirectory(prefix="homeostat-world-") as folder:
        life = Life.begin(case, Path(folder))
        ticks, broken, found = 0, "", ""
        try:
            while life.clock.now() < case.end:
                life.advance()
                ticks += 1
                life.check_log()
                check_all(life.scene)
        except BrokenInvariantError as error:
            broken, found = error.name, str(error)
        decisions = life.ports.records.decisions()
        pages = sum(n.action is NotifyAction.TRIGGER for n in life.scene.told)
        log = log_of(decisions)
    return Result(
        case=case,
        score=score(case, decisions, pages),
        digest=hashlib.sha256(log).hexdigest(),
        decisions=len(decisions),
        deaths=life.deaths,
        broken=broken,
        found=found,
        ticks=ticks,
    )


def log_of(decisions: Sequence[Decision]) -> bytes:
    """Return a decision log as bytes, one line a decision."""
    lines = (json.dumps(asdict(d), default=str, sort_keys=True) for d in decisions)
    return "\n".join(lines).encode()


def minimise(result: Result, live: Callable[[Case], Result] = run, most: int = 40) -> Result:
    """Return a smaller world that breaks the same invariant.

    The world ends with the tick that broke it; then events are left out, one after another, and
    what is left is made shorter and less, as long as the invariant breaks.

    Parameters
    ----------
    result : Result
        Of a world that breaks one.
    live : callable
        Lives through a world.
    most : int
        Worlds that may be lived through.
    """
    left = most
    best = result

    def worse(case: Case) -> bool:
        nonlocal left, best
        if left <= 0 or case == best.case:
            return False
        left -= 1
        tried = live(case)
        if tried.broken != result.broken:
            return False
        best = tried
        return True

    days = -(-(best.ticks * TICK) // DAY)
    worse(replace(best.case, days=max(days, 1)))
    shrinks = True
    while shrinks and left > 0:
        shrinks = False
        for event in best.case.events:
            rest = tuple(e for e in best.case.events if e != event)
            shrinks |= worse(replace(best.case, events=rest))
    for event in best.case.events:
        _shorten(event, lambda old, new: worse(_with(best.case, old, new)))
    worse(replace(best.case, growth=0.0, holidays=(), approval=False))
    days = -(-(best.ticks * TICK) // DAY)
    worse(replace(best.case, days=max(days, 1)))
    return best


def _shorten(event: Event, worse: Callable[[Event, Event], bool]) -> None:
    """Halve an event's hours as long as that is enough."""
    while event.hours > 1:
        shorter = replace(event, hours=event.hours // 2, ramp=event.ramp // 2)
        if not worse(event, shorter):
            return
        event = shorter


def _with(case: Case, old: Event, new: Event) -> Case:
    return replace(case, events=tuple(new if e == old else e for e in case.events))
