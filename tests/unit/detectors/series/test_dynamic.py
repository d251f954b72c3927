"""Thresholds that follow from a series' history."""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from numpy.typing import NDArray

from homeostat.detectors.series.alarm import begin
from homeostat.detectors.series.dynamic import (
    CALM,
    FEWEST,
    SeriesConfig,
    Ways,
    evaluate,
    fit,
    renewable,
)
from homeostat.detectors.series.state import SeriesState
from homeostat.domain.point import Point
from homeostat.domain.verdict import Monitor, Status, Verdict
from homeostat.domain.window import Window

START, DAY = datetime(2024, 1, 1, tzinfo=UTC), timedelta(days=1)
HISTORY = 56
CONFIG = SeriesConfig()


def points(values: NDArray[np.float64], rows: int = 500) -> list[Point]:
    return [
        Point(Window(START + at * DAY, START + (at + 1) * DAY), float(value), 0.0, rows)
        for at, value in enumerate(values)
    ]


def play(
    values: NDArray[np.float64], config: SeriesConfig = CONFIG, *, renew: bool = True
) -> list[Verdict]:
    """Judge what follows the first windows, as the engine does."""
    series = points(values)
    baseline, state, said = fit(config, series[:HISTORY]), SeriesState(), []
    for at in range(HISTORY, len(series)):
        state, verdict = evaluate(config, baseline, state, "m", "auc", series[at])
        said.append(verdict)
        if renew and baseline is not None and renewable(config, baseline, state):
            baseline = fit(config, series[: at + 1], state.apart)
    return said


@pytest.mark.parametrize("kept", [True, False], ids=["onsets kept", "an older state"])
def test_a_change_began_when_it_did_though_windows_are_missing(kept: bool) -> None:
    values = quiet(0, HISTORY + 40)
    values[HISTORY + 20 :] -= 0.04
    series = points(values)
    baseline, state = fit(CONFIG, series[:HISTORY]), SeriesState()
    # From the change on two of three windows have too few rows.
    gone = [at for at in range(HISTORY + 20, HISTORY + 40) if at % 3]
    for at in range(HISTORY, len(series)):
        point = series[at]
        config = replace(CONFIG, min_rows=100)
        if at in gone:
            point = replace(point, rows=3)
        elif not kept:
            state = replace(state, onsets=())
        state, _ = evaluate(config, baseline, state, "m", "auc", point)
        if state.alarm is not None:
            break
    assert state.alarm is not None
    began = series[HISTORY + 20].window.start
    assert (abs(state.alarm.onset - began) <= DAY) is kept


def begins(said: list[Verdict]) -> list[int]:
    firing = [False, *(v.status is Status.DRIFT for v in said)]
    pairs = itertools.pairwise(firing)
    return [at for at, (before, now) in enumerate(pairs) if now > before]


def quiet(seed: int, n: int = HISTORY + 60) -> NDArray[np.float64]:
    found: NDArray[np.float64] = 0.9 + np.random.default_rng(seed).normal(0.0, 0.01, n)
    return found


def test_a_drop_is_found_and_said_with_its_history() -> None:
    values = quiet(0)
    values[HISTORY + 20 :] -= 0.03
    said = play(values)
    first = begins(said)[0]
    assert 20 <= first <= 28
    verdict = said[first]
    assert verdict.monitor is Monitor.METRIC
    assert verdict.score < -verdict.effect_threshold
    assert verdict.evidence >= verdict.evidence_threshold == 900.0
    assert verdict.p_value < 0.1
    assert verdict.detail("lower") < verdict.detail("usual") < verdict.detail("upper")
    assert verdict.detail("value") < verdict.detail("lower")
    assert "56 windows from 2024-01-01" in verdict.reason
    assert (verdict.n_reference, verdict.n_current) == (56 * 500, 500)


def test_a_fall_out_of_all_proportion_is_found_in_two_windows() -> None:
    values = quiet(1)
    values[HISTORY + 10 :] -= 0.4
    assert begins(play(values)) == [11]


def test_an_alarm_ends_when_figures_are_usual_again() -> None:
    values = quiet(2)
    values[HISTORY + 10 : HISTORY + 25] -= 0.05
    said = play(values)
    last = max(at for at, v in enumerate(said) if v.status is Status.DRIFT)
    assert 24 <= last < 24 + 2 * CALM
    assert said[-1].evidence < 900.0


@pytest.mark.parametrize("size", [1.5, 2.0, 3.0])
def test_a_shift_that_lasts_is_one_alarm(size: float) -> None:
    counts = []
    for seed in range(6):
        values = np.random.default_rng(seed).normal(0.0, 1.0, HISTORY + 90)
        values[HISTORY + 10 :] -= size
        said = play(values)
        counts.append(len(begins(said)))
        assert (said[-1].status is Status.DRIFT) == bool(counts[-1]), seed
    assert max(counts) == 1
    assert sum(counts) >= 5


def test_outliers_do_not_end_an_alarm() -> None:
    for seed in range(6):
        values = np.random.default_rng(seed).standard_t(3, HISTORY + 90) / 3**0.5
        values[HISTORY + 10 :] -= 2.0
        values[HISTORY + 40 :: 15] += 30.0
        values[HISTORY + 45 :: 15] -= 30.0
        assert len(begins(play(values))) == 1, seed


def test_what_was_an_alarm_becomes_no_history() -> None:
    values = quiet(2, HISTORY + 140)
    values[HISTORY + 10 : HISTORY + 50] -= 0.05
    said = play(values)
    assert len(begins(said)) == 1
    first = f"{START + (HISTORY + 10) * DAY:%Y-%m-%d}"
    moved = [v for v in said[60:] if f"from {START:%Y-%m-%d}" not in v.reason]
    assert moved[-1].reason.split("windows from ")[1][:10] > first
    for verdict in moved:
        assert verdict.detail("usual") == pytest.approx(0.9, abs=0.005)
        assert verdict.detail("lower") > 0.86


def test_nothing_is_renewed_while_it_fires() -> None:
    values = quiet(3, HISTORY + 120)
    values[HISTORY + 5 :] -= 0.05
    said = play(values)
    assert said[-1].status is Status.DRIFT
    assert said[-1].detail("usual") == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize(
    ("ways", "move", "fires"),
    [
        ("below", -0.04, True),
        ("below", 0.04, False),
        ("above", 0.04, True),
        ("above", -0.04, False),
        ("both", 0.04, True),
    ],
)
def test_ways(ways: Ways, move: float, fires: bool) -> None:
    values = quiet(4)
    values[HISTORY + 10 :] += move
    assert bool(begins(play(values, SeriesConfig(ways=ways)))) is fires


def test_a_change_too_small_to_matter_is_none() -> None:
    values = quiet(5)
    values[HISTORY + 10 :] -= 0.03
    assert begins(play(values, renew=False))
    said = play(values, SeriesConfig(min_change=0.05), renew=False)
    assert not begins(said)
    assert said[-1].evidence > 900.0
    assert said[-1].effect_threshold >= 0.05


def test_weekends_are_no_drop() -> None:
    values = quiet(6, HISTORY + 120)
    values[np.arange(values.size) % 7 >= 5] -= 0.1
    assert not begins(play(values))


def test_a_slow_trend_is_followed() -> None:
    values = quiet(7, HISTORY + 300)
    values -= np.arange(values.size) * 0.01 / 240
    assert not begins(play(values))


def test_too_little() -> None:
    series = points(quiet(0))
    assert fit(CONFIG, []) is None
    assert fit(CONFIG, series[: FEWEST - 1]) is None
    assert fit(CONFIG, series[:FEWEST]) is not None
    state, verdict = evaluate(CONFIG, None, SeriesState(), "m", "auc", series[5])
    assert state == SeriesState()
    assert verdict.status is Status.INCONCLUSIVE
    assert verdict.reason == "auc: fewer than 21 windows of history"


def test_windows_without_a_figure_or_with_too_few_rows_are_passed_over() -> None:
    config = SeriesConfig(min_rows=100)
    series = points(quiet(0))
    holes = [replace(p, value=math.nan) if at % 5 == 0 else p for at, p in enumerate(series)]
    baseline = fit(config, holes)
    assert baseline is not None
    state = SeriesState()
    for bad, status in (
        (replace(series[-1], value=math.nan), Status.NO_DATA),
        (replace(series[-1], error=math.inf), Status.NO_DATA),
        (replace(series[-1], rows=99), Status.INCONCLUSIVE),
    ):
        after, verdict = evaluate(config, baseline, state, "m", "auc", bad)
        assert after == state
        assert verdict.status is status
    few = [replace(p, rows=50) for p in series]
    assert fit(config, few) is None


def test_history_reaches_as_far_back_as_asked() -> None:
    found = fit(SeriesConfig(history=30 * DAY), points(quiet(0)))
    assert found is not None
    assert found.windows == 30


def test_another_history_starts_the_evidence_afresh() -> None:
    series = points(quiet(0))
    one, other = fit(CONFIG, series[:50]), fit(CONFIG, series[:60])
    assert one is not None
    assert other is not None
    state, _ = evaluate(CONFIG, one, SeriesState(), "m", "auc", series[60])
    again, _ = evaluate(CONFIG, other, state, "m", "auc", series[61])
    assert (state.seen, again.seen) == (1, 1)
    assert not renewable(CONFIG, other, SeriesState())
    assert not renewable(CONFIG, other, SeriesState(seen=99, alarm=begin(START, 2.0, 5.0)))
    assert renewable(CONFIG, other, SeriesState(seen=99))


def autoregressive(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    found = rng.normal(0.0, 0.8, n)
    for at in range(1, n):
        found[at] += 0.6 * found[at - 1]
    return found


WORLDS: dict[str, Callable[[np.random.Generator, int], NDArray[np.float64]]] = {
    "normal": lambda rng, n: rng.normal(0.0, 1.0, n),
    "memory": autoregressive,
    "heavy": lambda rng, n: rng.standard_t(3, n),
    "weekly": lambda rng, n: rng.normal(0.0, 1.0, n) - 3.0 * (np.arange(n) % 7 >= 5),
}


@pytest.mark.statistical
@pytest.mark.unwatched
@pytest.mark.parametrize("world", WORLDS)
def test_false_alarms_stay_within_the_budget(world: str) -> None:
    rng = np.random.default_rng(9)
    runs, days, alarms = 12, 180, 0
    for _ in range(runs):
        values = WORLDS[world](rng, HISTORY + days)
        alarms += len(begins(play(values, SeriesConfig(share=0.2))))
    expected = 0.2 * runs * days / 90
    assert alarms <= expected


@pytest.mark.statistical
@pytest.mark.unwatched
def test_shifts_of_two_deviations_are_found() -> None:
    found = []
    for seed in range(20):
        values = quiet(100 + seed, HISTORY + 14 + 28)
        values[HISTORY + 14 :] -= 0.02
        found.append(any(at >= 14 for at in begins(play(values))))
    assert np.mean(found) >= 0.85
