"""What rows and schemas hold, as one hash: the same rows have the same one wherever they lie."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from homeostat.domain.casting import is_text, unfolded
from homeostat.domain.model import Schema

ORDER = ("prediction_id", "timestamp")


def schema_hash(schema: Schema) -> str:
    """Return the SHA-256 of the features' names, kinds and closed lists, in order.

    Examples
    --------
    >>> from homeostat.domain.model import Column, ColumnKind
    >>> one = Column("amount", ColumnKind.NUMERIC)
    >>> schema_hash(Schema((one,))) == schema_hash(Schema(()))
    False
    """
    told = [[c.name, c.kind.value, c.nullable, c.categories] for c in schema.columns]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def content_hash(rows: pa.Table) -> str:
    """Return the SHA-256 of a table's values, whatever the order of its rows and columns.

    Rows are taken by prediction id and time, columns by name; how values lie in memory (chunks,
    dictionaries, the width of whole numbers) does not count.

    Parameters
    ----------
    rows : pyarrow.Table
        With ``prediction_id`` or ``timestamp``; rows that are alike in both keep their order.

    Examples
    --------
    >>> rows = pa.table({"prediction_id": ["a", "b"], "amount": [1.0, 2.0]})
    >>> content_hash(rows) == content_hash(rows.take([1, 0]).select(["amount", "prediction_id"]))
    True
    >>> content_hash(rows) == content_hash(rows.set_column(1, "amount", pa.array([1.0, 2.5])))
    False
    """
    by = [name for name in ORDER if name in rows.column_names]
    if by:
        place = pa.array(np.arange(rows.num_rows, dtype=np.int64))
        keys = pa.table({**{name: rows[name] for name in by}, "place": place})
        rows = rows.take(pc.sort_indices(keys, [(name, "ascending") for name in (*by, "place")]))
    digest = hashlib.sha256(str(rows.num_rows).encode())
    for name in sorted(rows.column_names):
        digest.update(json.dumps(name).encode())
        for part in _bytes(rows[name]):
            digest.update(part)
    return digest.hexdigest()


def _bytes(column: pa.ChunkedArray[Any]) -> Iterator[bytes]:
    """Yield a column's missing values and its values, in one form for each family of types."""
    column = unfolded(column)
    kind = column.type
    yield np.packbits(np.asarray(column.is_null().to_numpy(), dtype=np.bool_)).tobytes()
    if pa.types.is_temporal(kind) and not pa.types.is_duration(kind):
        moments = column.cast(pa.timestamp("us", getattr(kind, "tz", None))).cast(pa.int64())
        yield b"time" + _numbers(moments, np.dtype("<i8"))
    elif pa.types.is_integer(kind):
        yield b"whole" + _numbers(column.cast(pa.int64()), np.dtype("<i8"))
    elif pa.types.is_floating(kind):
        values = np.frombuffer(_numbers(column.cast(pa.float64()), np.dtype("<f8")), "<f8")
        yield b"float" + np.where(np.isnan(values), np.nan, values).tobytes()
    elif pa.types.is_boolean(kind):
        yield b"bool" + _numbers(column.cast(pa.int8()), np.dtype("<i8"))
    elif is_text(kind):
        yield b"text"
        yield from _texts(column)
    else:
        texts = [json.dumps(value, default=str, ensure_ascii=False) for value in column.to_pylist()]
        yield b"other" + "\n".join(texts).encode(errors="surrogatepass")


def _texts(column: pa.ChunkedArray[Any]) -> Iterator[bytes]:
    """Yield the lengths of texts, and the texts; what is missing has none."""
    filled = column.cast(pa.large_string()).fill_null(pa.scalar("", pa.large_string()))
    lengths: list[NDArray[np.int64]] = []
    parts: list[bytes] = []
    for chunk in filter(len, filled.chunks):
        _, places, held = chunk.buffers()
        assert places is not None  # a chunk with rows has them
        own = np.frombuffer(memoryview(places), "<i8")[chunk.offset :][: len(chunk) + 1]
        lengths.append(np.diff(own))
        parts.append(memoryview(held or b"")[int(own[0]) : int(own[-1])].tobytes())
    yield b"".join(part.tobytes() for part in lengths)
    yield from parts


def _numbers(column: pa.ChunkedArray[Any], kind: np.dtype[Any]) -> bytes:
    """Return the values, with 0 for what is missing."""
    filled = column.fill_null(pa.scalar(0, column.type)) if column.null_count else column
    return np.asarray(filled.to_numpy(), dtype=kind).tobytes()
