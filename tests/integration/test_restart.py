"""Kill -9 in every phase of a retraining and rollout: the next process goes on where it was."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from homeostat.rollout.state import route
from integration import lives
from integration.lives import PROMOTED, Pager, advance, close, open_world, phase_of
from simulation.world import MODEL, World

PHASES = ("champion", "training", "shadow", "canary 0", "canary 1", "promoting", PROMOTED)
POINTS = ("before commit", "after commit", "after publish")
DEATHS = [
    *((phase, phase, point) for phase in PHASES for point in POINTS),
    ("training", "training", "effect done"),
    ("shadow", "evaluating", "scoring"),
    ("shadow", "candidate", "scoring"),
]
MOST_TICKS = 60
FIRST_TICKS = 8


@pytest.fixture(scope="module")
def lives_and_dies() -> Iterator[Callable[[Path, str, str], int]]:
    """Return a function that lets a process live on a folder till its death, with its exit code."""
    tests = Path(__file__).parents[1]
    path = os.pathsep.join([str(tests), str(tests.parent / "src")])
    with subprocess.Popen(
        [sys.executable, lives.__file__],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:

        def run(folder: Path, phase: str, point: str) -> int:
            assert parent.stdin is not None
            assert parent.stdout is not None
            parent.stdin.write(f"{folder}\t{phase}\t{point}\n")
            parent.stdin.flush()
            return int(parent.stdout.readline())

        yield run


@pytest.fixture(scope="module")
def eves(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the data folder as it was on the eve of each phase, from one undisturbed life."""
    root = tmp_path_factory.mktemp("eves")
    folder, eve = root / "life", root / "eve"
    folder.mkdir()
    world = open_world(folder)
    world.adopt()
    kept: dict[str, Path] = {}
    for number in range(MOST_TICKS):
        if number >= FIRST_TICKS:
            lives.await_training(folder)
            shutil.copytree(folder, eve)
        phase = advance(world, folder)
        if number >= FIRST_TICKS:
            if phase not in kept or phase == "champion":
                shutil.rmtree(root / phase, ignore_errors=True)
                kept[phase] = eve.rename(root / phase)
            shutil.rmtree(eve, ignore_errors=True)
        if phase == PROMOTED:
            break
    expect_one_promotion(world, folder)
    close(world)
    return kept


def expect_consistent(world: World) -> None:
    state = world.rollout
    assert state.champion in {"1", "2"}
    assert state.challenger != state.champion
    wanted = route(state, world.clock.now(), world.watch.broken)
    assert world.ports.routes.current(MODEL) == wanted


def expect_one_promotion(world: World, folder: Path) -> None:
    expect_consistent(world)
    assert world.problems == []
    assert world.rollout.champion == "2"
    assert world.rollout.previous == "1"
    made = [d.action for d in world.ports.records.decisions(MODEL)]
    once = ("install", "fire", "start_training", "train", "accept_candidate", "submit", "shadow",
            "ready_to_promote", "approve", "promote")  # fmt: skip
    assert {action: made.count(action) for action in once} == dict.fromkeys(once, 1)
    assert made.count("ramp") == 2
    assert [card.version for card in world.ports.registry.versions(MODEL)] == ["1", "2"]
    runs = sorted(run.name for run in (folder / "runs").iterdir())
    assert [name for name in runs if not name.startswith(f"{MODEL}-first")] == [lives.RUN]
    assert Pager(folder / "notices.txt").received() == [
        f"notify:duty:{MODEL}:performance_drop:1:trigger"
    ]
    assert world.ports.records.pending(world.clock.now() + timedelta(days=1)) == ()


@pytest.mark.parametrize(("eve", "phase", "point"), DEATHS)
def test_a_killed_engine_goes_on(
    eves: dict[str, Path],
    lives_and_dies: Callable[[Path, str, str], int],
    tmp_path: Path,
    eve: str,
    phase: str,
    point: str,
) -> None:
    folder = tmp_path / "life"
    shutil.copytree(eves[eve], folder)
    assert lives_and_dies(folder, phase, point) == -signal.SIGKILL

    world = open_world(folder)
    found = phase_of(world.ports.records)
    assert (found == phase) == (point not in {"before commit", "scoring"} or phase == "champion")
    lives.await_training(folder)
    world.clock.advance(timedelta(minutes=1))
    world.problems += world.engine.tick(world.clock.now())
    expect_consistent(world)
    for _ in range(MOST_TICKS):
        if phase_of(world.ports.records) == PROMOTED:
            break
        advance(world, folder)
        expect_consistent(world)
    expect_one_promotion(world, folder)
    close(world)
