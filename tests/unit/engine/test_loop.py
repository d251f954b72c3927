"""One tick of all models: who fails stands alone, who loses a race yields, routes follow states."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import pytest

from homeostat.domain.effect import Notify, StartTraining
from homeostat.domain.errors import DeliveryError, StorageError
from homeostat.domain.model import ModelSpec, ModelVersion
from homeostat.domain.route import Route
from homeostat.domain.verdict import Monitor
from homeostat.domain.window import Window
from homeostat.engine.commands import Command, Inbox, Request, inbox_key, submit
from homeostat.engine.loop import Engine, state_keys
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import Ports
from homeostat.engine.watch import (
    Watch,
    baseline_key,
    retraining_key,
    rollout_key,
    watch_key,
)
from homeostat.profiles.profile import Profile
from homeostat.retraining.run import RunState
from homeostat.retraining.run import Stage as RunStage
from homeostat.rollout.state import RolloutState
from homeostat.simulation.fakes import MemoryLog, MemoryNotifier, MemoryRecords, MemoryRoutes
from homeostat.simulation.fakes.records import MemoryUnit
from simulation.fitting import contrary
from simulation.world import DAY, MODEL, PLAN, SPEC, START, TICK, Fate, World, memory_world

OTHER = "other"
EARLIER = START - DAY
OTHER_PLAN = replace(PLAN, spec=replace(SPEC, name=OTHER), retraining=None)


class TornLog(MemoryLog):
    """A log whose rows of one model cannot be read."""

    def profile(self, spec: ModelSpec, window: Window, version: str = "") -> Profile:
        if spec.name == MODEL:
            raise StorageError("a file is torn")
        return super().profile(spec, window, version)


@dataclass
class Raced(MemoryRecords):
    """Records in which another engine decides while this one does."""

    rival: int = 0

    @contextmanager
    def begin(self) -> Iterator[MemoryUnit]:
        with super().begin() as unit:
            yield unit
            self.rival -= 1
            if self.rival == 0:
                with super().begin() as other:
                    seen = other.load(watch_key(MODEL), Watch)
                    assert seen is not None
                    other.save(watch_key(MODEL), replace(seen, since=EARLIER))


@dataclass
class BrokenRoutes(MemoryRoutes):
    """A router whose store cannot be reached, a few times."""

    failures: int = 0

    def publish(self, route: Route) -> None:
        if self.failures:
            self.failures -= 1
            raise StorageError("no connection")
        super().publish(route)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return memory_world(tmp_path, Fate(6))


def rewired(world: World, **ports: object) -> None:
    world.engine = Engine(replace(world.ports, **ports), world.engine.plans)


def twins(world: World, log: MemoryLog) -> Engine:
    """Put a second model beside the first, which starts from the same states."""
    with world.ports.records.begin() as uow:
        uow.save(watch_key(OTHER), replace(world.watch, model=OTHER))
        uow.save(rollout_key(OTHER), replace(world.rollout, model=OTHER))
    plans: dict[str, ModelPlan] = {MODEL: PLAN, OTHER: OTHER_PLAN}
    return Engine(replace(world.ports, log=log), plans)


def moved(ports: Ports, model: str) -> datetime:
    state = ports.records.read(watch_key(model), Watch)
    assert state is not None
    return state.service_until


def test_a_model_that_is_not_adopted_is_left_alone(world: World) -> None:
    empty = Engine(world.ports, {OTHER: OTHER_PLAN})
    assert empty.tick(START + TICK) == ()
    assert world.ports.records.keys(watch_key(OTHER)) == ()
    assert world.ports.routes.current(OTHER) is None


def test_the_first_route_is_published_and_not_again(world: World) -> None:
    router = world.ports.routes
    assert isinstance(router, MemoryRoutes)
    assert router.published == [Route(MODEL, "1")]
    world.advance()
    assert router.published == [Route(MODEL, "1")]


def test_a_route_that_was_tampered_with_is_put_right(world: World) -> None:
    world.ports.routes.publish(Route(MODEL, "666"))
    assert world.engine.tick(START) == ()
    assert world.ports.routes.current(MODEL) == Route(MODEL, "1")


def test_a_route_that_cannot_be_published_is_tried_again(world: World) -> None:
    rewired(world, routes=BrokenRoutes(failures=1))
    world.advance()
    assert world.problems == [f"{MODEL}: route not published: no connection"]
    world.advance()
    assert len(world.problems) == 1
    assert world.ports.routes.current(MODEL) == Route(MODEL, "1")


def test_a_failure_of_one_model_does_not_touch_the_other(world: World) -> None:
    engine = twins(world, TornLog(world.clock))
    before = world.watch
    world.clock.advance(TICK)
    assert engine.tick(START + TICK) == (f"{MODEL}: a file is torn",)
    assert world.watch == before
    assert moved(engine.ports, OTHER) == START + TICK
    assert engine.ports.routes.current(OTHER) == Route(OTHER, "1")
    mended = Engine(world.ports, engine.plans)
    assert mended.tick(START + 2 * TICK) == ()
    assert moved(engine.ports, MODEL) == START + 2 * TICK


def test_a_fault_of_ours_in_one_model_does_not_stop_the_others(world: World) -> None:
    class Faulty(MemoryLog):
        def profile(self, spec: ModelSpec, window: Window, version: str = "") -> Profile:
            if spec.name == MODEL:
                raise ZeroDivisionError("a bug")
            return super().profile(spec, window, version)

    engine = twins(world, Faulty(world.clock))
    world.clock.set(START + TICK)
    (problem,) = engine.tick(START + TICK)
    assert problem.startswith(f"{MODEL}: a fault in Homeostat: ZeroDivisionError: a bug (test_loop")
    assert moved(engine.ports, OTHER) == START + TICK


def test_who_loses_a_race_yields_and_keeps_nothing(world: World) -> None:
    records = Raced(world.clock, **vars_of(world.ports.records))
    rewired(world, records=records)
    submit(records, Command(Request.ROLL_BACK, MODEL, "ana"), START)
    records.rival = 2  # the first unit of work obeys people, the second decides
    decided = records.decisions()
    world.advance()
    assert world.problems == []
    assert world.watch.since == EARLIER
    assert world.watch.service_until == START
    assert [d.action for d in records.decisions()[len(decided) :]] == ["refuse"]
    world.advance()
    assert world.watch.service_until == START + 2 * TICK
    assert [d.action for d in records.decisions()[len(decided) :]] == ["refuse"]


def test_a_person_is_obeyed_though_the_log_cannot_be_read(world: World, tmp_path: Path) -> None:
    card = ModelVersion(MODEL, "", "linear", "", START)
    world.ports.registry.register(card, contrary(tmp_path / "new"))
    rewired(world, log=TornLog(world.clock))
    submit(world.ports.records, Command(Request.PUSH, MODEL, "ana", "2"), START)
    world.clock.set(START + TICK)
    assert world.engine.tick(START + TICK) == (f"{MODEL}: a file is torn",)
    route = world.ports.routes.current(MODEL)
    assert route is not None
    assert route.champion == "2"


def vars_of(records: object) -> dict[str, object]:
    return {name: value for name, value in vars(records).items() if name not in {"clock", "rival"}}


def test_the_inbox_is_emptied_in_the_tick_that_obeys(world: World, tmp_path: Path) -> None:
    card = ModelVersion(MODEL, "", "linear", "", START)
    world.ports.registry.register(card, contrary(tmp_path / "new"))
    submit(world.ports.records, Command(Request.PUSH, MODEL, "ana", "2"), START)
    world.advance()
    assert world.rollout.champion == "2"
    assert world.ports.records.read(inbox_key(MODEL), Inbox) == Inbox()
    world.advance()
    pushed = [d for d in world.ports.records.decisions() if d.action == "push"]
    assert len(pushed) == 1


def test_all_states_that_a_tick_reads_are_named(world: World) -> None:
    submit(world.ports.records, Command(Request.RETRAIN, MODEL, "ana"), START)
    world.advance()
    stored = set(world.ports.records.keys(""))
    assert {key for key in stored if not key.startswith("baseline:")} <= set(state_keys(PLAN))
    assert len(state_keys(PLAN)) == 12 + len(PLAN.rules)


def test_a_training_that_was_intended_is_started_before_it_is_asked_after(world: World) -> None:
    """As after a crash between the commit that starts a run and the start itself."""
    for _ in range(24):
        world.advance()
    records = world.ports.records
    submit(records, Command(Request.RETRAIN, MODEL, "ana"), world.clock.now())
    crashed = Engine(world.ports, world.engine.plans)
    crashed._decide(PLAN, world.clock.now(), [])
    (pending,) = records.pending(world.clock.now())
    assert isinstance(pending.effect, StartTraining)
    world.advance()
    run = records.read(retraining_key(MODEL), RunState)
    assert run is not None
    assert run.stage in {RunStage.ACCEPTED, RunStage.REJECTED}
    assert run.candidate == "2"


def test_a_model_without_baseline_is_watched_all_the_same(world: World) -> None:
    with world.ports.records.begin() as uow:
        uow.delete(baseline_key(MODEL, "1"))
    rewired(world)
    for _ in range(8):
        world.advance()
    told = {v.monitor for v in world.ports.records.verdicts(MODEL)}
    assert Monitor.DATA_DRIFT in told
    assert Monitor.PERFORMANCE not in told
    assert world.ports.records.metrics(MODEL, "auc")


def test_a_degraded_feature_reaches_the_route(tmp_path: Path) -> None:
    world = memory_world(tmp_path, Fate(6, cents=Window(START, START + DAY)))
    world.advance()
    assert world.ports.routes.current(MODEL) == Route(MODEL, "1", degraded=("amount",))
    assert isinstance(world.rollout, RolloutState)


@dataclass
class Forgetful(MemoryNotifier):
    """Like Alertmanager: it must be told again."""

    told: list[list[str]] = field(default_factory=list)

    def renew(self, notices: Sequence[Notify], now: datetime) -> None:
        self.told.append([notice.key for notice in notices])
        if self.failures:
            raise self.failures.pop(0)


def test_receivers_that_forget_are_told_at_each_tick_what_is_open(world: World) -> None:
    forgetful = Forgetful()
    rewired(world, notifiers={"duty": forgetful})
    first, second, third = (START + n * TICK for n in (1, 2, 3))
    key = f"notify:duty:{MODEL}:volume_anomaly:1:trigger"  # there is no traffic
    assert world.engine.tick(first) == ()
    assert list(forgetful.delivered) == [key]
    forgetful.failures = [DeliveryError("away", retry=True)]
    assert world.engine.tick(second) == ("duty: alerts not renewed: away",)
    world.engine.ports.log.profile = torn  # type: ignore[method-assign]
    assert world.engine.tick(third) != ()
    assert forgetful.told == [[key]] * 3, "also where nothing new is known of the model"


def torn(*_: object) -> Profile:
    raise StorageError("a file is torn")
