"""Bodies of rows: JSON, JSON lines, Arrow IPC streams; plain or compressed."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from starlette.requests import Request

from homeostat.domain.model import ModelSpec, Task
from homeostat.domain.record import LABEL_SCHEMA
from homeostat.engine.ports import Rejected
from homeostat.entrypoints.http.body import read_bytes
from homeostat.entrypoints.http.columns import CHOICES, complete, read_json
from homeostat.entrypoints.http.problem import ProblemError
from homeostat.entrypoints.http.rows import (
    Rows,
    Unread,
    read_labels,
    read_outcomes,
    read_predictions,
)

JSON = "application/json"
LINES = frozenset({"application/x-ndjson", "application/jsonl", "application/x-jsonlines"})
ARROW = "application/vnd.apache.arrow.stream"
LAYOUTS = 256
CONTINUATION = b"\xff" * 4
KNOWN = (JSON, *sorted(LINES), ARROW)

ReadRows = Callable[[ModelSpec, Sequence[object], datetime], Rows]
READERS: dict[str, ReadRows] = {
    "predictions": read_predictions,
    "labels": read_labels,
    "outcomes": read_outcomes,
}


async def read_body(request: Request, limit: int) -> tuple[str, bytes]:
    """Return the body's content type and its bytes, decompressed.

    Parameters
    ----------
    request : Request
    limit : int
        Most bytes of the body, and of what it decompresses to.

    Raises
    ------
    ProblemError
        415 if type or encoding are not known, 413 if it is too large, 400 if it is damaged.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in KNOWN:
        said = f"content type is {kind!r}" if kind else "there is no content type"
        raise ProblemError(415, said, f"send one of {', '.join(KNOWN)}", "Content-Type")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    body = await read_bytes(request, limit)
    if encoding == "identity":
        return kind, body
    if encoding != "gzip":
        said = f"content encoding is {encoding!r}"
        raise ProblemError(415, said, "send gzip, or do not compress", "Content-Encoding")
    return kind, inflate(body, limit)


async def read_object(request: Request, limit: int) -> dict[str, Any]:
    """Return the JSON object in a request's body; raises ProblemError as `read_body` does."""
    kind, body = await read_body(request, limit)
    if kind != JSON:
        raise ProblemError(415, f"content type is {kind!r}", f"send {JSON}", "Content-Type")
    return parse_object(body)


def inflate(body: bytes, limit: int) -> bytes:
    """Return gzip's content, of which never more than `limit` bytes are held.

    Examples
    --------
    >>> import gzip
    >>> inflate(gzip.compress(b"rows"), 100)
    b'rows'
    """
    stream = zlib.decompressobj(wbits=31)
    try:
        content = stream.decompress(body, limit + 1)
    except zlib.error as error:
        raise ProblemError(400, f"the body is not gzip: {error}", "compress it again") from None
    if len(content) > limit:
        remedy = "send fewer rows at a time, or raise server.max_request_mb"
        raise ProblemError(413, f"the body decompresses to more than {limit} bytes", remedy)
    if not stream.eof or stream.unused_data:
        raise ProblemError(400, "the body is no whole gzip stream", "send all of it, and only it")
    return content


def read_rows(spec: ModelSpec, field: str, kind: str, body: bytes, now: datetime) -> Rows:
    """Return the rows of a body; those that do not fit are set aside, their neighbours go on.

    Parameters
    ----------
    spec : ModelSpec
    field : str
        ``predictions``, ``labels`` or ``outcomes``.
    kind : str
        One of `KNOWN`.
    body : bytes
    now : datetime
        Arrival of labels that name none.

    Raises
    ------
    ProblemError
        If the body cannot be read at all.
    """
    if kind == ARROW:
        return _read_arrow(spec, field, body, now)
    lines = kind in LINES
    table = read_json(spec, field, body, lines=lines)
    if table is not None:
        return _whole(_arrived(table, now) if field == "labels" else table)
    items = _lines(body) if lines else list_of(parse_object(body), field)
    return READERS[field](spec, items, now)


def _whole(table: pa.Table) -> Rows:
    return Rows(table, tuple(range(table.num_rows)), ())


def _arrived(table: pa.Table, now: datetime) -> pa.Table:
    moment = pa.scalar(now, LABEL_SCHEMA.field("arrival").type)
    if "arrival" not in table.column_names:
        return table.append_column("arrival", pa.repeat(moment, table.num_rows))
    place = table.column_names.index("arrival")
    return table.set_column(place, "arrival", pc.fill_null(table.column("arrival"), moment))


def parse_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a body; raises ProblemError."""
    value = _parse(body)
    if not isinstance(value, dict):
        raise ProblemError(422, "the body must be a JSON object", "wrap it in {...}")
    return value


def _parse(text: bytes) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        remedy = "send valid JSON; NaN and Infinity are none, use null"
        raise ProblemError(400, f"the body is not JSON ({error.msg}, {place})", remedy) from None


def _lines(body: bytes) -> list[object]:
    items: list[object] = []
    for number, line in enumerate(body.split(b"\n"), 1):
        if line.strip():
            try:
                items.append(orjson.loads(line))
            except orjson.JSONDecodeError as error:
                # One line that is cut short must not cost its neighbours.
                text = line.decode(errors="replace")
                items.append(Unread(text, f"line {number} is not JSON ({error.msg})"))
    return items


def list_of(body: dict[str, Any], field: str) -> list[object]:
    """Return the list of rows in a JSON body; raises ProblemError."""
    for key in body:
        if key != field:
            raise ProblemError(422, "unknown field", f"send {{{field!r}: [...]}}", key)
    items = body.get(field)
    if not isinstance(items, list):
        said = "is missing" if items is None else "must be a list"
        raise ProblemError(422, f"{field} {said}", f"send {{{field!r}: [...]}}", field)
    return items


def _read_arrow(spec: ModelSpec, field: str, body: bytes, now: datetime) -> Rows:
    try:
        with pa.ipc.open_stream(pa.py_buffer(body)) as reader:
            table = reader.read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise ProblemError(
            400, f"the body is no Arrow IPC stream: {error}", "send the whole stream"
        ) from None
    layout = _layout(_prefix(body))
    if layout.twice is not None:
        said = f"there are two columns {layout.twice!r}"
        raise ProblemError(422, said, "name each once", layout.twice)
    names = layout.names
    for place in layout.dictionaries:
        column = table.column(place)
        table = table.set_column(place, names[place], column.cast(column.type.value_type))
    if field == "predictions" and spec.task is Task.MULTICLASS:
        items = table.to_pylist()
        return read_predictions(spec, [_as_json(item) for item in items], now)
    if field == "labels":
        return _whole(_arrived(_by_name(spec, table), now))
    if field == "outcomes":
        if "value" in names:
            table = table.rename_columns(["label" if n == "value" else n for n in names])
        return _whole(_arrived(table, now))
    return _choices(complete(spec, table))


def _as_json(item: dict[str, object]) -> dict[str, object]:
    return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in item.items()}


@dataclass(frozen=True, slots=True)
class _Layout:
    """What a stream's schema says: all of one sender's streams have the same."""

    names: tuple[str, ...]
    dictionaries: tuple[int, ...]
    twice: str | None


@functools.lru_cache(maxsize=LAYOUTS)
def _layout(prefix: bytes) -> _Layout:
    schema = pa.ipc.read_schema(pa.py_buffer(prefix))
    names = tuple(schema.names)
    dictionaries = (n for n, field in enumerate(schema) if pa.types.is_dictionary(field.type))
    twice = next((name for name in names if names.count(name) > 1), None)
    return _Layout(names, tuple(dictionaries), twice)


def _prefix(body: bytes) -> bytes:
    """Return a stream's first message, its schema.

    Four bytes of ones, which the oldest streams do not have, then the message's size.
    """
    start = 8 if body[:4] == CONTINUATION else 4
    return body[: start + int.from_bytes(body[start - 4 : start], "little")]


def _by_name(spec: ModelSpec, table: pa.Table) -> pa.Table:
    """Return labels that are class names as class indices; unknown names become null."""
    if "label" not in table.column_names or not pa.types.is_string(table.column("label").type):
        return table
    found = pc.index_in(table.column("label"), pa.array(spec.classes, pa.string()))
    place = table.column_names.index("label")
    return table.set_column(place, "label", found.cast(pa.float64()))


def _choices(table: pa.Table) -> Rows:
    rejected: list[Rejected] = []
    for name, allowed in CHOICES.items():
        known = np.asarray(pc.is_in(table.column(name), allowed), np.bool_)
        reason = f"must be one of {', '.join(map(str, allowed.to_pylist()))}"
        rejected += [Rejected(row, name, reason) for row in np.flatnonzero(~known).tolist()]
    if not rejected:
        return _whole(table)
    bad = {entry.row: entry for entry in reversed(rejected)}
    places = tuple(row for row in range(table.num_rows) if row not in bad)
    kept = table.take(pa.array(places, pa.int64()))
    lost = table.take(pa.array(sorted(bad), pa.int64())).to_pylist()
    originals = dict(zip(sorted(bad), lost, strict=True))
    return Rows(kept, places, tuple(bad[row] for row in sorted(bad)), originals)
