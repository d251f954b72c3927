"""What a log or a disk raises that is to be tried again later."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from homeostat.domain.errors import HomeostatError, OverloadError, StorageError

AWAY: tuple[type[Exception], ...] = (StorageError, OverloadError, OSError)
REFUSED: tuple[type[Exception], ...] = (HomeostatError, pa.ArrowException)
"""What trying again does not change, where it is none of `AWAY`."""


@contextmanager
def later(what: str, *known: type[Exception]) -> Iterator[None]:
    """Make a StorageError of what is neither one of `AWAY` nor of `known`.

    Examples
    --------
    >>> with later("the log"):
    ...     raise RuntimeError("of a driver")
    Traceback (most recent call last):
    homeostat.domain.errors.StorageError: the log failed: RuntimeError: of a driver
    """
    try:
        yield
    except (*AWAY, *known):
        raise
    except Exception as error:
        # Drivers raise what they like, and a thread that ended would write nothing any more.
        raise StorageError(f"{what} failed: {type(error).__name__}: {error}") from error
