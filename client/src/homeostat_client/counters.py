"""What happened to the records, in figures."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Counters:
    """Rows since the process started, or was forked.

    ``queued`` is where every row begins that was not dropped at the call; it ends as ``sent``,
    ``refused`` or ``dropped``, or is ``pending`` in memory or ``waiting`` on disk.

    Attributes
    ----------
    queued : int
        Rows taken from callers.
    sent : int
        Rows that the server acknowledged as durable, those it had already included.
    duplicates : int
        Of these, rows that it had already.
    refused : int
        Rows that the server will never take; they are in its quarantine.
    dropped : mapping
        Rows lost here, by reason: ``queue_full``, ``closed``, ``bad_record``, ``callback``,
        ``unserialisable``, ``too_large``, ``memory_full``, ``spill_full``, ``spill_damaged``,
        ``unsaved`` (at the end, without a disk), ``not_configured``.
    spilled : int
        Rows written to disk.
    replayed : int
        Rows of `sent` and `refused` that came from disk, earlier processes' included.
    pending, waiting : int
        Rows in memory, and rows of this process on disk, at this moment.
    """

    queued: int = 0
    sent: int = 0
    duplicates: int = 0
    refused: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    spilled: int = 0
    replayed: int = 0
    pending: int = 0
    waiting: int = 0


class Tally:
    """A count that threads add to without a lock: `itertools.count` advances in one step.

    Examples
    --------
    >>> drops = Tally()
    >>> drops.add(), drops.add(), drops.value
    (None, None, 2)
    """

    def __init__(self) -> None:
        self._count = itertools.count()

    def add(self) -> None:
        """Count one more."""
        next(self._count)

    @property
    def value(self) -> int:
        """The count so far."""
        return int(repr(self._count)[6:-1])  # the only way to read it without advancing it
