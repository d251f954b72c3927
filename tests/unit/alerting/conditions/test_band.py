"""A seasonal band as a condition on figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from homeostat.adapters.records.codec import decode, encode
from homeostat.alerting.conditions.band import Band, block_of, rarest
from homeostat.alerting.conditions.signal import Facts, Series, Signal, State
from homeostat.domain.point import Point
from homeostat.domain.window import Window

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
REQUESTS = Series("requests", HOUR, "country=FR")
BAND = Band(REQUESTS, 7 * DAY)


def points(values: Sequence[float], after: int = 0, rows: int = 100) -> list[Point]:
    starts = [START + (after + place) * HOUR for place in range(len(values))]
    return [
        Point(Window(start, start + HOUR), float(value), 0.0, rows)
        for start, value in zip(starts, values, strict=True)
    ]


def told(
    band: Band, state: State, values: Sequence[float], after: int, rows: int = 100
) -> tuple[State, list[Signal]]:
    """Show figures one a tick; return the last state and what was said at each."""
    signals = []
    for point in points(values, after, rows):
        state, signal = band.evaluate(state, [point], Facts(point.window.end))
        assert signal is not None
        signals.append(signal)
    return state, signals


@pytest.fixture(scope="module")
def learnt() -> State:
    """Three weeks of days and nights."""
    hours = np.arange(21 * 24)
    usual = 100.0 + 80.0 * np.sin(hours * np.pi / 12.0)
    noise = np.random.default_rng(1).normal(0.0, 5.0, hours.size)
    state, _ = BAND.evaluate(State(), points((usual + noise).tolist()), Facts(START))
    return state


def test_in_the_first_blocks_it_does_not_tell() -> None:
    _, signals = told(BAND, State(), [5.0] * 50, 0)
    assert [signal.active for signal in signals] == [None] * 48 + [False] * 2
    assert signals[0].reason == "requests of country=FR: learning for 2 more days"
    assert signals[47].reason == "requests of country=FR: learning for 0.5 more days"


def test_what_is_usual_at_noon_is_an_alarm_at_night(learnt: State) -> None:
    night, noon = 21 * 24 + 18, 21 * 24 + 6
    _, (fine,) = told(BAND, learnt, [180.0], noon)
    assert fine.active is False
    assert fine.subjects == ()
    _, (wrong,) = told(BAND, learnt, [180.0], night)
    assert wrong.active is True
    assert wrong.subjects == ("requests of country=FR",)
    assert wrong.reason.startswith("requests of country=FR is 180, usually ")
    assert "; it is off, as happens once in " in wrong.reason


def test_it_fires_until_nothing_was_rare_for_a_block(learnt: State) -> None:
    hours = np.arange(21 * 24, 22 * 24)
    values = (100.0 + 80.0 * np.sin(hours * np.pi / 12.0)).tolist()
    values[0] += 60.0
    _, signals = told(BAND, learnt, values, 21 * 24)
    active = [signal.active for signal in signals]
    last = max(n for n, s in enumerate(signals) if "as happens" in s.reason)
    assert active == [True] * (last + 12) + [False] * (12 - last)
    assert signals[last + 3].reason.endswith("; it was off 3 h before")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([1.8] * 24, "; the mean of the recent figures is off"),
        ([2.4, -2.4] * 12, "; the recent figures together are off"),
    ],
    ids=["mean", "unrest"],
)
def test_what_recent_figures_show_together_is_said(values: list[float], reason: str) -> None:
    usual = np.random.default_rng(2).normal(0.0, 1.0, 28 * 24).tolist()
    state, _ = BAND.evaluate(State(), points(usual), Facts(START))
    _, signals = told(BAND, state, values, 28 * 24)
    assert any(reason in signal.reason for signal in signals)


@pytest.mark.parametrize(
    ("ways", "shown"), [("above", "(up to "), ("below", "(from ")], ids=["above", "below"]
)
def test_only_one_way_may_matter(learnt: State, ways: str, shown: str) -> None:
    band = replace(BAND, ways="above" if ways == "above" else "below")
    noon = 21 * 24 + 6
    _, (high,) = told(band, learnt, [400.0], noon)
    _, (low,) = told(band, learnt, [0.0], noon)
    assert (high.active, low.active) == (ways == "above", ways == "below")
    assert shown in high.reason


def test_what_is_rarer_than_a_year_is_not_counted_in_days(learnt: State) -> None:
    _, (signal,) = told(BAND, learnt, [1e6], 21 * 24)
    assert signal.reason.endswith("once in more than a year")


def test_a_change_too_small_to_matter_is_none(learnt: State) -> None:
    _, (signal,) = told(replace(BAND, min_change=500.0), learnt, [400.0], 21 * 24)
    assert signal.active is False


@pytest.mark.parametrize("bad", [math.nan, math.inf], ids=str)
def test_missing_figures_neither_fire_nor_teach(learnt: State, bad: float) -> None:
    state, (signal,) = told(BAND, learnt, [bad], 21 * 24)
    assert (signal.active, state) == (None, learnt)
    assert signal.reason == "requests of country=FR: no figure"


def test_figures_of_few_rows_neither_fire_nor_teach(learnt: State) -> None:
    state, (signal,) = told(replace(BAND, min_rows=30), learnt, [1e6], 21 * 24, rows=29)
    assert (signal.active, state) == (None, learnt)


def test_without_news_and_on_what_was_seen_all_is_as_before(learnt: State) -> None:
    assert BAND.evaluate(learnt, [], Facts(START)) == (learnt, None)
    assert BAND.evaluate(learnt, points([1e6], 5), Facts(START)) == (learnt, None)


def test_what_is_kept_goes_through_the_records_unchanged(learnt: State) -> None:
    assert decode(encode(learnt), State) == learnt


def test_it_begins_with_as_much_as_it_remembers() -> None:
    assert BAND.reach == 28 * DAY
    assert Band(Series("auc", DAY), 200 * DAY).reach == 56 * 12 * DAY


def test_a_time_that_is_no_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="rare must be positive"):
        Band(REQUESTS, timedelta(0))
    with pytest.raises(ValueError, match="min_change is -1"):
        Band(REQUESTS, DAY, min_change=-1.0)


def test_the_shortest_time_to_an_alarm_follows_from_how_often_figures_come() -> None:
    assert [block_of(every) for every in (HOUR, 2 * HOUR)] == [DAY / 2, DAY]
    assert [rarest(every) for every in (HOUR, 2 * HOUR)] == [7 * DAY, 14 * DAY]
