"""Whether the measuring itself is sound: an experiment of the control against itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.rollout.experiment.design import Experiment, Kind, Metric
from homeostat.rollout.experiment.effects import figures_of
from homeostat.rollout.experiment.tally import Tally
from homeostat.stats.difference import difference, welch_p
from homeostat.stats.intervals import NAN, Interval, wilson
from homeostat.stats.moments import PairSums

NEEDED = 20
"""Buckets below which halves are too much alike to learn from."""


@dataclass(frozen=True, slots=True)
class SelfTest:
    """How often halves of the control differ on one metric.

    Attributes
    ----------
    metric : str
    rate : float
        Share of the random halvings in which they differ at the experiment's alpha; NaN if it could
        not be tried.
    interval : Interval
        95 %, of the rate.
    sound : bool
        Whether the rate may be the alpha, or less.
    reason : str
    """

    metric: str
    rate: float
    interval: Interval
    sound: bool
    reason: str


def self_test(
    experiment: Experiment, buckets: Sequence[Tally], rng: np.random.Generator, runs: int = 400
) -> tuple[SelfTest, ...]:
    """Split the control at random again and again, and count how often its halves differ.

    They should at the rate alpha. More says that rows are not independent as assumed (an entity
    with several rows in a tally, entities that influence each other), or that its error is taken
    for too small in another way: then no result of this metric is worth anything. Run it before the
    experiment.

    Parameters
    ----------
    experiment : Experiment
    buckets : sequence of Tally
        The control in parts that arms would have got whole: by a hash of the entity, a hundred or
        more of about the same size.
    rng : Generator
    runs : int
        Random halvings.

    Returns
    -------
    tuple of SelfTest
        One a metric; latencies are left out, whose test assumes nothing but independence.

    Examples
    --------
    >>> from homeostat.rollout.experiment.tally import measure
    >>> paid = Metric("paid", Kind.CONVERSION)
    >>> design = Experiment("checkout", ("v7", "v8"), (paid,), 10_000)
    >>> rng = np.random.default_rng(0)
    >>> parts = [Tally(50, {"paid": measure(paid, rng.random(50) < 0.2)}) for _ in range(200)]
    >>> self_test(design, parts, rng)[0].sound
    True
    """
    if len(buckets) < NEEDED:
        raise ValueError(f"{len(buckets)} buckets are too few, {NEEDED} are needed; 100 are better")
    order = np.argsort(rng.random((runs, len(buckets))), axis=1)
    halves = order < len(buckets) // 2
    return tuple(
        _try(experiment, metric, buckets, halves)
        for metric in experiment.metrics
        if metric.kind is not Kind.LATENCY
    )


def _try(
    experiment: Experiment,
    metric: Metric,
    buckets: Sequence[Tally],
    halves: NDArray[np.bool_],
) -> SelfTest:
    each = [bucket.of(metric).sums for bucket in buckets]
    table = np.array([[s.n, s.y, s.yy, s.x, s.xx, s.xy] for s in each])
    first = halves @ table
    p_values = np.array(
        [
            welch_p(difference(*figures_of(metric, PairSums(*one), PairSums(*two))))
            for one, two in zip(first.tolist(), (table.sum(axis=0) - first).tolist(), strict=True)
        ]
    )
    tried = int(np.count_nonzero(~np.isnan(p_values)))
    if not tried:
        return SelfTest(metric.name, NAN, Interval(NAN, NAN), sound=False, reason="nothing varies")
    found = int(np.count_nonzero(p_values <= experiment.alpha))
    interval = wilson(found, tried)
    rate, alpha = found / tried, experiment.alpha
    sound = interval.lower <= alpha
    due = f"{100 * alpha:g} % are due"
    reason = f"halves of the control differ in {100 * rate:.3g} % of splits, {due}"
    if not sound:
        reason += ": count each entity once, and look for entities that influence each other"
    return SelfTest(metric.name, rate, interval, sound, reason)
