"""Rows of a server's answers as tables that notebooks show and dataframe libraries take."""

from __future__ import annotations

import json
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Union, get_args, get_origin, get_type_hints

import pyarrow as pa

from homeostat.domain.errors import DataError
from homeostat.domain.notebook import MOST_ROWS, fragment
from homeostat.domain.record import TIMESTAMP
from homeostat.domain.window import Window

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]

PAIRS = pa.map_(pa.string(), pa.float64())
PLAIN: Mapping[object, pa.DataType] = {
    bool: pa.bool_(),
    datetime: TIMESTAMP,
    float: pa.float64(),
    int: pa.int64(),
    str: pa.string(),
    tuple[str, ...]: pa.list_(pa.string()),
    tuple[tuple[str, float], ...]: PAIRS,
}


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A table of what a server answered.

    It shows itself in a notebook. `to_pandas` converts it; whatever reads Arrow
    (``pyarrow.table``, ``polars.DataFrame``, DuckDB) takes it as it is, and so do
    `homeostat.compare` and its like.

    Attributes
    ----------
    arrow : pyarrow.Table
    name : str
        What it holds, in a few words.

    Examples
    --------
    >>> import pyarrow as pa
    >>> frame = Frame(pa.table({"label": [0.0, 1.0]}), "labels of fraud")
    >>> frame, len(frame), frame.columns
    (<Frame: 2 labels of fraud>, 2, ['label'])
    """

    arrow: pa.Table
    name: str = "rows"

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return list(self.arrow.column_names)

    def to_pandas(self) -> pd.DataFrame:
        """Return a pandas dataframe; raises DataError if pandas is not installed."""
        try:
            found: pd.DataFrame = self.arrow.to_pandas()
        except ModuleNotFoundError as error:
            remedy = "python -m pip install pandas, or use .arrow as it is"
            raise DataError(f"pandas is not installed; {remedy}") from error
        return found

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        capsule: object = self.arrow.__arrow_c_stream__(requested_schema)  # type: ignore[no-untyped-call]
        return capsule

    def __len__(self) -> int:
        return int(self.arrow.num_rows)

    def __repr__(self) -> str:
        return f"<Frame: {len(self):,} {self.name}>"

    def _repr_html_(self) -> str:
        rows = [
            [_shown(v) for v in row.values()] for row in self.arrow.slice(0, MOST_ROWS).to_pylist()
        ]
        return fragment(f"{len(self):,} {self.name}", self.columns, rows, len(self))


def frame_of(
    kind: type, items: Iterable[Mapping[str, object]], name: str, more: Sequence[str] = ()
) -> Frame:
    """Return JSON objects that a dataclass was written as in a table with a column a field.

    A window becomes ``start`` and ``end``; what has no type of Arrow is JSON text. `more` are
    texts that the server adds. A field that the server did not send is null.

    Examples
    --------
    >>> from homeostat.domain.decision import Decision
    >>> found = frame_of(Decision, [{"model": "fraud", "evidence": [["n", 2.0]]}], "decisions")
    >>> found.arrow["evidence"][0].as_py()
    [('n', 2.0)]
    """
    columns: dict[str, pa.DataType] = dict.fromkeys(more, pa.string())
    windows: list[str] = []
    hints = get_type_hints(kind)
    for each in fields(kind):
        if hints[each.name] is Window:
            windows.append(each.name)
            columns |= {"start": TIMESTAMP, "end": TIMESTAMP}
        else:
            columns[each.name] = _type(hints[each.name]) or pa.string()
    rows = [_row(item, windows, columns) for item in items]
    return Frame(pa.Table.from_pylist(rows, schema=pa.schema(list(columns.items()))), name)


def _type(hint: object) -> pa.DataType | None:
    if get_origin(hint) in {Union, types.UnionType}:
        (hint,) = (part for part in get_args(hint) if part is not types.NoneType)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return pa.string()
    return PLAIN.get(hint)


def _row(
    item: Mapping[str, object], windows: Sequence[str], columns: Mapping[str, pa.DataType]
) -> dict[str, object]:
    flat = dict(item)
    for name in windows:
        window = flat.pop(name, None)
        flat |= window if isinstance(window, Mapping) else {}
    return {name: _value(flat.get(name), kind) for name, kind in columns.items()}


def _value(value: object, kind: pa.DataType) -> object:
    if kind == TIMESTAMP:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    if kind == PAIRS and isinstance(value, list):
        return [tuple(pair) for pair in value]
    if kind == pa.string() and not isinstance(value, str | None):
        return json.dumps(value)
    return value


def _shown(value: object) -> str:
    if value is None:
        return "—"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
