"""What a million predictions cost: the figures behind docs/guide/scale.md.

    PYTHONPATH=src python benchmarks/scale.py [ROWS] [FOLDER]

Rows of 40 columns (30 features) spread over a day. CPU seconds of this process (user and system),
so that a busy machine says nearly the same as an idle one; run it with OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import sqlalchemy as sa
from ingest import SPEC, batch

from homeostat.adapters.backup import back_up
from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.records import DatabaseRecords
from homeostat.adapters.records.tables import log_profiles, log_segment_profiles
from homeostat.domain.model import ModelSpec
from homeostat.domain.record import LABEL_SCHEMA
from homeostat.domain.window import Window
from homeostat.simulation.clock import SimulatedClock

DAY = datetime(2026, 11, 2, tzinfo=UTC)
NOW = DAY + timedelta(days=2)
WHOLE = Window(DAY, DAY + timedelta(days=1))
CALL = 1000
FEW = ["n0", "n1", "n2", "n3", "score"]


def cpu(work: Callable[[], object]) -> float:
    """Return the CPU seconds of some work."""
    began = time.process_time()
    work()
    return time.process_time() - began


def calls(rows: int, lands: int) -> list[pa.Table]:
    """Return a day's rows in calls; column c0 takes `lands` values."""
    rng = np.random.default_rng(1)
    made = []
    for number in range(rows // CALL):
        table = batch(rng, CALL, DAY + timedelta(days=1) * (number * CALL / rows))
        land = pa.array([f"land {n}" for n in rng.integers(0, lands, CALL)])
        made.append(table.set_column(table.column_names.index("c0"), "c0", land))
    return made


def stored(records: DatabaseRecords, table: sa.Table) -> tuple[int, int]:
    """Return the number of stored profiles and their mean bytes."""
    (blob,) = (column for column in table.columns if isinstance(column.type, sa.LargeBinary))
    size = sa.func.avg(sa.func.length(blob))
    with records.database.read() as connection:
        count, mean = connection.execute(sa.select(sa.func.count(), size).select_from(table)).one()
    return int(count), int(mean or 0)


def measure(folder: Path, rows: int, lands: int, spec: ModelSpec) -> None:
    """Print what one model's day costs."""
    records = DatabaseRecords(f"sqlite:///{folder}/records.db", SimulatedClock(NOW))
    log = FilePredictionLog(folder / "log", records)
    sent, million = calls(rows, lands), 1e6 / rows
    append = cpu(lambda: [log.append(spec, table) for table in sent])
    landed = sum(path.stat().st_size for path in (folder / "log" / "landing").iterdir())
    roll = cpu(lambda: log.roll(NOW))
    names = f"{lands} segments" if spec.segments else "no segments"
    print(f"{rows:,} rows, {names}")
    print(f"  append, calls of {CALL:,}     {append * million:8.2f} s a million rows")
    print(f"  roll with profiles         {roll * million:8.2f} s a million rows")
    print(f"  landed                     {landed / rows:8.0f} bytes a row")
    for suffix in ("parquet", "keys"):
        size = sum(p.stat().st_size for p in (folder / "log").rglob(f"*.{suffix}"))
        print(f"  {suffix:26} {size / rows:8.1f} bytes a row")
    for table in (log_profiles, log_segment_profiles):
        count, mean = stored(records, table)
        print(f"  {table.name:26} {mean:8,} bytes each, {count} in the day")
    fresh = FilePredictionLog(folder / "log", records)
    print(f"  profile of the day         {cpu(lambda: fresh.profile(spec, WHOLE)) * 1e3:8.1f} ms")
    if spec.segments:
        one = cpu(lambda: fresh.profile(spec, WHOLE, segment="c0=land 1"))
        print(f"  profile of one segment     {one * 1e3:8.1f} ms")
    read = cpu(lambda: fresh.rows(spec, WHOLE, FEW))
    print(f"  read of 5 columns          {read * million:8.3f} s a million rows")
    ids = pa.concat_tables(sent).column("prediction_id").combine_chunks()
    labels = pa.table(
        {"prediction_id": ids, "label": np.zeros(rows), "arrival": [NOW] * rows},
        schema=LABEL_SCHEMA,
    )
    took = cpu(lambda: (log.append_labels(spec, labels), log.roll(NOW)))
    print(f"  labels taken and rolled    {took * million:8.2f} s a million labels")
    join = cpu(lambda: log.labelled(spec, WHOLE, NOW, FEW))
    print(f"  rows with their labels     {join * million:8.3f} s a million rows")
    took = cpu(lambda: back_up(records, log, folder / "models", folder / "backup", NOW))
    print(f"  backup by links            {took * million:8.2f} s a million rows")
    log.close()
    records.close()


def main() -> None:
    """Measure without and with segments."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 500_000
    place = sys.argv[2] if len(sys.argv) > 2 else None
    by_land = replace(SPEC, segments=("c0",))
    for spec, lands in ((SPEC, 10), (by_land, 10), (by_land, 100)):
        with tempfile.TemporaryDirectory(dir=place) as folder:
            measure(Path(folder), rows, lands, spec)


if __name__ == "__main__":
    main()
