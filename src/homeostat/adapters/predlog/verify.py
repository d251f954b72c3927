"""Checks of everything that the log has written, byte by byte and against each other."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path, PurePath, PurePosixPath

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from homeostat.adapters.predlog.accounts import Accounts, answers
from homeostat.adapters.predlog.catalogue import FileEntry
from homeostat.adapters.predlog.checksum import file_checksum, stated
from homeostat.adapters.predlog.doubles import Held, elsewhere, stored_twice
from homeostat.adapters.predlog.frames import Kind, damaged_at
from homeostat.adapters.predlog.hashing import Hashes
from homeostat.adapters.predlog.keyfile import SUFFIX, read_keys
from homeostat.adapters.predlog.keys import Keys, identities, in_key_order
from homeostat.adapters.predlog.parquet import TIME_FIELD, key_path
from homeostat.adapters.predlog.place import BENCH, CACHE, OWN, AwayError
from homeostat.adapters.predlog.pools import HourKey
from homeostat.adapters.predlog.remake import profiled_rows
from homeostat.adapters.predlog.rewrite import groups
from homeostat.adapters.predlog.segments import damaged_names, segment_names
from homeostat.adapters.predlog.upkeep import Upkeep
from homeostat.adapters.records.codec import decode, from_micros
from homeostat.adapters.records.tables import decisions, log_files
from homeostat.domain.columns import micros
from homeostat.domain.decision import Decision
from homeostat.domain.errors import StorageError

RESTORE = "stop Homeostat, look at the disk, and put the latest backup of it back"

LEFT = frozenset({"expire_rows", "erase_rows", "repair_rows"})
"""Decisions by which predictions left the log while profiles kept counting them."""


class Trouble(StrEnum):
    """What can be wrong."""

    MISSING = "missing"
    DAMAGED = "damaged"
    KEYS = "keys"
    SEGMENT = "segment"
    SET_ASIDE = "set_aside"
    SEGMENT_GONE = "segment_gone"
    DOUBLE = "double"
    PROFILES = "profiles"
    PROFILE = "profile"
    RECORDS = "records"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong: what kind, where, and in words; ``rows`` are those it concerns.

    ``hour`` is that of a profile.
    """

    trouble: Trouble
    path: str
    text: str
    rows: int = 0
    hour: HourKey | None = None


@dataclass(frozen=True, slots=True)
class Verified:
    """What was checked, and what was found.

    Attributes
    ----------
    files, rows, segments, profiles : int
        How many were checked.
    unchecked : int
        Files that were written before checksums were: their pages were read, not compared.
    problems : tuple of Finding
    strangers : tuple of str
        Files that are not part of the log; `Upkeep.tidy` deletes those that a crash left in the
        folders of columnar files.
    """

    files: int
    rows: int
    segments: int
    profiles: int
    unchecked: int
    problems: tuple[Finding, ...]
    strangers: tuple[str, ...]


def verify(upkeep: Upkeep) -> Verified:
    """Check all files, segments and profiles of a log; it may be in use.

    Raises
    ------
    StorageError
        If the folder or the database cannot be read at all.
    """
    catalogue = upkeep.catalogue
    files, profiled, damaged = _snapshot(upkeep)
    counts, place = Accounts(), upkeep.store.place
    try:
        if files:
            place.recognise()
        problems = [found for day in _days(files) for found in _check_day(upkeep, day, counts)]
    except OSError as error:
        raise StorageError(
            f"{place.name} cannot be checked: {error}; nothing was changed"
        ) from error
    known = _left(upkeep)
    there, listed = {file.path for file in _snapshot(upkeep)[0]}, {file.path for file in files}
    # What left the log meanwhile may be gone.
    problems = [found for found in problems if found.path in there or found.path not in listed]
    try:
        segments = segment_names(upkeep.state.landing)
        problems += _check_segments(upkeep, segments)
        paths = catalogue.paths(from_micros(0))
        strangers = tuple(_strangers(upkeep, {*paths, *there}))
    except OSError as error:
        raise StorageError(f"the prediction log {upkeep.root} cannot be read: {error}") from error
    problems += [
        Finding(Trouble.RECORDS, "records", f"the records database is damaged: {said}; {RESTORE}")
        for said in catalogue.database.damage()
    ]
    problems += [Finding(Trouble.PROFILE, _shown(k), said, 0, k) for k, said in damaged.items()]
    problems += _check_profiles(counts, profiled, known, damaged)
    return Verified(
        len(files),
        sum(file.rows for file in files),
        len(segments),
        len(profiled),
        sum(stated(file.path) is None for file in files),
        tuple(problems),
        strangers,
    )


def _snapshot(upkeep: Upkeep) -> tuple[list[FileEntry], dict[HourKey, int], dict[HourKey, str]]:
    """Return the files, the rows that profiles count, and damaged profiles, of one moment."""
    with upkeep.catalogue.database.read() as connection:
        rows = connection.execute(sa.select(log_files).order_by(log_files.c.number)).all()
        profiled, damaged = profiled_rows(connection)
    files = [
        FileEntry(Kind[r.kind], r.model, r.day, r.path, r.rows, r.bytes, r.first, r.last)
        for r in rows
    ]
    return files, profiled, damaged


def _days(files: Sequence[FileEntry]) -> list[list[FileEntry]]:
    """Return the files by kind, model and day."""
    found: dict[tuple[Kind, str, str], list[FileEntry]] = defaultdict(list)
    for file in files:
        found[file.kind, file.model, file.day].append(file)
    return list(found.values())


def _check_day(upkeep: Upkeep, files: Sequence[FileEntry], counts: Accounts) -> Iterator[Finding]:
    """Check the files of a day, and whether a prediction is in several of them.

    Raises
    ------
    OSError
        If the place does not answer: then nothing can be said of what is there.
    """
    held, lost = list[Held](), list[tuple[FileEntry, Keys | None, Finding]]()
    for file in files:
        finding, keys = _check_file(upkeep, file, counts)
        if finding is not None and finding.trouble is not Trouble.KEYS:
            lost.append((file, keys, finding))
            continue
        if finding is not None:
            yield finding
        if file.kind is Kind.PREDICTIONS and keys is not None:
            held.append(Held(file, keys))
    for file, keys, finding in lost:
        rows = 0 if keys is None else elsewhere(keys, held)
        if file.kind is Kind.PREDICTIONS:
            counts.lose(file, rows)
        text = f"{finding.text}; {rows:,} of its rows are in other files" if rows else finding.text
        yield replace(finding, text=text, rows=file.rows - rows)
    shown = f"{files[0].model} {files[0].day}"
    try:
        twice = stored_twice(upkeep.store, held)
    except StorageError as error:  # it left the log, or was damaged, just now
        yield Finding(Trouble.DOUBLE, shown, f"whether rows are stored twice is open: {error}")
    else:
        if twice:
            text = f"{twice:,} rows of {files[0].model} of {files[0].day} are stored twice"
            yield Finding(Trouble.DOUBLE, shown, text, twice)


def _check_file(
    upkeep: Upkeep, file: FileEntry, counts: Accounts
) -> tuple[Finding | None, Keys | None]:
    """Check a file, its checksums, and its key file against it; count what it holds.

    Returns what is wrong, and the keys of the rows that it has, or had.
    """
    place = upkeep.store.place
    if place.size(file.path) is None:
        return Finding(Trouble.MISSING, file.path, "the file is gone"), _keys(upkeep, file)[0]
    with ExitStack() as copies:
        path = copies.enter_context(place.whole(file.path))
        try:
            _check_bytes(path, file)
            expected = _read(upkeep, file, counts, path)
        except (StorageError, OSError, pa.ArrowException, KeyError, ValueError) as error:
            return Finding(Trouble.DAMAGED, file.path, str(error)), _keys(upkeep, file)[0]
    keys, problem = _keys(upkeep, file)
    if keys is None or not _alike(keys, expected):
        said = problem or "its key file is of other rows"
        return Finding(Trouble.KEYS, file.path, said), expected
    return None, keys


def _check_bytes(path: Path, file: FileEntry) -> None:
    size, checksum = path.stat().st_size, stated(file.path)
    if size != file.bytes:
        raise ValueError(f"it has {size:,} bytes, and had {file.bytes:,} when it was written")
    if checksum is not None and file_checksum(path) != checksum:
        raise ValueError("its checksum is not the one it was written with")


def _read(upkeep: Upkeep, file: FileEntry, counts: Accounts, path: Path) -> Keys:
    """Return the keys of a file's rows, which are counted if they are what the catalogue says."""
    rows, times = 0, list[int]()
    parts: list[tuple[Hashes, Hashes]] = []
    told: Counter[tuple[str, str, int]] = Counter()
    for table in groups(upkeep.store, file, source=path):
        rows += len(table)
        parts.append(identities(file.kind, table, upkeep.store.salt))
        moments = micros(table, TIME_FIELD[file.kind])
        times += [int(moments.min()), int(moments.max())]
        if file.kind is Kind.PREDICTIONS:
            told.update(answers(file.model, table))
    if (rows, min(times), max(times)) != (file.rows, file.first, file.last):
        raise ValueError(f"its {rows:,} rows are not the {file.rows:,} of the catalogue")
    keys, details = (np.concatenate(column) for column in zip(*parts, strict=True))
    found = in_key_order(keys, details, np.arange(rows, dtype=np.uint32))
    counts.answered.update(told)
    return found


def _keys(upkeep: Upkeep, file: FileEntry) -> tuple[Keys | None, str]:
    """Map a file's key file; return its keys, or what is wrong with it."""
    try:
        with upkeep.store.place.whole(key_path(file.path)) as path:
            return read_keys(path, file.rows, check=True), ""
    except AwayError:
        raise
    except (OSError, ValueError) as error:
        return None, f"its key file: {error}"


def _alike(keys: Keys, expected: Keys) -> bool:
    return (
        np.array_equal(keys.keys, expected.keys)
        and np.array_equal(keys.details, expected.details)
        and np.array_equal(np.sort(keys.rows), np.sort(expected.rows))
        and bool(keys.has(expected.keys).all())
    )


def _check_segments(upkeep: Upkeep, names: Sequence[str]) -> Iterator[Finding]:
    landing = upkeep.state.landing
    for name in names:
        try:
            damage = damaged_at(landing / name)
        except FileNotFoundError:  # rolled and deleted meanwhile
            continue
        if damage is not None:
            text = f"it is damaged from byte {damage:,} on; rows in it may be lost"
            yield Finding(Trouble.SEGMENT, f"landing/{name}", text)
    for name in damaged_names(landing):
        text = "a damaged segment: its whole frames are in files, rows in it may be lost"
        yield Finding(Trouble.SET_ASIDE, f"landing/{name}", text)
    # Asked before and after: what is there is new meanwhile, or on its way out.
    standing = upkeep.catalogue.standing()
    gone = standing - set(segment_names(landing))
    for name in sorted(gone & upkeep.catalogue.standing()):
        text = "it is gone; rows that came after its last roll, if any, are lost"
        yield Finding(Trouble.SEGMENT_GONE, f"landing/{name}", text)


def _strangers(upkeep: Upkeep, known: set[str]) -> Iterator[str]:
    root, place = upkeep.root, upkeep.store.place
    near = place.most_keys is None
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if not path.is_file() or relative.parts[0] in {"landing", "damaged", BENCH, CACHE}:
            continue
        if len(relative.parts) == 1:
            if relative.name not in OWN:
                yield relative.as_posix()
        elif not near or _strange(relative, known):
            yield relative.as_posix()
    for name in () if near else (name for kind in Kind for name in place.names(kind.name.lower())):
        if _strange(PurePosixPath(name), known):
            yield f"{place.name}/{name}"


def _strange(path: PurePath, known: set[str]) -> bool:
    return path.with_suffix(".parquet").as_posix() not in known or path.suffix not in {
        ".parquet",
        SUFFIX,
    }


def _check_profiles(
    counts: Accounts,
    profiled: dict[HourKey, int],
    known: Counter[str],
    damaged: Collection[HourKey],
) -> Iterator[Finding]:
    more, missing = counts.compare(profiled, damaged)
    for place, rows in more.items():
        text = f"{rows:,} rows of this hour are in files and not in its profile"
        yield Finding(Trouble.PROFILES, _shown(place), text, rows)
    for model, rows in missing.items():
        lost = rows - known[model]
        if lost > 0:
            text = (
                f"profiles count {lost:,} rows that are in no file, and that no retention, "
                "erasure or repair has removed"
            )
            yield Finding(Trouble.PROFILES, model, text, lost)


def _shown(place: HourKey) -> str:
    model, version, hour = place
    moment = str(np.datetime64(hour, "us").astype("datetime64[m]")).replace("T", " ")
    return f"{model} {version or '(other versions)'} {moment}"


def _left(upkeep: Upkeep) -> Counter[str]:
    """Return how many predictions of each model left the log by a decision."""
    found: Counter[str] = Counter()
    acts = [decisions.c.body.contains(f'"{action}"') for action in sorted(LEFT)]
    with upkeep.catalogue.database.read() as connection:
        bodies = connection.execute(sa.select(decisions.c.body).where(sa.or_(*acts))).scalars()
        for body in bodies:
            decision = decode(body, Decision)
            if decision.action in LEFT:
                found[decision.model] += int(dict(decision.evidence).get("predictions", 0))
    return found
