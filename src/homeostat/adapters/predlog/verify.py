"""Checks of everything that the log has written, byte by byte and against each other."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePath, PurePosixPath

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from homeostat.adapters.predlog.catalogue import FileEntry
from homeostat.adapters.predlog.checksum import file_checksum, stated
from homeostat.adapters.predlog.frames import Kind, damaged_at
from homeostat.adapters.predlog.hashing import Hashes
from homeostat.adapters.predlog.hours import HOUR
from homeostat.adapters.predlog.keys import SUFFIX, Keys, identities, in_key_order, read_keys
from homeostat.adapters.predlog.parquet import TIME_FIELD, key_path
from homeostat.adapters.predlog.place import BENCH, CACHE, OWN
from homeostat.adapters.predlog.pools import POOL, HourKey
from homeostat.adapters.predlog.remake import profiled_rows
from homeostat.adapters.predlog.rewrite import groups
from homeostat.adapters.predlog.segments import damaged_names, segment_names
from homeostat.adapters.predlog.upkeep import Upkeep
from homeostat.adapters.records.codec import decode, from_micros, key_text
from homeostat.adapters.records.tables import decisions, log_files
from homeostat.domain.columns import answered, micros
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


@dataclass
class _Counts:
    """What files hold: rows answered by (model, version, hour), and keys by (model, day)."""

    answered: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    keys: dict[tuple[str, str], list[Keys]] = field(default_factory=lambda: defaultdict(list))


def verify(upkeep: Upkeep) -> Verified:
    """Check all files, segments and profiles of a log; it may be in use.

    Raises
    ------
    StorageError
        If the folder or the database cannot be read at all.
    """
    catalogue = upkeep.catalogue
    files, profiled, damaged = _snapshot(upkeep)
    counts, place = _Counts(), upkeep.store.place
    try:
        if files:
            place.recognise()
        problems = [finding for file in files for finding in check_file(upkeep, file, counts)]
    except OSError as error:
        raise StorageError(
            f"{place.name} cannot be checked: {error}; nothing was changed"
        ) from error
    known, wrong = _left(upkeep), {finding.path for finding in problems}
    for file in files:
        if file.kind is Kind.PREDICTIONS and file.path in wrong:
            known[file.model] += file.rows
    there = {file.path for file in _snapshot(upkeep)[0]}
    # What left the log meanwhile may be gone.
    problems = [finding for finding in problems if finding.path in there]
    try:
        segments = segment_names(upkeep.state.landing)
        problems += _check_segments(upkeep, segments)
        paths = catalogue.paths(from_micros(0))
        strangers = tuple(_strangers(upkeep, {*paths, *there}))
    except OSError as error:
        raise StorageError(f"the prediction log {upkeep.root} cannot be read: {error}") from error
    problems += _check_double(counts)
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


def check_file(upkeep: Upkeep, file: FileEntry, counts: _Counts) -> list[Finding]:
    """Check a file, its checksums, and its key file against it; count what it holds.

    Raises
    ------
    OSError
        If the place does not answer: then nothing can be said of what is there.
    """
    place = upkeep.store.place
    if place.size(file.path) is None:
        return [Finding(Trouble.MISSING, file.path, "the file is gone", file.rows)]
    with ExitStack() as copies:
        path = copies.enter_context(place.whole(file.path))
        try:
            _check_bytes(path, file)
            found = _read(upkeep, file, counts, path)
        except (StorageError, OSError, pa.ArrowException, KeyError, ValueError) as error:
            return [Finding(Trouble.DAMAGED, file.path, str(error), file.rows)]
    try:
        with place.whole(key_path(file.path)) as path:
            return _check_keys(path, file, found)
    except FileNotFoundError as error:
        return [Finding(Trouble.KEYS, file.path, f"its key file: {error}")]


def _check_bytes(path: Path, file: FileEntry) -> None:
    size, checksum = path.stat().st_size, stated(file.path)
    if size != file.bytes:
        raise ValueError(f"it has {size:,} bytes, and had {file.bytes:,} when it was written")
    if checksum is not None and file_checksum(path) != checksum:
        raise ValueError("its checksum is not the one it was written with")


def _read(upkeep: Upkeep, file: FileEntry, counts: _Counts, path: Path) -> Keys:
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
            told.update(_answered(file.model, table))
    if (rows, min(times), max(times)) != (file.rows, file.first, file.last):
        raise ValueError(f"its {rows:,} rows are not the {file.rows:,} of the catalogue")
    keys, details = (np.concatenate(column) for column in zip(*parts, strict=True))
    found = in_key_order(keys, details, np.arange(rows, dtype=np.uint32))
    counts.answered.update(told)
    if file.kind is Kind.PREDICTIONS:
        counts.keys[file.model, file.day].append(found)
    return found


def _answered(model: str, table: pa.Table) -> Counter[tuple[str, str, int]]:
    told = answered(table)
    versions = told.column("version").combine_chunks().dictionary_encode()
    hours = micros(told, "timestamp") // HOUR
    names = versions.dictionary.to_pylist()
    pairs, amounts = np.unique(
        np.stack([np.asarray(versions.indices, np.int64), hours]), axis=1, return_counts=True
    )
    return Counter(
        {
            (model, key_text(str(names[version])), hour * HOUR): amount
            for version, hour, amount in zip(*pairs.tolist(), amounts.tolist(), strict=True)
        }
    )


def _check_keys(path: Path, file: FileEntry, expected: Keys) -> list[Finding]:
    shown = file.path
    try:
        keys = read_keys(path, file.rows, check=True)
    except (OSError, ValueError) as error:
        return [Finding(Trouble.KEYS, shown, f"its key file: {error}")]
    pairs = ((keys.keys, expected.keys), (keys.details, expected.details))
    if not all(np.array_equal(*pair) for pair in pairs) or not np.array_equal(
        np.sort(keys.rows), np.sort(expected.rows)
    ):
        return [Finding(Trouble.KEYS, shown, "its key file is of other rows")]
    return []


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


def _check_double(counts: _Counts) -> Iterator[Finding]:
    for (model, day), parts in counts.keys.items():
        keys, details = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("keys", "details")
        )
        order = np.lexsort((details, keys))
        again = (np.diff(keys[order]) == 0) & (np.diff(details[order]) == 0)
        if again.any():
            rows = int(np.count_nonzero(again))
            text = f"{rows:,} rows of {model} of {day} are stored twice"
            yield Finding(Trouble.DOUBLE, f"{model} {day}", text, rows)


def _check_profiles(
    counts: _Counts,
    profiled: dict[HourKey, int],
    known: Counter[str],
    damaged: Collection[HourKey],
) -> Iterator[Finding]:
    missing: Counter[str] = Counter()
    held: Counter[HourKey] = Counter()
    there = {*profiled, *damaged}
    for (model, version, hour), rows in counts.answered.items():
        pooled = (model, version, hour) not in there and (model, POOL, hour) in there
        held[model, POOL if pooled else version, hour] += rows
    # How many rows a damaged one counts is not known.
    for place in {*held, *profiled}.difference(damaged):
        model, version, hour = place
        more = held[place] - profiled.get(place, 0)
        if more > 0:
            at = _shown(place)
            text = f"{more:,} rows of this hour are in files and not in its profile"
            yield Finding(Trouble.PROFILES, at, text, more)
        missing[model] -= min(more, 0)
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
