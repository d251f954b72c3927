"""A world whose controller, trainer, registry, store, log and routes die at random steps.

Each call of a port and each commit is a step. At a step the controller may die before or after it,
the port may fail before or after it did what was asked (the answer is lost), be away for a while,
or another control plane may be first. People ask for things meanwhile, whose answers may be lost
as well. Then faults end, and what is left must have mended itself.
"""

from __future__ import annotations

import copy
import copyreg
import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa

from homeostat.adapters.models.scorer import RegistryScorer
from homeostat.domain.effect import StartTraining
from homeostat.domain.errors import (
    HomeostatError,
)
from homeostat.domain.model import ModelSpec, ModelVersion
from homeostat.domain.window import Window
from homeostat.engine.commands import Command, Inbox, Request, inbox_key, submit
from homeostat.engine.loop import Engine
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import (
    Ports,
    Training,
)
from homeostat.engine.watch import retraining_key
from homeostat.retraining.run import RunState
from homeostat.retraining.run import Stage as RunStage
from homeostat.rollout.state import route
from homeostat.simulation.chaos import Chaos, Killed, faulty
from homeostat.simulation.invariants import check_rollout
from simulation.fitting import contrary, memory_trainer
from simulation.world import DAY, HOUR, MODEL, PLAN, SPEC, START, Fate, World, memory_world

T = TypeVar("T")
TICK = 12 * HOUR
FAULTY, QUIET, LONGEST = 12, 6, 22
"""Ticks with faults, and the least and most without that follow."""
MOST_DEATHS = 4


def plan() -> ModelPlan:
    """Return a plan that learns and rolls out within days."""
    rollout = replace(
        PLAN.rollout, shadow_min=TICK, shadow_min_rows=100, ramp=(0.5,), step_min=TICK,
        patience=3 * DAY,
    )  # fmt: skip
    assert PLAN.retraining is not None
    retraining = replace(
        PLAN.retraining, min_rows=400, window=DAY, holdout=DAY, cooldown=DAY, timeout=3 * DAY
    )
    return replace(PLAN, rollout=rollout, retraining=retraining)


@lru_cache(maxsize=1)
def eve(folder: Path) -> World:
    """Return a world whose model was just adopted."""
    return memory_world(folder, Fate(1, flips=START + DAY), plan())


for made in (threading.Lock, threading.RLock):
    copyreg.pickle(type(made()), partial(lambda make, _: (make, ()), made))


@dataclass
class Asked:
    """What a person asked for, and whether its answer came."""

    command: Command
    answered: bool


@dataclass
class Doomed:
    """One life; what outlives the controller is in `world`, whose own engine is never used."""

    world: World
    chaos: Chaos
    folder: Path
    asked: list[Asked] = field(default_factory=list)
    trained: Counter[str] = field(default_factory=Counter)
    deaths: int = 0
    _engine: Engine | None = None

    @classmethod
    def begin(cls, folder: Path, seed: int, rate: float = 0.03, *, flips: bool = True) -> Doomed:
        """Begin a life with what the seed has in store."""
        world = copy.deepcopy(eve(folder))
        world.fate = Fate(seed % 20, flips=START + DAY if flips else None)
        made = cls(world, Chaos(np.random.default_rng(seed), rate), folder / str(seed))
        trainer = memory_trainer(made.folder, polls=1)
        train = trainer.train

        def counted(request: StartTraining, spec: ModelSpec, rows: pa.Table) -> Training:
            made.trained[request.run_id] += 1
            return train(request, spec, rows)

        trainer.train = counted
        world.engine.ports = replace(world.ports, trainers={MODEL: trainer})
        made.chaos.rival = made.overtake
        return made

    def ports(self) -> Ports:
        """Return the ports with faults."""
        return faulty(self.world.ports, self.chaos, RegistryScorer)

    def overtake(self) -> None:
        """Let another control plane take the whole tick."""
        with self.chaos.calm():
            Engine(self.world.ports, self.world.engine.plans).tick(self.world.clock.now())

    def live(self) -> Doomed:
        """Live through faults and a quiet time after them, till all is well; check each tick."""
        wishes = self.wishes()
        for number in range(FAULTY + LONGEST):
            self.chaos.on = number < FAULTY
            with self.chaos.calm():
                self.pass_time()
            if number in wishes:
                self.ask(wishes[number], number)
            problems = self.tick()
            check_always(self)
            if number >= FAULTY + 1:
                assert problems == ()
                check_settled(self)
            if number >= FAULTY + QUIET and recovered(self):
                return self
        raise AssertionError("it has not recovered")

    def wishes(self) -> dict[int, Request]:
        """Return what people ask for, and when."""
        rng = self.chaos.rng
        kinds = (Request.PUSH, Request.ROLL_BACK, Request.SUBMIT, Request.ABORT, Request.RETRAIN)
        count = int(rng.integers(1, 6))
        ticks = rng.choice(np.arange(1, FAULTY), size=count, replace=False)
        return {int(at): kinds[int(rng.integers(len(kinds)))] for at in ticks}

    def pass_time(self) -> None:
        """Answer requests and bring labels."""
        world = self.world
        window = Window(world.clock.now(), world.clock.advance(TICK))
        for rows in world.answers(window):
            world.ports.log.append(SPEC, rows)
        world.ports.log.append_labels(SPEC, world.fate.labels(window))

    def ask(self, request: Request, number: int) -> None:
        """Ask for something; the answer may be lost."""
        subject = self.version() if request in {Request.PUSH, Request.SUBMIT} else ""
        command = Command(request, MODEL, f"person {number}", subject)
        try:
            submit(self.ports().records, command, self.world.clock.now())
        except (HomeostatError, Killed):
            self.asked.append(Asked(command, answered=False))
        else:
            self.asked.append(Asked(command, answered=True))

    def version(self) -> str:
        """Register a version that is bad in quiet times and good after the flip, or the reverse."""
        world = self.world
        artifact = contrary(self.folder / f"contrary {world.clock.now():%d%H}")
        if self.chaos.rng.random() < 0.5:
            artifact = world.ports.registry.path(MODEL, "1")
        card = ModelVersion(MODEL, "", "linear", "", world.clock.now())
        return world.ports.registry.register(card, artifact).version

    def tick(self) -> tuple[str, ...]:
        """Tick; a controller that dies is made anew a minute later, which may die as well."""
        for _ in range(MOST_DEATHS):
            engine = self._engine or Engine(self.ports(), self.world.engine.plans)
            self._engine = engine
            try:
                problems = engine.tick(self.world.clock.now())
            except Killed:
                self.deaths += 1
                self._engine = None
            except HomeostatError as error:
                return (str(error),)
            else:
                return problems
        return ("dead",)


def check_always(life: Doomed) -> None:
    """One champion, who follows from the log; nothing done twice, and nothing asked for lost."""
    world = life.world
    state, decisions = world.rollout, world.ports.records.decisions(MODEL)
    assert state.champion
    assert state.challenger != state.champion
    assert state.champion not in state.lineage
    told, champions, gone = "", set[str](), set[str]()
    for made in decisions:
        if made.action in {"install", "promote", "push"}:
            assert made.action == "push" or made.subject not in champions | gone, "promoted twice"
            told = made.subject
            gone.discard(told)
        elif made.action == "roll_back":
            assert made.subject == told, "not the champion was rolled back"
            gone.add(told)
            told = made.reason.rpartition("; ")[2].removesuffix(" serves again")
        elif made.action == "abort":
            gone.add(made.subject)
        champions.add(told)
        assert told not in gone
    assert told == state.champion
    published = world.ports.routes.current(MODEL)
    assert published is not None
    assert published.champion in champions
    assert set(life.trained.values()) <= {1}
    check_rollout(world.scene, decisions)
    check_asked(life)


def check_asked(life: Doomed) -> None:
    """What was asked for waits or is carried out, and once; what was answered is not lost."""
    records = life.world.ports.records
    inbox = records.read(inbox_key(MODEL), Inbox) or Inbox()
    for asked in life.asked:
        waits = [c for c in inbox.commands if c.actor == asked.command.actor]
        made = [d for d in records.decisions(MODEL) if d.actor == asked.command.actor]
        done = [d for d in made if d.action not in {"supersede", "withdraw_arms"}]
        assert len(waits) + len(done) <= 1, "done twice"
        assert waits or done or not asked.answered, "lost"


def check_settled(life: Doomed) -> None:
    """Gateways and registry know what the state says, and nothing waits for anybody."""
    world, now = life.world, life.world.clock.now()
    state, ports = world.rollout, world.ports
    assert ports.routes.current(MODEL) == route(state, now, world.watch.broken)
    aliases = ports.registry.aliases(MODEL)
    assert (aliases.get("champion"), aliases.get("challenger", "")) == (
        state.champion,
        state.challenger,
    )
    inbox = ports.records.read(inbox_key(MODEL), Inbox) or Inbox()
    assert inbox.commands == ()
    run = ports.records.read(retraining_key(MODEL), RunState)
    begun = run.started_at if run and run.stage is RunStage.TRAINING else None
    assert begun is None or now - begun <= 3 * DAY


def recovered(life: Doomed) -> bool:
    """Whether a version that has learnt what changed serves, and all have been told."""
    records, champion = life.world.ports.records, life.world.rollout.champion
    points = [p for p in records.metrics(MODEL, "auc") if p.version == champion]
    told = records.pending(life.world.clock.now()) == ()
    return told and bool(points) and points[-1].value > 0.7
