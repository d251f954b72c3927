"""What an arm has measured so far, as sums that add up over days, gateways and machines.

One row is one entity, however often it came: entities are what was dealt to arms, and their rows
depend on each other. An entity whose label is not known yet is assigned and in no metric.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from homeostat.rollout.experiment.design import Experiment, Kind, Metric
from homeostat.stats.bitbins import add_bins, count_column, left_edge
from homeostat.stats.moments import PairSums
from homeostat.stats.quantile_shift import Counted

Floats = NDArray[np.float64]

_LEAST = 1e-300  # below it a bin begins at 0
_MOST = 1e60  # squares of variances still fit into float64
_NO_BINS = np.empty(0, dtype=np.uint32)
_NO_COUNTS = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """Counts in bins of 0.8 % relative width (`homeostat.stats.bitbins`).

    Attributes
    ----------
    bins : ndarray of uint32, shape (k,)
    counts : ndarray of int64, shape (k,)
    """

    bins: NDArray[np.uint32] = field(default_factory=_NO_BINS.copy)
    counts: NDArray[np.int64] = field(default_factory=_NO_COUNTS.copy)

    def merge(self, other: Histogram) -> Histogram:
        """Put the rows of both together."""
        bins = np.concatenate((self.bins, other.bins))
        return Histogram(*add_bins(bins, np.concatenate((self.counts, other.counts))))

    @property
    def counted(self) -> Counted:
        """The sample, each value as the left edge of its bin."""
        return Counted(left_edge(self.bins), self.counts)


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One metric of one arm.

    Attributes
    ----------
    sums : PairSums
        Of the values (y) and their companions (x: denominators or covariates).
    histogram : Histogram
        Of latencies only.
    """

    sums: PairSums = field(default_factory=PairSums)
    histogram: Histogram = field(default_factory=Histogram)

    @property
    def n(self) -> int:
        """Entities measured."""
        return round(self.sums.n)

    def merge(self, other: Measured) -> Measured:
        """Put the entities of both together."""
        return Measured(self.sums + other.sums, self.histogram.merge(other.histogram))


NOTHING_MEASURED = Measured()


def measure(metric: Metric, values: ArrayLike, companions: ArrayLike | None = None) -> Measured:
    """Sum up one metric of some entities.

    Parameters
    ----------
    metric : Metric
    values : array_like, shape (n,)
        One an entity; NaN where the label is not known yet. 0 or 1 of a conversion or an error,
        positive of a latency.
    companions : array_like, shape (n,), optional
        Denominators of a ratio, at least 0; what a covariate was before the experiment.

    Raises
    ------
    ValueError
        If a value is none of its kind, or companions are missing, too many or not finite.

    Examples
    --------
    >>> measure(Metric("paid", Kind.CONVERSION), [1, 0, float("nan"), 0]).sums.n
    3.0
    """
    y = np.asarray(values, dtype=np.float64)
    x = _companions(metric, y, companions)
    known = ~np.isnan(y)
    y, x = y[known], x[known]
    _check_values(metric, y, x)
    sums = PairSums(
        float(y.size), float(y.sum()), float(y @ y), float(x.sum()), float(x @ x), float(x @ y)
    )
    if metric.kind is not Kind.LATENCY or not y.size:
        return Measured(sums)
    return Measured(sums, Histogram(*count_column(np.ascontiguousarray(y))))


def _companions(metric: Metric, y: Floats, companions: ArrayLike | None) -> Floats:
    needed = metric.covariate or metric.kind is Kind.RATIO
    if (companions is not None) != needed:
        what = "denominators or a covariate" if needed else "no companions"
        raise ValueError(f"{metric.name} takes {what}, one an entity")
    x = np.zeros_like(y) if companions is None else np.asarray(companions, dtype=np.float64)
    if y.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"{metric.name} takes one value an entity, and one companion each")
    return x


def _check_values(metric: Metric, y: Floats, x: Floats) -> None:
    if not ((np.abs(y) <= _MOST).all() and (np.abs(x) <= _MOST).all()):
        raise ValueError(
            f"values of {metric.name} are finite, at most {_MOST:g}, or NaN where not known yet"
        )
    if metric.binary and not ((y == 0.0) | (y == 1.0)).all():
        raise ValueError(f"{metric.name} is 0 or 1 for each entity")
    if metric.kind is Kind.LATENCY and not (y > _LEAST).all():
        raise ValueError(f"latencies of {metric.name} are positive")
    if metric.kind is Kind.RATIO and not (x >= 0.0).all():
        raise ValueError(f"denominators of {metric.name} are at least 0")


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """One arm, or a part of it: a segment, a day, a gateway.

    Attributes
    ----------
    assigned : int
        Entities that the arm was dealt and whose labels are due by now, measured or not. Leave
        out those that are too young, in every arm alike.
    metrics : mapping of name to Measured
    """

    assigned: int = 0
    metrics: Mapping[str, Measured] = field(default_factory=dict)

    def of(self, metric: Metric) -> Measured:
        """Return what is known of a metric, which may be nothing."""
        return self.metrics.get(metric.name, NOTHING_MEASURED)

    def merge(self, other: Tally) -> Tally:
        """Put the entities of both together; each must be in one of them only.

        Examples
        --------
        >>> paid = Metric("paid", Kind.CONVERSION)
        >>> day = Tally(2, {"paid": measure(paid, [1, 0])})
        >>> both = day.merge(day)
        >>> both.assigned, both.of(paid).sums.y
        (4, 2.0)
        """
        names = self.metrics.keys() | other.metrics.keys()
        merged = {
            name: self.metrics.get(name, NOTHING_MEASURED).merge(
                other.metrics.get(name, NOTHING_MEASURED)
            )
            for name in sorted(names)
        }
        return Tally(self.assigned + other.assigned, merged)


def check_tallies(experiment: Experiment, tallies: Mapping[str, Tally]) -> None:
    """Refuse tallies that are not of this experiment.

    Raises
    ------
    ValueError
        If an arm or metric is unknown, more entities are measured than were assigned, or sums are
        none of rows of their kind.
    """
    strange = sorted(tallies.keys() - set(experiment.arms))
    if strange:
        raise ValueError(f"{experiment.name} has no arm {strange[0]!r}; it has {experiment.arms}")
    known = {metric.name: metric for metric in experiment.metrics}
    for arm, tally in tallies.items():
        for name, measured in tally.metrics.items():
            if name not in known:
                raise ValueError(f"{experiment.name} has no metric {name!r}; it has {[*known]}")
            _check_sums(known[name], measured, arm)
            if measured.n > tally.assigned:
                raise ValueError(
                    f"{arm} was dealt {tally.assigned} entities, but {measured.n} have {name}:"
                    " count each entity once"
                )


def _check_sums(metric: Metric, measured: Measured, arm: str) -> None:
    """Refuse sums, as from a warehouse, that no rows could have."""
    sums = measured.sums
    parts = (sums.n, sums.y, sums.yy, sums.x, sums.xx, sums.xy)
    fits = sum(map(abs, parts)) <= _MOST**2 * max(1.0, sums.n)  # and none is NaN
    fits = fits and min(sums.n, sums.yy, sums.xx) >= 0.0
    if metric.binary:
        fits = fits and 0.0 <= sums.y <= sums.n and sums.yy == sums.y
    if metric.kind is Kind.LATENCY:
        fits = fits and int(measured.histogram.counts.sum()) == measured.n
    if not fits:
        raise ValueError(f"the sums of {metric.name} of {arm} are of no rows: {parts}")
