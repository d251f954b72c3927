"""Bringing a damaged log back to what can be proven: nothing is guessed, nothing is thrown away."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from homeostat.adapters.durable import make_folder, sync
from homeostat.adapters.predlog.catalogue import Change, FileEntry
from homeostat.adapters.predlog.checksum import check_footer, stated
from homeostat.adapters.predlog.keyfile import read_keys, write_keys
from homeostat.adapters.predlog.keys import Keys, identities, make_keys
from homeostat.adapters.predlog.parquet import IDENTITY, key_path
from homeostat.adapters.predlog.place import AwayError
from homeostat.adapters.predlog.remake import remake
from homeostat.adapters.predlog.rewrite import write_again
from homeostat.adapters.predlog.upkeep import Upkeep
from homeostat.adapters.predlog.verify import Finding, Trouble, Verified, verify
from homeostat.domain.decision import Decision

REPAIR = "repair_rows"
DAMAGED = "damaged"
"""Folder of what was set aside."""


@dataclass(frozen=True, slots=True)
class Mended:
    """What was done about a finding; ``recovered`` and ``lost`` are rows."""

    path: str
    text: str
    recovered: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Repaired:
    """What was mended, and what is still wrong."""

    mended: tuple[Mended, ...]
    left: Verified

    @property
    def lost(self) -> int:
        """Rows that are lost."""
        return sum(one.lost for one in self.mended)


def repair(upkeep: Upkeep, actor: str, now: datetime) -> Repaired:
    """Mend what can be mended; rolls wait meanwhile, appends and reads go on.

    Key files are made anew, and damaged profiles of the rows that are there. Damaged files are set
    aside below ``damaged/``, and those of their row groups whose checksums hold take their place.
    What nobody registered is left alone.

    Raises
    ------
    StorageError
        If the disk or the database failed; what was mended before stays so.
    """
    work = _Repair(upkeep, actor, now)
    with upkeep.alone():
        upkeep.empty_landing(now)
        files = {file.path: file for file in _files(upkeep)}
        for finding in verify(upkeep).problems:
            work.mend(finding, files.get(finding.path))
    return Repaired(tuple(work.mended), verify(upkeep))


def _files(upkeep: Upkeep) -> list[FileEntry]:
    with upkeep.state.lock:
        upkeep.state.refresh()
        return [f for days in upkeep.state.files.values() for day in days.values() for f in day]


@dataclass
class _Repair:
    upkeep: Upkeep
    actor: str
    now: datetime
    mended: list[Mended] = field(default_factory=list)

    def mend(self, finding: Finding, file: FileEntry | None) -> None:
        match finding.trouble:
            case Trouble.KEYS if file is not None:
                self._keys(file)
            case Trouble.MISSING if file is not None:
                self._remove(file, finding, None)
            case Trouble.DAMAGED if file is not None:
                self._damaged(file, finding)
            case Trouble.PROFILE if finding.hour is not None:
                rows = remake(self.upkeep, finding.hour)
                if rows is not None:
                    text = f"the profile was made anew of {rows:,} rows"
                    self.mended.append(Mended(finding.path, text))
            case Trouble.SET_ASIDE:
                self._set_aside(self.upkeep.root / finding.path, finding.path)
                text = "set aside; its whole frames are in files"
                self.mended.append(Mended(finding.path, text))
            case Trouble.SEGMENT_GONE:
                self.upkeep.catalogue.forget([Path(finding.path).name])
                self.mended.append(Mended(finding.path, finding.text))
            case _:
                pass  # stays a finding: what is true cannot be told from what is there

    def _keys(self, file: FileEntry) -> None:
        store, path = self.upkeep.store, PurePosixPath(key_path(file.path))
        store.forget(file)
        keys = make_keys(file.kind, store.read(file, IDENTITY[file.kind], cache=False), store.salt)
        with store.place.bench(str(path.parent)) as bench:
            temporary = bench / f"{path.name}.tmp"
            write_keys(temporary, [keys], len(keys))
            store.place.put(temporary, str(path))
        self.mended.append(Mended(file.path, "its key file was made anew"))

    def _damaged(self, file: FileEntry, finding: Finding) -> None:
        place, paths = self.upkeep.store.place, (file.path, key_path(file.path))
        # A copy first: what is not part of the log is swept.
        for path in paths:
            with suppress(FileNotFoundError), place.whole(path) as whole:
                self._set_aside(whole, path, keep=True)
        new = write_again(self.upkeep.store, file, self._groups(file))
        self._remove(file, finding, new)
        for path in paths:
            place.delete(path)

    def _remove(self, file: FileEntry, finding: Finding, new: FileEntry | None) -> None:
        recovered = 0 if new is None else new.rows
        lost = max(finding.rows - recovered, 0)
        counts = ((file.kind.name.lower(), float(lost)), ("recovered", float(recovered)))
        decision = Decision(
            file.model, self.now, self.actor, REPAIR, file.path, finding.text, counts
        )
        added = [] if new is None else [new]
        self.upkeep.change(Change(added, [file], decisions=[decision]), self.now)
        self.mended.append(Mended(file.path, finding.text, recovered, lost))

    def _groups(self, file: FileEntry) -> Iterator[pa.Table]:
        """Yield the row groups that are as they were written."""
        known = self._known(file)
        with ExitStack() as copies:
            path = copies.enter_context(self.upkeep.store.place.whole(file.path))
            try:
                check_footer(path, file.path)
                opened = copies.enter_context(pq.ParquetFile(path, page_checksum_verification=True))
            except (OSError, pa.ArrowException):
                return
            for number in range(opened.num_row_groups):
                try:
                    table = opened.read_row_group(number)
                    keys, details = identities(file.kind, table, self.upkeep.store.salt)
                except (OSError, pa.ArrowException, KeyError, ValueError):
                    continue
                if known is None:
                    # Without checksums of its pages nothing says that they are right.
                    whole = stated(file.path) is not None
                else:
                    whole = bool(known.find(keys, details)[0].all())
                if whole:
                    yield table

    def _known(self, file: FileEntry) -> Keys | None:
        try:
            with self.upkeep.store.place.whole(key_path(file.path)) as path:
                return read_keys(path, file.rows, check=True)
        except AwayError:
            raise
        except (OSError, ValueError):
            return None

    def _set_aside(self, source: Path, relative: str, *, keep: bool = False) -> None:
        target = self.upkeep.root / DAMAGED / relative
        if not source.exists():
            return
        make_folder(target.parent)
        target.unlink(missing_ok=True)
        if keep:
            sync(source)  # it may be a copy that was fetched
            os.link(source, target)
        else:
            source.rename(target)
        sync(target.parent)
