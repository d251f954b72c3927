"""A workshop for tests of retraining: six days of a small world, and a run under way."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from homeostat.domain.effect import StartTraining
from homeostat.domain.window import Window
from homeostat.engine.commands import Command, Request
from homeostat.engine.maintenance import Retrained, Workshop, retrain
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import Training
from homeostat.engine.watch import Matured, Watch
from homeostat.retraining.planning import Plan
from homeostat.retraining.policy import Trigger, TriggerKind
from homeostat.retraining.rows import DataPolicy
from homeostat.retraining.run import RunState, Stage
from homeostat.rollout.state import RolloutState
from homeostat.rollout.state import Stage as RolloutStage
from homeostat.simulation.fakes import MemoryRegistry, MemoryScorer, MemoryTrainer
from simulation.fitting import memory_trainer
from simulation.world import DAY, HOUR, MODEL, PLAN, SPEC, START, Fate, World, memory_world
from unit.engine.bench import watch

NOW = START + 6 * DAY
REST = RolloutState(MODEL, RolloutStage.CHAMPION, "1")
ASKED = (Command(Request.RETRAIN, MODEL, "ana"),)
MATURED = tuple(
    Matured(Window(START + i * DAY, START + (i + 1) * DAY), (240, 240)) for i in range(5)
)
WATCH = replace(watch(), metrics_until=(("matured", NOW - DAY),), matured=MATURED)
DROPPED = replace(WATCH, drops=3, drop_since=START + DAY)
RUN_PLAN = Plan(
    "1",
    Window(START + DAY, START + 4 * DAY),
    Window(START + 4 * DAY, START + 5 * DAY),
    NOW,
)
TRAINING = RunState(
    MODEL, 1, Stage.TRAINING, Trigger(TriggerKind.MANUAL, "asked"), plan=RUN_PLAN,
    started_at=NOW - HOUR, starts=(NOW - HOUR,),
)  # fmt: skip

REFITTING = replace(
    TRAINING, stage=Stage.REFITTING, candidate="2",
    plan=replace(RUN_PLAN, refit=Window(START + DAY, NOW)),
)  # fmt: skip


def world_at(folder: Path) -> World:
    made = memory_world(folder, Fate(4))
    for _ in range(24):
        made.advance()
    return made


def workshop_of(world: World, folder: Path) -> Workshop:
    """A workshop over the world's log with a registry of its own."""
    registry = MemoryRegistry()
    first = world.ports.registry.get(MODEL, "1")
    registry.register(replace(first, version="1"), world.ports.registry.path(MODEL, "1"))
    functions = {
        (MODEL, "1"): lambda rows: world.ports.scorer.score(SPEC, "1", rows),
        (MODEL, "2"): lambda rows: np.clip(
            0.5 + (world.ports.scorer.score(SPEC, "1", rows) - 0.5) * 0.2, 0, 1
        ),
    }
    return Workshop(
        world.ports.records,
        world.ports.log,
        registry,
        MemoryScorer(functions),
        memory_trainer(folder),
    )


def policy(**changes: object) -> ModelPlan:
    return replace(PLAN, retraining=replace(PLAN.retraining, **changes))


REFITS = policy(data=DataPolicy(refit=True))


def go(
    workshop: Workshop,
    state: RunState = RunState(MODEL),  # noqa: B008 - a frozen value
    seen: Watch = WATCH,
    rollout: RolloutState = REST,
    commands: tuple[Command, ...] = (),
    plan: ModelPlan = PLAN,
    now: datetime = NOW,
) -> Retrained:
    rng = np.random.default_rng(1)
    return retrain(plan, workshop, state, seen, rollout, commands, now, rng)


def told(found: Retrained) -> list[str]:
    return [made.action for made in found.decisions]


def trainer(training: Training, polls: int = 0) -> MemoryTrainer:
    made = MemoryTrainer(lambda *_: training, polls)
    made.start(
        StartTraining(TRAINING.run_id, MODEL, "1", RUN_PLAN.training, NOW), SPEC, pa.table({})
    )
    return made


def done(workshop: Workshop, artifact: Path) -> Workshop:
    return replace(workshop, trainer=trainer(Training(True, artifact, "linear")))
