"""What people hand in, read as rows: dataframes of any kind, dicts of columns, paths, profiles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast, runtime_checkable

import narwhals as nw
import numpy as np
import pyarrow as pa
from narwhals.typing import IntoFrame
from numpy.typing import ArrayLike

from homeostat.adapters.datasets import open_dataset
from homeostat.adapters.profiles.files import load_profile
from homeostat.domain.errors import DataError
from homeostat.entrypoints.connect_frames import Frame
from homeostat.entrypoints.rows import DatasetRows, Rows, TableRows
from homeostat.profiles.format import MAGIC
from homeostat.profiles.profile import Profile

Data: TypeAlias = "IntoFrame | pa.Table | Mapping[str, ArrayLike] | Frame | str | Path | Profile"

LARGE = 250_000
"""Rows from which a file is not held in memory."""

TWICE = "several columns have this name: rename them"


@runtime_checkable
class _Positional(Protocol):
    """A dataframe whose columns can be had by place, as in pandas."""

    iloc: Any


class _Labelled(_Positional, Protocol):
    columns: Sequence[object]


def open_rows(data: Data, role: str, *, streaming: bool = False) -> Rows | Profile:
    """Return what was handed in as rows, or as the profile that it is.

    Parameters
    ----------
    data : dataframe, mapping of columns, path or Profile
        pandas, Polars (also lazy), PyArrow or whatever narwhals knows; the path or address of a
        Parquet, CSV or Arrow file or of a folder of them; or the path of a stored profile.
    role : str
        ``"reference"`` or ``"current"``, for messages.
    streaming : bool
        Read a file a piece at a time, in bounded memory, rather than whole.

    Raises
    ------
    NotFoundError, DataError
        If there is no such file, or what was handed in cannot be read as rows.
    """
    data = data.arrow if isinstance(data, Frame) else data
    if isinstance(data, Profile):
        return data
    if isinstance(data, str | Path):
        return _open_path(data, streaming=streaming)
    if isinstance(data, pa.Table):
        return _from_columns(data.column_names, [_given(column) for column in data.columns])
    if isinstance(data, Mapping):
        return _from_columns(list(data), [_listed(values) for values in data.values()])
    if isinstance(data, _Positional) and hasattr(data, "columns"):
        return _from_positions(cast("_Labelled", data))
    try:
        frame = nw.from_native(data)
    except TypeError as error:
        what = type(data).__name__
        raise DataError(
            f"{role} is of type {what}; give a dataframe (pandas, Polars, PyArrow), a dict of "
            "columns, a path or a profile"
        ) from error
    whole = frame.collect() if isinstance(frame, nw.LazyFrame) else frame
    return _from_columns(whole.columns, [_from_series(whole.get_column(n)) for n in whole.columns])


def _open_path(location: str | Path, *, streaming: bool) -> Rows | Profile:
    path = Path(location)
    if path.is_file():
        with path.open("rb") as file:
            if file.read(len(MAGIC)) == MAGIC:
                return load_profile(path)
    dataset = open_dataset(location)
    if streaming or (dataset.rows or 0) >= LARGE:
        return DatasetRows(dataset)
    return TableRows(dataset.to_table())


@dataclass(frozen=True, slots=True)
class _Column:
    values: pa.ChunkedArray[Any]
    note: str = ""


def _from_columns(names: Sequence[str], columns: Sequence[_Column]) -> TableRows:
    counts = Counter(names)
    kept = {n: c for n, c in zip(names, columns, strict=True) if counts[n] == 1}
    lengths = {len(column.values) for column in columns}
    if len(lengths) > 1:
        raise DataError(
            f"the columns have {min(lengths)} to {max(lengths)} rows; give as many each"
        )
    problems = {name: TWICE for name, count in counts.items() if count > 1}
    notes = [f"{name} {column.note}" for name, column in kept.items() if column.note]
    if not kept:
        return TableRows(pa.table({"": columns[0].values if columns else []}).select([]), problems)
    return TableRows(pa.table({n: c.values for n, c in kept.items()}), problems, notes)


def _from_positions(frame: _Labelled) -> TableRows:
    """Read by position: narwhals takes neither names that come twice nor names that are no text."""
    names = [str(name) for name in frame.columns]
    series = (nw.from_native(frame.iloc[:, k], series_only=True) for k in range(len(names)))
    return _from_columns(names, [_from_series(column) for column in series])


def _given(values: pa.ChunkedArray[Any]) -> _Column:
    return _Column(values)


def _listed(values: object) -> _Column:
    if isinstance(values, pa.ChunkedArray):
        return _Column(values)
    if isinstance(values, np.ndarray) and values.ndim > 1:
        values = values.tolist()
    items = cast("Sequence[float]", values)
    try:
        return _Column(pa.chunked_array([pa.array(items, from_pandas=True)]))
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return _as_text(list(items))


def _from_series(series: nw.Series[Any]) -> _Column:
    try:
        column = series.to_arrow()
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return _as_text(series.to_list())
    return _listed(column)


def _as_text(values: Sequence[object]) -> _Column:
    """Return values of several types as text; None and NaN are missing."""
    missing = [value is None or (isinstance(value, float) and isnan(value)) for value in values]
    pairs = list(zip(values, missing, strict=True))
    texts = [None if gone else str(value) for value, gone in pairs]
    types = sorted({type(value).__name__ for value, gone in pairs if not gone})
    note = f"holds values of several types ({', '.join(types[:5])}): compared as text"
    return _Column(pa.chunked_array([pa.array(texts, pa.string())]), note)
