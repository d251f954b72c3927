"""A candidate's trial on the hold-out: what is asked of both versions, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from homeostat.detectors.value.metric import parse_metric
from homeostat.domain.errors import DataError
from homeostat.domain.expression import Type
from homeostat.domain.model import Column, ColumnKind, ModelVersion, Schema, Task
from homeostat.engine.plan import ModelPlan
from homeostat.engine.trial import TURNS, WARM_UP, Trial, value_columns
from homeostat.retraining.gate import GateResult
from homeostat.retraining.gate.limits import GateLimits
from homeostat.simulation.fakes import MemoryRegistry, MemoryScorer
from simulation.world import DAY, MODEL, PLAN, SPEC, START

Scores = Callable[[pa.Table], NDArray[np.float64]]
OFF = GateLimits(None, False, None, None, None, None, None)
FEATURE = SPEC.schema.names[0]
COUNT = 400


def rows() -> pa.Table:
    rng = np.random.default_rng(1)
    chance = rng.random(COUNT)
    table = {
        "prediction_id": [str(n) for n in range(COUNT)],
        "timestamp": pa.array([START + n * DAY / 50 for n in range(COUNT)]),
        "label": (rng.random(COUNT) < chance).astype(np.float64),
        "lost": rng.random(COUNT),
        "land": ["a", "b"] * (COUNT // 2),
        "score": np.full(COUNT, 7.0),
    }
    if SPEC.entity:
        table["entity"] = [str(n // 2) for n in range(COUNT)]
    return pa.table(table | dict.fromkeys(SPEC.schema.names, chance))


def chances(table: pa.Table) -> NDArray[np.float64]:
    known = np.asarray(table[FEATURE].to_numpy(zero_copy_only=False), dtype=np.float64)
    return np.clip(np.nan_to_num(known, nan=0.5), 0.0, 1.0)


def of_land(table: pa.Table, land: str) -> NDArray[np.bool_]:
    return np.asarray(table["land"].to_pylist()) == land


def poor(table: pa.Table) -> NDArray[np.float64]:
    return 0.3 * chances(table) + 0.35


def trial(
    limits: GateLimits,
    candidate: Scores = chances,
    champion: Scores = poor,
    plan: ModelPlan = PLAN,
    registry: Any = None,
    stopwatch: Callable[[], float] | None = None,
) -> GateResult:
    scorer = MemoryScorer({(MODEL, "1"): champion, (MODEL, "2"): candidate})
    rng, table = np.random.default_rng(1), rows()
    if "score" not in plan.spec.schema.names:
        table = table.drop_columns(["score"])
    made = Trial(
        plan, limits, scorer, registry or MemoryRegistry(), "1", "2", table, rng, stopwatch
    )
    return made.judge(*(scorer.score(plan.spec, version, table) for version in ("1", "2")))


def test_a_good_candidate_passes_all_that_is_judged() -> None:
    found = trial(GateLimits())
    assert found.accepted
    assert found.reason.startswith("passes: loss")
    figures = dict(found.evidence)
    assert figures["calibration_candidate"] < 0.1
    assert figures["robustness to noise_moved_candidate"] > 0.0


def test_without_limits_only_losses_count() -> None:
    assert len(trial(OFF).evidence) == 7
    assert not trial(GateLimits(), candidate=poor, champion=chances).accepted


def test_a_candidate_worse_on_a_segment_is_refused() -> None:
    def lopsided(table: pa.Table) -> NDArray[np.float64]:
        return np.where(of_land(table, "a"), 0.5, chances(table))

    def opposite(table: pa.Table) -> NDArray[np.float64]:
        return np.where(of_land(table, "a"), chances(table), 1.0 - chances(table))

    land = Column("land", ColumnKind.CATEGORICAL)
    spec = replace(SPEC, schema=Schema((*SPEC.schema.columns, land)), segments=("land",))
    plan = replace(PLAN, spec=spec)
    found = trial(replace(OFF, segment=0.1), lopsided, opposite, plan=plan)
    assert not found.accepted
    assert "refused for its segments: worse by more than 10% on land=a" in found.reason


def test_miscalibrated_candidates_are_refused() -> None:
    def constant(table: pa.Table) -> NDArray[np.float64]:
        return np.full(table.num_rows, 0.5)

    found = trial(replace(OFF, calibration=0.02), lambda table: chances(table) ** 1.6, constant)
    assert found.reason.startswith("refused for its calibration")


def test_scores_that_are_no_probabilities_have_no_calibration() -> None:
    found = trial(
        GateLimits(),
        lambda table: np.where(chances(table) > 0.5, 1.5, chances(table)),
        lambda table: 1 - chances(table),
    )
    assert "calibration not judged: some scores are no probabilities" in found.reason


def test_a_feature_may_be_called_score() -> None:
    worth = parse_metric("worth", "score", {"score": Type.NUMBER})
    named = Column("score", ColumnKind.NUMERIC)
    spec = replace(SPEC, schema=Schema((*SPEC.schema.columns, named)))
    plan = replace(PLAN, spec=spec, business=(worth,))
    found = dict(trial(replace(OFF, value=0.02), plan=plan).evidence)
    assert found["value of worth_champion"] == found["value of worth_candidate"] == 7.0


def test_value_counts_outcomes_and_decisions() -> None:
    columns = {"lost": Type.NUMBER, "prediction": Type.NUMBER}
    saved = parse_metric("saved", "sum(lost if prediction == 1 else 0)", columns)
    plan = replace(PLAN, spec=replace(SPEC, outcomes=("lost", "other")), business=(saved,))
    assert value_columns(plan) == ("lost",)
    timid = trial(replace(OFF, value=0.02), lambda table: 0.9 * chances(table) ** 1.2, plan=plan)
    assert timid.reason.startswith("refused for its value of saved: saved ")
    assert trial(replace(OFF, value=0.02), plan=plan).accepted


def test_a_regression_is_judged_without_a_threshold() -> None:
    worth = parse_metric("error", "score - label", {"score": Type.NUMBER, "label": Type.NUMBER})
    spec = replace(SPEC, task=Task.REGRESSION, entity="")
    found = trial(GateLimits(), plan=replace(PLAN, spec=spec, business=(worth,)))
    assert "value of error_candidate" in dict(found.evidence)
    assert "calibration_candidate" not in dict(found.evidence)


def test_size_is_the_registrys(tmp_path: Path) -> None:
    registry = MemoryRegistry()
    (tmp_path / "big").mkdir()
    (tmp_path / "big" / "model").write_bytes(b"0" * 300)
    (tmp_path / "small").write_bytes(b"0")
    for version, name in (("1", "small"), ("2", "big")):
        card = ModelVersion(MODEL, version, "x", "", START)
        registry.register(card, tmp_path / name)
    assert registry.size(MODEL, "1") == 1
    found = trial(replace(OFF, size=200), registry=registry)
    assert found.reason.startswith("refused for its size")
    silent = trial(replace(OFF, size=200), registry=object())
    assert silent.accepted
    assert silent.reason.endswith("size not judged: the registry does not tell it")


def ticking(seconds: float) -> Callable[[], float]:
    """Return a stopwatch on which the candidate's turns last `seconds` and the champion's 2 ms."""

    def times() -> Iterator[float]:
        now = 0.0
        yield now
        for turn in range(WARM_UP + TURNS):
            for slow in (True, False) if turn % 2 == 0 else (False, True):
                yield now
                now += seconds if slow else 0.002
                yield now
            if turn >= WARM_UP:
                yield now

    return times().__next__


@pytest.mark.parametrize("seconds", [0.1, 3.0])
def test_a_candidate_fifty_times_slower_is_refused(seconds: float) -> None:
    found = trial(replace(OFF, latency=2.0), stopwatch=ticking(seconds))
    assert not found.accepted
    figures = dict(found.evidence)
    assert figures["latency_p50_champion"] == pytest.approx(0.002)
    assert figures["latency_p95_candidate"] == pytest.approx(seconds)


def test_a_candidate_as_fast_passes() -> None:
    assert trial(replace(OFF, latency=2.0), stopwatch=ticking(0.003)).accepted


def test_answers_that_depend_on_the_order_are_refused() -> None:
    def drifting(table: pa.Table) -> NDArray[np.float64]:
        return np.clip(chances(table) + 0.01 * np.sin(np.arange(table.num_rows)), 0, 1)

    assert "refused for its robustness to order" in trial(GateLimits(), drifting).reason


def fragile(kind: str, then: str) -> Scores:
    """Return a model that cannot bear one damage."""

    def score(table: pa.Table) -> NDArray[np.float64]:
        hurt = table[FEATURE].null_count if kind == "missing" else chances(table).max() == 1.0
        if hurt and then == "raises":
            raise DataError("this value is not known")
        if hurt and then == "wrong":
            return 1.0 - chances(table)
        return np.full(table.num_rows, np.nan) if hurt else chances(table)

    return score


@pytest.mark.parametrize(
    ("then", "said"),
    [
        ("raises", "it cannot score such rows, the champion can: this value is not known"),
        ("nan", "no finite score on 400 of 400 such rows"),
        ("wrong", "with wrong units its loss is "),
    ],
)
def test_a_fragile_candidate_is_refused(then: str, said: str) -> None:
    found = trial(GateLimits(calibration=None), fragile("units", then))
    assert not found.accepted
    assert said in found.reason


@pytest.mark.parametrize(
    ("then", "said"),
    [
        ("raises", "the champion cannot score such rows: this value is not known"),
        ("nan", "the champion has no finite scores on such rows"),
    ],
)
def test_what_the_champion_cannot_bear_is_not_asked(then: str, said: str) -> None:
    def worse(table: pa.Table) -> NDArray[np.float64]:
        return 0.3 * fragile("units", then)(table) + 0.35

    found = trial(GateLimits(), champion=worse)
    assert found.accepted
    assert said in found.reason


def test_a_candidate_that_cannot_score_shuffled_rows_is_refused() -> None:
    first = rows()["prediction_id"].to_pylist()

    def touchy(table: pa.Table) -> NDArray[np.float64]:
        if table["prediction_id"].to_pylist() != first:
            raise DataError("rows must be in order")
        return chances(table)

    assert "refused for its robustness to order: rows must be" in trial(GateLimits(), touchy).reason
