"""Times comparing two Parquet files against just reading them with Polars, as whole processes.

python benchmarks/compare_speed.py [--rows N] [--columns N] [--runs N]

Every run is a new process, the programs taking turns. Polars reads both files and does nothing with
them; "we compare" profiles both and computes every statistic of every column; "the command" is
``homeostat compare A B --json``, which also infers what columns are, judges, and compares
correlations on a sample.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

GROUP = 1 << 20
SOURCE = Path(__file__).parents[1] / "src"
READ = """
import sys, polars
tables = [polars.read_parquet(path) for path in sys.argv[1:]]
"""
COMPARE = """
import sys
from homeostat.adapters.datasets import open_dataset
from homeostat.domain.model import ColumnKind
from homeostat.profiles.compare import statistics
profiles = []
for path in sys.argv[1:]:
    dataset = open_dataset(path)
    kinds = {
        name: ColumnKind.CATEGORICAL if name.startswith("text") else ColumnKind.NUMERIC
        for name in dataset.names
    }
    profiles.append(dataset.profile(kinds).profile)
before, after = (profile.columns for profile in profiles)
found = {name: statistics(before[name], after[name]) for name in before}
assert len(found) == len(kinds)
"""
COMMAND = """
import sys, os
from homeostat.entrypoints.cli import run
sys.stdout = open(os.devnull, "w")
sys.exit(run(["compare", *sys.argv[1:], "--json"]))
"""

# A small process in between, because memory is counted from that of the process that starts one.
MEASURE = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
subprocess.run(sys.argv[1:], check=True)
seconds = time.perf_counter() - start
used = resource.getrusage(resource.RUSAGE_CHILDREN)
cpu = used.ru_utime + used.ru_stime
print(json.dumps({"seconds": seconds, "cpu": cpu, "peak": used.ru_maxrss * 1024 / 1e6}))
"""


def number(column: int, rows: int, rng: np.random.Generator) -> np.ndarray:
    shapes = (
        lambda: rng.normal(column, 1.0 + column / 10, rows),
        lambda: rng.lognormal(0.0, 1.0 + column % 30 / 30, rows),
        lambda: rng.poisson(3.0 + 10 * (column % 30), rows).astype(np.float64),
        lambda: np.round(rng.gamma(2.0, 30.0 + column, rows), 2),
    )
    return shapes[column % len(shapes)]()


def text(column: int, rows: int, rng: np.random.Generator) -> pa.Array:
    levels = np.linspace(5, 50, 5).astype(int)[column % 5]
    codes = rng.choice(levels, rows, p=rng.dirichlet(np.full(levels, 5.0)))
    names = pa.array([f"level {level:02d}" for level in range(levels)])
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), names).cast(pa.string())


def write(path: Path, rows: int, columns: int, seed: int) -> int:
    """Write a file, a row group at a time; return the bytes of its rows in memory."""
    rng = np.random.default_rng(seed)
    numbers = columns * 6 // 7
    size = 0
    writer = None
    for start in range(0, rows, GROUP):
        length = min(GROUP, rows - start)
        table = pa.table(
            {f"number {i}": number(i, length, rng) for i in range(numbers)}
            | {f"text {i}": text(i, length, rng) for i in range(columns - numbers)}
        )
        size += table.nbytes
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table, GROUP)
    writer.close()
    return size


def measured(program: str, files: list[Path]) -> dict[str, float]:
    """Run a program in a new process; return its seconds, CPU seconds and peak memory in MB."""
    command = [sys.executable, "-c", MEASURE, sys.executable, "-c", program, *map(str, files)]
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def report(runs: dict[str, list[dict[str, float]]], table_bytes: int) -> None:
    middle = {
        name: {key: statistics.median(run[key] for run in found) for key in found[0]}
        for name, found in runs.items()
    }
    print(f"{'':>16} {'seconds':>8} {'CPU s':>8} {'peak MB':>8}")
    for name, found in middle.items():
        print(f"{name:>16} {found['seconds']:8.2f} {found['cpu']:8.2f} {found['peak']:8.0f}")
    polars = middle["polars reads"]
    for name in ("we compare", "the command"):
        ours = middle[name]
        pairs = zip(runs[name], runs["polars reads"], strict=True)
        ratios = sorted(mine["seconds"] / theirs["seconds"] for mine, theirs in pairs)
        print(
            f"{name}: {ours['seconds'] / polars['seconds']:.2f} of reading with Polars (medians),"
        )
        print(f"  {ratios[0]:.2f} to {ratios[-1]:.2f} over {len(ratios)} pairs of runs;")
        print(
            f"  CPU {ours['cpu'] / polars['cpu']:.2f}, peak memory "
            f"{ours['peak'] * 1e6 / table_bytes:.2f} of the two tables"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=35)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / "reference.parquet", Path(folder) / "current.parquet"]
        sizes = [write(path, options.rows, options.columns, i) for i, path in enumerate(files)]
        programs = {"polars reads": READ, "we compare": COMPARE, "the command": COMMAND}
        for program in programs.values():
            measured(program, files)  # the first one of each warms the disk's cache
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in programs}
        for _ in range(options.runs):
            for name, program in programs.items():
                runs[name].append(measured(program, files))
        print(f"2 x {options.rows} rows x {options.columns} columns, {os.cpu_count()} cores")
        report(runs, sum(sizes))


if __name__ == "__main__":
    main()
