"""What scored rows leave behind that adds up: counts by class, and how often each number occurs.

Of any split of the rows in any order the sum is the same, to the last bit. Up to `MOST` distinct
numbers are kept exactly; beyond that, neighbours are put together by leaving out the lowest bits of
all, as few as it takes: at worst a number then stands for others within a 30,000th of itself.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from homeostat.domain.model import Task
from homeostat.domain.predictions import Predictions

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Notes = Mapping[str, int]
"""What was wrong with rows, and with how many."""

MAGIC = b"HSTL"
MOST = 1 << 18
"""Distinct numbers of a tally that are kept apart."""

_LENGTH = struct.Struct("<4sI")
_SIGN = np.int64(2**63 - 1)


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """How often each number occurs.

    Attributes
    ----------
    shift : int
        Bits that are left out.
    keys : ndarray of int64, shape (m,)
        The numbers' bits, turned so that they ascend as the numbers do; distinct, ascending.
    counts : ndarray of int64, shape (c, m)
        Rows of each of c classes.
    """

    shift: int
    keys: Integers
    counts: Integers

    @property
    def values(self) -> Floats:
        """The numbers; the middle of those that were put together."""
        low = self.keys << self.shift
        middle = _numbers(low + (1 << self.shift >> 1))
        return np.where(np.isfinite(middle), middle, _numbers(low))


def tally(values: Floats, classes: Integers | None = None, count: int = 1) -> Tally:
    """Tally numbers, none of them NaN, by class.

    Examples
    --------
    >>> found = tally(np.array([0.5, -1.0, 0.5]), np.array([1, 0, 0]), 2)
    >>> found.values.tolist(), found.counts.tolist()
    ([-1.0, 0.5], [[1, 1], [0, 1]])
    """
    bits = (values + 0.0).view(np.int64)  # -0.0 is 0.0
    keys, places = np.unique(np.where(bits < 0, bits ^ _SIGN, bits), return_inverse=True)
    at = places if classes is None else places + classes * keys.size
    counts = np.bincount(at, minlength=count * keys.size).reshape(count, keys.size)
    return _coarse(0, keys, counts.astype(np.int64))


def merge_tallies(parts: Sequence[Tally]) -> Tally:
    """Return the tally of the rows of all; they have as many classes.

    Examples
    --------
    >>> halves = [tally(np.array([1.0, 2.0])), tally(np.array([2.0]))]
    >>> merge_tallies(halves).counts.tolist()
    [[1, 2]]
    """
    shift = max(part.shift for part in parts)
    keys = np.concatenate([part.keys >> (shift - part.shift) for part in parts])
    counts = np.concatenate([part.counts for part in parts], axis=1)
    order = np.argsort(keys, kind="stable")
    return _coarse(shift, *_together(keys[order], counts[:, order]))


@dataclass(frozen=True, slots=True, eq=False)
class Tallied:
    """What is left of scored rows.

    Attributes
    ----------
    rows, known : int
        Predictions, and how many of them have a label.
    counts, bare : ndarray of int64, shape (k, k)
        Labelled rows that have scores, and that have none, by true and predicted class; of a
        regression, their number.
    tallies : tuple of Tally
        Of rows that have scores. Binary: the scores by class. Multi-class: the probabilities of the
        true classes, and the squared errors. Regression: the errors, and the errors relative to the
        labels that are not 0.
    notes : mapping of str to int
    """

    rows: int
    known: int
    counts: Integers
    bare: Integers
    tallies: tuple[Tally, ...]
    notes: Notes = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tallied) and to_bytes(self) == to_bytes(other)

    __hash__ = None  # type: ignore[assignment]


def tally_rows(rows: Predictions, notes: Notes | None = None) -> Tallied:
    """Tally scored rows, which all count alike."""
    known = rows.known
    usable = known & ~np.isnan(rows.predictions)
    scores = rows.scores if rows.scores.ndim == 2 else rows.scores[:, np.newaxis]
    scored = np.full(len(rows), rows.task is Task.REGRESSION)
    if rows.task is not Task.REGRESSION and scores.shape[1]:
        scored = np.asarray(~np.isnan(scores).any(axis=1))
    whole, bare = rows.take(usable & scored), rows.take(usable & ~scored)
    return Tallied(
        len(rows),
        int(known.sum()),
        _crossed(whole),
        _crossed(bare),
        _tallies(whole),
        dict(notes or {}),
    )


def merge_tallied(parts: Sequence[Tallied]) -> Tallied:
    """Return what is left of the rows of all: they are of one task, with the same classes."""
    notes: dict[str, int] = {}
    for part in parts:
        for text, rows in part.notes.items():
            notes[text] = notes.get(text, 0) + rows
    return Tallied(
        sum(part.rows for part in parts),
        sum(part.known for part in parts),
        np.sum([part.counts for part in parts], axis=0),
        np.sum([part.bare for part in parts], axis=0),
        tuple(map(merge_tallies, zip(*(part.tallies for part in parts), strict=True))),
        notes,
    )


def to_bytes(found: Tallied) -> bytes:
    """Return bytes; the same for the same rows.

    Examples
    --------
    >>> nothing = Tallied(0, 0, np.zeros((2, 2), np.int64), np.zeros((2, 2), np.int64), ())
    >>> from_bytes(to_bytes(nothing)) == nothing
    True
    """
    head = {
        "rows": found.rows,
        "known": found.known,
        "classes": len(found.counts),
        "tallies": [(part.shift, len(part.counts), part.keys.size) for part in found.tallies],
        "notes": {text: found.notes[text] for text in sorted(found.notes)},
    }
    text = json.dumps(head).encode()
    arrays = [found.counts, found.bare]
    arrays += [array for part in found.tallies for array in (part.keys, part.counts)]
    body = b"".join(np.ascontiguousarray(array, "<i8").tobytes() for array in arrays)
    return _LENGTH.pack(MAGIC, len(text)) + text + body


def from_bytes(data: bytes) -> Tallied:
    """Return what `to_bytes` wrote; raises ValueError if it did not write that."""
    if data[:4] != MAGIC:
        raise ValueError("this is no tally of rows")
    start = _LENGTH.size + _LENGTH.unpack_from(data)[1]
    head = json.loads(data[_LENGTH.size : start])
    numbers = np.frombuffer(data, "<i8", offset=start).astype(np.int64)
    at = 0

    def take(*shape: int) -> Integers:
        nonlocal at
        size = int(np.prod(shape))
        at += size
        return numbers[at - size : at].reshape(shape)

    square = (head["classes"], head["classes"])
    counts, bare = take(*square), take(*square)
    tallies = tuple(
        Tally(shift, take(size), take(classes, size)) for shift, classes, size in head["tallies"]
    )
    return Tallied(head["rows"], head["known"], counts, bare, tallies, head["notes"])


def _crossed(rows: Predictions) -> Integers:
    size = len(rows.classes)
    if rows.task is Task.REGRESSION:
        return np.array([[len(rows)]], np.int64)
    cells = (rows.labels * size + rows.predictions).astype(np.int64)
    return np.bincount(cells, minlength=size * size).reshape(size, size).astype(np.int64)


def _tallies(rows: Predictions) -> tuple[Tally, ...]:
    labels, scores = rows.labels, rows.scores
    if rows.task is Task.BINARY:
        return (tally(scores, labels.astype(np.int64), 2),)
    if rows.task is Task.REGRESSION:
        with np.errstate(over="ignore", invalid="ignore"):
            errors = rows.predictions - labels
            some = labels != 0.0
            return tally(errors), tally(np.abs(errors[some] / labels[some]))
    if not scores.shape[1]:
        return tally(np.empty(0)), tally(np.empty(0))
    own = scores[np.arange(labels.size), labels.astype(np.intp)]
    return tally(own), tally((scores * scores).sum(axis=1) - 2.0 * own + 1.0)


def _numbers(keys: Integers) -> Floats:
    return np.where(keys < 0, keys ^ _SIGN, keys).view(np.float64)


def _coarse(shift: int, keys: Integers, counts: Integers) -> Tally:
    while keys.size > MOST:
        shift += 1
        keys, counts = _together(keys >> 1, counts)
    return Tally(shift, keys, counts)


def _together(keys: Integers, counts: Integers) -> tuple[Integers, Integers]:
    """Add up the counts of equal keys, which are ascending."""
    first = np.flatnonzero(np.diff(keys, prepend=keys[:1] - 1))
    return keys[first], np.add.reduceat(counts, first, axis=1) if keys.size else counts
