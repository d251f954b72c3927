"""Figures about the log."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LogStatus:
    """Figures about the log.

    ``files`` and ``bytes`` are of columnar files; ``landed`` rows wait for a roll.
    ``damaged`` segments were set aside: rows in them may be lost. ``place`` is where the files lie,
    ``trouble`` why it does not answer: meanwhile rows land and wait.
    """

    predictions: int
    labels: int
    files: int
    bytes: int
    landed: int
    segments: int
    damaged: int = 0
    place: str = ""
    trouble: str = ""

    @property
    def rows(self) -> int:
        """Predictions and labels, landed ones included."""
        return self.predictions + self.labels
