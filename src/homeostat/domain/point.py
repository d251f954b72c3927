"""One figure of a series, such as a metric of a window."""

from __future__ import annotations

import math
from dataclasses import dataclass

from homeostat.domain.verdict import Status
from homeostat.domain.window import Window


@dataclass(frozen=True, slots=True)
class Point:
    """A figure of one window.

    Attributes
    ----------
    window : Window
    value : float
    error : float
        Standard error of the value; 0 where it has none.
    rows : int
        Rows behind it.
    """

    window: Window
    value: float
    error: float = 0.0
    rows: int = 0

    @property
    def usable(self) -> bool:
        """Whether value and error are numbers."""
        return math.isfinite(self.value) and math.isfinite(self.error) and self.error >= 0.0

    def unjudged(self, least: int) -> tuple[Status, str] | None:
        """Return why it cannot be judged where `least` rows are needed; None if it can."""
        if not self.usable:
            return Status.NO_DATA, "no figure"
        if self.rows < least:
            return Status.INCONCLUSIVE, f"{self.rows} rows, {least} are needed"
        return None
