"""Tensors of the Open Inference Protocol: read, checked and taken apart into columns of rows."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.domain.model import ModelSpec
from homeostat.domain.record import feature_schema
from homeostat.entrypoints.gateway.batch import META, InputError

Array: TypeAlias = "NDArray[np.generic]"
Values: TypeAlias = "Sequence[object] | Array"

BOOL, BYTES = "BOOL", "BYTES"
INTEGERS = {
    f"{sign}INT{bits}": np.dtype(f"<{'u' if sign else 'i'}{bits // 8}")
    for sign in ("", "U")
    for bits in (8, 16, 32, 64)
}
FLOATS = {f"FP{bits}": np.dtype(f"<f{bits // 8}") for bits in (16, 32, 64)}
NUMBERS = INTEGERS | FLOATS
DATATYPES = (BOOL, *NUMBERS, BYTES)
LENGTH = struct.Struct("<I")

IN_JSON: dict[str, tuple[frozenset[type], str]] = {
    BOOL: (frozenset({bool}), "true or false"),
    BYTES: (frozenset({str}), "a text"),
    **{name: (frozenset({int}), "a whole number") for name in INTEGERS},
    **{name: (frozenset({int, float}), "a number") for name in FLOATS},
}
NONE = type(None)


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """One input, its values flat in row-major order; None among them is a missing value.

    Attributes
    ----------
    name, datatype : str
    shape : tuple of int
        (n,) or (n, width).
    values : sequence or array
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Values


def checked(name: object, datatype: object, shape: object) -> tuple[str, str, tuple[int, ...]]:
    """Return what every tensor must say of itself; raises InputError."""
    if not isinstance(name, str) or not name:
        raise InputError("an input needs a name, a text")
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        shown = f"{datatype!r:.40}"
        raise InputError(f"datatype {shown} is none of {', '.join(DATATYPES)}", column=name)
    sizes = tuple(shape) if isinstance(shape, Sequence) and not isinstance(shape, str) else ()
    if not sizes or any(type(size) is not int or size < 0 for size in sizes):
        raise InputError("shape must be a list of sizes such as [2, 1]", column=name)
    if len(sizes) > 2:
        problem = f"has {len(sizes)} dimensions; a feature has one, a matrix of features two"
        raise InputError(problem, column=name)
    return name, datatype, sizes


def from_json(given: Mapping[str, object]) -> Tensor:
    """Read a tensor whose values stand in ``data``, nested or flat.

    Raises
    ------
    InputError
        If values are not of the datatype, or more or fewer than the shape says.

    Examples
    --------
    >>> tensor = {"name": "age", "datatype": "INT32", "shape": [2, 1], "data": [[30], [40]]}
    >>> from_json(tensor).values
    [30, 40]
    """
    name, datatype, shape = checked(*(given.get(key) for key in ("name", "datatype", "shape")))
    data = given.get("data")
    if not isinstance(data, list):
        raise InputError("data must be a list", column=name)
    values = _flat(data, shape, name)
    _hold(values, shape, name, *IN_JSON[datatype])
    if datatype in INTEGERS:
        limits = np.iinfo(NUMBERS[datatype])
        for place, value in enumerate(values):
            if isinstance(value, int) and not limits.min <= value <= limits.max:
                problem = f"{value} is not in the range of {datatype}"
                raise InputError(problem, _row(place, shape), name)
    return Tensor(name, datatype, shape, values)


def from_bytes(name: str, datatype: str, shape: tuple[int, ...], raw: bytes) -> Tensor:
    """Read a tensor of the binary extension: little-endian, texts after their length.

    Raises
    ------
    InputError
        If the bytes are more or fewer than the shape says, or a text is not UTF-8.

    Examples
    --------
    >>> from_bytes("age", "INT16", (2,), bytes([30, 0, 40, 0])).values.tolist()
    [30, 40]
    >>> from_bytes("land", "BYTES", (1,), bytes([2, 0, 0, 0]) + b"de").values
    ['de']
    """
    count = math.prod(shape)
    if datatype == BYTES:
        return Tensor(name, datatype, shape, texts(_pieces(name, raw, count), shape, name))
    kind = NUMBERS.get(datatype, np.dtype("u1"))
    if len(raw) != count * kind.itemsize:
        problem = f"{len(raw)} bytes are not the {count * kind.itemsize} of shape {list(shape)}"
        raise InputError(problem, column=name)
    values: Array = np.frombuffer(raw, kind)
    if datatype == BOOL:
        if (wrong := np.flatnonzero(values > np.uint8(1))).size:
            raise InputError("a BOOL is neither 0 nor 1", _row(int(wrong[0]), shape), name)
        values = values.astype(np.bool_)
    return Tensor(name, datatype, shape, values)


def texts(pieces: Sequence[bytes], shape: tuple[int, ...], name: str) -> list[object]:
    """Return texts from their UTF-8; raises InputError."""
    found: list[object] = []
    for place, piece in enumerate(pieces):
        try:
            found.append(piece.decode())
        except UnicodeDecodeError:
            raise InputError("is not UTF-8", _row(place, shape), name) from None
    return found


def to_bytes(datatype: str, values: Sequence[object]) -> bytes:
    r"""Return values as the binary extension has them.

    Examples
    --------
    >>> to_bytes("BYTES", ["de"]), to_bytes("INT8", [1])
    (b'\x02\x00\x00\x00de', b'\x01')
    """
    if datatype != BYTES:
        return np.asarray(values, NUMBERS.get(datatype, np.dtype("?"))).tobytes()
    pieces = [str(value).encode() for value in values]
    return b"".join(chain.from_iterable((LENGTH.pack(len(piece)), piece) for piece in pieces))


def columns(
    spec: ModelSpec, tensors: Sequence[Tensor], parameters: Mapping[str, object]
) -> dict[str, Sequence[object]]:
    """Return features and what names the rows, by column.

    Parameters
    ----------
    spec : ModelSpec
    tensors : sequence of Tensor
        One a column, of shape (n,) or (n, 1); or a single one of shape (n, features), whose columns
        are the features in the order of the schema.
    parameters : mapping
        ``entity``, ``timestamp`` and, of one row, ``prediction_id`` are taken for all rows.

    Raises
    ------
    InputError
        If they do not fit together or to the model's columns.
    """
    if not tensors:
        raise InputError("inputs must hold at least one tensor")
    apart = _apart(spec, tensors[0]) if len(tensors) == 1 else tensors
    found: dict[str, Sequence[object]] = {}
    size = apart[0].shape[0]
    kinds = {item.name: item.type for item in (*feature_schema(spec), *META)}
    for tensor in apart:
        if tensor.name in found:
            raise InputError("is given twice", column=tensor.name)
        if tensor.shape not in {(size,), (size, 1)}:
            problem = f"has shape {list(tensor.shape)}, [{size}] or [{size}, 1] fit"
            raise InputError(problem, column=tensor.name)
        found[tensor.name] = _typed(tensor, kinds.get(tensor.name, pa.string()))
    for name in META.names:
        if name in parameters:
            found[name] = _for_all(name, parameters[name], size, given=name in found)
    return found


def rows_of(found: Mapping[str, Sequence[object]]) -> list[dict[str, object]]:
    """Return columns as rows."""
    return [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]


def _for_all(name: str, value: object, size: int, *, given: bool) -> list[object]:
    if given:
        raise InputError("is given as a tensor and as a parameter", column=name)
    if not isinstance(value, str):
        raise InputError("a parameter of this name must be a text", column=name)
    if name == "prediction_id" and size != 1:
        problem = f"one id cannot name {size} rows; send a BYTES tensor of this name"
        raise InputError(problem, column=name)
    return [value] * size


def _apart(spec: ModelSpec, tensor: Tensor) -> Sequence[Tensor]:
    names = spec.schema.names
    width = tensor.shape[1] if len(tensor.shape) == 2 else 1
    if tensor.name in names or (len(tensor.shape) == 1 and len(names) != 1):
        return (tensor,)
    if width != len(names):
        problem = f"has {width} columns; the model has {len(names)}: {', '.join(names)}"
        raise InputError(problem, column=tensor.name)
    rows = tensor.shape[0]
    return [
        Tensor(name, tensor.datatype, (rows,), tensor.values[place::width])
        for place, name in enumerate(names)
    ]


def _typed(tensor: Tensor, kind: pa.DataType) -> Sequence[object]:
    """Return the values of a column of that kind, missing ones as None; raises InputError."""
    if kind == pa.bool_():
        fits, wanted = tensor.datatype == BOOL, BOOL
    elif kind == pa.float64():
        fits, wanted = tensor.datatype in NUMBERS, "FP64 or another type of numbers"
    else:
        fits, wanted = tensor.datatype == BYTES, BYTES
    if not fits:
        raise InputError(f"is {tensor.datatype}, must be {wanted}", column=tensor.name)
    if not isinstance(tensor.values, np.ndarray):
        return tensor.values
    values: list[object] = tensor.values.tolist()
    if tensor.datatype in FLOATS:
        numbers = tensor.values.astype(np.float64)
        if (wrong := np.flatnonzero(np.isinf(numbers))).size:
            raise InputError("is infinite", int(wrong[0]), tensor.name)
        for place in np.flatnonzero(np.isnan(numbers)).tolist():
            values[place] = None  # tensors have no other way to say that one is missing
    return values


def _flat(data: list[object], shape: tuple[int, ...], name: str) -> list[object]:
    if len(shape) == 1 or not any(isinstance(item, list) for item in data):
        return data
    for row, item in enumerate(data):
        if not isinstance(item, list) or len(item) != shape[1]:
            raise InputError(f"is no list of {shape[1]} values as the shape says", row, name)
    return list(chain.from_iterable(item for item in data if isinstance(item, list)))


def _hold(
    values: list[object], shape: tuple[int, ...], name: str, types: frozenset[type], wanted: str
) -> None:
    if len(values) != math.prod(shape):
        problem = f"has {len(values)} values, shape {list(shape)} says {math.prod(shape)}"
        raise InputError(problem, column=name)
    if not set(map(type, values)) <= types | {NONE}:
        place = next(i for i, v in enumerate(values) if type(v) not in types | {NONE})
        problem = f"{values[place]!r:.80} is not {wanted}"
        raise InputError(problem, _row(place, shape), name)


def _row(place: int, shape: tuple[int, ...]) -> int:
    return place // shape[1] if len(shape) == 2 else place


def _pieces(name: str, raw: bytes, count: int) -> list[bytes]:
    pieces: list[bytes] = []
    at = 0
    while at < len(raw) and len(pieces) < count:
        start = at + LENGTH.size
        if start > len(raw):
            break
        at = start + LENGTH.unpack_from(raw, at)[0]
        pieces.append(raw[start:at])
    if len(pieces) != count or at != len(raw):
        raise InputError(f"the bytes are not {count} texts, each after its length", column=name)
    return pieces
