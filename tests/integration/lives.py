"""The small world on real adapters: a process that can be killed, and one that goes on after it.

Run as a script it reads lines of folder, phase and point. For each it forks a process that goes on
from the folder's records and kills itself with SIGKILL at the given point of the tick in which the
phase is reached, and says how that process ended. Forking saves the imports of each life.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.adapters.models.scorer import RegistryScorer
from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.records import DatabaseRecords
from homeostat.adapters.records.unit import Unit
from homeostat.adapters.registry import LocalRegistry
from homeostat.adapters.routes import RecordsRoutes
from homeostat.adapters.trainers.local import LocalTrainer
from homeostat.domain.effect import Notify
from homeostat.domain.model import ModelSpec
from homeostat.engine.commands import Command, Inbox, Request, inbox_key, submit
from homeostat.engine.loop import Engine
from homeostat.engine.ports import Ports, Records, UnitOfWork
from homeostat.engine.watch import Watch, retraining_key, rollout_key, watch_key
from homeostat.retraining.run import RunState
from homeostat.retraining.run import Stage as RunStage
from homeostat.rollout.state import RolloutState, Stage
from homeostat.simulation.clock import SimulatedClock
from simulation import fitting
from simulation.world import DAY, MODEL, PLAN, START, Fate, World, approved

FATE = Fate(seed=3, flips=START + DAY / 4)
RUN = f"{MODEL}-0001"
PROMOTED = "promoted"


@dataclass(frozen=True)
class Death:
    """Where in which phase the process dies; nowhere if empty."""

    phase: str = ""
    point: str = ""

    def strike(self, phase: str, point: str) -> None:
        """Die without a word if this is the place."""
        if (phase, point) == (self.phase, self.point):
            os.kill(os.getpid(), signal.SIGKILL)


def phase_of(source: Records | UnitOfWork) -> str:
    """Name where the model's maintenance stands."""
    read = source.load if isinstance(source, Unit) else source.read
    rollout = read(rollout_key(MODEL), RolloutState) or RolloutState(MODEL)
    run = read(retraining_key(MODEL), RunState) or RunState(MODEL)
    if rollout.stage is Stage.CANARY:
        return f"canary {rollout.step}"
    if rollout.champion == "2":
        return PROMOTED
    if rollout.stage is Stage.CHAMPION and run.stage is RunStage.TRAINING:
        return "training"
    return rollout.stage.value


class MortalRecords(DatabaseRecords):
    """Records whose process may die around a commit, or before an effect is marked as done."""

    death = Death()

    @contextmanager
    def begin(self) -> Iterator[Unit]:
        """Open a unit of work."""
        with super().begin() as unit:
            yield unit
            phase = phase_of(unit)
            self.death.strike(phase, "effect done" if unit.settles else "before commit")
            settles = unit.settles
        if not settles:
            self.death.strike(phase, "after commit")


class MortalScorer(RegistryScorer):
    """A scorer whose process may die when a new version is evaluated or verified."""

    death = Death()
    calls = 0

    def score(self, spec: ModelSpec, version: str, rows: pa.Table) -> NDArray[np.float64]:
        """Score rows."""
        self.calls += version == "2"
        if version == "2" and self.death.phase in {"evaluating", "candidate"}:
            self.death.strike(("evaluating", "candidate")[self.calls - 1], "scoring")
        return super().score(spec, version, rows)


@dataclass(frozen=True)
class Pager:
    """A receiver that writes down every notice it gets."""

    file: Path

    def send(self, notice: Notify) -> None:
        """Append the notice's key."""
        with self.file.open("a") as notices:
            notices.write(f"{notice.key}\n")

    def received(self) -> list[str]:
        """Return the keys of all notices, in order of arrival."""
        return self.file.read_text().splitlines() if self.file.exists() else []


def open_world(folder: Path, death: Death = Death()) -> World:
    """Open the world that a folder holds, at the time of its last tick."""
    clock = SimulatedClock(START)
    # What a killed process wrote is in the system's cache: only a power cut needs the fsync.
    records = MortalRecords(f"sqlite:///{folder}/records.db", clock, "OFF")
    records.death = death
    last = records.read(watch_key(MODEL), Watch)
    clock.set(last.service_until if last else START)
    registry = LocalRegistry(folder / "models", clock)
    scorer = MortalScorer(registry)
    scorer.death = death
    function = f"{fitting.__file__}:train"
    ports = Ports(
        records=records,
        log=FilePredictionLog(folder / "log", records, fsync=False),
        registry=registry,
        scorer=scorer,
        routes=RecordsRoutes(records),
        notifiers={"duty": Pager(folder / "notices.txt")},
        trainers={MODEL: LocalTrainer(folder / "runs", function, clock, wait=True)},
    )
    return World(Engine(ports, {MODEL: approved(PLAN)}), clock, FATE)


def close(world: World) -> None:
    """Close the database."""
    assert isinstance(world.ports.records, DatabaseRecords)
    world.ports.records.close()


def advance(world: World, folder: Path) -> str:
    """Live through one step, as the person on duty would have it, and return the phase."""
    records = world.ports.records
    inbox = records.read(inbox_key(MODEL), Inbox) or Inbox()
    if world.rollout.stage is Stage.PROMOTING and not inbox.commands:
        submit(records, Command(Request.APPROVE, MODEL, "ana"), world.clock.now())
    await_training(folder)
    world.advance()
    if world.clock.now().hour == 0 and world.clock.now().day % 2:
        world.ports.log.roll(world.clock.now())
    return phase_of(records)


def await_training(folder: Path) -> None:
    """Wait for a training that another process began: simulated time does not."""
    run = folder / "runs" / RUN
    pause = Event()
    for _ in range(12_000):
        if not (run / "request.json").exists() or (run / "result.json").exists():
            return
        pause.wait(0.01)
    raise AssertionError("the training does not end")


def live(folder: Path, death: Death) -> None:
    """Go on until death."""
    world = open_world(folder, death)
    for _ in range(4):
        death.strike(advance(world, folder), "after publish")


def main() -> None:
    """Fork a life for each line and tell its exit code."""
    for line in sys.stdin:
        folder, phase, point = line.rstrip("\n").split("\t")
        child = os.fork()
        if not child:
            try:
                live(Path(folder), Death(phase, point))
            finally:
                os._exit(3)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
