"""Controller, trainer, registry, store, log and routes die at random steps: nothing is lost."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from homeostat.engine.commands import Command, Inbox, Request, inbox_key, submit
from homeostat.engine.loop import Engine
from homeostat.engine.ports import Records, UnitOfWork
from homeostat.engine.watch import retraining_key
from homeostat.retraining.run import RunState, Stage
from homeostat.rollout.state import Stage as Rollout
from homeostat.simulation.chaos import FaultyRecords
from simulation.doomed import Doomed
from simulation.fitting import contrary
from simulation.test_world import register
from simulation.world import MODEL, START

AGES = 10_000
"""Calls for which a port is away."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lives")


@pytest.mark.parametrize("seed", [33, 184])
def test_whatever_dies_there_is_one_champion_and_all_mends_itself(folder: Path, seed: int) -> None:
    sys.stdout.write(f"seed {seed}\n")
    life = Doomed.begin(folder, seed)
    life.live()
    assert sum(life.chaos.happened.values()) > 5


@pytest.mark.parametrize("port", ["registry", "trainer", "notifier"])
def test_a_bad_version_is_rolled_back_though_a_port_is_away(folder: Path, port: str) -> None:
    life = Doomed.begin(folder, 2, rate=0.0, flips=False)
    world = life.world
    bad = register(world, contrary(folder / f"bad {port}"))
    submit(world.ports.records, Command(Request.PUSH, MODEL, "ana", bad), world.clock.now())
    life.pass_time()
    assert life.tick() == ()
    assert world.rollout.champion == bad
    life.chaos.away[port] = AGES
    live(life, 6)
    made = [(d.action, d.subject) for d in world.ports.records.decisions(MODEL)]
    assert ("roll_back", bad) in made


def test_a_run_outlives_a_registry_and_a_trainer_that_are_away(folder: Path) -> None:
    life = Doomed.begin(folder, 3, rate=0.0)
    records, away = life.world.ports.records, life.chaos.away
    live(life, 4)
    for person in ("ana", "ben"):
        submit(records, Command(Request.RETRAIN, MODEL, person), life.world.clock.now())
    away["registry"] = AGES
    assert any("retraining: registry" in problem for problem in live(life, 1))
    assert [c.actor for c in (records.read(inbox_key(MODEL), Inbox) or Inbox()).commands] == [
        "ana",
        "ben",
    ]
    away["registry"], away["trainer"] = 0, AGES
    live(life, 3)
    assert stage(life) is Stage.TRAINING
    assert life.trained == {}
    away["trainer"] = 0
    live(life, 1)
    away["trainer"] = AGES
    assert any("retraining: trainer" in problem for problem in live(life, 2))
    away["registry"], away["trainer"] = AGES, 0
    live(life, 3)
    assert (stage(life), life.trained) == (Stage.TRAINING, {f"{MODEL}-0001": 1})
    away["registry"] = 0
    live(life, 1)
    made = [(d.action, d.actor) for d in records.decisions(MODEL)]
    assert made.count(("train", "homeostat")) == 1
    assert made.count(("request_retraining", "ana")) == made.count(("refuse", "ben")) == 1
    assert ("shadow", "homeostat") in made


def test_a_candidate_is_not_blamed_for_a_registry_that_is_away(folder: Path) -> None:
    life = Doomed.begin(folder, 4, rate=0.0, flips=False)
    world = life.world
    good = register(world, world.ports.registry.path(MODEL, "1"))
    submit(world.ports.records, Command(Request.SUBMIT, MODEL, "ana", good), world.clock.now())
    life.chaos.away["log"] = AGES
    live(life, 1)
    life.chaos.away.update(log=0, registry=AGES)
    live(life, 2)
    assert (world.rollout.stage, world.rollout.challenger) == (Rollout.CANDIDATE, good)
    life.chaos.away["registry"] = 0
    live(life, 1)
    assert world.rollout.stage is Rollout.SHADOW


def test_a_run_that_never_began_is_given_up(folder: Path) -> None:
    life = Doomed.begin(folder, 3, rate=0.0)
    live(life, 4)
    life.chaos.away["trainer"] = AGES
    live(life, 14)
    told = [
        d.reason
        for d in life.world.ports.records.decisions(MODEL)
        if d.action == "cancel_retraining"
    ]
    assert told == ["not begun after 3 days, 0:00:00"]


def live(life: Doomed, ticks: int) -> tuple[str, ...]:
    """Live on, and return what the last tick could not do."""
    problems: tuple[str, ...] = ()
    life.chaos.on = True
    for _ in range(ticks):
        with life.chaos.calm():
            life.pass_time()
        problems = life.tick()
    return problems


def stage(life: Doomed) -> Stage:
    run = life.world.ports.records.read(retraining_key(MODEL), RunState)
    assert run is not None
    return run.stage


def test_a_roll_back_that_comes_while_a_tick_is_under_way_waits_for_the_next(folder: Path) -> None:
    life = Doomed.begin(folder, 5, rate=0.0, flips=False)
    world, records = life.world, life.world.ports.records
    good = register(world, world.ports.registry.path(MODEL, "1"))
    submit(records, Command(Request.PUSH, MODEL, "ana", good), world.clock.now())
    assert live(life, 1) == ()
    interrupted = cast(Records, Interrupted(records, "store", life.chaos))
    engine = Engine(replace(life.ports(), records=interrupted), world.engine.plans)
    assert engine.tick(world.clock.now()) == ()
    assert world.rollout.champion == good
    assert live(life, 1) == ()
    assert world.rollout.champion == "1"
    assert [d.actor for d in records.decisions(MODEL)][-1] == "ben"


class Interrupted(FaultyRecords):
    """Records to which a roll-back comes between what a tick obeys and what it decides."""

    begun = 0

    def begin(self) -> AbstractContextManager[UnitOfWork]:
        """Open a unit of work."""
        self.begun += 1
        if self.begun == 2:
            command = Command(Request.ROLL_BACK, MODEL, "ben")
            submit(cast(Records, self.port), command, START)
        return super().begin()
