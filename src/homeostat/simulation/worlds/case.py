"""What happens in a world: drawn from a seed, written down in a file, made smaller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import numpy as np

from homeostat.alerting.rules import (
    CALIBRATION_DRIFT,
    DATA_DRIFT,
    DATA_FAULT,
    HIGH_LATENCY,
    MODEL_DOWN,
    PERFORMANCE_DROP,
    PREDICTION_DRIFT,
    VOLUME_ANOMALY,
)
from homeostat.domain.errors import UserError

START = datetime(2024, 3, 4, tzinfo=UTC)  # a Monday
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
FORMAT = 1
FIRST, SLOT = 3, 6
"""Days before the first event, and between the beginnings of two that a person would notice."""


class Kind(StrEnum):
    """What can go wrong."""

    UNITS = "units"
    SWAPPED = "swapped"
    NULLS = "nulls"
    STUCK = "stuck"
    RENAMED = "renamed"
    DUPLICATED = "duplicated"
    SHIFT = "shift"
    CONCEPT = "concept"
    PRIOR = "prior"
    SILENCE = "silence"
    BURST = "burst"
    LATE_LABELS = "late_labels"
    LOST_LABELS = "lost_labels"
    CORRECTED_LABELS = "corrected_labels"
    BIASED_LABELS = "biased_labels"
    SLOW = "slow"
    ERRORS = "errors"
    HANG = "hang"
    LIE = "lie"
    PORTS = "ports"
    STORE = "store"
    NOTIFIER = "notifier"
    CLOCK = "clock"
    BAD_PUSH = "bad_push"


GROUPS: Mapping[str, tuple[Kind, ...]] = {
    "data": (
        Kind.UNITS, Kind.SWAPPED, Kind.NULLS, Kind.STUCK, Kind.RENAMED, Kind.DUPLICATED,
    ),
    "drift": (Kind.SHIFT, Kind.CONCEPT, Kind.PRIOR),
    "traffic": (Kind.SILENCE, Kind.BURST),
    "labels": (
        Kind.LATE_LABELS, Kind.LOST_LABELS, Kind.CORRECTED_LABELS, Kind.BIASED_LABELS,
    ),
    "serving": (Kind.SLOW, Kind.ERRORS, Kind.HANG, Kind.LIE),
    "stores": (Kind.PORTS, Kind.STORE, Kind.NOTIFIER),
    "clock": (Kind.CLOCK,),
    "people": (Kind.BAD_PUSH,),
}  # fmt: skip

EXPECTED: Mapping[Kind, frozenset[str]] = {
    **dict.fromkeys(
        (Kind.UNITS, Kind.SWAPPED, Kind.NULLS, Kind.STUCK, Kind.RENAMED), frozenset({DATA_FAULT})
    ),
    Kind.SHIFT: frozenset({DATA_DRIFT, PREDICTION_DRIFT}),
    Kind.CONCEPT: frozenset({PERFORMANCE_DROP}),
    Kind.PRIOR: frozenset({PERFORMANCE_DROP, CALIBRATION_DRIFT}),
    Kind.SILENCE: frozenset({VOLUME_ANOMALY}),
    Kind.BURST: frozenset({VOLUME_ANOMALY}),
    Kind.SLOW: frozenset({HIGH_LATENCY}),
    Kind.ERRORS: frozenset({MODEL_DOWN}),
    Kind.HANG: frozenset({MODEL_DOWN, HIGH_LATENCY}),
    Kind.LIE: frozenset({PERFORMANCE_DROP, PREDICTION_DRIFT}),
    Kind.BAD_PUSH: frozenset({PERFORMANCE_DROP, PREDICTION_DRIFT}),
}
"""The alert rules of which one should fire; of other kinds nothing has to."""

LENGTHS: Mapping[Kind, tuple[int, int]] = {
    Kind.SHIFT: (48, 96),
    Kind.CONCEPT: (72, 400),
    Kind.PRIOR: (72, 120),
    Kind.DUPLICATED: (24, 25),
    Kind.LIE: (36, 72),
    Kind.BAD_PUSH: (1, 2),
    Kind.SILENCE: (6, 18),
    Kind.BURST: (6, 18),
    Kind.CLOCK: (2, 12),
    Kind.STORE: (1, 8),
}
"""Least and most hours (that one left out); else a day at most."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens for a while.

    Attributes
    ----------
    kind : Kind
    begin, hours : int
        Hours since the start of the world, and how many it lasts.
    size : float
        In (0, 1]: how bad.
    ramp : int
        Hours until it is as bad as that; 0: at once.
    """

    kind: Kind
    begin: int
    hours: int
    size: float = 1.0
    ramp: int = 0

    @property
    def start(self) -> datetime:
        """When it begins."""
        return START + self.begin * HOUR

    @property
    def end(self) -> datetime:
        """When it is over."""
        return START + (self.begin + self.hours) * HOUR

    def covers(self, moment: datetime) -> bool:
        """Whether it goes on at a moment."""
        return self.start <= moment < self.end


@dataclass(frozen=True, slots=True)
class Case:
    """A world, whole.

    Attributes
    ----------
    seed : int
        Of all that is random in it.
    days : int
    per_day : int
        Requests on an average day.
    growth : float
        Change of the requests in 30 days, as a share.
    holidays : tuple of int
        Days with a fifth less traffic.
    approval : bool
        A person has to approve promotions.
    patience : int
        Hours after which people do what they are asked for.
    events : tuple of Event
    """

    seed: int
    days: int = 30
    per_day: int = 3333
    growth: float = 0.0
    holidays: tuple[int, ...] = ()
    approval: bool = False
    patience: int = 4
    events: tuple[Event, ...] = field(default=())

    @property
    def end(self) -> datetime:
        """When the world ends."""
        return START + self.days * DAY

    def to_dict(self) -> dict[str, object]:
        """Return it as plain values, to be written down."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_dict(cls, value: object) -> Case:
        """Return what `to_dict` wrote down.

        Raises
        ------
        UserError
            If it is no case of a world.
        """
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise UserError(f'no case of a world: it lacks "format": {FORMAT}')
        told = {str(k): v for k, v in value.items() if k != "format"}
        try:
            events = tuple(
                Event(**{**each, "kind": Kind(each["kind"])}) for each in told.pop("events", ())
            )
            holidays = tuple(told.pop("holidays", ()))
            return cls(**told, holidays=holidays, events=events)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"no case of a world: {error}") from error


def kinds_of(told: str) -> tuple[Kind, ...]:
    """Return the kinds that a list such as ``data,slow`` names; ``all`` and ``none`` are lists too.

    Raises
    ------
    UserError
        If a name is unknown.

    Examples
    --------
    >>> [kind.value for kind in kinds_of("traffic,slow")]
    ['silence', 'burst', 'slow']
    """
    if told == "none":
        return ()
    if told == "all":
        return tuple(Kind)
    found: list[Kind] = []
    for name in (part.strip() for part in told.split(",")):
        if name in GROUPS:
            found += GROUPS[name]
        elif name in set(Kind):
            found.append(Kind(name))
        else:
            known = ", ".join([*GROUPS, *Kind])
            raise UserError(f"there is no fault {name!r}; there are all, none, {known}")
    return tuple(dict.fromkeys(found))


def deal(seed: int, days: int, kinds: Sequence[Kind], per_day: int = 3333) -> Case:
    """Return the world of a seed: the same for the same arguments, always.

    Events that a person would notice come one after another, so that each can be scored; those
    of labels, stores and clocks lie anywhere over them.
    """
    rng = np.random.default_rng([seed, 1])
    noticed = [kind for kind in kinds if kind in EXPECTED]
    hidden = [kind for kind in kinds if kind not in EXPECTED]
    events: list[Event] = []
    day = FIRST + int(rng.integers(3))
    while noticed and day + 2 < days:
        event = _event(rng, noticed[int(rng.integers(len(noticed)))], 24 * day)
        events.append(event)
        day += max(SLOT, event.hours // 24 + SLOT - 1) + int(rng.integers(3))
    for _ in range(int(rng.integers(1, 5)) if hidden else 0):
        kind = hidden[int(rng.integers(len(hidden)))]
        events.append(_event(rng, kind, 24 * int(rng.integers(1, max(days - 1, 2)))))
    holidays = tuple(int(day) for day in rng.choice(days, size=min(days, 1), replace=False))
    return Case(
        seed,
        days,
        per_day,
        growth=round(float(rng.uniform(-0.05, 0.1)), 3),
        holidays=holidays,
        approval=bool(rng.random() < 0.25),
        patience=int(rng.integers(1, 24)),
        events=tuple(sorted(events, key=lambda e: (e.begin, e.kind))),
    )


def _event(rng: np.random.Generator, kind: Kind, begin: int) -> Event:
    low, high = LENGTHS.get(kind, (8, 25))
    hours = int(rng.integers(low, high))
    begin += int(rng.integers(24)) if kind is not Kind.DUPLICATED else 0
    size = round(float(rng.uniform(0.6, 1.0)), 2)
    slow = kind in {Kind.SHIFT, Kind.CONCEPT, Kind.PRIOR} and rng.random() < 0.5
    return Event(kind, begin, hours, size, hours // 2 if slow else 0)
