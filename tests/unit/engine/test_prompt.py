"""Commands carried out at once, beside an engine that may be slower."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from homeostat.domain.errors import ConflictError, StorageError
from homeostat.domain.model import ModelVersion
from homeostat.domain.route import Route
from homeostat.engine.commands import Command, Inbox, Request, inbox_key, submit
from homeostat.engine.prompt import ATTEMPTS, carry_out, publish
from homeostat.engine.watch import rollout_key
from homeostat.rollout.state import RolloutState, Stage
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryRecords, MemoryRegistry, MemoryRoutes
from simulation.world import MODEL, PLAN, START

STATE = RolloutState(MODEL, Stage.CHAMPION, "v2", lineage=("v1",))
REGISTRY = MemoryRegistry()


@pytest.fixture(autouse=True, scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nobody goes back to a version that cannot serve."""
    for version in ("v1", "v2"):
        artifact = tmp_path_factory.mktemp("artifact") / version
        artifact.write_text(version)
        REGISTRY.register(ModelVersion(MODEL, version, "linear", "", START), artifact)


class Contested(MemoryRecords):
    """Records in which others are first a number of times."""

    rivals = 0

    def _commit(self, unit: object) -> None:
        self.rivals -= 1
        if self.rivals >= 0:
            raise ConflictError("somebody was first")
        super()._commit(unit)  # type: ignore[arg-type]


class Watched(MemoryRoutes):
    """Routes during whose publishing something else happens."""

    def __init__(self, *meanwhile: Callable[[], None]) -> None:
        super().__init__()
        self.meanwhile = list(meanwhile)

    def publish(self, route: Route) -> None:
        """Let it happen first."""
        if self.meanwhile:
            self.meanwhile.pop(0)()
        super().publish(route)


def stored(records: MemoryRecords, state: RolloutState) -> None:
    with records.begin() as uow:
        uow.load(rollout_key(MODEL), RolloutState)
        uow.save(rollout_key(MODEL), state)


@pytest.fixture
def records() -> Contested:
    found = Contested(SimulatedClock(START))
    stored(found, STATE)
    return found


def ask(records: MemoryRecords, *requests: Request) -> None:
    for request in requests:
        submit(records, Command(request, MODEL, "ana"), START)


def test_a_roll_back_is_done_and_published_without_an_engine(records: Contested) -> None:
    routes = MemoryRoutes()
    ask(records, Request.RETRAIN, Request.ROLL_BACK)
    carry_out(records, REGISTRY, routes, PLAN, START)
    assert routes.current(MODEL) == Route(MODEL, "v1")
    assert [(d.actor, d.action) for d in records.decisions(MODEL)] == [("ana", "roll_back")]
    left = records.read(inbox_key(MODEL), Inbox)
    assert left is not None
    assert [command.request for command in left.commands] == [Request.RETRAIN]
    carry_out(records, REGISTRY, routes, PLAN, START)
    assert len(records.decisions(MODEL)) == 1


@pytest.mark.parametrize("rivals", [ATTEMPTS - 1, ATTEMPTS])
def test_others_that_are_first_cost_tries_and_no_command(records: Contested, rivals: int) -> None:
    routes = MemoryRoutes()
    ask(records, Request.ROLL_BACK)
    records.rivals = rivals
    if rivals < ATTEMPTS:
        carry_out(records, REGISTRY, routes, PLAN, START)
        assert routes.current(MODEL) == Route(MODEL, "v1")
        return
    with pytest.raises(ConflictError):
        carry_out(records, REGISTRY, routes, PLAN, START)
    assert routes.current(MODEL) is None
    left = records.read(inbox_key(MODEL), Inbox)
    assert left is not None
    assert [command.request for command in left.commands] == [Request.ROLL_BACK]


def test_what_a_slower_one_publishes_does_not_stay(records: Contested) -> None:
    """Its route is of before the roll-back, which is decided and published at that moment."""
    routes = Watched()

    def rolls_back() -> None:
        ask(records, Request.ROLL_BACK)
        carry_out(records, REGISTRY, routes, PLAN, START)

    routes.meanwhile = [rolls_back]
    publish(records, routes, Route(MODEL, "v2"), START)
    assert [route.champion for route in routes.published] == ["v1", "v2", "v1"]
    assert routes.current(MODEL) == Route(MODEL, "v1")


def test_states_that_never_rest_do_not_hold_it_up(records: Contested) -> None:
    versions = iter(range(100))

    def changes() -> None:
        stored(records, replace(STATE, champion=f"v{next(versions) + 10}"))

    routes = Watched(*[changes] * 50)
    publish(records, routes, Route(MODEL, "v2"), START)
    assert len(routes.published) == ATTEMPTS


def test_a_model_without_a_rollout_keeps_the_route_that_was_wanted() -> None:
    records, routes = MemoryRecords(SimulatedClock(START)), MemoryRoutes()
    publish(records, routes, Route("other", "v7"), START)
    assert routes.current("other") == Route("other", "v7")


def test_routes_that_are_away_are_told(records: Contested) -> None:
    def away() -> None:
        raise StorageError("no answer")

    ask(records, Request.ROLL_BACK)
    with pytest.raises(StorageError, match="no answer"):
        carry_out(records, REGISTRY, Watched(away), PLAN, START)
    assert records.decisions(MODEL)[-1].action == "roll_back"
