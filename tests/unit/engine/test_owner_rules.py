"""The alert rules of the guide fire when they should and else are silent, through `Engine.tick`."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from homeostat.alerting.episode import Stage
from homeostat.detectors.performance.detector import baseline
from homeostat.domain.verdict import Monitor, Status
from homeostat.engine.plan import ModelPlan
from homeostat.engine.watch import Baseline
from homeostat.entrypoints import current
from unit.engine.ruled import DAY, FEATURES, HOUR, MINUTE, MODEL, Site, plan_of, verdict

GUIDE = Path(__file__).parents[3] / "docs/guide/alert-rules.md"
OPEN, QUIET = Stage.FIRING, None


@cache
def examples() -> str:
    """Return the guide's first block of settings."""
    (found, *_) = re.findall(r"(?:^    .*\n)+", GUIDE.read_text(), re.MULTILINE)
    return "".join(line[4:] + "\n" for line in found.splitlines())


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> ModelPlan:
    return plan_of(tmp_path_factory.mktemp("guide"), examples())


@pytest.fixture
def site(plan: ModelPlan, tmp_path: Path) -> Site:
    found = Site(plan, tmp_path)
    found.answer(200)
    return found


def days(site: Site, *right: float | None, rows: int = 400) -> None:
    """Live through hours with such accuracies; labels are complete an hour after each."""
    for share in right:
        site.answer(rows, HOUR, right=share)
    site.answer(0, HOUR)


def drifted(site: Site, count: int) -> None:
    for place, name in enumerate(FEATURES):
        status = Status.DRIFT if place < count else Status.OK
        site.judge(verdict(Monitor.DATA_DRIFT, name, status))
    site.answer(10, HOUR)
    site.answer(10, HOUR)


def broken(site: Site, status: Status) -> None:
    site.judge(verdict(Monitor.DATA_QUALITY, "age", status))
    site.answer(10)


def referred(site: Site, right: float) -> None:
    site.refer(Baseline("1", baseline([0.0, 1.0])), accuracy=0.9)
    days(site, right)


def worth(site: Site, now: float) -> None:
    for yes in (0.5, 0.5, 0.5, now):
        site.answer(400, HOUR, right=0.9, yes=yes)
    site.answer(0, HOUR)


def idle(site: Site, rows: int) -> None:
    for _ in range(2):
        site.answer(rows, 15 * MINUTE)


def slow(site: Site, rows: int) -> None:
    for _ in range(2):
        site.answer(200, latency=[520.0] * rows + [9.0] * (200 - rows))


CASES: list[tuple[str, Callable[[Site], None], Callable[[Site], None]]] = [
    ("accuracy_low", lambda s: days(s, 0.7, 0.7), lambda s: days(s, 0.7, 0.9, 0.7)),
    ("accuracy_fell", lambda s: referred(s, 0.8), lambda s: referred(s, 0.87)),
    (
        "accuracy_falls",
        lambda s: days(s, 0.9, 0.9, 0.9, 0.7),
        lambda s: days(s, 0.9, 0.9, 0.9, 0.87),
    ),
    ("drift_in_many", lambda s: drifted(s, 4), lambda s: drifted(s, 3)),
    ("data_is_broken", lambda s: broken(s, Status.DRIFT), lambda s: broken(s, Status.OK)),
    ("errors", lambda s: s.answer(1000, failed=11), lambda s: s.answer(1000, failed=10)),
    (
        "error_budget",
        lambda s: s.answer(2000, failed=400),
        lambda s: s.answer(2000, failed=60),
    ),
    ("slow", lambda s: slow(s, 5), lambda s: slow(s, 1)),
    ("silent", lambda s: idle(s, 0), lambda s: idle(s, 1)),
    ("version_old", lambda s: s.answer(0, DAY), lambda s: s.answer(0, DAY - 6 * MINUTE)),
    (
        "breaker",
        lambda s: s.answer(50, failed=1, reason="breaker_open"),
        lambda s: s.answer(50, failed=1, reason="timeout"),
    ),
    (
        "fallback",
        lambda s: s.answer(100, failed=21, reason="overload"),
        lambda s: s.answer(100, failed=20, reason="overload"),
    ),
    ("miscalibrated", lambda s: days(s, 0.7), lambda s: days(s, 0.9)),
    ("value_fell", lambda s: worth(s, 0.3), lambda s: worth(s, 0.45)),
    ("labels_stalled", lambda s: days(s, None), lambda s: days(s, 0.9)),
    ("labels_old", lambda s: s.answer(0, DAY), lambda s: s.answer(0, DAY - 6 * MINUTE)),
]
NAMES = [name for name, _, _ in CASES]


@pytest.mark.parametrize(("name", "bad", "good"), CASES, ids=NAMES)
def test_an_example_fires_when_it_should_and_else_is_silent(
    site: Site,
    plan: ModelPlan,
    tmp_path: Path,
    name: str,
    bad: Callable[[Site], None],
    good: Callable[[Site], None],
) -> None:
    bad(site)
    assert site.problems == []
    assert site.stage(name) is OPEN
    assert (name, "trigger") in site.told
    other = Site(plan, tmp_path)
    other.answer(200)
    good(other)
    assert other.stage(name) in {None, Stage.INACTIVE, Stage.PENDING}
    assert (name, "trigger") not in other.told


def test_they_are_listed_as_others(site: Site, plan: ModelPlan) -> None:
    site.answer(1000, failed=50)
    found = {state.key: state for state in current.incidents(site.ports.records, MODEL)}
    assert found["toy:errors:1"].title == "toy: errors (error_rate)"
    assert current.find_incident(site.ports.records, "toy:errors:1").open


def test_every_example_is_tried() -> None:
    rules = re.findall(r"^ +(\w+): {", examples(), re.MULTILINE)
    assert sorted(rules) == sorted(NAMES)
