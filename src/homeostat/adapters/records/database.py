"""Everything that is decided and why, in a SQL database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from operator import attrgetter
from typing import Any, TypeVar

import sqlalchemy as sa

from homeostat.adapters.records.codec import as_given, decode, from_micros, key_text, to_micros
from homeostat.adapters.records.engine import Database
from homeostat.adapters.records.tables import (
    decisions,
    effects,
    metrics,
    reference_profiles,
    states,
    verdicts,
)
from homeostat.adapters.records.unit import Unit
from homeostat.domain.clock import Clock
from homeostat.domain.decision import Decision
from homeostat.domain.effect import CancelTraining, Effect, Notify, StartTraining
from homeostat.domain.errors import StorageError
from homeostat.domain.verdict import MetricPoint, Verdict
from homeostat.domain.window import Window
from homeostat.engine.ports import Delivery, PendingEffect
from homeostat.profiles.format import from_bytes, to_bytes
from homeostat.profiles.profile import Profile

S = TypeVar("S")


class DatabaseRecords:
    """Implements `homeostat.engine.ports.Records` on SQLite or PostgreSQL.

    Parameters
    ----------
    url : str
        SQLAlchemy URL. The schema is created or migrated when it is opened.
    clock : Clock
        Dates what is written.
    synchronous : str
        SQLite's setting; only simulations may want ``OFF``.

    Raises
    ------
    StorageError
        If the database cannot be opened, or was written by a newer Homeostat.

    Notes
    -----
    Units of work are optimistic: nothing is locked while one is open. A state that was saved
    without having been loaded in the same unit is taken to be new.
    """

    def __init__(self, url: str, clock: Clock, synchronous: str = "FULL") -> None:
        self.clock = clock
        self.database = Database(url, synchronous)

    def close(self) -> None:
        """Close the connections."""
        self.database.close()

    @contextmanager
    def begin(self) -> Iterator[Unit]:
        """Open a unit of work; it commits at the end of the block, an exception discards it."""
        unit = Unit(self.database)
        yield unit
        unit.commit(self.clock.now())

    def read(self, key: str, kind: type[S]) -> S | None:
        """Return a state without intent to change it."""
        return Unit(self.database).load(key, kind)

    def keys(self, prefix: str) -> tuple[str, ...]:
        """Return the state keys with the prefix, sorted."""
        query = sa.select(states.c.key).where(
            states.c.key.startswith(prefix, autoescape=True), states.c.body.is_not(None)
        )
        with self.database.read() as connection:
            found = connection.execute(query).scalars().all()
        # SQLite's LIKE ignores the case of ASCII letters, and collations sort differently.
        return tuple(sorted(key for key in found if key.startswith(prefix)))

    def decisions(
        self, model: str = "", since: datetime | None = None, limit: int | None = None
    ) -> tuple[Decision, ...]:
        """Return decisions in the order written; with `limit`, the newest ones."""
        query = sa.select(decisions.c.body).order_by(decisions.c.number.desc()).limit(limit)
        if model:
            query = query.where(decisions.c.model == model)
        if since is not None:
            query = query.where(decisions.c.at >= to_micros(since))
        with self.database.read() as connection:
            bodies = connection.execute(query).scalars().all()
        return tuple(decode(body, Decision) for body in reversed(bodies))

    def verdicts(
        self, model: str, since: datetime | None = None, until: datetime | None = None
    ) -> tuple[Verdict, ...]:
        """Return verdicts whose window starts in [since, until), in the order written."""
        query = sa.select(verdicts.c.body).where(verdicts.c.model == model)
        query = query.where(*_period(verdicts.c.start, since, until)).order_by(verdicts.c.number)
        with self.database.read() as connection:
            bodies = connection.execute(query).scalars().all()
        return tuple(decode(body, Verdict) for body in bodies)

    def metrics(
        self,
        model: str,
        name: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        segment: str | None = "",
        limit: int | None = None,
    ) -> tuple[MetricPoint, ...]:
        """Return points whose window starts in [since, until), by window, name, version, cohort.

        Of all rows; with `segment` of that segment, with None of every one. Of more than `limit`
        points the last in that order.
        """
        query = sa.select(metrics.c.body).where(metrics.c.model == model)
        query = query.where(*_period(metrics.c.start, since, until))
        if name:
            query = query.where(metrics.c.name == key_text(name))
        if segment is not None:
            query = query.where(metrics.c.segment == key_text(segment))
        if limit is not None:
            key = ("start", "end", "name", "version", "cohort", "segment")
            query = query.order_by(*(metrics.c[part].desc() for part in key)).limit(limit)
        with self.database.read() as connection:
            points = [decode(b, MetricPoint) for b in connection.execute(query).scalars()]
        order = attrgetter("window", "name", "version", "cohort", "segment")
        return tuple(sorted(points, key=order))

    def pending(self, now: datetime) -> tuple[PendingEffect, ...]:
        """Return effects due at `now`, oldest first."""
        query = (
            sa.select(effects)
            .where(effects.c.status == "pending", effects.c.not_before <= to_micros(now))
            .order_by(effects.c.number)
        )
        with self.database.read() as connection:
            rows = connection.execute(query).all()
        return tuple(
            PendingEffect(
                row.number, _effect(row.kind, row.body), row.attempts, from_micros(row.not_before)
            )
            for row in rows
        )

    def undelivered(self) -> dict[str, int]:
        """Return how many notifications to each receiver were given up."""
        query = (
            sa.select(effects.c.receiver, sa.func.count())
            .where(effects.c.status == "dead", effects.c.kind == Notify.__name__)
            .group_by(effects.c.receiver)
        )
        with self.database.read() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def deliveries(
        self, limit: int, receiver: str = "", incident: str = ""
    ) -> tuple[Delivery, ...]:
        """Return the newest notices and what became of them, newest first."""
        query = sa.select(effects).where(effects.c.kind == Notify.__name__)
        if receiver:
            query = query.where(effects.c.receiver == key_text(receiver))
        if incident:
            query = query.where(effects.c.incident == key_text(incident))
        query = query.order_by(effects.c.number.desc()).limit(limit)
        with self.database.read() as connection:
            rows = connection.execute(query).all()
        return tuple(_delivery(row) for row in rows)

    def save_reference(
        self, model: str, version: str, profiles: Sequence[tuple[Window, Profile]]
    ) -> None:
        """Store the reference windows of a version, replacing earlier ones."""
        table = reference_profiles
        rows = [
            {
                "model": model,
                "version": version,
                "start": to_micros(window.start),
                "end": to_micros(window.end),
                "profile": to_bytes(profile),
            }
            for window, profile in profiles
        ]
        earlier = sa.delete(table).where(table.c.model == model, table.c.version == version)
        with self.database.write() as connection:
            connection.execute(earlier)
            if rows:
                connection.execute(sa.insert(table), rows)

    def reference(self, model: str, version: str) -> tuple[tuple[Window, Profile], ...]:
        """Return the reference windows of a version, by time; empty if there are none."""
        table = reference_profiles
        query = (
            sa.select(table.c.start, table.c.end, table.c.profile)
            .where(table.c.model == model, table.c.version == version)
            .order_by(table.c.start, table.c.end)
        )
        with self.database.read() as connection:
            rows = connection.execute(query).all()
        return tuple(
            (Window(from_micros(row.start), from_micros(row.end)), from_bytes(row.profile))
            for row in rows
        )


def _period(
    start: sa.ColumnElement[int], since: datetime | None, until: datetime | None
) -> list[sa.ColumnElement[bool]]:
    bounds: list[sa.ColumnElement[bool]] = [sa.true()]
    if since is not None:
        bounds.append(start >= to_micros(since))
    if until is not None:
        bounds.append(start < to_micros(until))
    return bounds


def _delivery(row: sa.Row[Any]) -> Delivery:
    waits, done = row.status == "pending", row.status == "done"
    return Delivery(
        number=row.number,
        notice=decode(row.body, Notify),
        status=row.status,
        attempts=row.attempts + done,
        at=from_micros(row.not_before if waits else row.changed),
        said=as_given(row.problem),
    )


def _effect(kind: str, body: str) -> Effect:
    kinds: dict[str, type[Effect]] = {
        cls.__name__: cls for cls in (Notify, StartTraining, CancelTraining)
    }
    if kind not in kinds:
        raise StorageError(f"an effect of unknown kind {kind!r} is on record; upgrade Homeostat")
    return decode(body, kinds[kind])
