"""What a model makes of rows: one score a row and, of several classes, their probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from homeostat.domain.admission import RANGE_SLACK, SUM_SLACK, class_indices
from homeostat.domain.columns import Floats as Column
from homeostat.domain.columns import float_array
from homeostat.domain.errors import ArtifactError
from homeostat.domain.model import ModelSpec, Task
from homeostat.domain.record import PROBABILITIES

Floats = NDArray[np.float64]
FEW = 32


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Answers to n rows.

    Attributes
    ----------
    scores : float64 array of shape (n,)
        What the task asks for: probability of the positive class, class index, or number. NaN
        where the model gave nothing that can be used.
    probabilities : float64 array of shape (n, classes), or None
        Of a multi-class model that gives them and whose classes are named; a row of NaN where its
        score is NaN.
    """

    scores: Floats
    probabilities: Floats | None = None

    def take(self, rows: NDArray[np.intp]) -> Answers:
        """Return the answers to some of the rows, by index."""
        chances = None if self.probabilities is None else self.probabilities[rows]
        return Answers(self.scores[rows], chances)


def read_outputs(spec: ModelSpec, outputs: ArrayLike, rows: int) -> Answers:
    """Hold a model to its promise and turn its outputs into answers.

    Parameters
    ----------
    spec : ModelSpec
    outputs : array_like
        Shape (rows,), or (rows, classes) with one probability a class. A multi-class row that is
        not finite, in [0, 1] and of sum 1 is no answer, nor is a number that is no class index, or
        of a binary model one that is not in [0, 1].
    rows : int

    Raises
    ------
    ArtifactError
        If the outputs have another shape.

    Examples
    --------
    >>> from datetime import timedelta
    >>> from homeostat.domain.model import LabelSpec, Schema
    >>> labels = LabelSpec(timedelta(days=1))
    >>> spec = ModelSpec("tone", Task.MULTICLASS, Schema(()), labels, classes=("bad", "so", "good"))
    >>> read_outputs(spec, [[0.1, 0.2, 0.7], [0.5, 0.3, 0.2]], rows=2).scores.tolist()
    [2.0, 0.0]
    """
    given = np.asarray(outputs, dtype=np.float64)
    if given.shape == (rows,):
        if spec.task is Task.MULTICLASS:
            given = np.where(class_indices(spec, given), given, np.nan)
        return Answers(_chances(given) if spec.task is Task.BINARY else given)
    columns = given.shape[1] if given.ndim == 2 and given.shape[0] == rows else 0
    if spec.task is Task.BINARY and columns == 2:
        return Answers(_chances(given[:, 1]))
    named = len(spec.classes)
    if spec.task is not Task.MULTICLASS or columns < 2 or (named and columns != named):
        raise ArtifactError(f"{rows} rows gave scores of shape {given.shape}")
    with np.errstate(invalid="ignore"):
        sound = ((given >= -RANGE_SLACK) & (given <= 1 + RANGE_SLACK)).all(axis=1)
        sound &= np.abs(given.sum(axis=1) - 1) <= SUM_SLACK
    likeliest = np.where(sound, np.where(sound[:, None], given, 0.0).argmax(axis=1), np.nan)
    chances = np.where(sound[:, None], np.clip(given, 0.0, 1.0), np.nan)
    return Answers(likeliest, chances if named else None)


def _chances(given: Floats) -> Floats:
    """Return probabilities without rounding errors, NaN for what is none."""
    # A few numbers are looked at sooner as Python's own.
    if len(given) <= FEW and all([0.0 <= number <= 1.0 for number in given.tolist()]):  # noqa: C419
        return given
    with np.errstate(invalid="ignore"):
        sound = (given >= -RANGE_SLACK) & (given <= 1 + RANGE_SLACK)
    return np.where(sound, np.clip(given, 0.0, 1.0), np.nan)


def probability_lists(probabilities: Floats | None, rows: int) -> pa.Array[pa.Scalar[pa.DataType]]:
    """Return probabilities as a column of prediction records; null where a row has a NaN.

    Parameters
    ----------
    probabilities : float64 array of shape (rows, classes), or None
        None: there are none.
    rows : int

    Examples
    --------
    >>> probability_lists(np.array([[0.25, 0.75], [np.nan, np.nan]]), rows=2).to_pylist()
    [[0.25, 0.75], None]
    """
    kind = pa.list_(pa.float64())
    if probabilities is None:
        return pa.nulls(rows, kind)
    present = np.isfinite(probabilities).all(axis=1)
    ends = np.cumsum(np.where(present, probabilities.shape[1], 0))
    offsets = pa.array(np.concatenate([[0], ends]), pa.int32())
    values = pa.array(probabilities[present].ravel(), pa.float64())
    return pa.ListArray.from_arrays(offsets, values, mask=pa.array(np.logical_not(present)))


def probability_array(table: pa.Table, classes: int) -> Floats:
    """Return the probabilities of prediction records, shape (n, classes); NaN where there are none.

    A row with another number of them has none of these classes.

    Examples
    --------
    >>> rows = pa.table({"probabilities": [[0.25, 0.75], None]})
    >>> probability_array(rows, classes=2).tolist()
    [[0.25, 0.75], [nan, nan]]
    """
    lists = table.column(PROBABILITIES)
    sizes = float_array(pc.list_value_length(lists).cast(pa.float64()))
    fits = sizes == classes
    flat = cast("Column", pc.list_flatten(lists.filter(pa.array(fits))))
    result = np.full((table.num_rows, classes), np.nan)
    result[fits] = float_array(flat).reshape(-1, classes)
    return result
