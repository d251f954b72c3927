"""Long-lived processes give up what is part of the log no more, however idle they are."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from homeostat.domain.clock import Clock
from homeostat.domain.errors import HomeostatError

logger = logging.getLogger(__name__)

EVERY = 60.0  # seconds


class Releases(Protocol):
    """What is asked of a prediction log."""

    def release(self) -> None:
        """Let go of rows that are part of the log no more."""
        ...


@dataclass
class Release:
    """Has a log let go of what is gone, every so often.

    Parameters
    ----------
    log : Releases
    clock : Clock
    every : float
        Seconds between two times.
    """

    log: Releases
    clock: Clock
    every: float = EVERY
    _due: float = field(init=False)

    def __post_init__(self) -> None:
        self._due = self.clock.monotonic() + self.every

    def step(self) -> None:
        """Do it if it is time; what goes wrong is told, and tried again the next time."""
        moment = self.clock.monotonic()
        if moment < self._due:
            return
        self._due = moment + self.every
        try:
            self.log.release()
        except (HomeostatError, OSError, pa.ArrowException) as error:
            logger.warning("what is gone from the log may be held in memory still: %s", error)
