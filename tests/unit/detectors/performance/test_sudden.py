"""A rise within the day is found by the rows before it, and days and hours raise no alarm."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import TypeAdapter
from scipy import integrate, stats

from homeostat.detectors.performance.detector import (
    LossBaseline,
    PerformanceConfig,
    PerformanceState,
    baseline,
    evaluate,
)
from homeostat.detectors.performance.sudden import REACH, STAKES, Today, add, bet_sudden, weigh
from homeostat.detectors.performance.within import Within, learn
from homeostat.domain.verdict import Status
from homeostat.domain.window import Window

Floats = NDArray[np.float64]

START = datetime(2024, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
CONFIG = PerformanceConfig()
KNOWN = Within((0.2,) * 24, 0.16, 4e-6)


def world(rng: np.random.Generator, days: int, sd: float) -> Floats:
    """Return the chance of an error in each hour: a rhythm, and effects of days and hours."""
    at = np.arange(24 * days)
    wave = 0.01 * np.sin(2.0 * np.pi * at / 24.0)
    by_day = np.repeat(rng.normal(0.0, sd, days), 24)
    found: Floats = 0.1 + wave + by_day + rng.normal(0.0, 0.001, at.size)
    return found


def hold_out(rng: np.random.Generator, days: int, sd: float) -> LossBaseline:
    hours = np.repeat(np.arange(24 * days), 3600)
    while True:
        wrong = rng.random(hours.size) < world(rng, days, sd)[hours]
        found = baseline(wrong.astype(np.float64), hours=hours)
        if found.within is not None:  # by luck, some seem to come in bursts
            return found


def play(
    known: LossBaseline, rng: np.random.Generator, chances: Floats, minutes: int
) -> list[PerformanceState]:
    """Judge ticks of so many minutes, ten rows a second; ``chances`` has one for each."""
    state, found = PerformanceState(), []
    for turn, chance in enumerate(chances):
        window = Window(START + minutes * turn * MINUTE, START + minutes * (turn + 1) * MINUTE)
        wrong = (rng.random(600 * minutes) < chance).astype(np.float64)
        hours = np.full(wrong.size, turn * minutes // 60, dtype=np.int64)
        state, _ = evaluate(CONFIG, known, state, "m", "1", window, wrong, hours)
        found.append(state)
    return found


@pytest.mark.statistical
@pytest.mark.unwatched
def test_a_drop_of_five_points_is_found_within_minutes() -> None:
    delays = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        known = hold_out(rng, 7, 0.005)
        chances = np.repeat(world(rng, 1, 0.005)[:2], 60) + 0.05 * (np.arange(120) >= 100)
        fired = [state.firing for state in play(known, rng, chances, 1)]
        assert not any(fired[:100])
        delays.append(fired[100:].index(True) + 1)
    assert np.median(delays) <= 5


@pytest.mark.statistical
@pytest.mark.unwatched
def test_quiet_days_are_quiet_however_much_days_differ() -> None:
    for seed in range(2):
        rng = np.random.default_rng(seed)
        known = hold_out(rng, 7, 0.01).within
        assert known is not None
        chances, state = np.repeat(world(rng, 30, 0.01), 6), Today()
        for turn, chance in enumerate(chances.tolist()):
            wrong = (np.arange(6000) < rng.binomial(6000, chance)).astype(np.float64)
            hours = np.full(6000, turn // 6, dtype=np.int64)
            state = bet_sudden(CONFIG, known, state, wrong, hours, 1.0 / 144.0)
            assert state.evidence < CONFIG.threshold


def test_a_sudden_alarm_lasts_until_the_mean_is_as_before() -> None:
    rng = np.random.default_rng(1)
    # Days that differ by far more than the rise: by itself, a day could be like that.
    known = hold_out(rng, 7, 0.02)
    chances = np.concatenate((np.full(90, 0.1), np.full(150, 0.16), np.full(60, 0.1)))
    states = play(known, rng, chances, 1)
    fired = [state.firing for state in states]
    assert not any(fired[:90])
    assert all(fired[100:240])
    assert not fired[-1]
    assert states[200].above is not None
    assert states[200].above < 0.06
    assert states[-1].above is None
    stored = TypeAdapter(PerformanceState)
    assert stored.validate_json(stored.dump_json(states[200])) == states[200]


def test_the_verdict_names_what_is_tolerated_after_a_sudden_rise() -> None:
    known = LossBaseline(0.2, 604_800, 0.201, (0.203,) * 24, within=KNOWN)
    state = PerformanceState()
    for minute, rate in enumerate([0.2] * 50 + [0.3] * 6):
        window = Window(START, START + (minute + 1) * MINUTE)
        wrong = (np.arange(600) % 10 < 10 * rate - 1e-9).astype(np.float64)
        hours = np.zeros(600, dtype=np.int64)
        state, verdict = evaluate(CONFIG, known, state, "m", "1", window, wrong, hours)
    assert verdict.status is Status.DRIFT
    assert verdict.score > verdict.effect_threshold
    assert "above the tolerated 0.2" in verdict.reason


def one_rise(before: int, after: int, lost: tuple[float, float]) -> tuple[Today, Floats]:
    return Today((5, 5), (before, after), lost, (0.0, 1.0)), np.array(lost)


def test_the_bayes_factor_is_as_integrated() -> None:
    state, totals = one_rise(3000, 2000, (610.0, 530.0))
    worth, mean = weigh(CONFIG.margin, KNOWN, state, totals)
    error = KNOWN.variance / 3000.0
    assert mean[1] == pytest.approx(610.0 / 3000.0 - 0.2)
    middle = 0.2 + float(mean[1])

    def chance(p: float) -> float:
        return float(stats.binom.pmf(530, 2000, p))

    fine, _ = integrate.quad(
        lambda p: chance(p) * stats.norm.pdf(p, middle, math.sqrt(error)), 0.17, 0.26, epsabs=0.0
    )
    risen = np.mean([chance(middle + stake * (1.0 - middle)) for stake in STAKES.tolist()])
    assert worth[1] == pytest.approx(risen / fine, rel=0.02)


@pytest.mark.statistical
@pytest.mark.unwatched
@pytest.mark.parametrize("rate", [0.02, 0.2])
def test_its_mean_over_quiet_hours_is_at_most_one(rate: float) -> None:
    rng = np.random.default_rng(0)
    known = Within((rate,) * 24, rate * (1.0 - rate), 1e-6)
    found = []
    for _ in range(3000):
        hour = rate + rng.normal(0.0, 1e-3, 2)
        lost = rng.binomial([30_000, 3000, 3000], hour[[0, 1, 1]]).astype(np.float64)
        state = Today((4, 5, 5), (30_000, 3000, 3000), tuple(lost.tolist()), (0.0, 0.0, 1.0))
        found.append(weigh(0.0, known, state, lost)[0][2])
    assert np.mean(found) <= 1.0 + 3.0 * np.std(found) / len(found) ** 0.5


def test_a_rise_that_does_not_matter_is_worth_nothing() -> None:
    state, totals = one_rise(30_000, 30_000, (6000.0, 6890.0))
    assert weigh(0.03, KNOWN, state, totals)[0].tolist() == [0.0, 0.0]
    assert weigh(0.02, KNOWN, state, totals)[0][1] > 100.0
    # From a good day back to the usual mean is no rise either.
    state, totals = one_rise(30_000, 30_000, (4800.0, 6000.0))
    assert weigh(0.02, KNOWN, state, totals)[0][1] == 0.0


def test_a_rise_is_followed_into_the_next_hour_but_no_further() -> None:
    state = Today((4, 5, 6), (20_000, 20_000, 20_000), (4000.0, 5000.0, 5000.0), (0.0, 1.0, 1.0))
    worth, _ = weigh(0.02, KNOWN, state, np.array(state.totals))
    assert worth[1] > worth[2] > 0.0
    assert add(state, 7, 100, 20.0, 1.0).begun == (0.0, 0.0, 1.0, 1.0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 500)), min_size=1, max_size=60))
def test_pieces_keep_all_rows_of_the_day(calls: list[tuple[int, int]]) -> None:
    state, hour, rows = Today(), 24, 0
    for step, size in calls:
        if (hour + step) // 24 != hour // 24:
            rows = 0
        hour, rows = hour + step, rows + size
        state = add(state, hour, size, size / 2.0, 0.1)
        assert sum(state.rows) == rows
        assert sum(state.totals) == pytest.approx(rows / 2.0)
        assert list(state.hours) == sorted(state.hours)
        assert all(h > hour - REACH for h, c in zip(state.hours, state.begun, strict=True) if c)
    assert len(state.hours) < 60


def test_a_day_begins_afresh() -> None:
    assert add(add(Today(), 47, 5, 1.0, 0.1), 48, 7, 2.0, 0.2) == add(Today(), 48, 7, 2.0, 0.2)


def test_rows_of_an_hour_that_is_over_count_for_the_one_after() -> None:
    assert add(add(Today(), 30, 5, 1.0, 0.1), 29, 5, 1.0, 0.1).hours == (30, 30)


def test_bursts_and_losses_that_never_vary_leave_nothing_to_compare() -> None:
    rng = np.random.default_rng(1)
    hours = np.repeat(np.arange(48), 3600)
    chance = np.full(hours.size, 0.1)
    calm = (rng.random(hours.size) < chance).astype(np.float64)
    assert learn(calm, hours, 0.002) is not None
    chance[50_000:50_900] += 0.1
    assert learn((rng.random(hours.size) < chance).astype(np.float64), hours, 0.002) is None
    # Many small ones, none of which stands out.
    chance = 0.1 + np.repeat(rng.normal(0.0, 0.015, hours.size // 300), 300)
    assert learn((rng.random(hours.size) < chance).astype(np.float64), hours, 0.002) is None
    assert learn(np.zeros(hours.size), hours, 0.002) is None


def test_few_rows_or_one_day_leave_hours_unknown() -> None:
    rng = np.random.default_rng(0)
    for days, each in ((1, 3600), (7, 100)):
        hours = np.repeat(np.arange(24 * days), each)
        wrong = (rng.random(hours.size) < 0.1).astype(np.float64)
        assert baseline(wrong, hours=hours).within is None
