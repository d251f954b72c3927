import json
import sqlite3
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import ScriptDirectory

from homeostat.adapters.records import DatabaseRecords
from homeostat.adapters.records.codec import encode, to_micros
from homeostat.adapters.records.engine import MIGRATIONS
from homeostat.adapters.records.tables import metadata, metrics
from homeostat.domain.decision import Decision, Severity
from homeostat.domain.effect import CancelTraining, Effect, Notify, NotifyAction
from homeostat.domain.errors import ConflictError, StorageError
from homeostat.domain.route import Route
from homeostat.domain.verdict import MetricPoint
from homeostat.domain.window import Window
from homeostat.engine.ports import Settled
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import NOW


def opened(folder: Path) -> DatabaseRecords:
    return DatabaseRecords(f"sqlite:///{folder}/deep/records.db", SimulatedClock(NOW))


def test_records_survive_a_restart(tmp_path: Path) -> None:
    first = opened(tmp_path)
    with first.begin() as unit:
        unit.save("a", Route("fraud", "1"))
    first.close()
    assert opened(tmp_path).read("a", Route) == Route("fraud", "1")


def test_notifications_that_were_given_up_are_counted_by_receiver(tmp_path: Path) -> None:
    records = opened(tmp_path)

    def notice(receiver: str, incident: str) -> Notify:
        action, severity = NotifyAction.TRIGGER, Severity.CRITICAL
        return Notify(incident, action, receiver, severity, "fraud", "t", "b", "r", NOW)

    names = (("duty", "1"), ("duty", "2"), ("chat", "1"), ("duty", "3"))
    with records.begin() as unit:
        unit.intend(*(notice(*name) for name in names), CancelTraining("fraud-0001", "fraud"))
    found = {pending.effect.key: pending.number for pending in records.pending(NOW)}
    dead = [number for key, number in found.items() if key != "notify:duty:3:trigger"]
    assert len(dead) == 4
    with records.begin() as unit:
        unit.settle(*(Settled(number, "dead", NOW, "gone") for number in dead))
    assert records.undelivered() == {"duty": 2, "chat": 1}
    records.close()


def test_migrations_lead_to_the_tables_in_the_code(tmp_path: Path) -> None:
    records = opened(tmp_path)
    with records.database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def at_first_revision(path: Path, point: MetricPoint) -> None:
    """Write a database as the first revision did, with one metric point in it."""
    script = ScriptDirectory(str(MIGRATIONS))
    head = list(script.iterate_revisions("0001", "base"))
    steps = [MigrationStep.upgrade_from_script(script.revision_map, one) for one in head]
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        context = MigrationContext.configure(connection, opts={"fn": lambda *_: steps})
        with Operations.context(context):
            context.run_migrations()
        body = json.loads(encode(point))
        del body["segment"]
        times = (to_micros(point.window.start), to_micros(point.window.end))
        key = (point.model, point.name, *times, point.version, point.cohort, json.dumps(body))
        connection.exec_driver_sql("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?, ?)", key)
    engine.dispose()


def test_metrics_from_before_segments_are_of_all_rows(tmp_path: Path) -> None:
    day = Window(NOW - timedelta(days=1), NOW)
    point = MetricPoint("fraud", "1", "auc", day, 0.9, 0.8, 1.0, 500, 0.5, "matured")
    (tmp_path / "deep").mkdir()
    at_first_revision(tmp_path / "deep" / "records.db", point)
    records = opened(tmp_path)
    assert records.metrics("fraud") == (point,)
    restated = replace(point, value=0.7)
    with records.begin() as unit:
        unit.measure(restated, replace(point, segment="land=FR"))
    assert records.metrics("fraud") == (restated,)
    assert len(records.metrics("fraud", segment=None)) == 2
    with records.database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        key = sa.inspect(connection).get_pk_constraint("metrics")["constrained_columns"]
    assert key == [column.name for column in metrics.primary_key]


def test_metrics_of_a_time_are_found_by_an_index(tmp_path: Path) -> None:
    ask = "EXPLAIN QUERY PLAN SELECT body FROM metrics WHERE model = 'm' AND start >= 5"
    with opened(tmp_path).database.read() as connection:
        (told,) = connection.exec_driver_sql(ask).all()
    assert "USING INDEX metrics_by_time (model=? AND start>?)" in told[-1]


def test_notices_from_before_are_found_by_incident_and_receiver(tmp_path: Path) -> None:
    """Also those of long or hostile keys, and more of them than are read at once."""
    words = (Severity.CRITICAL, "fraud", "t", "b", "r", NOW)
    incidents = [f"fraud:r:{number}" for number in range(1100)]
    incidents += ["m:" + "x" * 600, "a'b:%_:1"]
    notices = [Notify(name, NotifyAction.TRIGGER, "duty", *words) for name in incidents]
    path = tmp_path / "deep" / "records.db"
    path.parent.mkdir()
    day = Window(NOW - timedelta(days=1), NOW)
    at_first_revision(path, MetricPoint("m", "1", "auc", day, 0.9, 0.8, 1.0, 500, 0.5, ""))
    into = "INSERT INTO effects (key, kind, body, status, attempts, not_before, changed, problem) "
    with sqlite3.connect(path) as raw:
        effects: list[Effect] = [*notices, CancelTraining("fraud-0001", "fraud")]
        for each in effects:
            row = (each.key, type(each).__name__, encode(each))
            raw.execute(f"{into} VALUES (?, ?, ?, 'dead', 1, 0, 0, '')", row)
    raw.close()
    records = opened(tmp_path)
    assert records.undelivered() == {"duty": len(notices)}
    for each in (notices[0], *notices[-3:]):
        assert [d.notice for d in records.deliveries(5, incident=each.incident)] == [each]
    assert [d.notice for d in records.deliveries(2, "duty")] == notices[:-3:-1]
    with records.database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    records.close()


@pytest.mark.parametrize("by", ["receiver", "incident"])
def test_notices_are_found_by_an_index(tmp_path: Path, by: str) -> None:
    ask = f"SELECT * FROM effects WHERE kind = 'Notify' AND {by} = 'm' ORDER BY number DESC LIMIT 9"
    with opened(tmp_path).database.read() as connection:
        (told,) = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {ask}").all()
    assert f"USING INDEX effects_by_{by} ({by}=?)" in told[-1]


def test_sqlite_is_set_to_survive_a_power_cut(tmp_path: Path) -> None:
    with opened(tmp_path).database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


def test_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    opened(tmp_path).close()
    with sqlite3.connect(tmp_path / "deep" / "records.db") as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.close()
    with pytest.raises(StorageError, match="newer Homeostat"):
        opened(tmp_path)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(StorageError, match="needs a file"):
        DatabaseRecords(url, SimulatedClock(NOW))


def test_unusable_database_is_a_storage_error_without_password(tmp_path: Path) -> None:
    (tmp_path / "junk.db").write_bytes(b"not a database" * 100)
    with pytest.raises(StorageError, match="not a database"):
        DatabaseRecords(f"sqlite:///{tmp_path}/junk.db", SimulatedClock(NOW))
    with pytest.raises(StorageError) as caught:
        DatabaseRecords("mysql+absent://me:hunter2@host/db", SimulatedClock(NOW))
    assert "hunter2" not in str(caught.value)


def test_unreadable_state_names_what_and_why(tmp_path: Path) -> None:
    records = opened(tmp_path)
    with records.begin() as unit:
        unit.save("a", Route("fraud"))
    with records.database.write() as connection:
        connection.execute(sa.text("""UPDATE states SET body = '{"model": 1}'"""))
    with pytest.raises(StorageError, match="a stored Route cannot be read: model"):
        records.read("a", Route)


def test_effect_of_unknown_kind_is_a_storage_error(tmp_path: Path) -> None:
    records = opened(tmp_path)
    row = "'k', 'Teleport', '{}', 'pending', 0, 0, 0, ''"
    names = "key, kind, body, status, attempts, not_before, changed, problem"
    with records.database.write() as connection:
        connection.execute(sa.text(f"INSERT INTO effects ({names}) VALUES ({row})"))
    with pytest.raises(StorageError, match="Teleport"):
        records.pending(NOW)


def test_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    records = opened(tmp_path)
    with records.begin() as unit:
        unit.save("a", Route("fraud", "1"))
    records.close()

    def limited(connection: sqlite3.Connection, _entry: object) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")

    sa.event.listen(records.database._engine, "connect", limited)
    many = [Decision("fraud", NOW, "a", "b", "c", "x" * 1000) for _ in range(100)]

    def write() -> None:
        with records.begin() as unit:
            unit.load("a", Route)
            unit.save("a", Route("fraud", "2"))
            unit.decide(*many)

    with pytest.raises(StorageError, match="full"):
        write()
    assert records.read("a", Route) == Route("fraud", "1")
    assert records.decisions() == ()


def test_state_that_changes_between_two_loads_is_a_conflict(tmp_path: Path) -> None:
    records = opened(tmp_path)
    with records.begin() as slow:
        slow.load("a", Route)
        with records.begin() as quick:
            quick.save("a", Route("fraud"))
        with pytest.raises(ConflictError):
            slow.load("a", Route)


def test_concurrent_increments_are_all_counted(tmp_path: Path) -> None:
    records = opened(tmp_path)

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
