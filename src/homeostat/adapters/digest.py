"""The SHA-256 by which an artifact is known."""

from __future__ import annotations

import hashlib
from pathlib import Path


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, or of a folder's files with their relative paths.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for file_path in sorted(p for p in path.rglob("*") if p.is_file()):
        name = file_path.relative_to(path).as_posix()
        digest.update(f"{sha256(file_path)}  {name}\n".encode())
    return digest.hexdigest()
