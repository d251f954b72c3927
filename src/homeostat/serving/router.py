"""Routes for use in other programs: which version is to answer for an entity."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from homeostat.domain.errors import NotFoundError
from homeostat.domain.route import Route
from homeostat.serving.plan import assign


class Choice(NamedTuple):
    """The version that is to answer, and as what it is to stand in the log."""

    version: str
    role: str


class Router:
    """Keeps the routes of models and chooses by them, from any thread.

    A route is replaced in one step: every choice is made by the old one or by the new one. It is
    the port ``Routes``, so that an engine in the same process can publish here.

    Parameters
    ----------
    routes : iterable of Route

    Examples
    --------
    >>> router = Router([Route("fraud", champion="v1", challenger="v2", weight=0.1)])
    >>> router.choose("fraud", "anna")
    Choice(version='v1', role='champion')
    >>> router.publish(router["fraud"].with_arms({"v3": 0.5}, "prices"))
    >>> [router.choose("fraud", name).role for name in ("anna", "ben")]
    ['champion', 'arm:v3']
    >>> router.choose("fraud", "anna", override="v2")
    Choice(version='v2', role='override')
    """

    def __init__(self, routes: Iterable[Route] = ()) -> None:
        self._routes = {route.model: route for route in routes}

    def __getitem__(self, model: str) -> Route:
        """Return a model's route.

        Raises
        ------
        NotFoundError
            If it has none.
        """
        route = self._routes.get(model)
        if route is None:
            raise NotFoundError(f"no route of a model named {model!r} was published here")
        return route

    def current(self, model: str) -> Route | None:
        """Read back what is published."""
        return self._routes.get(model)

    def publish(self, route: Route) -> None:
        """Replace the model's route in one step."""
        self._routes[route.model] = route

    def choose(self, model: str, entity: str, override: str = "") -> Choice:
        """Return who is to answer for an entity; always the same while the route is.

        Parameters
        ----------
        model, entity : str
        override : str
            The version that an operator wants, whatever the split says.

        Raises
        ------
        NotFoundError
            If the model has no route, or the version is not in it.
        """
        route = self[model]
        if override and override not in route.versions:
            known = ", ".join(route.versions)
            raise NotFoundError(f"{model} has no version {override!r} in its route: {known}")
        versions, roles = assign(route, [entity], override)
        return Choice(versions[0], str(roles[0]))
