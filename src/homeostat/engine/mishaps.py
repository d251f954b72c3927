"""Faults that rows bring out, and ports that are away: what they stop must stop nothing else."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from homeostat.domain.errors import ConflictError, HomeostatError

T = TypeVar("T")

MISHAPS = (ValueError, ArithmeticError, LookupError, TypeError, MemoryError)
"""What a computation raises on values that it was not made for; errors of ports are others."""


def located(error: Exception) -> str:
    """Say what an unforeseen error is and where it was raised."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"


@dataclass(frozen=True, slots=True)
class Bulkhead:
    """Runs parts of a turn so that one that fails on its rows or its ports leaves others alone."""

    problems: list[str] = field(default_factory=list)

    def run(self, what: str, part: Callable[[], T], instead: T) -> T:
        """Return what a part finds; if it fails, `instead`, and note the problem.

        Raises
        ------
        ConflictError
            If another engine was first: nothing of this turn is kept.
        """
        try:
            return part()
        except ConflictError:
            raise
        except HomeostatError as error:
            self.problems.append(f"{what}: {error}")
            return instead
        except MISHAPS as error:
            self.problems.append(f"{what}: a fault in Homeostat: {located(error)}")
            return instead
