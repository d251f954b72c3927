"""The e-detector: run lengths that it promises, delays, and arrays beside single events."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from homeostat.detectors.streaming.direction import Direction
from homeostat.detectors.streaming.edetector import (
    SHIFTS,
    EDetectorConfig,
    EDetectorState,
    bounded,
    fit,
    standardised,
    update,
    update_many,
)
from homeostat.stats.evidence import FRACTIONS, shiryaev_roberts

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Floats]

NORMAL: Draw = lambda rng, n: rng.normal(size=n)  # noqa: E731
STUDENT: Draw = lambda rng, n: rng.standard_t(3.0, n)  # noqa: E731


def coin(share: float) -> Draw:
    return lambda rng, n: (rng.random(n) < share).astype(np.float64)


def measured_run_length(config: EDetectorConfig, draw: Draw, rows: int = 150_000) -> float:
    values = draw(np.random.default_rng(41), rows)
    return rows / max(1, update_many(EDetectorState(config), values)[1].size)


def one_by_one(state: EDetectorState, values: Floats) -> tuple[EDetectorState, list[int]]:
    found = []
    for index, value in enumerate(values.tolist()):
        state = update(state, value)
        if state.drifted:
            found.append(index)
    return state, found


@pytest.mark.statistical
@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize(
    ("config", "draw"),
    [
        (standardised, NORMAL),
        (lambda **k: bounded(0.5, **k), coin(0.5)),
        (lambda **k: bounded(0.03, **k), coin(0.03)),
        (lambda **k: bounded(0.25, **k), lambda rng, n: rng.beta(2.0, 6.0, n)),
        (lambda **k: bounded(20.0, 0.0, 100.0, **k), lambda rng, n: 100.0 * rng.beta(1.0, 4.0, n)),
        # At the edge of what is tolerated, on either side.
        (lambda **k: bounded(0.45, tolerance=0.05, **k), coin(0.5)),
        (lambda **k: standardised(0.2, tolerance=0.2, **k), NORMAL),
    ],
)
def test_run_lengths_are_at_least_nominal(
    config: Callable[..., EDetectorConfig], draw: Draw, direction: Direction
) -> None:
    # 150,000 values hold 300 run lengths: the standard error is under 6 %.
    nominal = 500.0
    assert (
        measured_run_length(config(run_length=nominal, direction=direction), draw) > 0.9 * nominal
    )


@pytest.mark.statistical
@pytest.mark.unwatched
def test_heavy_tails_keep_the_promise_when_fitted_and_break_that_of_the_other_kind() -> None:
    reference = STUDENT(np.random.default_rng(42), 5000)
    assert measured_run_length(fit(reference, run_length=500.0), STUDENT) > 500.0
    assert measured_run_length(standardised(0.0, math.sqrt(3.0), run_length=500.0), STUDENT) < 400.0


@pytest.mark.statistical
@pytest.mark.unwatched
def test_a_skewed_reference_of_a_few_hundred_rows_is_enough() -> None:
    lengths = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        values = rng.lognormal(size=20_300)
        config = fit(values[:300], run_length=500.0)
        lengths.append(20_000 / max(1, update_many(EDetectorState(config), values[300:])[1].size))
    assert np.median(lengths) > 500.0


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("shift", "limit_fitted", "limit_standardised"),
    [(0.25, 400, 300), (1.0, 60, 30), (-1.0, 60, 30)],
)
def test_delays(shift: float, limit_fitted: float, limit_standardised: float) -> None:
    reference = NORMAL(np.random.default_rng(43), 5000)
    limits = ((fit(reference), limit_fitted), (standardised(), limit_standardised))
    for config, limit in limits:
        delays = []
        for seed in range(30):
            values = NORMAL(np.random.default_rng(seed), 4000)
            values[1000:] += shift
            found = update_many(EDetectorState(config), values)[1]
            delays.append(found[found >= 1000][0] - 1000)
        assert np.mean(delays) < limit


def test_each_bet_is_shiryaev_roberts_of_its_factors() -> None:
    values = [0.2, 0.9, 0.4]
    state = update_many(EDetectorState(bounded(0.3, tolerance=0.1, run_length=1e9)), values)[0]
    expected = []
    for gains in ([x / 0.4 for x in values], [(1.0 - x) / 0.8 for x in values]):
        for stake in FRACTIONS:
            evidence = 0.0
            for gain in gains:
                evidence = shiryaev_roberts(evidence, 1.0 + stake * (gain - 1.0))
            expected.append(evidence)
    assert state.capital == pytest.approx(expected)
    assert state.evidence == pytest.approx(np.mean(expected))


def test_bets_on_standardised_values_are_likelihood_ratios() -> None:
    config = standardised(10.0, 2.0, run_length=1e9, direction=Direction.DOWN)
    state = update(EDetectorState(config), 7.0)
    ratios = [
        math.exp(stats.norm.logpdf(-1.5, -shift) - stats.norm.logpdf(-1.5)) for shift in SHIFTS
    ]
    assert state.capital == pytest.approx(ratios)


CONFIGS = [
    bounded(0.5, -3.0, 3.0, run_length=30.0),
    bounded(0.5, -30.0, 3.0, tolerance=0.2, run_length=30.0, direction=Direction.DOWN),
    standardised(0.3, 2.0, run_length=30.0, direction=Direction.UP),
    standardised(run_length=30.0),
]


@given(
    st.lists(st.floats(-40.0, 40.0), max_size=150),
    st.integers(0, 150),
    st.sampled_from(CONFIGS),
)
def test_an_array_in_two_parts_is_the_same_as_event_by_event(
    values: list[float], cut: int, config: EDetectorConfig
) -> None:
    state, found = update_many(EDetectorState(config), values[:cut])
    state, more = update_many(state, values[cut:])
    last, expected = one_by_one(EDetectorState(config), np.asarray(values))
    assert [*found, *(more + min(cut, len(values)))] == expected
    assert state.capital == pytest.approx(last.capital, rel=1e-9)
    assert (state.n, state.drifted) == (last.n, last.drifted)


@pytest.mark.parametrize("config", CONFIGS)
def test_long_streams_are_the_same_as_event_by_event(config: EDetectorConfig) -> None:
    values = np.random.default_rng(44).normal(0.4, 1.0, 3000)
    values[1500:] += 0.5
    state, found = update_many(EDetectorState(config), values)
    last, expected = one_by_one(EDetectorState(config), values)
    assert found.tolist() == expected
    assert state.capital == pytest.approx(last.capital, rel=1e-9)


def test_wild_values_neither_overflow_nor_vanish() -> None:
    for value in (1e149, -1e149):
        state, found = update_many(EDetectorState(standardised()), [value] * 5)
        assert found.tolist() == [0, 1, 2, 3, 4]
        assert all(map(math.isfinite, state.capital))
    up = standardised(direction=Direction.UP)
    state, found = update_many(EDetectorState(up), [*[-1e149] * 600, *[1.5] * 30])
    assert found.size
    assert found[0] > 600


@given(st.floats(0.05, 0.95), st.floats(0.0, 1.0), st.booleans())
def test_bets_are_fair_at_the_edge_of_the_tolerance(mean: float, part: float, rise: bool) -> None:
    """Expected factors of any two-point variable with the largest tolerated mean are exactly 1."""
    tolerance = 0.9 * part * min(mean, 1.0 - mean)
    config = bounded(
        mean,
        tolerance=tolerance,
        run_length=1e9,
        direction=Direction.UP if rise else Direction.DOWN,
    )
    edge = mean + tolerance if rise else mean - tolerance
    zero, one = (update(EDetectorState(config), value).capital for value in (0.0, 1.0))
    expected = edge * np.asarray(one) + (1.0 - edge) * np.asarray(zero)
    assert expected == pytest.approx(np.ones(len(FRACTIONS)))


def test_what_lies_outside_the_bounds_counts_as_the_bound() -> None:
    state = EDetectorState(bounded(0.5))
    assert update(state, 7.0).capital == update(state, 1.0).capital
    assert update_many(state, [-9.0])[0].capital == update(state, 0.0).capital


def test_nan_and_what_overflows_are_passed_over_and_counted() -> None:
    state = EDetectorState(bounded(0.1, run_length=100.0))
    clean = np.repeat([0.1, 0.9], [30, 10])
    dirty = np.insert(clean, [0, 35, 35, 40], [math.nan, math.inf, 1e200, -math.inf])
    last, found = update_many(state, dirty)
    assert last.skipped == 4
    indices = update_many(state, clean)[1]
    assert indices.size
    assert (indices + 1 + 2 * (indices >= 35)).tolist() == found.tolist()
    single, singly = one_by_one(state, dirty)
    assert singly == found.tolist()
    assert single.capital == pytest.approx(last.capital)
    assert single.skipped == 4


def test_nan_after_a_detection_begins_anew() -> None:
    begin = EDetectorState(bounded(0.1, run_length=5.0))
    state = update(begin, 1.0)
    while not state.drifted:
        state = update(state, 1.0)
    assert state.evidence >= 5.0
    for after in (update(state, math.nan), update_many(state, [math.nan])[0]):
        assert after == EDetectorState(begin.config, skipped=1)
    assert update(state, 0.1).n == update_many(state, [0.1])[0].n == 1
    assert update_many(state, [])[0] == state


def test_no_values_are_no_evidence() -> None:
    assert EDetectorState(standardised()).evidence == 0.0
    assert update_many(EDetectorState(standardised()), [])[1].size == 0


def test_fit_allows_for_its_own_error_and_the_owners_allowance() -> None:
    reference = NORMAL(np.random.default_rng(45), 10_000)
    plain = fit(reference)
    assert plain.mean == pytest.approx(0.0, abs=0.03)
    assert plain.high == pytest.approx(3.0, abs=0.1)
    assert plain.tolerance == pytest.approx(0.02, abs=0.001)
    assert fit(reference, allowance=0.1).tolerance == pytest.approx(0.12, abs=0.01)
    assert fit([*reference, math.nan, math.inf]) == plain


@pytest.mark.parametrize("reference", [[], [1.0], [2.0, 2.0, 2.0], [math.nan]])
def test_fit_needs_values_that_differ(reference: list[float]) -> None:
    with pytest.raises(ValueError, match="values that differ"):
        fit(reference)


def test_fit_refuses_a_tolerance_beyond_the_bounds() -> None:
    with pytest.raises(ValueError, match="nothing could move"):
        fit([0.0, 1.0], allowance=5.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: bounded(1.5),
        lambda: bounded(0.5, 0.0, math.inf),
        lambda: bounded(math.nan),
        lambda: bounded(0.5, tolerance=0.5),
        lambda: bounded(0.5, tolerance=-0.1),
        lambda: bounded(0.5, run_length=0.5),
        lambda: standardised(sd=0.0),
        lambda: standardised(sd=math.nan),
        lambda: standardised(mean=math.inf),
        lambda: standardised(tolerance=math.inf),
    ],
)
def test_what_cannot_be_watched_is_refused(make: Callable[[], EDetectorConfig]) -> None:
    with pytest.raises(ValueError, match=r"nothing could move|never negative|finite"):
        make()
