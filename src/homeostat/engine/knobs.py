"""What of alert rules can be set otherwise, and how figures are judged by other limits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from homeostat.alerting.conditions.missing import Missing
from homeostat.alerting.conditions.static import Static
from homeostat.alerting.conditions.verdicts import Verdicts
from homeostat.alerting.rules import AlertRule
from homeostat.detectors.series.limits import LimitConfig
from homeostat.domain.limit import Limit
from homeostat.domain.point import Point
from homeostat.domain.verdict import DEGRADED, Monitor, Status
from homeostat.engine.figures import REACH
from homeostat.engine.plan import ModelPlan
from homeostat.engine.tape import FIGURES, Subject

MOST_LIMITS, MOST_ROWS = 40, 20
DIGITS = 4
_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
HOLDS = (
    *(n * _MINUTE for n in (5, 10, 15, 30)),
    *(n * _HOUR for n in (1, 2, 3, 4, 6, 8, 12)),
    *(n * _DAY for n in (1, 2, 3, 4, 7)),
)
WINDOWS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20)

Setting = float | int | timedelta
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Knob:
    """One setting of a unit.

    Attributes
    ----------
    name : {"below", "above", "windows", "min_rows", "hold"}
    now : float, int or timedelta
    stricter : sequence
        The strictest first.
    looser : sequence
        The least strict last.
    """

    name: str
    now: Setting
    looser: Sequence[Setting]
    stricter: Sequence[Setting] = ()


@dataclass(frozen=True)
class Unit:
    """What is tuned by itself: a rule, or one threshold of the monitor that it is on.

    Attributes
    ----------
    rule : AlertRule
    subject : (Monitor, str) or None
        Of the threshold's verdicts.
    limit : Limit or None
        None: only the hold duration can be set, and not even that of one threshold alone, or of
        a rule that waits for figures anyway.
    """

    rule: AlertRule
    subject: Subject | None = None
    limit: Limit | None = None

    @property
    def alone(self) -> AlertRule:
        """The rule as if it had no other thresholds."""
        if self.subject is None:
            return self.rule
        monitor, name = self.subject
        return replace(self.rule, condition=Verdicts(monitor, _literally(name)))


def units(plan: ModelPlan) -> tuple[Unit, ...]:
    """Return what can be tuned: limits one by one, all else by rule."""
    found: list[Unit] = []
    for rule in plan.rules:
        condition = rule.condition
        if isinstance(condition, Static):
            found.append(Unit(rule, limit=condition.limit))
        elif isinstance(condition, Verdicts) and condition.monitor in FIGURES and not rule.own:
            found += (
                Unit(
                    rule,
                    (condition.monitor, t.name),
                    t.config if isinstance(t.config, LimitConfig) else None,
                )
                for t in plan.thresholds
                if t.config.monitor is condition.monitor
            )
        elif condition == Verdicts(Monitor.SERVICE, DEGRADED) and plan.degraded and not rule.own:
            found.append(Unit(rule, (Monitor.SERVICE, DEGRADED), plan.degraded.limit))
        else:
            found.append(Unit(rule))
    return tuple(found)


@dataclass(frozen=True, eq=False)
class Figures:
    """All figures that one limit was held to, to be judged by others; unknown ones as NaN."""

    points: Sequence[Point]

    @cached_property
    def _columns(self) -> tuple[Floats, Floats, NDArray[np.int64]]:
        return (
            np.array([p.value for p in self.points], dtype=np.float64),
            np.array([p.error for p in self.points], dtype=np.float64),
            np.array([p.rows for p in self.points], dtype=np.int64),
        )

    def usable(self, least: int) -> list[Point]:
        """Return those of at least so many rows."""
        return [p for p in self.points if p.unjudged(least) is None]

    def judged(self, limit: Limit) -> Iterator[tuple[int, Status]]:
        """Yield the places at which the status changes, as `Limit` and `LimitState` have it."""
        scores, errors, rows = self._columns
        margins = REACH * errors if limit.sure else np.zeros(scores.size)
        low = -math.inf if limit.below is None else limit.below
        high = math.inf if limit.above is None else limit.above
        beyond = ((scores + margins < low) | (scores - margins > high)).tolist()
        known = np.isfinite(scores) & np.isfinite(errors) & (rows >= limit.min_rows)
        firing, against, before = False, 0, None
        for place, (off, fit) in enumerate(zip(beyond, known.tolist(), strict=True)):
            status = Status.INCONCLUSIVE
            if fit:
                against = against + 1 if off != firing else 0
                if against >= limit.windows:
                    firing, against = not firing, 0
                status = Status.DRIFT if firing else Status.OK
            if status is not before:
                yield place, status
                before = status


def knobs(unit: Unit, figures: Figures) -> Iterator[Knob]:
    """Yield what can be set of a unit, in the order in which it is proposed.

    Limits are those at which history has figures; of rows at most as many as half of the windows
    have, for a threshold that judges nothing pages nobody.
    """
    if unit.limit is not None:
        yield from _limits(unit.limit, figures)
    if unit.subject is None and not isinstance(unit.rule.condition, Missing):
        hold = unit.rule.hold
        yield Knob("hold", hold, [each for each in HOLDS if each > hold])


def _limits(limit: Limit, figures: Figures) -> Iterator[Knob]:
    judged = figures.usable(limit.min_rows)
    if not judged:
        return
    for name, bound, sign in (("below", limit.below, 1.0), ("above", limit.above, -1.0)):
        if bound is None:
            continue
        values = sorted({_outward(sign * v.value) for v in judged})
        stricter = _spread([v for v in values if v > sign * bound], MOST_LIMITS)
        looser = _spread([v for v in reversed(values) if v < sign * bound], MOST_LIMITS)
        yield Knob(name, bound, [sign * v for v in looser], [sign * v for v in reversed(stricter)])
    yield Knob("windows", limit.windows, [n for n in WINDOWS if n > limit.windows])
    most = int(np.median([v.rows for v in judged]))
    more = sorted({v.rows + 1 for v in judged if limit.min_rows <= v.rows < most})
    yield Knob("min_rows", limit.min_rows, _spread(more, MOST_ROWS))


def with_setting(limit: Limit, knob: str, value: float) -> Limit:
    """Return the limit with one of its settings changed."""
    match knob:
        case "below":
            return replace(limit, below=value)
        case "above":
            return replace(limit, above=value)
        case "windows":
            return replace(limit, windows=int(value))
        case _:
            return replace(limit, min_rows=int(value))


def _literally(name: str) -> str:
    """Return the pattern that matches only this name."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _outward(value: float) -> float:
    """Return a value cut to a few digits, downwards."""
    if value == 0.0:
        return 0.0
    scale = 10.0 ** (DIGITS - 1 - math.floor(math.log10(abs(value))))
    return math.floor(value * scale) / scale


def _spread(values: Sequence[float], most: int) -> list[float]:
    """Return at most so many of the values, the last one among them."""
    if len(values) <= most:
        return list(values)
    places = np.linspace(0, len(values) - 1, most).round().astype(int)
    return [values[place] for place in dict.fromkeys(places.tolist())]
