"""Which metrics are written, and what values they can take."""

from __future__ import annotations

import math

from homeostat.detectors.estimation.estimate import IDENTIFIABLE
from homeostat.detectors.performance.realized import NAMES
from homeostat.detectors.value.metric import Kind, ValueMetric
from homeostat.domain.model import Task
from homeostat.engine.estimates import PREFIX

OWN = frozenset(name for names in NAMES.values() for name in names)
"""Names that a business metric may not have; nor may it begin with `PREFIX`."""

FREE = (-math.inf, math.inf)
_RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("log_loss", "mae", "rmse", "mse", "mape", "wape", "pinball"), (0.0, math.inf)),
    "mcc": (-1.0, 1.0),
    "r2": (-math.inf, 1.0),
}


def written(task: Task) -> tuple[str, ...]:
    """Return the metrics of a task that are written per window, measured or estimated.

    Examples
    --------
    >>> [name for name in written(Task.REGRESSION) if name.startswith("estimated_")]
    ['estimated_mae', 'estimated_rmse', 'estimated_mse', 'estimated_mape']
    """
    return (*NAMES[task], *(PREFIX + name for name in IDENTIFIABLE[task]))


def limits(task: Task, metric: str) -> tuple[float, float]:
    """Return the least and greatest value that a written metric can have.

    Examples
    --------
    >>> limits(Task.BINARY, "estimated_auc"), limits(Task.REGRESSION, "bias")
    ((0.0, 1.0), (-inf, inf))
    """
    name = metric.removeprefix(PREFIX)
    if name == "bias":
        return FREE if task is Task.REGRESSION else (-1.0, 1.0)
    if name == "brier":
        return 0.0, 2.0 if task is Task.MULTICLASS else 1.0
    return _RANGES.get(name, (0.0, 1.0))


def worth(metric: ValueMetric) -> tuple[float, float]:
    """Return the least and greatest value that a business metric can have, as far as is known."""
    return (0.0, 1.0) if metric.kind is Kind.RATE else FREE


def useless(
    span: tuple[float, float], above: float | None, below: float | None
) -> tuple[str, str] | None:
    """Return which of two limits can never alarm, or always does, and why; None if neither.

    Examples
    --------
    >>> useless((0.0, 1.0), None, 80.0)
    ('below', 'every value lies below 80: it is 0 to 1, and the alarm would always be on')
    >>> useless((0.0, 1.0), 1.0, None)
    ('above', 'no value lies above 1: it is 0 to 1, and there would never be an alarm')
    """
    low, high = span
    known = f"it is {low:g} to {high:g}"
    for side, limit, never, always in (
        ("above", above, above is not None and above >= high, above is not None and above < low),
        ("below", below, below is not None and below <= low, below is not None and below > high),
    ):
        if never:
            return (
                side,
                f"no value lies {side} {limit:g}: {known}, and there would never be an alarm",
            )
        if always:
            return (
                side,
                f"every value lies {side} {limit:g}: {known}, and the alarm would always be on",
            )
    return None
