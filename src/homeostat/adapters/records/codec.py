"""Frozen dataclasses as JSON text, and times as whole microseconds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable
from datetime import datetime, timedelta
from functools import cache
from typing import TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from homeostat.domain.errors import StorageError
from homeostat.domain.window import EPOCH

S = TypeVar("S")
MICROSECOND = timedelta(microseconds=1)
MOST_KEY = 500
"""Bytes of a text in a key: PostgreSQL takes 2,704 for all columns of a key."""


def to_micros(moment: datetime) -> int:
    """Return whole microseconds since 1970; exact, unlike a float timestamp."""
    return (moment - EPOCH) // MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return the UTC time `micros` microseconds after 1970.

    Examples
    --------
    >>> from_micros(1).isoformat()
    '1970-01-01T00:00:00.000001+00:00'
    """
    return EPOCH + timedelta(microseconds=micros)


def storable(text: str) -> str:
    r"""Return text from data for a column of its own: PostgreSQL takes no NUL.

    Different texts stay different.

    Examples
    --------
    >>> storable("land=FR"), storable("land=\0")
    ('land=FR', 'land=\x1a0')
    """
    return text.replace("\x1a", "\x1a1").replace("\0", "\x1a0")


def as_given(text: str) -> str:
    r"""Return the text behind `storable`'s.

    Examples
    --------
    >>> as_given(storable("a\0b\x1a0")) == "a\0b\x1a0"
    True
    """
    return text.replace("\x1a0", "\0").replace("\x1a1", "\x1a")


def key_text(text: str) -> str:
    r"""Return text from data as part of a table's key, whose size databases limit.

    What is long is cut, with a digest: different texts stay different, and a cut one as it is.

    Examples
    --------
    >>> key_text("1.0"), len(key_text("x" * 15_000)), key_text("x" * 15_000)[465:]
    ('1.0', 499, 'x~0c9031e3c702cf76c69154400e241049')
    """
    shown = storable(text)
    data = shown.encode(errors="backslashreplace")
    if len(data) <= MOST_KEY:
        return data.decode()
    digest = hashlib.sha256(data).hexdigest()
    return f"{data[: MOST_KEY - 34].decode(errors='ignore')}~{digest[:32]}"


@cache
def _adapter(kind: Hashable) -> TypeAdapter[object]:
    return TypeAdapter(cast("type[object]", kind))


def encode(value: object) -> str:
    """Return a frozen dataclass as JSON; NaN and infinities are kept (as Python's json does).

    Examples
    --------
    >>> from homeostat.domain.route import Route
    >>> decode(encode(Route("fraud", weight=0.1)), Route).weight
    0.1
    """
    adapter = _adapter(cast("Hashable", type(value)))
    return json.dumps(adapter.dump_python(value, mode="json"), separators=(",", ":"))


def decode(text: str, kind: type[S]) -> S:
    """Return the dataclass behind `encode`'s text.

    Raises
    ------
    StorageError
        If the text is not a `kind`: written by another version, or damaged.
    """
    try:
        return cast("S", _adapter(cast("Hashable", kind)).validate_json(text))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise StorageError(
            f"a stored {kind.__name__} cannot be read: {where}: {first['msg']}; "
            "was it written by another version of Homeostat?"
        ) from error
