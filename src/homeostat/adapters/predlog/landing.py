"""The way of rows into the log: admitted, told from those that are stored, written together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from threading import Event
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.adapters.predlog.frames import Kind, pack
from homeostat.adapters.predlog.group import GroupCommit
from homeostat.adapters.predlog.judged import Judged
from homeostat.adapters.predlog.keys import Keys
from homeostat.adapters.predlog.quarantine import OTHER_CONTENT
from homeostat.adapters.predlog.roll import described_schema
from homeostat.adapters.predlog.segments import SegmentWriter
from homeostat.adapters.predlog.state import LogState
from homeostat.adapters.predlog.upkeep import ROLL_BYTES
from homeostat.domain.admission import (
    Problems,
    admit_labels,
    admit_predictions,
    cast_labels,
    cast_predictions,
)
from homeostat.domain.clock import Clock
from homeostat.domain.errors import DataError, HomeostatError, OverloadError, StorageError
from homeostat.domain.model import ModelSpec
from homeostat.domain.personal import Protector
from homeostat.domain.record import LABEL_SCHEMA
from homeostat.domain.refusal import too_many
from homeostat.engine.ports import Receipt, Rejected

BEHIND = 2 * ROLL_BYTES
"""Bytes of landed rows from which rolls do not keep up."""

logger = logging.getLogger(__name__)

Quarantine: TypeAlias = Callable[[ModelSpec, Kind, pa.Table, Problems], None]


@dataclass(eq=False)
class Sent:
    """Rows on their way into the log, and what became of them.

    ``fresh`` says which are stored now, ``other`` which are taken by another content.
    """

    kind: Kind
    model: str
    rows: pa.Table
    fresh: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    other: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))


@dataclass(eq=False)
class _Batch:
    """Calls that are judged as one table; ``ends`` is where each call's rows end in it."""

    calls: Sequence[int]
    ends: NDArray[np.intp]
    problems: Problems
    good: NDArray[np.bool_]
    sent: Sent


@dataclass
class Landing:
    """Takes rows and makes them durable.

    Parameters
    ----------
    clock : Clock
        Tells which times lie in the future.
    state : LogState
    writer : SegmentWriter
    protector : Protector
        Hashes personal values before anything is stored.
    most_landed : int
        Bytes of landed rows from which calls are refused.
    full : threading.Event
        Set when so much has landed that a roll should not wait for its time.
    roll : callable
        Moves what has landed to columnar files.
    behind : int
        Bytes of landed rows from which those of finished segments are no longer held in memory.
    """

    clock: Clock
    state: LogState
    writer: SegmentWriter
    protector: Protector
    most_landed: int
    full: Event
    roll: Callable[[datetime], object]
    behind: int = BEHIND
    _group: GroupCommit[Sent] = field(init=False)
    _described: dict[str, tuple[ModelSpec, pa.Schema]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._group = GroupCommit(self._commit)

    def release(self) -> None:
        """Give the segment up if somebody asked for it."""
        if self.writer.unwanted():
            self._group.submit(Sent(Kind.LABELS, "", LABEL_SCHEMA.empty_table()))

    def send(
        self,
        kind: Kind,
        spec: ModelSpec,
        calls: Sequence[pa.Table],
        quarantine: Quarantine | None,
        most_refused: int | None = None,
    ) -> list[Receipt | HomeostatError]:
        """Store the rows of several calls, with one write and one sync; durable on return.

        Parameters
        ----------
        kind : Kind
        spec : ModelSpec
        calls : sequence of pyarrow.Table
        quarantine : callable, optional
            Keeps rows that are refused, given the call's table and its problems.
        most_refused : int, optional
            Rows of one call; if more of them are refused, nothing of the call is stored, or kept.

        Returns
        -------
        list of Receipt or HomeostatError
            Of each call: what became of it, or what is wrong with it alone.

        Raises
        ------
        StorageError
            If the disk or the database failed; nothing is acknowledged.
        OverloadError
            If more has landed than is being rolled; nothing is stored.
        """
        if self.state.bytes > self.most_landed:
            raise OverloadError(
                f"the prediction log in {self.state.landing} has {self.state.bytes:,} bytes that "
                "wait to be moved to columnar files, and takes no more until they are"
            )
        answers: dict[int, Receipt | HomeostatError] = {}
        tables, alone = dict[int, pa.Table](), dict[int, pa.Table]()
        for number, rows in enumerate(calls):
            try:
                table, wrong = self._cast(kind, spec, rows)
            except DataError as error:
                answers[number] = error
            else:
                # Who sent a wrong type is told so of its own rows.
                (alone if wrong else tables)[number] = rows if wrong else table
        together = [tables, *({number: rows} for number, rows in alone.items())]
        batches = [self._admitted(kind, spec, found, most_refused) for found in together if found]
        sent = [batch.sent for batch in batches if len(batch.sent.rows)]
        if sent:
            self._group.submit(*sent)
        for batch in batches:
            answers |= _receipts(kind, spec, batch, calls, quarantine, most_refused)
        return [answers[number] for number in range(len(calls))]

    def _cast(self, kind: Kind, spec: ModelSpec, rows: pa.Table) -> tuple[pa.Table, Problems]:
        if kind is Kind.LABELS:
            return cast_labels(spec, rows)
        return cast_predictions(spec, rows, self._schema(spec))

    def _schema(self, spec: ModelSpec) -> pa.Schema:
        """Return the described schema of prediction records."""
        known = self._described.get(spec.name)
        if known is None or known[0] is not spec:
            known = self._described[spec.name] = (spec, described_schema(spec))
        return known[1]

    def _admitted(
        self, kind: Kind, spec: ModelSpec, calls: Mapping[int, pa.Table], most_refused: int | None
    ) -> _Batch:
        tables = list(calls.values())
        ends = np.cumsum([len(table) for table in tables])
        rows = tables[0]
        if len(tables) > 1:
            plain = [table.replace_schema_metadata(None) for table in tables]
            rows = pa.concat_tables(plain).combine_chunks()
        now = self.clock.now()
        if kind is Kind.LABELS:
            table, problems = admit_labels(spec, rows, now)
        else:
            table, problems = admit_predictions(spec, rows, now)
            table = self.protector.table(spec, table)
            table = table.replace_schema_metadata(self._schema(spec).metadata)
        good = np.ones(len(table), np.bool_)
        good[list(problems)] = False
        if most_refused is not None and len(problems) > most_refused:
            for start, end in pairwise((0, *ends.tolist())):
                if end - start - np.count_nonzero(good[start:end]) > most_refused:
                    good[start:end] = False
        kept = table.filter(pa.array(good)) if problems else table
        return _Batch(tuple(calls), ends, problems, good, Sent(kind, spec.name, kept))

    def _commit(self, group: list[Sent]) -> None:
        """Store what is new in calls that wait together, with one write and one sync."""
        lost = self.writer.lost.copy()
        if self.writer.unwanted():
            self.writer.close()
        with self.state.lock:
            tables = self._fresh([item for item in group if len(item.rows)])
        if not tables:
            return
        before = self.writer.segment
        ends = self.writer.write([pack(kind, model, rows) for kind, model, rows, _ in tables])
        with self.state.lock:
            for table, (segment, end) in zip(tables, ends, strict=True):
                self.state.land(segment, *table)
                self.state.frontier[segment] = self.state.durable[segment] = end
            if before and before != self.writer.segment:
                self.state.refresh()
                if self.state.bytes >= self.behind:
                    self.state.unload()
            if self.state.bytes >= ROLL_BYTES:
                self.full.set()
        if self.writer.lost - lost:
            self._rescue()

    def _rescue(self) -> None:
        """Move to files what is in memory only."""
        try:
            self.roll(self.clock.now())
        except HomeostatError:
            logger.exception("rows of a segment that is gone are in memory only, until a roll")
            self.full.set()

    def _fresh(self, group: list[Sent]) -> list[tuple[Kind, str, pa.Table, Keys]]:
        """Tell each call which of its rows are new; return those, by kind, model and schema."""
        tables: list[tuple[Kind, str, pa.Table, Keys]] = []
        for items in _alike(group):
            kind, model = items[0].kind, items[0].model
            rows = pa.concat_tables([item.rows for item in items]).combine_chunks()
            judged = self._judge(kind, model, rows)
            at = 0
            for item in items:
                item.fresh, item.other = (
                    found[at : at + len(item.rows)] for found in (judged.new, judged.other)
                )
                at += len(item.rows)
            if len(judged.keys) < len(rows):
                rows = rows.filter(judged.fresh)
            if len(rows):
                tables.append((kind, model, rows, judged.keys))
        return tables

    def _judge(self, kind: Kind, model: str, rows: pa.Table) -> Judged:
        """Judge rows; once more if a file was taken away meanwhile, as an erasure does at once."""
        before = self.state.losses
        try:
            return self.state.judge(kind, model, rows)
        except StorageError:
            self.state.refresh()
            if self.state.losses == before:
                raise
            return self.state.judge(kind, model, rows)


def _receipts(
    kind: Kind,
    spec: ModelSpec,
    batch: _Batch,
    calls: Sequence[pa.Table],
    quarantine: Quarantine | None,
    most_refused: int | None,
) -> dict[int, Receipt | HomeostatError]:
    """Return what became of each call, and keep what was refused."""
    places = np.flatnonzero(batch.good)
    other = frozenset(places[batch.sent.other].tolist())
    for row in other:
        batch.problems[row] = OTHER_CONTENT
    fresh = np.zeros(len(batch.good), np.bool_)
    fresh[places] = batch.sent.fresh
    answers: dict[int, Receipt | HomeostatError] = {}
    starts = [0, *batch.ends[:-1].tolist()]
    for number, start, end in zip(batch.calls, starts, batch.ends.tolist(), strict=True):
        wrong = sorted(row for row in batch.problems if start <= row < end)
        problems = {row - start: batch.problems[row] for row in wrong}
        if most_refused is not None and len(problems) > most_refused:
            rest = "the others are stored" if other.intersection(wrong) else "none is taken"
            answers[number] = too_many(((row, *said) for row, said in problems.items()), rest)
            continue
        accepted = int(np.count_nonzero(fresh[start:end]))
        rejected = tuple(Rejected(row, *problem) for row, problem in problems.items())
        answers[number] = Receipt(accepted, end - start - accepted - len(rejected), rejected)
        if problems and quarantine is not None:
            try:
                quarantine(spec, kind, calls[number], problems)
            except StorageError as error:
                answers[number] = error
    return answers


def _alike(group: Sequence[Sent]) -> list[list[Sent]]:
    """Return the calls of each model, kind and schema, in their order."""
    parts: list[list[Sent]] = []
    for item in group:
        for part in parts:
            first = part[0]
            if (item.kind, item.model) == (
                first.kind,
                first.model,
            ) and item.rows.schema.equals(first.rows.schema, check_metadata=True):
                part.append(item)
                break
        else:
            parts.append([item])
    return parts
