"""The paired report: against scikit-learn, SciPy and what the log says."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow.compute as pc
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn import metrics

from homeostat.adapters.models.linear import Term, save_linear
from homeostat.domain.model import Task
from homeostat.domain.window import Window
from homeostat.engine import paired_report as module
from homeostat.engine.commands import Command, Request, submit
from homeostat.engine.paired_report import PairedReport, paired_report
from homeostat.rollout.state import RolloutState, Stage
from simulation.test_world import register
from simulation.world import DAY, MODEL, PLAN, SPEC, START, Fate, World, memory_world

Floats = NDArray[np.float64]
LASTING = replace(PLAN, rollout=replace(PLAN.rollout, shadow_min=9 * DAY))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return a world whose challenger, a little worse than the champion, is a shadow for days."""
    folder = tmp_path_factory.mktemp("paired")
    found = memory_world(folder, Fate(6), LASTING)
    save_linear(folder / "flat", 1.5, [Term("signal", 2.0), Term("amount", 0.02)])
    version = register(found, folder / "flat")
    submit(found.ports.records, Command(Request.SUBMIT, MODEL, "ana", version), START)
    for _ in range(8):
        found.advance()
    return found


def report(world: World, seed: int = 0, state: RolloutState | None = None) -> PairedReport:
    found = paired_report(
        LASTING, world.ports.log, world.watch, state or world.rollout, world.clock.now(),
        np.random.default_rng(seed),
    )  # fmt: skip
    assert found is not None
    return found


def logged(world: World, found: PairedReport) -> dict[str, tuple[Floats, Floats, list[str]]]:
    """Return labels, scores and entities by version, as the log has them, in one order."""
    window, now = Window(found.since, found.until), world.clock.now()
    rows = world.ports.log.labelled(SPEC, window, now)
    both = {}
    for version in (found.champion, found.challenger):
        mine = rows.filter(pc.field("version") == version).sort_by("prediction_id")
        both[version] = (
            mine["label"].to_numpy(), mine["score"].to_numpy(), mine["entity"].to_pylist(),
        )  # fmt: skip
    return both


def test_it_says_what_other_libraries_say(world: World) -> None:
    found = report(world)
    both = logged(world, found)
    labels, champion, entities = both[found.champion]
    _, challenger, _ = both[found.challenger]
    assert (found.rows, found.entities) == (labels.size, len(set(entities)))
    assert found.rows > 50
    losses = [(labels - scores) ** 2 for scores in (champion, challenger)]
    right = [(scores >= 0.5) == (labels == 1.0) for scores in (champion, challenger)]
    alone = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    assert (found.champion_alone, found.challenger_alone) == alone
    assert found.mcnemar_p == pytest.approx(stats.binomtest(min(alone), sum(alone)).pvalue)
    assert found.champion_auc == pytest.approx(metrics.roc_auc_score(labels, champion))
    assert found.challenger_auc == pytest.approx(metrics.roc_auc_score(labels, challenger))
    assert found.challenger_auc - found.champion_auc in found.auc_interval
    assert found.difference == pytest.approx(found.champion_loss - found.challenger_loss)
    assert (found.difference < 0) == (losses[0].mean() < losses[1].mean())


def test_the_bootstrap_is_over_whole_entities(world: World) -> None:
    found = report(world)
    both = logged(world, found)
    labels, champion, entities = both[found.champion]
    gained = module.detector.losses(SPEC.task, champion, labels, SPEC.threshold, 1.0)
    gained = gained - module.detector.losses(
        SPEC.task, both[found.challenger][1], labels, SPEC.threshold, 1.0
    )
    names = sorted(set(entities))
    groups = [gained[np.array(entities) == name] for name in names]
    sums = np.array([part.sum() for part in groups])
    counts = np.array([part.size for part in groups], dtype=float)
    oracle = stats.bootstrap(
        (sums, counts), lambda one, two, axis: one.sum(axis=axis) / two.sum(axis=axis),
        paired=True, method="percentile", n_resamples=4000, rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    width = oracle.high - oracle.low
    assert found.difference_interval.lower == pytest.approx(oracle.low, abs=0.1 * width)
    assert found.difference_interval.upper == pytest.approx(oracle.high, abs=0.1 * width)
    assert report(world, 1).difference_interval != found.difference_interval
    assert report(world) == found


def test_what_decides_stands_beside_it(world: World) -> None:
    found = report(world)
    assert found.paired == world.watch.challenger.bets.n
    assert found.worse_e > 1 > found.better_e
    assert found.enough == 20.0
    other = replace(world.rollout, champion="9")
    assert (report(world, state=other).paired, report(world, state=other).worse_e) == (0, 1.0)


def test_without_a_challenger_or_labels_there_is_nothing_to_compare(world: World) -> None:
    now, rng = world.clock.now(), np.random.default_rng(0)
    for state in (RolloutState(MODEL, Stage.CHAMPION, "1"),
                  replace(world.rollout, stage=Stage.CANDIDATE)):  # fmt: skip
        assert paired_report(LASTING, world.ports.log, None, state, now, rng) is None
    young = replace(world.rollout, submitted_at=now, since=now)
    found = paired_report(LASTING, world.ports.log, None, young, now, rng)
    assert found is not None
    assert found.problem == "no row that both scored has its label yet; labels take 1 day, 0:00:00"
    assert (found.rows, found.paired, math.isnan(found.mcnemar_p)) == (0, 0, True)


def test_only_the_newest_pairs_are_looked_at(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = report(world)
    later = replace(world.rollout, submitted_at=whole.until - timedelta(hours=1))
    assert 0 < report(world, state=later).rows < whole.rows
    monkeypatch.setattr(module, "MOST_ROWS", 1)
    assert 0 < report(world).rows <= whole.rows


@pytest.mark.parametrize("task", [Task.MULTICLASS, Task.REGRESSION], ids=str)
def test_other_tasks_have_fewer_figures(task: Task) -> None:
    labels = np.tile([0.0, 1.0, 2.0], 20)
    pairs = module._Pairs(labels, np.roll(labels, 1), labels, [None] * 60)
    plan = replace(PLAN, spec=replace(SPEC, task=task, classes=()))
    base = PairedReport(MODEL, "1", "2", START, START)
    found = module._compared(plan, pairs, base, np.random.default_rng(0))
    assert (found.rows, found.entities, found.champion_loss) == (60, 0, 0.0)
    assert math.isnan(found.champion_auc)
    expected = (60, 0) if task is Task.MULTICLASS else (None, None)
    assert (found.champion_alone, found.challenger_alone) == expected
    few = module._Pairs(labels[:9], labels[:9], labels[:9], [None] * 9)
    told = module._compared(plan, few, base, np.random.default_rng(0))
    assert math.isnan(told.difference_interval.lower)
