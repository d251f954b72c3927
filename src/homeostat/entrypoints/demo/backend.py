"""A model backend that hangs when told to."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.adapters.models import Load, Predictor

LONGEST_HANG = 30.0


class Backend:
    """Model loading with a switch that makes every model loaded through it hang.

    Parameters
    ----------
    load : callable
        The real loader.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._answering = threading.Event()
        self._answering.set()

    def hang(self) -> None:
        """Let every call wait from now on."""
        self._answering.clear()

    def recover(self) -> None:
        """Answer again, hanging calls included."""
        self._answering.set()

    def load(self, path: Path, flavour: str) -> Predictor:
        """Load an artifact; what is loaded obeys the switch."""
        return _Hangable(self._load(path, flavour), self._answering)


class _Hangable:
    def __init__(self, predictor: Predictor, answering: threading.Event) -> None:
        self._predictor, self._answering = predictor, answering

    @property
    def features(self) -> tuple[str, ...]:
        return tuple(self._predictor.features)

    def predict(self, table: pa.Table) -> NDArray[np.float64]:
        self._answering.wait(LONGEST_HANG)
        return self._predictor.predict(table)
