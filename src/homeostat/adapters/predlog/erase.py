"""Taking everything about one entity, or one prediction, out of the log, with proof."""

from __future__ import annotations

import hashlib
import hmac
import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from numpy.typing import NDArray

from homeostat.adapters.durable import folder_name
from homeostat.adapters.predlog.catalogue import FEW, Change, FileEntry
from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.predlog.hashing import hash_texts
from homeostat.adapters.predlog.hours import pack
from homeostat.adapters.predlog.log import FilePredictionLog
from homeostat.adapters.predlog.prove import (
    PACKED,
    Searched,
    leaves,
    names_any,
    profiled,
    read_profile,
    search,
)
from homeostat.adapters.predlog.quarantine import Quarantine
from homeostat.adapters.predlog.retain import MOST_FILES
from homeostat.adapters.predlog.rewrite import groups, without_rows
from homeostat.adapters.predlog.segments import ASKED, ask_for, damaged_names, segment_names
from homeostat.adapters.predlog.unname import unname
from homeostat.adapters.records.engine import BUSY_SECONDS, Database
from homeostat.adapters.records.tables import log_quarantine
from homeostat.domain.columns import texts
from homeostat.domain.decision import Decision
from homeostat.domain.errors import StorageError
from homeostat.domain.model import ModelSpec
from homeostat.profiles.forget import forget, mentions
from homeostat.profiles.format import to_bytes

ERASE = "erase_rows"
PROVEN = "erase"
ATTEMPTS = 20
NEVER = datetime.max.replace(tzinfo=UTC)
LASTING = (
    "profiles keep their counts: erased rows are still counted, without the value",
    "answers that gateways keep in memory for a cached tier go when the gateway restarts",
    "what is sent again, by a client that kept it for instance, is stored again",
    "a segment that homeostat.yaml names, in a threshold for instance, is named there still",
    "backups, exports and files outside the searched folder are not touched",
)
VERSIONS = "a bucket that keeps versions of deleted objects keeps them: expire these there"


@dataclass(frozen=True, slots=True)
class Target:
    """Whom or what to erase: an entity, or one prediction id. ``values`` are all its forms."""

    entity: bool
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Erased:
    """A file from which rows were taken."""

    path: str
    kind: str
    rows: int


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was removed and what was searched.

    Attributes
    ----------
    model : str
    token : str
        Salted hash that stands for the id.
    files : tuple of Erased
        Files that were written again or removed, and the rows taken out.
    predictions, labels, quarantined, profiles : int
        Rows removed, and profiles that named the id.
    damaged : tuple of str
        Damaged files that were deleted because they may hold it.
    held : tuple of str
        Segments that other processes still write: they hold it until these let go.
    searched : Searched
        The proof.
    named : int
        Profiles, figures and texts of segments that were named after it.
    notes : tuple of str
        What an erasure does not reach.
    """

    model: str
    token: str
    files: tuple[Erased, ...]
    predictions: int
    labels: int
    quarantined: int
    profiles: int
    damaged: tuple[str, ...]
    held: tuple[str, ...]
    searched: Searched
    named: int = 0
    notes: tuple[str, ...] = LASTING

    @property
    def complete(self) -> bool:
        """Whether nothing of it is left."""
        return not (self.held or self.searched.found)


def erase(
    log: FilePredictionLog, spec: ModelSpec, target: Target, actor: str, now: datetime, folder: Path
) -> Erasure:
    """Remove what the log and the records hold of a target; what is done already is no mistake.

    Parameters
    ----------
    log, spec : FilePredictionLog, ModelSpec
    target : Target
    actor : str
        Who asked, for the decision log.
    now : datetime
    folder : Path
        Searched afterwards with all that is below it; the log's folder or one above it.

    Raises
    ------
    StorageError
        If a file is damaged, or the disk or the database failed: ask again, after
        ``homeostat data repair``.
    """
    upkeep, database = log.upkeep, log.upkeep.catalogue.database
    landing = upkeep.state.landing
    with upkeep.alone():
        upkeep.empty_landing(now)
        found = upkeep.files(spec.name)
        work = _Work(log, spec, target, now, actor)
        ids = work.ids(found[Kind.PREDICTIONS])
        files = work.rewrite(found, ids)
        everything = {*target.values, *ids}
        damaged = _delete_damaged(log, spec, everything)
        for name in segment_names(landing):
            if names_any(landing / name, everything):
                ask_for(landing, name)
    log.roll(now)  # this process's own segment, if it was asked for
    with upkeep.alone():
        upkeep.empty_landing(now)
        held = tuple(n for n in segment_names(landing) if (landing / f"{n}{ASKED}").exists())
        upkeep.store.sweep(upkeep.catalogue.paths(NEVER))
        named = unname(database, spec.name, target.values)
        profiles = _forget_profiles(database, spec.name, target.values)
    quarantined = _forget_quarantine(database, spec.name, everything)
    try:
        _flush(database)
        searched = search(folder, database, target.values, upkeep.store.place)
    except (OSError, sqlite3.Error) as error:
        raise StorageError(f"what was erased cannot be proven: {error}; ask again") from error
    rows = {kind: sum(f.rows for f in files if f.kind == kind.name.lower()) for kind in Kind}
    counts = (rows[Kind.PREDICTIONS], rows[Kind.LABELS], quarantined, profiles)
    notes = LASTING if upkeep.store.place.most_keys is None else (*LASTING, VERSIONS)
    done = Erasure(spec.name, work.token, files, *counts, damaged, held, searched, named, notes)
    upkeep.catalogue.register(Change(decisions=[_told(done, actor, now)]), now)
    return done


def _told(done: Erasure, actor: str, now: datetime) -> Decision:
    searched = done.searched
    left = f"still found in {len(searched.found)} places, {len(done.held)} segments are held"
    reason = "nothing is left" if done.complete else left
    figures = {
        "predictions": done.predictions,
        "labels": done.labels,
        "quarantined": done.quarantined,
        "segments_named": done.named,
        "files_searched": searched.files,
        "bytes_searched": searched.bytes,
        "found": len(searched.found),
    }
    evidence = tuple((name, float(value)) for name, value in figures.items())
    return Decision(done.model, now, actor, PROVEN, done.token, reason, evidence)


@dataclass(frozen=True)
class _Work:
    log: FilePredictionLog
    spec: ModelSpec
    target: Target
    now: datetime
    actor: str

    @property
    def token(self) -> str:
        salt = self.log.upkeep.store.salt.to_bytes(8, "little")
        digest = hmac.new(salt, self.target.values[0].encode(), hashlib.sha256).hexdigest()
        return f"{'entity' if self.target.entity else 'prediction'} #{digest[:16]}"

    def ids(self, files: Sequence[FileEntry]) -> set[str]:
        """Return the ids of the target's predictions."""
        if not self.target.entity:
            return set(self.target.values)
        found = set[str]()
        names = ["prediction_id", *self.columns]
        store = self.log.upkeep.store
        for file in files:
            there = [name for name in names if name in store.schema(file).names]
            for table in groups(store, file, there):
                mine = table.filter(pa.array(self.named(table)))
                found.update(texts(mine, "prediction_id"))
        return found

    @property
    def columns(self) -> list[str]:
        """The columns that may hold an entity."""
        feature = self.spec.entity
        return ["entity", *([feature] if feature in self.spec.schema.names else [])]

    def named(self, table: pa.Table) -> NDArray[np.bool_]:
        wanted, found = pa.array(self.target.values, pa.string()), np.zeros(len(table), np.bool_)
        for name in self.columns:
            if name in table.column_names and pa.types.is_string(table.schema.field(name).type):
                found |= np.asarray(pc.is_in(table.column(name), wanted).to_numpy(), np.bool_)
        return found

    def rewrite(self, found: dict[Kind, list[FileEntry]], ids: set[str]) -> tuple[Erased, ...]:
        store, wanted = self.log.upkeep.store, pa.array(sorted(ids), pa.string())
        keys = np.unique(hash_texts(pa.chunked_array([wanted]), store.salt))

        def wrong(table: pa.Table) -> NDArray[np.bool_]:
            listed = pc.is_in(table.column("prediction_id"), wanted).to_numpy()
            return np.asarray(listed, np.bool_)

        files = [file for kind in Kind for file in found[kind] if store.keys(file).has(keys).any()]
        done = list[Erased]()
        for start in range(0, len(files), MOST_FILES):
            added, removed, taken = list[FileEntry](), list[FileEntry](), list[Erased]()
            for file in files[start : start + MOST_FILES]:
                new = without_rows(store, file, wrong)
                rows = file.rows - (0 if new is None else new.rows)
                if rows:
                    added += [] if new is None else [new]
                    removed.append(file)
                    taken.append(Erased(file.path, file.kind.name.lower(), rows))
            if removed:
                change = Change(added, removed, decisions=[self._decision(taken)])
                self.log.upkeep.change(change, self.now)
            done += taken
        return tuple(done)

    def _decision(self, taken: Sequence[Erased]) -> Decision:
        kinds = [kind.name.lower() for kind in Kind]
        counts = tuple((k, float(sum(f.rows for f in taken if f.kind == k))) for k in kinds)
        reason = "right to erasure"
        return Decision(self.spec.name, self.now, self.actor, ERASE, self.token, reason, counts)


def _delete_damaged(log: FilePredictionLog, spec: ModelSpec, values: set[str]) -> tuple[str, ...]:
    """Delete damaged files that name a value, or that cannot be searched for it."""
    root, landing = log.root, log.upkeep.state.landing
    gone = list[str]()
    forms = [value.encode() for value in values]
    for path in _damaged(root, landing, folder_name(spec.name)):
        packed = path.suffix == ".parquet"  # its values are compressed
        if packed or any(form in path.read_bytes() for form in forms):
            path.unlink()
            gone.append(str(path.relative_to(root)))
    return tuple(gone)


def _damaged(root: Path, landing: Path, model: str) -> Iterator[Path]:
    for name in damaged_names(landing):
        yield landing / name
    for path in sorted((root / "damaged").rglob("*")):
        if path.is_file() and (f"model={model}" in path.parts or path.suffix != ".parquet"):
            yield path


def _forget_quarantine(database: Database, model: str, values: set[str]) -> int:
    table = log_quarantine
    mine = table.c.model == model
    query = sa.select(table.c.number, table.c.row, table.c.column, table.c.reason).where(mine)
    few = query.execution_options(yield_per=FEW)
    # Looked through first: nobody waits for the database meanwhile.
    with database.read() as connection, connection.execute(few) as rows:
        numbers = [r["number"] for r in rows.mappings() if _mentions(r, values)]
    return Quarantine(database, model).drop(numbers)


def _mentions(row: sa.RowMapping, values: set[str]) -> bool:
    found = json.loads(row["row"])
    if isinstance(found, str):  # no JSON was sent: what it says cannot be told apart
        forms = {form for value in values for form in (value, json.dumps(value)[1:-1])}
        return any(form in found for form in forms)
    if any(leaf in values for leaf in leaves(found)):
        return True
    return any(repr(value) in row["reason"] or value == row["column"] for value in values)


def _forget_profiles(database: Database, model: str, values: Sequence[str]) -> int:
    changed = 0
    for table, column in profiled():
        query = sa.select(table).where(table.c.model == model)
        # Looked through first: nobody waits for the database meanwhile.
        with database.read() as connection:
            rows = connection.execute(query).mappings()
            named = [row for row in rows if mentions(read_profile(column, row[column]), values)]
        for row in named:
            same = sa.and_(*(place == row[place.name] for place in table.columns))
            blob = to_bytes(forget(read_profile(column, row[column]), values))
            kept = {column: pack(blob) if column == PACKED else blob}
            with database.write() as connection:
                changed += connection.execute(sa.update(table).where(same).values(kept)).rowcount
    return changed


def _flush(database: Database) -> None:
    """Make SQLite write its file anew: deleted rows stay in it until their place is needed.

    What other databases do with deleted rows is theirs (PostgreSQL: VACUUM FULL).
    """
    if not database.is_sqlite:
        return
    connection = sqlite3.connect(
        str(database.url.database), timeout=BUSY_SECONDS, isolation_level=None
    )
    try:
        for attempt in range(ATTEMPTS):
            try:
                connection.execute("VACUUM")
                break
            except sqlite3.OperationalError:  # somebody wrote at that moment
                if attempt == ATTEMPTS - 1:
                    raise
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()
