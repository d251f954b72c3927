"""JSON rows as Arrow tables; a row that does not fit is set aside, its neighbours go on."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from homeostat.domain.admission import class_count, class_indices
from homeostat.domain.errors import DataError
from homeostat.domain.model import ColumnKind, ModelSpec, Task
from homeostat.domain.record import (
    ARM,
    LABEL_SCHEMA,
    OUTCOME_SCHEMA,
    PROBABILITIES,
    ROLE,
    ROLES,
    TIERS,
    prediction_schema,
)
from homeostat.domain.refusal import MOST_REFUSED, too_many
from homeostat.engine.ports import Receipt, Rejected

Read = Callable[[object], object]

LISTED = 40
LISTED_ROLES = f"{', '.join(ROLES)}, {ARM}VERSION"
ISO = "use ISO 8601 with a zone, such as 2024-01-31T12:00:00Z"


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows read from a request: those that fit, where they stood, and those that do not.

    ``originals`` holds the latter as they were sent, by where they stood.
    """

    table: pa.Table
    places: tuple[int, ...]
    rejected: tuple[Rejected, ...]
    originals: Mapping[int, object] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Number of rows sent."""
        return len(self.places) + len(self.rejected)

    def receipt(self, stored: Receipt) -> Receipt:
        """Return the log's receipt for the whole request, rows numbered as the caller sent them."""
        again = (Rejected(self.places[r.row], r.column, r.reason) for r in stored.rejected)
        rejected = sorted((*self.rejected, *again), key=lambda r: r.row)
        return Receipt(stored.accepted, stored.duplicates, tuple(rejected))


@dataclass(frozen=True, slots=True)
class Unread:
    """A row that is not even JSON, and why."""

    text: str
    reason: str


def read_labels(spec: ModelSpec, items: Iterable[object], now: datetime) -> Rows:
    """Read labels: ``prediction_id``, ``label`` and, if not `now`, ``arrival``.

    A label is a number; for classification also a class name. As `read_outcomes` and
    `read_predictions`, raises DataError if more than `MOST_REFUSED` rows do not fit.
    """
    readers = {
        "prediction_id": _text,
        "label": lambda value: _label(spec, value),
        "arrival": _optional(_time, now),
    }
    return _read(items, readers, LABEL_SCHEMA)


def read_outcomes(spec: ModelSpec, items: Iterable[object], now: datetime) -> Rows:
    """Read outcomes: ``prediction_id``, ``outcome``, ``value`` and, if not `now`, ``arrival``."""
    readers = {
        "prediction_id": _text,
        "outcome": _choice(spec.outcomes),
        "value": lambda value: float(value) if isinstance(value, bool) else _number(value),
        "arrival": _optional(_time, now),
    }
    names = ["value" if name == "label" else name for name in OUTCOME_SCHEMA.names]
    schema = pa.schema([f.with_name(n) for f, n in zip(OUTCOME_SCHEMA, names, strict=True)])
    found = _read(items, readers, schema)
    return replace(found, table=found.table.rename_columns(OUTCOME_SCHEMA.names))


def read_predictions(spec: ModelSpec, items: Iterable[object], now: datetime) -> Rows:
    """Read prediction records: the fields of the prediction log and the features, side by side.

    Only ``prediction_id``, ``timestamp``, ``version`` and ``score`` must be there; ``prediction``
    follows from the score. Of several classes, score and prediction are class indices or names, and
    either follows from ``probabilities``: a list in the order of the classes, or an object by name.
    """
    del now  # a time of arrival would differ in a retry, which then is no repetition
    readers: dict[str, Read] = {
        "prediction_id": _text,
        "timestamp": _made,
        "version": _text,
        "role": _optional(_role, "champion"),
        "tier": _optional(_choice(TIERS), "model"),
        "reason": _optional(_text, ""),
        "entity": _optional(_text, ""),
        "score": _number,
        "prediction": _optional(_number, None),
        "latency_ms": _optional(_number, None),
        "arm_share": _optional(_number, None),
    }
    if spec.task is Task.MULTICLASS:
        of_class = _optional(lambda value: _label(spec, value), None)
        readers |= {"score": of_class, "prediction": of_class}
        readers[PROBABILITIES] = _optional(lambda value: _chances(spec, value), None)
    schema = prediction_schema(spec)
    kinds = {column.name: _FEATURE[column.kind] for column in spec.schema.columns}
    for name in schema.names:
        if name not in readers:
            readers[name] = _optional(kinds.get(name, _flag), None)
    in_order = {name: readers[name] for name in schema.names}
    return _read(items, in_order, schema, lambda row: _predict(spec, row))


def _predict(spec: ModelSpec, row: dict[str, object]) -> None:
    if spec.task is Task.MULTICLASS:
        _predict_class(row)
        return
    score = row["score"]
    if row["prediction"] is None and isinstance(score, float):
        binary = spec.task is Task.BINARY
        row["prediction"] = float(score >= spec.threshold) if binary else score


def _predict_class(row: dict[str, object]) -> None:
    chances = row[PROBABILITIES]
    likeliest = float(chances.index(max(chances))) if isinstance(chances, list) else None
    given = (row["prediction"], row["score"], likeliest)
    row["prediction"] = next((value for value in given if value is not None), None)
    row["score"] = row["prediction"] if row["score"] is None else row["score"]
    if row["score"] is None:
        raise DataError(f"is missing; send the class, or {PROBABILITIES}")


def _read(
    items: Iterable[object],
    readers: Mapping[str, Read],
    schema: pa.Schema,
    finish: Callable[[dict[str, object]], None] = lambda _row: None,
) -> Rows:
    rows: list[dict[str, object]] = []
    places: list[int] = []
    rejected: list[Rejected] = []
    originals: dict[int, object] = {}
    for place, item in enumerate(items):
        found = _row(item, readers, finish)
        if isinstance(found, dict):
            rows.append(found)
            places.append(place)
        else:
            rejected.append(Rejected(place, *found))
            if len(rejected) > MOST_REFUSED:
                raise too_many((entry.row, entry.column, entry.reason) for entry in rejected)
            originals[place] = item.text if isinstance(item, Unread) else item
    table = pa.Table.from_pylist(rows, schema=schema)
    return Rows(table, tuple(places), tuple(rejected), originals)


def _row(
    item: object, readers: Mapping[str, Read], finish: Callable[[dict[str, object]], None]
) -> dict[str, object] | tuple[str, str]:
    """Return the row, or the column that is wrong and why."""
    if isinstance(item, Unread):
        return "", item.reason
    if not isinstance(item, dict):
        return "", "must be a JSON object"
    for name in item:
        if name not in readers:
            return name, unknown_column(readers)
    row: dict[str, object] = {}
    for name, read in readers.items():
        try:
            row[name] = read(item.get(name))
        except DataError as error:
            return name, str(error)
    try:
        finish(row)
    except DataError as error:
        return "score", str(error)
    return row


def unknown_column(known: Iterable[str]) -> str:
    """Return why a row with a column that is not known is refused.

    Examples
    --------
    >>> unknown_column(["a", "b"])
    'unknown column; known: a, b'
    """
    names = list(known)
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"unknown column; known: {', '.join(names[:LISTED])}{more}"


def _optional(read: Read, default: object) -> Read:
    return lambda value: default if value is None else read(value)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise DataError(f"must be text, not {_shown(value)}")
    return value


def _category(value: object) -> str:
    if not isinstance(value, str):
        raise DataError(f"must be text, not {_shown(value)}")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise DataError(f"must be true or false, not {_shown(value)}")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"must be a number, not {_shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise DataError("must be a finite number")
    return number


_FEATURE: Mapping[ColumnKind, Read] = {
    ColumnKind.NUMERIC: _number,
    ColumnKind.CATEGORICAL: _category,
    ColumnKind.BOOLEAN: _flag,
}


def _choice(allowed: Sequence[str]) -> Read:
    def read(value: object) -> str:
        if value not in allowed:
            known = ", ".join(allowed) or "none that there is"
            raise DataError(f"must be one of {known}, not {_shown(value)}")
        return str(value)

    return read


def _role(value: object) -> str:
    if not isinstance(value, str) or re.fullmatch(ROLE, value) is None:
        raise DataError(f"must be one of {LISTED_ROLES}, not {_shown(value)}")
    return value


def _made(value: object) -> datetime:
    if value is None:
        remedy = "send the time of the prediction, and the same one when you send it again"
        raise DataError(f"is missing; {remedy}; {ISO}")
    return _time(value)


def _time(value: object) -> datetime:
    if not isinstance(value, str):
        raise DataError(f"must be a time, not {_shown(value)}; {ISO}")
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise DataError(f"must be a time, not {_shown(value)}; {ISO}") from None
    raise DataError(f"has no time zone; {ISO}")


def _label(spec: ModelSpec, value: object) -> float:
    if spec.task is Task.REGRESSION:
        return _number(value)
    if isinstance(value, str):
        if value not in spec.classes:
            names = ", ".join(spec.classes) or "0 and 1"
            raise DataError(f"unknown class {_shown(value)}; there are {names}")
        return float(spec.classes.index(value))
    number = float(value) if isinstance(value, bool) else _number(value)
    if not class_indices(spec, np.array([number])).all():
        last = class_count(spec) - 1
        raise DataError(f"must be a class index from 0 to {last}, not {_shown(value)}")
    return number


def _chances(spec: ModelSpec, value: object) -> list[float]:
    if isinstance(value, dict):
        if set(value) != set(spec.classes):
            raise DataError(f"must name each class once: {', '.join(spec.classes)}")
        value = [value[name] for name in spec.classes]
    if not isinstance(value, list) or not value:
        raise DataError(f"must be a list of numbers, one a class, not {_shown(value)}")
    return [_number(item) for item in value]


def _shown(value: object) -> str:
    if value is None:
        return "missing"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
