"""An experiment rehearsed on the past, in which nothing was different: how often it would ship.

Entities of the past are dealt out at random as the experiment would deal them, looked at as often
as it would be, and judged by the same rule. Whatever ships is a false alarm of the whole
instrument, so its rate is an upper limit of what the owner accepts (``alpha``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    # The look at which each entity is there for the first time.
    seen = np.searchsorted(np.asarray(looks), np.arange(n), side="right")
    parts = [_Part(metric, *figures[metric.name], n) for metric in design.metrics]
    bounds = np.cumsum(list(design.share_of.values()))[:-1]
    shipped = stopped = 0
    for _ in range(runs):
        dealt = np.searchsorted(bounds, rng.random(n), side="right")
        found = _first(design, parts, seen * len(design.arms) + dealt, len(looks))
        shipped += found is Decision.SHIP
        stopped += found is Decision.STOP
    interval = wilson(shipped, runs)
    sound = interval.lower <= design.alpha
    return Rehearsal(runs, len(looks), n, shipped, stopped, interval, design.alpha, sound)


def _first(
    design: Experiment, parts: Sequence[_Part], cells: NDArray[np.intp], looks: int
) -> Decision:
    """Return the first decision that ends it; a cell is a look and an arm."""
    shape = (looks, len(design.arms))
    counts = np.bincount(cells, minlength=looks * shape[1]).reshape(shape).cumsum(axis=0)
    measured = {part.name: part.measured(cells, shape) for part in parts}
    decision = Decision.NO_DATA
    for look, sizes in enumerate(counts.tolist()):
        tallies = {
            arm: Tally(size, {name: of(look, place) for name, of in measured.items()})
            for place, (arm, size) in enumerate(zip(design.arms, sizes, strict=True))
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

    def measured(
        self, cells: NDArray[np.intp], shape: tuple[int, int]
    ) -> Callable[[int, int], Measured]:
        """Sum up by look and arm, with those of the looks before; return what gives one of them."""
        size = shape[0] * shape[1]
        sums = [
            np.bincount(cells, term, size).reshape(shape).cumsum(axis=0) for term in self._terms
        ]
        bins = self._bins
        known = self._places >= 0
        places = cells[known] * bins.size + self._places[known]
        counts = np.bincount(places, minlength=size * bins.size)
        counts = counts.reshape(*shape, bins.size).cumsum(axis=0)

        def of(look: int, arm: int) -> Measured:
            there = counts[look, arm]
            histogram = Histogram(bins[there > 0], there[there > 0])
            return Measured(PairSums(*(float(each[look, arm]) for each in sums)), histogram)

        return of
