"""One unit of work: buffered while it is open, written in one transaction at its end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from homeostat.adapters.records.codec import decode, encode, key_text, storable, to_micros
from homeostat.adapters.records.engine import Database
from homeostat.adapters.records.tables import decisions, effects, metrics, states, verdicts
from homeostat.domain.decision import Decision
from homeostat.domain.effect import Effect, Notify
from homeostat.domain.errors import ConflictError, NotFoundError
from homeostat.domain.verdict import MetricPoint, Verdict
from homeostat.engine.ports import Settled

S = TypeVar("S")


def insert(connection: sa.Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """Return an insert that knows ON CONFLICT, in the connection's dialect."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


_STATES = sa.select(states.c.key, states.c.version, states.c.body)
TOGETHER = _STATES.where(states.c.key.in_(sa.bindparam("keys", expanding=True)))
# SQLite takes each parameter by itself: a list of them costs twice what reading the states does.
BY_JSON = _STATES.where(
    states.c.key.in_(
        sa.select(sa.column("value")).select_from(sa.func.json_each(sa.bindparam("keys")))
    )
)


def inserted(connection: sa.Connection, statement: sa.Insert) -> int:
    """Run an insert and return how many rows it wrote."""
    # Without the option PostgreSQL's driver does not tell for inserts.
    return connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount


@dataclass
class Unit:
    """Implements `homeostat.engine.ports.UnitOfWork` over a `Database`."""

    database: Database
    _prepared: dict[str, tuple[int, str | None]] = field(default_factory=dict)
    _versions: dict[str, int] = field(default_factory=dict)
    _bodies: dict[str, str | None] = field(default_factory=dict)
    _decisions: list[Decision] = field(default_factory=list)
    _effects: dict[str, Effect] = field(default_factory=dict)
    _settled: list[Settled] = field(default_factory=list)
    _verdicts: list[Verdict] = field(default_factory=list)
    _points: list[MetricPoint] = field(default_factory=list)
    _withdrawn: list[MetricPoint] = field(default_factory=list)
    _held: set[str] = field(default_factory=set)

    def prepare(self, keys: Sequence[str]) -> None:
        """Read the states under these keys in one query."""
        with self.database.read() as connection:
            if connection.dialect.name == "sqlite":
                found = connection.execute(BY_JSON, {"keys": json.dumps(list(keys))})
            else:
                found = connection.execute(TOGETHER, {"keys": list(keys)})
            rows = found.all()
        self._prepared = dict.fromkeys(keys, (0, None)) | {
            row.key: (row.version, row.body) for row in rows
        }

    def load(self, key: str, kind: type[S]) -> S | None:
        """Return the state under `key`, this unit's own change included, and note its version."""
        if key in self._bodies:
            body = self._bodies[key]
        else:
            version, body = self._prepared.pop(key) if key in self._prepared else self._fetch(key)
            if self._versions.setdefault(key, version) != version:
                raise ConflictError(f"state {key!r} changed while it was in use; begin again")
        return None if body is None else decode(body, kind)

    def _fetch(self, key: str) -> tuple[int, str | None]:
        query = sa.select(states.c.version, states.c.body).where(states.c.key == key)
        with self.database.read() as connection:
            row = connection.execute(query).one_or_none()
        return (0, None) if row is None else (row.version, row.body)

    def save(self, key: str, state: object) -> None:
        """Store a state at commit; one that was not loaded first is taken to be new."""
        self._bodies[key] = encode(state)

    def delete(self, key: str) -> None:
        """Remove the state under `key` at commit."""
        if key not in self._versions:
            self._versions[key], _ = self._fetch(key)
        self._bodies[key] = None

    def hold(self, key: str) -> None:
        """Have the commit fail if the state that was loaded has changed by then."""
        self._held.add(key)

    def decide(self, *entries: Decision) -> None:
        """Append to the decision log at commit."""
        self._decisions += entries

    def intend(self, *intended: Effect) -> None:
        """Record effects at commit; the first of a key stays."""
        for effect in intended:
            self._effects.setdefault(effect.key, effect)

    def settle(self, *settled: Settled) -> None:
        """Write down what became of effects, at commit."""
        self._settled += settled

    @property
    def settles(self) -> bool:
        """Whether it says what became of an effect."""
        return bool(self._settled)

    def judge(self, *judged: Verdict) -> None:
        """Append verdicts at commit."""
        self._verdicts += judged

    def measure(self, *points: MetricPoint) -> None:
        """Write metric points at commit."""
        self._points += points

    def withdraw(self, *points: MetricPoint) -> None:
        """Remove metric points at commit, before new ones are written."""
        self._withdrawn += points

    def commit(self, now: datetime) -> None:
        """Write everything in one transaction; a unit that changed nothing opens none.

        Raises
        ------
        ConflictError
            If another writer changed one of the saved states since it was loaded, or settled an
            effect.
        NotFoundError
            If there is no effect of a number that was settled.
        StorageError
            If the database failed.
        """
        written = (self._decisions, self._effects, self._verdicts, self._points, self._withdrawn)
        if not self._bodies and not self._settled and not any(written):
            return
        with self.database.write() as connection:
            for key in sorted(self._held):
                self._compare(connection, key)
            for key in sorted(self._bodies):
                self._swap(connection, key, self._bodies[key])
            self._append(connection)
            self._intend(connection, now)
            for settled in self._settled:
                _settle(connection, settled)
            self._withdraw(connection)
            self._measure(connection)

    def _compare(self, connection: sa.Connection, key: str) -> None:
        # Shared: whoever wants to change it waits for this transaction, and it for them.
        query = sa.select(states.c.version).where(states.c.key == key).with_for_update(read=True)
        if (connection.execute(query).scalar() or 0) != self._versions.get(key, 0):
            raise _changed(key)

    def _swap(self, connection: sa.Connection, key: str, body: str | None) -> None:
        version = self._versions.get(key, 0)
        if version == 0:
            row = {"key": key, "version": 1, "body": body}
            new = insert(connection, states).values(row).on_conflict_do_nothing()
            changed = inserted(connection, new)
        else:
            same = (states.c.key == key) & (states.c.version == version)
            update = sa.update(states).where(same).values(version=version + 1, body=body)
            changed = connection.execute(update).rowcount
        if changed != 1:
            raise _changed(key)

    def _append(self, connection: sa.Connection) -> None:
        if self._decisions:
            connection.execute(
                sa.insert(decisions),
                [
                    {"model": entry.model, "at": to_micros(entry.at), "body": encode(entry)}
                    for entry in self._decisions
                ],
            )
        if self._verdicts:
            connection.execute(
                sa.insert(verdicts),
                [
                    {"model": v.model, "start": to_micros(v.window.start), "body": encode(v)}
                    for v in self._verdicts
                ],
            )

    def _intend(self, connection: sa.Connection, now: datetime) -> None:
        for key, effect in self._effects.items():
            row = {
                "key": key,
                "kind": type(effect).__name__,
                "body": encode(effect),
                "status": "pending",
                "attempts": 0,
                "not_before": 0,
                "changed": to_micros(now),
                "problem": "",
            }
            if isinstance(effect, Notify):
                row["receiver"] = key_text(effect.receiver)
                row["incident"] = key_text(effect.incident)
            connection.execute(insert(connection, effects).values(row).on_conflict_do_nothing())

    def _withdraw(self, connection: sa.Connection) -> None:
        if not self._withdrawn:
            return
        same = (column == sa.bindparam(f"the_{column.name}") for column in metrics.primary_key)
        connection.execute(
            sa.delete(metrics).where(*same),
            [
                {f"the_{name}": part for name, part in _identity(point).items()}
                for point in self._withdrawn
            ],
        )

    def _measure(self, connection: sa.Connection) -> None:
        if not self._points:
            return
        rows = [_identity(point) | {"body": encode(point)} for point in self._points]
        statement = insert(connection, metrics)
        restate = statement.on_conflict_do_update(
            index_elements=list(metrics.primary_key.columns),
            set_={"body": statement.excluded.body},
        )
        connection.execute(restate, rows)


def _settle(connection: sa.Connection, settled: Settled) -> None:
    """Change an effect that is pending still."""
    table, at = effects, to_micros(settled.at)
    values: dict[str, object] = {"status": settled.status, "problem": storable(settled.said)}
    values |= {"not_before": at} if settled.status == "pending" else {"changed": at}
    if settled.status != "done":
        values["attempts"] = table.c.attempts + 1
    mine = table.c.number == settled.number
    update = sa.update(table).where(mine, table.c.status == "pending").values(values)
    if connection.execute(update).rowcount != 1:
        if connection.execute(sa.select(table.c.number).where(mine)).one_or_none() is None:
            raise NotFoundError(f"there is no effect number {settled.number}")
        raise ConflictError(f"effect number {settled.number} was settled by another writer")


def _changed(key: str) -> ConflictError:
    return ConflictError(f"state {key!r} was changed by another writer; read it and try again")


def _identity(point: MetricPoint) -> dict[str, str | int]:
    return {
        "model": point.model,
        "name": key_text(point.name),
        "start": to_micros(point.window.start),
        "end": to_micros(point.window.end),
        "version": key_text(point.version),
        "cohort": key_text(point.cohort),
        "segment": key_text(point.segment),
    }
