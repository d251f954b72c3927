"""What a run trains on, and the later hold-out on which its candidate is judged."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from homeostat.domain.window import Window
from homeostat.retraining.policy import RetrainingPolicy


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run trains on, and the later hold-out on which the gate compares."""

    parent: str
    training: Window
    holdout: Window
    as_of: datetime
    excluded: tuple[Window, ...] = ()


def plan(
    policy: RetrainingPolicy,
    parent: str,
    matured_until: datetime,
    now: datetime,
    faults: tuple[Window, ...] = (),
    onset: datetime | None = None,
) -> Plan:
    """Return the windows of a run that starts now.

    Parameters
    ----------
    policy : RetrainingPolicy
    parent : str
        The champion.
    matured_until : datetime
        Predictions before it have complete labels.
    now : datetime
        Labels known by now may be used, and no later ones.
    faults : tuple of Window
        Times that a data fault covers; those that touch the run's data are excluded from it.
    onset : datetime, optional
        When the change began. At least two thirds of what matured since are trained on, even if
        that shortens the hold-out: a candidate must have seen the new world.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> matured = datetime(2024, 3, 1, tzinfo=UTC)
    >>> made = plan(RetrainingPolicy(), "v1", matured, datetime(2024, 3, 31, tzinfo=UTC))
    >>> str(made.training), str(made.holdout)
    ('2023-12-25T00:00/2024-02-23T00:00', '2024-02-23T00:00/2024-03-01T00:00')
    """
    length = policy.holdout
    if onset is not None and onset < matured_until:
        length = min(length, (matured_until - onset) / 3)
    split = matured_until - length
    whole = Window(split - policy.window, matured_until)
    return Plan(
        parent=parent,
        training=Window(split - policy.window, split),
        holdout=Window(split, matured_until),
        as_of=now,
        excluded=tuple(sorted(fault for fault in faults if overlap(fault, whole))),
    )


def overlap(one: Window, other: Window) -> bool:
    """Whether two windows share a moment."""
    return one.start < other.end and other.start < one.end
