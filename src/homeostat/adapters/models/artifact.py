"""What the runtimes of artifacts share: their libraries, files, and the matrix they work on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.adapters.models.encoding import Encoding
from homeostat.domain.errors import ArtifactError

META = "meta.json"


class EncodedPredictor(ABC):
    """A model that works on the matrix of an encoding; a `MatrixPredictor`."""

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding

    @property
    def features(self) -> tuple[str, ...]:
        """Columns that it reads."""
        return self._encoding.features

    @property
    def encoding(self) -> Encoding:
        """How rows become numbers."""
        return self._encoding

    def predict(self, table: pa.Table) -> NDArray[np.float64]:
        """Return one score a row, or shape (n, classes) of a model with several outputs."""
        return self.predict_matrix(self._encoding.matrix(table))

    @abstractmethod
    def predict_matrix(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the scores of encoded rows."""


@contextmanager
def needing(path: Path, library: str, extra: str) -> Iterator[None]:
    """Say what to install if an import below fails; raises ArtifactError."""
    try:
        yield
    except ImportError as error:
        raise ArtifactError(
            f"{path}: {library} is not installed; pip install 'homeostat[{extra}]'"
        ) from error


def read_file(file: Path) -> bytes:
    """Return what a file holds; raises ArtifactError."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{file}: cannot be read: {error}") from error


def check_width(path: Path, model: str, takes: int, encoding: Encoding) -> None:
    """Raise ArtifactError unless a model takes as many features as its encoding gives."""
    named = len(encoding.features)
    if takes != named:
        raise ArtifactError(f"{path}: {model} takes {takes} features, {META} names {named}")


def check_named(takes: int, features: Sequence[str]) -> None:
    """Raise ArtifactError unless as many features are named as a booster takes."""
    if takes != len(features):
        raise ArtifactError(f"the booster takes {takes} features, {len(features)} are named")


def save_encoding(
    folder: Path, features: Sequence[str], categories: Mapping[str, Sequence[str]] | None
) -> None:
    """Write an artifact's encoding, and make its folder if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    known = {name: tuple(values) for name, values in (categories or {}).items()}
    Encoding(tuple(features), known).save(folder / META)
