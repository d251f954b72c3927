"""Which keys a file does not hold, told by ten bits a key instead of its pages.

A Bloom filter in blocks of one word (Putze, Sanders and Singler 2007, "Cache-, Hash- and
Space-Efficient Bloom Filters"): the upper half of a key chooses the word, its lower bits four bits
in it. So keys in order touch the words in order. Of keys that are not held 2 % seem to be.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from homeostat.adapters.predlog.hashing import Hashes

BITS = 10
"""Bits a key."""
WORD = 64
CHOSEN = 4
"""Bits of a word that stand for a key."""
HALF, STEP, WITHIN, ONE = (np.uint64(number) for number in (32, 6, WORD - 1, 1))


def words_for(rows: int) -> int:
    """Return the words of a filter of so many keys.

    Examples
    --------
    >>> words_for(0), words_for(32), words_for(4_000_000)
    (1, 5, 625000)
    """
    return max(-(-rows * BITS // WORD), 1)


def put_in(words: Hashes, keys: Hashes) -> None:
    """Add keys, which are in ascending order."""
    if not len(keys):
        return
    at = _words(keys, len(words))
    starts = np.flatnonzero(np.concatenate([[True], np.diff(at) != 0]))
    words[at[starts]] |= np.bitwise_or.reduceat(_bits(keys), starts)


def may_hold(words: Hashes, keys: Hashes) -> NDArray[np.bool_]:
    """Say of each key whether it may be held; of one that is, it says so.

    Examples
    --------
    >>> words = np.zeros(words_for(2), np.uint64)
    >>> put_in(words, np.array([5, 2**63], np.uint64))
    >>> may_hold(words, np.array([2**63, 5, 6], np.uint64)).tolist()
    [True, True, False]
    """
    bits = _bits(keys)
    return np.asarray(words[_words(keys, len(words))] & bits == bits, np.bool_)


def _words(keys: Hashes, words: int) -> NDArray[np.intp]:
    return ((keys >> HALF) * np.uint64(words) >> HALF).astype(np.intp)


def _bits(keys: Hashes) -> Hashes:
    bits: Hashes = np.zeros(len(keys), np.uint64)
    for number in range(CHOSEN):
        bits |= ONE << (keys >> np.uint64(number) * STEP & WITHIN)
    return bits
