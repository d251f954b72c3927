"""Conditions on figures: what makes them true, what keeps them from judging, what they keep."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.adapters.records.codec import decode, encode
from homeostat.alerting.conditions.burn import USUAL, Burn, Pair, usual_pairs
from homeostat.alerting.conditions.kinds import OnSeries
from homeostat.alerting.conditions.missing import Missing
from homeostat.alerting.conditions.relative import Relative
from homeostat.alerting.conditions.signal import Facts, Series, Signal, State
from homeostat.alerting.conditions.static import Static
from homeostat.alerting.conditions.trail import FINENESS, Trail
from homeostat.domain.limit import Limit
from homeostat.domain.point import Point
from homeostat.domain.window import Window

START = datetime(2024, 1, 1, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
STEP = 5 * MINUTE
ERRORS, AUC = Series("error_rate", STEP), Series("auc", DAY)
AGE = Series("version_age", timedelta(0))
NAN = math.nan


def point(
    place: int, value: float, rows: int = 1000, every: timedelta = DAY, error: float = 0.0
) -> Point:
    start = START + place * every
    return Point(Window(start, start + every), value, error, rows)


def play(
    condition: OnSeries, values: Sequence[float], rows: int = 1000, reference: float | None = None
) -> tuple[State, list[bool | None]]:
    """Show figures one a tick; return the last state and what was said at each."""
    state, told = State(), list[bool | None]()
    for place, value in enumerate(values):
        one = point(place, value, rows, condition.series.every or MINUTE)
        state, signal = condition.evaluate(state, [one], Facts(one.window.end, reference))
        assert signal is not None
        told.append(signal.active)
    return state, told


def test_a_limit_counts_windows_in_a_row_and_missing_ones_do_not_break_the_row() -> None:
    low = Static(AUC, Limit(below=0.8, windows=2, min_rows=100))
    values = [0.7, NAN, 0.7, 0.9, math.inf, 0.9, 0.9]
    assert play(low, values)[1] == [False, None, True, True, None, False, False]
    assert play(low, [0.1, 0.1], rows=99)[1] == [None, None]
    assert low.reach == 2 * DAY
    assert low.evaluate(State(), [], Facts(START)) == (State(), None)


def test_of_several_figures_in_one_tick_each_counts_and_the_last_is_told() -> None:
    low = Static(AUC, Limit(below=0.8, windows=2))
    _, signal = low.evaluate(State(), [point(0, 0.7), point(1, 0.71)], Facts(START + 2 * DAY))
    assert signal == Signal(True, "auc is 0.71, below the limit of 0.8", ("auc",))


def test_a_fall_is_counted_from_the_reference_in_points_or_as_a_part() -> None:
    assert play(Relative(AUC, 0.05), [0.84, 0.86], reference=0.9)[1] == [True, False]
    assert play(Relative(AUC, 0.05, ratio=True), [0.84, 0.86], reference=0.9)[1] == [True, False]
    assert play(Relative(AUC, 0.05), [0.1])[1] == [None]
    rise = Relative(AUC, 0.5, falls=False, ratio=True)
    assert play(rise, [-0.9, -1.1], reference=-2.0)[1] == [True, False]
    _, signal = rise.evaluate(State(), [point(0, 3.1)], Facts(START, 2.0))
    assert signal is not None
    assert signal.reason == "auc is 3.1, 55.0% above the 2 of its reference; 50.0% is the limit"
    _, signal = rise.evaluate(State(), [point(0, 3.1)], Facts(START, 0.0))
    assert signal is not None
    assert signal.reason == "auc is 3.1, 3.1 above the 0 of its reference; 50.0% is the limit"
    with pytest.raises(ValueError, match="is none"):
        Relative(AUC, 0.0)


def test_a_change_may_have_to_be_sure_and_last() -> None:
    sure = Relative(AUC, 0.05, sure=True)
    for error, expected in ((0.01, True), (0.04, False)):
        one = point(0, 0.8, error=error)
        _, signal = sure.evaluate(State(), [one], Facts(START, 0.9))
        assert signal is not None
        assert signal.active is expected
    twice = Relative(AUC, 0.05, windows=2, min_rows=50)
    assert play(twice, [0.8, 0.8, 0.9, 0.9], reference=0.9)[1] == [False, True, True, False]
    assert play(twice, [0.8, 0.8], rows=49, reference=0.9)[1] == [None, None]


def test_a_trailing_window_needs_three_figures_and_moves_along() -> None:
    fell = Relative(AUC, 0.05, trailing=7 * DAY)
    values = [0.9, 0.9, 0.9, 0.8, *[0.8] * 9]
    state, told = play(fell, values)
    assert told[:4] == [None, None, None, True]
    assert told[-1] is False  # a fall that lasts becomes what is usual
    assert len(state.trail.pieces) <= 10
    assert fell.reach == 8 * DAY
    _, signal = fell.evaluate(state, [point(13, 0.7)], Facts(START))
    assert signal is not None
    assert "of its last 7 days" in signal.reason


def burned(condition: Burn, shares: Sequence[float], rows: int = 1000) -> list[bool | None]:
    return play(condition, shares, rows)[1]


def test_a_budget_that_burns_fast_alarms_soon_and_one_that_burns_slowly_late() -> None:
    slo = Burn(ERRORS, 0.99, min_rows=100)
    quiet = [0.0005] * 72
    fast = burned(slo, [*quiet, *[0.5] * 6])
    assert fast.index(True) - len(quiet) <= 4  # 14.4 times 1 % of an hour's rows
    assert not any(burned(slo, [*quiet, 0.05, *[0.0] * 12]))
    slow = Burn(Series("error_rate", 30 * MINUTE), 0.99, min_rows=100)
    told = burned(slow, [*[0.0005] * 48, *[0.02] * 96])
    hours = (told.index(True) - 48) / 2
    assert 30 < hours < 42  # 2 % for half of three days is all that 1 % allows in them


def test_a_burn_ends_with_the_short_window() -> None:
    slo = Burn(ERRORS, 0.99)
    told = burned(slo, [*[0.0] * 50, *[0.9] * 12, *[0.0] * 80])
    assert told[61] is True
    assert told[-1] is False


def test_few_rows_and_missing_figures_say_nothing_of_a_burn() -> None:
    slo = Burn(ERRORS, 0.99, min_rows=100)
    assert burned(slo, [1.0] * 3, rows=10) == [None] * 3
    assert burned(slo, [NAN]) == [None]
    assert slo.reach == 3 * DAY
    good = Burn(AUC, 0.9, (Pair(7 * DAY, DAY, 2.0),), good=True)
    assert burned(good, [1.0, 1.0, 0.0, 0.0])[-1] is True


def test_what_cannot_burn_is_refused() -> None:
    assert [p.factor for p in usual_pairs(0.8)] == pytest.approx([5.0, 5.0, 3.0, 1.0])
    assert usual_pairs(0.999) == USUAL
    assert burned(Burn(ERRORS, 0.8, usual_pairs(0.8)), [1.0] * 24)[-1] is True
    for objective in (0.0, 1.0):
        with pytest.raises(ValueError, match="between 0 and 1"):
            Burn(ERRORS, objective)
    with pytest.raises(ValueError, match="can never fire"):
        Burn(ERRORS, 0.9)
    with pytest.raises(ValueError, match="needs a pair"):
        Burn(ERRORS, 0.9, ())
    with pytest.raises(ValueError, match="not shorter"):
        Pair(HOUR, HOUR, 1.0)
    with pytest.raises(ValueError, match="is none"):
        Pair(HOUR, MINUTE, 0.0)


def test_missing_counts_from_the_last_figure_that_is_a_number() -> None:
    silent = Missing(ERRORS, 10 * MINUTE)
    state, told = play(silent, [0.1, NAN, NAN, 0.1])
    assert told == [False, False, True, False]
    assert silent.reach == 10 * MINUTE
    for later, expected in ((5, False), (10, True)):
        now = START + 4 * STEP + later * MINUTE
        _, signal = silent.evaluate(state, [], Facts(now))
        assert signal is not None
        assert signal.active is expected


def test_of_a_series_of_moments_only_a_gap_is_kept() -> None:
    silent = Missing(AGE, 2 * MINUTE)
    state, told = play(silent, [1.0, 2.0])
    assert (state, told) == (State(), [False, False])
    assert play(silent, [1.0, NAN, NAN, NAN, 1.0])[1] == [False, False, False, True, False]


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(1, 50)), min_size=1, max_size=120),
    st.integers(1, 120),
)
def test_a_trail_tells_means_of_the_past(figures: list[tuple[float, int]], span: int) -> None:
    trail = Trail()
    for place, (value, rows) in enumerate(figures):
        trail = trail.adding(point(place, value, rows, MINUTE), 200 * MINUTE)
    end = START + len(figures) * MINUTE
    found = trail.over(end - span * MINUTE, end)
    assert found is not None
    # Its far edge is off by half a piece at most: it is the mean of some such span exactly.
    values, weights = (np.array(part) for part in zip(*figures, strict=True))
    count = found.count
    assert found.mean == pytest.approx(np.average(values[-count:], weights=weights[-count:]))
    assert found.rows == weights[-count:].sum()
    exact = min(span, len(figures))
    assert abs(count - exact) <= 1 + span / FINENESS


def test_a_trail_forgets_and_stays_small() -> None:
    trail = Trail()
    for place in range(3_000):
        trail = trail.adding(point(place, 1.0, 0, MINUTE), 500 * MINUTE)
    assert len(trail.pieces) < 60
    whole = trail.over(START, START + 3_000 * MINUTE)
    assert whole is not None
    assert 500 <= whole.count <= 580
    assert whole.mean == 1.0
    assert trail.over(START, START + MINUTE) is None


def test_states_are_read_back_as_they_were() -> None:
    state, _ = play(Relative(AUC, 0.05, trailing=7 * DAY), [0.9, 0.8, 0.9, 0.8])
    assert decode(encode(state), State) == state
