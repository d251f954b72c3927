"""Calls on their way into the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.adapters.predlog.frames import Kind


@dataclass(eq=False)
class Sent:
    """Rows of one call on their way into the log, and what became of them.

    ``fresh`` says which are stored now, ``other`` which are taken by another content.
    """

    kind: Kind
    model: str
    rows: pa.Table
    fresh: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    other: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))


def alike(group: Sequence[Sent]) -> list[list[Sent]]:
    """Return the calls of each model, kind and schema, in their order."""
    parts: list[list[Sent]] = []
    for item in group:
        for part in parts:
            first = part[0]
            if (item.kind, item.model) == (
                first.kind,
                first.model,
            ) and item.rows.schema.equals(first.rows.schema, check_metadata=True):
                part.append(item)
                break
        else:
            parts.append([item])
    return parts
