"""What a version was trained on, exactly enough to rebuild the rows and to prove that.

A manifest is written before each training begins, and is part of the version's card.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from homeostat.domain.casting import unfolded
from homeostat.domain.model import Schema
from homeostat.domain.window import Window

ORDER = ("prediction_id", "timestamp")
LOG, HISTORY = "log", "history"


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A window that was left out of the training, and why."""

    window: Window
    why: str


@dataclass(frozen=True, slots=True)
class TrainingManifest:
    """One training's data, code and seed.

    Attributes
    ----------
    model, run_id : str
    window : Window
        Of the predictions' times.
    as_of : datetime
        Only labels that were known then.
    excluded : tuple of Exclusion
    rows : int
        Those trained on.
    answered, labelled : int
        Requests in the window outside of what is excluded, and those of them that had a label.
    content : str
        `content_hash` of the rows.
    schema : str
        `schema_hash` of the model's features.
    seed : int
        What the trainer's generators began with.
    code : str
        Reference to the code, as exact as the trainer knows it.
    parent : str
        The champion at that time; empty of a first version.
    origin : str
        ``log``: the prediction log, from which the rows can be read again; ``history``: a file that
        was handed in.
    """

    model: str
    run_id: str
    window: Window
    as_of: datetime
    rows: int
    content: str
    schema: str
    seed: int
    code: str = ""
    parent: str = ""
    excluded: tuple[Exclusion, ...] = ()
    answered: int = 0
    labelled: int = 0
    origin: str = LOG

    @property
    def coverage(self) -> float | None:
        """Share of the requests that had a label; None if there were none."""
        return self.labelled / self.answered if self.answered else None


def manifest_key(model: str, run_id: str) -> str:
    """Return the state key under which a run's manifest is kept."""
    return f"manifest:{model}:{run_id}"


def seed_of(run_id: str) -> int:
    """Return a run's seed, in [0, 2**32): a repeated run draws the same.

    Examples
    --------
    >>> seed_of("fraud-0004") == seed_of("fraud-0004") != seed_of("fraud-0005")
    True
    """
    return int.from_bytes(hashlib.sha256(run_id.encode()).digest()[:4], "big")


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
    else:
        texts = [json.dumps(value, default=str, ensure_ascii=False) for value in column.to_pylist()]
        yield b"other" + "\n".join(texts).encode(errors="surrogatepass")


def _numbers(column: pa.ChunkedArray[Any], kind: np.dtype[Any]) -> bytes:
    """Return the values, with 0 for what is missing."""
    filled = column.fill_null(pa.scalar(0, column.type)) if column.null_count else column
    return np.asarray(filled.to_numpy(), dtype=kind).tobytes()
