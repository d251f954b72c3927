"""Which label counts for which prediction, and where labels lie."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from homeostat.adapters.predlog.catalogue import Change, FileEntry
from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.predlog.hashing import hash_texts
from homeostat.adapters.predlog.keys import Keys, identities
from homeostat.adapters.predlog.parquet import FileStore, align, in_order
from homeostat.adapters.predlog.state import RECENT, UNKNOWN
from homeostat.domain.columns import Floats, float_array, micros
from homeostat.domain.record import OUTCOME_SCHEMA, TIMESTAMP

SETTLE_ROWS = 500_000
"""Labels of unsorted files from which they are sorted by the day of their predictions."""

Matches: TypeAlias = "tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]"


def attach(
    ids: Floats,
    salt: int,
    labels: Iterable[tuple[Keys, pa.Table]],
    as_of: int,
    outcome: str = "",
) -> tuple[pa.Array[pa.Scalar[pa.DataType]], pa.Array[pa.Scalar[pa.DataType]]]:
    """Return each prediction's label and its arrival as known at `as_of`; null: not yet.

    What counts does not depend on the order in which labels were stored: the latest arrival, and of
    several at the same time the largest label. A repetition does not move the arrival.

    Parameters
    ----------
    ids : pyarrow.ChunkedArray of string
        Prediction ids.
    salt : int
        Of the keys.
    labels : iterable of (Keys, pyarrow.Table)
        Tables with the columns label and arrival, in the rows' order of the keys' ``rows``.
    as_of : int
        Microseconds.
    outcome : str
        Of which outcome; empty: of the label itself.
    """
    keys = hash_texts(ids, salt)
    order = np.argsort(keys)
    parts: list[Matches] = []
    for known, table in labels:
        at, rows = _pairs(keys, order, known)
        arrivals = micros(table, "arrival")[rows]
        early = (arrivals <= as_of) & _named(table, outcome)[rows]
        values = float_array(table.column("label"))[rows[early]]
        parts.append((at[early], arrivals[early], values))
    label, arrival = np.full(len(keys), np.nan), np.zeros(len(keys), np.int64)
    if parts:
        _count(label, arrival, [np.concatenate(column) for column in zip(*parts, strict=True)])
    missing = np.isnan(label)
    return (
        pa.array(label, pa.float64(), mask=missing),
        pa.array(arrival, pa.int64(), mask=missing).cast(TIMESTAMP),
    )


def _named(table: pa.Table, outcome: str) -> NDArray[np.bool_]:
    """Say which rows are of the outcome; files from before outcomes hold labels only."""
    if "outcome" not in table.column_names:
        return np.full(len(table), not outcome)
    names = pc.coalesce(table.column("outcome"), pa.scalar(""))
    return np.asarray(pc.equal(names, pa.scalar(outcome)), np.bool_)


def _pairs(
    keys: NDArray[np.uint64], order: NDArray[np.intp], known: Keys
) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Return the pairs of equal keys: places in `keys`, and `rows` of those known."""
    if len(known) >= len(keys):
        # Asked for in order, neighbours are found near each other.
        asked, rows = known.match(keys[order])
        return order[asked], rows
    mine = Keys(keys[order], known.details[:0], order.astype(np.uint32))
    asked, places = mine.match(known.keys)
    return places.astype(np.int64), known.rows[asked]


def _count(
    label: NDArray[np.float64], arrival: NDArray[np.int64], found: Sequence[NDArray[np.float64]]
) -> None:
    at, times, values = found
    order = np.lexsort((values, times, at))
    at, times, values = at[order], times[order], values[order]
    changed = np.ones(len(at), np.bool_)
    changed[1:] = (np.diff(at) != 0) | (np.diff(values) != 0)
    # Of several assignments to one place the last one stays.
    label[at[changed]], arrival[at[changed]] = values[changed], times[changed]


def settle_labels(
    store: FileStore,
    model: str,
    by_day: Mapping[str, Sequence[FileEntry]],
    predicted: Mapping[str, Sequence[FileEntry]],
) -> Change:
    """Write unsorted labels to files by the day of their predictions; return what to register.

    Parameters
    ----------
    store : FileStore
    model : str
    by_day, predicted : mapping of str to FileEntries
        Label files and prediction files by day.

    Raises
    ------
    OSError, StorageError
        If the disk failed.
    """
    old = [file for scope in (RECENT, UNKNOWN) for file in by_day.get(scope, ())]
    table = pa.concat_tables([align(store.read(file), OUTCOME_SCHEMA) for file in old])
    keys, details = identities(Kind.LABELS, table, store.salt)
    left = np.lexsort((details, keys))
    token, written = secrets.token_hex(8), list[FileEntry]()

    def write(day: str, rows: NDArray[np.intp]) -> None:
        known = np.zeros(len(rows), np.bool_)
        for file in by_day.get(day, ()) if day != UNKNOWN else ():
            known |= store.keys(file).find(keys[rows], details[rows])[0]
        again = np.zeros(len(rows), np.bool_)
        again[1:] = (np.diff(keys[rows]) == 0) & (np.diff(details[rows]) == 0)
        part = table.take(rows[~known & ~again])
        if len(part):
            name = f"{token}-{len(written):04d}"
            entry = store.write(Kind.LABELS, model, day, name, [in_order(part, Kind.LABELS)])
            written.append(entry)

    for day in sorted(predicted, reverse=True):
        here = np.zeros(len(left), np.bool_)
        for file in predicted[day]:
            here |= store.keys(file).has(keys[left])
        if here.any():
            write(day, left[here])
        left = left[~here]
        if not left.size:
            break
    if left.size:
        write(UNKNOWN, left)
    return Change(written, old)
