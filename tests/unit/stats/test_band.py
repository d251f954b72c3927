"""Seasonal bands: quiet on what is usual, an alarm on what is not."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from homeostat.stats.band import BLOCK, LEARNING, BandConfig, BandState, Reading, step
from homeostat.stats.rhythm import DAY, HOUR, WEEK

Floats = NDArray[np.float64]
WEEKLY = BandConfig()


def read(
    values: Floats | list[float],
    every: float = HOUR,
    config: BandConfig = WEEKLY,
    state: BandState | None = None,
    start: float = 0.0,
) -> tuple[BandState, list[Reading | None]]:
    readings = []
    for place, value in enumerate(values):
        state, reading = step(state, start + place * every, float(value), config)
        readings.append(reading)
    assert state is not None
    return state, readings


def begun(readings: list[Reading | None]) -> list[int]:
    return [place for place, reading in enumerate(readings) if reading and reading.alarm]


def usual(seed: int, weeks: float, every: float = HOUR) -> Floats:
    """Two peaks a day, quieter weekends, noise with memory."""
    rng, times = np.random.default_rng(seed), np.arange(0.0, weeks * WEEK, every)
    turn = times * 2.0 * np.pi / DAY
    found = 3.0 * np.sin(turn) + 1.5 * np.sin(2.0 * turn) - 3.0 * (times // DAY % 7 >= 5)
    noise = rng.normal(0.0, 1.0, times.size)
    for place in range(1, times.size):
        noise[place] = 0.5 * noise[place - 1] + 0.866 * noise[place]
    total: Floats = found + noise
    return total


@pytest.fixture(scope="module")
def learnt() -> BandState:
    return read(usual(1, 6))[0]


def after(learnt: BandState, values: Floats, config: BandConfig = WEEKLY) -> list[Reading | None]:
    return read(values, config=config, state=learnt, start=6 * WEEK)[1]


def tomorrow() -> Floats:
    return usual(2, 1)


def test_alarms_on_what_is_usual_are_rarer_than_asked() -> None:
    """Twelve weeks, three runs: at most 36 of one a week are expected; of one in four weeks 9."""
    runs = [usual(seed, 12) for seed in range(10, 13)]
    weekly = sum(len(begun(read(run)[1])) for run in runs)
    rarer = sum(len(begun(read(run, config=BandConfig(4 * WEEK))[1])) for run in runs)
    assert 3 <= weekly <= 36
    assert rarer <= 9


def test_a_spike_is_an_alarm_at_once(learnt: BandState) -> None:
    values = tomorrow()
    values[30] += 9.0
    readings = after(learnt, values)
    assert 30 in begun(readings)
    spike = readings[30]
    assert spike is not None
    assert spike.sign == "value"
    assert values[30] > spike.upper
    assert spike.once >= WEEK
    assert spike.score >= 1.0 - 1.0 / 14.0


@pytest.mark.parametrize(
    ("shift", "sign", "within"), [(2.0, "unrest", 9), (1.5, "mean", 51)], ids=["larger", "smaller"]
)
def test_a_shift_that_no_point_shows_is_found(
    learnt: BandState, shift: float, sign: str, within: int
) -> None:
    values = usual(7, 1) + shift
    readings = after(learnt, values)
    first = begun(readings)[0]
    reading = readings[first]
    assert reading is not None
    assert reading.lower < values[first] < reading.upper
    assert reading.sign == sign
    assert first < within


def test_unrest_is_found_though_the_mean_stays(learnt: BandState) -> None:
    readings = after(learnt, np.tile([4.0, -4.0], 60) + tomorrow()[:120])
    assert begun(readings)[0] < 12
    assert "unrest" in {r.sign for r in readings if r and r.beyond}


def test_a_day_whose_rhythm_does_not_come_is_found(learnt: BandState) -> None:
    still = np.full(24, usual(1, 6)[-1])
    assert begun(after(learnt, still))


def test_an_episode_is_one_alarm_and_the_new_level_is_taken_over(learnt: BandState) -> None:
    shifted = usual(3, 6) + 30.0
    readings = after(learnt, shifted)
    alarms = begun(readings)
    assert alarms[0] == 0
    assert len([a for a in alarms if a < 72]) == 1
    late = [r for r in readings[7 * 24 :] if r is not None]
    assert np.mean([r.expected for r in late]) == pytest.approx(np.mean(shifted[7 * 24 :]), abs=1.0)
    # It is watched as closely there: the same spike is found.
    shifted[-10] += 9.0
    assert any(len(shifted) - 10 == place for place in begun(after(learnt, shifted)))


@pytest.mark.parametrize(
    ("ways", "sign", "found"),
    [("above", 1, True), ("above", -1, False), ("below", 1, False), ("below", -1, True)],
    ids=["above-up", "above-down", "below-up", "below-down"],
)
def test_only_deviations_that_way_matter(ways: str, sign: int, found: bool) -> None:
    config = BandConfig(8 * WEEK, "above" if ways == "above" else "below")
    state, _ = read(usual(1, 6), config=config)
    values = tomorrow()[:40]
    values[30] += 12.0 * sign
    _, readings = read(values, config=config, state=state, start=6 * WEEK)
    assert (30 in begun(readings)) is found
    reading = readings[30]
    assert reading is not None
    assert math.isinf(reading.upper) is (ways == "below")
    assert math.isinf(reading.lower) is (ways == "above")


def test_what_is_too_small_to_matter_is_no_alarm(learnt: BandState) -> None:
    values = tomorrow()
    values[30] += 9.0
    readings = after(learnt, values, BandConfig(min_change=20.0))
    assert begun(readings) == []
    assert readings[30] is not None
    assert readings[30].upper - readings[30].expected == 20.0


def test_the_first_two_days_are_only_learnt_from() -> None:
    _, readings = read([0.0] * 40 + [1000.0] + [0.0] * 7)
    assert begun(readings) == []
    assert all(r and math.isinf(r.upper) and r.score == 0.0 for r in readings[: LEARNING * 12])


def test_a_constant_series_is_silent_until_it_changes() -> None:
    values = np.full(400, 0.1)
    values[300] = 0.2
    _, readings = read(values)
    assert begun(readings) == [300]
    before = readings[299]
    assert before is not None
    assert (before.lower, before.expected, before.upper) == (0.1, 0.1, 0.1)


def test_rounding_is_no_change() -> None:
    values = np.full(400, 0.3)
    values[300] = 0.1 + 0.2
    assert begun(read(values)[1]) == []


def test_ties_are_told_from_each_other_no_more_than_they_differ() -> None:
    """Shares of 20 rows: 21 different values."""
    shares = np.random.default_rng(5).binomial(20, 0.9, 12 * 168) / 20.0
    assert len(begun(read(shares)[1])) <= 12


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e101], ids=str)
def test_what_is_no_number_is_passed_over(bad: float, learnt: BandState) -> None:
    assert step(learnt, 6 * WEEK, bad, WEEKLY) == (learnt, None)
    assert step(None, 0.0, bad, WEEKLY) == (None, None)


def test_points_that_come_twice_or_late_are_passed_over(learnt: BandState) -> None:
    assert step(learnt, learnt.last, 1.0, WEEKLY) == (learnt, None)
    assert step(learnt, 5.0, 1.0, WEEKLY) == (learnt, None)
    assert step(learnt, math.nan, 1.0, WEEKLY) == (learnt, None)


def test_a_gap_is_no_alarm_and_what_follows_is_judged(learnt: BandState) -> None:
    values = usual(1, 10)[8 * 168 :]
    values[30] += 12.0
    _, readings = read(values, state=learnt, start=8 * WEEK)
    assert 30 in begun(readings)
    assert 0 not in begun(readings)


@pytest.mark.parametrize(
    ("every", "block"),
    [(300.0, BLOCK), (HOUR, BLOCK), (DAY, 12 * DAY)],
    ids=["5min", "hour", "day"],
)
def test_blocks_are_half_a_day_or_twelve_points(every: float, block: float) -> None:
    state, _ = read(np.zeros(20), every)
    assert (state.step, state.block) == (every, block)


def test_days_apart_one_alarm_in_a_week_would_be_too_many() -> None:
    """A week is seven points; 14 blocks of 12 points are asked for: 6 in 1,000 are expected."""
    values = np.random.default_rng(6).normal(size=1_000)
    assert len(begun(read(values, DAY)[1])) <= 12


def test_what_is_remembered_does_not_grow(learnt: BandState) -> None:
    later, _ = read(usual(4, 6), state=learnt, start=6 * WEEK)
    sizes = [len(json.dumps(asdict(state))) for state in (learnt, later)]
    assert max(sizes) < 10_000


@settings(max_examples=15, deadline=None)
@given(
    scale=st.sampled_from([1e-6, 0.5, 8.0, 1e9]),
    seed=st.integers(0, 1_000),
    up=st.booleans(),
)
def test_units_and_zero_do_not_matter(scale: float, seed: int, up: bool) -> None:
    values = usual(seed, 1)
    other = scale * values * (1.0 if up else -1.0) + (10.0 * scale)
    assert begun(read(values)[1]) == begun(read(other)[1])


@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(
        st.one_of(st.floats(), st.sampled_from([0.0, 1.0, 1e100, -1e100, 5e-324])), max_size=80
    ),
    every=st.sampled_from([1.0, HOUR, 6 * HOUR, 40 * DAY]),
)
def test_no_series_breaks_it(values: list[float], every: float) -> None:
    state: BandState | None = None
    for place, value in enumerate(values):
        state, reading = step(state, place * every, value, WEEKLY)
        if reading is not None:
            assert math.isfinite(reading.expected)
            assert reading.lower <= reading.expected <= reading.upper
            assert 0.0 <= reading.score <= 1.0
            assert reading.beyond or not reading.alarm


def test_a_state_that_was_stored_goes_on_the_same(learnt: BandState) -> None:
    assert replace(learnt) == learnt
    values = tomorrow()
    first, rest = read(values[:50], state=learnt, start=6 * WEEK)
    _, again = read(values[50:], state=first, start=6 * WEEK + 50 * HOUR)
    assert [*rest, *again] == after(learnt, values)


@pytest.mark.parametrize("rare", [0.0, -1.0, math.inf, math.nan], ids=str)
def test_a_time_to_one_alarm_is_positive_and_finite(rare: float) -> None:
    with pytest.raises(ValueError, match="rare must be positive and finite"):
        BandConfig(rare)


@pytest.mark.parametrize("min_change", [-1.0, math.inf, math.nan], ids=str)
def test_what_does_not_matter_is_finite(min_change: float) -> None:
    with pytest.raises(ValueError, match="must be finite and not negative"):
        BandConfig(min_change=min_change)
