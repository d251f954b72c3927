"""Columns of older rows in the type that their model has today."""

from __future__ import annotations

from typing import TypeAlias

import pyarrow as pa

Column: TypeAlias = "pa.ChunkedArray[pa.Scalar[pa.DataType]]"


def widened(column: Column, target: pa.DataType) -> Column:
    """Return a column in another type if each of its values is one of that type, else nulls.

    Truth values are 0 and 1 among numbers, and whole numbers are numbers. Text is never read as
    something else, nor is anything written as text: nobody could tell what the sender meant.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
    target : pyarrow.DataType

    Examples
    --------
    >>> widened(pa.chunked_array([[True, None, False]]), pa.float64()).to_pylist()
    [1.0, None, 0.0]
    >>> widened(pa.chunked_array([[3, 4]]), pa.float64()).to_pylist()
    [3.0, 4.0]
    >>> widened(pa.chunked_array([[0.5]]), pa.bool_()).to_pylist()
    [None]
    """
    source = column.type
    if source == target:
        return column
    if pa.types.is_dictionary(source):
        return widened(column.cast(source.value_type), target)
    if pa.types.is_boolean(source) and (
        pa.types.is_floating(target) or pa.types.is_integer(target)
    ):
        return column.cast(pa.uint8()).cast(target)
    if _holds(source, target):
        # A float has no place for every digit of a large whole number.
        return column.cast(target, safe=not pa.types.is_integer(source))
    return pa.chunked_array([pa.nulls(len(column))]).cast(target)


def _holds(source: pa.DataType, target: pa.DataType) -> bool:
    """Whether the values of one type are among those of the other."""
    if pa.types.is_float64(target):
        return pa.types.is_integer(source) or pa.types.is_floating(source)
    if pa.types.is_int64(target):
        return pa.types.is_integer(source) and not pa.types.is_uint64(source)
    if pa.types.is_string(target):
        return pa.types.is_large_string(source) or pa.types.is_string_view(source)
    return (
        isinstance(target, pa.ListType)
        and isinstance(source, pa.ListType | pa.LargeListType)
        and (source.value_type == target.value_type or _holds(source.value_type, target.value_type))
    )
