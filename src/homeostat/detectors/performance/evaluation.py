"""Realized performance of scored rows: overall, and by window, version and segment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.performance.cohorts import MOST_PARTS, Cohort, Parting, partings
from homeostat.detectors.performance.realized import NAMES, Labelled, Realized, realize
from homeostat.domain.evaluation import OVERALL, WINDOW, Evaluation, Figure
from homeostat.domain.model import Task
from homeostat.domain.predictions import Predictions
from homeostat.domain.window import Window
from homeostat.stats.calibration import calibrate
from homeostat.stats.estimates import at_least, effective, missing

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """What to compute.

    Attributes
    ----------
    metrics : tuple of str
        Empty: all of the task.
    values : ndarray of float64, shape (k, k), or None
        What a row of each true class (row) and predicted class (column) is worth.
    window : timedelta, int or None
        Length of windows in time, or in rows.
    min_rows : int
        Labelled rows below which a figure is not given.
    quantile : float
        Which quantile a regression predicts.
    """

    metrics: tuple[str, ...] = ()
    values: Floats | None = None
    window: timedelta | int | None = None
    min_rows: int = 30
    quantile: float = 0.5

    def names(self, task: Task) -> tuple[str, ...]:
        """Return the metrics, in order."""
        worth = () if self.values is None else ("value",)
        return self.metrics or (*NAMES[task], *worth)


def evaluate_predictions(cohort: Cohort, request: Request) -> Evaluation:
    """Compute every figure.

    Rows count whose label and prediction are known and whose weight is above 0; of those, if any
    has scores, the ones that have.
    """
    rows = cohort.rows
    usable, problems = _usable(rows)
    places = np.flatnonzero(usable)
    labelled = _labelled(rows, places)
    if rows.task is Task.BINARY:
        order = np.argsort(labelled.scores, kind="stable")
        places, labelled = places[order], labelled.take(order)
    whole = realize(labelled, request.values, request.quantile)
    known = rows.known
    unripe = cohort.unripe(_share(known))
    if unripe:
        cohort = replace(cohort, reasons={**cohort.reasons, "": unripe})
    figures = [*_figures(whole, labelled, request, cohort, _share(known), (OVERALL, "", None))]
    for parting in partings(rows, request.window):
        problems += _too_many(parting)
        figures += _parted(parting, places, labelled, known, request, cohort)
    return Evaluation(
        rows.task,
        tuple(figures),
        len(rows),
        int(known.sum()),
        cohort.name,
        cohort.as_of,
        rows.classes,
        () if whole.table is None else tuple(map(tuple, whole.table.weights.tolist())),
        None if whole.ranking is None else calibrate(whole.ranking),
        (*rows.problems, *problems),
    )


def _usable(rows: Predictions) -> tuple[NDArray[np.bool_], list[str]]:
    known = rows.known
    usable = known & ~np.isnan(rows.predictions)
    if rows.task is not Task.REGRESSION:
        scores = rows.scores if rows.scores.ndim == 2 else rows.scores[:, None]
        broken: NDArray[np.bool_] = np.asarray(np.isnan(scores).any(axis=1))
        if not broken[usable].all():
            usable &= ~broken
    problems = []
    lost = int(np.count_nonzero(known & ~usable))
    if lost:
        problems.append(f"{lost:,} of {int(known.sum()):,} labelled rows have no score: left out")
    if rows.weights is not None:
        idle = int(np.count_nonzero(usable & ~(rows.weights > 0.0)))
        if idle:
            problems.append(f"{idle:,} labelled rows have no weight: left out")
        usable &= rows.weights > 0.0
    return usable, problems


def _labelled(rows: Predictions, places: NDArray[np.intp]) -> Labelled:
    weights = None if rows.weights is None else rows.weights[places]
    return Labelled(
        rows.task,
        rows.labels[places],
        rows.predictions[places],
        rows.scores[places],
        max(len(rows.classes), 1),
        weights,
    )


def _parted(
    parting: Parting,
    places: NDArray[np.intp],
    labelled: Labelled,
    known: NDArray[np.bool_],
    request: Request,
    cohort: Cohort,
) -> Iterator[Figure]:
    """Yield the figures of each part; rows keep their order of score within it."""
    count = len(parting.names)
    sizes = np.bincount(parting.codes[parting.codes >= 0], minlength=count)
    answered = np.bincount(parting.codes[known & (parting.codes >= 0)], minlength=count)
    small = np.int16 if count < 2**15 else np.int64  # NumPy sorts these by radix
    codes = parting.codes[places].astype(small)
    order = np.argsort(codes, kind="stable")
    edges = np.searchsorted(codes[order], np.arange(count + 1))
    ordered = labelled.take(order)
    shown = np.sort(np.argsort(-sizes, kind="stable")[:MOST_PARTS])
    for place in shown.tolist():
        rows = ordered.take(slice(int(edges[place]), int(edges[place + 1])))
        window = parting.windows[place] if parting.windows else None
        coverage = float(answered[place] / sizes[place])
        found = realize(rows, request.values, request.quantile)
        where = (parting.by, parting.names[place], window)
        yield from _figures(found, rows, request, cohort, coverage, where)


def _figures(
    found: Realized,
    rows: Labelled,
    request: Request,
    cohort: Cohort,
    coverage: float,
    where: tuple[str, str, Window | None],
) -> Iterator[Figure]:
    size = rows.labels.size
    alike = float(size) if rows.weights is None else effective(rows.weights)
    in_time = where[0] == WINDOW
    reason = cohort.reasons.get(where[1] if in_time else "", "")
    if in_time and not reason:
        reason = cohort.unripe(coverage)
    if not size and coverage > 0.0:
        reason = reason or "no labelled rows have a score and a weight above 0"
    for name in request.names(rows.task):
        measured = at_least(found.estimates[name], size, request.min_rows)
        if reason:
            measured = missing(reason, size)
        there = not measured.problem
        yield Figure(
            name,
            measured.value if there else None,
            measured.lower if there else None,
            measured.upper if there else None,
            measured.n,
            coverage,
            cohort.name,
            *where,
            measured.problem,
            alike,
        )


def _too_many(parting: Parting) -> list[str]:
    if len(parting.names) <= MOST_PARTS:
        return []
    parts = f"{parting.by} has {len(parting.names):,} parts"
    return [f"{parts}: figures are given for the {MOST_PARTS:,} with most rows"]


def _share(known: NDArray[np.bool_]) -> float:
    return float(known.mean()) if known.size else 0.0
