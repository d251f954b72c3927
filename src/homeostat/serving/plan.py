"""Who is to answer each row of a request: pure, from the route, the rows and the breakers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from homeostat.domain.route import Route
from homeostat.serving.constraints import Masks, degraded_masks, touched
from homeostat.serving.split import takes_part


class Reason(StrEnum):
    """Why somebody else than the assigned version answered; empty if it did."""

    NONE = ""
    BREAKER_OPEN = "breaker_open"
    TIMEOUT = "timeout"
    ERROR = "error"
    INVALID_INPUT = "invalid_input"
    DEGRADED = "degraded"
    OVERLOAD = "overload"


class Role(StrEnum):
    """The arm that a row is assigned to, whoever answers in the end."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"
    SHADOW = "shadow"


class Answerer(StrEnum):
    """The tier that answered."""

    MODEL = "model"
    CACHED = "cached"
    LIGHTER = "lighter"
    RULES = "rules"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Group:
    """Rows (their positions in the request) that one version is to answer."""

    version: str
    rows: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Plan:
    """The assignment of one request.

    Attributes
    ----------
    challenger : ndarray of bool, shape (rows,)
        Rows of the challenger's arm.
    groups : tuple of Group
        Calls to make; disjoint.
    reasons : ndarray of str objects, shape (rows,)
        Why the assigned version may not answer; empty where it is in a group of its own.
    """

    challenger: NDArray[np.bool_]
    groups: tuple[Group, ...]
    reasons: NDArray[np.object_]


def plan(
    route: Route,
    keys: Sequence[str],
    uses: Mapping[str, frozenset[str]],
    broken: Masks,
    closed: frozenset[str] = frozenset(),
) -> Plan:
    """Assign the rows of one request.

    Parameters
    ----------
    route : Route
        What is published.
    keys : sequence of str
        One entity (or prediction id) a row, for the sticky split.
    uses : mapping of version to its features
        The versions that can be called.
    broken : dict of column to ndarray of bool
        Values that break the schema's constraints.
    closed : frozenset of str
        Versions whose breaker gives no permit. The champion stands in for such a challenger.

    Returns
    -------
    Plan

    Examples
    --------
    >>> route = Route("fraud", champion="v1", challenger="v2", weight=1.0)
    >>> uses = {"v1": frozenset({"amount"}), "v2": frozenset({"amount"})}
    >>> result = plan(route, ["anna", "ben"], uses, {}, closed=frozenset({"v2"}))
    >>> result.groups[0].version, result.groups[0].rows.tolist(), result.reasons.tolist()
    ('v1', [0, 1], [<Reason.BREAKER_OPEN: 'breaker_open'>, <Reason.BREAKER_OPEN: 'breaker_open'>])
    """
    rows = len(keys)
    challenger = np.zeros(rows, dtype=np.bool_)
    if route.challenger:
        challenger = takes_part(f"{route.model}/{route.challenger}", keys, route.weight)
    reasons = np.full(rows, Reason.NONE, dtype=object)
    degraded = degraded_masks(route.degraded, rows)
    groups: list[Group] = []
    standing_in = np.zeros(rows, dtype=np.bool_)
    for version, arm in ((route.challenger, challenger), (route.champion, ~challenger)):
        wanted = arm | standing_in
        if not wanted.any():
            continue
        if version not in uses or version in closed:
            unable = Reason.BREAKER_OPEN if version in closed else Reason.ERROR
            reasons[wanted & (reasons == Reason.NONE)] = unable
            standing_in = wanted
            continue
        hidden = touched(uses[version], degraded, rows)
        invalid = touched(uses[version], broken, rows)
        reasons[wanted & invalid] = Reason.INVALID_INPUT
        reasons[wanted & hidden] = Reason.DEGRADED
        able = wanted & ~hidden & ~invalid
        if able.any():
            groups.append(Group(version, np.flatnonzero(able)))
    return Plan(challenger, tuple(groups), reasons)
