"""Versions on their way in: each is loaded once at a time, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from homeostat.domain.errors import ArtifactError, HomeostatError, NotFoundError
from homeostat.entrypoints.gateway.lane import Lane

LONGEST_LOAD = 30.0  # seconds that anybody waits for a version
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
LONGEST_REASON = 500  # characters of what a model's code says of itself
T = TypeVar("T")


def said(error: BaseException) -> str:
    """Return what an error says; what is not ours is named with its type, and shortened."""
    return str(error) if isinstance(error, HomeostatError) else repr(error)[:LONGEST_REASON]


@contextmanager
def foreign(what: str) -> Iterator[None]:
    """Turn whatever the code inside raises into ArtifactError; NotFoundError stays.

    Parameters
    ----------
    what : str
        What failed, such as ``"fraud v2 cannot be loaded"``.

    Examples
    --------
    >>> with foreign("fraud v2 cannot be loaded"):
    ...     [][0]
    Traceback (most recent call last):
    homeostat.domain.errors.ArtifactError: fraud v2 cannot be loaded: IndexError('list index ...')
    """
    try:
        yield
    except NotFoundError:
        raise
    except BaseException as error:  # a runtime raises what it likes, also SystemExit
        raise ArtifactError(f"{what}: {said(error)}") from error


def pause(failures: int) -> float:
    """Return the seconds after which a version that failed so often in a row is tried again.

    Examples
    --------
    >>> [pause(failures) for failures in (1, 2, 3, 100)]
    [0.5, 1.0, 2.0, 30.0]
    """
    return min(FIRST_PAUSE * 2.0 ** min(failures - 1, 30), LONGEST_PAUSE)


@dataclass
class _Load(Generic[T]):
    """A load that is under way or has ended."""

    began: float
    failures: int
    future: Future[T] = field(default_factory=Future)
    ended: float = 0.0


class Loads(Generic[T]):
    """Loads versions without waiting for them.

    A version is never loaded twice at once: while a load hangs there is no other. One that failed
    is tried again after a pause that grows.

    Parameters
    ----------
    load : callable
        Loads a version of a model: (model, version).
    monotonic : callable
    """

    def __init__(self, load: Callable[[str, str], T], monotonic: Callable[[], float]) -> None:
        self._load, self._monotonic = load, monotonic
        self._known: dict[tuple[str, str], _Load[T]] = {}
        self._lock = threading.Lock()

    def begin(self, model: str, version: str, *, anew: bool = False) -> Future[T]:
        """Return the load of a version, which may have ended; begin it if it is due.

        Parameters
        ----------
        model, version : str
        anew : bool
            One that failed is due at once.
        """
        with self._lock:
            known = self._known.get((model, version))
            if known is None:
                known = self._begun(model, version, 0)
            elif known.future.done() and known.future.exception() is not None:
                failures = known.failures + 1
                if anew or self._monotonic() >= known.ended + pause(failures):
                    known = self._begun(model, version, failures)
            return known.future

    def overdue(self, model: str, version: str) -> bool:
        """Whether a load has been under way for longer than anybody waits."""
        with self._lock:
            known = self._known.get((model, version))
            return known is not None and self._monotonic() >= known.began + LONGEST_LOAD

    @property
    def loading(self) -> bool:
        """Whether there is a load that somebody may still wait for."""
        with self._lock:
            known = list(self._known.values())
        late = self._monotonic() - LONGEST_LOAD
        return any(not load.future.done() and load.began > late for load in known)

    def forget(self, model: str, keep: Collection[str]) -> None:
        """Forget loads of other versions of a model; those under way when they have ended."""
        with self._lock:
            for name, version in list(self._known):
                done = self._known[name, version].future.done()
                if name == model and version not in keep and done:
                    del self._known[name, version]

    def _begun(self, model: str, version: str, failures: int) -> _Load[T]:
        made = _Load[T](self._monotonic(), failures)
        self._known[model, version] = made
        future = Lane(1, 0).submit(partial(self._run, made, model, version))
        assert future is not None  # an empty lane has a place
        made.future = future
        return made

    def _run(self, made: _Load[T], model: str, version: str) -> T:
        try:
            return self._load(model, version)
        finally:
            made.ended = self._monotonic()
