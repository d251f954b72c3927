"""Rows by the values of a model's segment columns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.domain.errors import NotFoundError
from homeostat.domain.model import SEGMENT_JOINT, ModelSpec
from homeostat.domain.verdict import segment_name

REST = ""
"""Stands for the rows of all segments beyond the most that are told apart."""


def columns_of(spec: ModelSpec, segment: str) -> tuple[str, ...]:
    """Return the features by which a segment such as ``country=FR & new=true`` is told.

    Raises
    ------
    NotFoundError
        If the model has no such segments.
    """
    for names in sorted(spec.segment_columns, key=len, reverse=True):
        starts = [f"{name}=" for name in names]
        starts[1:] = [f" {SEGMENT_JOINT} {start}" for start in starts[1:]]
        at = 0
        for start in starts:
            found = segment.find(start, at) if at else (0 if segment.startswith(start) else -1)
            if found < 0:
                break
            at = found + len(start)
        else:
            return names
    known = ", ".join(spec.segments) or "none"
    raise NotFoundError(f"{spec.name} has no segment {segment!r}; its segments are by: {known}")


def names_value(text: str, value: str) -> bool:
    """Whether a text names a segment with this value.

    Examples
    --------
    >>> names_value("amount [land=FR & card=card 1]", "card 1")
    True
    >>> names_value("card=card 12", "card 1")
    False
    """
    return _mention(value).search(text) is not None


def rename_value(text: str, value: str, other: str) -> str:
    """Return a text whose segments have another value instead of this one.

    Examples
    --------
    >>> rename_value("auc of land=FR & new=true from 0.9", "FR", "(erased)")
    'auc of land=(erased) & new=true from 0.9'
    """
    return _mention(value).sub(lambda _: other, text)


def _mention(value: str) -> re.Pattern[str]:
    # What follows a segment's name in subjects of verdicts, names of figures and reasons.
    after = rf"(?=$| {SEGMENT_JOINT} |[\],;:]| (?:from|is|was|had|has|in|of)\b)"
    return re.compile(f"(?<==){re.escape(value)}{after}")


def groups(table: pa.Table, names: Sequence[str]) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Yield each combination of values by its name, and the rows that have it, in order.

    Examples
    --------
    >>> rows = pa.table({"land": ["FR", "DE", None, "DE"]})
    >>> [(name, at.tolist()) for name, at in groups(rows, ["land"])]
    [('land=FR', [0]), ('land=DE', [1, 3]), ('land=(missing)', [2])]
    """
    # By place, not by name: a feature may be called whatever a helper is.
    keys = [str(place) for place in range(len(names))]
    numbers = pa.array(np.arange(table.num_rows, dtype=np.int64))
    columns = dict(zip(keys, table.select(list(names)).columns, strict=True))
    found = pa.table(columns | {"row": numbers})
    found = found.group_by(keys, use_threads=False).aggregate([("row", "list")])
    lists = found["row_list"].combine_chunks()
    for values, rows in zip(found.select(keys).to_pylist(), lists, strict=True):
        yield segment_name(names, [values[key] for key in keys]), np.asarray(rows.values, np.int64)


def in_segment(table: pa.Table, names: Sequence[str], segment: str) -> pa.Table:
    """Return the rows of one segment.

    Examples
    --------
    >>> in_segment(pa.table({"land": ["FR", "DE"]}), ["land"], "land=DE").num_rows
    1
    """
    mine = np.zeros(len(table), np.bool_)
    for name, rows in groups(table, names):
        if name == segment:
            mine[rows] = True
    return table.filter(pa.array(mine))


def by_segment(table: pa.Table, names: Sequence[str], most: int) -> Iterator[tuple[str, pa.Table]]:
    """Yield the rows of the `most` frequent segments, and of all others as `REST`.

    Examples
    --------
    >>> rows = pa.table({"land": ["FR", "DE", "AT", "DE"]})
    >>> [(name, part.num_rows) for name, part in by_segment(rows, ["land"], most=1)]
    [('land=DE', 2), ('', 2)]
    """
    named: dict[str, list[NDArray[np.int64]]] = {}
    for name, rows in groups(table, names):
        named.setdefault(name, []).append(rows)  # a missing value and the text "(missing)"
    parts = [(name, np.sort(np.concatenate(rows))) for name, rows in named.items()]
    parts.sort(key=lambda part: (-part[1].size, part[0]))
    rest = [rows for _, rows in parts[most:]]
    if rest:
        parts[most:] = [(REST, np.sort(np.concatenate(rest)))]
    for name, rows in parts:
        places: NDArray[np.int64] = rows
        yield name, table.take(places)
