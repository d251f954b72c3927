"""Which column of a file is which field of the log: as it is told, or by obvious names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from homeostat.domain.errors import DataError
from homeostat.domain.model import ModelSpec, Task
from homeostat.domain.record import PROBABILITIES, prediction_schema
from homeostat.entrypoints.settings.model import History
from homeostat.entrypoints.settings.values import nearest


class Rows(StrEnum):
    """What the rows of a file are."""

    PREDICTIONS = "predictions"
    LABELS = "labels"
    OUTCOMES = "outcomes"


USUAL: Mapping[str, tuple[str, ...]] = {
    "prediction_id": ("predictionid", "predid", "inferenceid", "requestid", "eventid",
                      "uuid", "id"),
    "timestamp": ("timestamp", "eventtimestamp", "eventtime", "predictedat", "requesttime",
                  "timestampms", "datetime", "time", "ts", "createdat", "date"),
    "version": ("version", "modelversion"),
    "score": ("score", "probability", "proba", "predictedprobability", "predictproba", "yscore",
              "yproba"),
    "prediction": ("prediction", "predicted", "predictedclass", "yhat", "ypred"),
    "entity": ("entity", "entityid"),
    "latency_ms": ("latencyms", "latency", "executiontimems"),
    PROBABILITIES: ("probabilities", "predictproba"),
    "label": ("label", "groundtruth", "truth", "ytrue", "actual", "target", "y"),
    "arrival": ("arrival", "arrivedat", "labeltimestamp", "labeltime", "labeledat", "labelledat",
                "knownat"),
    "outcome": ("outcome", "outcomename"),
    "value": ("value", "outcomevalue"),
}  # fmt: skip
"""Names that leave no doubt, without case and punctuation; the first that is there counts."""


LISTED = 50
"""Columns that a message names."""

_BESIDE = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Naming:
    """How the columns of a file are called.

    Attributes
    ----------
    columns : mapping of str to str
        Column of the file by our name.
    guessed : frozenset of str
        Those of our names that nobody has told.
    unused : tuple of str
        Columns of the file that are none of ours.
    absent : tuple of str
        Features that the file does not have: they are missing in all its rows.
    """

    columns: Mapping[str, str]
    guessed: frozenset[str]
    unused: tuple[str, ...]
    absent: tuple[str, ...]


def fields_of(spec: ModelSpec, rows: Rows) -> tuple[str, ...]:
    """Return the names that columns can have."""
    if rows is Rows.PREDICTIONS:
        return tuple(prediction_schema(spec).names)
    if rows is Rows.LABELS:
        return ("prediction_id", "label", "arrival")
    return ("prediction_id", "outcome", "value", "arrival", *spec.outcomes)


def name_columns(
    spec: ModelSpec,
    rows: Rows,
    names: Sequence[str],
    told: Mapping[str, str] | None = None,
    history: History | None = None,
) -> Naming:
    """Say which column is which.

    What is told comes first, then our own names, then those that the model's ``history`` tells,
    then obvious ones.

    Parameters
    ----------
    spec : ModelSpec
    rows : Rows
    names : sequence of str
        Columns of the file.
    told : mapping of str to str
        Our name by the file's.
    history : History

    Raises
    ------
    DataError
        If a column is told that is not there or a name that we do not have, or one is needed and
        there is none.

    Examples
    --------
    >>> from datetime import timedelta
    >>> from homeostat.domain.model import LabelSpec, Schema
    >>> spec = ModelSpec("fraud", Task.BINARY, Schema(()), LabelSpec(timedelta(days=1)))
    >>> naming = name_columns(spec, Rows.LABELS, ["Request ID", "is_fraud"], {"is_fraud": "label"})
    >>> dict(naming.columns), sorted(naming.guessed)
    ({'label': 'is_fraud', 'prediction_id': 'Request ID'}, ['prediction_id'])
    """
    fields = fields_of(spec, rows)
    columns = _told(rows, names, told or {}, fields)
    for ours in fields:
        if ours not in columns and ours in names and ours not in columns.values():
            columns[ours] = ours
    guessed: set[str] = set()
    for ours, theirs in _guesses(spec, fields, names, history):
        # A feature may be who the prediction is about, too.
        free = theirs not in columns.values() or (ours == "entity" and theirs == spec.entity)
        if ours not in columns and free:
            columns[ours] = theirs
            guessed.add(ours)
    _check(spec, rows, columns, names)
    unused = tuple(name for name in names if name not in columns.values())
    features = spec.schema.names if rows is Rows.PREDICTIONS else ()
    absent = tuple(name for name in features if name not in columns)
    return Naming(columns, frozenset(guessed), unused, absent)


def _told(
    rows: Rows, names: Sequence[str], told: Mapping[str, str], fields: Sequence[str]
) -> dict[str, str]:
    columns: dict[str, str] = {}
    for theirs, ours in told.items():
        if theirs not in names:
            near = nearest(theirs, names[:LISTED])
            raise DataError(f"there is no column {theirs!r} to map; {near}")
        if ours not in fields:
            raise DataError(f"{rows} have no {ours!r} to map to; {nearest(ours, fields)}")
        columns[ours] = theirs
    return columns


def listed(names: Sequence[str]) -> str:
    """Return names as people read them, not all of a million.

    Examples
    --------
    >>> listed(["a", "b"]), listed([])
    ("'a', 'b'", 'none')
    """
    shown = ", ".join(map(repr, names[:LISTED])) or "none"
    return shown if len(names) <= LISTED else f"{shown} and {len(names) - LISTED:,} more"


def _guesses(
    spec: ModelSpec, fields: Sequence[str], names: Sequence[str], history: History | None
) -> Iterator[tuple[str, str]]:
    if history is not None:
        known = {"prediction_id": history.id, "timestamp": history.timestamp,
                 "label": history.label, "arrival": history.label_timestamp}  # fmt: skip
        yield from ((o, t) for o, t in known.items() if o in fields and t in names)
    if "entity" in fields and spec.entity in names:
        yield "entity", spec.entity
    bare: dict[str, str] = {}
    for name in names:
        bare.setdefault(_bare(name), name)
    for field in fields:
        for usual in USUAL.get(field, (_bare(field),)):
            if usual in bare:
                yield field, bare[usual]


def _bare(name: str) -> str:
    return _BESIDE.sub("", name.casefold())


def _check(spec: ModelSpec, rows: Rows, columns: Mapping[str, str], names: Sequence[str]) -> None:
    """Raise DataError if something is missing without which no row can be taken."""
    needed: dict[Rows, list[tuple[str, ...]]] = {
        Rows.PREDICTIONS: [("timestamp",), _answers(spec)],
        Rows.LABELS: [("prediction_id",), ("label",)],
        Rows.OUTCOMES: [("prediction_id",), ("value", *spec.outcomes)],
    }
    wanted = needed[rows]
    if rows is Rows.OUTCOMES and not spec.outcomes:
        raise DataError(f"the model {spec.name!r} has no outcomes; name them in its settings")
    if "value" in columns and "outcome" not in columns:
        wanted = [*wanted, ("outcome",)]
    for one_of in wanted:
        if not any(name in columns for name in one_of):
            said = " or ".join(one_of)
            remedy = f"map one to it (COLUMN={one_of[0]}): there are {listed(names)}"
            raise DataError(f"no column says {said}; {remedy}")


def _answers(spec: ModelSpec) -> tuple[str, ...]:
    """Return the fields of which one must be there: a class alone is no binary score."""
    more = {Task.BINARY: (), Task.REGRESSION: ("prediction",),
            Task.MULTICLASS: ("prediction", PROBABILITIES)}  # fmt: skip
    return ("score", *more[spec.task])
