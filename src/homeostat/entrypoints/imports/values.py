"""Columns of a file as the log has them; what cannot be read is told by row, and is null."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from homeostat.domain.columns import float_array
from homeostat.domain.model import ModelSpec, Task

Column: TypeAlias = "pa.ChunkedArray[Any]"
"""The type of a file's column is known only when it is read."""
Read: TypeAlias = "tuple[Column, NDArray[np.bool_]]"
"""Values, and which of those that were there could not be read."""

NO_VALUE = ("", "na", "n/a", "#n/a", "nan", "-nan", "null", "none", "nil")
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
TRUE, FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")
EXACT = 2.0**53
"""Whole numbers below it are floats without rounding."""


def plain(column: Column) -> Column:
    """Return dictionaries as what they stand for, and bytes as text where they are that."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return plain(column.cast(kind.value_type))
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        try:
            return column.cast(pa.string())
        except pa.ArrowInvalid:
            return column
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return column.cast(pa.string())
    return column


def texts(column: Column) -> Read:
    """Read ids and categories: text, whole numbers, truth values.

    Numbers with a fraction are taken where all are whole: columns with missing values have them.
    """
    kind = column.type
    if pa.types.is_string(kind):
        return column, _none(column)
    if pa.types.is_floating(kind):
        values = np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)
        there = ~np.isnan(values)
        fits = there & (values == np.floor(values)) & (np.abs(values) < EXACT)
        whole = pa.array(np.where(fits, values, 0.0).astype(np.int64), mask=~fits)
        return pa.chunked_array([whole.cast(pa.string())]), there & ~fits
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_decimal(kind):
        return column.cast(pa.string()), _none(column)
    return _nothing(column, pa.string())


def numbers(column: Column) -> Read:
    """Read numbers; the usual words for none are null."""
    kind = column.type
    if pa.types.is_boolean(kind):
        return column.cast(pa.uint8()).cast(pa.float64()), _none(column)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return column.cast(pa.float64(), safe=False), _none(column)
    if not pa.types.is_string(kind):
        return _nothing(column, pa.float64())
    trimmed = pc.utf8_trim_whitespace(column)
    try:
        # Arrow takes "nan" and "inf" for numbers too.
        found = trimmed.cast(pa.float64())
        if pc.all(pc.is_finite(found)).as_py() is not False:
            return found, _none(column)
    except pa.ArrowInvalid:
        pass
    good = pc.match_substring_regex(trimmed, NUMBER)
    none = pc.is_in(pc.utf8_lower(trimmed), pa.array(NO_VALUE))
    bad = _present(column) & ~_true(good) & ~_true(none)
    return pc.if_else(good, trimmed, pa.scalar(None, pa.string())).cast(pa.float64()), bad


def flags(column: Column) -> Read:
    """Read truth values: true and false, yes and no, 1 and 0."""
    kind = column.type
    if pa.types.is_boolean(kind):
        return column, _none(column)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        values = np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), np.float64)
        there, known = ~np.isnan(values), (values == 0) | (values == 1)
        return pa.chunked_array([pa.array(values == 1, mask=~known)]), there & ~known
    if not pa.types.is_string(kind):
        return _nothing(column, pa.bool_())
    words = pc.utf8_lower(pc.utf8_trim_whitespace(column))
    yes, no, none = (pc.is_in(words, pa.array(known)) for known in (TRUE, FALSE, NO_VALUE))
    known = pc.or_(yes, no)
    bad = _present(column) & ~_true(known) & ~_true(none)
    return pc.if_else(known, yes, pa.scalar(None, pa.bool_())), bad


def classes(spec: ModelSpec, column: Column) -> Read:
    """Read labels and classes: a number, or the name of one of a classifier's classes."""
    if spec.task is Task.REGRESSION or not spec.classes or not pa.types.is_string(column.type):
        return numbers(column)
    named: Any = pc.index_in(column, pa.array(spec.classes)).cast(pa.float64())
    given, bad = numbers(column)
    return pc.coalesce(named, given), bad & ~_present(named)


def lists(spec: ModelSpec, column: Column) -> Read:
    """Read probabilities: lists, or JSON of a list or of an object by class."""
    if isinstance(column.type, pa.ListType | pa.LargeListType | pa.FixedSizeListType):
        try:
            return column.cast(pa.list_(pa.float64())), _none(column)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return _nothing(column, pa.list_(pa.float64()))
    found = [_chances(value, spec.classes) for value in column.to_pylist()]
    read = pa.chunked_array([pa.array(found, pa.list_(pa.float64()))])
    return read, _present(column) & ~_present(read)


def _chances(value: object, names: Sequence[str]) -> list[float] | None:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    if isinstance(value, Mapping):
        value = [value.get(name) for name in names]
    if not isinstance(value, list) or any(type(item) not in {int, float} for item in value):
        return None
    try:
        return [float(item) for item in value]
    except OverflowError:
        return None


def likeliest(chances: Column) -> Column:
    """Return the place of each row's largest probability, of equal ones the first; or null.

    Examples
    --------
    >>> likeliest(pa.chunked_array([[[0.25, 0.75], None, [], [0.5, 0.5]]])).to_pylist()
    [1.0, None, None, 0.0]
    """
    lengths: Any = pc.list_value_length(chances)
    sizes = np.asarray(lengths.fill_null(pa.scalar(0, lengths.type)).to_numpy(), np.int64)
    flat: Any = pc.list_flatten(chances)
    values = float_array(flat)
    rows = np.repeat(np.arange(len(sizes)), sizes)
    first = np.cumsum(sizes) - sizes
    order = np.lexsort((np.arange(len(values)), -values, rows))
    found = np.full(len(sizes), np.nan)
    filled = sizes > 0
    found[filled] = order[first[filled]] - first[filled]
    return pa.chunked_array([pa.array(found, mask=~filled)])


def _present(column: Column) -> NDArray[np.bool_]:
    return np.asarray(column.is_valid().to_numpy(), np.bool_)


def _true(found: Column | pa.BooleanArray) -> NDArray[np.bool_]:
    """Return where it says true; null says nothing."""
    return np.asarray(pc.coalesce(found, pa.scalar(value=False)), np.bool_)


def _none(column: Column) -> NDArray[np.bool_]:
    return np.zeros(len(column), np.bool_)


def _nothing(column: Column, target: pa.DataType) -> Read:
    return pa.chunked_array([pa.nulls(len(column))]).cast(target), _present(column)
