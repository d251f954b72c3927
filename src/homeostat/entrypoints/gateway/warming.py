"""The first calls of a version: whether it answers at all, and how fast."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from homeostat.adapters.models import Predictor
from homeostat.domain.model import ModelSpec
from homeostat.domain.record import feature_schema
from homeostat.entrypoints.gateway.predicting import FromRows, answers

QUICK_SECONDS = 0.001  # longer than that, a model must not keep the event loop
QUICK_TRIES = 5


def warm_up(spec: ModelSpec, predictor: Predictor) -> None:
    """Ask a version for one empty row; raises what it raises."""
    fields = feature_schema(spec)
    row = pa.table({item.name: pa.nulls(1, item.type) for item in fields}, schema=fields)
    answers(spec, predictor, row)


def is_quick(spec: ModelSpec, from_rows: FromRows, monotonic: Callable[[], float]) -> bool:
    """Whether a version may answer a few rows in the event loop; raises what it raises."""
    # On the way that a small request takes: a table of one row costs more than most models.
    row, times = (None,) * len(feature_schema(spec)), []
    for _ in range(QUICK_TRIES):
        started = monotonic()
        from_rows([row])
        times.append(monotonic() - started)
    return min(times) < QUICK_SECONDS
