"""What every `Routes` and `Notifier` must do."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime

from homeostat.domain.decision import Severity
from homeostat.domain.effect import Notify, NotifyAction
from homeostat.domain.route import Route
from homeostat.engine.ports import Notifier, Routes

T0 = datetime(2024, 1, 1, tzinfo=UTC)


def check_route_is_read_back(routes: Routes) -> None:
    """The last route published is current, for each model alone."""
    assert routes.current("fraud") is None
    first = Route("fraud", "1")
    second = Route("fraud", "1", "2", 0.1, ("3",), ("amount",))
    for route in (first, first, second):
        routes.publish(route)
        assert routes.current("fraud") == route
    routes.publish(Route("churn", "9"))
    assert routes.current("fraud") == second
    assert routes.current("churn") == Route("churn", "9")


ROUTES_CHECKS: tuple[Callable[[Routes], None], ...] = (check_route_is_read_back,)


def notice(action: NotifyAction) -> Notify:
    """Return a notice about one incident."""
    return Notify(
        "fraud:drift:1", action, "ops", Severity.WARNING, "fraud",
        "Drift & <more>", "amount moved\nby 0.3", "https://runbooks.example/drift", T0,
    )  # fmt: skip


def check_every_notice_arrives(
    notifier: Notifier, received: Callable[[], Collection[tuple[str, str]]]
) -> None:
    """Trigger and resolve arrive, each with the incident's key; a repeated call is no error."""
    for action in (NotifyAction.TRIGGER, NotifyAction.TRIGGER, NotifyAction.RESOLVE):
        notifier.send(notice(action))
    expected = {("fraud:drift:1", "trigger"), ("fraud:drift:1", "resolve")}
    assert set(received()) == expected


NotifierCheck = Callable[[Notifier, Callable[[], Collection[tuple[str, str]]]], None]
"""Takes a notifier and a function that returns the (incident, action) pairs it delivered."""

NOTIFIER_CHECKS: tuple[NotifierCheck, ...] = (check_every_notice_arrives,)
