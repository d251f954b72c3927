"""Limits that the owner sets."""

import math
from datetime import UTC, datetime, timedelta

import pytest

from homeostat.detectors.series.limits import LimitConfig, evaluate
from homeostat.domain.limit import LimitState
from homeostat.domain.point import Point
from homeostat.domain.verdict import Status, Verdict
from homeostat.domain.window import Window

START, DAY = datetime(2024, 1, 1, tzinfo=UTC), timedelta(days=1)


def play(config: LimitConfig, values: list[float], error: float = 0.0) -> list[Verdict]:
    state, said = LimitState(), []
    for at, value in enumerate(values):
        point = Point(Window(START + at * DAY, START + (at + 1) * DAY), value, error, 50)
        state, verdict = evaluate(config, state, "m", "auc", point)
        said.append(verdict)
    return said


def firing(config: LimitConfig, values: list[float], error: float = 0.0) -> list[bool]:
    return [v.status is Status.DRIFT for v in play(config, values, error)]


def test_below_above_and_on_the_limit() -> None:
    assert firing(LimitConfig(below=0.7), [0.71, 0.7, 0.69, 0.7]) == [False, False, True, False]
    assert firing(LimitConfig(above=9.0), [8.0, 9.0, 9.1, 8.0]) == [False, False, True, False]
    assert firing(LimitConfig(above=9.0, below=2.0), [1.0, 5.0, 10.0]) == [True, False, True]


def test_it_must_last_to_begin_and_to_end() -> None:
    config = LimitConfig(above=1.0, windows=2)
    values = [2.0, 0.0, 2.0, 2.0, 0.0, 2.0, 0.0, 0.0, 2.0]
    expected = [False, False, False, True, True, True, True, False, False]
    assert firing(config, values) == expected
    said = play(config, values)
    assert [v.evidence for v in said] == [1, 0, 1, 2, 0, 2, 0, 0, 1]
    assert {v.evidence_threshold for v in said} == {2.0}


def test_being_sure_needs_the_interval() -> None:
    assert firing(LimitConfig(below=0.7), [0.69], error=0.02) == [True]
    assert firing(LimitConfig(below=0.7, sure=True), [0.69, 0.65], error=0.02) == [False, True]
    assert firing(LimitConfig(above=0.7, sure=True), [0.71, 0.75], error=0.02) == [False, True]


def test_words() -> None:
    config = LimitConfig(above=9.0, below=2.0)
    low, fine, high = play(config, [1.0, 5.0, 10.0])
    assert low.reason == "auc is 1, below the limit of 2"
    assert fine.reason == "auc is 5, within its limits"
    assert high.reason == "auc is 10, above the limit of 9"
    assert (low.effect_threshold, high.effect_threshold) == (2.0, 9.0)
    assert dict(fine.details) == {"below": 2.0, "above": 9.0}


def test_no_figure_and_too_few_rows() -> None:
    config = LimitConfig(above=9.0, min_rows=51)
    few, none = play(config, [10.0, math.nan])
    assert few.status is Status.INCONCLUSIVE
    assert few.reason == "auc: 50 rows, 51 are needed"
    assert none.status is Status.NO_DATA
    assert none.reason == "auc: no figure"


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({}, "needs a limit"),
        ({"above": 1.0, "below": 2.0}, "nothing lies between"),
        ({"above": 1.0, "windows": 0}, "at least one window"),
    ],
    ids=["none", "crossed", "no-windows"],
)
def test_what_is_no_limit(config: dict[str, float], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        LimitConfig(**config)  # type: ignore[arg-type]
