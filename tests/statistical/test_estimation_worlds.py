"""Estimates without labels in generated worlds: a slice of the benchmark of the same name."""

import numpy as np
import pytest
from estimation_worlds import WORLDS, answers

SEEDS = 12
HOLDS = (
    "none",
    "covariate shift, mild",
    "features say more, mild shift",
    "over-confident",
    "windows of 200",
    "regression, mild shift",
    "3 classes, over-confident, shift",
    "reference drifts",
)


def _shares(name: str, metric: str) -> tuple[float, float, float, float]:
    """Return told, held by the interval, and mean errors of estimate and of "nothing changed"."""
    rows = [each for seed in range(SEEDS) for each in answers(WORLDS[name], seed)[metric]]
    told = [each for each in rows if np.isfinite(each.value)]
    held = [each.lower <= each.realized <= each.upper for each in told]
    errors = [(each.value - each.realized, each.unchanged - each.realized) for each in told]
    own, unchanged = np.abs(np.reshape(errors, (-1, 2))).mean(axis=0) if told else (np.nan, np.nan)
    return len(told) / len(rows), float(np.mean(held)) if held else np.nan, own, unchanged


@pytest.mark.parametrize("name", HOLDS)
def test_intervals_hold_where_the_assumption_does(name: str) -> None:
    metric = WORLDS[name].metrics[0]
    told, held, error, unchanged = _shares(name, metric)
    assert told == 1.0
    # 24 windows or more: 95 % coverage gives 19 of 24 or fewer in 1 of 400 draws.
    assert held > 19 / 24
    assert error < 1.05 * unchanged


@pytest.mark.parametrize("name", ["reference drifts strongly", "support missing"])
def test_what_cannot_be_told_is_not(name: str) -> None:
    assert _shares(name, "accuracy")[0] == 0.0


def test_features_that_say_more_are_believed_though_scores_disagree() -> None:
    world = WORLDS["features say more, strong shift"]
    rows = [each for seed in range(4) for each in answers(world, seed)["precision"]]
    by_score = np.mean([abs(each.by_score - each.realized) for each in rows])
    assert np.mean([abs(each.value - each.realized) for each in rows]) < 0.3 * by_score
