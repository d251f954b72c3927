"""Faults in Homeostat that rows may bring out: what they stop must stop nothing else."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

MISHAPS = (ValueError, ArithmeticError, LookupError, TypeError, MemoryError)
"""What a computation raises on values that it was not made for; errors of ports are others."""


def located(error: Exception) -> str:
    """Say what an unforeseen error is and where it was raised."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"


@dataclass(frozen=True, slots=True)
class Bulkhead:
    """Runs parts of a turn so that one that fails on its rows leaves the others alone."""

    problems: list[str] = field(default_factory=list)

    def run(self, what: str, part: Callable[[], T], instead: T) -> T:
        """Return what a part finds; if it fails on its rows, `instead`, and note the problem."""
        try:
            return part()
        except MISHAPS as error:
            self.problems.append(f"{what}: a fault in Homeostat: {located(error)}")
            return instead
