"""By what the policies of a backtest are compared, month by month."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.domain.columns import micros
from homeostat.domain.model import ModelSpec, Task
from homeostat.domain.predictions import to_micros
from homeostat.domain.window import EPOCH, Window
from homeostat.stats import metrics

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Month:
    """Figures of one month (or of all: ``month`` is ``"all"``) by policy and metric."""

    month: str
    rows: int
    mean_label: float
    figures: Mapping[str, Mapping[str, float]]


def figures(spec: ModelSpec, scores: Floats, labels: Floats) -> dict[str, float]:
    """Return the metrics by which policies are compared; NaN where one is undefined."""
    if not scores.size:
        return {}
    if spec.task is Task.REGRESSION:
        return {"mae": metrics.mae(labels, scores), "rmse": metrics.rmse(labels, scores)}
    if spec.task is Task.MULTICLASS:
        return {"accuracy": float((scores == labels).mean())}
    return {
        "auc": metrics.auc(labels, scores),
        "brier": metrics.brier(labels, scores),
        "mean_score": float(scores.mean()),
    }


def months(start: datetime, end: datetime) -> Iterator[Window]:
    """Yield the calendar months of a period; the first and last may be cut.

    Examples
    --------
    >>> from datetime import UTC
    >>> period = months(datetime(2024, 1, 15, tzinfo=UTC), datetime(2024, 2, 10, tzinfo=UTC))
    >>> [str(month) for month in period]
    ['2024-01-15T00:00/2024-02-01T00:00', '2024-02-01T00:00/2024-02-10T00:00']
    """
    while start < end:
        following = (start.replace(day=1) + timedelta(days=32)).replace(
            day=1, hour=0, minute=0, second=0, microsecond=0
        )
        yield Window(start, min(following, end))
        start = following


def by_month(spec: ModelSpec, live: pa.Table, answers: Mapping[str, Floats]) -> Iterator[Month]:
    """Yield the figures of each month that has labels, and of all of them last."""
    stamps = micros(live, "timestamp")
    labels = labels_of(live)
    first = EPOCH + timedelta(microseconds=int(stamps[0]))
    last = EPOCH + timedelta(microseconds=int(stamps[-1]) + 1)
    spans = [(f"{m.start:%Y-%m}", m) for m in months(first, last)]
    for name, window in [*spans, ("all", Window(first, last))]:
        low, high = np.searchsorted(stamps, [to_micros(window.start), to_micros(window.end)])
        known = np.flatnonzero(np.isfinite(labels[low:high])) + low
        if not known.size:
            continue
        found = {
            policy: figures(spec, scores[known], labels[known])
            for policy, scores in answers.items()
        }
        yield Month(name, int(known.size), float(labels[known].mean()), found)


def labels_of(rows: pa.Table) -> Floats:
    """Return the labels of a history; NaN where there is none."""
    return np.asarray(rows["label"].to_numpy(zero_copy_only=False), dtype=np.float64)
