"""Label files that are dropped into a folder: each is taken once and moved, with what was wrong.

A file goes to ``.taking`` first, so that what is read is neither replaced nor taken twice. What a
crash leaves there is read again: labels have their file's time, and those known already count once.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa

from homeostat.adapters.datasets.places import KNOWN, LINES
from homeostat.adapters.datasets.plain import plain_files
from homeostat.adapters.durable import sync
from homeostat.domain.clock import Clock
from homeostat.domain.errors import OverloadError, StorageError, UserError
from homeostat.domain.model import ModelSpec
from homeostat.domain.personal import reason_kept
from homeostat.domain.text import lines, printable
from homeostat.domain.window import EPOCH
from homeostat.entrypoints.imports.bring import Order, Store, Tally, bring
from homeostat.entrypoints.imports.naming import Rows
from homeostat.entrypoints.imports.times import Times, zone_of
from homeostat.entrypoints.settings.model import History

logger = logging.getLogger(__name__)

QUIET = timedelta(seconds=10)
"""How long a file must not have changed before it is taken for whole."""
UNFINISHED = (".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", ".swp", "~")
"""Endings of names that programs give what they are still writing."""
TAKING, DONE, FAILED = ".taking", "done", "failed"
UNREADABLE = (pa.ArrowException, ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)
"""What a file of strangers may raise where nobody thought of what is in it."""
LONGEST = 200
"""Bytes of a file's name beyond which it is cut, so that others fit beside it."""


@dataclass(frozen=True, slots=True)
class Drop:
    """A model, and the folder into which its label files come."""

    spec: ModelSpec
    history: History
    folder: Path


@dataclass
class LabelFolders:
    """Takes what is dropped into folders.

    Parameters
    ----------
    drops : sequence of Drop
    store : callable
        Takes the labels.
    clock : Clock
    stopping : callable
        Whether to leave the rest for later.
    """

    drops: tuple[Drop, ...]
    store: Store
    clock: Clock
    stopping: Callable[[], bool] = lambda: False
    _seen: dict[Path, tuple[int, int, float]] = field(default_factory=dict, init=False)

    def look(self) -> tuple[str, ...]:
        """Take all files that are whole; return what went wrong but for what is in the files."""
        problems: list[str] = []
        for drop in self.drops:
            try:
                for part in (TAKING, DONE, FAILED):
                    (drop.folder / part).mkdir(parents=True, exist_ok=True)
                self._claim(drop)
                waiting = _by_time((drop.folder / TAKING).iterdir())
            except OSError as error:
                problems.append(f"the label folder {drop.folder} of {drop.spec.name}: {error}")
                continue
            for path in waiting:
                if self.stopping():
                    return tuple(problems)
                try:
                    self._take(drop, path)
                except (OSError, StorageError, OverloadError) as error:
                    problems.append(f"the label file {printable(str(path))} waits: {error}")
        return tuple(problems)

    def _claim(self, drop: Drop) -> None:
        """Move files that are whole to where nobody else writes."""
        found = {path for path in drop.folder.iterdir() if not _is_passed_over(path)}
        self._seen = {p: s for p, s in self._seen.items() if p.parent != drop.folder or p in found}
        for path in _by_time(found):
            target = drop.folder / TAKING / path.name
            # One of that name may still wait there for a log that takes it.
            if self._is_quiet(path) and not os.path.lexists(target):
                path.rename(target)
                self._seen.pop(path, None)

    def _is_quiet(self, path: Path) -> bool:
        try:
            status = path.lstat()
        except FileNotFoundError:
            return False
        moment = self.clock.monotonic()
        size, changed, since = self._seen.get(path, (-1, -1, moment))
        if (size, changed) != (status.st_size, status.st_mtime_ns):
            since = moment
        self._seen[path] = (status.st_size, status.st_mtime_ns, since)
        if moment - since >= QUIET.total_seconds():
            return True
        age = self.clock.now() - _time_of(status)
        return age >= QUIET

    def _take(self, drop: Drop, path: Path) -> None:
        """Take a file and move it; one that is still being written waits."""
        tally, status = Tally(), path.lstat()
        plain = stat.S_ISREG(status.st_mode)
        problem = _set_back(path, status, self.clock.now()) if plain else "it is no plain file"
        if not problem:
            before = _state(path)
            problem = self._read(drop, path, tally)
            if self.stopping() or _state(path) != before:
                return
        none = tally.refused and not (tally.accepted or tally.duplicates)
        place = FAILED if problem or none else DONE
        final = _free(drop.folder / place, path.name)
        if problem or tally.refused:
            _write(final.with_name(final.name + ".txt"), _report(drop, path.name, tally, problem))
        path.rename(final)
        sync(final.parent)
        logger.info(
            "labels of %s: %s: %d taken, %d known already, %d refused%s",
            drop.spec.name, printable(path.name), tally.accepted, tally.duplicates, tally.refused,
            f"; {printable(problem)}" if problem else "",
        )  # fmt: skip

    def _read(self, drop: Drop, path: Path, tally: Tally) -> str:
        """Take the labels of a file; return why it cannot be read, or nothing."""
        times = Times(zone_of("UTC"))
        order = Order(drop.spec, Rows.LABELS, times, history=drop.history)
        try:
            for file in plain_files(path):
                for _ in bring(order, file, self.store, self.clock.now(), tally):
                    if self.stopping():
                        return ""
        except UserError as error:
            return str(error).replace(str(path), path.name)
        except UNREADABLE as error:
            return f"something in it cannot be read: {type(error).__name__}: {error}"
        return ""


def _state(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_size, status.st_mtime_ns


def _set_back(path: Path, status: os.stat_result, now: datetime) -> str:
    """Give a file of the future today's time; return why that cannot be done, or nothing.

    Its labels would have another arrival each time that they are read.
    """
    if _time_of(status) <= now:
        return ""
    nanos = (now - EPOCH) // timedelta(microseconds=1) * 1000
    try:
        os.utime(path, ns=(nanos, nanos))
    except PermissionError as error:
        return f"its time lies in the future and cannot be changed: {error.strerror}"
    return ""


def _is_passed_over(path: Path) -> bool:
    name = path.name
    hidden = name.startswith((".", "_")) or name.lower().endswith(UNFINISHED)
    return hidden or (path.is_dir() and not path.is_symlink())


def _by_time(paths: Iterable[Path]) -> list[Path]:
    """Return what is still there, oldest first: a later file may correct an earlier one."""
    found: list[tuple[int, str, Path]] = []
    for path in paths:
        try:
            found.append((path.lstat().st_mtime_ns, path.name, path))
        except FileNotFoundError:
            continue
    return [path for _, _, path in sorted(found)]


def _time_of(status: os.stat_result) -> datetime:
    return EPOCH + timedelta(microseconds=status.st_mtime_ns // 1000)


def _free(folder: Path, name: str) -> Path:
    """Return a path in the folder that nothing has, as close to the name as may be."""
    ending = next((end for end in KNOWN + LINES if name.lower().endswith(end)), "")
    stem, ending = (name[: -len(ending)], name[-len(ending) :]) if ending else (name, "")
    stem = os.fsdecode(os.fsencode(stem)[:LONGEST])
    number, path = 1, folder / f"{stem}{ending}"
    while os.path.lexists(path) or os.path.lexists(path.with_name(path.name + ".txt")):
        number += 1
        path = folder / f"{stem}-{number}{ending}"
    return path


def _report(drop: Drop, name: str, tally: Tally, problem: str) -> str:
    """Return what a person is to know about a file of which not all was taken."""
    return lines(_told(drop, name, tally, problem)) + "\n"


def _told(drop: Drop, name: str, tally: Tally, problem: str) -> Iterator[str]:
    yield f"{name}: labels of the model {drop.spec.name}"
    yield (
        f"{tally.rows:,} rows read: {tally.accepted:,} labels taken, {tally.duplicates:,} known "
        f"already, {tally.refused:,} refused, {tally.left_out:,} rows without a label"
    )
    if problem:
        yield f"It could not be read to its end: {problem}"
    if tally.refused:
        yield "Refused rows are kept, too: homeostat data quarantine list " + drop.spec.name
    for one in tally.told:
        yield f"row {one.row:,}: {one.column} {reason_kept(drop.spec, one.reason)}"
    if tally.refused > len(tally.told):
        yield f"and {tally.refused - len(tally.told):,} more"
    yield "Mend the file and drop it again: labels that are known already count once."


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name[:LONGEST]}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
