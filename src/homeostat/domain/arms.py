"""Arms of an experiment or bandit, and which part of all entities each of them has.

Entities lie on a ring of `SLOTS` slots, by a hash. An arm owns slots, and when shares change only
as many change hands as the shares themselves move. That needs a memory: no rule that looks at the
new shares alone can do it for three arms or more (of any such rule up to twice as many would have
to move; Kleinberg & Tardos 2002, Broder 1997). The memory is the arms themselves, so that every
gateway, also one that was started again, has the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

SLOTS = 10_000
REST = ""  # owner of the slots that no arm has

Slots = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Arm:
    """A version and the slots whose entities it answers; made by `allot`.

    Attributes
    ----------
    version : str
    slots : tuple of (int, int)
        Half-open stretches in [0, `SLOTS`), rising, disjoint.
    """

    version: str
    slots: Slots = ()

    @property
    def share(self) -> float:
        """The part of all entities, in [0, 1]."""
        return _size(self.slots) / SLOTS


def allot(shares: Mapping[str, float], arms: Sequence[Arm] = ()) -> tuple[Arm, ...]:
    """Give each version its share, and move no entity that need not move.

    Parameters
    ----------
    shares : mapping of version to share
        In [0, 1], together at most 1; kept to a ten-thousandth. What is left over belongs to
        champion and challenger.
    arms : sequence of Arm
        Who has what now.

    Returns
    -------
    tuple of Arm
        In the order of `shares`. The slots that change hands are as many as the gains of those
        that gain, the rest included.

    Raises
    ------
    ValueError
        If a share is none, they are more than 1 together, or a version has no name.

    Examples
    --------
    >>> arms = allot({"v2": 0.5, "v3": 0.3})
    >>> arms
    (Arm(version='v2', slots=((0, 5000),)), Arm(version='v3', slots=((5000, 8000),)))
    >>> allot({"v2": 0.4, "v3": 0.4}, arms)  # a tenth changes hands, all of it from v2 to v3
    (Arm(version='v2', slots=((0, 4000),)), Arm(version='v3', slots=((4000, 8000),)))
    """
    wanted = _counts(shares)
    owned = {arm.version: arm.slots for arm in arms}
    owned[REST] = _gaps(owned.values())
    wanted[REST] = SLOTS - sum(wanted.values())
    kept: dict[str, Slots] = {}
    free: list[tuple[int, int]] = []
    for version, slots in owned.items():
        keeps = min(wanted.get(version, 0), _size(slots))
        if version == REST:  # it lies behind the arms, as a rule
            given, kept[version] = _split(slots, _size(slots) - keeps)
        else:
            kept[version], given = _split(slots, keeps)
        free += given
    pool: Slots = tuple(sorted(free))
    found = []
    for version, count in wanted.items():
        have = kept.get(version, ())
        taken, pool = _split(pool, count - _size(have))
        found.append(Arm(version, _joined((*have, *taken))))
    return tuple(found[:-1])  # the rest is last, and no arm


def _counts(shares: Mapping[str, float]) -> dict[str, int]:
    """Return slots by version: rounded so that their sum is that of the shares."""
    total = sum(shares.values())
    if not all(0 <= share <= 1 for share in shares.values()) or total > 1 + 1e-9:
        raise ValueError("shares of arms must be in [0, 1], and together at most 1")
    if REST in shares:
        raise ValueError("an arm needs the name of a version")
    counts = {version: int(share * SLOTS) for version, share in shares.items()}
    missing = min(round(total * SLOTS), SLOTS) - sum(counts.values())
    by_remainder = sorted(shares, key=lambda version: counts[version] - shares[version] * SLOTS)
    for version in by_remainder[:missing]:
        counts[version] += 1
    return counts


def _size(slots: Slots) -> int:
    return sum(end - start for start, end in slots)


def _split(slots: Slots, count: int) -> tuple[Slots, Slots]:
    """Return the first `count` slots, or all that there are, and the others."""
    first: list[tuple[int, int]] = []
    others: list[tuple[int, int]] = []
    for start, end in slots:
        middle = min(start + count, end)
        count -= middle - start
        first += [(start, middle)] if middle > start else []
        others += [(middle, end)] if end > middle else []
    return tuple(first), tuple(others)


def _joined(slots: Slots) -> Slots:
    joined: list[tuple[int, int]] = []
    for start, end in sorted(slots):
        if joined and joined[-1][1] == start:
            start, _ = joined.pop()  # noqa: PLW2901 - the same stretch, longer
        joined.append((start, end))
    return tuple(joined)


def _gaps(owned: Iterable[Slots]) -> Slots:
    taken = sorted(stretch for slots in owned for stretch in slots)
    edges = [0, *(edge for stretch in taken for edge in stretch), SLOTS]
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return tuple((start, end) for start, end in pairs if end > start)
