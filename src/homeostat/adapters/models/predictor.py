"""What a loaded model looks like to those who call it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.adapters.models.encoding import Encoding
from homeostat.serving.breaker import Transition
from homeostat.serving.circuit import Circuit

T = TypeVar("T")
Ended: TypeAlias = "Callable[[BaseException | None], None]"
Heard: TypeAlias = "Callable[[str, Transition], None]"


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


@runtime_checkable
class MatrixPredictor(Predictor, Protocol):
    """A predictor that works on the matrix of its encoding, and does nothing but compute.

    A gateway may ask it for a few rows without making a table, and in its own thread: it neither
    waits for anything nor hangs.
    """

    @property
    def encoding(self) -> Encoding:
        """How rows become the matrix."""
        ...

    def predict_matrix(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what `predict` returns for a table of which this is the encoded form."""
        ...


@runtime_checkable
class AwaitedPredictor(Predictor, Protocol):
    """A predictor that others do the work for: it can be asked without a thread that waits."""

    @property
    def most(self) -> int:
        """Most calls under way at once."""
        ...

    @property
    def matrix_encoding(self) -> Encoding | None:
        """How rows become the matrix that `begin` takes as well; None if it takes only tables."""
        ...

    def begin(
        self,
        rows: pa.Table | NDArray[np.float64],
        seconds: float,
        read: Callable[[NDArray[np.float64]], T],
        ended: Ended,
    ) -> Future[T]:
        """Ask for what `predict` returns, within so many seconds.

        The future has what `read` makes of it. `ended` is called once, with the error if there is
        one, when nothing of the call is left: later than the future's end if that is cancelled.
        """
        ...


@runtime_checkable
class SpreadPredictor(Predictor, Protocol):
    """A predictor that asks one of several equal endpoints, each behind a breaker of its own."""

    @property
    def circuits(self) -> Mapping[str, Circuit]:
        """The breaker of each endpoint by its name."""
        ...

    def watch(self, heard: Heard) -> None:
        """Have one listener told of each transition of them: (name, transition)."""
        ...


Load = Callable[[Path, str], Predictor]
"""Loads the artifact at a path with the runtime of a flavour; raises ArtifactError."""
