"""Who is to answer each row of a request: pure, from the route, the rows and the breakers.

Rows are positions in the request, kept in lists: most requests have one row, for which arrays cost
more than they save.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from homeostat.domain.record import ARM
from homeostat.domain.route import Route
from homeostat.serving.constraints import Masks, degraded_masks, touched
from homeostat.serving.split import arms_of, takes_part


class Reason(StrEnum):
    """Why somebody else than the assigned version answered; empty if it did."""

    NONE = ""
    BREAKER_OPEN = "breaker_open"
    TIMEOUT = "timeout"
    ERROR = "error"
    INVALID_INPUT = "invalid_input"
    DEGRADED = "degraded"
    OVERLOAD = "overload"
    NOT_LOADED = "not_loaded"  # no route or champion yet: nothing that could have failed

    __hash__ = str.__hash__


class Role(StrEnum):
    """What a row is assigned to, whoever answers in the end; an arm's is ``arm:VERSION``."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"
    SHADOW = "shadow"
    OVERRIDE = "override"  # the caller named the version: no evidence in any comparison

    __hash__ = str.__hash__


class Answerer(StrEnum):
    """The tier that answered."""

    MODEL = "model"
    CACHED = "cached"
    LIGHTER = "lighter"
    RULES = "rules"
    DEFAULT = "default"

    __hash__ = str.__hash__


class Group(NamedTuple):
    """Rows (their positions in the request) that one version is to answer."""

    version: str
    rows: Sequence[int]


class Plan(NamedTuple):
    """The assignment of one request.

    Attributes
    ----------
    assigned : list of str
        For each row the version that is to answer it by the traffic split.
    roles : list of str
        What each row is assigned to: a `Role`, or ``arm:VERSION``.
    groups : tuple of Group
        Calls to make; disjoint.
    reasons : list of Reason
        Why the assigned version may not answer; `Reason.NONE` where it is in a group of its own.
    """

    assigned: list[str]
    roles: list[str]
    groups: tuple[Group, ...]
    reasons: list[Reason]


def plan(
    route: Route,
    keys: Sequence[str],
    uses: Mapping[str, frozenset[str]],
    broken: Masks,
    closed: frozenset[str] = frozenset(),
    override: str = "",
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
        Versions whose breaker gives no permit. The champion stands in for such a challenger or arm.
    override : str
        The version that the caller wants, whatever the split says.

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
    >>> plan(route, ["anna"], uses, {}, override="v1").roles[0].value
    'override'
    """
    size, champion = len(keys), route.champion
    reasons = [Reason.NONE] * size
    split = override or route.challenger or route.arms
    if size and champion in uses and not (split or route.degraded or broken or closed):
        alone = (Group(champion, range(size)),)
        return Plan([champion] * size, [Role.CHAMPION] * size, alone, reasons)
    assigned, roles = assign(route, keys, override)
    groups = _groups(route, uses, broken, closed, assigned, reasons)
    return Plan(assigned, roles, groups, reasons)


def assign(route: Route, keys: Sequence[str], override: str = "") -> tuple[list[str], list[str]]:
    """Return the version that the traffic split gives each key, and as what.

    Examples
    --------
    >>> assign(Route("fraud", "v1", "v2", 1.0), ["anna"])[0], assign(Route("fraud", "v1"), ["anna"])
    (['v2'], (['v1'], [<Role.CHAMPION: 'champion'>]))
    """
    size = len(keys)
    if override:
        return [override] * size, [Role.OVERRIDE] * size
    assigned: list[str] = [route.champion] * size
    roles: list[str] = [Role.CHAMPION] * size
    if route.challenger and route.weight > 0:
        moved = takes_part(f"{route.model}/{route.challenger}", keys, route.weight).tolist()
        assigned = [route.challenger if there else route.champion for there in moved]
        roles = [Role.CHALLENGER if there else Role.CHAMPION for there in moved]
    if route.arms:
        dealt = arms_of(f"{route.model}/{route.experiment}", keys, route.arms)
        assigned = [arm or other for arm, other in zip(dealt, assigned, strict=True)]
        roles = [ARM + arm if arm else other for arm, other in zip(dealt, roles, strict=True)]
    return assigned, roles


def _groups(
    route: Route,
    uses: Mapping[str, frozenset[str]],
    broken: Masks,
    closed: frozenset[str],
    assigned: Sequence[str],
    reasons: list[Reason],
) -> tuple[Group, ...]:
    """Return the calls to make, the champion's last; the other rows get their reason."""
    groups: list[Group] = []
    standing_in: set[int] = set()
    others = [version for version in dict.fromkeys(assigned) if version != route.champion]
    for version in (*others, route.champion):
        wanted = _rows_of(version, assigned)
        if version == route.champion and standing_in:
            wanted = sorted({*wanted, *standing_in})
        if not wanted:
            continue
        if version not in uses or version in closed:
            unable = Reason.ERROR if route.champion else Reason.NOT_LOADED
            if version in closed:
                unable = Reason.BREAKER_OPEN
            for row in wanted:
                reasons[row] = reasons[row] or unable
            standing_in.update(wanted)
            continue
        able = _able(route, uses[version], broken, wanted, reasons)
        if able:
            groups.append(Group(version, able))
    return tuple(groups)


def _rows_of(version: str, assigned: Sequence[str]) -> Sequence[int]:
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
