"""An experiment rehearsed on the past, in which nothing was different: how often it would ship.

Entities of the past are dealt out at random as the experiment would deal them, looked at as often
as it would be, and judged by the same rule. Whatever ships is a false alarm of the whole
instrument, so its rate is an upper limit of what the owner accepts (``alpha``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.rollout.experiment.analyse import analyse
from homeostat.rollout.experiment.design import Experiment, Kind, Metric
from homeostat.rollout.experiment.report import Decision
from homeostat.rollout.experiment.tally import Histogram, Measured, Tally
from homeostat.stats.bitbins import bin_of
from homeostat.stats.intervals import Interval, wilson
from homeostat.stats.moments import PairSums

Floats = NDArray[np.float64]
Figures = Mapping[str, tuple[Floats, Floats | None]]


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What random splits of the past led to.

    Attributes
    ----------
    runs, looks, entities : int
        Splits, looks at each of them, and entities.
    shipped, stopped : int
        Splits in which an arm was to ship, or was taken back.
    interval : Interval
        95 %, of the rate at which it ships.
    alpha : float
    sound : bool
        Whether the rate may be `alpha`, or less.
    """

    runs: int
    looks: int
    entities: int
    shipped: int
    stopped: int
    interval: Interval
    alpha: float
    sound: bool

    @property
    def rate(self) -> float:
        """Share of the splits that shipped."""
        return self.shipped / self.runs


def rehearse(
    design: Experiment,
    figures: Figures,
    looks: Sequence[int],
    rng: np.random.Generator,
    runs: int = 200,
) -> Rehearsal:
    """Deal the past out at random, again and again, and count what ships.

    Parameters
    ----------
    design : Experiment
    figures : mapping of metric to (values, companions)
        Of entities in the order in which they were met, shape (n,) each; NaN: not known.
    looks : sequence of int
        How many of them had been met at each look, rising.
    rng : Generator
    runs : int

    Raises
    ------
    ValueError
        If there are no entities.

    Examples
    --------
    >>> paid = Metric("paid", Kind.CONVERSION)
    >>> design = Experiment("checkout", ("v7", "v8"), (paid,), 2000, shares=(0.5, 0.5))
    >>> rng = np.random.default_rng(0)
    >>> past = {"paid": ((rng.random(2000) < 0.2).astype(float), None)}
    >>> rehearse(design, past, [500, 1000, 2000], rng, runs=20).sound
    True
    """
    n = looks[-1] if looks else 0
    if not n:
        raise ValueError("there are no entities to deal out")
    parts = [_Part(metric, *figures[metric.name], n) for metric in design.metrics]
    bounds = np.cumsum(list(design.share_of.values()))[:-1]
    shipped = stopped = 0
    for _ in range(runs):
        dealt = np.searchsorted(bounds, rng.random(n), side="right")
        found = _first(design, parts, dealt, looks)
        shipped += found is Decision.SHIP
        stopped += found is Decision.STOP
    interval = wilson(shipped, runs)
    sound = interval.lower <= design.alpha
    return Rehearsal(runs, len(looks), n, shipped, stopped, interval, design.alpha, sound)


def _first(
    design: Experiment, parts: Sequence[_Part], dealt: NDArray[np.intp], looks: Sequence[int]
) -> Decision:
    """Return the first decision that ends it."""
    decision = Decision.NO_DATA
    for size in looks:
        arms = dealt[:size]
        counts = np.bincount(arms, minlength=len(design.arms)).tolist()
        measured = {part.name: part.measured(arms, len(counts)) for part in parts}
        tallies = {
            arm: Tally(count, {name: found[place] for name, found in measured.items()})
            for place, (arm, count) in enumerate(zip(design.arms, counts, strict=True))
        }
        decision = analyse(design, tallies).decision
        if decision in {Decision.SHIP, Decision.STOP}:
            break
    return decision


class _Part:
    """One metric of entities, ready to be summed up by arm."""

    def __init__(self, metric: Metric, values: Floats, companions: Floats | None, n: int) -> None:
        self.name = metric.name
        y = values[:n]
        known = ~np.isnan(y)
        y = np.where(known, y, 0.0)
        x = np.where(known, np.zeros(n) if companions is None else companions[:n], 0.0)
        self._terms = (known.astype(np.float64), y, y * y, x, x * x, x * y)
        self._bins = np.empty(0, dtype=np.uint32)
        self._places = np.full(n, -1, dtype=np.int64)
        if metric.kind is Kind.LATENCY:
            self._bins, self._places[known] = np.unique(bin_of(y[known]), return_inverse=True)

    def measured(self, arms: NDArray[np.intp], count: int) -> list[Measured]:
        """Sum up the first entities by arm."""
        size = arms.size
        sums = [np.bincount(arms, term[:size], count) for term in self._terms]
        return [
            Measured(PairSums(*(float(s[arm]) for s in sums)), self._histogram(arms == arm, size))
            for arm in range(count)
        ]

    def _histogram(self, mine: NDArray[np.bool_], size: int) -> Histogram:
        if not self._bins.size:
            return Histogram()
        places = self._places[:size][mine]
        counts = np.bincount(places[places >= 0], minlength=self._bins.size)
        return Histogram(self._bins[counts > 0], counts[counts > 0])
