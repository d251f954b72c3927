"""``hs.importance``: which columns a model lives on, with intervals, and whether that changes.

What permutation importance can say and cannot is in `homeostat.detectors.importance.permutation`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike

from homeostat.detectors.importance.groups import correlated_groups
from homeostat.detectors.importance.permutation import (
    Importance,
    ImportanceConfig,
    Losses,
    Score,
)
from homeostat.detectors.importance.permutation import importance as measure
from homeostat.detectors.importance.shift import ImportanceShift, importance_shift
from homeostat.domain.errors import DataError
from homeostat.domain.losses import row_losses
from homeostat.domain.model import Task
from homeostat.domain.predictions import PredictionSpec
from homeostat.domain.text import lines
from homeostat.entrypoints.frames import Data
from homeostat.entrypoints.predictions import read_predictions
from homeostat.entrypoints.seeds import generator

SHOWN_COLUMNS = 30
DEFAULT = ImportanceConfig()


@dataclass(frozen=True, slots=True, repr=False)
class ImportanceReport:
    """The importance of every column, the most important first.

    Attributes
    ----------
    columns : tuple of Importance
        Those that could not be measured come last.
    problems : tuple of str
        What was wrong with rows and what was done about it.
    """

    columns: tuple[Importance, ...]
    problems: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Importance:
        for one in self.columns:
            if name == one.name or name in one.columns:
                return one
        raise KeyError(name)

    def shift(
        self, later: ImportanceReport, alpha: float = 0.05, effect: float = 0.1
    ) -> tuple[ImportanceShift, ...]:
        """Compare with the same model's importance on other rows.

        Parameters
        ----------
        later : ImportanceReport
        alpha : float
            Chance of any false "drift" over all columns.
        effect : float
            Difference that matters, as a share of the largest importance.
        """
        return importance_shift(self.columns, later.columns, alpha, effect)

    def to_dict(self) -> dict[str, object]:
        """Return it as JSON has it: a figure that does not exist is None."""
        return {"columns": [_plain(one) for one in self.columns], "problems": list(self.problems)}

    def __str__(self) -> str:
        shown = [_line(one) for one in self.columns[:SHOWN_COLUMNS]]
        hidden = len(self.columns) - len(shown)
        more = [f"... and {hidden:,} more columns"] if hidden > 0 else []
        return lines([*shown, *more, *self.problems])

    def __repr__(self) -> str:
        return f"<ImportanceReport: {len(self.columns)} columns>"


def importance(
    data: Data,
    spec: PredictionSpec,
    score: Score,
    *,
    groups: Sequence[Sequence[str]] | Literal["correlated"] | None = None,
    losses: Losses | None = None,
    config: ImportanceConfig = DEFAULT,
    seed: int = 0,
) -> ImportanceReport:
    """Measure by how much a model's loss rises when a column's values change places between rows.

    Parameters
    ----------
    data : dataframe, mapping of columns or path
        Rows with labels that the model was not trained on: on others, noise learnt by heart looks
        important.
    spec : PredictionSpec
        Which columns are what; ``features`` are those that the model takes.
    score : callable
        From a `pyarrow.Table` of the features to one score a row (shape (n,)), or one probability a
        class, such as ``lambda rows: model.predict_proba(rows.to_pandas())``.
    groups : sequence of sequences of str or "correlated", optional
        Columns permuted together, for those that say the same hide each other's importance.
        ``"correlated"``: numbers whose rank correlation is at least 0.8 in size.
    losses : callable, optional
        From scores and labels; default: squared error of probabilities, absolute of numbers.
    config : ImportanceConfig
        How many rows (2,000), donors of each row (5) and columns (100) are used.

    Raises
    ------
    NotFoundError, DataError
        If the data cannot be read, lack a column that `spec` names, or a group names no feature.
        A scorer that fails does not raise: the columns say so.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> age, height = rng.uniform(20, 80, 900), rng.normal(170, 10, 900)
    >>> ill = rng.random(900) < age / 100
    >>> rows = {"age": age, "height": height, "p": age / 100, "ill": ill}
    >>> spec = PredictionSpec("binary", label="ill", score="p", features=("age", "height"))
    >>> print(importance(rows, spec, lambda rows: rows["age"].to_numpy() / 100))
    1. age: +0.0602 (0.0479 to 0.0726), on 900 rows
    2. height: +0 (0 to 0), on 900 rows
    """
    rows = read_predictions(data, spec, labelled=True)
    if not rows.features.num_columns:
        raise DataError("there are no features to measure: name them in the spec")
    chosen_losses = losses or partial(row_losses, Task(spec.task))
    rng = generator(seed)
    try:
        chosen = _chosen(groups, rows.features)
        found = measure(_checked(score, spec, losses), rows, chosen_losses, rng, chosen, config)
    except ValueError as error:
        raise DataError(str(error)) from None
    ordered = sorted(found, key=lambda one: one.rank or math.inf)
    return ImportanceReport(tuple(ordered), rows.problems)


def _checked(score: Score, spec: PredictionSpec, losses: Losses | None) -> Score:
    """Let a scorer fail whose answers are no probabilities, where the loss takes them for such."""
    if losses is not None or spec.task is Task.REGRESSION:
        return score

    def checked(table: pa.Table) -> ArrayLike:
        found = np.asarray(score(table), dtype=np.float64)
        wrong = (found < 0.0) | (found > 1.0)
        if wrong.any() and (spec.task is Task.BINARY or found.ndim > 1):
            raise DataError(f"a score is {found[wrong][0]:g}: probabilities are from 0 to 1")
        return found

    return checked


def _chosen(
    groups: Sequence[Sequence[str]] | str | None, features: pa.Table
) -> Sequence[Sequence[str]] | None:
    if not isinstance(groups, str):
        if groups is not None and not all(groups):
            raise ValueError("a group names no column")
        return groups
    if groups != "correlated":
        raise ValueError(f'groups is {groups!r}: give "correlated", or lists of columns')
    return correlated_groups(features)


def _line(one: Importance) -> str:
    if not one.rank:
        return f"-. {one.name}: {one.status.value}, {one.reason}"
    span = f"{one.lower:.3g} to {one.upper:.3g}"
    return f"{one.rank}. {one.name}: {one.value:+.3g} ({span}), {one.reason}"


def _plain(one: Importance) -> dict[str, object]:
    fields = asdict(one) | {"columns": list(one.columns), "status": one.status.value}
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in fields.items()
    }
