"""What tasks make of rows and hand on: profiles and tallies, which add up exactly."""

from __future__ import annotations

from typing import TypeAlias, cast

from homeostat.detectors.performance import tallied
from homeostat.detectors.performance.tallied import Tallied, merge_tallied
from homeostat.profiles import format as profile_format
from homeostat.profiles.profile import Profile, merge_all

Segment: TypeAlias = tuple[str | None, ...]
Cell: TypeAlias = tuple[int, str]
"""Start of a window in microseconds since 1970, and its segment as JSON."""
Part: TypeAlias = "Profile | Tallied"

_ENTRY = 100  # bytes that a category takes, about


def add(*parts: Part) -> Part:
    """Return the part of the rows of all; they are of one kind.

    Examples
    --------
    >>> from homeostat.profiles.profile import EMPTY
    >>> add(EMPTY, EMPTY) == EMPTY
    True
    """
    if isinstance(parts[0], Profile):
        return merge_all(cast("tuple[Profile, ...]", parts))
    return merge_tallied(cast("tuple[Tallied, ...]", parts))


def encode(part: Part) -> bytes:
    """Return a part's bytes: the same for the same rows."""
    if isinstance(part, Profile):
        return profile_format.to_bytes(part)
    return tallied.to_bytes(part)


def decode(data: bytes) -> Part:
    """Return the part that `encode` wrote; raises ValueError if it did not write that."""
    if data[:4] == tallied.MAGIC:
        return tallied.from_bytes(data)
    return profile_format.from_bytes(data)


def weight(part: Part) -> int:
    """Return how many bytes of memory a part takes, about."""
    if isinstance(part, Profile):
        return sum(
            column.bins.nbytes + column.counts.nbytes + _ENTRY * len(column.values)
            for column in part.columns.values()
        )
    return sum(one.keys.nbytes + one.counts.nbytes for one in part.tallies)
