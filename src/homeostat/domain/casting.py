"""Columns as senders have them, cast to the types of the log; a bad value costs its row only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Values: TypeAlias = "pa.ChunkedArray[Any]"

PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
CALENDAR = (-62_135_596_800, 253_402_300_800)
"""Seconds since 1970 from the year 1 to the end of the year 9999."""
EXACT = 2**53
LAST_MICROSECOND = 2**63 - 1
_LISTS = (pa.ListType, pa.LargeListType, pa.FixedSizeListType)


def is_text(kind: pa.DataType) -> bool:
    """Whether values are text, however they lie in memory."""
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def is_number(kind: pa.DataType) -> bool:
    """Whether values are numbers, exact or not."""
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def unfolded(column: Values) -> Values:
    """Return the column with dictionaries, runs and views made plain; others as they are.

    Examples
    --------
    >>> column = pa.chunked_array([pa.array(["a", "b", "a"]).dictionary_encode()])
    >>> unfolded(column).type
    DataType(string)
    """
    kind = column.type
    if pa.types.is_run_end_encoded(kind):
        runs = [_runs(chunk) for chunk in column.chunks]
        inner = _plain_text(kind.value_type)
        return unfolded(pa.chunked_array(runs, type=cast("Any", inner)))
    if pa.types.is_dictionary(kind):
        inner = kind.value_type
        chunks = [_looked_up(chunk, inner) for chunk in column.chunks]
        return unfolded(pa.chunked_array(chunks, type=cast("Any", _plain_text(inner))))
    return column.cast(_plain_text(kind)) if kind != _plain_text(kind) else column


def _plain_text(kind: pa.DataType) -> pa.DataType:
    return pa.string() if is_text(kind) else kind


def _runs(chunk: pa.Array[Any]) -> pa.Array[Any]:
    chunk = cast("pa.RunEndEncodedArray[Any, Any]", chunk)
    values = chunk.values.cast(pa.string()) if is_text(chunk.type.value_type) else chunk.values
    ends = cast("pa.Int32Array", chunk.run_ends)
    whole: pa.Array[Any] = pa.RunEndEncodedArray.from_arrays(ends, values)
    decoded = pc.call_function("run_end_decode", [whole.slice(chunk.offset, len(chunk))])
    return cast("pa.Array[Any]", decoded)


def _looked_up(chunk: pa.Array[Any], inner: pa.DataType) -> pa.Array[Any]:
    chunk = cast("pa.DictionaryArray[Any, Any]", chunk)
    values = chunk.dictionary.cast(pa.string()) if is_text(inner) else chunk.dictionary
    return cast("pa.Array[Any]", values.take(chunk.indices))


def cast_column(column: Values, target: pa.DataType) -> tuple[Values, NDArray[np.bool_], str]:
    """Cast a column to a type of the log, value by value.

    Decimals become the nearest double, times the microsecond, and the integers 0 and 1 booleans,
    where the log has such. Text is never read as a number, a number never as text, a time without
    a zone never as UTC, and an integer that is no exact double is refused.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
    target : pyarrow.DataType
        ``string``, ``double``, ``bool``, ``timestamp[us, tz=UTC]``, or a list of doubles.

    Returns
    -------
    values : pyarrow.ChunkedArray
        Of the type `target`, null where a value cannot be taken.
    bad : ndarray of bool, shape (n,)
        Which values these are.
    reason : str
        Why.

    Examples
    --------
    >>> values, bad, reason = cast_column(pa.chunked_array([[0, 1, 2]]), pa.bool_())
    >>> values.to_pylist(), bad.tolist(), reason
    ([False, True, None], [False, False, True], 'is neither true nor false, 0 nor 1')
    """
    try:
        plain = unfolded(column)
        bad, reason = _wrong(plain, target)
        if bad.any():
            plain = pc.if_else(
                pa.chunked_array([pa.array(bad)]), pa.scalar(None, plain.type), plain
            )
        return plain.cast(target, safe=False), bad, reason
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, TypeError):
        nothing: Values = pa.chunked_array([pa.nulls(len(column), cast("Any", target))])
        return nothing, _present(column), f"is {column.type}, not {target}"


def _wrong(column: Values, target: pa.DataType) -> tuple[NDArray[np.bool_], str]:
    """Return which values cannot be cast, and why; raises TypeError if none can."""
    kind = column.type
    none = np.zeros(len(column), np.bool_)
    if pa.types.is_null(kind):
        return none, ""
    if pa.types.is_boolean(target) and pa.types.is_integer(kind):
        known = np.asarray(pc.is_in(column, pa.array([0, 1], kind)), np.bool_)
        return _present(column) & ~known, "is neither true nor false, 0 nor 1"
    if not _alike(kind, target):
        raise TypeError
    if pa.types.is_floating(target) and pa.types.is_integer(kind) and kind.bit_width == 64:
        return _beyond(column, EXACT), "is beyond 2**53: no exact double; send it as text"
    if pa.types.is_timestamp(kind) and PER_SECOND[kind.unit] < PER_SECOND["us"]:
        most = LAST_MICROSECOND // (PER_SECOND["us"] // PER_SECOND[kind.unit])
        return _beyond(column.cast(pa.int64()), most), "lies beyond all times that can be told"
    return none, ""


def _beyond(column: Values, most: int) -> NDArray[np.bool_]:
    """Return which 64-bit integers lie outside [-most, most]."""
    outside = pc.greater(column, pa.scalar(most, column.type))
    if pa.types.is_signed_integer(column.type):
        outside = pc.or_(outside, pc.less(column, pa.scalar(-most, column.type)))
    return np.asarray(pc.fill_null(outside, pa.scalar(False)), np.bool_)


def _present(column: Values) -> NDArray[np.bool_]:
    return np.asarray(column.is_valid().to_numpy(), dtype=np.bool_)


def _alike(source: pa.DataType, target: pa.DataType) -> bool:
    # Arrow would also parse text as numbers and take times without a zone for UTC.
    if isinstance(target, pa.ListType):
        if not isinstance(source, _LISTS):
            return False
        inner: pa.DataType = source.value_type
        return pa.types.is_null(inner) or _alike(inner, target.value_type)
    if pa.types.is_timestamp(target):
        return pa.types.is_timestamp(source) and source.tz is not None
    if pa.types.is_string(target):
        return is_text(source)
    if pa.types.is_boolean(target):
        return bool(pa.types.is_boolean(source))
    return is_number(source)


def as_objects(table: pa.Table, places: Sequence[int]) -> list[dict[str, object]]:
    """Return some rows, by their numbers, as Python values, whatever is in them.

    Times are text in ISO 8601; of what Python has no value for there is its type.

    Examples
    --------
    >>> from homeostat.domain.record import TIMESTAMP
    >>> table = pa.table({"at": pa.array([0, 1_000_000, 2**62], TIMESTAMP), "n": [1, 2, 3]})
    >>> as_objects(table, [1, 2])  # doctest: +NORMALIZE_WHITESPACE
    [{'at': '1970-01-01T00:00:01.000000Z', 'n': 2},
     {'at': '4611686018427387904 us since 1970', 'n': 3}]
    """
    chosen = pa.array(places, pa.int64())
    columns = [_objects(table.column(name), chosen) for name in table.column_names]
    if not columns:
        return [{} for _ in places]
    names = table.column_names
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _objects(column: Values, chosen: pa.Int64Array) -> list[object]:
    try:
        plain = unfolded(column).take(chosen)
        if pa.types.is_timestamp(plain.type):
            return _times(plain)
        return cast("list[object]", plain.to_pylist())
    except (pa.ArrowException, ValueError, OverflowError, TypeError, ImportError):
        return [f"<{column.type}>"] * len(chosen)


def _times(column: Values) -> list[object]:
    unit, zone = column.type.unit, column.type.tz
    utc = column.cast(pa.timestamp(unit, "UTC" if zone else None), safe=False)
    texts, counts = utc.cast(pa.string()).to_pylist(), column.cast(pa.int64()).to_pylist()
    first, end = (PER_SECOND[unit] * second for second in CALENDAR)
    told: list[object] = []
    for text, count in zip(texts, counts, strict=True):
        if text is None or count is None:
            told.append(None)
        elif first <= count < end:
            told.append(text.replace(" ", "T", 1))
        else:
            told.append(f"{count} {unit} since 1970")
    return told
