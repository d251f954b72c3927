"""From bodies of requests to the log, several at once."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from homeostat.domain.clock import Clock
from homeostat.domain.errors import HomeostatError
from homeostat.domain.model import ModelSpec
from homeostat.engine.ports import PredictionLog, Receipt
from homeostat.entrypoints.http.formats import read_rows
from homeostat.entrypoints.http.intake import Intake
from homeostat.entrypoints.http.rows import Rows


class Log(PredictionLog, Protocol):
    """A prediction log that takes several calls at once, and keeps refused rows to be looked at."""

    def append_each(
        self, spec: ModelSpec, kind: str, calls: Sequence[pa.Table]
    ) -> Sequence[Receipt | HomeostatError]:
        """Store the rows of several calls at once; `kind` is labels or predictions."""
        ...

    def refuse(self, spec: ModelSpec, kind: str, refused: Sequence[tuple[str, str, str]]) -> None:
        """Keep rows as (column, reason, JSON of the row); `kind` is labels or predictions."""
        ...

    def quarantined(self, model: str = "", limit: int = 100) -> Sequence[object]:
        """Return the newest refused rows as dataclasses, newest first."""
        ...


@dataclass(frozen=True, slots=True)
class Body:
    """Rows as they were sent.

    Attributes
    ----------
    spec : ModelSpec
    field : str
        ``predictions``, ``labels`` or ``outcomes``.
    kind : str
        Content type.
    content : bytes
    actor : str
        Who sent them.
    key : str
        Their Idempotency-Key, if any.
    """

    spec: ModelSpec
    field: str
    kind: str
    content: bytes
    actor: str
    key: str

    @property
    def place(self) -> str:
        """Where the key holds."""
        return f"{self.actor}/{self.spec.name}/{self.field}"


@dataclass(frozen=True, slots=True)
class Store:
    """Reads bodies and appends their rows.

    Parameters
    ----------
    log : Log
    clock : Clock
    intake : Intake
    max_bytes : int
        Of one body, decompressed.
    """

    log: Log
    clock: Clock
    intake: Intake
    max_bytes: int

    def each(self, bodies: Sequence[Body]) -> list[Receipt | Exception]:
        """Return the receipt of each body, or what is wrong with it."""
        answers: dict[int, Receipt | Exception] = {}
        found: dict[int, Rows] = {}
        for number, body in enumerate(bodies):
            try:
                known = self._known(body)
                if known is None:
                    found[number] = self._read(body)
                else:
                    answers[number] = known
            except Exception as error:  # noqa: BLE001 - raised where this one is answered
                answers[number] = error
        calls = defaultdict[tuple[str, str], list[int]](list)
        for number, rows in found.items():
            if rows.places:
                body = bodies[number]
                calls[body.spec.name, log_kind(body.field)].append(number)
            else:
                answers[number] = rows.receipt(Receipt(0))
        for (_, kind), numbers in calls.items():
            answers |= self._append(kind, numbers, bodies, found)
        for number in found:
            body, answer = bodies[number], answers[number]
            if body.key and isinstance(answer, Receipt):
                self.intake.remember(body.place, body.key, body.content, answer)
        return [answers[number] for number in range(len(bodies))]

    def _known(self, body: Body) -> Receipt | None:
        return self.intake.answered(body.place, body.key, body.content) if body.key else None

    def _read(self, body: Body) -> Rows:
        now = self.clock.now()
        rows = read_rows(body.spec, body.field, body.kind, body.content, now, self.max_bytes)
        self.intake.spend(body.actor, rows.count)
        self.refuse(body.spec, body.field, rows)
        return rows

    def _append(
        self, kind: str, numbers: Sequence[int], bodies: Sequence[Body], found: dict[int, Rows]
    ) -> dict[int, Receipt | Exception]:
        tables = [found[number].table for number in numbers]
        try:
            stored = self.log.append_each(bodies[numbers[0]].spec, kind, tables)
        except HomeostatError as error:
            return dict.fromkeys(numbers, error)
        return {
            number: found[number].receipt(answer) if isinstance(answer, Receipt) else answer
            for number, answer in zip(numbers, stored, strict=True)
        }

    def refuse(self, spec: ModelSpec, field: str, rows: Rows) -> None:
        """Keep the rows that could not be read."""
        if rows.rejected:
            refused = [
                (entry.column, entry.reason, as_text(rows.originals.get(entry.row)))
                for entry in rows.rejected
            ]
            self.log.refuse(spec, log_kind(field), refused)


def log_kind(field: str) -> str:
    """Return what the log calls the rows of a request."""
    return "predictions" if field == "predictions" else "labels"


def as_text(item: object) -> str:
    """Return a refused row as JSON, whatever it is made of."""
    return json.dumps(item, default=repr)
