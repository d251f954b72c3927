"""What publishing the log as Delta tables costs: all of it, what is new, and what was only merged.

    PYTHONPATH=src python benchmarks/delta_export.py [--rows 1000000] [--days 5]

Rows of 40 columns like those of payments. Seconds of wall time and of CPU, the peak of memory, and
the sizes of the log and of the tables; beside it the same rows as one Parquet file.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from deltalake import DeltaTable
from log_world import DAY, SPEC, fill, labels, midnight, opened, predictions

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.predlog.delta import publish
from homeostat.adapters.predlog.export import pieces
from homeostat.domain.window import Window
from homeostat.entrypoints.export import Format, export


def timed(what: str, work: Callable[[], object]) -> None:
    """Do something, and say what came of it and how long it took."""
    began, spent = time.perf_counter(), time.process_time()
    found = work()
    took, spent = time.perf_counter() - began, time.process_time() - spent
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what}: {took:.1f} s, {spent:.1f} s CPU, peak {peak:,.0f} MB: {found}", flush=True)


def size(folder: Path) -> float:
    """Return the megabytes of a folder's Parquet files."""
    return sum(file.stat().st_size for file in folder.rglob("*.parquet")) / 1e6


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=5)
    given = parser.parse_args()
    clock, rng = SystemClock(), np.random.default_rng(2)
    with tempfile.TemporaryDirectory() as name, opened(Path(name)) as log:
        folder = Path(name)
        target = str(folder / "delta")
        fill(log, given.rows, given.days, noise=False)
        window = Window(datetime(1970, 1, 1, tzinfo=UTC), clock.now())
        file = folder / "whole.parquet"
        timed("Parquet", lambda: export(pieces(log, SPEC, window, None), file, Format.PARQUET))
        file.unlink()
        timed("all", lambda: publish(log, SPEC, target, clock.now()))
        timed("nothing", lambda: publish(log, SPEC, target, clock.now()))
        new = predictions(rng, given.rows // 50, midnight() - DAY, DAY, noise=False)
        log.append(SPEC, new)
        log.append_labels(SPEC, labels(rng, new["prediction_id"].combine_chunks(), clock.now()))
        timed("2 % new", lambda: publish(log, SPEC, target, clock.now()))
        timed("merging", lambda: log.tidy(clock.now(), eager=True))
        timed("merged", lambda: publish(log, SPEC, target, clock.now()))
        there = DeltaTable(f"{target}/predictions").count()
        assert there == given.rows // given.days * given.days + len(new), there
        print(f"log {size(folder / 'log'):,.0f} MB, tables {size(folder / 'delta'):,.0f} MB")


if __name__ == "__main__":
    main()
