"""Rows of a day that several files hold, found in sorted keys: a block of them at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from homeostat.adapters.predlog.catalogue import FileEntry
from homeostat.adapters.predlog.hashing import Hashes
from homeostat.adapters.predlog.judged import pairs_of
from homeostat.adapters.predlog.keys import HALF, Keys
from homeostat.adapters.predlog.parquet import FileStore
from homeostat.adapters.predlog.rewrite import groups

BLOCK = 2**20
"""About as many rows are looked at together."""
HASHES = 2**64


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """A file of predictions and its keys, mapped as a rule."""

    file: FileEntry
    keys: Keys


def stored_twice(store: FileStore, day: Sequence[Held]) -> int:
    """Count the rows of a day whose id and version another row of the day has.

    Rows that differ in content are told apart by what their ids and versions are, not by hashes.

    Raises
    ------
    StorageError
        If a file is damaged or gone.
    """
    twice, doubtful = 0, list[Hashes]()
    for found in _blocks([held.keys for held in day]):
        order = np.lexsort(found[::-1])
        keys, details = (column[order] for column in found)
        alike = (np.diff(keys) == 0) & (np.diff(details >> HALF) == 0)
        same = alike & (np.diff(details) == 0)
        twice += int(np.count_nonzero(same))
        doubtful.append(np.unique(keys[1:][alike & ~same]))
    wanted = np.concatenate([np.empty(0, np.uint64), *doubtful])
    if not wanted.size:
        return twice
    # Of these some may have been counted: all their rows are looked at instead.
    return twice - _counted(day, wanted) + _named_twice(store, day, wanted)


def _blocks(parts: Sequence[Keys]) -> Iterator[tuple[Hashes, Hashes]]:
    """Yield the keys and details of all parts, by ranges of the keys, which are spread evenly."""
    blocks = -(-sum(map(len, parts)) // BLOCK)
    start = [0] * len(parts)
    for number in range(1, blocks + 1):
        edge = np.uint64(min(number * HASHES // blocks, HASHES - 1))
        last = number == blocks
        stop = [len(p) if last else int(np.searchsorted(p.keys, edge)) for p in parts]
        ranges = [slice(a, b) for a, b in zip(start, stop, strict=True)]
        yield (
            np.concatenate([p.keys[mine] for p, mine in zip(parts, ranges, strict=True)]),
            np.concatenate([p.details[mine] for p, mine in zip(parts, ranges, strict=True)]),
        )
        start = stop


def _counted(day: Sequence[Held], wanted: Hashes) -> int:
    """Count the rows with these keys that repeat another one in key and detail."""
    found = [np.isin(held.keys.keys, wanted) for held in day]
    rows = Counter[tuple[int, int]]()
    for held, mine in zip(day, found, strict=True):
        keys, details = held.keys.keys[mine].tolist(), held.keys.details[mine].tolist()
        rows.update(zip(keys, details, strict=True))
    return sum(count - 1 for count in rows.values())


def _named_twice(store: FileStore, day: Sequence[Held], wanted: Hashes) -> int:
    """Count the rows with these keys that repeat another one's id and version."""
    rows = Counter[tuple[str, str]]()
    for held in day:
        places, at = np.sort(held.keys.rows[np.isin(held.keys.keys, wanted)]), 0
        if not places.size:
            continue
        for table in groups(store, held.file, ["prediction_id", "version"]):
            mine = places[(places >= at) & (places < at + len(table))] - at
            rows.update(pairs_of(table.take(mine)))
            at += len(table)
    return sum(count - 1 for count in rows.values())


def elsewhere(lost: Keys, day: Sequence[Held]) -> int:
    """Count the rows of a file, given by its keys, that other files of the day hold too."""
    found = np.zeros(len(lost), np.bool_)
    for held in day:
        found |= held.keys.find(lost.keys, lost.details)[0]
    return int(np.count_nonzero(found))
