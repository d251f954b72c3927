"""What is too old leaves the log: first the features of a row, later the row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from homeostat.adapters.durable import exclusive
from homeostat.adapters.predlog.catalogue import Change, FileEntry
from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.predlog.parquet import FileStore, day_text
from homeostat.adapters.predlog.rewrite import groups, write_again
from homeostat.adapters.predlog.state import RECENT, UNKNOWN
from homeostat.adapters.predlog.upkeep import Upkeep
from homeostat.adapters.records.codec import to_micros
from homeostat.domain.decision import Decision
from homeostat.domain.errors import StorageError
from homeostat.domain.record import PROBABILITIES, RECORD_FIELDS
from homeostat.domain.retention import Retention

KEPT = (*(name for name, _ in RECORD_FIELDS), PROBABILITIES)
"""Columns of a prediction that outlive its features."""
MOST_FILES = 16
"""Files that are changed at a time."""
MOST_ROWS = 8_000_000
"""Rows after which no further file is rewritten at a time."""
REMEMBERED = timedelta(days=7)
"""How long a file that left the log is listed: idle processes learn from it."""
ACTOR = "homeostat"
EXPIRE = "expire_rows"


@dataclass(frozen=True, slots=True)
class Retained:
    """What one pass of retention did: files rewritten and removed, and rows of the latter."""

    stripped: int = 0
    removed: int = 0
    rows: int = 0


@dataclass
class Keeper:
    """Applies the models' retention, a bounded piece at a time."""

    upkeep: Upkeep
    rules: Mapping[str, Retention]
    _bare: set[str] = field(default_factory=set, init=False)

    def keep(self, now: datetime) -> Retained:
        """Remove what is too old; whoever calls holds the lock of `Upkeep.tidy`.

        A model without a rule keeps everything.

        Raises
        ------
        OSError, StorageError
            If the disk or the database failed, or a file is damaged: told after the others were
            seen to; what is left is removed the next time.
        """
        state, catalogue = self.upkeep.state, self.upkeep.catalogue
        with state.lock:
            state.refresh()
            held = {part: [f for day in days.values() for f in day]
                    for part, days in state.files.items()}  # fmt: skip
        done, problems = Retained(), list[StorageError]()
        for model, rule in self.rules.items():
            predictions = held.get((Kind.PREDICTIONS, model), [])
            labels = held.get((Kind.LABELS, model), [])
            done = _sum(done, self._expire(model, rule, [*predictions, *labels], now))
            most = MOST_FILES - done.stripped
            done = _sum(done, self._strip(rule, predictions, now, most, problems))
            catalogue.prune(
                model,
                profiles=to_micros(now - rule.profiles),
                quarantine=to_micros(now - rule.quarantine),
            )
        catalogue.prune_removed(to_micros(now - REMEMBERED))
        if problems:
            raise problems[0]
        return done

    def _expire(
        self, model: str, rule: Retention, files: Sequence[FileEntry], now: datetime
    ) -> Retained:
        old = sorted((f for f in files if _expired(f, to_micros(now - rule.records))), key=_age)
        gone = old[:MOST_FILES]
        if not gone:
            return Retained()
        rows = sum(file.rows for file in gone)
        reason = f"older than {rule.records.days:,} days (retention.records)"
        counts = tuple(
            (f"{kind.name.lower()}", float(sum(f.rows for f in gone if f.kind is kind)))
            for kind in Kind
        )
        decision = Decision(model, now, ACTOR, EXPIRE, f"{len(gone)} files", reason, counts)
        self._register(Change((), gone, decisions=[decision]), now)
        return Retained(0, len(gone), rows)

    def _strip(
        self,
        rule: Retention,
        files: Sequence[FileEntry],
        now: datetime,
        most: int,
        problems: list[StorageError],
    ) -> Retained:
        cut = to_micros(now - rule.features)
        rows = count = 0
        gone = to_micros(now - rule.records)
        for file in sorted(files, key=_age):
            if count >= most or rows >= MOST_ROWS:
                break
            if file.last >= cut or file.path in self._bare or _expired(file, gone):
                continue
            try:
                change = strip(self.upkeep.store, file)
            except StorageError as error:
                problems.append(error)  # it is repaired or not; the others must not wait
                continue
            if change is None:
                self._bare.add(file.path)
                continue
            self._register(change, now)
            rows, count = rows + file.rows, count + 1
        return Retained(count)

    def _register(self, change: Change, now: datetime) -> None:
        state = self.upkeep.state
        # Labels are sorted by day under this lock.
        with exclusive(self.upkeep.root / ".roll.lock"):
            with state.lock:
                state.refresh()
                there = {file.path for days in state.files.values() for day in days.values()
                         for file in day}  # fmt: skip
            if all(file.path in there for file in change.removed):
                self.upkeep.catalogue.register(change, now)
        with state.lock:
            state.refresh()


def strip(store: FileStore, file: FileEntry) -> Change | None:
    """Write a file without its features; return what to register, None if it has none.

    Raises
    ------
    OSError, StorageError
        If the disk failed, or the file is damaged.
    """
    held = set(store.schema(file).names)
    if held <= set(KEPT):
        return None
    names = [name for name in KEPT if name in held]
    bare = (table.replace_schema_metadata() for table in groups(store, file, names))
    written = write_again(store, file, bare)
    return Change([] if written is None else [written], [file])


def _expired(file: FileEntry, before: int) -> bool:
    # Labels that are sorted lie by the day of their predictions: they go with them.
    if file.kind is Kind.LABELS and file.day not in {RECENT, UNKNOWN}:
        return file.day < day_text(before)
    return file.last < before


def _age(file: FileEntry) -> tuple[int, str]:
    return file.last, file.path


def _sum(one: Retained, other: Retained) -> Retained:
    return Retained(
        one.stripped + other.stripped, one.removed + other.removed, one.rows + other.rows
    )
