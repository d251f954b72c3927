"""Bodies of rows: JSON, JSON lines, Arrow IPC streams; plain or compressed."""

from __future__ import annotations

import contextlib
import io
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from starlette.requests import Request

from homeostat.domain.model import ModelSpec
from homeostat.domain.record import LABEL_SCHEMA
from homeostat.entrypoints.http.arrow import read_arrow
from homeostat.entrypoints.http.body import read_bytes
from homeostat.entrypoints.http.columns import read_json
from homeostat.entrypoints.http.intake import Share
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
LONG = 20
HALF = re.compile(rb"\\u[dD][89a-fA-F]")
"""Halves of surrogate pairs: alone they are no text."""
KNOWN = (JSON, *sorted(LINES), ARROW)

ReadRows = Callable[[ModelSpec, Iterable[object], datetime], Rows]
READERS: dict[str, ReadRows] = {
    "predictions": read_predictions,
    "labels": read_labels,
    "outcomes": read_outcomes,
}


async def read_body(request: Request, limit: int, share: Share | None = None) -> tuple[str, bytes]:
    """Return the body's content type and its bytes, decompressed.

    Parameters
    ----------
    request : Request
    limit : int
        Most bytes of the body, and of what it decompresses to.
    share : Share, optional
        Holds the bytes.

    Raises
    ------
    ProblemError
        415 if type or encoding are not known, 413 if it is too large, 400 if it is damaged, 408 if
        it does not come, 429 if there is no room for it.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in KNOWN:
        said = f"content type is {kind!r}" if kind else "there is no content type"
        raise ProblemError(415, said, f"send one of {', '.join(KNOWN)}", "Content-Type")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip"}:
        said = f"content encoding is {encoding!r}"
        raise ProblemError(415, said, "send gzip, or do not compress", "Content-Encoding")
    body = await read_bytes(request, limit, share)
    if encoding == "identity":
        return kind, body
    if share is not None:
        share.grow(limit)
    content = inflate(body, limit)
    if share is not None:
        share.shrink(limit - len(content))
    return kind, content


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


def read_rows(
    spec: ModelSpec, field: str, kind: str, body: bytes, now: datetime, limit: int
) -> Rows:
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
    limit : int
        Most bytes of the body, and of what is in it decompressed.

    Raises
    ------
    ProblemError
        If the body cannot be read at all.
    DataError
        If more than `MOST_REFUSED` rows do not fit.
    """
    if kind == ARROW:
        return read_arrow(spec, field, body, now, limit)
    lines = kind in LINES
    table = read_json(spec, field, body, lines=lines)
    if table is not None:
        return _whole(_arrived(table, now) if field == "labels" else table)
    items = _lines(body) if lines else list_of(parse_object(body, loosely=True), field)
    return READERS[field](spec, items, now)


def _whole(table: pa.Table) -> Rows:
    return Rows(table, tuple(range(table.num_rows)), ())


def _arrived(table: pa.Table, now: datetime) -> pa.Table:
    moment = pa.scalar(now, LABEL_SCHEMA.field("arrival").type)
    if "arrival" not in table.column_names:
        return table.append_column("arrival", pa.repeat(moment, table.num_rows))
    place = table.column_names.index("arrival")
    return table.set_column(place, "arrival", pc.fill_null(table.column("arrival"), moment))


def parse_object(body: bytes, *, loosely: bool = False) -> dict[str, Any]:
    """Return the JSON object in a body; raises ProblemError.

    With `loosely` numbers may be none that JSON has, NaN or 1e999: who reads them tells in which
    rows they stand.
    """
    value = _parse(body, loosely=loosely)
    if not isinstance(value, dict):
        raise ProblemError(422, "the body must be a JSON object", "wrap it in {...}")
    return value


def _parse(text: bytes, *, loosely: bool) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if loosely and not HALF.search(text):
            with contextlib.suppress(ValueError, RecursionError):
                return json.loads(text.decode(), parse_int=_integer)
        place = f"line {error.lineno}, column {error.colno}"
        remedy = "send valid JSON; NaN and Infinity are none, use null"
        raise ProblemError(400, f"the body is not JSON ({error.msg}, {place})", remedy) from None


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) < LONG else float(digits)


def _lines(body: bytes) -> Iterator[object]:
    for number, line in enumerate(io.BytesIO(body), 1):
        if line.strip():
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError as error:
                # One line that is cut short must not cost its neighbours.
                text = line.rstrip(b"\n").decode(errors="replace")
                yield Unread(text, f"line {number} is not JSON ({error.msg})")


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
