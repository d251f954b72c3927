"""Assertions about errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def must_raise(kind: type[Exception]) -> Iterator[None]:
    """Check that the block raises `kind`.

    Examples
    --------
    >>> with must_raise(ValueError):
    ...     int("x")
    """
    try:
        yield
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was not raised")
