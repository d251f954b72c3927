"""Routes and escalation: which receivers are told of what, and when."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from fnmatch import fnmatchcase

from pydantic import Field
from pydantic_core import PydanticCustomError

from homeostat.alerting import routes
from homeostat.alerting.escalation import EscalationStep
from homeostat.domain.decision import Severity
from homeostat.entrypoints.settings.hours import Stretch
from homeostat.entrypoints.settings.part import Part
from homeostat.entrypoints.settings.values import Duration, Name, nearest, wrong


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


class Escalation(Part):
    """Whom a critical incident is told to if nobody has taken it on."""

    after: Duration
    """How long after the first were told."""
    receivers: tuple[Name, ...] = Field(min_length=1)
    """Who is told then."""

    def step(self) -> EscalationStep:
        """Return the domain's view of it."""
        return EscalationStep(self.after, self.receivers)


def check_escalation(
    steps: Sequence[Escalation], receivers: Collection[str], *path: str | int
) -> None:
    """Raise about the first step that names nobody known, or comes before the one above it."""
    last = timedelta(0)
    for number, step in enumerate(steps):
        where = (*path, "escalation", number)
        if step.after <= last:
            remedy = "order the steps by time, such as 15m, 1h"
            raise wrong("must be longer than that of the step before", remedy, *where, "after")
        last = step.after
        for place, receiver in enumerate(step.receivers):
            if receiver not in receivers:
                problem, remedy = f"no receiver is named {receiver!r}", nearest(receiver, receivers)
                raise wrong(problem, remedy, *where, "receivers", place)


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
