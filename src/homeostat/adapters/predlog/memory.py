"""What the log keeps in memory: landed rows, known ids, labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from homeostat.domain.columns import floats, micros, texts

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows with the bounds of their times, in microseconds since 1970."""

    table: pa.Table
    first: int
    last: int

    def overlaps(self, start: int, end: int) -> bool:
        """Whether a row may lie in [start, end)."""
        return self.first < end and self.last >= start


@dataclass
class Landed:
    """Rows that are durable in segments and not yet in columnar files.

    Blocks are merged like the digits of a binary counter, so that thousands of small appends are
    read as a handful of blocks, and each row is copied a logarithmic number of times.
    """

    time: str
    blocks: list[Block] = field(default_factory=list)

    def add(self, table: pa.Table) -> None:
        """Add rows."""
        times = micros(table, self.time)
        block = Block(table, int(times.min()), int(times.max()))
        while (
            self.blocks
            and len(self.blocks[-1].table) <= 2 * len(block.table)
            and self.blocks[-1].table.schema.equals(table.schema, check_metadata=True)
        ):
            last = self.blocks.pop()
            merged = pa.concat_tables([last.table, block.table]).combine_chunks()
            block = Block(merged, min(last.first, block.first), max(last.last, block.last))
        self.blocks.append(block)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(len(block.table) for block in self.blocks)


def keys_of(table: pa.Table) -> Iterator[tuple[Key, int]]:
    """Yield each row's identity (prediction_id, version) and a fingerprint of its content."""
    ids, versions = texts(table, "prediction_id"), texts(table, "version")
    times = micros(table, "timestamp").tolist()
    scores = floats(table, "score")
    for key, content in zip(
        zip(ids, versions, strict=True), zip(times, scores, strict=True), strict=True
    ):
        yield key, hash(content)


@dataclass
class Labels:
    """All labels of a model, by prediction.

    What counts does not depend on the order in which labels were stored: the latest arrival, and of
    several at the same time the largest label. A repetition does not move the arrival.
    """

    _pairs: dict[str, tuple[tuple[int, float], ...]] = field(default_factory=dict)
    _ids: set[str] | None = None
    _orphans: dict[str, int] = field(default_factory=dict)

    def has(self, prediction_id: str, arrival: int, label: float) -> bool:
        """Whether this very label is stored."""
        return (arrival, label) in self._pairs.get(prediction_id, ())

    def add(self, table: pa.Table) -> None:
        """Add labels; those that are known already change nothing."""
        ids, labels = texts(table, "prediction_id"), floats(table, "label")
        for key, arrival, label in zip(ids, micros(table, "arrival").tolist(), labels, strict=True):
            pairs = self._pairs.get(key, ())
            if (arrival, label) not in pairs:
                self._pairs[key] = tuple(sorted((*pairs, (arrival, label))))
            if self._ids is not None and key not in self._ids:
                self._orphans[key] = self._pairs[key][0][0]

    def known(self, prediction_id: str, as_of: int) -> tuple[int, float] | None:
        """Return (arrival, label) as known at `as_of` microseconds."""
        found: tuple[int, float] | None = None
        for arrival, label in self._pairs.get(prediction_id, ()):
            if arrival > as_of:
                break
            if found is None or found[1] != label:
                found = (arrival, label)
        return found

    @property
    def watches_ids(self) -> bool:
        """Whether orphans are counted already."""
        return self._ids is not None

    def watch(self, ids: Iterable[str]) -> None:
        """Begin to count orphans; `ids` are those of all predictions so far."""
        self._ids = set(ids)
        self._orphans = {
            key: pairs[0][0] for key, pairs in self._pairs.items() if key not in self._ids
        }

    def predicted(self, ids: Iterable[str]) -> None:
        """Note further predictions."""
        if self._ids is not None:
            for key in ids:
                self._ids.add(key)
                self._orphans.pop(key, None)

    def orphans(self, older_than: int) -> int:
        """Count labels without prediction that first arrived before `older_than` microseconds."""
        return sum(arrival < older_than for arrival in self._orphans.values())
