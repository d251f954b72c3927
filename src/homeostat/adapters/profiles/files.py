"""Profiles in files that survive a power cut; the format is `homeostat.profiles.format`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from homeostat.adapters.durable import publish
from homeostat.domain.errors import DataError, NotFoundError
from homeostat.profiles.format import from_bytes, to_bytes
from homeostat.profiles.profile import Profile


def save_profile(profile: Profile, path: Path) -> None:
    """Write a profile to a file, in place of what was there; a reader sees the old or the new one.

    Raises
    ------
    NotFoundError
        If the folder does not exist.
    DataError
        If the file cannot be written.

    Examples
    --------
    >>> from homeostat.profiles.profile import EMPTY
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_profile(EMPTY, Path(folder, "monday.profile"))
    ...     load_profile(Path(folder, "monday.profile")) == EMPTY
    True
    """
    write_file(to_bytes(profile), path)


def load_profile(path: Path) -> Profile:
    """Read a profile that `save_profile` wrote.

    Raises
    ------
    NotFoundError
        If there is no such file.
    DataError
        If it is not a profile, of a newer format, cut short or changed.
    """
    try:
        return from_bytes(path.read_bytes())
    except FileNotFoundError:
        raise NotFoundError(f"there is no file {path}; check the path") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error


def write_file(data: bytes, path: Path) -> None:
    """Put a file in place durably, whole or not at all; raises as `save_profile`."""
    if not path.parent.is_dir():
        raise NotFoundError(f"there is no folder {path.parent}; create it first")
    if path.is_dir():
        raise DataError(f"{path} is a folder; name a file to write the profile to")
    temporary: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            temporary = Path(file.name)
            file.write(data)
        temporary.chmod(0o644)
        publish(temporary, path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from error
