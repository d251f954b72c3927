import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.rollout.experiment.design import Experiment, Kind, Metric
from homeostat.rollout.experiment.tally import Measured, Tally, check_tallies, measure
from homeostat.stats.moments import PairSums

PAID = Metric("paid", Kind.CONVERSION)
TIME = Metric("time", Kind.LATENCY)
CLICKS = Metric("clicks", Kind.RATIO)
SPENT = Metric("spent", Kind.REVENUE, covariate=True)
DESIGN = Experiment("x", ("a", "b"), (PAID, TIME), 10_000)


@settings(max_examples=30)
@given(st.lists(st.floats(0.001, 1e6), max_size=40), st.lists(st.floats(0.001, 1e6), max_size=40))
def test_parts_merge_to_the_whole(one: list[float], other: list[float]) -> None:
    whole, parts = measure(TIME, one + other), measure(TIME, one).merge(measure(TIME, other))
    assert parts.n == whole.n
    assert parts.sums.y == pytest.approx(whole.sums.y)
    assert parts.histogram.bins.tolist() == whole.histogram.bins.tolist()
    assert parts.histogram.counts.tolist() == whole.histogram.counts.tolist()


def test_tallies_merge_metric_by_metric() -> None:
    one = Tally(3, {"paid": measure(PAID, [1, 0, 1])})
    other = Tally(2, {"time": measure(TIME, [5.0])})
    both = one.merge(other)
    assert (both.assigned, both.of(PAID).n, both.of(TIME).n) == (5, 3, 1)
    assert Tally().of(PAID).n == 0


def test_a_value_not_known_yet_is_no_row() -> None:
    found = measure(CLICKS, [1.0, math.nan, 2.0], [4.0, 9.0, 5.0])
    assert (found.n, found.sums.x, found.sums.xy) == (2, 9.0, 14.0)
    assert measure(TIME, [math.nan]).histogram.bins.size == 0


def test_a_latency_is_known_to_a_hundredth() -> None:
    rows = np.random.default_rng(0).lognormal(4.0, 1.0, 2000)
    found = measure(TIME, rows).histogram.counted.quantile(0.95)
    assert found == pytest.approx(np.quantile(rows, 0.95), rel=0.01)


@pytest.mark.parametrize(
    ("metric", "values", "companions", "message"),
    [
        (PAID, [0.5], None, "0 or 1"),
        (PAID, [1.0], [1.0], "no companions"),
        (TIME, [0.0], None, "positive"),
        (TIME, [5e-324], None, "positive"),
        (TIME, [math.inf], None, "finite"),
        (TIME, [1e200], None, "at most 1e\\+60"),
        (CLICKS, [1.0], None, "denominators"),
        (CLICKS, [1.0], [-1.0], "at least 0"),
        (CLICKS, [1.0], [math.nan], "finite"),
        (SPENT, [1.0], None, "covariate"),
        (SPENT, [1.0], [1.0, 2.0], "one companion each"),
        (PAID, [[1.0]], None, "one value an entity"),
    ],
    ids=str,
)
def test_values_of_another_kind_are_refused(
    metric: Metric, values: list[float], companions: list[float] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        measure(metric, values, companions)


@pytest.mark.parametrize(
    ("tallies", "message"),
    [
        ({"c": Tally()}, "no arm 'c'"),
        ({"a": Tally(1, {"other": Measured()})}, "no metric 'other'"),
        ({"a": Tally(1, {"paid": measure(PAID, [1, 0])})}, "count each entity once"),
        ({"a": Tally(9, {"paid": Measured(PairSums(9.0, math.nan))})}, "sums of paid of a"),
        ({"a": Tally(9, {"paid": Measured(PairSums(9.0, 3.0, -1.0))})}, "of no rows"),
        ({"a": Tally(9, {"paid": Measured(PairSums(3.0, 4.0, 4.0))})}, "of no rows"),
        ({"a": Tally(9, {"paid": Measured(PairSums(3.0, 2.0, 1.0))})}, "of no rows"),
        ({"a": Tally(9, {"time": Measured(PairSums(3.0, 2.0, 1.0))})}, "of no rows"),
    ],
    ids=["arm", "metric", "assigned", "nan", "square", "share", "binary", "histogram"],
)
def test_tallies_of_another_experiment_are_refused(tallies: dict[str, Tally], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_tallies(DESIGN, tallies)
