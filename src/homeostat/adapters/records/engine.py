"""Connections to the records database: pragmas, transactions and migrations at open."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from homeostat.domain.errors import StorageError

MIGRATIONS = Path(__file__).parent / "migrations"
# Any constants will do: they name PostgreSQL's locks, of its schema and of the log's catalogue.
MIGRATION_LOCK = 4_857_301
CATALOGUE_LOCK = 4_857_302
BUSY_SECONDS = 30


class Database:
    """An engine whose write transactions never deadlock and whose errors are `StorageError`.

    Parameters
    ----------
    url : str
        SQLAlchemy URL, such as ``sqlite:////var/lib/homeostat/records.db`` or
        ``postgresql+psycopg://user@host/name``.
    synchronous : str
        SQLite's setting. ``FULL``: what is committed survives a power cut. ``OFF`` is for
        simulations, in which nothing has to.
    """

    def __init__(self, url: str, synchronous: str = "FULL") -> None:
        self.url = sa.make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._watching = threading.Lock()
        self._watcher: sqlite3.Connection | None = None
        try:
            if self.is_sqlite:
                self._engine = _sqlite(self.url, synchronous)
            else:
                self._engine = sa.create_engine(self.url, pool_pre_ping=True)
            self._migrate()
        except (OSError, SQLAlchemyError, ModuleNotFoundError) as error:
            shown = self.url.render_as_string(hide_password=True)
            said = _text(error) if isinstance(error, SQLAlchemyError) else str(error)
            raise StorageError(f"cannot open the records database {shown}: {said}") from error

    def _migrate(self) -> None:
        try:
            with self.write() as connection:
                migrate(connection)
        except Exception:
            self._engine.dispose()
            raise

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Open one short transaction that commits at the end of the block, or not at all."""
        with self._connect(writes=True) as connection, connection.begin():
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Open a read of one consistent snapshot."""
        with self._connect(writes=False) as connection, connection.begin():
            yield connection

    @contextmanager
    def _connect(self, *, writes: bool) -> Iterator[sa.Connection]:
        try:
            with self._engine.connect() as connection:
                options = connection.execution_options(homeostat_writes=writes)
                if not writes and not self.is_sqlite:
                    options = options.execution_options(isolation_level="REPEATABLE READ")
                yield options
        except SQLAlchemyError as error:
            raise StorageError(f"the records database failed: {_text(error)}") from error

    def stamp(self) -> int | None:
        """Return a number that changes whenever the content may have; None if it cannot be told.

        SQLite counts the commits of other connections for each connection, at almost no cost; this
        asks one that never writes.
        """
        if not self.is_sqlite:
            return None
        with self._watching:
            try:
                if self._watcher is None:
                    self._watcher = sqlite3.connect(
                        str(self.url.database), timeout=BUSY_SECONDS, check_same_thread=False
                    )
                return int(self._watcher.execute("PRAGMA data_version").fetchone()[0])
            except sqlite3.Error as error:
                raise StorageError(f"the records database failed: {_text(error)}") from error

    def damage(self) -> tuple[str, ...]:
        """Return what SQLite finds wrong with its file; PostgreSQL is not asked.

        Pages and indices are compared with each other: there are no checksums of values.
        """
        if not self.is_sqlite:
            return ()
        with self.read() as connection:
            said = connection.exec_driver_sql("PRAGMA integrity_check(20)").scalars().all()
        return tuple(line for line in said if line != "ok")

    def close(self) -> None:
        """Close the connections."""
        with self._watching:
            if self._watcher is not None:
                self._watcher.close()
                self._watcher = None
        self._engine.dispose()


DAMAGED = ("malformed", "not a database", "disk I/O error")


def _text(error: SQLAlchemyError | sqlite3.Error) -> str:
    """Return the driver's own message, without the statement and its parameters, and a remedy."""
    said = str(getattr(error, "orig", None) or error)
    if any(words in said for words in DAMAGED):
        said += "; stop Homeostat, look at the disk, and put the latest backup of the file back"
    return said


def _sqlite(url: sa.URL, synchronous: str) -> sa.Engine:
    if not url.database or url.database == ":memory:":
        raise StorageError(
            "the records database needs a file, such as sqlite:///records.db: "
            "one in memory would be lost, and each thread would see its own"
        )
    Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_SECONDS})

    def prepare(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        # The driver must not open transactions on its own: `begin` below chooses their kind.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", f"synchronous={synchronous}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def begin(connection: sa.Connection) -> None:
        # A deferred transaction that turns into a writing one fails where another was first;
        # one that takes the write lock at its start waits for its turn.
        writes = connection.get_execution_options().get("homeostat_writes", True)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    sa.event.listen(engine, "connect", prepare)
    sa.event.listen(engine, "begin", begin)
    return engine


def in_turn(connection: sa.Connection, lock: int) -> None:
    """Let one transaction that asks for `lock` run at a time; SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(lock)))


def migrate(connection: sa.Connection) -> None:
    """Bring the schema up to date, in the transaction of `connection`.

    Raises
    ------
    StorageError
        If the database was written by a newer Homeostat.
    """
    in_turn(connection, MIGRATION_LOCK)
    script = ScriptDirectory(str(MIGRATIONS))

    def steps(current: tuple[str, ...], _context: MigrationContext) -> list[MigrationStep]:
        # Revisions form one line: there is at most one current revision.
        lower = current[0] if current else "base"
        missing = list(script.iterate_revisions("head", lower))
        return [
            MigrationStep.upgrade_from_script(script.revision_map, revision)
            for revision in reversed(missing)
        ]

    context = MigrationContext.configure(connection, opts={"fn": steps})
    try:
        with Operations.context(context):
            context.run_migrations()
    except RevisionError as error:
        raise StorageError(
            f"the records database was written by a newer Homeostat: {error}; upgrade this one"
        ) from error
