"""Which way a mean may move."""

from __future__ import annotations

from enum import StrEnum


class Direction(StrEnum):
    """Changes of the mean that count."""

    UP = "up"
    DOWN = "down"
    BOTH = "both"
