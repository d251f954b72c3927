"""Records as JSON texts that the server can read, whatever the caller put into them.

Not a number and infinities have no JSON form and are sent as null. Numbers, texts and times of
other libraries become the plain ones. What has no form at all is named in the error, and only its
row is lost.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import date, datetime, timedelta, timezone
from typing import Callable, Union

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MISSING = {"NAType", "NaTType"}  # pandas' marks of what is missing
MAX_ROW = 1 << 20
UNVERSIONED = "unversioned"
OPTIONAL = (
    "latency_ms", "prediction", "probabilities", "role", "tier", "reason", "arm_share",
)  # fmt: skip

Moment = Union[int, str, datetime]
"""Nanoseconds since 1970, or a time as the caller wrote it."""


class UnfitError(ValueError):
    """A record that cannot be sent; `reason` is the counter it goes to."""

    def __init__(self, reason: str, said: str) -> None:
        self.reason = reason
        super().__init__(said)


def moment_of(value: object) -> Moment:
    """Return a caller's time: numbers are seconds since 1970; the server judges the rest.

    Examples
    --------
    >>> moment_of(1.5)
    1500000000
    """
    if isinstance(value, (int, float)):
        return int(value * 1_000_000_000)
    return value if isinstance(value, datetime) else str(value)


def iso(moment: Moment) -> str:
    """Return a time as ISO 8601.

    Examples
    --------
    >>> iso(1_700_000_000_123_456_789)
    '2023-11-14T22:13:20.123456+00:00'
    """
    if isinstance(moment, int):
        return (EPOCH + timedelta(microseconds=moment // 1000)).isoformat()
    return moment.isoformat() if isinstance(moment, datetime) else moment


def prediction(record: tuple[object, ...], version: str) -> bytes:
    """Return a prediction record as JSON; `version` stands in where the record names none.

    Raises
    ------
    UnfitError
        If it has no JSON form or is larger than `MAX_ROW`.
    """
    number, moment, features, score, own_version, entity, *rest = record
    row = features if isinstance(features, dict) else {}
    row["prediction_id"] = str(number)
    row["timestamp"] = iso(moment)  # type: ignore[arg-type]
    row["version"] = str(own_version) if own_version else version or UNVERSIONED
    row["score"] = score
    if entity not in {None, ""}:
        row["entity"] = str(entity)
    for name, value in zip(OPTIONAL, rest):
        if value is not None:
            row[name] = value
    return dump(row)


def label(record: tuple[object, object, Moment]) -> bytes:
    """Return a label as JSON; raises UnfitError."""
    number, value, arrival = record
    return dump({"prediction_id": str(number), "label": value, "arrival": iso(arrival)})


def outcome(record: tuple[object, object, object, Moment]) -> bytes:
    """Return a value of an outcome as JSON; raises UnfitError."""
    number, name, value, arrival = record
    row: dict[object, object] = {"prediction_id": str(number), "outcome": str(name)}
    row["value"], row["arrival"] = value, iso(arrival)
    return dump(row)


def dump(row: dict[object, object]) -> bytes:
    """Return a row as JSON in UTF-8.

    Raises
    ------
    UnfitError

    Examples
    --------
    >>> dump({"a": float("nan"), "b": "x", 3: 1})
    b'{"a":null,"b":"x","3":1}'
    """
    for name, value in row.items():
        if type(value) is str and len(value) > MAX_ROW:
            raise UnfitError("too_large", f"{_shown(name)} is a text of {len(value)} characters")
    try:
        text = _strict(row).encode()
    except (TypeError, ValueError, RecursionError):
        text = _mended(row)
    if len(text) > MAX_ROW:
        raise UnfitError("too_large", f"a row of {len(text)} bytes; at most {MAX_ROW} are sent")
    return text


def _plain(value: object) -> object:
    """Return the JSON value closest to what another library calls a number, text or time."""
    if type(value).__name__ in MISSING:
        return None
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray)):
        return value.decode(errors="replace")
    if isinstance(value, Mapping):
        return dict(value)
    for name in ("item", "tolist", "__float__"):
        found = getattr(value, name, None)
        if callable(found):
            return found()
    raise TypeError(f"{type(value).__name__} has no JSON form")


_strict: Callable[[object], str] = json.JSONEncoder(
    ensure_ascii=False,
    check_circular=False,
    allow_nan=False,
    separators=(",", ":"),
    default=_plain,
).encode


def _mended(row: dict[object, object]) -> bytes:
    """Return the row with each value that has no JSON form replaced, or say which one has none."""
    parts = []
    for name, value in row.items():
        try:
            said = _strict(_finite(value, 8))
            key = _strict(_text(name if isinstance(name, str) else str(name)))
        except Exception as error:
            problem = f"{_shown(name)} cannot be sent: {type(error).__name__}"
            raise UnfitError("unserialisable", f"{problem}: {_shown(error)}") from None
        parts.append(f"{key}:{said}".encode())
    return b"{" + b",".join(parts) + b"}"


def _finite(value: object, depth: int) -> object:
    if not isinstance(value, (str, int, float, bool, list, tuple, dict, type(None))):
        value = _plain(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (list, tuple, dict)):
        if not depth:
            raise ValueError("nested too deeply")
        if isinstance(value, dict):
            return {_text(str(k)): _finite(v, depth - 1) for k, v in value.items()}
        return [_finite(item, depth - 1) for item in value]
    return value


def _text(value: str) -> str:
    """Return a text without the halves of characters that UTF-8 cannot hold."""
    return value.encode(errors="replace").decode()


def _shown(value: object) -> str:
    text = repr(value)[:200]
    return text if len(text) <= 80 else f"{text[:77]}..."
