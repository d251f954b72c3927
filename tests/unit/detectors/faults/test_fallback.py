"""A default answer in the place of scores is told; scores that are coarse or clipped are not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from homeostat.detectors.faults.config import FaultConfig
from homeostat.detectors.faults.fallback import find_constant_score
from homeostat.domain.explanation import FaultKind

Floats = NDArray[np.float64]
N = 3000
HOUR = 3_600_000_000


def smooth(seed: int, shift: float = 0.0, n: int = N) -> Floats:
    rng = np.random.default_rng(seed)
    return 1.0 / (1.0 + np.exp(1.5 - shift - 1.3 * rng.normal(size=n)))


def mixed(scores: Floats, value: float, share: float, seed: int = 9) -> Floats:
    return np.where(np.random.default_rng(seed).random(scores.size) < share, value, scores)


def steps(seed: int, shift: float = 0.0, n: int = N) -> Floats:
    return smooth(seed, shift, n).round(2)


def leaves(seed: int, shift: float = 0.0) -> Floats:
    values: Floats = np.array([0.05, 0.2, 0.4, 0.7])[
        np.digitize(smooth(seed, shift), [0.1, 0.3, 0.6])
    ]
    return values


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.9, 1.0])
def test_a_share_of_rows_with_one_score_is_told(share: float) -> None:
    found = find_constant_score(smooth(1), mixed(smooth(2), 0.07, share), FaultConfig())
    assert found is not None
    assert found.fault.kind is FaultKind.CONSTANT_SCORE
    assert found.fault.share == pytest.approx(share, abs=0.03)
    assert found.rows.mean() == found.fault.share
    assert "the score is 0.07 in " in found.fault.text


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (steps(1), mixed(steps(2), 0.4, 0.3)),
        (steps(1), mixed(steps(2), 0.123, 0.3)),
        (leaves(1), mixed(leaves(2), 0.11, 0.6)),
        (mixed(smooth(1), 0.07, 0.05), mixed(smooth(2), 0.07, 0.35)),
        (mixed(np.zeros(N), 1.0, 0.3), np.full(N, 0.5)),
        (mixed(np.zeros(N), 1.0, 0.1), np.full(N, 0.5)),
        (smooth(1), mixed(mixed(smooth(2), 0.07, 0.2), 0.2, 0.2, 8)),
    ],
    ids=["a step", "no step", "a new leaf", "more than ever", "of two", "of one", "two answers"],
)
def test_an_answer_among_coarse_scores_is_told(before: Floats, now: Floats) -> None:
    assert find_constant_score(before, now, FaultConfig()) is not None


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (smooth(1), smooth(2, 1.5)),
        (steps(1), steps(2, -2.0)),
        (steps(1), steps(2, 1.0)),
        (leaves(1), leaves(2, 2.0)),
        (smooth(1), leaves(2)),
        (leaves(1), leaves(2) + 0.013),
        (np.clip(smooth(1), 0.1, 0.9), np.clip(smooth(2, -1.0), 0.1, 0.9)),
        (np.clip(smooth(1), 0.1, 0.9), np.clip(smooth(2, 2.0), 0.1, 0.9)),
        (leaves(1), np.where(leaves(2) == 0.2, 0.4, leaves(2))),
        (smooth(1)[:20], np.full(N, 0.07)),
        (np.where(np.arange(N) < N - 20, np.inf, 0.5), np.full(N, 0.07)),
    ],
    ids=[
        "shift",
        "steps down",
        "steps up",
        "leaves",
        "coarser model",
        "new leaves",
        "clipped below",
        "clipped above",
        "a leaf for another",
        "few rows",
        "few finite",
    ],
)
def test_coarse_and_clipped_scores_that_shift_are_no_fault(before: Floats, now: Floats) -> None:
    assert find_constant_score(before, now, FaultConfig()) is None


@pytest.mark.parametrize("make", [smooth, steps])
def test_nothing_is_told_where_nothing_changed(make: object) -> None:
    assert callable(make)
    for seed in range(40):
        sizes = (400, 3000) if seed % 2 else (3000, 400)
        before, now = make(seed, 0.0, sizes[0]), make(seed + 100, 0.0, sizes[1])
        assert find_constant_score(before, now, FaultConfig()) is None


def test_a_rise_within_chance_is_no_fault() -> None:
    twice = smooth(2, 0.0, 40)
    twice[:2] = 0.07
    assert find_constant_score(smooth(1), twice, FaultConfig()) is None
    often = steps(2, 0.0, 100)
    values, counts = np.unique(steps(1), return_counts=True)
    often[:10] = values[np.argmax(counts)]
    assert find_constant_score(steps(1), often, FaultConfig()) is None


def test_a_missing_score_is_told_first() -> None:
    found = find_constant_score(smooth(1), mixed(smooth(2), np.nan, 0.2), FaultConfig())
    assert found is not None
    assert found.fault.kind is FaultKind.NULLS


def test_the_time_from_which_on_is_told() -> None:
    order = np.random.default_rng(4).permutation(N)
    times = (np.arange(N) * HOUR)[order]
    late = np.where(times >= 2400 * HOUR, 0.07, smooth(2))
    found = find_constant_score(smooth(1), late, FaultConfig(), times)
    assert found is not None
    assert "in 20% of rows since 1970-04-11 00:00 UTC" in found.fault.text
    found = find_constant_score(smooth(1), np.full(N, 0.07), FaultConfig(), times)
    assert found is not None
    assert "in 100% of rows since 1970-01-01 00:00 UTC" in found.fault.text
