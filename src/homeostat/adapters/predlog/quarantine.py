"""Refused rows: counted, looked at, mended, taken again or dropped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa

from homeostat.adapters.predlog.catalogue import Quarantined
from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.records.codec import encode, from_micros, to_micros
from homeostat.adapters.records.engine import Database
from homeostat.adapters.records.tables import decisions, log_quarantine
from homeostat.domain.decision import Decision
from homeostat.domain.errors import ConflictError, NotFoundError

NUMBERS_AT_ONCE = 500
QUOTA = 128 * 2**20
"""Bytes of a model's refused rows that are kept; the oldest make room."""
OVERHEAD = 200
"""Bytes that an entry takes besides its texts."""
MOST_ROW = 2**16
"""Characters of a refused row that are kept."""
OTHER_CONTENT = ("prediction_id", "is logged already with another timestamp or score")
ACTOR = "homeostat"
DROPPED = "drop_refused"


@dataclass(frozen=True, slots=True)
class Refused:
    """How many rows were refused for one reason."""

    kind: str
    column: str
    reason: str
    rows: int


@dataclass(frozen=True, slots=True)
class Quarantine:
    """The refused rows of one model. Every method raises StorageError if the database failed."""

    database: Database
    model: str

    def counts(self) -> tuple[Refused, ...]:
        """Return the reasons, most frequent first."""
        table, rows = log_quarantine, sa.func.count().label("rows")
        parts = (table.c.kind, table.c.column, table.c.reason)
        query = sa.select(*parts, rows).where(table.c.model == self.model).group_by(*parts)
        with self.database.read() as connection:
            found = connection.execute(query.order_by(rows.desc(), *parts)).all()
        return tuple(Refused(r.kind.lower(), r.column, r.reason, r.rows) for r in found)

    def oldest(self, limit: int, after: int = 0) -> tuple[Quarantined, ...]:
        """Return refused rows with larger numbers than `after`, oldest first."""
        mine = (log_quarantine.c.model == self.model) & (log_quarantine.c.number > after)
        query = sa.select(log_quarantine).where(mine).order_by(log_quarantine.c.number)
        with self.database.read() as connection:
            return tuple(map(_entry, connection.execute(query.limit(limit)).mappings()))

    def get(self, numbers: Sequence[int]) -> tuple[Quarantined, ...]:
        """Return refused rows by their numbers; raises NotFoundError if one is not there."""
        found: dict[int, Quarantined] = {}
        with self.database.read() as connection:
            for start in range(0, len(numbers), NUMBERS_AT_ONCE):
                some = self._some(numbers[start : start + NUMBERS_AT_ONCE])
                for row in connection.execute(sa.select(log_quarantine).where(some)).mappings():
                    found[row["number"]] = _entry(row)
        for number in numbers:
            if number not in found:
                raise NotFoundError(f"no refused row of {self.model} has the number {number}")
        return tuple(found[number] for number in numbers)

    def drop(self, numbers: Sequence[int]) -> int:
        """Delete refused rows; return how many there were."""
        gone = 0
        with self.database.write() as connection:
            for start in range(0, len(numbers), NUMBERS_AT_ONCE):
                some = self._some(numbers[start : start + NUMBERS_AT_ONCE])
                gone += connection.execute(sa.delete(log_quarantine).where(some)).rowcount
        return gone

    def release(self, entries: Sequence[Quarantined]) -> None:
        """Delete entries that say what they said when they were read; others stay as they are."""
        table = log_quarantine
        asked = [{f"was_{name}": value for name, value in _said(one).items()} for one in entries]
        if asked:
            same = (table.c[name] == sa.bindparam(f"was_{name}") for name in _said(entries[0]))
            with self.database.write() as connection:
                connection.execute(sa.delete(table).where(self._mine(), *same), asked)

    def clear(self) -> int:
        """Delete all refused rows; return how many there were."""
        with self.database.write() as connection:
            mine = log_quarantine.c.model == self.model
            return connection.execute(sa.delete(log_quarantine).where(mine)).rowcount

    def trim(self, now: datetime, most: int = QUOTA) -> int:
        """Delete the oldest rows beyond so many bytes; return how many there were.

        A decision `drop_refused` says so.
        """
        table = log_quarantine
        mine = table.c.model == self.model
        texts = (table.c.row, table.c.reason, table.c.column)
        sizes = sum(map(sa.func.length, texts), sa.literal(OVERHEAD))
        held = sa.func.sum(sizes).over(order_by=table.c.number.desc())
        every = sa.select(table.c.number, held.label("held")).where(mine).subquery()
        last = sa.select(sa.func.max(every.c.number)).where(every.c.held > most)
        with self.database.read() as connection:  # nobody waits while sizes are added up
            number = connection.execute(last).scalar()
        if number is None:
            return 0
        with self.database.write() as connection:
            gone = connection.execute(sa.delete(table).where(mine, table.c.number <= number))
            rows = gone.rowcount
            reason = f"more than {most:,} bytes of refused rows: the {rows:,} oldest went"
            counts = (("rows", float(rows)),)
            said = Decision(self.model, now, ACTOR, DROPPED, "quarantine", reason, counts)
            told = {"model": self.model, "at": to_micros(now), "body": encode(said)}
            connection.execute(sa.insert(decisions), [told])
        return rows

    def refile(self, entry: Quarantined, column: str, reason: str, row: str) -> Quarantined:
        """Change what an entry says; an entry that says the same already takes its place.

        Raises
        ------
        NotFoundError
            If it was dropped meanwhile.
        ConflictError
            If it says something else than when it was read.
        """
        new = replace(entry, column=column, reason=reason, row=row)
        table = log_quarantine
        same = (table.c.digest == new.digest) & (table.c.number != entry.number)
        values = {"digest": new.digest, "column": column, "reason": reason, "row": row}
        with self.database.write() as connection:
            connection.execute(sa.delete(table).where(same))
            here = (table.c[name] == value for name, value in _said(entry).items())
            update = sa.update(table).where(self._mine(), *here).values(values)
            if connection.execute(update).rowcount != 1:
                there = sa.select(table.c.number).where(self._some([entry.number]))
                said = f"the refused row {entry.number} of {self.model} was"
                if connection.execute(there).first() is None:
                    raise NotFoundError(f"{said} dropped meanwhile")
                raise ConflictError(f"{said} changed meanwhile; look at it again")
        return new

    def _mine(self) -> sa.ColumnElement[bool]:
        return log_quarantine.c.model == self.model

    def _some(self, numbers: Sequence[int]) -> sa.ColumnElement[bool]:
        mine = log_quarantine.c.model == self.model
        return sa.and_(mine, log_quarantine.c.number.in_(numbers))


def kept_row(reason: str, row: object) -> tuple[str, str]:
    """Return why a row was refused, and its JSON.

    Of a row of more than `MOST_ROW` characters its beginning is kept, as a JSON text.
    """
    text = json.dumps(row, default=str)
    if len(text) > MOST_ROW:
        reason += f"; only the first {MOST_ROW:,} of {len(text):,} characters are kept"
        text = json.dumps(text[:MOST_ROW])
    return reason, text


def _said(entry: Quarantined) -> dict[str, object]:
    """Return what tells whether an entry was changed; the stored digest may be of other text."""
    return {
        "number": entry.number,
        "column": entry.column,
        "reason": entry.reason,
        "row": entry.row,
    }


def _entry(r: sa.RowMapping) -> Quarantined:
    at = from_micros(r["at"])
    return Quarantined(
        r["model"], Kind[r["kind"]], at, r["column"], r["reason"], r["row"], r["number"]
    )
