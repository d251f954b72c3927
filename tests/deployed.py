"""A deployment whose prediction log has been through a few things, for jobs that read it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa

from homeostat.adapters.predlog.log import FilePredictionLog
from homeostat.adapters.records.database import DatabaseRecords
from homeostat.domain.columns import micros
from homeostat.domain.model import ModelSpec
from homeostat.domain.record import LABEL_SCHEMA, TIMESTAMP
from homeostat.entrypoints.settings import Settings, load
from homeostat.simulation.clock import SimulatedClock

Times: TypeAlias = "pa.Array[pa.Scalar[pa.TimestampType[Literal['us'], str]]]"
MONDAY = datetime(2026, 10, 5, tzinfo=UTC)
NOW = MONDAY + timedelta(days=10)
BEFORE = """\
models:
  - name: fraud
    task: binary
    classes: [legitimate, fraud]
    features: {amount.net: numeric, country: categorical}
    labels: {maturity: 1d}
"""
CONFIG = BEFORE.replace(
    "country: categorical}", "country: categorical, new: boolean}\n    segments: [country]"
)


def rows(day: int, count: int, seed: int, *, new: bool = True) -> pa.Table:
    """Return predictions of a day: of two versions, shadows and fallbacks among them."""
    rng = np.random.default_rng([seed, day])
    at = MONDAY + timedelta(days=day)
    times = [at + timedelta(seconds=int(s)) for s in rng.integers(0, 86_400, count)]
    scores = rng.beta(1, 4, count).round(3)
    columns = {
        "prediction_id": pa.array([f"{seed}-{day}-{row}" for row in range(count)]),
        "timestamp": pa.array(times, TIMESTAMP),
        "version": pa.array(rng.choice(["1", "2"], count)),
        "role": pa.array(rng.choice(["champion", "shadow"], count, p=[0.8, 0.2])),
        "tier": pa.array(rng.choice(["model", "default"], count, p=[0.9, 0.1])),
        "reason": pa.array([""] * count),
        "entity": pa.array([""] * count),
        "score": pa.array(scores),
        "prediction": pa.array((scores >= 0.5) * 1.0),
        "latency_ms": pa.array(rng.random(count)),
        "amount.net": pa.array(rng.lognormal(3, 1, count), mask=rng.random(count) < 0.1),
        "country": pa.array(np.array(["DE", "FR", None])[rng.integers(0, 3, count)]),
    }
    if new:
        columns["new"] = pa.array(rng.random(count) < 0.3)
    return pa.table(columns)


def later(table: pa.Table, name: str, delay: timedelta) -> Times:
    """Return the times of a column, so much later."""
    moments = micros(table, name) + delay // timedelta(microseconds=1)
    return pa.array(moments, TIMESTAMP)


def told(predictions: pa.Table, seed: int, delay: timedelta) -> pa.Table:
    """Return labels of three quarters of the predictions."""
    rng = np.random.default_rng(seed)
    kept = predictions.filter(pa.array(rng.random(len(predictions)) < 0.75))
    scores = kept["score"].to_numpy()
    return pa.table(
        {
            "prediction_id": kept["prediction_id"].combine_chunks(),
            "label": pa.array((rng.random(len(kept)) < scores) * 1.0),
            "arrival": later(kept, "timestamp", delay),
        },
        schema=LABEL_SCHEMA,
    )


def other(labels: pa.Table, share: int, delay: timedelta, *, wrong: bool) -> pa.Table:
    """Return some of the labels once more, later: corrected, or only repeated."""
    kept = labels.take(np.arange(0, len(labels), share))
    values = 1.0 - kept["label"].to_numpy() if wrong else kept["label"].to_numpy()
    columns = [kept["prediction_id"], pa.array(values), later(kept, "arrival", delay)]
    return pa.Table.from_arrays(columns, schema=LABEL_SCHEMA)


def fill(log: FilePredictionLog, before: ModelSpec, spec: ModelSpec, count: int) -> None:
    """Log three days and their labels: rolled, settled, merged, and a rest that only landed."""
    hour = timedelta(hours=1)
    first = rows(0, count, 1, new=False)
    log.append(before, first)
    log.roll(NOW)
    labels = told(first, 11, 2 * hour)
    log.append_labels(spec, labels)
    log.append_labels(spec, other(labels, 3, hour, wrong=True))
    for day in (0, 1, 2):
        some = rows(day, count, 2)
        log.append(spec, some[: count // 2])
        log.roll(NOW)
        log.append(spec, some[count // 2 :])
        labels = told(some, 20 + day, 12 * hour)
        log.append_labels(spec, labels)
        log.append_labels(spec, other(labels, 5, 2 * hour, wrong=False))
        log.append_labels(spec, other(labels, 7, 3 * hour, wrong=True))
        log.roll(NOW)
    # What is merged stays on disk for a while beside the files that hold it now.
    log.tidy(NOW, eager=True)
    rest = rows(2, count // 4, 3)
    log.append(spec, rest)
    log.append_labels(spec, told(rest, 30, hour))
    log.append_labels(spec, other(told(rows(0, count, 2), 20, 12 * hour), 4, 5 * hour, wrong=True))


def deploy(folder: Path, count: int = 400) -> Path:
    """Make a deployment in a folder; return its configuration."""
    config = folder / "homeostat.yaml"
    config.write_text(BEFORE)
    before = load(config)
    config.write_text(CONFIG)
    settings = load(config)
    log, records = opened(settings)
    fill(log, before.model().spec(), settings.model().spec(), count)
    log.close()
    records.close()
    return config


def opened(settings: Settings) -> tuple[FilePredictionLog, DatabaseRecords]:
    """Open a deployment's log as of `NOW`."""
    records = DatabaseRecords(settings.records_url({}), SimulatedClock(NOW))
    return FilePredictionLog(settings.log_folder, records, settle_rows=500), records
