"""Performance without labels, from a binary model's own confidence."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from homeostat.domain.model import ModelSpec, Task
from homeostat.domain.verdict import MetricPoint
from homeostat.domain.window import Window
from homeostat.stats import intervals


def estimate(
    spec: ModelSpec, version: str, window: Window, scores: ArrayLike
) -> tuple[MetricPoint, ...]:
    """Estimate the accuracy that a binary model has if its scores are calibrated.

    A row predicted positive with probability p is right with probability p, one predicted negative
    with probability 1 - p; the estimate is the mean of these, without a label. It sees a change of
    the inputs, not one of what they mean.

    Parameters
    ----------
    spec : ModelSpec
    version : str
    window : Window
    scores : array_like
        Shape (n,), probabilities; rows outside [0, 1] or NaN are left out.

    Returns
    -------
    tuple of MetricPoint
        ``estimated_accuracy`` and its 95 % interval; empty for other tasks or under two rows.

    Examples
    --------
    >>> from datetime import UTC, datetime, timedelta
    >>> from homeostat.domain.model import LabelSpec, Schema
    >>> spec = ModelSpec("fraud", Task.BINARY, Schema(()), LabelSpec(timedelta(days=30)))
    >>> day = Window(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC))
    >>> [round(point.value, 3) for point in estimate(spec, "v1", day, [0.9, 0.9, 0.1, 0.3])]
    [0.85]
    """
    given = np.asarray(scores, dtype=np.float64)
    given = given[(given >= 0.0) & (given <= 1.0)]
    if spec.task is not Task.BINARY or given.size < 2:
        return ()
    right = np.where(given >= spec.threshold, given, 1.0 - given)
    value = float(right.mean())
    # The outcome varies around its probability as well as the probability from row to row.
    error = math.sqrt(value * (1.0 - value) / given.size)
    found = intervals.normal(value, error)
    return (
        MetricPoint(
            model=spec.name,
            version=version,
            name="estimated_accuracy",
            window=window,
            value=value,
            lower=max(0.0, found.lower),
            upper=min(1.0, found.upper),
            n=int(given.size),
            coverage=0.0,
        ),
    )
