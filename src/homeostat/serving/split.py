"""Sticky traffic split: an entity always meets the same version; a ramp moves only new entities."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from homeostat.domain.arms import REST, SLOTS, Arm


def positions(salt: str, keys: Sequence[str]) -> NDArray[np.float64]:
    """Place each key at a fixed, evenly spread position.

    Parameters
    ----------
    salt : str
        Makes splits independent of each other, such as ``model/challenger``.
    keys : sequence of str
        Entities (or prediction ids, where there is no entity).

    Returns
    -------
    ndarray of float64, shape (len(keys),)
        In [0, 1), equal for equal keys.
    """
    secret = hashlib.blake2b(salt.encode(), digest_size=32).digest()
    raw = b"".join(
        hashlib.blake2b(key.encode(), digest_size=8, key=secret).digest() for key in keys
    )
    return (np.frombuffer(raw, dtype="<u8") >> np.uint64(11)).astype(np.float64) * 2.0**-53


def takes_part(salt: str, keys: Sequence[str], weight: float) -> NDArray[np.bool_]:
    """Say which keys belong to the share `weight`; a larger weight keeps everyone already in.

    Examples
    --------
    >>> keys = [f"customer-{i}" for i in range(1000)]
    >>> small, large = takes_part("canary", keys, 0.1), takes_part("canary", keys, 0.5)
    >>> bool(np.all(large[small])), 60 < int(small.sum()) < 140
    (True, True)
    """
    if weight <= 0:
        return np.zeros(len(keys), dtype=np.bool_)
    if weight >= 1:
        return np.ones(len(keys), dtype=np.bool_)
    return positions(salt, keys) < weight


def arms_of(salt: str, keys: Sequence[str], arms: tuple[Arm, ...]) -> list[str]:
    """Return the version of the arm that each key is dealt to, empty for the rest.

    Examples
    --------
    >>> from homeostat.domain.arms import allot
    >>> arms_of("fraud/prices", ["anna", "ben", "cem"], allot({"v2": 0.5, "v3": 0.3}))
    ['v3', 'v2', 'v2']
    """
    starts, owners = _owners(arms)
    slots = (positions(salt, keys) * SLOTS).astype(np.int64).tolist()
    return [owners[bisect_right(starts, slot) - 1] for slot in slots]


@lru_cache(maxsize=64)
def _owners(arms: tuple[Arm, ...]) -> tuple[list[int], list[str]]:
    """Return where stretches begin, from 0 on, and whose they are."""
    begins = {0: REST}
    stretches = sorted((*stretch, arm.version) for arm in arms for stretch in arm.slots)
    for start, end, version in stretches:
        begins[start] = version
        begins[end] = REST  # unless the next one begins here
    return list(begins), list(begins.values())
