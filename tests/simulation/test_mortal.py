"""The control plane is killed at every step of an incident: one page, one acknowledge, one end."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from homeostat.domain.window import Window
from receivers import Receivers, serving
from simulation import mortal
from simulation.mortal import (
    INCIDENT,
    LAST,
    MINUTE,
    RECEIVERS,
    SLOW,
    Killed,
    Knife,
    Mortal,
    answers,
)
from simulation.world import MODEL, SPEC, START

STORY = [(INCIDENT, "trigger"), (INCIDENT, "acknowledge"), (INCIDENT, "resolve")]
SIGNALLED = (
    "before trigger to pagerduty",
    "after trigger to opsgenie",
    "after trigger to slack",
    "before acknowledge to pagerduty",
    "after acknowledge to opsgenie",
    "before resolve to pagerduty",
    "after resolve to slack",
)


@dataclass
class Duty:
    """Receivers, a folder in which a model was just adopted, and the steps of a life from there."""

    receivers: dict[str, Receivers]
    eve: Path
    steps: list[str]

    @property
    def urls(self) -> list[str]:
        return [each.url for each in self.receivers.values()]

    def begin(self, folder: Path, *, memory: bool = False) -> Mortal:
        """Begin the life anew; receivers know nothing yet."""
        for each in self.receivers.values():
            each.got.clear()
            each.paged.clear()
            each.pages.clear()
        if not memory:
            shutil.copytree(self.eve, folder)
        return Mortal.open(self.eve if memory else folder, self.urls, memory=memory)

    def settled(self, world: Mortal, story: list[tuple[str, str]]) -> None:
        """Check what was told to those who know keys, decided, and left."""
        for name in ("pagerduty", "opsgenie"):
            assert self.receivers[name].paged == story, name
        made = [(d.action, d.subject) for d in world.records.decisions(MODEL)]
        for key, action in story:
            assert made.count((action.replace("trigger", "fire"), key)) == 1
        assert world.records.pending(world.clock.now() + timedelta(days=1)) == ()

    def check(self, world: Mortal, kills: int) -> None:
        """Check that the whole story was told, and what was told twice to those without keys."""
        self.settled(world, STORY)
        for name, each in self.receivers.items():
            assert all(entry.status < 300 for entry in each.got), name
            told = len(each.got)  # Slack has no keys: it hears again what was on its way
            assert len(STORY) <= told <= len(STORY) + kills, name


@pytest.fixture(scope="module")
def duty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Duty]:
    with ExitStack() as stack:
        receivers = {name: stack.enter_context(serving()) for name in RECEIVERS}
        eve = tmp_path_factory.mktemp("eve")
        found, knife = Duty(receivers, eve, []), Knife()
        Mortal.open(eve, found.urls).close()
        world = found.begin(tmp_path_factory.mktemp("whole") / "life")
        world.live(knife)
        found.check(world, 0)
        world.close()
        found.steps = knife.steps
        yield found


def until_told(world: Mortal, knives: Iterable[Knife]) -> list[str]:
    """Live on after each death; return the steps at which that was."""
    deaths: list[str] = []
    for knife in knives:
        try:
            world.live(knife, LAST + len(deaths))
        except Killed as killed:
            deaths.append(str(killed))
            continue
        break
    return deaths


def test_whatever_the_step_it_dies_at_one_page_comes_and_one_end(
    duty: Duty, tmp_path: Path
) -> None:
    for step, name in enumerate(duty.steps):
        world = duty.begin(tmp_path, memory=True)
        assert until_told(world, [Knife(step), Knife()]) == [name]
        duty.check(world, 1)


def test_it_may_die_again_and_again(duty: Duty, tmp_path: Path) -> None:
    """On SQLite; each life dies a few steps after the one before it."""
    died = set[str]()
    for step, name in enumerate(duty.steps):
        if step % 4 and name in died:
            continue
        world = duty.begin(tmp_path / str(step))
        deaths = until_told(world, map(Knife, (step, 5, 8, -1)))
        assert deaths
        died.update(deaths)
        duty.check(world, len(deaths))
        world.close()
    assert died == set(duty.steps)


@pytest.mark.parametrize("hours", [-24, -0.5, 0.5, 24], ids=lambda hours: f"{hours:+g} hours")
def test_a_clock_that_steps_pages_nobody_again_and_ends_nothing(
    duty: Duty, tmp_path: Path, hours: float
) -> None:
    """From the fifth minute to the twelfth it stands elsewhere; it is slow till the ninth."""
    world = duty.begin(tmp_path, memory=True)
    engine, paged = world.begin(Knife()), duty.receivers["pagerduty"].paged
    for minute in [*range(1, 16), *range(16 + 24 * 60, 21 + 24 * 60)]:
        step = timedelta(hours=hours if 5 <= minute < 12 else 0.0)
        now = START + minute * MINUTE + step
        window = Window(now - MINUTE, now)
        world.clock.set(now)
        engine.ports.log.append(SPEC, answers(window, window if 2 <= minute < 9 else SLOW))
        assert engine.tick(now) == ()
        assert ("resolve" in [action for _, action in paged]) <= (minute >= 9)
    duty.settled(world, [STORY[0], STORY[2]])


@pytest.fixture(scope="module")
def dies() -> Iterator[Callable[[Path, list[str], int], int]]:
    """Return a function that lets a process live on a folder till a step; and its exit code."""
    tests = Path(__file__).parents[1]
    path = os.pathsep.join([str(tests), str(tests.parent / "src")])
    with subprocess.Popen(
        [sys.executable, mortal.__file__],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:

        def run(folder: Path, urls: list[str], step: int) -> int:
            assert parent.stdin is not None
            assert parent.stdout is not None
            parent.stdin.write(f"{folder}\t{' '.join(urls)}\t{step}\n")
            parent.stdin.flush()
            return int(parent.stdout.readline())

        yield run


@pytest.mark.parametrize("point", SIGNALLED)
def test_a_process_that_is_killed_is_followed_by_one_that_goes_on(
    duty: Duty, dies: Callable[[Path, list[str], int], int], tmp_path: Path, point: str
) -> None:
    folder = tmp_path / "life"
    duty.begin(folder).close()
    assert dies(folder, duty.urls, duty.steps.index(point)) == -signal.SIGKILL
    world = Mortal.open(folder, duty.urls)
    world.live(Knife())
    duty.check(world, 1)
    world.close()


def test_the_steps_are_all_there_are(duty: Duty) -> None:
    sends = [step for step in duty.steps if re.match("(before|after) .* to ", step)]
    assert len(sends) == 2 * len(STORY) * len(RECEIVERS)
    assert set(SIGNALLED) <= set(sends)
    assert duty.steps.count("before commit") == duty.steps.count("after commit") > 30
