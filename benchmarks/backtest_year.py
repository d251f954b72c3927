"""Time and memory of a backtest of a year: a million predictions, 35 features, daily windows.

The model is served elsewhere: nothing is trained. Half of the features drift at the end of the
ninth month, when the model begins to be wrong. Prints the seconds, the peak of the resident set,
and the SHA-256 of the decisions, which does not change while what is decided does not.

    python benchmarks/backtest_year.py [--rows 1000000] [--days 365] [--seed 1] [--profile FILE]
"""

from __future__ import annotations

import argparse
import cProfile
import hashlib
import json
import resource
import tempfile
import time
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from homeostat.entrypoints.backtest import Backtest
from homeostat.entrypoints.history import read_history
from homeostat.entrypoints.settings import load

START = datetime(2025, 1, 1, tzinfo=UTC)
NUMERIC, CATEGORICAL = 25, 10
DAY_IN_MICROS = 86_400_000_000


def world(rows: int, days: int, seed: int) -> pa.Table:
    """Return the history; labels come one to three days later."""
    rng = np.random.default_rng(seed)
    first = (START - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    made = np.sort(rng.integers(0, days * DAY_IN_MICROS, rows))
    late = made > 0.75 * days * DAY_IN_MICROS
    columns: dict[str, pa.Array] = {
        "id": pa.array([f"p{i}" for i in range(rows)]),
        "timestamp": pa.array(first + made, pa.timestamp("us", "UTC")),
    }
    logit = np.zeros(rows)
    for i in range(NUMERIC):
        x = rng.normal(size=rows)
        logit += x * (0.6 if i < 5 else 0.1)
        columns[f"n{i}"] = pa.array(x + 0.4 * late if i % 2 else x)
    kinds = np.array([f"k{j}" for j in range(8)])
    for i in range(CATEGORICAL):
        columns[f"c{i}"] = pa.array(kinds[rng.choice(8, rows, p=np.arange(8, 0, -1) / 36)])
    score = 1.0 / (1.0 + np.exp(-logit))
    truth = np.where(late, 0.5 * score + 0.25, score)
    columns["p"] = pa.array(score)
    columns["label"] = pa.array((rng.random(rows) < truth).astype(np.int8))
    known = first + made + (rng.uniform(1, 3, rows) * DAY_IN_MICROS).astype(np.int64)
    columns["label_timestamp"] = pa.array(known, pa.timestamp("us", "UTC"))
    return pa.table(columns)


def written(folder: Path, rows: int, days: int, seed: int) -> None:
    """Write homeostat.yaml and history.parquet."""
    features = [f"n{i}: numeric" for i in range(NUMERIC)]
    features += [f"c{i}: categorical" for i in range(CATEGORICAL)]
    (folder / "homeostat.yaml").write_text(
        "models:\n  - name: year\n    task: binary\n"
        f"    features: {{{', '.join(features)}}}\n"
        "    history: {id: id, score: p}\n    labels: {maturity: 3d}\n"
        "    monitors:\n"
        + "".join(
            f"      {name}: {{window: 1d}}\n"
            for name in ("drift", "quality", "volume", "performance")
        )
    )
    pq.write_table(world(rows, days, seed), folder / "history.parquet")


def main() -> None:
    """Make the history, live through it, and print what it took."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rows", type=int, default=1_000_000)
    asked.add_argument("--days", type=int, default=365)
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--folder", type=Path, help="keep the history here, and read it if there")
    asked.add_argument("--profile", type=Path)
    given = asked.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        if not (folder / "history.parquet").exists():
            folder.mkdir(parents=True, exist_ok=True)
            written(folder, given.rows, given.days, given.seed)
        profiler = cProfile.Profile()
        begun, busy = time.perf_counter(), time.process_time()
        if given.profile:
            profiler.enable()
        settings = load(folder / "homeostat.yaml")
        rows = read_history(settings, "year", folder / "history.parquet")
        read = time.perf_counter() - begun
        start = START + timedelta(days=given.days // 12)
        result = Backtest(settings, "year", rows, start, Path(scratch)).run()
        took = time.perf_counter() - begun
        if given.profile:
            profiler.disable()
            profiler.dump_stats(given.profile)
    told = [asdict(decision) for decision in result.decisions]
    print(
        json.dumps(
            {
                "rows": given.rows,
                "days": given.days,
                "read_seconds": round(read, 1),
                "seconds": round(took, 1),
                "cpu_seconds": round(time.process_time() - busy, 1),
                "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                "decisions": len(told),
                "fired": [d["subject"] for d in told if d["action"] == "fire"],
                "sha256": hashlib.sha256(
                    json.dumps(told, default=str, sort_keys=True).encode()
                ).hexdigest(),
            }
        )
    )


if __name__ == "__main__":
    main()
