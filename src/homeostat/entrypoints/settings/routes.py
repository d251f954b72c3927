"""Routes: which receivers are told of what, and when."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase

from pydantic import Field
from pydantic_core import PydanticCustomError

from homeostat.alerting import routes
from homeostat.domain.decision import Severity
from homeostat.entrypoints.settings.hours import Stretch
from homeostat.entrypoints.settings.part import Part
from homeostat.entrypoints.settings.values import Name, nearest, wrong


class Route(Part):
    """Receivers that are told of some incidents; what is left out holds for all of them."""

    receivers: tuple[Name, ...] = Field(min_length=1)
    """Who is told."""
    severities: tuple[Severity, ...] = ()
    """critical, warning, info."""
    models: tuple[str, ...] = ()
    """Names of models; * stands for any letters."""
    teams: tuple[str, ...] = ()
    """Teams of models (alerts.team); * stands for any letters."""
    hours: tuple[Stretch, ...] = ()
    """When it holds, by the time at which the incident fires."""

    def route(self) -> routes.Route:
        """Return the domain's view of it."""
        hours = tuple(stretch.hours() for stretch in self.hours)
        return routes.Route(
            self.receivers, frozenset(self.severities), self.models, self.teams, hours
        )


def check_routes(
    found: Sequence[Route],
    receivers: Collection[str],
    models: Collection[str],
    teams: Collection[str],
) -> None:
    """Raise about the first name in a route that nothing has."""
    for number, route in enumerate(found):
        for place, receiver in enumerate(route.receivers):
            if receiver not in receivers:
                problem = f"no receiver is named {receiver!r}"
                raise _wrong(problem, receiver, receivers, number, "receivers", place)
        for kind, patterns, known in (
            ("models", route.models, models),
            ("teams", route.teams, teams),
        ):
            for place, pattern in enumerate(patterns):
                if not any(fnmatchcase(name, pattern) for name in known):
                    problem = f"nothing among the {kind} matches {pattern!r}"
                    raise _wrong(problem, pattern, known, number, kind, place)


def _wrong(
    problem: str, word: str, known: Collection[str], *path: str | int
) -> PydanticCustomError:
    return wrong(problem, nearest(word, known), "routes", *path)
