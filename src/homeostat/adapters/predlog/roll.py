"""Moving landed rows to columnar files: exactly once, whatever crashes.

The offsets up to which segments were rolled, the files and their profiles are registered in one
transaction. Before it, the rows are in the segments and the new files are strangers that the next
roll deletes; after it, the rows are in the files and the segments' rolled parts are not read again.
"""

from __future__ import annotations

import json
import secrets
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

import pyarrow as pa

from homeostat.adapters.predlog.catalogue import Change, FileEntry, Quarantined
from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.predlog.hours import (
    HOUR,
    MOST_SEGMENTS,
    of_kinds,
)
from homeostat.adapters.predlog.memory import Snapshot
from homeostat.adapters.predlog.order import pieces_in_order
from homeostat.adapters.predlog.parquet import DAY, FileStore, day_text, split_by
from homeostat.adapters.predlog.pools import MOST_VERSIONS, HourKey, SegmentKey, by_version
from homeostat.adapters.predlog.quarantine import OTHER_CONTENT, kept_row
from homeostat.adapters.predlog.state import RECENT
from homeostat.domain.casting import as_objects
from homeostat.domain.columns import answered
from homeostat.domain.model import ColumnKind, ModelSpec
from homeostat.domain.record import prediction_schema
from homeostat.domain.segments import by_segment
from homeostat.profiles.build import profile_table
from homeostat.profiles.profile import Profile

K = TypeVar("K", bound=Hashable)

KINDS = b"homeostat.kinds"
PERSONAL = b"homeostat.personal"
SEGMENTS = b"homeostat.segments"


def profile_kinds(spec: ModelSpec) -> dict[str, ColumnKind]:
    """Return the columns that profiles of the log have: the features and the score."""
    kinds = {column.name: column.kind for column in spec.schema.columns}
    return {**kinds, "score": ColumnKind.NUMERIC}


def personal_columns(spec: ModelSpec) -> tuple[str, ...]:
    """Return the names of the columns whose values must not show in profiles."""
    return tuple(column.name for column in spec.schema.columns if column.personal)


def told_segments(spec: ModelSpec) -> tuple[tuple[str, ...], ...]:
    """Return the columns of the segments that have profiles; none that would name a person."""
    personal = set(personal_columns(spec))
    return tuple(names for names in spec.segment_columns if personal.isdisjoint(names))


def joined(names: Sequence[str]) -> str:
    """Return what segments by these columns are stored under."""
    return json.dumps(list(names))


def described_schema(spec: ModelSpec) -> pa.Schema:
    """Return the schema of prediction records with what a roll needs to know of the model."""
    metadata = {
        KINDS: json.dumps(profile_kinds(spec)).encode(),
        PERSONAL: json.dumps(personal_columns(spec)).encode(),
        SEGMENTS: json.dumps(told_segments(spec)).encode(),
    }
    return prediction_schema(spec).with_metadata(metadata)


def kinds_of(rows: pa.Table) -> dict[str, ColumnKind]:
    """Return the columns that profiles of these rows have; see `described_schema`."""
    found = json.loads(rows.schema.metadata[KINDS])
    return {name: ColumnKind(kind) for name, kind in found.items()}


def write_files(snapshot: Snapshot, store: FileStore) -> Change:
    """Write landed rows to new files; return what to register.

    Raises
    ------
    OSError
        If the disk failed or is full.
    """
    written: list[FileEntry] = []
    profiles = Profiles()
    token = secrets.token_hex(8)
    for (kind, model), tables in snapshot.tables.items():
        for table in _by_schema(tables):
            if kind is Kind.PREDICTIONS:
                profiles.add(model, table)
                days = [(day_text(at), part) for at, part in split_by(table, "timestamp", DAY)]
            else:
                days = [(RECENT, table)]
            for day, part in days:
                name = f"{token}-{len(written):04d}"
                written.append(store.write(kind, model, day, name, pieces_in_order(part, kind)))
    segments = {
        name: (snapshot.rolled.get(name, 0), end)
        for name, end in snapshot.frontier.items()
        if end > snapshot.rolled.get(name, 0)
    }
    return Change(written, (), segments, profiles.hours, profiles.segments)


def refused_rows(snapshot: Snapshot, now: datetime) -> list[Quarantined]:
    """Return the landed rows that are refused: their ids are taken, with another content."""
    column, said = OTHER_CONTENT
    return [
        Quarantined(model, kind, now, column, *kept_row(said, row))
        for (kind, model), held in snapshot.refused.items()
        for landed in held
        for block in landed.frozen
        for row in as_objects(block.table, range(len(block.table)))
    ]


def _by_schema(tables: list[pa.Table]) -> list[pa.Table]:
    # The features of a model may change between two rolls.
    groups: dict[bytes, list[pa.Table]] = defaultdict(list)
    for table in tables:
        groups[table.schema.serialize().to_pybytes()].append(table)
    return [pa.concat_tables(group) for group in groups.values()]


@dataclass(frozen=True, slots=True)
class Profiles:
    """Profiles of rows that are being rolled: of hours and versions, and of the segments."""

    hours: dict[HourKey, Profile] = field(default_factory=dict)
    segments: dict[SegmentKey, Profile] = field(default_factory=dict)

    def add(self, model: str, table: pa.Table) -> None:
        """Add rows of one schema."""
        metadata = table.schema.metadata
        kinds = kinds_of(table)
        personal = json.loads(metadata[PERSONAL])
        # Rows that landed before the log knew segments do not name them.
        segments: list[list[str]] = json.loads(metadata.get(SEGMENTS, b"[]"))
        for hour, rows in split_by(answered(table), "timestamp", HOUR):
            for version, seen in by_version(rows, MOST_VERSIONS):
                profile = profile_table(seen, kinds, personal, pairs=True)
                _put(self.hours, (model, version, hour), profile, kinds)
                for names in segments:
                    for segment, part in by_segment(seen, names, MOST_SEGMENTS):
                        profile = profile_table(part, kinds, personal, pairs=True)
                        key = (model, version, joined(names), segment, hour)
                        _put(self.segments, key, profile, kinds)


def _put(
    found: dict[K, Profile], key: K, profile: Profile, kinds: Mapping[str, ColumnKind]
) -> None:
    earlier = found.get(key)
    found[key] = profile if earlier is None else of_kinds(earlier, kinds).merge(profile)
