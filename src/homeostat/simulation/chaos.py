"""Faults at every call of a port and every commit: what a controller must live through.

Each call of a port and each commit is a step. At a step the controller may die before or after it,
the port may fail before or after it did what was asked (the answer is lost), be away for a while,
or another control plane may be first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar, cast

import numpy as np

from homeostat.domain.errors import DeliveryError, HomeostatError, StorageError, TrainingError
from homeostat.engine.ports import (
    Notifier,
    Ports,
    PredictionLog,
    Records,
    Registry,
    Routes,
    Scorer,
    Trainer,
    UnitOfWork,
)

T = TypeVar("T")
LOST = "the answer was lost"
SORTS = ("dies before", "dies after", "fails", "loses the answer", "is away", "is overtaken")
SHARES = (0.25, 0.25, 0.15, 0.15, 0.1, 0.1)


class Killed(BaseException):
    """The controller is gone; nothing of the engine may catch this."""


@dataclass
class Chaos:
    """Decides at each step what happens there."""

    rng: np.random.Generator
    rate: float
    on: bool = False
    steps: int = 0
    happened: Counter[str] = field(default_factory=Counter)
    away: dict[str, int] = field(default_factory=dict)
    rival: Callable[[], None] = lambda: None

    def around(self, port: str, what: str, do: Callable[[], T]) -> T:
        """Do a step, or have it fail."""
        with self.step(port, what):
            return do()

    @contextmanager
    def step(self, port: str, what: str) -> Iterator[None]:
        """Have something happen before or after what the block does."""
        sort = self._sort(port)
        if sort:
            self.happened[f"{port}.{what} {sort}"] += 1
        if sort == "dies before":
            raise Killed(f"{port}.{what}")
        if sort in {"fails", "is away"}:
            raise _error(port, f"{port}.{what} {sort}")
        if sort == "is overtaken":
            self.rival()
        yield
        if sort == "dies after":
            raise Killed(f"{port}.{what}")
        if sort == "loses the answer":
            raise _error(port, LOST)

    def _sort(self, port: str) -> str:
        if not self.on:
            return ""
        self.steps += 1
        if self.away.get(port, 0) > 0:
            self.away[port] -= 1
            return "is away"
        if self.rng.random() >= self.rate:
            return ""
        sort = str(self.rng.choice(SORTS, p=SHARES))
        if sort == "is away":
            self.away[port] = int(self.rng.integers(1, 40))
        return sort

    @contextmanager
    def calm(self) -> Iterator[None]:
        """Let nothing happen in the block."""
        before, self.on = self.on, False
        try:
            yield
        finally:
            self.on = before


def _error(port: str, text: str) -> HomeostatError:
    kinds: dict[str, type[HomeostatError]] = {
        "trainer": TrainingError,
        "notifier": DeliveryError,
    }
    return kinds.get(port, StorageError)(text)


class Faulty:
    """A port between the engine and a port."""

    def __init__(self, port: object, name: str, chaos: Chaos) -> None:
        self.port, self.name, self.chaos = port, name, chaos

    def __getattr__(self, what: str) -> Callable[..., object]:
        found: Callable[..., object] = getattr(self.port, what)
        return lambda *given, **named: self.chaos.around(
            self.name, what, lambda: found(*given, **named)
        )


class FaultyRecords(Faulty):
    """Records whose units of work may end anywhere."""

    @contextmanager
    def begin(self) -> Iterator[UnitOfWork]:
        """Open a unit of work."""
        inner = cast(Records, self.port).begin()
        self.chaos.around("store", "begin", lambda: None)
        unit = inner.__enter__()
        try:
            yield unit
        except BaseException as error:
            inner.__exit__(type(error), error, error.__traceback__)
            raise
        with self.chaos.step("store", "commit"):
            inner.__exit__(None, None, None)


def faulty(real: Ports, chaos: Chaos, scorer: Callable[[Registry], Scorer]) -> Ports:
    """Return ports between which and the real ones things happen.

    Parameters
    ----------
    real : Ports
    chaos : Chaos
    scorer : callable
        Makes a scorer of a registry: what it reads of the registry fails, too.
    """
    registry = cast(Registry, Faulty(real.registry, "registry", chaos))
    notifiers = {
        name: cast(Notifier, Faulty(each, "notifier", chaos))
        for name, each in real.notifiers.items()
    }
    trainers = {
        name: cast(Trainer, Faulty(each, "trainer", chaos)) for name, each in real.trainers.items()
    }
    return Ports(
        records=cast(Records, FaultyRecords(real.records, "store", chaos)),
        log=cast(PredictionLog, Faulty(real.log, "log", chaos)),
        registry=registry,
        scorer=scorer(registry),
        routes=cast(Routes, Faulty(real.routes, "routes", chaos)),
        notifiers=notifiers,
        trainers=trainers,
        manners=real.manners,
    )
