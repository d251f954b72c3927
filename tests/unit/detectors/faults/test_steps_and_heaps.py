"""Numbers that no longer come in steps, and answers with some noise in the place of scores."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from homeostat.detectors.faults.columns import read_pair
from homeostat.detectors.faults.config import FaultConfig
from homeostat.detectors.faults.fallback import find_constant_score
from homeostat.detectors.faults.find import find_faults
from homeostat.domain.explanation import FaultKind

Floats = NDArray[np.float64]
N = 3000


def ages(seed: int, step: float = 1.0) -> Floats:
    drawn = np.random.default_rng(seed).lognormal(3.0, 0.8, N)
    rounded: Floats = np.round(drawn / step) * step
    return rounded


def partly(values: Floats, changed: Floats, share: float) -> Floats:
    return np.where(np.random.default_rng(5).random(values.size) < share, changed, values)


def told(before: Floats, now: Floats) -> list[tuple[FaultKind, float]]:
    columns = read_pair(pa.table({"x": before}), pa.table({"x": now}))
    found = find_faults(*columns, FaultConfig())
    return [(item.fault.kind, round(float(item.rows.mean()), 1)) for item in found]


@pytest.mark.parametrize("step", [1.0, 0.01], ids=["whole", "cents"])
@pytest.mark.parametrize("share", [0.3, 0.6])
def test_a_near_unit_shows_where_numbers_come_in_steps(step: float, share: float) -> None:
    now = ages(2, step)
    assert told(ages(1, step), partly(now, now / 2.54, share)) == [(FaultKind.UNIT, share)]


def test_a_unit_in_which_numbers_are_whole_is_told() -> None:
    assert told(ages(1) / 2.54, ages(2)) == [(FaultKind.UNIT, 1.0)]


def test_steps_that_no_unit_restores_are_no_fault() -> None:
    now = ages(2)
    smooth = now * 0.5 + np.random.default_rng(3).random(N)
    assert not told(ages(1), partly(now, smooth, 0.5))


def smooth(seed: int, shift: float = 0.0) -> Floats:
    odds = 1.3 * np.random.default_rng(seed).normal(size=N) - 1.5 + shift
    found: Floats = 1.0 / (1.0 + np.exp(-odds))
    return found


def noisy(seed: int, value: float) -> Floats:
    found: Floats = np.clip(value + np.random.default_rng(seed).normal(0.0, 1e-3, N), 0.0, 1.0)
    return found


@pytest.mark.parametrize("share", [0.1, 0.3, 1.0])
@pytest.mark.parametrize("value", [0.05, 0.2, 0.5, 0.9])
def test_an_answer_with_some_noise_is_told(value: float, share: float) -> None:
    times = np.arange(N) * 1_000_000
    now = partly(smooth(2), noisy(4, value), share)
    found = find_constant_score(smooth(1), now, FaultConfig(), times)
    assert found is not None
    assert found.fault.kind is FaultKind.CONSTANT_SCORE
    assert found.fault.share == pytest.approx(share, abs=0.06)
    assert found.rows.mean() == pytest.approx(found.fault.share)


@pytest.mark.parametrize("value", [-400.0, 0.0, 250.0])
def test_a_number_with_some_noise_is_told(value: float) -> None:
    usual = 200.0 + 50.0 * np.random.default_rng(1).normal(size=(2, N))
    found = find_constant_score(
        usual[0], partly(usual[1], value + noisy(4, 0.5), 0.2), FaultConfig()
    )
    assert found is not None
    assert found.fault.share == pytest.approx(0.2, abs=0.05)


@pytest.mark.parametrize("far", [5.0, 10.0, -10.0])
def test_inputs_far_off_make_sure_scores_not_an_answer(far: float) -> None:
    assert find_constant_score(smooth(1), smooth(2, far), FaultConfig()) is None


@pytest.mark.parametrize("shift", [-1.5, -0.5, 0.0, 0.5, 1.5])
def test_scores_that_shift_heap_nowhere(shift: float) -> None:
    for seed in range(5):
        assert find_constant_score(smooth(seed), smooth(seed + 50, shift), FaultConfig()) is None


@pytest.mark.parametrize("far", [1e12, -1e12])
def test_scores_far_off_heap_nowhere(far: float) -> None:
    now = smooth(2)
    now[0] = far
    assert find_constant_score(smooth(1), now, FaultConfig()) is None
