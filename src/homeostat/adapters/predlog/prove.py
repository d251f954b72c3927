"""Proof that a value is gone: every byte of the folder and every table are searched for it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa

from homeostat.adapters.predlog.checksum import check_footer
from homeostat.adapters.predlog.frames import Kind, scan
from homeostat.adapters.predlog.hours import unpack
from homeostat.adapters.predlog.place import Place
from homeostat.adapters.predlog.segments import DAMAGED, SUFFIX
from homeostat.adapters.predlog.unname import forms, stored_forms
from homeostat.adapters.records.codec import storable
from homeostat.adapters.records.engine import Database
from homeostat.adapters.records.tables import metadata
from homeostat.domain.errors import StorageError
from homeostat.domain.segments import names_value
from homeostat.domain.verdict import segment_value
from homeostat.profiles.forget import counted, mentions
from homeostat.profiles.format import from_bytes
from homeostat.profiles.profile import Profile

Strings: TypeAlias = "pa.ChunkedArray[pa.Scalar[pa.lib.StringType]]"

PACKED = "packed"
PIECE = 2**20
ROUNDS = 5
SHORTEST = 5
"""Bytes below which a value turns up in compressed data by chance."""


@dataclass(frozen=True, slots=True)
class Searched:
    """What was searched, and where the value is still.

    Attributes
    ----------
    files, bytes : int
        Files whose bytes were all read, and their size; a database is searched by its tables.
    tables : int
        Tables of the records database.
    found : tuple of str
        Where the value is; empty: it is gone.
    longer : tuple of str
        Files with its bytes inside longer values, such as those of ``card 1`` in ``card 12``.
    by_bytes : bool
        False if the value is too short to be told from chance in compressed data: then only values
        were compared.
    """

    files: int
    bytes: int
    tables: int
    found: tuple[str, ...]
    longer: tuple[str, ...]
    by_bytes: bool


def search(
    folder: Path, database: Database, values: Sequence[str], place: Place | None = None
) -> Searched:
    """Search a folder and all that is below it, the log's files elsewhere, and a database.

    Raises
    ------
    OSError
        If a file cannot be read.
    StorageError
        If the database failed.
    """
    by_bytes = min(len(value.encode()) for value in values) >= SHORTEST
    texts = {form for value in values for form in forms(value)} if by_bytes else set[str]()
    needles = [text.encode() for text in sorted(texts)]
    tables = search_tables(database, values)
    # Not opened here: closing them would let go of the locks that this process holds on them.
    own = set(_database_files(database))
    seen, size, found, longer = set[Path](), 0, list[str](), list[str]()

    def look(path: Path, shown: str) -> None:
        hit = bool(needles) and _bytes_of(path, needles)
        same, within = _compare(path, shown, values)
        if same or (hit and not within):
            found.append(shown)
        elif hit or within:
            longer.append(shown)

    # Rows may be on their way from a segment to a file: what has come meanwhile is searched too.
    for _ in range(ROUNDS):
        paths = {p for p in folder.rglob("*") if p.is_file() and p.resolve() not in own}
        new = sorted(path for path in paths - seen if path.exists())
        if not new:
            break
        seen |= set(new)
        for path in new:
            with contextlib.suppress(FileNotFoundError):
                size += path.stat().st_size
                look(path, str(path.relative_to(folder)))
    if place is not None and place.most_keys is not None:
        for name in chain.from_iterable(place.names(kind.name.lower()) for kind in Kind):
            with contextlib.suppress(FileNotFoundError), place.whole(name) as copy:
                seen.add(Path(name))
                size += copy.stat().st_size
                look(copy, f"{place.name}/{name}")
    rows = [f"{count} rows of the table {name}" for name, count in tables.same.items() if count]
    places = (*found, *rows)
    longer += ["the records database"] if tables.within else []
    return Searched(len(seen), size, len(tables.same), places, tuple(longer), by_bytes)


def _database_files(database: Database) -> list[Path]:
    if not database.is_sqlite:
        return []
    own = Path(str(database.url.database)).resolve()
    return [own.with_name(own.name + end) for end in ("", "-wal", "-shm", "-journal")]


def _bytes_of(path: Path, needles: Sequence[bytes]) -> bool:
    most = max(map(len, needles)) - 1
    before = b""
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            text = before + piece
            if any(needle in text for needle in needles):
                return True
            before = text[-most:] if most else b""
    return False


def _compare(path: Path, name: str, values: Sequence[str]) -> tuple[bool, bool]:
    """Say whether a table in a file has one of the values, and whether one inside a longer one."""
    same = within = False
    try:
        for table in _tables(path, name):
            for column in _texts(table):
                same = same or _has(column, values)
                within = within or any(
                    pc.any(pc.match_substring(column, value)).as_py() for value in values
                )
    except (OSError, pa.ArrowException):
        return same, False  # what cannot be read is judged by its bytes
    return same, within


def names_any(segment: Path, values: Collection[str]) -> bool:
    """Whether a row of a segment, moved to a file or not, has one of the values as a text."""
    listed = sorted(values)
    return any(_has(column, listed) for frame in scan(segment, 0) for column in _texts(frame.rows))


def _has(column: Strings, values: Sequence[str]) -> bool:
    return bool(pc.any(pc.is_in(column, pa.array(values, pa.string()))).as_py())


def _tables(path: Path, name: str) -> Iterator[pa.Table]:
    if path.name.endswith((SUFFIX, SUFFIX + DAMAGED)):
        for frame in scan(path, 0):
            yield frame.rows
    elif path.suffix == ".parquet":
        check_footer(path, name)  # PyArrow may end the process over a damaged one
        with pq.ParquetFile(path) as opened:
            for number in range(opened.num_row_groups):
                yield opened.read_row_group(number)


def _texts(table: pa.Table) -> Iterator[Strings]:
    for column in table.columns:
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            yield column.cast(pa.string())


@dataclass(frozen=True, slots=True)
class InTables:
    """How many rows of each table name a value, and whether one names a longer one."""

    same: dict[str, int]
    within: bool


def search_tables(database: Database, values: Sequence[str]) -> InTables:
    """Search all tables; raises StorageError."""
    found: dict[str, int] = {}
    within = False
    held = {table.name: (column,) for table, column in profiled()}
    with database.read() as connection:
        for table in metadata.sorted_tables:
            same, longer = _search_texts(connection, table, values)
            for column in held.get(table.name, ()):
                named, part = _search_profiles(connection, table, column, values)
                same, longer = same + named, longer or part
            found[table.name] = same
            within = within or longer
    return InTables(found, within)


def _search_texts(
    connection: sa.Connection, table: sa.Table, values: Sequence[str]
) -> tuple[int, bool]:
    same, within = 0, False
    values = tuple(dict.fromkeys((*values, *map(segment_value, values))))
    kept = [storable(value) for value in values]
    written = {form for value in values for form in stored_forms(value)}
    for column in (column for column in table.columns if isinstance(column.type, sa.Text)):
        likes = [column.contains(form, autoescape=True) for form in written]
        for text in connection.execute(sa.select(column).where(sa.or_(*likes))).scalars():
            # A name of a segment is no JSON, and may hold a longer value.
            segment = column.name == "segment"
            named = _in_segment(text, kept) if segment else names(text, values)
            same, within = same + named, within or not named
    return same, within


def profiled() -> list[tuple[sa.Table, str]]:
    """Return the tables that hold profiles, and their columns."""
    tables = metadata.sorted_tables
    return [(t, name) for t in tables for name in ("profile", PACKED) if name in t.c]


def read_profile(column: str, blob: bytes) -> Profile:
    """Return the profile in a column of one of the `profiled` tables; raises StorageError."""
    try:
        return from_bytes(unpack(blob) if column == PACKED else blob)
    except ValueError as error:
        raise StorageError(
            f"a stored profile is damaged: {error}; homeostat data repair makes it anew"
        ) from error


def _search_profiles(
    connection: sa.Connection, table: sa.Table, column: str, values: Sequence[str]
) -> tuple[int, bool]:
    same, within = 0, False
    for blob in connection.execute(sa.select(table.c[column])).scalars():
        profile = read_profile(column, blob)
        same += mentions(profile, values)
        within = within or any(v in name and v != name for name in counted(profile) for v in values)
    return same, within


def names(text: str, values: Sequence[str]) -> bool:
    """Whether a text, or a value of the JSON in it, is one of the values.

    Examples
    --------
    >>> names('{"entity": "card 1", "amount": 3}', ["card 1"])
    True
    >>> names('{"entity": "card 12"}', ["card 1"]), names("not JSON: card 1", ["card 1"])
    (False, True)
    >>> names('{"subject": "amount [card=card 1]"}', ["card 1"])
    True
    """
    try:
        said = (text, *leaves(json.loads(text)))
        return any(leaf in values or _in_segment(leaf, values) for leaf in said)
    except ValueError:
        return any(value in text for value in values)


def _in_segment(text: str, values: Sequence[str]) -> bool:
    return any(names_value(text, value) for value in values)


def leaves(value: object) -> Iterator[str]:
    """Yield the names and values of a JSON document as text.

    Examples
    --------
    >>> list(leaves({"ids": [7, "a"]}))
    ['ids', '7', 'a']
    """
    if isinstance(value, dict):
        for name, item in value.items():
            yield str(name)
            yield from leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item)
    else:
        yield str(value)
