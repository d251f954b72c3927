"""Time as a parameter: nobody below the adapters reads a clock."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Source of time for the shell.

    ``now`` is wall time in UTC (time-zone aware), for records. ``monotonic`` is in seconds from an
    arbitrary origin and never runs backwards, for durations.
    """

    def now(self) -> datetime:
        """Return the wall time, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        ...
