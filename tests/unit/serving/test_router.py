"""Routes in other programs."""

import threading
from collections.abc import Callable

import pytest

from homeostat.domain.errors import NotFoundError
from homeostat.domain.route import Route
from homeostat.serving import Choice, Router
from homeostat.serving.plan import assign
from homeostat.simulation.conformance.wires import ROUTES_CHECKS

KEYS = [f"customer-{number}" for number in range(500)]


@pytest.mark.parametrize("check", ROUTES_CHECKS, ids=lambda check: check.__name__)
def test_it_is_a_router_of_the_engine(check: Callable[[Router], None]) -> None:
    check(Router())
    assert Router().current("fraud") is None


def test_it_chooses_as_the_gateway_does() -> None:
    route = Route("fraud", "v1", "v2", 0.3).with_arms({"v3": 0.2, "v4": 0.1}, "prices")
    router = Router([route])
    chosen = [router.choose("fraud", key) for key in KEYS]
    versions, roles = assign(route, KEYS)
    assert chosen == [Choice(*pair) for pair in zip(versions, roles, strict=True)]
    assert {choice.role for choice in chosen} == {
        "champion", "challenger", "arm:v3", "arm:v4",
    }  # fmt: skip


def test_what_is_unknown_is_named() -> None:
    router = Router([Route("fraud", "v1", "v2", 0.1)])
    with pytest.raises(NotFoundError, match="'spam'"):
        router.choose("spam", "anna")
    with pytest.raises(NotFoundError, match="'v9' in its route: v1, v2"):
        router.choose("fraud", "anna", override="v9")
    assert router.choose("fraud", "anna", override="v2") == Choice("v2", "override")


def test_a_choice_is_by_one_route_or_the_other() -> None:
    routes = [Route("fraud", f"v{n}", f"w{n}", 1.0) for n in range(200)]
    router, seen = Router(routes[:1]), set()

    def publish() -> None:
        for route in routes:
            router.publish(route)

    publisher = threading.Thread(target=publish)
    publisher.start()
    while publisher.is_alive():
        seen.add(router.choose("fraud", "anna"))
    publisher.join()
    assert seen <= {Choice(f"w{n}", "challenger") for n in range(200)}
    assert router.choose("fraud", "anna") == Choice("w199", "challenger")
