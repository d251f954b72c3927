"""Which rows are stored: sorted hashes of their ids, in memory or mapped from a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.predlog.hashing import Hashes, hash_numbers, hash_texts
from homeostat.adapters.predlog.sieve import may_hold
from homeostat.domain.columns import float_array, micros

Places: TypeAlias = "NDArray[np.intp]"

HALF = np.uint64(32)
LOWER_HALF = np.uint64(2**32 - 1)


def _nothing() -> None:
    """Let go of nothing: what is in memory is not mapped."""


@dataclass(frozen=True, slots=True, eq=False)
class Keys:
    """Rows by ascending (key, detail).

    Attributes
    ----------
    keys : ndarray of uint64
        Hash of the prediction id.
    details : ndarray of uint64
        Of predictions: hash of the version (upper half) and of timestamp and score (lower half);
        of labels: hash of arrival and label.
    rows : ndarray of uint32
        Where each stands in the table that the keys were made of.
    sieve : ndarray of uint64, optional
        Says of most other keys that they are not here; see `may_hold`.
    let_go : callable
        Lets pages of a mapped file go that were read; those of the sieve stay.
    """

    keys: Hashes
    details: Hashes
    rows: NDArray[np.uint32]
    sieve: Hashes | None = None
    let_go: Callable[[], None] = _nothing

    def __len__(self) -> int:
        return len(self.keys)

    def find(self, keys: Hashes, details: Hashes) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Say of each (key, detail) whether it is here, and whether one like it is.

        Returns
        -------
        same : ndarray of bool
            Both are equal.
        alike : ndarray of bool
            Key and upper half of the detail are equal.
        """
        near = self._near(keys)
        start, stop = self._range(keys[near])
        same, alike = np.zeros(len(keys), np.bool_), np.zeros(len(keys), np.bool_)
        (met,) = np.nonzero(start < stop)
        if met.size:
            places, first, last = near[met], start[met], stop[met]
            wanted = details[places]
            version = (wanted >> HALF) << HALF
            for found, asked, cut in ((same, wanted, 0), (alike, version, HALF)):
                at = self._at(first, last, asked)
                here = self.details[np.minimum(at, len(self) - 1)]
                found[places] = (at < last) & (here >> np.uint64(cut) == asked >> np.uint64(cut))
        self.let_go()
        return same, alike

    def has(self, keys: Hashes) -> NDArray[np.bool_]:
        """Say of each key whether it is here, with whatever detail."""
        found = np.zeros(len(keys), np.bool_)
        if len(self):
            near = self._near(keys)
            at = np.minimum(np.searchsorted(self.keys, keys[near]), len(self) - 1)
            found[near] = self.keys[at] == keys[near]
            self.let_go()
        return found

    def match(self, keys: Hashes) -> tuple[Places, NDArray[np.uint32]]:
        """Return the pairs of equal keys: places in `keys`, and `rows` of those here."""
        near = self._near(keys)
        start, stop = self._range(keys[near])
        counts = stop - start
        asked = np.repeat(near, counts)
        first = np.repeat(start - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts)
        rows = self.rows[first + np.arange(len(asked))]
        self.let_go()
        return asked, rows

    def _near(self, keys: Hashes) -> Places:
        """Return the places of those keys that may be here."""
        if self.sieve is None:
            return np.arange(len(keys))
        return np.flatnonzero(may_hold(self.sieve, keys))

    def _range(self, keys: Hashes) -> tuple[Places, Places]:
        start = np.searchsorted(self.keys, keys)
        inside = np.minimum(start, max(len(self) - 1, 0))
        met = (start < len(self)) & (self.keys[inside] == keys) if len(self) else start < 0
        stop = start + met
        # Most keys are here once: their neighbour is another one.
        again = met & (stop < len(self))
        again[again] = self.keys[stop[again]] == keys[again]
        if again.any():
            stop[again] = np.searchsorted(self.keys, keys[again], "right")
        return start, stop

    def _at(self, start: Places, stop: Places, wanted: Hashes) -> Places:
        """Return where in each range the first detail stands that is not below the wanted one."""
        low, high = start.copy(), stop.copy()
        while (low < high).any():
            middle = (low + high) // 2
            open_ = low < high
            below = self.details[np.minimum(middle, len(self) - 1)] < wanted
            low = np.where(open_ & below, middle + 1, low)
            high = np.where(open_ & ~below, middle, high)
        return low


def identities(kind: Kind, table: pa.Table, salt: int) -> tuple[Hashes, Hashes]:
    """Return each row's key and detail; see `Keys`."""
    keys = hash_texts(table.column("prediction_id"), salt)
    if kind is Kind.LABELS:
        label = float_array(table.column("label")) + 0.0  # -0.0 is 0.0
        details = hash_numbers(micros(table, "arrival"), label)
        return keys, details ^ _outcome(table, salt)
    versions = table.column("version").combine_chunks().dictionary_encode()
    hashed = hash_texts(pa.chunked_array([versions.dictionary]), salt)
    version = hashed[np.asarray(versions.indices)] if len(table) else np.empty(0, np.uint64)
    score = float_array(table.column("score")) + 0.0
    content = hash_numbers(micros(table, "timestamp"), score)
    return keys, ((version >> HALF) << HALF) | (content >> HALF)


def _outcome(table: pa.Table, salt: int) -> Hashes:
    """Return a hash of each outcome's name: zero of labels, and of files from before outcomes."""
    if "outcome" not in table.column_names:
        return np.zeros(len(table), np.uint64)
    names = table.column("outcome").to_pylist()
    hashed = {name: hash_texts(pa.chunked_array([[name or ""]]), salt)[0] for name in set(names)}
    hashed |= {"": np.uint64(0), None: np.uint64(0)}
    return np.array([hashed[name] for name in names], np.uint64)


def make_keys(kind: Kind, table: pa.Table, salt: int) -> Keys:
    """Return the keys of a table's rows."""
    keys, details = identities(kind, table, salt)
    return in_key_order(keys, details, np.arange(len(keys), dtype=np.uint32))


def merge(parts: Sequence[Keys]) -> Keys:
    """Return the keys of several tables; the places of their rows are lost."""
    keys = np.concatenate([part.keys for part in parts])
    return in_key_order(
        keys, np.concatenate([part.details for part in parts]), np.zeros(len(keys), np.uint32)
    )


def in_key_order(keys: Hashes, details: Hashes, rows: NDArray[np.uint32]) -> Keys:
    """Return keys made of columns in any order."""
    order = np.argsort(keys, kind="stable")
    if (np.diff(keys[order]) == 0).any():
        order = np.lexsort((details, keys))
    return Keys(keys[order], details[order], rows[order])
