"""Reading the prediction log: a day's window, the join with labels, small commits, compaction.

    PYTHONPATH=src python benchmarks/log_read.py [--rows N] [--folder F] [--filled F] [--parts P,P]

Each part prints the log's time beside what it is held to, in the same run:

- window: five columns of one of 30 days beside Polars reading these columns of the same files, in
  turns (goal 1.3 times);
- join: ``rows / 10`` labels with a window of all rows (goal for 10M rows: 2 s);
- small: 5,000 commits of 100 rows, read before and after files are merged (goal 1.5 times);
- compaction: appends while files are rolled and merged beside appends while they are only rolled
  (goal 15 %).

``--rows 10000000`` (the default) takes some twenty minutes and 4 GB of disk.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from log_world import (
    DAY,
    SPEC,
    fill,
    hexes,
    labels,
    machine,
    median,
    midnight,
    opened,
    predictions,
)

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.records.codec import to_micros
from homeostat.domain.window import Window

FIVE = ["score", "prediction", "n0", "n1", "c0"]
COMMITS = 5_000
ROUNDS = 5


def _cold(log: FilePredictionLog) -> None:
    """Forget columns that were read."""
    log._store._cache.clear()


def window(log: FilePredictionLog, folder: Path) -> None:
    """Compare a day's window with Polars."""
    start = midnight() - 15 * DAY
    asked = Window(start, start + DAY)
    files, _ = log._state.gather(SPEC.name, to_micros(asked.start), to_micros(asked.end))
    paths = [folder / "log" / file.path for file in files]

    def ours() -> pa.Table:
        _cold(log)
        return log.rows(SPEC, asked, FIVE)

    rows = len(ours())
    times: dict[str, list[float]] = {"cold": [], "again": [], "polars": []}
    for _ in range(9):
        times["polars"].append(median(lambda: pl.read_parquet(paths, columns=FIVE), 1))
        times["cold"].append(median(ours, 1))
        times["again"].append(median(lambda: log.rows(SPEC, asked, FIVE), 1))
    found = {name: float(np.median(took)) for name, took in times.items()}
    print(
        f"window of {rows:,} rows in {len(paths)} files: {found['cold'] * 1e3:.1f} ms, again "
        f"{found['again'] * 1e3:.1f} ms, Polars {found['polars'] * 1e3:.1f} ms: "
        f"ratio {found['cold'] / found['polars']:.2f}"
    )


def join(log: FilePredictionLog, days: int) -> None:
    """Time a join of labels with all rows."""
    rng, now = np.random.default_rng(2), SystemClock().now()
    asked = Window(midnight() - days * DAY, midnight())
    every = log.rows(SPEC, asked, ["prediction_id"]).column("prediction_id").combine_chunks()
    chosen = every.take(pa.array(rng.permutation(len(every))[: len(every) // 10]))
    fresh = not log.status().labels
    for begin in range(0, len(chosen) if fresh else 0, 50_000):
        log.append_labels(SPEC, labels(rng, chosen.slice(begin, 50_000), now))

    def joined() -> int:
        _cold(log)
        table = log.labelled(SPEC, asked, SystemClock().now(), ["score"])
        return len(table) - table.column("label").null_count

    assert joined() == len(chosen)
    if fresh:
        print(f"join before labels were sorted: {median(joined, 3):.2f} s")
        log.roll(now)
        assert joined() == len(chosen)
    cpu = time.process_time()
    sorted_ = median(joined, 5)
    cpu = (time.process_time() - cpu) / 5
    print(
        f"join of {len(chosen):,} labels with {len(every):,} rows: {sorted_:.2f} s, "
        f"{cpu:.2f} s of CPU"
    )


def small(folder: Path) -> None:
    """Compare reads after many small commits with reads of merged files, in turns."""
    rng, now = np.random.default_rng(3), SystemClock().now()
    many, rolled, few = (folder / name for name in ("many", "rolled", "few"))
    many.mkdir()
    start = midnight() - DAY
    table = predictions(rng, COMMITS * 100, start, DAY)
    with opened(many, fsync=False) as log:
        # Clients' clocks and networks differ a little.
        for number in np.argsort(np.arange(COMMITS) + rng.normal(0, 3, COMMITS)).tolist():
            log.append(SPEC, table.slice(number * 100, 100))
            if log.full.is_set():
                log.roll(now)
    for copy in (rolled, few):
        shutil.copytree(many, copy)
    asked, places = Window(start, start + DAY), (many, rolled, few)
    times: dict[Path, list[float]] = {place: [] for place in places}
    with contextlib.ExitStack() as stack:
        logs = {place: stack.enter_context(opened(place, fsync=False)) for place in places}
        logs[rolled].roll(now)
        logs[few].roll(now)
        logs[few].tidy(now, eager=True)

        def read(place: Path) -> pa.Table:
            _cold(logs[place])
            return logs[place].rows(SPEC, asked, FIVE)

        assert all(read(place).equals(read(few)) for place in places)
        for _ in range(15):
            for place in places:
                times[place].append(median(partial(read, place), 1))
        took = {place.name: float(np.median(times[place])) for place in places}
        counts = {place.name: logs[place].status() for place in places}
    for name, seconds in took.items():
        status, ratio = counts[name], seconds / took["few"]
        print(
            f"{COMMITS:,} small commits in {status.files} files and {status.landed:,} landed rows: "
            f"{seconds * 1e3:.1f} ms, ratio {ratio:.2f}"
        )


def compaction(folder: Path) -> None:
    """Compare appends while files are rolled and merged with appends while they are rolled."""
    rng = np.random.default_rng(4)
    tables = [predictions(rng, 1_000, midnight() - DAY, DAY) for _ in range(100)]
    took: dict[bool, list[float]] = {False: [], True: []}
    left: dict[bool, int] = {}
    for turn in range(6):
        merging, place = turn % 2 == 1, folder / str(turn)
        place.mkdir()
        with opened(place) as log:
            took[merging].append(_ingest(log, tables, merging=merging))
            left[merging] = log.status().files
        shutil.rmtree(place)
    rows = 1_000 * len(tables) * ROUNDS
    alone, beside = (rows / float(np.median(took[merging])) for merging in (False, True))
    print(
        f"appends of 1,000 rows, {rows:,} in all: {alone:,.0f} rows/s ({left[False]} files left), "
        f"{beside:,.0f} with merging ({left[True]} left): {alone / beside - 1:+.0%}"
    )


def _ingest(log: FilePredictionLog, tables: list[pa.Table], *, merging: bool) -> float:
    """Append everything `ROUNDS` times under new ids, while the log is kept as a server does."""
    stop, rng = threading.Event(), np.random.default_rng(6)

    def keep_up() -> None:
        while not stop.is_set():
            log.full.wait(0.5)
            log.roll(SystemClock().now())
            if merging:
                log.tidy(SystemClock().now())

    keeper = threading.Thread(target=keep_up)
    keeper.start()
    before = time.perf_counter()
    for _ in range(ROUNDS):
        for table in tables:
            log.append(SPEC, table.set_column(0, "prediction_id", hexes(rng, len(table))))
    seconds = time.perf_counter() - before
    stop.set()
    log.full.set()
    keeper.join()
    return seconds


def main() -> None:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--folder")
    parser.add_argument("--filled", type=Path, help="a log that is filled once, and kept")
    parser.add_argument("--parts", default="window,join,small,compaction")
    asked = parser.parse_args()
    parts = asked.parts.split(",")
    print(machine())
    with tempfile.TemporaryDirectory(dir=asked.folder) as place:
        if {"window", "join"} & set(parts):
            folder = asked.filled or Path(place) / "large"
            folder.mkdir(exist_ok=True)
            with opened(folder, fsync=False) as log:
                if not log.status().rows:
                    fill(log, asked.rows, 30)
                print(log.status())
                if "window" in parts:
                    window(log, folder)
                if "join" in parts:
                    join(log, 30)
        for name, work in (("small", small), ("compaction", compaction)):
            if name in parts:
                (Path(place) / name).mkdir()
                work(Path(place) / name)


if __name__ == "__main__":
    main()
