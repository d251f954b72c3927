"""Size of the prediction log beside the same rows in PostgreSQL (goal 0.35 times).

    PYTHONPATH=src python benchmarks/log_size.py [--rows N] [--folder F]

Needs the programs of PostgreSQL (Debian: postgresql); a server is started in a folder of its own,
under the user ``postgres`` if this runs as root. The log is measured with its key files and its
catalogue, rolled and merged; PostgreSQL with its primary key (id, version), which is what makes a
repetition count once, and without. Once with rows as they come, once with numbers that are noise,
which nothing can make small. ``--rows 10000000`` takes twenty minutes and 15 GB of disk.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
from log_world import DAY, SPEC, machine, midnight, opened, predictions, size_of

from homeostat.adapters.clock import SystemClock
from homeostat.domain.record import prediction_schema

PIECE = 100_000
SQL = {"string": "text", "double": "float8", "timestamp[us, tz=UTC]": "timestamptz"}


def programs() -> Path:
    """Return the folder of PostgreSQL's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    named = shutil.which("initdb")
    if not (found or named):
        raise SystemExit("PostgreSQL is not here (Debian: apt-get install postgresql)")
    return found[-1].parent if found else Path(str(named)).parent


class Postgres:
    """A server in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin = folder, programs()
        self.prefix = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        folder.mkdir()
        if self.prefix:
            shutil.chown(folder, "postgres")
            for above in folder.parents[:-2]:
                above.chmod(above.stat().st_mode | 0o011)
        self._run("initdb", "--auth=trust", "-D", str(folder / "data"))
        options = f"-k {folder} -c listen_addresses= -c fsync=off -c max_wal_size=8GB"
        self._run("pg_ctl", "-w", "-D", str(folder / "data"), "-o", options, "start")

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self.prefix, str(self.bin / program), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self.folder)

    def ask(self, sql: str, body: bytes = b"") -> str:
        """Run one statement; COPY reads `body`."""
        user = "postgres" if self.prefix else os.environ.get("USER", "postgres")
        command = [str(self.bin / "psql"), "-h", str(self.folder), "-U", user, "-d", "postgres"]
        done = subprocess.run(
            [*command, "-qAt", "-v", "ON_ERROR_STOP=1", "-c", sql],
            input=body, check=True, stdout=subprocess.PIPE,
        )  # fmt: skip
        return done.stdout.decode().strip()

    def stop(self) -> None:
        """Stop the server."""
        self._run("pg_ctl", "-w", "-D", str(self.folder / "data"), "-m", "fast", "stop")


def pieces(rows: int, *, noise: bool) -> Iterator[pa.Table]:
    """Yield rows of thirty days, some at a time."""
    rng = np.random.default_rng(5)
    span = 30 * DAY * PIECE / rows
    for number in range(rows // PIECE):
        start = midnight() - 30 * DAY + number * span
        yield predictions(rng, PIECE, start, timedelta(seconds=span.total_seconds()), noise=noise)


@contextmanager
def server(folder: Path) -> Iterator[Postgres]:
    """Run PostgreSQL for a while."""
    postgres = Postgres(folder)
    try:
        yield postgres
    finally:
        postgres.stop()


def compare(folder: Path, rows: int, *, noise: bool) -> None:
    """Print the sizes of the same rows here and there."""
    folder.mkdir()
    fields = ", ".join(f"{f.name} {SQL[str(f.type)]}" for f in prediction_schema(SPEC))
    options = pa.csv.WriteOptions(include_header=False)
    with server(folder / "postgres") as postgres, opened(folder, fsync=False) as log:
        postgres.ask(f"CREATE TABLE rows ({fields})")
        for table in pieces(rows, noise=noise):
            sink = pa.BufferOutputStream()
            pa.csv.write_csv(table, sink, options)
            postgres.ask("COPY rows FROM STDIN (FORMAT csv)", sink.getvalue().to_pybytes())
            log.append(SPEC, table)
            log.roll(SystemClock().now())
        log.tidy(SystemClock().now(), eager=True)
        log.tidy(SystemClock().now() + timedelta(hours=1))  # replaced files are deleted
        heap = int(postgres.ask("SELECT pg_total_relation_size('rows')"))
        postgres.ask("ALTER TABLE rows ADD PRIMARY KEY (prediction_id, version)")
        whole = int(postgres.ask("SELECT pg_total_relation_size('rows')"))
        stored = log.status()
    for path in (folder / "log" / "landing").glob("*"):
        path.unlink()
    ours = size_of(folder) - size_of(folder / "postgres")
    print(
        f"{stored.predictions:,} rows, {'noise' if noise else 'as they come'}: log "
        f"{ours / rows:.0f} bytes a row (files {stored.bytes / rows:.0f}), PostgreSQL "
        f"{whole / rows:.0f} with its key, {heap / rows:.0f} without: ratio {ours / whole:.2f}, "
        f"{ours / heap:.2f} without a key there, {stored.bytes / heap:.2f} without keys on both "
        "sides"
    )
    shutil.rmtree(folder)


def main() -> None:
    """Compare both kinds of rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--folder")
    asked = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory(dir=asked.folder) as place:
        for noise in (False, True):
            compare(Path(place) / f"noise-{noise}", asked.rows, noise=noise)


if __name__ == "__main__":
    main()
