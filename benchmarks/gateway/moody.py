"""Models that fail, hang or lie as they are told: for the soak, and for the gateway's tests."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.adapters.models import Predictor, load_predictor

LONGEST = 20.0


@dataclass
class Backend:
    """What the versions do when asked, by version; may be changed while they are.

    Attributes
    ----------
    errors, answers : dict
        What a version raises, or gives in place of its own answers.
    hanging : set of str
        Versions that wait for `released`, at most `LONGEST` seconds.
    calls : list of str, optional
        Versions that were asked, in order; None: nobody counts.
    meanwhile : callable, optional
        Is called while a version works.
    """

    errors: dict[str, BaseException] = field(default_factory=dict)
    answers: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    hanging: set[str] = field(default_factory=set)
    released: threading.Event = field(default_factory=threading.Event)
    calls: list[str] | None = None
    meanwhile: Callable[[], object] | None = None

    def load(self, path: Path, flavour: str) -> Predictor:
        """Load a version behind these moods."""
        return Moody(self, path.name, load_predictor(path, flavour))


@dataclass
class Moody:
    """A real version with the backend's moods; it is not one that only computes."""

    backend: Backend
    version: str
    real: Predictor

    @property
    def features(self) -> tuple[str, ...]:
        """As of the version."""
        return self.real.features

    def predict(self, table: pa.Table) -> NDArray[np.float64]:
        """Predict, fail, hang or lie."""
        backend, version = self.backend, self.version
        if backend.calls is not None:
            backend.calls.append(version)
        if backend.meanwhile is not None:
            backend.meanwhile()
        if version in backend.hanging:
            backend.released.wait(LONGEST)
        error = backend.errors.get(version)
        if error is not None:
            raise error.with_traceback(None)  # else it grows with each time
        found = backend.answers.get(version)
        return self.real.predict(table) if found is None else found
