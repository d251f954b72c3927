"""What holds of records in PostgreSQL beyond the suites: many connections at once."""

import threading
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from homeostat.adapters.predlog.catalogue import Catalogue, Change, FileEntry
from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.records import DatabaseRecords
from homeostat.adapters.records.tables import metadata
from homeostat.domain.errors import ConflictError, StorageError
from homeostat.domain.route import Route
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import NOW


@pytest.fixture
def records(postgres_url: str) -> Iterator[DatabaseRecords]:
    made = DatabaseRecords(postgres_url, SimulatedClock(NOW))
    yield made
    made.close()


def test_migrations_lead_to_the_tables_in_the_code(records: DatabaseRecords) -> None:
    with records.database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_newer_database_is_refused(records: DatabaseRecords, postgres_url: str) -> None:
    with records.database.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StorageError, match="newer Homeostat"):
        DatabaseRecords(postgres_url, SimulatedClock(NOW))


def test_many_open_an_empty_database_at_once(postgres_url: str) -> None:
    problems: list[Exception] = []

    def open_it() -> None:
        try:
            DatabaseRecords(postgres_url, SimulatedClock(NOW)).close()
        except StorageError as error:
            problems.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


def test_concurrent_increments_are_all_counted(records: DatabaseRecords) -> None:
    def increment() -> None:
        counted = 0
        while counted < 5:
            try:
                with records.begin() as unit:
                    route = unit.load("n", Route) or Route("n")
                    unit.save("n", Route("n", weight=route.weight + 1))
            except ConflictError:
                continue
            counted += 1

    threads = [threading.Thread(target=increment) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert records.read("n", Route) == Route("n", weight=20.0)


def test_a_reader_misses_no_file_whatever_the_order_of_commits(records: DatabaseRecords) -> None:
    """A change that took its numbers first and commits last is not passed over."""
    writer, reader = Catalogue(records.database), Catalogue(records.database)
    seen: list[str] = []
    late: list[threading.Thread] = []

    def add(path: str) -> None:
        entry = FileEntry(Kind.PREDICTIONS, "m", "2024-01-01", path, 1, 1, 0, 0)
        writer.register(Change(added=[entry]), NOW)

    def poll() -> None:
        seen.extend(file.path for file in reader.poll()[1])

    def meanwhile(_connection: sa.Connection) -> None:
        if not late:
            late.append(threading.Thread(target=add, args=("second",)))
            late[0].start()
            late[0].join(0.5)  # it may wait for its turn, or be through already
            poll()

    sa.event.listen(records.database._engine, "commit", meanwhile)
    add("first")
    late[0].join()
    poll()
    assert sorted(seen) == ["first", "second"]
