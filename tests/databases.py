"""Where the records of a test's folder are, for suites that run on SQLite and on PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from homeostat.adapters.records import DatabaseRecords
from homeostat.domain.clock import Clock
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import NOW

PLACE = "database.url"
opened: list[DatabaseRecords] = []


def place(folder: Path, url: str) -> None:
    """Keep the records of this folder in another database than its own file."""
    (folder / PLACE).write_text(url)


def open_records(folder: Path, clock: Clock | None = None) -> DatabaseRecords:
    """Open the records of a folder; as often as wanted, as if by as many processes."""
    named = folder / PLACE
    url = named.read_text() if named.exists() else f"sqlite:///{folder}/records.db"
    records = DatabaseRecords(url, clock or SimulatedClock(NOW))
    opened.append(records)
    return records


def close_all() -> None:
    """Close what a test has opened."""
    while opened:
        opened.pop().close()
