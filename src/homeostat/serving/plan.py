"""Who is to answer each row of a request: pure, from the route, the rows and the breakers.

Rows are positions in the request, kept in lists: most requests have one row, for which arrays cost
more than they save.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

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

    __hash__ = str.__hash__


class Role(StrEnum):
    """The arm that a row is assigned to, whoever answers in the end."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"
    SHADOW = "shadow"

    __hash__ = str.__hash__


class Answerer(StrEnum):
    """The tier that answered."""

    MODEL = "model"
    CACHED = "cached"
    LIGHTER = "lighter"
    RULES = "rules"
    DEFAULT = "default"

    __hash__ = str.__hash__


@dataclass(frozen=True, slots=True)
class Group:
    """Rows (their positions in the request) that one version is to answer."""

    version: str
    rows: Sequence[int]


@dataclass(frozen=True, slots=True)
class Plan:
    """The assignment of one request.

    Attributes
    ----------
    assigned : list of str
        For each row the version that is to answer it by the traffic split.
    groups : tuple of Group
        Calls to make; disjoint.
    reasons : list of Reason
        Why the assigned version may not answer; `Reason.NONE` where it is in a group of its own.
    """

    assigned: list[str]
    groups: tuple[Group, ...]
    reasons: list[Reason]


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
    >>> result.groups[0].version, list(result.groups[0].rows), [str(r) for r in result.reasons]
    ('v1', [0, 1], ['breaker_open', 'breaker_open'])
    """
    assigned = assign(route, keys)
    reasons = [Reason.NONE] * len(keys)
    simple = not (route.challenger or route.degraded or broken or closed)
    if simple and assigned and route.champion in uses:
        return Plan(assigned, (Group(route.champion, range(len(keys))),), reasons)
    groups: list[Group] = []
    standing_in: list[int] = []
    for version in (route.challenger, route.champion):
        wanted = _rows_of(version, assigned)
        if version == route.champion and standing_in:
            wanted = sorted({*wanted, *standing_in})
        if not wanted:
            continue
        if version not in uses or version in closed:
            unable = Reason.BREAKER_OPEN if version in closed else Reason.ERROR
            for row in wanted:
                reasons[row] = reasons[row] or unable
            standing_in = list(wanted)
            continue
        able = _able(route, uses[version], broken, wanted, reasons)
        if able:
            groups.append(Group(version, able))
    return Plan(assigned, tuple(groups), reasons)


def assign(route: Route, keys: Sequence[str]) -> list[str]:
    """Return the version that the traffic split gives each key.

    Examples
    --------
    >>> assign(Route("fraud", "v1", "v2", 1.0), ["anna"]), assign(Route("fraud", "v1"), ["anna"])
    (['v2'], ['v1'])
    """
    if not route.challenger or route.weight <= 0:
        return [route.champion] * len(keys)
    moved = takes_part(f"{route.model}/{route.challenger}", keys, route.weight).tolist()
    return [route.challenger if there else route.champion for there in moved]


def _rows_of(version: str, assigned: list[str]) -> Sequence[int]:
    count = assigned.count(version)
    if count == len(assigned):
        return range(count)
    return [row for row, name in enumerate(assigned) if name == version] if count else ()


def _able(
    route: Route,
    features: frozenset[str],
    broken: Masks,
    wanted: Sequence[int],
    reasons: list[Reason],
) -> Sequence[int]:
    """Return the rows that a version can answer; the others get their reason."""
    if not broken and not route.degraded:
        return wanted
    rows = len(reasons)
    hidden = touched(features, degraded_masks(route.degraded, rows), rows)
    unable = touched(features, broken, rows) | hidden
    for row in wanted:
        if unable[row]:
            reasons[row] = Reason.DEGRADED if hidden[row] else Reason.INVALID_INPUT
    return [row for row in wanted if not unable[row]]
