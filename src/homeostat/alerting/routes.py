"""Who is told: routes by severity, model and team, and by the hour at which an incident fires."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase

from homeostat.alerting.hours import Hours
from homeostat.domain.decision import Severity


@dataclass(frozen=True, slots=True)
class Route:
    """Receivers, and of what they are told; what is empty holds for everything.

    Attributes
    ----------
    receivers : tuple of str
    severities : frozenset of Severity
    models, teams : tuple of str
        Shell-style patterns.
    hours : tuple of Hours
        When it holds.
    """

    receivers: tuple[str, ...]
    severities: frozenset[Severity] = frozenset()
    models: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()
    hours: tuple[Hours, ...] = ()

    def covers(self, severity: Severity, model: str, team: str) -> bool:
        """Whether it is for such incidents, at some hour.

        Examples
        --------
        >>> route = Route(("duty",), frozenset({Severity.CRITICAL}), ("fraud*",))
        >>> [route.covers(Severity.CRITICAL, name, "") for name in ("fraud-eu", "churn")]
        [True, False]
        """
        return (
            (not self.severities or severity in self.severities)
            and _matches(model, self.models)
            and _matches(team, self.teams)
        )

    def holds(self, moment: datetime) -> bool:
        """Whether it holds at a moment."""
        return not self.hours or any(hours.hold(moment) for hours in self.hours)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def receivers_at(
    routes: Iterable[Route], otherwise: tuple[str, ...], now: datetime
) -> tuple[str, ...]:
    """Return the receivers of all routes that hold now; `otherwise` if there are none.

    No incident is lost between two routes.

    Examples
    --------
    >>> from datetime import UTC
    >>> now = datetime(2024, 1, 1, tzinfo=UTC)
    >>> receivers_at([Route(("duty",)), Route(("slack", "duty"))], ("mail",), now)
    ('duty', 'slack')
    >>> receivers_at([], ("mail",), now)
    ('mail',)
    """
    found = (name for route in routes if route.holds(now) for name in route.receivers)
    return tuple(dict.fromkeys(found)) or otherwise
