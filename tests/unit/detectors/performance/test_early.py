"""Early answers: unbiased where the labels known so far mislead, with intervals that cover."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from homeostat.detectors.performance.arrival import (
    MOST_STRATA,
    arrival_weights,
    as_seen,
    early_shares,
    strata_of,
)
from homeostat.detectors.performance.delay import Waiting, fit
from homeostat.detectors.performance.early import EarlyShare
from homeostat.domain.errors import ConfigError, DataError, NotFoundError
from homeostat.domain.model import Task
from homeostat.domain.predictions import NEVER, Predictions
from homeostat.stats.survival import right_truncated

DAY = 86_400_000_000
MATURITY = timedelta(days=30)
PERIOD = 20


@dataclass(frozen=True)
class World:
    """Class 1 is known soon, the others when they are due; the last period is the window.

    `slower` is how many times longer the first period's class 1 takes than the last one's.
    """

    rows: int = 300
    periods: int = 8
    shift: float = 0.0
    wander: float = 0.0
    never: float = 0.0
    classes: int = 2
    slower: float = 0.0

    def draw(self, seed: int) -> Predictions:
        rng, n = np.random.default_rng(seed), self.rows * self.periods
        period = np.arange(n) // self.rows
        made = (period + rng.random(n)) * PERIOD
        due = rng.integers(0, 3, n)
        base = due - 2.0 + (rng.normal(size=self.periods) * self.wander)[period]
        base = base + self.shift * (period == self.periods - 1)
        label = (rng.random(n) < 1.0 / (1.0 + np.exp(-base))).astype(float)
        if self.classes == 3:
            label = np.where((label == 0.0) & (rng.random(n) < 0.4), 2.0, label)
        mean = 4.0 * np.maximum(1.0, self.slower * (1.0 - made / made.max()))
        delay = np.where(
            label == 1.0, rng.exponential(mean), 5.0 + 8.0 * due + rng.uniform(0.0, 4.0, n)
        )
        lost = rng.random(n) < self.never
        arrival = np.where(lost, NEVER, np.asarray((made + delay) * DAY, np.int64))
        label = np.where(lost, np.nan, label)
        score = np.clip(0.4 + 0.4 * label + rng.normal(0, 0.2, n), 0.0, 1.0)
        table = pa.table({"due": due, "noise": rng.normal(size=n)})
        names = tuple("abc"[: self.classes])
        moments = np.asarray(made * DAY, np.int64)
        task = Task.BINARY if self.classes == 2 else Task.MULTICLASS
        return Predictions(
            task, names, 0.5, score, (score > 0.5).astype(float), label, table, moments, arrival
        )

    @property
    def now(self) -> int:
        return self.periods * PERIOD * DAY


def early(world: World, seed: int) -> tuple[EarlyShare, float]:
    """Return the estimate for class 1 of the newest period, and what it came to."""
    rows = world.draw(seed)
    assert rows.timestamps is not None
    assert rows.arrivals is not None
    window = rows.timestamps >= world.now - PERIOD * DAY
    learned = as_seen(rows, world.now, MATURITY, ("due",))
    found = early_shares(learned, window, PERIOD * DAY, PERIOD * DAY)
    final = window & (rows.arrivals - rows.timestamps <= 30 * DAY)
    return found[1], float((rows.labels[final] == 1.0).mean())


@pytest.mark.statistical
@pytest.mark.unwatched
@pytest.mark.parametrize(
    "world",
    [
        pytest.param(World(), id="steady"),
        pytest.param(World(wander=0.3), id="rates wander"),
        pytest.param(World(never=0.2), id="some labels never come"),
        pytest.param(World(classes=3), id="three classes"),
        pytest.param(World(shift=0.5, rows=600), id="the rate jumps"),
    ],
)
def test_final_shares_are_told_where_naive_ones_mislead(world: World) -> None:
    runs = [early(world, seed) for seed in range(120)]
    errors = np.array([found.share - final for found, final in runs])
    naive = np.array([found.naive - final for found, final in runs])
    covered = [final in found.interval for found, final in runs]
    assert naive.mean() > 0.15
    assert abs(errors.mean()) < 0.012
    assert np.sqrt((errors**2).mean()) < 0.03
    assert np.mean(covered) >= 0.92
    widths = np.array([found.interval.upper - found.interval.lower for found, _ in runs])
    assert widths.mean() < 0.1, "an interval that covers because it is wide says nothing"
    assert all(found.effective < found.rows for found, _ in runs)
    assert all(0.3 < found.coverage < 0.7 and found.stretches >= 3 for found, _ in runs)


@pytest.mark.statistical
@pytest.mark.unwatched
def test_delays_that_become_shorter_are_followed() -> None:
    runs = [early(World(periods=14, slower=4.0), seed) for seed in range(30)]
    errors = np.array([found.share - final for found, final in runs])
    assert abs(errors.mean()) < 0.02, "0.04 if all rows count alike"
    assert np.mean([final in found.interval for found, final in runs]) >= 0.92


@pytest.mark.statistical
@pytest.mark.unwatched
def test_intervals_do_not_cover_too_much() -> None:
    """Over many runs 95 % intervals hold the final share in 92 to 98 %."""
    covered = [
        final in found.interval
        for found, final in (early(World(periods=14, rows=200), s) for s in range(200))
    ]
    assert 0.92 <= np.mean(covered) <= 0.98


@pytest.mark.parametrize(
    ("world", "why"),
    [
        pytest.param(World(periods=1), "0 predictions are old enough", id="none is mature"),
        pytest.param(World(periods=4), "2 mature stretches", id="no record"),
        pytest.param(World(rows=30), "tells as much as", id="too few rows"),
    ],
)
def test_what_cannot_be_told_yet_is_no_number(world: World, why: str) -> None:
    found, _ = early(world, 1)
    assert why in found.reason
    assert np.isnan([found.share, found.interval.lower, found.interval.upper]).all()


def test_a_class_never_seen_is_not_guessed() -> None:
    rows = World().draw(1)
    assert rows.arrivals is not None
    labels, arrivals = rows.labels.copy(), rows.arrivals.copy()
    labels[labels == 1.0], arrivals[labels == 1.0] = np.nan, NEVER
    one = Predictions(
        rows.task, rows.classes, 0.5, rows.scores, rows.predictions, labels, rows.features,
        rows.timestamps, arrivals,
    )  # fmt: skip
    learned = as_seen(one, World().now, MATURITY)
    found = early_shares(learned, np.arange(len(one)) > 2100, PERIOD * DAY, PERIOD * DAY)
    assert "0 labels of a class" in found[1].reason


def test_an_empty_window_is_no_number() -> None:
    learned = as_seen(World().draw(1), World().now, MATURITY)
    nobody: NDArray[np.bool_] = np.zeros(len(learned.rows), bool)
    found = early_shares(learned, nobody, PERIOD * DAY, PERIOD * DAY)[1]
    assert found.rows == found.coverage == 0
    assert np.isnan([found.share, found.naive]).all()


def test_delays_are_those_of_the_reverse_time_estimator() -> None:
    """With one stratum nothing is borrowed; so few rows are one block and count alike."""
    rng = np.random.default_rng(5)
    ages, delays = rng.integers(0, 60, 39), rng.integers(1, 30, 39)
    seen = delays <= ages
    none = np.zeros(39, np.intp)
    learned = fit(Waiting(none, np.where(seen, delays, NEVER), ages, none), 59, 1, 1)
    expected = right_truncated(delays[seen], ages[seen])
    assert learned.arrived[0, 0, 0] == pytest.approx(expected.at(learned.edges))
    assert learned.labels.tolist() == [seen.sum()]


def test_without_any_label_there_is_nothing_to_learn() -> None:
    none = np.zeros(3, np.intp)
    rows = Waiting(none, np.full(3, NEVER), np.array([1, 2, 90]), none)
    learned = fit(rows, 59, 2, 1)
    assert (learned.matured, learned.labels.tolist()) == (1, [0, 0])
    assert learned.never[0].tolist() == [1.0]


def weighted(seed: int) -> tuple[float, float, float]:
    """Return accuracy on labels known, weighted, and final, of the newest period."""
    world = World(rows=600)
    rows = world.draw(seed)
    assert rows.timestamps is not None
    assert rows.arrivals is not None
    window = rows.timestamps >= world.now - PERIOD * DAY - 10 * DAY
    found = arrival_weights(rows, window, world.now, MATURITY, ("due",))
    right = (rows.predictions == rows.labels).astype(float)
    known = window & (rows.arrivals <= world.now)
    assert found.reason == ""
    assert found.coverage == pytest.approx(known.sum() / window.sum(), abs=0.02)
    assert found.effective < known.sum()
    assert not found.weights[~known].any()
    assert found.weights.sum() == pytest.approx(window.sum())
    return (
        float(right[known].mean()),
        float(np.average(right, weights=found.weights)),
        float(right[window].mean()),
    )


def test_weighted_labels_give_metrics_of_all() -> None:
    """The model is better on class 0, of which few labels are known."""
    runs = np.array([weighted(seed) for seed in range(30)])
    naive, ours = (runs[:, k] - runs[:, 2] for k in (0, 1))
    assert abs(ours.mean()) < 0.006
    assert np.sqrt((ours**2).mean()) < 0.02
    assert abs(naive.mean()) > 0.01


def test_weights_that_would_mislead_are_withheld() -> None:
    rows = World().draw(1)
    assert rows.timestamps is not None
    young = rows.timestamps >= World().now - 4 * DAY
    found = arrival_weights(rows, young, World().now, MATURITY, ("due",))
    assert "not yet identifiable" in found.reason
    assert not found.weights.any()
    short = rows.timestamps >= World().now - 16 * DAY
    unseen = arrival_weights(rows, short, World().now, MATURITY, ("due",))
    assert "of a class are rows of a kind" in unseen.reason
    assert unseen.support < 0.9
    nobody = arrival_weights(rows, young & False, World().now, MATURITY)
    assert nobody.reason == "there are no predictions to judge"


def test_numbers_are_weighted_by_size() -> None:
    """Large claims take longer, so the mean of those known is too small."""
    rng, n = np.random.default_rng(6), 4000
    claim = rng.exponential(10.0, n)
    made = np.sort(rng.uniform(0.0, 160.0, n))
    came = made + 1.0 + claim * 0.4
    moments, arrivals = (np.asarray(x * DAY, np.int64) for x in (made, came))
    rows = Predictions(
        Task.REGRESSION, (), 0.5, claim, claim, claim, pa.table({"x": made}), moments, arrivals
    )
    window = made > 140.0
    found = arrival_weights(rows, window, 160 * DAY, MATURITY)
    final, naive = claim[window].mean(), claim[window & (came <= 160.0)].mean()
    ours = np.average(claim, weights=found.weights)
    assert abs(ours - final) < 0.4 * abs(naive - final)


def test_labels_before_their_prediction_have_waited_nothing() -> None:
    one = np.array([1.0, 0.0])
    rows = Predictions(
        Task.BINARY, ("a", "b"), 0.5, one, one, one, pa.table({"x": one}),
        np.array([5 * DAY, 5 * DAY]), np.array([2 * DAY, 9 * DAY]),
    )  # fmt: skip
    seen = as_seen(rows, 6 * DAY, MATURITY).rows
    assert seen.delays.tolist() == [0, NEVER]


def test_strata_are_few_and_hold_every_row() -> None:
    n = 1000
    x = np.arange(n, dtype=float)
    x[:5] = np.nan
    table = pa.table({"number": x, "name": [f"n{i % 40}" for i in range(n)], "void": [None] * n})
    segments = pa.table({"shop": ["a", "b"] * (n // 2)})
    one = np.zeros(n)
    rows = Predictions(Task.REGRESSION, (), 0.5, one, one, one, table, segments=segments)
    assert np.bincount(strata_of(rows, ("number",)))[-1] == 5, "those without a number"
    assert np.unique(strata_of(rows, ("shop",))).size == 2
    assert np.unique(strata_of(rows, ("void",))).size == 1
    assert np.unique(strata_of(rows, ("number", "name"))).size == MOST_STRATA
    assert strata_of(rows, ()).max() == 0
    with pytest.raises(NotFoundError, match="colour"):
        strata_of(rows, ("colour",))
    with pytest.raises(DataError, match="times"):
        as_seen(rows, 0, MATURITY)
    with pytest.raises(ConfigError, match="maturity"):
        as_seen(World(rows=5).draw(1), 0, timedelta(0))


def test_a_number_column_without_a_number_is_one_stratum() -> None:
    one = np.zeros(3)
    table = pa.table({"x": pa.array([None] * 3, pa.float64())})
    rows = Predictions(Task.REGRESSION, (), 0.5, one, one, one, table)
    assert np.unique(strata_of(rows, ("x",))).size == 1


def test_without_labels_a_regression_has_one_class() -> None:
    none = np.full(3, np.nan)
    rows = Predictions(
        Task.REGRESSION, (), 0.5, none, none, none, pa.table({"x": none}),
        np.arange(3), np.full(3, NEVER),
    )  # fmt: skip
    assert as_seen(rows, 9, MATURITY).delays.labels.tolist() == [0]
