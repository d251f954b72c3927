"""The part of a model registry that moves: aliases and their history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from homeostat.domain.alias import AliasChange


class Aliases(Protocol):
    """Names that point at versions."""

    def aliases(self, model: str) -> Mapping[str, str]:
        """Return the version that each alias points at."""
        ...

    def point(self, change: AliasChange) -> None:
        """Move an alias and append to its history, durably.

        Raises ConflictError if it does not point at ``before``, and NotFoundError if there is no
        such version.
        """
        ...

    def moves(self, model: str) -> tuple[AliasChange, ...]:
        """Return how the aliases moved, oldest first; nothing is ever removed."""
        ...
