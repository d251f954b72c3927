"""Memory that was freed, given back to the system."""

from __future__ import annotations

import contextlib
import ctypes


def give_back() -> None:
    """Have the C library give back what is free between what is used, if it is the one of GNU.

    By itself it does so at the end of a heap only: where small arrays came and went between others
    that stay, what they took would stay too.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
