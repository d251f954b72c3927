"""64-bit hashes of many values at once, the same in every process that knows the salt."""

from __future__ import annotations

import hashlib
import sys
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Hashes: TypeAlias = "NDArray[np.uint64]"
Texts: TypeAlias = "pa.ChunkedArray[pa.Scalar[pa.DataType]]"

LONG = 64
"""Bytes from which a text is hashed by itself: ids are shorter."""
WORD = 8
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def mix(values: Hashes) -> Hashes:
    """Spread 64-bit values over all 64 bits, one to one.

    The finaliser of SplitMix64 (Steele, Lea and Flood 2014).

    Examples
    --------
    >>> hex(mix(np.array([0x9E3779B97F4A7C15], np.uint64))[0])
    '0xe220a8397b1dcdaf'
    """
    values = (values ^ (values >> np.uint64(30))) * _FIRST
    values = (values ^ (values >> np.uint64(27))) * _SECOND
    return values ^ (values >> np.uint64(31))


def hash_texts(texts: Texts, salt: int) -> Hashes:
    """Hash each text; there must be no nulls.

    Parameters
    ----------
    texts : pyarrow.ChunkedArray of string
    salt : int
        64 bits. Who does not know it cannot make two texts of one hash.

    Examples
    --------
    >>> one, other, same = hash_texts(pa.chunked_array([["a", "b"], ["a"]]), salt=1)
    >>> bool(one == same), bool(one == other)
    (True, False)
    """
    parts = [_hash(chunk, np.uint64(salt)) for chunk in texts.chunks]
    return np.concatenate([np.empty(0, np.uint64), *parts])


def hash_numbers(*columns: NDArray[np.int64] | NDArray[np.float64]) -> Hashes:
    """Hash the bits of each row's numbers.

    Examples
    --------
    >>> one, other = hash_numbers(np.array([1, 1]), np.array([0.5, 0.25]))
    >>> bool(one == other)
    False
    """
    state: Hashes = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        state = mix(state + np.uint64(1) ^ np.ascontiguousarray(column).view(np.uint64))
    return state


def _hash(array: pa.Array[pa.Scalar[pa.DataType]], salt: np.uint64) -> Hashes:
    rows = len(array)
    if not rows:
        return np.empty(0, np.uint64)
    whole = array.cast(pa.large_binary())
    _, ends, data = whole.buffers()
    bounds = np.frombuffer(memoryview(ends or b""), "<i8", rows + 1, whole.offset * WORD)
    held = np.frombuffer(memoryview(data or b""), np.uint8)[bounds[0] : bounds[-1]]
    padded = np.concatenate([held, np.zeros(WORD, np.uint8)])
    starts, sizes = bounds[:-1] - bounds[0], np.diff(bounds)
    state = mix(sizes.astype(np.uint64) ^ salt)
    words = np.ndarray((padded.size - WORD + 1,), "<u8", padded.data, strides=(1,))
    for done in range(0, min(int(sizes.max()), LONG), WORD):
        live = np.flatnonzero(sizes > done)
        left = np.minimum(sizes[live] - done, WORD).astype(np.uint64)
        unused = np.uint64(64) - left * np.uint64(8)
        word = words[starts[live] + done].astype(np.uint64) << unused
        state[live] = mix(state[live] ^ (word >> unused))
    for row in np.flatnonzero(sizes > LONG).tolist():
        text = held[starts[row] : starts[row] + sizes[row]]
        key = int(salt).to_bytes(WORD, "little")
        digest = hashlib.blake2b(text.tobytes(), digest_size=WORD, key=key).digest()
        state[row] = int.from_bytes(digest, sys.byteorder)
    return state
