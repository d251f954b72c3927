"""Looks at a data set: roles of its columns, kinds, ranges, task, delays, and what is a guess."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from homeostat.domain.errors import DataError
from homeostat.domain.model import ColumnKind, Task
from homeostat.domain.record import RESERVED
from homeostat.entrypoints.sketch_odd import no_header, odd
from homeostat.profiles.cast import plain
from homeostat.profiles.infer import count_distinct, nearly_unique

MOST_CATEGORIES = 12
MOST_CLASSES = 50
RARE = 5
TELLING = 0.999
DAY = timedelta(days=1)
ASSUMED_MATURITY = 30 * DAY
STEPS = tuple(timedelta(minutes=m) for m in (30, 60, 360, 1440, 7 * 1440, 30 * 1440))

IDS = ("prediction_id", "id", "event_id", "transaction_id", "request_id", "uuid", "row_id")
TIMES = (
    "timestamp",
    "time",
    "datetime",
    "event_time",
    "event_timestamp",
    "created_at",
    "date",
    "ts",
)
LABELS = ("label", "target", "y", "outcome", "y_true", "ground_truth", "class", "is_fraud", "churn")
TURNED_OUT = re.compile(
    r"((is|has|was|y)_)?(fraud(ulent)?|churn(ed)?|default(ed)?|convert(ed)?|conversion|click(ed)?"
    r"|cancel(l?ed)?|returned|charge_?back|attrition|survived|response|approved)(_flag|_label)?",
    re.IGNORECASE,
)
"""Names of columns that say how things turned out, if they hold one of two values."""
SCORES = ("score", "prediction", "probability", "proba", "prob", "y_pred", "y_score", "y_prob")
SCORED = re.compile(
    r"(p|prob|proba|probability|score|pred|predicted|prediction)_(?P<label>.+)", re.IGNORECASE
)
"""Names of columns with a model's answers: of what they say before the label's own name."""
LABEL_TIMES = ("label_timestamp", "label_time", "label_date", "outcome_time", "labelled_at")
ENTITIES = ("entity", "entity_id", "customer_id", "user_id", "client_id", "account_id", "card_id")
PERSONAL = re.compile(
    r"(^|_)(e?mail|phone|ssn|iban|address|surname|first_?name|last_?name|ip)(_|$)", re.IGNORECASE
)
PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


@dataclass
class Sketch:
    """What was seen in a file, and in words what was assumed."""

    name: str
    rows: int
    task: Task = Task.BINARY
    classes: tuple[str, ...] = ()
    entity: str = ""
    roles: dict[str, str] = field(default_factory=dict)
    features: dict[str, str] = field(default_factory=dict)
    maturity: timedelta = ASSUMED_MATURITY
    scale: float | None = None
    windows: dict[str, timedelta] = field(default_factory=dict)
    assumed: list[str] = field(default_factory=list)


def sketch(table: pa.Table, data: Path, given: Mapping[str, str] = MappingProxyType({})) -> Sketch:
    """Guess roles, kinds, task and delays from the rows of a file.

    Parameters
    ----------
    table : pyarrow.Table
    data : Path
        Where it comes from.
    given : mapping
        Column by role, of ``label``, ``label_timestamp``, ``timestamp``, ``id`` and ``score``: what
        need not be guessed.

    Raises
    ------
    DataError
        If no column can be a feature, or a given one is not there.
    """
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", data.name.partition(".")[0]).strip("-_.")[:64]
    found = Sketch(name or "model", table.num_rows)
    names = table.column_names
    if len(set(names)) < len(names):
        twice = sorted({n for n in names if names.count(n) > 1})
        raise DataError(f"{data} has columns of the same name: {', '.join(twice)}; rename them")
    table = pa.table({n: _plain(table[n]) for n in names})
    absent = [column for column in given.values() if column not in names]
    if absent:
        raise DataError(f"{data} has no column {absent[0]!r}; there are {', '.join(names)}")
    header = no_header(names)
    found.assumed += [header] if header else []
    _find_roles(found, table, given)
    _find_task(found, table)
    _find_delays(found, table)
    _find_windows(found, table)
    _find_features(found, table)
    if not found.features:
        raise DataError(
            f"{data} has no column that can be a feature; it needs numbers or categories"
        )
    return found


def _plain(column: pa.ChunkedArray[Any]) -> pa.ChunkedArray[Any]:
    """Return the column with dictionaries, views and large types made ordinary."""
    column = plain(column)
    kind = column.type
    if pt.is_decimal(kind):
        kind = pa.float64()
    if pt.is_date(kind):
        kind = pa.timestamp("us")
    return column if kind == column.type else column.cast(kind)


def _named(table: pa.Table, wanted: Iterable[str], taken: Iterable[str]) -> str:
    lower = {n.lower(): n for n in table.column_names if n not in set(taken)}
    return next((lower[name] for name in wanted if name in lower), "")


def _find_roles(found: Sketch, table: pa.Table, given: Mapping[str, str]) -> None:
    roles = found.roles
    taken = set(given.values())
    free = [n for n in table.column_names if n not in taken]
    times = [n for n in free if pt.is_timestamp(table[n].type)]
    clock, rest = table.select(times), table.select(free)
    roles["label"] = given.get("label") or _find_label(rest)
    roles["label_timestamp"] = given.get("label_timestamp") or _named(clock, LABEL_TIMES, ())
    roles["timestamp"] = given.get("timestamp") or (
        _named(clock, TIMES, roles.values())
        or next((n for n in times if n not in roles.values()), "")
    )
    roles["id"] = given.get("id") or _find_id(rest, roles.values())
    truth = table.select([roles["label"]] if roles["label"] else [])
    roles["score"] = given.get("score") or _find_score(rest, truth)
    for role, column in roles.items():
        if column and role not in given:
            found.assumed.append(f"{column} is the {role.replace('_', ' ')}")
        elif not column and role != "score":
            found.assumed.append(f"no column looks like the {role.replace('_', ' ')}; name it")
    found.entity = _named(table, ENTITIES, roles.values())
    if found.entity:
        found.assumed.append(f"{found.entity} names who a prediction is about (entity)")


def _find_label(table: pa.Table) -> str:
    return _named(table, LABELS, ()) or next(_turned_out(table), "")


def _find_score(table: pa.Table, truth: pa.Table) -> str:
    """Return the column that holds a model's answers to the one label column of `truth`."""
    if not truth.num_columns:
        return ""
    (label,) = truth.column_names
    for name in table.column_names:
        match = SCORED.fullmatch(name)
        named = name.lower() in SCORES or (match and match["label"].lower() == label.lower())
        if named and _answers(table[name], truth[label]):
            return name
    return ""


def _answers(column: pa.ChunkedArray[Any], label: pa.ChunkedArray[Any]) -> bool:
    """Whether the values can be answers: probabilities, classes, or numbers as the task may be."""
    if not pt.is_string(label.type) and count_distinct(label) > 2:
        return _kind(column.type) is ColumnKind.NUMERIC
    if pt.is_string(label.type) and count_distinct(label) > 2:
        found = pt.is_string(column.type) and pc.all(pc.is_in(column, pc.unique(label))).as_py()
        return bool(found)
    if _kind(column.type) is not ColumnKind.NUMERIC or column.null_count == len(column):
        return False
    ends = pc.min_max(column)
    return bool(0 <= ends["min"].as_py() <= ends["max"].as_py() <= 1)


def _turned_out(table: pa.Table) -> Iterator[str]:
    """Yield columns of two values whose names say how things turned out."""
    for name in table.column_names:
        column, kind = table[name].drop_null(), _kind(table[name].type)
        if kind is None or not TURNED_OUT.fullmatch(name) or count_distinct(column) != 2:
            continue
        if kind is not ColumnKind.NUMERIC or set(pc.unique(column).to_pylist()) == {0, 1}:
            yield name


def _find_id(table: pa.Table, taken: Iterable[str]) -> str:
    free = [n for n in table.column_names if n not in set(taken)]
    keys = [
        n
        for n in free
        if (pt.is_string(table[n].type) or pt.is_integer(table[n].type))
        and count_distinct(table[n]) == table.num_rows
    ]
    unique = table.select(keys)
    texts = (n for n in keys if pt.is_string(table[n].type))
    return (
        _named(unique, IDS, ())
        or next((n for n in keys if n.lower().endswith("id")), "")
        or next(texts, "")
    )


def _find_task(found: Sketch, table: pa.Table) -> None:
    label = found.roles["label"]
    if not label:
        found.assumed.append("without labels the task is a guess: binary")
        return
    column = table[label]
    values = sorted(str(v) for v in pc.unique(column.drop_null()).to_pylist()[: MOST_CLASSES + 1])
    if pt.is_boolean(column.type) or set(values) <= {"0", "1", "0.0", "1.0"}:
        found.task = Task.BINARY
    elif pt.is_string(column.type):
        if len(values) > MOST_CLASSES:
            raise DataError(f"label column {label!r} has over {MOST_CLASSES} classes; name another")
        found.task = Task.BINARY if len(values) <= 2 else Task.MULTICLASS
        found.classes = tuple(values)
    elif pt.is_integer(column.type) and set(values) == {str(i) for i in range(len(values))}:
        found.task, found.classes = Task.MULTICLASS, tuple(sorted(values, key=int))
    elif _kind(column.type) is ColumnKind.NUMERIC:
        found.task = Task.REGRESSION
        numbers = column.cast(pa.float64())
        low, high = (pc.quantile(numbers, q)[0].as_py() or 0.0 for q in (0.05, 0.95))
        found.scale = float(f"{high - low:.2g}") or None
    else:
        raise DataError(f"label column {label!r} is {column.type}, neither number nor class")
    if len(values) <= 1:
        found.classes = ()
        found.assumed.append(f"{label} has one value only: the task is a guess")
    found.assumed.append(f"the task is {found.task}, from the values of {label}")


def _find_delays(found: Sketch, table: pa.Table) -> None:
    start, end = found.roles["timestamp"], found.roles["label_timestamp"]
    if start and end:
        times = [table[n].cast(pa.timestamp("us")).cast(pa.int64()) for n in (end, start)]
        late = pc.quantile(pc.subtract(times[0], times[1]), 0.99)[0].as_py() or 0.0
        if late > 0:
            days = -(-timedelta(microseconds=late) // DAY)
            found.maturity = max(days, 1) * DAY
            found.assumed.append(f"99 in 100 labels are known after {days} days (maturity)")
            return
    days = ASSUMED_MATURITY // DAY
    found.assumed.append(f"labels are complete after {days} days (maturity): set what you know")


def _find_windows(found: Sketch, table: pa.Table) -> None:
    """Choose window lengths that hold enough rows."""
    name = found.roles["timestamp"]
    if not name:
        return
    ends = pc.min_max(table[name].cast(pa.timestamp("us")))
    first, last = ends["min"].as_py(), ends["max"].as_py()
    if first is None or last <= first:
        return
    each = (last - first) / table.num_rows
    for monitor, rows, shortest in (
        ("drift", 200, DAY),
        ("quality", 60, STEPS[0]),
        ("volume", 50, STEPS[1]),
        ("performance", 200, DAY),
    ):
        fits = (step for step in STEPS if step >= shortest and step >= rows * each)
        found.windows[monitor] = next(fits, STEPS[-1])
    found.assumed.append(f"about {DAY / each:,.0f} predictions a day set the monitors' windows")


def _find_features(found: Sketch, table: pa.Table) -> None:
    taken = {*found.roles.values(), found.entity}
    outcomes = set(_turned_out(table))
    for name in table.column_names:
        if name in taken:
            continue
        reason = _why_not(found, table, name)
        if reason:
            found.assumed.append(f"{name} is left out: {reason}")
        else:
            found.features[name] = _feature(name, table[name])
            if name in outcomes:
                said = "named as what turns out later; is it known at the time of the prediction?"
                found.assumed.append(f"{name} is taken for a feature, though {said}")


def _why_not(found: Sketch, table: pa.Table, name: str) -> str:
    """Return why a column cannot be a feature; empty if it can."""
    column = table[name]
    known = len(column) - column.null_count
    reason = ""
    if name in RESERVED:
        reason = "a field of Homeostat's own"
    elif not name.strip():
        reason = "it has no name"
    elif not known:
        reason = "it has no values"
    elif pt.is_timestamp(column.type):
        reason = "a time; use what the model makes of it"
    elif _kind(column.type) is None:
        reason = f"type {column.type} is neither number nor category"
    elif odd(name, column):
        reason = odd(name, column)
    elif pt.is_string(column.type) and nearly_unique(column):
        reason = "nearly every value is another"
    elif _tells(found, table, column):
        label = found.roles["label"]
        reason = f"it tells {label} by itself; is it known at the time of the prediction?"
    return reason


def _tells(found: Sketch, table: pa.Table, column: pa.ChunkedArray[Any]) -> bool:
    """Whether each category comes with one label only."""
    name = found.roles["label"]
    if not name or found.task is Task.REGRESSION or count_distinct(table[name]) == 1:
        return False
    if not pt.is_string(column.type) or count_distinct(column) > MOST_CLASSES:
        return False
    pairs = pa.table({"x": column, "y": table[name]}).drop_null()
    counts = pairs.group_by(["x", "y"]).aggregate([([], "count_all")])
    largest = counts.group_by("x").aggregate([("count_all", "max")])
    right = pc.sum(largest["count_all_max"]).as_py() or 0
    return pairs.num_rows > 0 and right >= TELLING * pairs.num_rows


def _kind(kind: pa.DataType) -> ColumnKind | None:
    if pt.is_boolean(kind):
        return ColumnKind.BOOLEAN
    if pt.is_integer(kind) or pt.is_floating(kind):
        return ColumnKind.NUMERIC
    return ColumnKind.CATEGORICAL if pt.is_string(kind) else None


def _feature(name: str, column: pa.ChunkedArray[Any]) -> str:
    """Return the feature's settings in YAML, with what was seen as a comment."""
    kind = _kind(column.type)
    parts, seen = [f"kind: {kind}"], ""
    if kind is ColumnKind.NUMERIC:
        ends = pc.min_max(column)
        low, high = float(ends["min"].as_py()), float(ends["max"].as_py())
        if low >= 0:
            parts.append("min: 0")
        if low >= 0 and high <= 1 and pt.is_floating(column.type):
            parts.append("max: 1")
        seen = f"{low:.6g} to {high:.6g}"
    if kind is ColumnKind.CATEGORICAL:
        counts = pc.value_counts(column.drop_null())
        rarest = pc.min(counts.field("counts")).as_py()
        if len(counts) <= MOST_CATEGORIES and rarest >= RARE:
            values = sorted(str(v) for v in counts.field("values").to_pylist())
            parts.append(f"categories: [{', '.join(quoted(v) for v in values)}]")
        else:
            seen = f"{len(counts)} categories"
    if PERSONAL.search(name):
        parts.append("personal: true")
        seen = ""
    if column.null_count:
        missing = f"{column.null_count / len(column):.2%} missing"
        seen = f"{seen}, {missing}" if seen else missing
    return f"{{{', '.join(parts)}}}" + (f"  # {seen}" if seen else "")


def quoted(text: str) -> str:
    """Return text as a YAML scalar, in quotes where they are needed.

    Examples
    --------
    >>> print(quoted("amount"), quoted("no"), quoted("a: b"))
    amount "no" "a: b"
    """
    plain = PLAIN.fullmatch(text) and text.lower() not in WORDS
    return text if plain else json.dumps(text, ensure_ascii=True)
