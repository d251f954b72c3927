"""ADWIN beside River's, and event by event beside arrays."""

import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from river import drift

from homeostat.detectors.streaming.adwin import AdwinConfig, AdwinState, update, update_many

Floats = NDArray[np.float64]
Detection = tuple[int, float, float]

PARAMETERS: list[dict[str, Any]] = [
    {},
    {"delta": 0.05, "clock": 1, "max_buckets": 2},
    {"delta": 0.3, "clock": 7, "max_buckets": 9, "min_window_length": 1, "grace_period": 0},
    {"delta": 0.2, "clock": 1, "min_window_length": 20, "grace_period": 100},
]


def segments(seed: int, rows: int = 700) -> Floats:
    """A stream whose mean jumps at random."""
    rng = np.random.default_rng(seed)
    parts = zip(rng.normal(0.0, 1.5, 5), rng.integers(1, rows, 5), strict=True)
    return np.concatenate([rng.normal(mean, 1.0, size) for mean, size in parts])


def by_river(values: Floats, **parameters: Any) -> list[Detection]:
    oracle, found = drift.ADWIN(**parameters), []
    for index, value in enumerate(values.tolist()):
        oracle.update(value)
        if oracle.drift_detected:
            found.append((index, oracle.width, oracle.total))
    return found


def one_by_one(state: AdwinState, values: Floats) -> tuple[AdwinState, list[Detection]]:
    found = []
    for index, value in enumerate(values.tolist()):
        state = update(state, value)
        if state.drifted:
            found.append((index, state.width, state.total))
    return state, found


@pytest.mark.parametrize("parameters", PARAMETERS)
@pytest.mark.parametrize("seed", range(5))
def test_detections_and_windows_are_rivers_bit_by_bit(
    parameters: dict[str, Any], seed: int
) -> None:
    values, config = segments(seed), AdwinConfig(**parameters)
    expected = by_river(values, **parameters)
    last, found = one_by_one(AdwinState(config), values)
    assert found == expected
    many, indices = update_many(AdwinState(config), values)
    assert indices.tolist() == [index for index, _, _ in expected]
    assert many == last


def test_the_streams_above_have_detections_and_rivers_own_example_too() -> None:
    assert sum(len(by_river(segments(seed))) for seed in range(5)) > 5
    # The stream and the index in river's test_drift_detectors.py.
    old = np.random.RandomState(12345)
    first, second = old.randint(2, size=1000), old.randint(8, size=1000)
    stream = np.concatenate((first, second)).astype(float)
    assert update_many(AdwinState(), stream)[1].tolist() == [1023]


@pytest.mark.parametrize("kind", ["rates", "long", "large"])
def test_other_streams_are_rivers_too(kind: str) -> None:
    rng = np.random.default_rng(31)
    values = {
        "rates": lambda: (rng.random(20_000) < np.repeat([0.02, 0.05], 10_000)).astype(float),
        "long": lambda: rng.normal(size=60_000),
        "large": lambda: 1e12 + 1e6 * segments(3),
    }[kind]()
    found = update_many(AdwinState(), values)[1].tolist()
    assert found == [index for index, _, _ in by_river(values)]


@given(
    st.lists(st.floats(-1e6, 1e6), max_size=120),
    st.integers(0, 120),
    st.sampled_from(
        [
            AdwinConfig(clock=1, min_window_length=1, grace_period=0, delta=0.9),
            AdwinConfig(clock=3, max_buckets=1, min_window_length=2, delta=0.9),
            AdwinConfig(clock=16, max_buckets=2, delta=0.9),
        ]
    ),
)
def test_an_array_in_two_parts_is_the_same_as_event_by_event(
    values: list[float], cut: int, config: AdwinConfig
) -> None:
    state, found = update_many(AdwinState(config), values[:cut])
    state, more = update_many(state, values[cut:])
    last, expected = one_by_one(AdwinState(config), np.asarray(values))
    assert state == last
    assert [*found, *(more + min(cut, len(values)))] == [index for index, _, _ in expected]


@given(st.lists(st.floats(-10.0, 10.0), min_size=1, max_size=300), st.integers(1, 6))
def test_the_histogram_holds_the_window(values: list[float], most: int) -> None:
    state = update_many(AdwinState(AdwinConfig(max_buckets=most, clock=10**6)), values)[0]
    assert state.width == len(values)
    assert sum(len(row) << level for level, row in enumerate(state.rows)) == len(values)
    assert all(len(row) <= most for row in state.rows)
    assert sum(total for row in state.rows for total, _ in row) == pytest.approx(state.total)
    assert state.mean == pytest.approx(np.mean(values))
    assert state.spread / state.width == pytest.approx(np.var(values), abs=1e-9)
    start = 0
    for level in reversed(range(len(state.rows))):
        for total, spread in state.rows[level]:
            part = values[start : start + (1 << level)]
            assert total == pytest.approx(math.fsum(part), abs=1e-9)
            assert spread == pytest.approx(np.var(part) * len(part), abs=1e-9)
            start += len(part)


def test_nan_and_what_overflows_are_passed_over_and_counted() -> None:
    clean = segments(7)
    dirty = np.insert(clean, [0, 50, 50, clean.size], [math.nan, math.inf, 1e200, -math.inf])
    state, found = update_many(AdwinState(), dirty)
    expected, indices = update_many(AdwinState(), clean)
    assert state.skipped == 4
    assert (state.rows, state.width) == (expected.rows, expected.width)
    assert np.array_equal(dirty[found], clean[indices])
    assert one_by_one(AdwinState(), dirty)[0] == state


def test_nan_after_a_detection_begins_a_new_window() -> None:
    values = np.repeat([0.0, 5.0], [100, 28])
    state, _ = update_many(AdwinState(), values)
    assert state.drifted
    assert state.mean > 3.0  # what is left is the new state of affairs
    for after in (update(state, math.nan), update_many(state, [math.nan])[0]):
        assert after == AdwinState(skipped=1)
    assert update_many(state, [])[0] == state


def test_an_empty_window_has_no_mean() -> None:
    assert math.isnan(AdwinState().mean)
    assert update_many(AdwinState(), [])[0] == AdwinState()


def test_constant_streams_are_stable() -> None:
    for constant in (0.0, 0.1, -1e9):
        assert update_many(AdwinState(AdwinConfig(clock=1)), np.full(3000, constant))[1].size == 0


@pytest.mark.statistical
def test_false_alarms_and_delay() -> None:
    alarms, delays = 0, []
    for seed in range(20):
        values = np.random.default_rng(seed).normal(size=21_000)
        values[20_000:] += 1.0
        found = update_many(AdwinState(), values)[1]
        alarms += int(np.sum(found < 20_000))
        delays.append(int(found[found >= 20_000][0]) - 20_000)
    assert alarms <= 2
    assert np.mean(delays) < 80


def test_a_state_can_be_stored() -> None:
    state = update_many(AdwinState(), segments(1))[0]
    assert pickle.loads(pickle.dumps(state)) == state


@pytest.mark.parametrize(
    "wrong",
    [
        {"delta": 0.0},
        {"delta": 1.0},
        {"clock": 0},
        {"max_buckets": 0},
        {"min_window_length": 0},
        {"grace_period": -1},
    ],
)
def test_parameters_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"delta|at least"):
        AdwinConfig(**wrong)


def test_a_table_is_no_stream() -> None:
    with pytest.raises(ValueError, match="one dimension"):
        update_many(AdwinState(), [[1.0]])
