"""Which label counts for which prediction, and where labels lie."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from homeostat.adapters.predlog.catalogue import Change, FileEntry
from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.predlog.keys import Keys, identities
from homeostat.adapters.predlog.order import in_order
from homeostat.adapters.predlog.parquet import FileStore, align
from homeostat.adapters.predlog.state import RECENT, UNKNOWN
from homeostat.domain.columns import float_array, micros
from homeostat.domain.record import OUTCOME_SCHEMA, TIMESTAMP

NEVER = 2**63 - 1

MOST_UNKNOWN = 4_000_000
"""Rows of labels without predictions that are sorted again at a time."""
SETTLE_ROWS = 500_000
"""Labels of unsorted files from which they are sorted by the day of their predictions."""

Matches: TypeAlias = "tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]"
Answer: TypeAlias = "pa.Array[pa.Scalar[pa.DataType]]"


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """Predictions that labels are wanted for.

    Attributes
    ----------
    keys : Keys
    places : ndarray of int
        For each of the keys' ``rows``: where the answer goes; -1: the row is not asked for.
    day : str
        Of their event time; empty: any.
    """

    keys: Keys
    places: NDArray[np.int64]
    day: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """Labels: a table with the columns label and arrival, in the order of the keys' ``rows``.

    ``day`` is that of their predictions; empty: any.
    """

    keys: Keys
    table: pa.Table
    day: str = ""

    def concerns(self, asked: Asked) -> bool:
        """Whether labels of these predictions may be among them."""
        if not self.day or not asked.day:
            return True
        # Labels sorted by older releases lie at the latest day only: answers of other versions may
        # be from after midnight.
        return self.day in {asked.day, day_after(asked.day)}


def day_after(day: str) -> str:
    """Return the date of the next day.

    Examples
    --------
    >>> day_after("2024-02-28")
    '2024-02-29'
    """
    return str(np.datetime64(day) + 1)


def attach(
    size: int, asked: Iterable[Asked], labels: Sequence[Told], as_of: int, outcome: str = ""
) -> tuple[Answer, Answer]:
    """Return each prediction's label and its arrival as known at `as_of`; null: not yet.

    What counts does not depend on the order in which labels were stored: the latest arrival, and of
    several at the same time the largest label. A repetition does not move the arrival.

    Parameters
    ----------
    size : int
        Number of answers.
    asked : iterable of Asked
    labels : sequence of Told
    as_of : int
        Microseconds.
    outcome : str
        Of which outcome; empty: of the label itself.
    """
    told = [
        (
            one,
            np.where(_named(one.table, outcome), micros(one.table, "arrival"), NEVER),
            float_array(one.table["label"]),
        )
        for one in labels
    ]
    parts: list[Matches] = []
    for part in asked:
        for known, arrivals, values in told:
            if known.concerns(part):
                at, rows = _pairs(part, known.keys)
                early = arrivals[rows] <= as_of
                parts.append((at[early], arrivals[rows[early]], values[rows[early]]))
    label, arrival = np.full(size, np.nan), np.zeros(size, np.int64)
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


def _pairs(asked: Asked, known: Keys) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Return the pairs of equal keys: places of answers, and `rows` of those known."""
    if len(known) < len(asked.keys):
        # Both are sorted: neighbours are found near each other.
        sought, mine = asked.keys.match(known.keys)
        rows = known.rows[sought]
    else:
        sought, rows = known.match(asked.keys.keys)
        mine = asked.keys.rows[sought]
    places = asked.places[mine]
    here = places >= 0
    return places[here], rows[here]


def _count(
    label: NDArray[np.float64], arrival: NDArray[np.int64], found: Sequence[NDArray[np.float64]]
) -> None:
    at, times, values = found
    label[at], arrival[at] = values, times
    met = np.zeros(len(label), np.bool_)
    met[at] = True
    if np.count_nonzero(met) == len(at):
        return
    often = np.bincount(at, minlength=len(label))[at] > 1
    at, times, values = at[often], times[often], values[often]
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

    An id that was answered on several days, as by two versions, has its labels at each of them. Of
    labels whose predictions were not known only those files are written again that hold one whose
    prediction is, or that are small; not more than `MOST_UNKNOWN` rows at a time.

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
    recent, unknown = (by_day.get(scope, ()) for scope in (RECENT, UNKNOWN))
    old = [*recent, *_worth(store, unknown, predicted, sum(file.rows for file in recent))]
    left = {**by_day, UNKNOWN: [file for file in unknown if file not in old]}
    table = pa.concat_tables([align(store.read(file), OUTCOME_SCHEMA) for file in old])
    keys, details = identities(Kind.LABELS, table, store.salt)
    order = np.lexsort((details, keys))
    placed = np.zeros(len(order), np.bool_)
    token, written = secrets.token_hex(8), list[FileEntry]()

    def write(day: str, rows: NDArray[np.intp]) -> None:
        known = np.zeros(len(rows), np.bool_)
        for file in left.get(day, ()):
            known |= store.keys(file).find(keys[rows], details[rows])[0]
        again = np.zeros(len(rows), np.bool_)
        again[1:] = (np.diff(keys[rows]) == 0) & (np.diff(details[rows]) == 0)
        part = table.take(rows[~known & ~again])
        if len(part):
            name = f"{token}-{len(written):04d}"
            entry = store.write(Kind.LABELS, model, day, name, [in_order(part, Kind.LABELS)])
            written.append(entry)

    for day in sorted(predicted, reverse=True):
        here = np.zeros(len(order), np.bool_)
        for file in predicted[day]:
            here |= store.keys(file).has(keys[order])
        if here.any():
            write(day, order[here])
        placed |= here
    if not placed.all():
        write(UNKNOWN, order[~placed])
    return Change(written, old)


def _worth(
    store: FileStore,
    unknown: Sequence[FileEntry],
    predicted: Mapping[str, Sequence[FileEntry]],
    few: int,
) -> list[FileEntry]:
    """Return files of labels of which some predictions are known now, or with few rows.

    Few are no more than are written anyway: so a label is written again a logarithmic number of
    times.
    """
    known = [store.keys(file) for files in predicted.values() for file in files]
    ordered = sorted(unknown, key=lambda file: file.rows)
    met = [file for file in ordered if any(_meet(store.keys(file), keys) for keys in known)]
    chosen, rows = list[FileEntry](), 0
    for file in (*met, *(file for file in ordered if file not in met)):
        worth = file in met or file.rows <= few + rows
        if worth and (not rows or rows + file.rows <= MOST_UNKNOWN):
            chosen.append(file)
            rows += file.rows
    return chosen


def _meet(one: Keys, other: Keys) -> bool:
    few, many = sorted((one, other), key=len)
    return bool(many.has(few.keys).any())
