"""The control plane's background work: ticks on schedule and rolls the log, until told to stop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from homeostat.domain.clock import Clock
from homeostat.domain.errors import HomeostatError
from homeostat.engine.loop import Engine
from homeostat.engine.ports import PredictionLog

logger = logging.getLogger(__name__)

ROLL_EVERY = timedelta(minutes=5)


@dataclass
class Worker:
    """Ticks an engine in a thread of its own.

    Whatever fails is logged and tried again at the next tick; it never ends the loop, and a log
    that cannot be rolled does not keep the engine from looking. `stop` lets the tick under way
    finish.

    Parameters
    ----------
    engine : Engine
    log : PredictionLog
        Rolled every `roll_every`.
    clock : Clock
    every : timedelta
        Time between the starts of two ticks.
    """

    engine: Engine
    log: PredictionLog
    clock: Clock
    every: timedelta
    roll_every: timedelta = ROLL_EVERY
    problems: tuple[str, ...] = ()
    last_tick: datetime | None = None
    _stop: threading.Event = field(default_factory=threading.Event, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)
    _rolled: float | None = field(default=None, init=False)

    def start(self) -> None:
        """Begin to tick."""
        self._thread = threading.Thread(target=self._run, name="homeostat-worker", daemon=True)
        self._thread.start()

    def stop(self, seconds: float = 60.0) -> bool:
        """Let the tick under way finish and stop; False if that takes longer."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(seconds)
            return not self._thread.is_alive()
        return True

    def _run(self) -> None:
        while not self._stop.is_set():
            began = self.clock.monotonic()
            self.once()
            spent = self.clock.monotonic() - began
            self._stop.wait(max(self.every.total_seconds() - spent, 0.0))

    def once(self) -> None:
        """Roll if it is time, and tick."""
        before, self.problems = self.problems, (*_attempt(self._roll), *_attempt(self._tick))
        for problem in self.problems:
            if problem not in before:
                logger.error("%s", problem)
        if before and not self.problems:
            logger.info("well again")

    def _tick(self) -> tuple[str, ...]:
        now = self.clock.now()
        problems = self.engine.tick(now)
        self.last_tick = now
        return problems

    def _roll(self) -> tuple[str, ...]:
        moment = self.clock.monotonic()
        if self._rolled is None or moment - self._rolled >= self.roll_every.total_seconds():
            self.log.roll(self.clock.now())
            self._rolled = moment
        return ()


def _attempt(work: Callable[[], tuple[str, ...]]) -> tuple[str, ...]:
    """Return what went wrong, in words."""
    try:
        return work()
    except (HomeostatError, OSError) as error:
        return (str(error),)
    except Exception as error:
        logger.exception("a fault in Homeostat; the next tick tries again")
        return (f"{type(error).__name__}: {error}",)
