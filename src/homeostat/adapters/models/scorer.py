"""Scores rows with registered versions, outside the serving path."""

from __future__ import annotations

import threading

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.adapters.models.loading import load_predictor
from homeostat.adapters.models.predictor import Load, Predictor
from homeostat.domain.answers import Answers, read_outputs
from homeostat.domain.errors import ArtifactError, HomeostatError
from homeostat.domain.model import ModelSpec
from homeostat.engine.ports import Registry

LONGEST = 300  # characters of what a model said


class RegistryScorer:
    """Implements the port ``Scorer``; keeps the versions used last in memory.

    Parameters
    ----------
    registry : Registry
        Where artifacts come from, hash-checked.
    load : callable
        Turns an artifact into a predictor.
    keep : int
        Most versions kept loaded.
    """

    def __init__(self, registry: Registry, load: Load = load_predictor, keep: int = 8) -> None:
        self._registry, self._load, self._keep = registry, load, keep
        self._loaded: dict[tuple[str, str], Predictor] = {}
        self._lock = threading.Lock()

    def score(self, spec: ModelSpec, version: str, rows: pa.Table) -> NDArray[np.float64]:
        """Return one score a row, in order; raises as `answer`."""
        return self.answer(spec, version, rows).scores

    def answer(self, spec: ModelSpec, version: str, rows: pa.Table) -> Answers:
        """Return scores and, of a multi-class version that gives them, probabilities.

        Raises
        ------
        NotFoundError
            If the version is not registered.
        ArtifactError
            If it cannot be loaded, raises what it likes, or gives something else than one number a
            row, or one a class.
        """
        predictor = self._predictor(spec.name, version)
        try:
            return read_outputs(spec, predictor.predict(rows), rows.num_rows)
        except ArtifactError as error:
            raise ArtifactError(f"{spec.name} {version}: {error}") from error
        except HomeostatError:
            raise  # a server elsewhere that is away says nothing about the version
        except Exception as error:  # a user's model, which may raise anything
            said = f"{type(error).__name__}: {str(error)[:LONGEST]}"
            raise ArtifactError(f"{spec.name} {version} raised {said}") from error

    def _predictor(self, model: str, version: str) -> Predictor:
        key = (model, version)
        with self._lock:
            if key not in self._loaded:
                card = self._registry.get(model, version)
                predictor = self._load(self._registry.path(model, version), card.flavour)
                self._loaded[key] = predictor
            self._loaded[key] = self._loaded.pop(key)
            while len(self._loaded) > self._keep:
                del self._loaded[next(iter(self._loaded))]
            return self._loaded[key]
