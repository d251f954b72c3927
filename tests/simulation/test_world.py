"""A seeded world lived through by the engine: what it must handle, and what must never happen."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from homeostat.domain.decision import Cause
from homeostat.domain.model import ModelVersion
from homeostat.domain.window import Window
from homeostat.engine.commands import Command, Request, submit
from homeostat.engine.loop import Engine
from homeostat.rollout.state import Stage
from homeostat.simulation.invariants import check_all, check_once, check_replay
from simulation.fitting import contrary
from simulation.world import DAY, MODEL, PLAN, START, TICK, Fate, World, memory_world

SEEDS = (1, 2)


@pytest.fixture(params=SEEDS)
def seed(request: pytest.FixtureRequest) -> int:
    sys.stdout.write(f"seed {request.param}\n")
    return int(request.param)


def live(world: World, days: float, until: Callable[[], bool] = lambda: False) -> None:
    for _ in range(int(days * 4)):
        world.advance()
        check_all(world.scene)
        check_once(world.scene)
        if until():
            break
    check_replay(world.scene, START, TICK)


def actions(world: World) -> list[tuple[str, str]]:
    return [(made.action, made.subject) for made in world.ports.records.decisions(MODEL)]


def ask(world: World, request: Request, subject: str = "") -> None:
    command = Command(request, MODEL, "ana", subject)
    submit(world.ports.records, command, world.clock.now())


def register(world: World, artifact: Path) -> str:
    card = ModelVersion(MODEL, "", "linear", "", world.clock.now())
    return world.ports.registry.register(card, artifact).version


def newest(world: World, metric: str) -> float:
    return world.ports.records.metrics(MODEL, metric)[-1].value


def test_quiet_times_stay_quiet(tmp_path: Path, seed: int) -> None:
    world = memory_world(tmp_path, Fate(seed))
    live(world, 12)
    assert actions(world) == [("install", "1")]
    assert newest(world, "auc") > 0.8


def test_concept_drift_is_learnt_and_the_new_version_promoted(tmp_path: Path, seed: int) -> None:
    world = memory_world(tmp_path, Fate(seed, flips=START + 2 * DAY))
    live(world, 14)
    made = actions(world)
    story = [
        *("diagnose", "fire", "request_retraining", "start_training", "train", "accept_candidate"),
        *("submit", "shadow", "ramp", "ramp", "promote", "resolve"),
    ]
    told = [action for action, _ in made if action in story]
    assert told == story
    assert ("diagnose", Cause.CONCEPT_DRIFT) in made
    assert world.rollout.champion == "2"
    assert world.rollout.previous == "1"
    auc = {(p.version, p.window.start): p.value for p in world.ports.records.metrics(MODEL, "auc")}
    last = max(at for _, at in auc)
    assert auc["1", START] > 0.8
    assert auc["1", START + 3 * DAY] < 0.3
    assert auc["2", last] > 0.8


def test_a_data_fault_degrades_the_route_and_is_not_learnt(tmp_path: Path, seed: int) -> None:
    broken = Window(START + 3 * DAY, START + 5 * DAY)
    world = memory_world(tmp_path, Fate(seed, cents=broken))
    live(world, 3.25)
    route = world.ports.routes.current(MODEL)
    assert route is not None
    assert route.degraded == ("amount",)
    assert world.watch.diagnosis is not None
    assert world.watch.diagnosis.cause is Cause.DATA_FAULT
    ask(world, Request.RETRAIN)
    live(world, 1)
    assert ("refuse_retraining", f"{MODEL}-0001") in actions(world)
    live(world, 12)
    route = world.ports.routes.current(MODEL)
    assert route is not None
    assert route.degraded == ()
    made = actions(world)
    assert ("fire", f"{MODEL}:data_fault:1") in made
    assert ("resolve", f"{MODEL}:data_fault:1") in made
    assert {action for action, _ in made}.isdisjoint({"start_training", "submit", "promote"})
    assert [subject for action, subject in made if action == "fire"] == [f"{MODEL}:data_fault:1"]
    assert {("begin_fault", "amount"), ("end_fault", "amount")} <= set(made)


def test_training_after_a_fault_leaves_its_rows_out(tmp_path: Path) -> None:
    broken = Window(START + 2 * DAY, START + 3 * DAY)
    plan = replace(PLAN, retraining=replace(PLAN.retraining, window=5 * DAY))
    world = memory_world(tmp_path, Fate(5, cents=broken), plan)
    live(world, 6)
    ask(world, Request.RETRAIN)
    live(world, 1)
    made = actions(world)
    assert ("train", "2") in made
    card = world.ports.registry.get(MODEL, "2")
    assert 0 < card.rows < 3.8 * 480


def test_a_bad_push_is_rolled_back(tmp_path: Path) -> None:
    world = memory_world(tmp_path, Fate(7))
    live(world, 2)
    bad = register(world, contrary(tmp_path / "bad"))
    ask(world, Request.PUSH, bad)
    live(world, 0.25)
    assert world.rollout.champion == bad
    live(world, 4, until=lambda: world.rollout.champion == "1")
    assert world.rollout.champion == "1"
    assert ("roll_back", bad) in actions(world)
    assert ("diagnose", Cause.BAD_VERSION) in actions(world)
    ask(world, Request.SUBMIT, bad)
    live(world, 6)
    assert ("refuse", bad) in actions(world)
    assert world.rollout.champion == "1"
    assert "start_training" not in dict(actions(world))


def test_an_abort_is_latched(tmp_path: Path) -> None:
    world = memory_world(tmp_path, Fate(8))
    bad = register(world, contrary(tmp_path / "bad"))
    ask(world, Request.SUBMIT, bad)
    live(world, 0.25)
    assert world.rollout.stage is Stage.SHADOW
    live(world, 5)
    assert ("abort", bad) in actions(world)
    assert world.rollout.stage is Stage.CHAMPION
    ask(world, Request.SUBMIT, bad)
    live(world, 1)
    assert actions(world)[-1] == ("refuse", bad)
    assert world.rollout.aborted == (bad,)
    versions = {p.version for p in world.ports.records.metrics(MODEL) if p.name == "auc"}
    assert versions == {"1", bad}


def test_without_labels_nothing_is_promoted(tmp_path: Path) -> None:
    plan = replace(PLAN, rollout=replace(PLAN.rollout, patience=10 * DAY))
    world = memory_world(tmp_path, Fate(9, silent=Window(START, START + 40 * DAY)), plan)
    good = register(world, world.ports.registry.path(MODEL, "1"))
    ask(world, Request.SUBMIT, good)
    live(world, 9)
    assert world.rollout.stage is Stage.SHADOW
    assert world.rollout.champion == "1"
    live(world, 3)
    made = actions(world)
    assert ("abort", good) in made
    assert {action for action, _ in made}.isdisjoint({"ramp", "promote"})


def test_an_equal_version_is_not_promoted_without_proof(tmp_path: Path) -> None:
    world = memory_world(tmp_path, Fate(10))
    equal = register(world, world.ports.registry.path(MODEL, "1"))
    ask(world, Request.SUBMIT, equal)
    live(world, 8)
    assert world.rollout.champion == "1"
    assert "promote" not in dict(actions(world))


def test_the_same_seed_gives_the_same_log(tmp_path: Path) -> None:
    logs: list[bytes] = []
    for life in range(2):
        fate = Fate(11, flips=START + DAY, cents=Window(START + 9 * DAY, START + 10 * DAY))
        world = memory_world(tmp_path / str(life), fate)
        live(world, 12)
        logs.append("\n".join(map(repr, world.ports.records.decisions())).encode())
    assert logs[0] == logs[1]
    assert logs[0].count(b"\n") > 15


def test_the_engine_can_be_made_anew_between_any_two_ticks(tmp_path: Path) -> None:
    lasting = memory_world(tmp_path / "one", Fate(12, flips=START + DAY))
    renewed = memory_world(tmp_path / "two", Fate(12, flips=START + DAY))
    for _ in range(40):
        lasting.advance()
        renewed.engine = Engine(renewed.ports, renewed.engine.plans)
        renewed.advance()
    assert lasting.ports.records.decisions() == renewed.ports.records.decisions()
    assert lasting.rollout.champion == "2"
