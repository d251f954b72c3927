"""A canary and its promotion in a world where calls fail half-way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pytest

from homeostat.domain.errors import StorageError
from homeostat.domain.model import ModelVersion
from homeostat.domain.route import Route
from homeostat.domain.window import Window
from homeostat.engine.guardrails import GuardrailMemory
from homeostat.engine.loop import Engine
from homeostat.engine.watch import Pairing, Watch, guardrails_key, rollout_key, watch_key
from homeostat.rollout.state import RolloutState, Stage, route
from homeostat.simulation.fakes import MemoryRoutes
from homeostat.stats.paired import PairedBets, bet_on_differences
from simulation.world import HOUR, MODEL, PLAN, SPEC, Fate, World, memory_world


@dataclass
class FlakyRoutes(MemoryRoutes):
    """A place for routes that can be away, or take none."""

    away: bool = False
    full: bool = False

    def current(self, model: str) -> Route | None:
        if self.away:
            raise StorageError("the routes cannot be reached")
        return super().current(model)

    def publish(self, route: Route) -> None:
        if self.full:
            raise StorageError("the disk is full")
        super().publish(route)


@pytest.fixture
def routes() -> FlakyRoutes:
    return FlakyRoutes()


@pytest.fixture
def world(tmp_path: Path, routes: FlakyRoutes) -> World:
    # Labels stay away: these hours are about what callers get.
    plan = replace(PLAN, retraining=None)
    made = memory_world(tmp_path, Fate(3), plan)
    ports = replace(made.ports, routes=routes)
    artifact = ports.registry.path(MODEL, "1")
    ports.registry.register(ModelVersion(MODEL, "2", "linear", "", made.clock.now()), artifact)
    made.engine = Engine(ports, {MODEL: plan})
    return made


def enter(world: World, stage: Stage) -> None:
    """Put version 2 into a stage, proven if it has passed, and let the engine publish it."""
    now = world.clock.now()
    state = replace(
        world.rollout,
        stage=stage,
        challenger="2",
        weight=0.5,
        step=1,
        since=now,
        submitted_at=world.rollout.submitted_at or now,
    )
    with world.ports.records.begin() as uow:
        uow.load(rollout_key(MODEL), RolloutState)
        uow.save(rollout_key(MODEL), state)
        watch = uow.load(watch_key(MODEL), Watch)
        if watch is not None and stage is Stage.PROMOTING:
            bets = bet_on_differences(PairedBets(), [0.5] * 60)
            uow.save(watch_key(MODEL), replace(watch, challenger=Pairing("1", "2", bets)))
    world.ports.routes.publish(route(state, now))


def live(world: World, fails: str = "") -> None:
    """Live through an hour in which one version answers nothing by itself."""
    window = Window(world.clock.now(), world.clock.advance(HOUR))
    for rows in failing(world.answers(window), fails):
        world.ports.log.append(SPEC, rows)
    world.problems += world.engine.tick(window.end)


def failing(answers: Iterator[pa.Table], version: str) -> Iterator[pa.Table]:
    for rows in answers:
        table = rows
        if version and rows["version"][0].as_py() == version:
            if rows["role"][0].as_py() == "shadow":
                continue
            for name, value in (("tier", "default"), ("reason", "error")):
                place = table.column_names.index(name)
                table = table.set_column(place, name, pa.array([value] * table.num_rows))
        yield table


def memory(world: World) -> GuardrailMemory | None:
    return world.ports.records.read(guardrails_key(MODEL), GuardrailMemory)


def last(world: World) -> tuple[str, str]:
    made = world.ports.records.decisions(MODEL)[-1]
    return made.action, made.subject


def test_a_canary_that_fails_its_callers_is_taken_back(world: World) -> None:
    enter(world, Stage.CANARY)
    for _ in range(6):
        live(world, fails="2")
        if world.rollout.stage is Stage.CHAMPION:
            break
    assert (world.rollout.champion, world.rollout.aborted) == ("1", ("2",))
    made = next(d for d in world.ports.records.decisions(MODEL) if d.action == "abort")
    assert made.evidence or "fell back" in made.reason
    assert world.ports.routes.current(MODEL) == Route(MODEL, "1")
    live(world)
    assert memory(world) == GuardrailMemory()


def test_a_canary_that_does_no_harm_goes_on(world: World) -> None:
    enter(world, Stage.CANARY)
    for _ in range(4):
        live(world)
    assert world.rollout.stage is Stage.CANARY
    seen = memory(world)
    assert seen is not None
    assert min(seen.rails.counts) > 10
    assert "abort" not in {made.action for made in world.ports.records.decisions(MODEL)}


def test_while_routes_cannot_be_read_answers_do_not_count(
    world: World, routes: FlakyRoutes
) -> None:
    enter(world, Stage.CANARY)
    window = Window(world.clock.now(), world.clock.advance(HOUR))
    answers = list(world.answers(window))
    for rows in answers:
        world.ports.log.append(SPEC, rows)
    routes.away = True
    problems = world.engine.tick(window.end)
    assert "the routes cannot be reached" in problems[0]
    seen = memory(world)
    assert seen is not None
    assert seen.rails.counts == (0, 0)
    assert world.rollout.stage is Stage.CANARY
    assert last(world) == ("hold", "2")
    assert "another one" in world.ports.records.decisions(MODEL)[-1].reason


def test_a_promotion_whose_route_is_not_out_ends_with_it_out(
    world: World, routes: FlakyRoutes
) -> None:
    enter(world, Stage.CANARY)
    live(world)
    enter(world, Stage.PROMOTING)
    before = routes.current(MODEL)
    routes.full = True
    for _ in range(2):
        world.engine = Engine(world.ports, world.engine.plans)
        world.clock.advance(HOUR)
        (problem,) = world.engine.tick(world.clock.now())
        assert "the disk is full" in problem
        # What is out goes on serving: both versions can.
        assert (world.rollout.champion, routes.current(MODEL)) == ("2", before)
    routes.full = False
    world.clock.advance(HOUR)
    assert world.engine.tick(world.clock.now()) == ()
    now = world.clock.now()
    assert routes.current(MODEL) == route(world.rollout, now)
    assert routes.published[-1].champion == "2"
    actions = [made.action for made in world.ports.records.decisions(MODEL)]
    assert actions.count("promote") == 1


def test_a_new_champion_that_fails_is_taken_back_by_its_own_answers(world: World) -> None:
    enter(world, Stage.CANARY)
    live(world)
    enter(world, Stage.PROMOTING)
    live(world)
    assert world.rollout.champion == "2"
    for _ in range(6):
        live(world, fails="2")
        if world.rollout.champion == "1":
            break
    assert (world.rollout.champion, world.rollout.aborted) == ("1", ("2",))
    made = next(d for d in world.ports.records.decisions(MODEL) if d.action == "roll_back")
    assert "1 scored" in made.reason
    assert world.ports.routes.current(MODEL) == Route(MODEL, "1")
