"""Parts of a model registry: aliases and their history, and what only some can tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

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


@runtime_checkable
class Weighing(Protocol):
    """A registry that tells how large artifacts are."""

    def size(self, model: str, version: str) -> int:
        """Return the artifact's bytes; raises NotFoundError, ArtifactError."""
