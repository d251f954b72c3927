"""Permutation importance of columns on rows whose labels are known.

A column that says the same as another seems unimportant, for the model can do without either, and
its permutation makes rows that do not exist (a child with a pension): permute such ones together.
Importance is of one model on these rows. It is not what the column does in the world, nor what a
model trained without it would lose. Intervals take rows for independent of each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from homeostat.domain.predictions import Predictions
from homeostat.domain.verdict import Status
from homeostat.stats.importance import Increase, draw_donors, increase, rank_bounds

Floats: TypeAlias = "NDArray[np.float64]"
Score: TypeAlias = "Callable[[pa.Table], ArrayLike]"
Losses: TypeAlias = "Callable[[Floats, Floats], Floats]"

LONGEST_REASON = 200


@dataclass(frozen=True, slots=True)
class ImportanceConfig:
    """How carefully importance is measured.

    Attributes
    ----------
    rows : int
        Rows used at most, drawn at random: the scorer sees ``rows * repeats`` a column.
    repeats : int
        Donors of each row.
    columns : int
        Columns (or groups) measured at most, the first ones.
    min_rows : int
        Rows below which nothing is claimed.
    level : float
        Confidence of intervals, and of all ranks together.
    """

    rows: int = 2_000
    repeats: int = 5
    columns: int = 100
    min_rows: int = 30
    level: float = 0.95

    def __post_init__(self) -> None:
        if min(self.rows, self.repeats, self.columns) < 1 or not 0.0 < self.level < 1.0:
            raise ValueError(
                "importance needs at least one row, repeat and column and a level in (0, 1)"
            )


@dataclass(frozen=True, slots=True)
class Importance:
    """What a model's loss rises by when these columns change places between rows.

    Attributes
    ----------
    columns : tuple of str
        Permuted together.
    status : Status
        ``OK``; ``INCONCLUSIVE`` with few rows; ``NO_DATA`` where there is nothing to measure on;
        ``ERROR`` if scoring failed.
    value, lower, upper, error : float
        Mean rise of the loss, in the loss's own unit, its interval and standard error; NaN if there
        is none.
    rank, best, worst : int
        Place among the columns (1: most important), and the places that the intervals of all
        columns together leave possible; 0 if there is none.
    n : int
        Rows.
    reason : str
        One sentence for people.
    """

    columns: tuple[str, ...]
    status: Status
    value: float = math.nan
    lower: float = math.nan
    upper: float = math.nan
    error: float = math.nan
    rank: int = 0
    best: int = 0
    worst: int = 0
    n: int = 0
    reason: str = ""

    @property
    def name(self) -> str:
        """The columns in one text."""
        return " + ".join(self.columns)


def importance(
    score: Score,
    predictions: Predictions,
    losses: Losses,
    rng: np.random.Generator,
    groups: Sequence[Sequence[str]] | None = None,
    config: ImportanceConfig = ImportanceConfig(),
) -> tuple[Importance, ...]:
    """Measure permutation importance (Breiman 2001; Fisher, Rudin & Dominici 2019).

    Parameters
    ----------
    score : callable
        From features to outputs, shape (n,) or (n, classes). It is called once for the rows as they
        are and once a column, on ``rows * repeats`` rows.
    predictions : Predictions
        Rows whose label is known are used; a row counts by its weight.
    losses : callable
        From outputs and labels to one loss a row; see `homeostat.domain.losses.row_losses`.
    rng : numpy.random.Generator
    groups : sequence of sequences of str, optional
        Columns that are permuted together; default: each on its own.
    config : ImportanceConfig

    Returns
    -------
    tuple of Importance
        In the order of the groups; status and reason tell of scorers that raise and of few rows.

    Raises
    ------
    ValueError
        If a group names a column that is no feature.

    Examples
    --------
    >>> from homeostat.domain.model import Task
    >>> rng = np.random.default_rng(0)
    >>> table = pa.table({"x": rng.normal(size=500), "idle": rng.normal(size=500)})
    >>> score = lambda rows: rows["x"].to_numpy()
    >>> truth = score(table) + rng.normal(size=500)
    >>> rows = Predictions(Task.REGRESSION, (), 0.5, truth, truth, truth, table)
    >>> for found in importance(score, rows, lambda said, true: abs(said - true), rng):
    ...     print(found.name, found.rank, round(found.value, 1), found.lower > 0)
    x 1 0.6 True
    idle 2 0.0 False
    """
    table = predictions.features
    chosen = tuple(tuple(group) for group in groups or [(name,) for name in table.column_names])
    absent = sorted({name for group in chosen for name in group} - {*table.column_names})
    if absent:
        raise ValueError(f"{absent[0]!r} is no feature; there are {', '.join(table.column_names)}")
    sample = _Sample.of(score, predictions, losses, rng, config)
    if isinstance(sample, Importance):
        return tuple(replace(sample, columns=group) for group in chosen)
    donors = draw_donors(sample.labels.size, config.repeats, rng)
    found = [_measured(group, sample, donors, config) for group in chosen[: config.columns]]
    reason = f"only the first {config.columns} columns are measured"
    left = [Importance(group, Status.NO_DATA, reason=reason) for group in chosen[config.columns :]]
    return (*_ranked(found, config), *left)


@dataclass(frozen=True, slots=True, eq=False)
class _Sample:
    """Labelled rows, what scores them, and their losses as they are."""

    score: Score
    losses: Losses
    table: pa.Table
    labels: Floats
    before: Floats
    weights: Floats | None
    note: str

    @staticmethod
    def of(
        score: Score,
        predictions: Predictions,
        losses: Losses,
        rng: np.random.Generator,
        config: ImportanceConfig,
    ) -> _Sample | Importance:
        """Draw the rows and score them; an `Importance` says why there are none."""
        usable = predictions.known
        if predictions.weights is not None:
            usable &= predictions.weights > 0.0
        places = np.flatnonzero(usable)
        if places.size > config.rows:
            places = np.sort(rng.choice(places, config.rows, replace=False))
        rows = predictions.take(places)
        if not places.size:
            return Importance((), Status.NO_DATA, reason="no row has a label that is known")
        before, problem = _losses(score, losses, rows.features, rows.labels)
        if problem:
            return Importance((), Status.ERROR, n=places.size, reason=problem)
        sound = np.isfinite(before)
        lost = places.size - int(sound.sum())
        if places.size - lost < 2:
            return Importance((), Status.NO_DATA, n=places.size - lost, reason="fewer than 2 rows")
        note = f"; {lost} rows without a finite loss are left out" if lost else ""
        rows = rows.take(sound)
        return _Sample(score, losses, rows.features, rows.labels, before[sound], rows.weights, note)


def _losses(score: Score, losses: Losses, table: pa.Table, labels: Floats) -> tuple[Floats, str]:
    """Return the losses of rows, or what kept them from being computed."""
    try:
        outputs = np.asarray(score(table), dtype=np.float64)
    except Exception as error:  # noqa: BLE001 - a user's model may raise anything; it is reported
        return labels, f"scoring failed: {type(error).__name__}: {error}"[:LONGEST_REASON]
    usable = outputs.ndim == 1 or (outputs.ndim == 2 and outputs.shape[1] > 1)
    if not usable or len(outputs) != table.num_rows:
        return labels, f"{table.num_rows} rows gave scores of shape {outputs.shape}"
    found = np.asarray(losses(outputs, labels), dtype=np.float64)
    if found.shape != labels.shape:
        return labels, f"{labels.size} rows gave losses of shape {found.shape}"
    return found, ""


def _measured(
    group: tuple[str, ...], sample: _Sample, donors: NDArray[np.intp], config: ImportanceConfig
) -> Importance:
    repeats, rows = donors.shape
    stacked = pa.concat_tables([sample.table] * repeats)
    given = np.asarray(donors.ravel(), dtype=np.int64)
    for name in group:
        place = stacked.column_names.index(name)
        moved = sample.table.column(name).combine_chunks().take(given)
        stacked = stacked.set_column(place, sample.table.schema.field(name), moved)
    labels = np.tile(sample.labels, repeats)
    after, problem = _losses(sample.score, sample.losses, stacked, labels)
    if not problem and not np.isfinite(after).all():
        problem = "some permuted rows have no finite loss"
    if problem:
        return Importance(group, Status.ERROR, n=rows, reason=problem)
    found = increase(sample.before, after.reshape(donors.shape), donors, sample.weights)
    interval = found.interval(config.level)
    few = rows < config.min_rows
    reason = f"{rows} rows, at least {config.min_rows} are needed" if few else f"on {rows} rows"
    return Importance(
        group,
        Status.INCONCLUSIVE if few else Status.OK,
        found.value,
        interval.lower,
        interval.upper,
        found.error,
        n=rows,
        reason=reason + sample.note,
    )


def _ranked(found: Sequence[Importance], config: ImportanceConfig) -> list[Importance]:
    """Give every measured column its rank, and the ranks that all intervals leave possible."""
    measured = [i for i, one in enumerate(found) if not math.isnan(one.value)]
    ranked = list(found)
    if not measured:
        return ranked
    values = np.array([found[i].value for i in measured])
    # Bonferroni's level: all intervals hold at once with the probability `level`.
    level = 1.0 - (1.0 - config.level) / len(measured)
    wide = [Increase(found[i].value, found[i].error, found[i].n).interval(level) for i in measured]
    best, worst = rank_bounds(
        np.array([one.lower for one in wide]), np.array([one.upper for one in wide])
    )
    ranks = 1 + (values[None, :] > values[:, None]).sum(axis=1)
    for place, i in enumerate(measured):
        ranked[i] = replace(
            found[i], rank=int(ranks[place]), best=int(best[place]), worst=int(worst[place])
        )
    return ranked
