"""A user's own history as Homeostat takes it: features, predictions' times, labels and theirs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from homeostat.domain.columns import texts
from homeostat.domain.errors import DataError
from homeostat.domain.model import ModelSpec, Task
from homeostat.domain.record import TIMESTAMP, feature_schema
from homeostat.entrypoints.files import read_file
from homeostat.entrypoints.history_notes import peculiarities, versions_said
from homeostat.entrypoints.settings.deployment import Settings
from homeostat.entrypoints.settings.model import History

VERSION = "version"
"""Column that says who answered; where there are several, that is said."""


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """A history and what is peculiar about it, in sentences."""

    rows: pa.Table
    notes: tuple[str, ...] = ()


def read_history(settings: Settings, model: str, path: Path) -> pa.Table:
    """Return the rows of `tell_history`."""
    return tell_history(settings, model, path).rows


def tell_history(settings: Settings, model: str, path: Path) -> Told:
    """Read a labelled history with the column names that the configuration gives.

    Rows that come again with the same id and the same content are left out.

    Returns
    -------
    Told
        The rows with ``prediction_id``, ``timestamp``, ``label`` (class index or number; null:
        unknown), ``arrival`` (null: with the prediction), ``entity`` if the model has one,
        ``score`` if the configuration names its column, and the features; by time.

    Raises
    ------
    NotFoundError
        If there is no such file.
    DataError
        If it cannot be read, a column is absent or of a wrong type, an id comes twice, a label is
        no class of the model or all are of one class, a score is missing or cannot be one, or
        nothing is left of it.
    """
    configured = settings.model(model)
    spec, names = configured.spec(), configured.history
    table = read_file(path)
    table = _used(table, names, path)
    table, notes = _once(table, names)
    count = table.num_rows
    if names.id in table.column_names:
        ids = _cast(table, names.id, pa.string(), path)
    else:
        ids = pa.chunked_array([pa.array([f"row-{row}" for row in range(count)])])
    columns: dict[str, pa.ChunkedArray[pa.Scalar[pa.DataType]]] = {
        "prediction_id": ids,
        "timestamp": _moment(table, names.timestamp, path),
        "label": _label(table, names.label, spec, path),
        "arrival": _arrival(table, names, path),
    }
    if spec.entity:
        columns["entity"] = _cast(table, spec.entity, pa.string(), path)
    if names.score is not None:
        columns["score"] = _score(table, names.score, spec, path)
    for field in feature_schema(spec):
        columns[field.name] = _cast(table, field.name, field.type, path)
    found = pa.table(columns)
    _check_ids(found, names, path)
    _check_classes(found, names, spec, path)
    found = found.sort_by([("timestamp", "ascending"), ("prediction_id", "ascending")])
    features = [field.name for field in feature_schema(spec)]
    if VERSION not in features:
        notes = (*notes, *versions_said(table, VERSION, names.timestamp))
    return Told(found, (*notes, *peculiarities(found, features)))


def _once(table: pa.Table, names: History) -> tuple[pa.Table, tuple[str, ...]]:
    """Leave out rows that are the same as an earlier one, id and all."""
    if names.id not in table.column_names:
        return table, ()
    if pc.count_distinct(table[names.id], mode="all").as_py() == table.num_rows:
        return table, ()
    kept = table.group_by(table.column_names, use_threads=False).aggregate([])
    twice = table.num_rows - kept.num_rows
    if not twice:
        return table, ()
    said = f"{twice:,} rows come more than once, the same in every column; each is taken once"
    return kept.select(table.column_names), (said,)


def _used(table: pa.Table, names: History, path: Path) -> pa.Table:
    if names.where is not None:
        flags = _cast(table, names.where, pa.bool_(), path)
        table = pa.table(
            {**dict(zip(table.column_names, table.columns, strict=True)), names.where: flags}
        )
        table = table.filter(pc.field(names.where))
        if not table.num_rows:
            raise DataError(f"{path}: no rows are left where {names.where} is true")
    return table


def _cast(
    table: pa.Table, name: str, kind: pa.DataType, path: Path
) -> pa.ChunkedArray[pa.Scalar[pa.DataType]]:
    if name not in table.column_names:
        raise DataError(f"{path} has no column {name!r}; name it under history or features")
    try:
        return table[name].cast(kind)
    except pa.ArrowException as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path}: column {name!r} cannot be read as {kind}: {reason}") from error


def _moment(table: pa.Table, name: str, path: Path) -> pa.ChunkedArray[pa.Scalar[pa.DataType]]:
    """Return times in UTC; times without a zone are taken as UTC."""
    if name not in table.column_names:
        raise DataError(f"{path} has no column {name!r}; set history.timestamp to the right name")
    column = table[name]
    found = _cast(table, name, TIMESTAMP if _zoned(column) else pa.timestamp("us"), path)
    if found.null_count:
        raise DataError(f"{path}: column {name!r} has {found.null_count} rows without a time")
    return found.cast(TIMESTAMP)


def _zoned(column: pa.ChunkedArray[pa.Scalar[pa.DataType]]) -> bool:
    return isinstance(column.type, pa.TimestampType) and column.type.tz is not None


def _arrival(
    table: pa.Table, names: History, path: Path
) -> pa.ChunkedArray[pa.Scalar[pa.DataType]]:
    if names.label_timestamp not in table.column_names:
        return _moment(table, names.timestamp, path)
    column = table[names.label_timestamp]
    kind = TIMESTAMP if _zoned(column) else pa.timestamp("us")
    return _cast(table, names.label_timestamp, kind, path).cast(TIMESTAMP)


def _label(
    table: pa.Table, name: str, spec: ModelSpec, path: Path
) -> pa.ChunkedArray[pa.Scalar[pa.DataType]]:
    if name not in table.column_names:
        raise DataError(f"{path} has no column {name!r}; set history.label to the right name")
    if spec.task is not Task.REGRESSION and _named(table, name):
        return _class_index(table, name, spec, path)
    values = np.asarray(_cast(table, name, pa.float64(), path).to_numpy(), dtype=np.float64)
    if np.isinf(values).any():
        raise DataError(f"{path}: column {name!r} holds infinite values")
    # A label that is missing in a column of floats is often NaN.
    return pa.chunked_array([pa.array(values, mask=np.isnan(values))])


def _named(table: pa.Table, name: str) -> bool:
    kind = table[name].type
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return text or pa.types.is_dictionary(kind)


def _score(
    table: pa.Table, name: str, spec: ModelSpec, path: Path
) -> pa.ChunkedArray[pa.Scalar[pa.DataType]]:
    if name not in table.column_names:
        raise DataError(f"{path} has no column {name!r}; set history.score to the right name")
    if spec.task is Task.MULTICLASS and _named(table, name):
        found = _class_index(table, name, spec, path)
    else:
        found = _cast(table, name, pa.float64(), path)
    values = np.asarray(found.to_numpy(), dtype=np.float64)
    if not np.isfinite(values).all():
        count = int((~np.isfinite(values)).sum())
        raise DataError(f"{path}: column {name!r} has {count} rows without a finite score")
    if spec.task is Task.BINARY and ((values < 0) | (values > 1)).any():
        worst = values[(values < 0) | (values > 1)][0]
        raise DataError(
            f"{path}: column {name!r} holds {worst:g}; the score of a binary model is the "
            "probability of the positive class, from 0 to 1"
        )
    if spec.task is Task.MULTICLASS and not np.isin(values, np.arange(len(spec.classes))).all():
        known = ", ".join(spec.classes)
        raise DataError(
            f"{path}: column {name!r} holds what is neither one of the classes {known} nor the "
            "place of one in that list, from 0"
        )
    return pa.chunked_array([pa.array(values)])


def _class_index(
    table: pa.Table, name: str, spec: ModelSpec, path: Path
) -> pa.ChunkedArray[pa.Scalar[pa.DataType]]:
    index = {value: float(place) for place, value in enumerate(spec.classes)}
    values = _cast(table, name, pa.string(), path)
    found = pa.array(
        [index.get(text) for text in texts(pa.table({name: values}), name)], pa.float64()
    )
    if found.null_count > values.null_count:
        known = ", ".join(spec.classes)
        raise DataError(f"{path}: column {name!r} holds other values than the classes {known}")
    return pa.chunked_array([found])


def _check_ids(table: pa.Table, names: History, path: Path) -> None:
    ids = np.asarray(table["prediction_id"].to_numpy(zero_copy_only=False), dtype=object)
    if table["prediction_id"].null_count:
        raise DataError(f"{path}: column {names.id!r} has rows without an id")
    distinct, counts = np.unique(ids.astype(str), return_counts=True)
    if distinct.size < ids.size:
        twice = str(distinct[counts > 1][0])
        raise DataError(f"{path}: column {names.id!r} holds {twice!r} more than once")


def _check_classes(table: pa.Table, names: History, spec: ModelSpec, path: Path) -> None:
    if spec.task is Task.REGRESSION:
        return
    found = np.unique(np.asarray(table["label"].drop_null().to_numpy(), dtype=np.float64))
    classes = spec.classes or ("0", "1")
    strange = np.setdiff1d(found, np.arange(len(classes)))
    if strange.size:
        raise DataError(
            f"{path}: column {names.label!r} holds {strange[0]:g}; a label is one of the classes "
            f"{', '.join(classes)}, or their place in that list, from 0"
        )
    if found.size == 1:
        only = classes[int(found[0])]
        raise DataError(
            f"{path}: column {names.label!r} holds the class {only} only; there is nothing to tell "
            "apart: give a history with other classes too"
        )
