"""Tallies as values that records keep."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from homeostat.rollout.experiment.tally import Histogram, Measured, Tally
from homeostat.stats.moments import PairSums


@dataclass(frozen=True, slots=True)
class StoredMetric:
    """One metric of one arm: its sums, and the bins of a latency."""

    name: str
    sums: PairSums
    bins: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Stored:
    """A tally of one arm, of all its entities or of a segment's."""

    arm: str
    assigned: int = 0
    metrics: tuple[StoredMetric, ...] = ()
    segment: str = ""

    @property
    def tally(self) -> Tally:
        """What was stored."""
        return Tally(
            self.assigned,
            {
                each.name: Measured(
                    each.sums,
                    Histogram(np.array(each.bins, np.uint32), np.array(each.counts, np.int64)),
                )
                for each in self.metrics
            },
        )


def store(arm: str, tally: Tally, segment: str = "") -> Stored:
    """Return a tally as records keep it.

    Examples
    --------
    >>> from homeostat.rollout.experiment.design import Kind, Metric
    >>> from homeostat.rollout.experiment.tally import measure
    >>> slow = Metric("slow", Kind.LATENCY)
    >>> kept = store("v7", Tally(3, {"slow": measure(slow, [20.0, 20.0, 40.0])}))
    >>> kept.metrics[0].counts, kept.tally.of(slow).n
    ((2, 1), 3)
    """
    return Stored(
        arm,
        tally.assigned,
        tuple(
            StoredMetric(
                name,
                measured.sums,
                tuple(measured.histogram.bins.tolist()),
                tuple(measured.histogram.counts.tolist()),
            )
            for name, measured in tally.metrics.items()
        ),
        segment,
    )
