"""Messages of the protocol as tensors, and answers as messages."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from google.protobuf.message import Message

from homeostat.entrypoints.gateway.batch import InputError
from homeostat.entrypoints.gateway.forms import RefusedError
from homeostat.entrypoints.gateway.inference import Declared, Inferred
from homeostat.entrypoints.gateway.tensors import (
    BOOL,
    BYTES,
    NUMBERS,
    Tensor,
    checked,
    from_bytes,
    texts,
    to_bytes,
)

CONTENTS = {
    BOOL: "bool_contents",
    BYTES: "bytes_contents",
    "INT64": "int64_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    **{f"INT{bits}": "int_contents" for bits in (8, 16, 32)},
    **{f"UINT{bits}": "uint_contents" for bits in (8, 16, 32)},
}


def tensors(request: Message) -> list[Tensor]:
    """Return the inputs of a ``ModelInferRequest``.

    Raises
    ------
    InputError, RefusedError
        If values are missing, too many, or not of the datatype.
    """
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        problem = f"{len(raw)} raw_input_contents for {len(request.inputs)} inputs"
        raise RefusedError(400, problem)
    found: list[Tensor] = []
    for number, given in enumerate(request.inputs):
        said = checked(given.name, given.datatype, list(given.shape))
        if not raw:
            found.append(_typed(*said, given.contents))
        elif given.HasField("contents"):
            raise InputError("has contents beside raw_input_contents", column=given.name)
        else:
            found.append(from_bytes(*said, raw[number]))
    return found


def parameters(given: Mapping[str, Message]) -> dict[str, object]:
    """Return parameters as plain values."""
    return {
        name: getattr(value, chosen)
        for name, value in given.items()
        if (chosen := value.WhichOneof("parameter_choice"))
    }


def answer(response: Message, found: Inferred, name: str, *, raw: bool) -> Message:
    """Fill a ``ModelInferResponse``; with `raw` its values are bytes."""
    response.model_name, response.model_version, response.id = found.model, found.version, name
    for output in found.outputs:
        shape = list(output.shape)
        made = response.outputs.add(name=output.name, datatype=output.datatype, shape=shape)
        if raw:
            response.raw_output_contents.append(to_bytes(output.datatype, output.values))
        elif output.datatype == BYTES:
            made.contents.bytes_contents.extend(str(value).encode() for value in output.values)
        else:
            getattr(made.contents, CONTENTS[output.datatype]).extend(output.values)
    return response


def described(items: tuple[Declared, ...]) -> list[dict[str, object]]:
    """Return tensors as they are declared, as fields of ``TensorMetadata``."""
    return [
        {"name": item.name, "datatype": item.datatype, "shape": list(item.shape)} for item in items
    ]


def _typed(name: str, datatype: str, shape: tuple[int, ...], contents: Message) -> Tensor:
    if datatype not in CONTENTS:
        raise InputError(f"{datatype} is taken as raw_input_contents only", column=name)
    field = CONTENTS[datatype]
    for other in {*CONTENTS.values()} - {field}:
        if len(getattr(contents, other)):
            raise InputError(f"has {other}, of {datatype} there are {field}", column=name)
    values = getattr(contents, field)
    size = int(np.prod(shape, dtype=object))
    if len(values) != size:
        problem = f"has {len(values)} values, shape {list(shape)} says {size}"
        raise InputError(problem, column=name)
    if datatype == BYTES:
        return Tensor(name, datatype, shape, texts(list(values), shape, name))
    if datatype == BOOL:
        return Tensor(name, datatype, shape, list(values))
    kind = NUMBERS[datatype]
    numbers = np.array(values, np.uint64 if datatype == "UINT64" else None)
    if kind.kind in "iu" and numbers.size:
        limits = np.iinfo(kind)
        wrong = np.flatnonzero((numbers < limits.min) | (numbers > limits.max))
        if wrong.size:
            row = int(wrong[0]) // (shape[1] if len(shape) == 2 else 1)
            raise InputError(f"{numbers[wrong[0]]} is not in the range of {datatype}", row, name)
    return Tensor(name, datatype, shape, numbers.astype(kind))
