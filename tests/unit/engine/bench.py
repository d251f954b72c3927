"""Small makers that the engine's tests share."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.domain.model import ModelSpec
from homeostat.domain.record import LABEL_SCHEMA, prediction_schema
from homeostat.domain.verdict import Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.engine.watch import Watch, fresh
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryLog
from simulation.world import DAY, MODEL, START

TODAY = Window(START, START + DAY)


def verdict(
    monitor: Monitor,
    subject: str = "",
    status: Status = Status.DRIFT,
    *,
    score: float = 1.0,
    details: tuple[tuple[str, float], ...] = (),
) -> Verdict:
    return Verdict(
        monitor=monitor,
        model=MODEL,
        subject=subject,
        window=TODAY,
        status=status,
        score=score,
        effect_threshold=0.1,
        evidence=1e6,
        evidence_threshold=100.0,
        p_value=math.nan,
        n_reference=1000,
        n_current=100,
        reason=f"{monitor} {status}",
        details=details,
    )


def watch(now: datetime = START) -> Watch:
    return fresh(MODEL, "1", now, ("matured",))


def hours(count: float) -> timedelta:
    return timedelta(hours=count)


def logged(spec: ModelSpec, labels: NDArray[np.float64], **fields: object) -> MemoryLog:
    """Return a log of rows of the first day; a label of NaN has not come."""
    size = labels.size
    common: dict[str, object] = {
        "prediction_id": [str(number) for number in range(size)],
        "timestamp": [START + DAY / 2] * size,
        "version": ["1"] * size,
        "role": ["champion"] * size,
        "tier": ["model"] * size,
        "reason": [""] * size,
        "entity": [""] * size,
        "signal": np.zeros(size),
        "amount": np.ones(size),
    }
    common |= fields
    schema = prediction_schema(spec)
    columns = {field.name: common.get(field.name, pa.nulls(size, field.type)) for field in schema}
    log = MemoryLog(SimulatedClock(START + 10 * DAY))
    assert log.append(spec, pa.table(columns, schema=schema)).accepted == size
    tell(log, spec, labels, START + DAY)
    return log


def tell(log: MemoryLog, spec: ModelSpec, labels: NDArray[np.float64], at: datetime) -> None:
    known = np.flatnonzero(~np.isnan(labels))
    table = {
        "prediction_id": [str(number) for number in known],
        "label": labels[known],
        "arrival": [at] * known.size,
    }
    log.append_labels(spec, pa.table(table, schema=LABEL_SCHEMA))
