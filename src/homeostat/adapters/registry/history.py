"""How a model's aliases moved: a file that only grows, one JSON object a line."""

from __future__ import annotations

import os
from pathlib import Path

from homeostat.adapters.durable import sync
from homeostat.adapters.records.codec import decode, encode
from homeostat.domain.alias import AliasChange, pointing
from homeostat.domain.errors import ConflictError

HISTORY = "aliases.jsonl"


def read(file: Path) -> tuple[tuple[AliasChange, ...], int]:
    """Return the changes in a file, and where the last whole one ends.

    A last line without its end was never acknowledged: the machine stopped while it was written.

    Raises
    ------
    OSError
        If it cannot be read.
    StorageError
        If a line is no change.
    """
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return (), 0
    whole = data.rfind(b"\n") + 1
    lines = data[:whole].decode(errors="replace").splitlines()
    return tuple(decode(line, AliasChange) for line in lines), whole


def append(file: Path, change: AliasChange) -> None:
    """Append a change, durably; the caller holds the model's lock.

    Raises
    ------
    ConflictError
        If the alias does not point at ``change.before``.
    OSError
        If the disk fails; the change is not in the history then.
    StorageError
        If the file is damaged.
    """
    changes, end = read(file)
    found = pointing(changes).get(change.alias, "")
    if found != change.before:
        raise ConflictError(
            f"the alias {change.alias} of {change.model} points at {found or 'no version'}, "
            f"not at {change.before or 'none'} any more; look again and decide anew"
        )
    new = not file.exists()
    with file.open("ab") as handle:
        handle.truncate(end)
        try:
            handle.write(f"{encode(change)}\n".encode())
            handle.flush()
            os.fsync(handle.fileno())
        except OSError:
            handle.truncate(end)
            raise
    if new:
        sync(file.parent)
