"""Metrics of segments, and of models that give a probability for each class."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as oracle

from homeostat.domain.model import Column, ColumnKind, ModelSpec, Schema, Task
from homeostat.domain.verdict import MetricPoint
from homeostat.engine.cohort import MOST_SEGMENTS
from homeostat.engine.outcomes import measure_windows
from homeostat.engine.ports import Records
from homeostat.engine.restate import restate
from homeostat.engine.watch import Watch
from homeostat.rollout.state import RolloutState, Stage
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryLog, MemoryRecords
from simulation.world import DAY, MODEL, PLAN, SPEC, START
from unit.engine.bench import logged, tell, watch

REST = RolloutState(MODEL, Stage.CHAMPION, "1")
LAND = Column("land", ColumnKind.CATEGORICAL)
BY_LAND = replace(SPEC, schema=Schema((*SPEC.schema.columns, LAND)), segments=("land",))
CLASSES = ("bad", "so", "good")
TONE = replace(SPEC, task=Task.MULTICLASS, classes=CLASSES)
SIZE = 300


def measured(
    spec: ModelSpec, log: MemoryLog, min_rows: int = 30
) -> dict[tuple[str, str], MetricPoint]:
    plan = replace(PLAN, spec=spec, performance=replace(PLAN.performance, min_rows=min_rows))
    found = measure_windows(plan, log, watch(), REST, START + 3 * DAY)
    return {(p.segment, p.name): p for p in found.points}


def scored(size: int = SIZE) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(0)
    scores = rng.random(size)
    return scores, (rng.random(size) < scores).astype(np.float64)


def test_each_value_of_a_segment_has_figures_and_coverage_of_its_own() -> None:
    scores, labels = scored()
    lands = np.array(["DE", "FR", None] * (SIZE // 3), dtype=object)
    labels[(lands == "FR") & (np.arange(SIZE) >= SIZE // 2)] = np.nan
    found = measured(BY_LAND, logged(BY_LAND, labels, score=scores, land=lands.tolist()))
    assert {segment for segment, _ in found} == {"", "land=DE", "land=FR", "land=(missing)"}
    for name, value in (("DE", "DE"), ("FR", "FR"), ("(missing)", None)):
        mine = (lands == value) & ~np.isnan(labels)
        auc = found[f"land={name}", "auc"]
        assert auc.value == pytest.approx(oracle.roc_auc_score(labels[mine], scores[mine]))
        assert auc.n == mine.sum()
        assert auc.coverage == pytest.approx(0.5 if name == "FR" else 1.0)
    assert found["", "auc"].coverage == pytest.approx(5 / 6)


@pytest.mark.parametrize("name", ["row", "row_list", "0", "1"])
def test_a_feature_of_a_segment_may_have_any_name(name: str) -> None:
    columns = Schema((*SPEC.schema.columns, Column(name, ColumnKind.CATEGORICAL), LAND))
    spec = replace(SPEC, schema=columns, segments=(name, f"{name} & land"))
    scores, labels = scored()
    values = {name: ["A", "B"] * (SIZE // 2), "land": ["DE"] * SIZE}
    found = measured(spec, logged(spec, labels, score=scores, **values))
    segments = {"", f"{name}=A", f"{name}=B", f"{name}=A & land=DE", f"{name}=B & land=DE"}
    assert {segment for segment, _ in found} == segments


def test_of_many_values_the_most_frequent_are_named_and_the_rest_are_one() -> None:
    scores, labels = scored(2 * MOST_SEGMENTS + 60)
    lands = [f"L{number % 60:02d}" for number in range(labels.size)]
    lands[-60:] = [f"L{number % MOST_SEGMENTS:02d}" for number in range(60)]
    found = measured(BY_LAND, logged(BY_LAND, labels, score=scores, land=lands), min_rows=1)
    sizes = {segment: p.n for (segment, name), p in found.items() if name == "accuracy"}
    assert len(sizes) == 1 + MOST_SEGMENTS + 1
    rest = sum(1 for land in lands if int(land[1:]) >= MOST_SEGMENTS)
    assert sizes["land=(others)"] == rest > 0
    assert sum(n for segment, n in sizes.items() if segment) == sizes[""]


def test_a_segment_with_too_few_labels_has_no_figures() -> None:
    scores, labels = scored()
    lands = ["DE"] * 29 + ["FR"] * 30 + ["ES"] * (SIZE - 59)
    found = measured(BY_LAND, logged(BY_LAND, labels, score=scores, land=lands))
    assert {segment for segment, _ in found} == {"", "land=FR", "land=ES"}


def test_probabilities_give_the_metrics_that_need_them() -> None:
    rng = np.random.default_rng(1)
    chances = rng.dirichlet([1.0, 1.0, 1.0], SIZE)
    labels = np.array([rng.choice(3, p=row) for row in chances], dtype=np.float64)
    said = chances.argmax(axis=1).astype(np.float64)
    found = measured(TONE, logged(TONE, labels, score=said, probabilities=list(chances)))
    assert found["", "log_loss"].value == pytest.approx(oracle.log_loss(labels, chances))
    auc = oracle.roc_auc_score(labels, chances, multi_class="ovr")
    assert found["", "macro_auc"].value == pytest.approx(auc)
    squares = ((chances - np.eye(3)[labels.astype(int)]) ** 2).sum(axis=1).mean()
    assert found["", "brier"].value == pytest.approx(squares)
    without = measured(TONE, logged(TONE, labels, score=said))
    assert found["", "accuracy"] == without["", "accuracy"]
    assert {"log_loss", "macro_auc", "brier"}.isdisjoint(name for _, name in without)


def later(log: MemoryLog, records: Records, seen: Watch, days: int) -> tuple[str, ...]:
    plan = replace(PLAN, spec=BY_LAND)
    found = restate(plan, log, records, seen, "1", START + days * DAY)
    with records.begin() as uow:
        uow.measure(*found.points)
    return tuple(decision.reason for decision in found.decisions)


def test_late_labels_restate_segments_and_only_some_are_named() -> None:
    labels = np.zeros(SIZE)
    lands = [f"L{number % 6}" for number in range(SIZE)]
    log = logged(BY_LAND, labels, score=np.zeros(SIZE), land=lands)
    records = MemoryRecords(SimulatedClock(START))
    with records.begin() as uow:
        uow.measure(*measured(BY_LAND, log).values())
    seen = replace(watch(), restated_until=START + 2 * DAY)
    assert later(log, records, seen, 3) == ()
    few = np.where([land == "L0" for land in lands], 1.0, 0.0)
    few[:240] = 0.0
    tell(log, BY_LAND, few, START + 3 * DAY)
    (reason,) = later(log, records, seen, 4)
    assert "accuracy from 1 to 0.967" in reason
    assert "further figures" in reason
    more = np.where(np.isin(np.arange(SIZE), [5, 11, 17, 23]), 1.0, few)
    tell(log, BY_LAND, more, START + 4 * DAY)
    (reason,) = later(log, records, replace(seen, restated_until=START + 4 * DAY), 6)
    assert "positive_rate of land=L5 from 0 to 0.08" in reason
    assert "brier from" not in reason
    points = records.metrics(MODEL, "accuracy", segment="land=L5")
    assert [p.value for p in points] == [pytest.approx(0.92)]
