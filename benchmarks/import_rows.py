"""Time and memory of `homeostat import`: a file of many rows into an empty log, twice.

    python benchmarks/import_rows.py --rows 10000000 --format parquet

Rows are of 30 days in order, with 10 columns of their own. The memory is that of the importing
process at its highest; the second time all rows are known already.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from homeostat.adapters.clock import SystemClock

NUMBERS, WORDS = 7, 3
CHUNK = 500_000
CONFIG = """\
models:
  - name: m
    task: binary
    features: {{{features}}}
    labels: {{maturity: 30d}}
"""


def names() -> dict[str, str]:
    """Return the features and their kinds."""
    found = {f"n{i}": "numeric" for i in range(NUMBERS)}
    return found | {f"c{i}": "categorical" for i in range(WORDS)}


def rows(start: int, count: int, total: int, first: datetime) -> pa.Table:
    """Return some of the rows."""
    rng = np.random.default_rng(start)
    step = timedelta(days=30) / total
    micros = (
        int(first.timestamp() * 1e6) + np.arange(start, start + count) * step.total_seconds() * 1e6
    )
    columns: dict[str, object] = {
        "id": pa.array([f"p{n}" for n in range(start, start + count)]),
        "time": pa.array(micros.astype(np.int64)).cast(pa.timestamp("us", "UTC")),
        "score": rng.random(count),
    }
    for name, kind in names().items():
        values = rng.normal(size=count).round(4)
        words = pa.array([f"w{n}" for n in range(50)]).take(pa.array(rng.integers(0, 50, count)))
        columns[name] = values if kind == "numeric" else words
    return pa.table(columns)


def write(path: Path, total: int) -> None:
    """Write a file of so many rows."""
    first = SystemClock().now().replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(
        days=31
    )
    schema = rows(0, 1, total, first).schema
    opened = pq.ParquetWriter if path.suffix == ".parquet" else pacsv.CSVWriter
    with opened(str(path), schema) as writer:
        for start in range(0, total, CHUNK):
            writer.write_table(rows(start, min(CHUNK, total - start), total, first))


def run(folder: Path, path: Path) -> dict[str, float]:
    """Import the file; return the figures."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    code = (
        "import resource, sys; from homeostat.entrypoints.cli import run; "
        "code = run(sys.argv[1:]); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr); sys.exit(code)"
    )
    command = [sys.executable, "-c", code, "import", "m", str(path), "--version", "1", "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = json.loads(done.stdout)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    peak = int(done.stderr.split()[-1]) / 1024
    return {
        "accepted": found["accepted"],
        "duplicates": found["duplicates"],
        "rows per CPU second": round(found["rows"] / cpu),
        "peak MB": round(peak),
    }


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--format", choices=["parquet", "csv"], default="parquet")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        folder = Path(name)
        features = ", ".join(f"{n}: {kind}" for n, kind in names().items())
        (folder / "homeostat.yaml").write_text(CONFIG.format(features=features))
        path = folder / f"rows.{chosen.format}"
        write(path, chosen.rows)
        print(f"{chosen.rows:,} rows of {path.stat().st_size / 2**20:,.0f} MB {chosen.format}")
        for _ in range(2):
            print(run(folder, path), flush=True)


if __name__ == "__main__":
    main()
