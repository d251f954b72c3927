"""What must happen to all clients at a fork and at the end of the process."""

from __future__ import annotations

import _thread
import atexit
import os
import signal
import sys
import threading
import time
import weakref
from typing import Protocol

from homeostat_client.shipper import Shipper


class Forkable(Protocol):
    """What has something to do in a forked child."""

    def forked(self) -> None:
        """Begin anew."""


_SHIPPERS: set[Shipper] = set()
_IN_CHILD: weakref.WeakSet[Forkable] = weakref.WeakSet()
_finalised_pid = 0


def started(shipper: Shipper) -> None:
    """Note that a shipper has threads, which the end of the process must wait for."""
    global _finalised_pid
    _SHIPPERS.add(shipper)
    process = sys.modules.get("multiprocessing.process")
    if process is None or process.parent_process() is None or _finalised_pid == os.getpid():
        return
    # A child of multiprocessing ends without atexit.
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        _finalised_pid = os.getpid()
        util.Finalize(None, close_all, exitpriority=10)


def stopped(shipper: Shipper) -> None:
    """Note that a shipper has no threads any more."""
    _SHIPPERS.discard(shipper)


def in_child(owner: Forkable) -> None:
    """Have ``owner.forked()`` called in every forked child, for as long as the owner lives."""
    _IN_CHILD.add(owner)


def close_all() -> None:
    """Deliver what is left, keep the rest on disk: together within the longest exit timeout."""
    shippers = list(_SHIPPERS)
    if not shippers:
        return
    deadline = time.monotonic() + max(found.settings.exit_timeout for found in shippers)
    for shipper in shippers:
        shipper.hasten()
    for shipper in shippers:
        shipper.close(max(0.0, deadline - time.monotonic()))


def close_at_sigterm() -> bool:
    """Have SIGTERM deliver what is left before it ends the process; return whether it will.

    By default that signal ends a Python process at once, as it does under Uvicorn in the end. Only
    where nobody else handles it, and only from the main thread.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return False
    signal.signal(signal.SIGTERM, _end)
    return True


def _end(number: int, _frame: object) -> None:
    # The main thread may hold what those that deliver wait for: it goes on meanwhile.
    signal.signal(number, signal.SIG_DFL)
    _thread.start_new_thread(_deliver_and_end, (number,))


def _deliver_and_end(number: int) -> None:
    close_all()
    os.kill(os.getpid(), number)


def _forked() -> None:
    shippers = list(_SHIPPERS)
    _SHIPPERS.clear()
    for shipper in shippers:
        shipper.forked()
    for owner in list(_IN_CHILD):
        owner.forked()


atexit.register(close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
