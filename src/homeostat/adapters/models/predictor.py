"""What a loaded model looks like to those who call it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


class Predictor(Protocol):
    """A loaded model; safe to call from several threads."""

    @property
    def features(self) -> tuple[str, ...]:
        """Columns that it reads."""
        ...

    def predict(self, table: pa.Table) -> NDArray[np.float64]:
        """Return one score a row, in order; the table may have other columns too.

        A multi-class model returns one probability a class, shape (n, classes), or the index of the
        class if it has none.
        """
        ...


Load = Callable[[Path, str], Predictor]
"""Loads the artifact at a path with the runtime of a flavour; raises ArtifactError."""
