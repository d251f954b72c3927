"""Messages of a topic as tables for the log; one that cannot be read is set aside with its place.

A row that fits is stored once however often its message comes: what a message does not say itself,
such as when a label arrived, is taken from when it was sent, which does not change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from homeostat.adapters.kafka import Message
from homeostat.domain.errors import DataError
from homeostat.domain.model import ModelSpec
from homeostat.domain.record import LABEL_SCHEMA
from homeostat.entrypoints.http.columns import read_json
from homeostat.entrypoints.http.formats import ARROW, JSON, KNOWN, READERS, inflate, read_rows
from homeostat.entrypoints.http.problem import ProblemError
from homeostat.entrypoints.http.rows import Rows, Unread

FEW = 200
"""Messages that are read row by row if one of them is odd."""
KEPT_CHARACTERS = 65_536
"""Of a message that cannot be read: the rest is still in its topic."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows that fit, and the messages they came from where these stand or fall as a whole."""

    rows: pa.Table
    messages: tuple[Message, ...] = ()


@dataclass
class Parsed:
    """What messages hold: rows, and what is refused as (column, reason, JSON)."""

    tables: list[Table] = field(default_factory=list)
    refused: list[tuple[str, str, str]] = field(default_factory=list)
    poisoned: int = 0
    empty: int = 0

    def poison(self, message: Message, reason: str) -> None:
        """Set a message aside that cannot be read."""
        self.poisoned += 1
        text = (message.value or b"").decode(errors="replace")
        row = text if len(text) <= KEPT_CHARACTERS else f"{text[:KEPT_CHARACTERS]}..."
        self.refused.append(("", f"{reason} ({message.place})", _json(row)))


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads messages of one topic.

    Parameters
    ----------
    spec : ModelSpec
    field : str
        ``predictions``, ``labels`` or ``outcomes``.
    usual : str
        Content type of messages that name none.
    limit : int
        Most bytes of a message, decompressed.
    """

    spec: ModelSpec
    field: str
    usual: str
    limit: int

    def read(self, messages: Sequence[Message], now: datetime) -> Parsed:
        """Return what the messages hold.

        Parameters
        ----------
        messages : sequence of Message
        now : datetime
            Arrival of labels that name none, in messages that do not say when they were sent.
        """
        found = Parsed()
        texts: list[tuple[Message, bytes]] = []
        for message in messages:
            if not message.value:
                found.empty += 1
                continue
            try:
                kind, body = self._body(message, message.value)
                if kind == ARROW:
                    sent = _sent(message, now)
                    rows = read_rows(self.spec, self.field, ARROW, body, sent, self.limit)
                    _take(found, rows, message)
                else:
                    texts.append((message, body))
            except (ProblemError, DataError) as error:
                found.poison(message, str(error))
        if texts:
            read = Parsed(refused=found.refused)
            self._texts(texts, now, read)
            found.poisoned += read.poisoned
            if read.tables:
                # Each table that is stored costs a write to the disk.
                tables = [table.rows for table in read.tables]
                found.tables.append(Table(pa.concat_tables(tables, promote_options="default")))
        return found

    def _body(self, message: Message, value: bytes) -> tuple[str, bytes]:
        kind = message.headers.get("content-type", "").partition(";")[0].strip().lower()
        kind = kind or self.usual
        if kind not in KNOWN:
            raise ProblemError(415, f"content type is {kind!r}, not one of {', '.join(KNOWN)}")
        encoding = message.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in {"identity", "gzip"}:
            raise ProblemError(415, f"content encoding is {encoding!r}, not gzip")
        body = inflate(value, self.limit) if encoding == "gzip" else value
        if len(body) > self.limit:
            raise ProblemError(413, f"the message has {len(body)} bytes, more than {self.limit}")
        return kind, body

    def _texts(self, texts: list[tuple[Message, bytes]], now: datetime, found: Parsed) -> None:
        """Read JSON, all messages at once if each is one plainly good row."""
        bodies = [body.strip() for _, body in texts]
        if all(body.startswith(b"{") and b"\n" not in body for body in bodies):
            table = read_json(self.spec, self.field, b"\n".join(bodies), lines=True)
            if table is not None and table.num_rows == len(texts):
                sent = [_sent(message, now) for message, _ in texts]
                whole = table if self.field == "predictions" else _arrived(table, sent)
                found.tables.append(Table(whole))
                return
        if len(texts) > FEW:
            self._halves(texts, now, found)
            return
        items: list[object] = []
        for message, body in texts:
            try:
                some = _items(body, self.field, message)
            except ProblemError as error:
                found.poison(message, error.error)
                continue
            if self.field != "predictions":
                moment = _sent(message, now).isoformat()
                some = [_with_arrival(item, moment) for item in some]
            items += some
        try:
            rows = READERS[self.field](self.spec, items, now)
        except DataError as error:  # too many of its rows do not fit
            if len(texts) == 1:
                found.poison(texts[0][0], str(error))
            else:
                self._halves(texts, now, found)
            return
        _take(found, rows, None)

    def _halves(self, texts: list[tuple[Message, bytes]], now: datetime, found: Parsed) -> None:
        middle = len(texts) // 2
        self._texts(texts[:middle], now, found)
        self._texts(texts[middle:], now, found)


def _items(body: bytes, name: str, message: Message) -> list[object]:
    """Return the rows of a message: one, a list, an object around a list, or one a line."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        lines = [line for line in body.split(b"\n") if line.strip()]
        if len(lines) < 2:
            raise ProblemError(400, f"the message is not JSON ({error.msg})") from None
        return [_line(line, number, message) for number, line in enumerate(lines, 1)]
    if isinstance(value, dict):
        inner = value.get(name)
        return inner if len(value) == 1 and isinstance(inner, list) else [value]
    if isinstance(value, list):
        return value
    raise ProblemError(422, "the message is neither a JSON object nor a list")


def _line(line: bytes, number: int, message: Message) -> object:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        reason = f"line {number} is not JSON ({error.msg}; {message.place})"
        return Unread(line.decode(errors="replace"), reason)


def _with_arrival(item: object, moment: str) -> object:
    if isinstance(item, dict) and item.get("arrival") is None:
        return {**item, "arrival": moment}
    return item


def _take(found: Parsed, rows: Rows, message: Message | None) -> None:
    for rejected in rows.rejected:
        text = _json(rows.originals.get(rejected.row))
        found.refused.append((rejected.column, rejected.reason, text))
    if not rows.places:
        return
    if message is None:
        found.tables.append(Table(rows.table))
        return
    last = found.tables[-1] if found.tables else Table(rows.table)
    if last.messages and last.rows.schema.equals(rows.table.schema, check_metadata=True):
        both = pa.concat_tables([last.rows, rows.table])
        found.tables[-1] = Table(both, (*last.messages, message))
    else:
        found.tables.append(Table(rows.table, (message,)))


def _sent(message: Message, now: datetime) -> datetime:
    # A producer whose clock is ahead must not have its labels refused.
    return now if message.at is None else min(message.at, now)


def _arrived(table: pa.Table, sent: Sequence[datetime]) -> pa.Table:
    moments = pa.chunked_array([pa.array(sent, LABEL_SCHEMA.field("arrival").type)])
    if "arrival" not in table.column_names:
        return table.append_column("arrival", moments)
    place = table.column_names.index("arrival")
    return table.set_column(place, "arrival", pc.coalesce(table.column("arrival"), moments))


def _json(item: object) -> str:
    return orjson.dumps(item, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()


USUAL = {"json": JSON, "arrow": ARROW}
