"""The control plane's background work: ticks on schedule and rolls the log, until told to stop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from homeostat.domain.clock import Clock
from homeostat.domain.errors import HomeostatError
from homeostat.engine.lease import Leadership
from homeostat.engine.loop import Engine
from homeostat.engine.ports import PredictionLog
from homeostat.entrypoints.release import Release

logger = logging.getLogger(__name__)

ROLL_EVERY = timedelta(minutes=5)


@dataclass
class Pulse:
    """What a worker's ticks came to so far; written by its thread alone.

    Attributes
    ----------
    ticks, failed : int
        Failed ones had a problem in them, or could not roll the log.
    seconds : float
        Time that they took.
    succeeded : datetime or None
        The newest that went well.
    leads : bool
        Whether this process is the one that ticks.
    """

    ticks: int = 0
    failed: int = 0
    seconds: float = 0.0
    succeeded: datetime | None = None
    leads: bool = False


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
        Rolled every `roll_every`, and between ticks once `full` is set; tidied up beside them.
    clock : Clock
    every : timedelta
        Time between the starts of two ticks.
    full : threading.Event
        The log's own sign that so much has landed that a roll should not wait.
    leadership : Leadership, optional
        With it, only what leads ticks and tidies up; any rolls a full log.
    chore : callable, optional
        Further work of what leads, as often as it ticks, in a thread of its own: it may take long,
        and should end early once `stopping`. It returns what went wrong.
    release : Release, optional
        Has what is gone from the log let go of; also while another one leads.
    pulse : Pulse
        Where it counts its ticks.
    """

    engine: Engine
    log: PredictionLog
    clock: Clock
    every: timedelta
    roll_every: timedelta = ROLL_EVERY
    full: threading.Event = field(default_factory=threading.Event)
    leadership: Leadership | None = None
    chore: Callable[[], tuple[str, ...]] | None = None
    release: Release | None = None
    pulse: Pulse = field(default_factory=Pulse)
    problems: tuple[str, ...] = ()
    last_tick: datetime | None = None
    _stop: threading.Event = field(default_factory=threading.Event, init=False)
    _wake: threading.Event = field(default_factory=threading.Event, init=False)
    _threads: tuple[threading.Thread, ...] = field(default=(), init=False)
    _rolled: float | None = field(default=None, init=False)

    def start(self) -> None:
        """Begin to tick."""
        work = {"worker": self._run, "upkeep": self._keep_up, "tidy": self._keep_tidy}
        if self.leadership is not None:
            work["lease"] = partial(self._lead, self.leadership)
        if self.chore is not None:
            work["chore"] = partial(self._do, self.chore)
        self._threads = tuple(
            threading.Thread(target=target, name=f"homeostat-{name}", daemon=True)
            for name, target in work.items()
        )
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float = 60.0) -> bool:
        """Let the tick under way finish and stop; False if that takes longer."""
        self._stop.set()
        self.full.set()
        self._wake.set()
        ends = self.clock.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(ends - self.clock.monotonic(), 0.0))
        ended = not any(thread.is_alive() for thread in self._threads)
        if ended and self.leadership is not None:
            _attempt(self._resign)
        return ended

    @property
    def leads(self) -> bool:
        """Whether this one ticks."""
        return self.leadership is None or self.leadership.leads(self.clock.monotonic())

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()

    def _do(self, chore: Callable[[], tuple[str, ...]]) -> None:
        before: tuple[str, ...] = ()
        while not self._stop.is_set():
            if self.leads:
                problems = _attempt(chore)
                for problem in problems:
                    if problem not in before:
                        logger.error("%s", problem)
                before = problems
            self._stop.wait(self.every.total_seconds())

    def _run(self) -> None:
        while not self._stop.is_set():
            began = self.clock.monotonic()
            self._wake.clear()
            if self.release is not None:
                self.release.step()
            self.pulse.leads = self.leads
            if self.pulse.leads:
                self.once()
            spent = self.clock.monotonic() - began
            self._wait(max(self.every.total_seconds() - spent, 0.0))

    def _wait(self, seconds: float) -> None:
        if not self._stop.is_set():
            self._wake.wait(seconds)

    def _lead(self, leadership: Leadership) -> None:
        """Beat, or wait for the leader to fall silent; who wins begins to tick at once."""
        led = False
        while not self._stop.is_set():
            for problem in _attempt(self._beat):
                logger.error("the lease: %s", problem)
            if self.leads != led:
                led = not led
                logger.info("%s %s", leadership.holder, "leads" if led else "does not lead")
                if led:
                    self._wake.set()
            self._stop.wait(leadership.beat)

    def _beat(self) -> tuple[str, ...]:
        assert self.leadership is not None
        moment = self.clock.monotonic()  # before the records are asked: they may take long
        self.leadership.step(self.clock.now(), moment)
        return ()

    def _resign(self) -> tuple[str, ...]:
        assert self.leadership is not None
        self.leadership.resign()
        return ()

    def _keep_up(self) -> None:
        """Roll as soon as the log is full."""
        while self.full.wait() and not self._stop.is_set():
            self.full.clear()
            self._see_to(self._roll_now)

    def _keep_tidy(self) -> None:
        """Tidy the log up now and then; while that takes long, what lands is rolled."""
        while not self._stop.wait(self.roll_every.total_seconds()):
            if self.leads:
                self._see_to(self._tidy)

    def _see_to(self, work: Callable[[], tuple[str, ...]]) -> None:
        for problem in _attempt(work):
            logger.error("%s", problem)
            self._stop.wait(self.every.total_seconds())

    def once(self) -> None:
        """Roll if it is time, and tick."""
        began = self.clock.monotonic()
        before, self.problems = self.problems, (*_attempt(self._roll), *_attempt(self._tick))
        self._count(self.clock.monotonic() - began)
        for problem in self.problems:
            if problem not in before:
                logger.error("%s", problem)
        if before and not self.problems:
            logger.info("well again")

    def _count(self, seconds: float) -> None:
        self.pulse.ticks += 1
        self.pulse.seconds += seconds
        if self.problems:
            self.pulse.failed += 1
        else:
            self.pulse.succeeded = self.last_tick

    def _tick(self) -> tuple[str, ...]:
        now = self.clock.now()
        problems = self.engine.tick(now)
        self.last_tick = now
        return problems

    def _roll(self) -> tuple[str, ...]:
        moment = self.clock.monotonic()
        if self._rolled is None or moment - self._rolled >= self.roll_every.total_seconds():
            self._roll_now()
            self._rolled = moment
        return ()

    def _tidy(self) -> tuple[str, ...]:
        self.log.tidy(self.clock.now())
        return ()

    def _roll_now(self) -> tuple[str, ...]:
        self.log.roll(self.clock.now())
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
