"""What has landed and is not yet in files: blocks of rows, and their keys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.predlog.keys import Keys, merge
from homeostat.domain.columns import micros

JOINED = 2**15
"""Rows from which a frozen block is not joined with more."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Some rows with the bounds of their times, in microseconds since 1970."""

    table: pa.Table
    bytes: int
    first: int
    last: int

    def overlaps(self, start: int, end: int) -> bool:
        """Whether a row may lie in [start, end)."""
        return self.first < end and self.last >= start


@dataclass
class Landed:
    """Rows that are durable in segments and not yet in columnar files.

    Appending only keeps a table; blocks are merged when somebody reads, like the digits of a
    binary counter, so that each row is copied a logarithmic number of times. Those on their way
    into files are frozen, which appends wait for, and joined later, which they do not.
    """

    time: str
    rows: int = 0
    bytes: int = 0
    frozen: list[Block] = field(default_factory=list)
    _live: list[Block] = field(default_factory=list)
    _new: list[Block] = field(default_factory=list)

    def add(self, table: pa.Table) -> None:
        """Add rows."""
        self.rows += len(table)
        times = micros(table, self.time)
        self._new.append(Block(table, table.nbytes, int(times.min()), int(times.max())))
        self.bytes += self._new[-1].bytes

    def freeze(self) -> None:
        """Freeze all rows so far."""
        self.frozen = [*self.frozen, *self._live, *self._new]
        self._live, self._new = [], []

    def join(self) -> None:
        """Copy what is frozen into few blocks, one at a time; appends and reads go on meanwhile."""
        done, left = list[Block](), self.frozen
        while left:
            rows, end = len(left[0].table), 1
            while end < len(left) and rows < JOINED and _alike(left[0], left[end]):
                rows += len(left[end].table)
                end += 1
            done.append(_join(left[:end]))
            left = left[end:]
            self.frozen = [*done, *left]

    def drop(self) -> None:
        """Let go of the frozen rows: they are in files."""
        for block in self.frozen:
            self.rows -= len(block.table)
            self.bytes -= block.bytes
        self.frozen = []

    @property
    def blocks(self) -> list[Block]:
        """All blocks."""
        for block in _joined(self._new):
            self._merge(block)
        self._new = []
        return [*self.frozen, *self._live]

    def _merge(self, block: Block) -> None:
        while (
            self._live
            and len(self._live[-1].table) <= 2 * len(block.table)
            and _alike(self._live[-1], block)
        ):
            block = _join([self._live.pop(), block])
        self._live.append(block)


def _alike(one: Block, other: Block) -> bool:
    return one.table.schema.equals(other.table.schema, check_metadata=True)


def _joined(blocks: Sequence[Block]) -> list[Block]:
    """Return the blocks with neighbours of one schema joined."""
    runs: list[list[Block]] = []
    for block in blocks:
        if runs and _alike(runs[-1][0], block):
            runs[-1].append(block)
        else:
            runs.append([block])
    return [_join(run) for run in runs]


def _join(blocks: Sequence[Block]) -> Block:
    table = pa.concat_tables([block.table for block in blocks]).combine_chunks()
    size = sum(block.bytes for block in blocks)
    return Block(table, size, min(b.first for b in blocks), max(b.last for b in blocks))


FAN = 8


@dataclass
class LandedKeys:
    """Keys of landed rows, frozen as rows are; eight parts of about one size become one."""

    frozen: list[Keys] = field(default_factory=list)
    _tiers: list[list[Keys]] = field(default_factory=list)

    def add(self, keys: Keys) -> None:
        """Add the keys of rows that have landed."""
        for tier in self._tiers:
            tier.append(keys)
            if len(tier) < FAN:
                return
            keys = merge(tier)
            tier.clear()
        self._tiers.append([keys])

    def freeze(self) -> None:
        """Freeze the keys so far."""
        self.frozen = list(self.all)
        self._tiers = []

    @property
    def all(self) -> Iterable[Keys]:
        """Keys of all rows, in several parts."""
        return (*self.frozen, *(keys for tier in self._tiers for keys in tier))


Part = tuple[Kind, str]
"""A kind of rows of a model."""


@dataclass
class LandedSegment:
    """What a segment holds that is not yet in files; keys by kind, model and day.

    ``refused`` are rows whose ids and versions are taken, with another content.
    """

    parts: dict[Part, Landed] = field(default_factory=dict)
    refused: dict[Part, Landed] = field(default_factory=dict)
    keys: dict[tuple[Kind, str, str], LandedKeys] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """Bytes of the rows."""
        return sum(landed.bytes for landed in self._all)

    def freeze(self) -> None:
        """Freeze all rows and keys so far."""
        for keys in self.keys.values():
            keys.freeze()
        for landed in self._all:
            landed.freeze()

    def drop(self) -> None:
        """Let go of what is frozen: it is in files."""
        for landed in self._all:
            landed.drop()
        for keys in self.keys.values():
            keys.frozen = []

    @property
    def _all(self) -> tuple[Landed, ...]:
        return (*self.parts.values(), *self.refused.values())


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Landed rows that are about to become files, and how far they reach in each segment.

    ``refused`` are about to go into quarantine.
    """

    parts: dict[Part, list[Landed]]
    refused: dict[Part, list[Landed]]
    frontier: dict[str, int]
    rolled: dict[str, int]

    @property
    def tables(self) -> dict[Part, list[pa.Table]]:
        """The rows; the lock need not be held."""
        for held in self.parts.values():
            for landed in held:
                landed.join()
        return {
            part: [block.table for landed in held for block in landed.frozen]
            for part, held in self.parts.items()
        }
