"""Whether a model became worth less, and whether its accuracy says the opposite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from homeostat.detectors.value.measure import MIN_ROWS, measure_value, value_columns
from homeostat.detectors.value.metric import Better, ValueMetric, parse_metric
from homeostat.domain.model import Task
from homeostat.domain.predictions import Predictions
from homeostat.stats import estimates
from homeostat.stats.estimates import Estimate


class Way(StrEnum):
    """Which way a figure went; a change whose interval holds 0 is none."""

    ROSE = "rose"
    FELL = "fell"
    STAYED = "stayed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Change:
    """A figure before and now.

    Attributes
    ----------
    name : str
    before, now : Estimate
    better : {"higher", "lower"}
    """

    name: str
    before: Estimate
    now: Estimate
    better: Better = "higher"

    @property
    def by(self) -> Estimate:
        """How much it rose, with a 95 % interval."""
        return estimates.difference(self.now, self.before)

    @property
    def way(self) -> Way:
        """Which way it went."""
        by = self.by
        if not by.bounded:
            return Way.UNKNOWN
        if by.lower > 0.0:
            return Way.ROSE
        return Way.FELL if by.upper < 0.0 else Way.STAYED

    @property
    def improved(self) -> bool:
        """Whether it went the better way."""
        return self.way is (Way.ROSE if self.better == "higher" else Way.FELL)

    @property
    def worsened(self) -> bool:
        """Whether it went the worse way."""
        return self.way is (Way.FELL if self.better == "higher" else Way.ROSE)

    def __str__(self) -> str:
        """Return it in words.

        Examples
        --------
        >>> print(Change("value", Estimate(2.0, 1.9, 2.1), Estimate(1.0, 0.9, 1.1)))
        value fell from 2 to 1 (by -1, 95 % interval -1.14 to -0.859)
        """
        steps = f"from {self.before.value:.3g} to {self.now.value:.3g}"
        if self.way is Way.UNKNOWN:
            return f"{self.name} went {steps}, on too few rows to tell"
        by = self.by
        reach = f"by {by.value:+.3g}, 95 % interval {by.lower:+.3g} to {by.upper:+.3g}"
        word = "changed by no more than chance, " if self.way is Way.STAYED else f"{self.way} "
        return f"{self.name} {word}{steps} ({reach})"


@dataclass(frozen=True, slots=True)
class Contrast:
    """What a model is worth beside how often it is right."""

    value: Change
    quality: Change

    @property
    def opposed(self) -> bool:
        """Whether the model got better by its quality and worse by its value, or the reverse."""
        value, quality = self.value, self.quality
        return (value.worsened and quality.improved) or (value.improved and quality.worsened)

    @property
    def text(self) -> str:
        """Both in a sentence.

        Examples
        --------
        >>> accuracy = Change("accuracy", Estimate(0.9, 0.89, 0.91), Estimate(0.95, 0.94, 0.96))
        >>> value = Change("value", Estimate(2.0, 1.9, 2.1), Estimate(1.0, 0.9, 1.1))
        >>> Contrast(value, accuracy).text.partition(": ")[0]
        'accuracy and value disagree'
        """
        both = f"{self.value}; {self.quality}"
        if not self.opposed:
            return both
        kind = "less" if self.value.worsened else "more"
        return f"{self.quality.name} and {self.value.name} disagree: {both}; it is worth {kind}"


def compare_value(
    reference: Predictions,
    current: Predictions,
    metrics: Mapping[str, str] | Sequence[ValueMetric],
    least: int = MIN_ROWS,
) -> tuple[Contrast, ...]:
    """Compare what a model is worth, and how often it is right, between two sets of rows.

    Parameters
    ----------
    reference, current : Predictions
        Independent rows of one model or of two.
    metrics : mapping of str to str, or sequence of ValueMetric
        As in `measure_value`; those of a mapping are better the higher they are.
    least : int
        Rows below which a figure has no interval.

    Returns
    -------
    tuple of Contrast
        One a metric; quality is accuracy, or mean absolute error for a regression.

    Raises
    ------
    ConfigError
        If a metric is none.
    """
    if isinstance(metrics, Mapping):
        columns = value_columns(reference)
        metrics = [parse_metric(name, text, columns) for name, text in metrics.items()]
    quality = _quality(reference, current)
    found = []
    for metric in metrics:
        before, now = (_overall(data, metric, least) for data in (reference, current))
        found.append(Contrast(Change(metric.name, before, now, metric.better), quality))
    return tuple(found)


def _overall(data: Predictions, metric: ValueMetric, least: int) -> Estimate:
    return measure_value(data, (metric,), least=least)[0].estimate


def _quality(reference: Predictions, current: Predictions) -> Change:
    before, now = _rightness(reference), _rightness(current)
    if reference.task is Task.REGRESSION:
        return Change("mean absolute error", before, now, "lower")
    return Change("accuracy", before, now)


def _rightness(data: Predictions) -> Estimate:
    known = data.known & ~np.isnan(data.predictions)
    said, true = data.predictions[known], data.labels[known]
    if data.task is Task.REGRESSION:
        return estimates.mean(np.abs(said - true))
    return estimates.rate(int((said == true).sum()), said.size)
