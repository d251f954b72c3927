"""What a trainer may say of itself, besides what the engine needs of it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Sourced(Protocol):
    """A trainer that can say which code it runs."""

    def source(self) -> str:
        """Return a reference to the code, as exact as can be had; for the manifest."""
        ...
