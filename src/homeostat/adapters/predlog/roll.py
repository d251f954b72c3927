"""Moving landed rows to columnar files: exactly once, whatever crashes.

The offsets up to which segments were rolled, the files and their profiles are registered in one
transaction. Before it, the rows are in the segments and the new files are strangers that the next
roll deletes; after it, the rows are in the files and the segments' rolled parts are not read again.
"""

from __future__ import annotations

import json
import secrets
from collections import defaultdict

import pyarrow as pa

from homeostat.adapters.predlog.catalogue import Change, FileEntry, of_kinds
from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.predlog.parquet import DAY, HOUR, FileStore, day_text, in_order, split_by
from homeostat.adapters.predlog.state import RECENT, Snapshot
from homeostat.domain.columns import answered, texts, where
from homeostat.domain.model import ColumnKind, ModelSpec
from homeostat.domain.record import prediction_schema
from homeostat.profiles.build import profile_table
from homeostat.profiles.profile import Profile

KINDS = b"homeostat.kinds"
PERSONAL = b"homeostat.personal"


def profile_kinds(spec: ModelSpec) -> dict[str, ColumnKind]:
    """Return the columns that profiles of the log have: the features and the score."""
    kinds = {column.name: column.kind for column in spec.schema.columns}
    return {**kinds, "score": ColumnKind.NUMERIC}


def personal_columns(spec: ModelSpec) -> tuple[str, ...]:
    """Return the names of the columns whose values must not show in profiles."""
    return tuple(column.name for column in spec.schema.columns if column.personal)


def described_schema(spec: ModelSpec) -> pa.Schema:
    """Return the schema of prediction records with what a roll needs to know of the model."""
    metadata = {
        KINDS: json.dumps(profile_kinds(spec)).encode(),
        PERSONAL: json.dumps(personal_columns(spec)).encode(),
    }
    return prediction_schema(spec).with_metadata(metadata)


def write_files(snapshot: Snapshot, store: FileStore) -> Change:
    """Write landed rows to new files; return what to register.

    Raises
    ------
    OSError
        If the disk failed or is full.
    """
    written: list[FileEntry] = []
    profiles: dict[tuple[str, str, int], Profile] = {}
    token = secrets.token_hex(8)
    for (kind, model), tables in snapshot.tables.items():
        for table in _by_schema(tables):
            if kind is Kind.PREDICTIONS:
                _profile(model, table, profiles)
                days = [(day_text(at), part) for at, part in split_by(table, "timestamp", DAY)]
            else:
                days = [(RECENT, table)]
            for day, part in days:
                name = f"{token}-{len(written):04d}"
                written.append(store.write(kind, model, day, name, [in_order(part, kind)]))
    segments = {
        name: (snapshot.rolled.get(name, 0), end)
        for name, end in snapshot.frontier.items()
        if end > snapshot.rolled.get(name, 0)
    }
    return Change(written, (), segments, profiles)


def _by_schema(tables: list[pa.Table]) -> list[pa.Table]:
    # The features of a model may change between two rolls.
    groups: dict[bytes, list[pa.Table]] = defaultdict(list)
    for table in tables:
        groups[table.schema.serialize().to_pybytes()].append(table)
    return [pa.concat_tables(group) for group in groups.values()]


def _profile(model: str, table: pa.Table, profiles: dict[tuple[str, str, int], Profile]) -> None:
    metadata = table.schema.metadata
    kinds = {name: ColumnKind(kind) for name, kind in json.loads(metadata[KINDS]).items()}
    personal = json.loads(metadata[PERSONAL])
    for hour, rows in split_by(answered(table), "timestamp", HOUR):
        for version in sorted(set(texts(rows, "version"))):
            seen = where(rows, "version", version)
            profile = profile_table(seen, kinds, personal, pairs=True)
            earlier = profiles.get((model, version, hour))
            merged = profile if earlier is None else of_kinds(earlier, kinds).merge(profile)
            profiles[model, version, hour] = merged
