"""Page-Hinkley beside River's, and with a scale."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from river import drift

from homeostat.detectors.streaming.direction import Direction
from homeostat.detectors.streaming.page_hinkley import (
    PageHinkleyConfig,
    PageHinkleyState,
    river,
    run_length,
    update,
    update_many,
)

Floats = NDArray[np.float64]


def segments(seed: int) -> Floats:
    rng = np.random.default_rng(seed)
    parts = zip(rng.normal(0.0, 2.0, 6), rng.integers(1, 900, 6), strict=True)
    return np.concatenate([rng.normal(mean, 1.0, size) for mean, size in parts])


def by_river(values: Floats, **parameters: Any) -> list[int]:
    oracle, found = drift.PageHinkley(**parameters), []
    for index, value in enumerate(values.tolist()):
        oracle.update(value)
        if oracle.drift_detected:
            found.append(index)
    return found


def one_by_one(state: PageHinkleyState, values: Floats) -> tuple[PageHinkleyState, list[int]]:
    found = []
    for index, value in enumerate(values.tolist()):
        state = update(state, value)
        if state.drifted:
            found.append(index)
    return state, found


@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"threshold": 5.0, "delta": 0.1, "alpha": 1.0},
        {"threshold": 20.0, "alpha": 0.99, "min_instances": 1},
    ],
)
def test_detections_are_rivers(direction: Direction, parameters: dict[str, Any]) -> None:
    config = river(direction=direction, **parameters)
    total = 0
    for seed in range(6):
        values = segments(seed)
        expected = by_river(values, mode=direction.value, **parameters)
        total += len(expected)
        many, found = update_many(PageHinkleyState(config), values)
        assert found.tolist() == expected
        assert one_by_one(PageHinkleyState(config), values) == (many, expected)
    assert total > 0


@given(st.lists(st.floats(-100.0, 100.0), max_size=80), st.integers(0, 80))
def test_an_array_in_two_parts_is_the_same_as_event_by_event(values: list[float], cut: int) -> None:
    config = PageHinkleyConfig(threshold=3.0, min_instances=4)
    state, found = update_many(PageHinkleyState(config), values[:cut])
    state, more = update_many(state, values[cut:])
    last, expected = one_by_one(PageHinkleyState(config), np.asarray(values))
    assert state == last
    assert [*found, *(more + min(cut, len(values)))] == expected


def test_residuals_are_what_the_values_before_predict() -> None:
    values = np.random.default_rng(1).normal(3.0, 5.0, 60)
    config = PageHinkleyConfig(delta=0.1, threshold=1e9, min_instances=10, reach=1e9)
    state = PageHinkleyState(config)
    risen = 0.0
    for n, value in enumerate(values.tolist()):
        state = update(state, value)
        if n >= 10:
            before = values[:n]
            risen += (value - before.mean()) / (before.std(ddof=1) * math.sqrt(1 + 1 / n)) - 0.1
    assert state.risen == pytest.approx(risen)
    assert state.mean == pytest.approx(values.mean())
    assert state.spread == pytest.approx(values.var() * 60)


@pytest.mark.parametrize(("scale", "shift"), [(1e-6, 0.0), (37.0, 5.0), (1e9, -1e9), (-2.0, 0.0)])
def test_the_unit_of_the_stream_does_not_matter(scale: float, shift: float) -> None:
    found = 0
    for seed in range(6):
        values = segments(seed)
        plain = update_many(PageHinkleyState(), values)[1]
        moved = update_many(PageHinkleyState(), scale * values + shift)[1]
        assert moved.tolist() == plain.tolist()
        found += plain.size
    assert found > 6


@pytest.mark.statistical
@pytest.mark.unwatched
@pytest.mark.parametrize("direction", [Direction.BOTH, Direction.UP])
def test_run_lengths_are_as_computed(direction: Direction) -> None:
    config = PageHinkleyConfig(threshold=9.0, direction=direction)
    rng = np.random.default_rng(2)
    alarms = update_many(PageHinkleyState(config), rng.normal(5.0, 37.0, 400_000))[1].size
    assert 400_000 / alarms == pytest.approx(run_length(config), rel=0.1)


def test_run_lengths_by_hand() -> None:
    up = Direction.UP
    # (exp(2 d h) - 2 d h - 1) / (2 d^2) with h the threshold plus 1.166; h^2 without a drift.
    expected = 2.0 * (math.exp(5.0) - 5.0 - 1.0)
    assert run_length(PageHinkleyConfig(5.0 - 1.166, 0.5, direction=up)) == pytest.approx(expected)
    assert run_length(PageHinkleyConfig(5.0 - 1.166, 0.0, direction=up)) == pytest.approx(25.0)
    assert run_length(PageHinkleyConfig(5.0 - 1.166, 0.5)) == pytest.approx(expected / 2.0)
    for unknown in (river(), PageHinkleyConfig(alpha=0.99)):
        with pytest.raises(ValueError, match="run length"):
            run_length(unknown)


@pytest.mark.statistical
@pytest.mark.unwatched
def test_false_alarms_and_delay_beside_rivers_defaults() -> None:
    ours = rivers = 0
    delays = []
    for seed in range(10):
        values = np.random.default_rng(seed).normal(size=21_000)
        values[20_000:] += 1.0
        found = update_many(PageHinkleyState(), values)[1]
        ours += int(np.sum(found < 20_000))
        rivers += int(np.sum(update_many(PageHinkleyState(river()), values)[1] < 20_000))
        delays.append(int(found[found >= 20_000][0]) - 20_000)
    assert rivers / 10 > 10  # 12.6 in references
    assert ours <= 4
    assert np.mean(delays) < 40


@pytest.mark.parametrize(("direction", "expected"), [("up", 1), ("down", 0), ("both", 1)])
def test_directions(direction: str, expected: int) -> None:
    config = PageHinkleyConfig(direction=Direction(direction))
    values = np.random.default_rng(3).normal(size=300)
    values[200:] += 2.0
    found = update_many(PageHinkleyState(config), values)[1]
    assert found.size == expected
    mirrored = update_many(PageHinkleyState(config), -values)[1]
    assert mirrored.size == (direction != "up")


def test_one_wild_value_is_no_shift() -> None:
    values = np.random.default_rng(4).normal(size=2000)
    values[1000] = 1e6
    assert update_many(PageHinkleyState(), values)[1].size == 0


def test_constants_and_the_first_value_that_differs() -> None:
    state, found = update_many(PageHinkleyState(), np.full(1000, 0.1))
    assert found.size == 0
    assert state.statistic == 0.0
    assert update(state, 0.2).statistic == 3.75  # the reach less the drift that is fine
    assert update(state, 0.0).statistic == 3.75
    assert update_many(PageHinkleyState(), np.repeat([0.1, 0.2], 500))[1].size == 1


def test_statistic_is_of_the_ways_that_count() -> None:
    values = [0.0, 1.0] * 20 + [3.0] * 3
    way = {
        direction: update_many(PageHinkleyState(PageHinkleyConfig(direction=direction)), values)[0]
        for direction in Direction
    }
    assert way[Direction.BOTH].statistic == way[Direction.UP].statistic > 9.0
    assert way[Direction.DOWN].statistic < 3.0
    assert PageHinkleyState().statistic == 0.0


def test_nan_and_what_overflows_are_passed_over_and_counted() -> None:
    clean = segments(7)
    dirty = np.insert(clean, [0, 50, 50, clean.size], [math.nan, math.inf, 1e200, -math.inf])
    state, found = update_many(PageHinkleyState(), dirty)
    indices = update_many(PageHinkleyState(), clean)[1]
    assert state.skipped == 4
    assert np.array_equal(dirty[found], clean[indices])
    assert one_by_one(PageHinkleyState(), dirty) == (state, found.tolist())


def test_nan_after_a_detection_begins_anew() -> None:
    values = np.repeat([0.0, 1.0, 50.0], [20, 20, 100])
    first = int(update_many(PageHinkleyState(), values)[1][0])
    state, found = update_many(PageHinkleyState(), values[: first + 1])
    assert state.drifted
    assert found.tolist() == [first]
    assert update_many(state, [50.0])[0] == update(state, 50.0)
    for after in (update(state, math.nan), update_many(state, [math.nan])[0]):
        assert after == PageHinkleyState(skipped=1)
    assert update_many(state, [])[0] == state


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold": 0.0},
        {"delta": -0.1},
        {"reach": 0.0},
        {"alpha": 0.0},
        {"alpha": 1.1},
        {"min_instances": 1},
        {"min_instances": -1, "scaled": False},
    ],
)
def test_parameters_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"positive|alpha|at least"):
        PageHinkleyConfig(**wrong)
