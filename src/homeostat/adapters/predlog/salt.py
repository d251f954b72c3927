"""The log's salt."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from homeostat.adapters.durable import exclusive, publish
from homeostat.domain.errors import StorageError


def read_salt(root: Path, *, fsync: bool) -> int:
    """Return the log's salt; made with the log, never changed.

    Raises
    ------
    StorageError
        If it cannot be read or made.
    """
    path = root / "salt"
    try:
        if not path.exists():
            with exclusive(root / ".roll.lock"):
                if not path.exists():
                    temporary = root / "salt.tmp"
                    temporary.write_text(secrets.token_hex(8))
                    (publish if fsync else os.replace)(temporary, path)
        return int(path.read_text(), 16)
    except (OSError, ValueError) as error:
        raise StorageError(f"the prediction log's salt {path} cannot be read: {error}") from error
