"""What the owner expects of any candidate."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.retraining.gate.behaviour import (
    Change,
    Direction,
    Expectation,
    changed,
    judge_expectation,
)  # fmt: skip

SCORES = np.array([0.1, 0.5, 0.9, math.nan])


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.4, math.inf, "row 1 scores 0.1, not at least 0.4"),
        (-math.inf, 0.4, "row 2 scores 0.5, not at most 0.4"),
        (0.2, 0.6, "row 1 scores 0.1, not at least 0.2 and at most 0.6"),
        (-math.inf, math.inf, "row 4 scores nan, not a finite number"),
    ],
    ids=["low", "high", "both", "none"],
)
def test_a_range_names_the_rows_outside(low: float, high: float, said: str) -> None:
    found = judge_expectation(Expectation("x", low=low, high=high), SCORES, None)
    assert found.passed is False
    assert found.name == "check x"
    assert said in found.text


@pytest.mark.parametrize(
    ("direction", "tolerance", "passed"),
    [
        (Direction.UP, 0.0, [True, False, True]),
        (Direction.UP, 0.2, [True, True, True]),
        (Direction.DOWN, 0.0, [False, True, True]),
        (Direction.SAME, 0.0, [False, False, True]),
        (Direction.SAME, 0.15, [True, True, True]),
    ],
)
def test_a_change_may_move_the_score_one_way(
    direction: Direction, tolerance: float, passed: list[bool]
) -> None:
    asked = Expectation(
        "x", changes=(Change("a", times=2.0),), direction=direction, tolerance=tolerance
    )
    before = np.array([0.5, 0.5, 0.5])
    after = np.array([0.6, 0.4, 0.5])
    found = [judge_expectation(asked, before[at : at + 1], after[at : at + 1]) for at in range(3)]
    assert [check.passed for check in found] == passed
    must = {"up": "not fall", "down": "not rise", "same": "stay"}[direction]
    assert all(f"when changed: it must {must}" in c.text for c in found if not c.passed)


def test_a_score_that_is_lost_by_the_change_is_not_as_expected() -> None:
    asked = Expectation("x", changes=(Change("a", add=1.0),), direction=Direction.UP)
    found = judge_expectation(asked, np.array([0.5]), np.array([math.inf]))
    assert found.passed is False


@given(st.integers(1, 200), st.integers(1, 100), st.integers(0, 200))
def test_a_share_is_a_count_of_rows(rows: int, percent: int, good: int) -> None:
    good = min(good, rows)
    scores = np.where(np.arange(rows) < good, 1.0, 0.0)
    asked = Expectation("x", low=0.5, share=percent / 100)
    assert judge_expectation(asked, scores, None).passed is (100 * good >= percent * rows)


def test_no_rows_tell_nothing() -> None:
    found = judge_expectation(Expectation("x", low=0.5), np.empty(0), None)
    assert found.passed is None


def test_texts_and_flags_are_set_and_only_numbers_reckoned() -> None:
    rows = pa.table({"a": [1.0, None], "b": ["x", None], "c": [True, None]})
    asked = (Change("b", value="y"), Change("c", value=False), Change("a", value=0.0))
    found = changed(rows, asked)
    assert found.schema == rows.schema
    assert found.to_pydict() == {"a": [0.0, 0.0], "b": ["y", "y"], "c": [False, False]}
    assert changed(rows, (Change("a", add=1.0),))["a"].to_pylist() == [2.0, None]


@pytest.mark.parametrize(
    "wrong", [{"low": 1.0, "high": 0.0}, {"share": 0.0}, {"share": 1.5}, {"tolerance": -1.0},
              {"low": math.nan}]
)  # fmt: skip
def test_what_nothing_could_do_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="impossible"):
        Expectation("x", **wrong)  # type: ignore[arg-type]
