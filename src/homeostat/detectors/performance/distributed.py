"""Realized performance from tallies of rows that were read elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from homeostat.detectors.performance.cohorts import MOST_PARTS
from homeostat.detectors.performance.evaluation import Request
from homeostat.detectors.performance.realized import (
    BINARY,
    MULTICLASS,
    SCORED,
    TINY,
    Figures,
    Realized,
)
from homeostat.detectors.performance.tallied import Tallied
from homeostat.domain.evaluation import OVERALL, Evaluation, Figure
from homeostat.domain.model import Task
from homeostat.domain.window import Window
from homeostat.stats import calibration, counted, crosstab, ranking
from homeostat.stats.crosstab import Crosstab
from homeostat.stats.estimates import NO_ROWS, Estimate, at_least, missing
from homeostat.stats.ranking import Ranking

NOT_TOLD = "its interval needs the rows themselves: evaluate fewer of them on one machine"
NO_SCORES = "there are no scores"


@dataclass(frozen=True, slots=True)
class Cell:
    """Which rows: all, or those of a window, a version or a segment; ``by`` is as in `Figure`."""

    by: str = OVERALL
    part: str = ""
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What the rows were: their task and classes, and which of them count."""

    task: Task
    classes: tuple[str, ...]
    cohort: str
    as_of: datetime | None = None


def evaluate_tallied(
    found: Mapping[Cell, Tallied], by: Sequence[str], asked: Asked, request: Request
) -> Evaluation:
    """Compute every figure that `evaluate_predictions` does of the rows that were tallied.

    ``macro_auc``, ``wape`` and ``r2`` are not told: their intervals are no sums over rows.

    Parameters
    ----------
    found : mapping of Cell to Tallied
        With all rows as ``Cell()``, and the parts that have rows.
    by : sequence of str
        The order of the ways to part rows.
    asked : Asked
    request : Request
        Its window is not looked at.

    Examples
    --------
    >>> from homeostat.detectors.performance.tallied import tally_rows
    >>> from homeostat.domain.predictions import Predictions
    >>> import pyarrow as pa
    >>> scores, labels = np.linspace(0.0, 1.0, 40), np.repeat([0.0, 1.0], 20)
    >>> said, none = (scores >= 0.5) * 1.0, pa.table({"x": scores})
    >>> rows = Predictions(Task.BINARY, ("no", "yes"), 0.5, scores, said, labels, none)
    >>> asked = Asked(Task.BINARY, rows.classes, "known")
    >>> evaluation = evaluate_tallied({Cell(): tally_rows(rows)}, (), asked, Request())
    >>> evaluation["auc"].value, evaluation.confusion
    (1.0, ((20.0, 0.0), (0.0, 20.0)))
    """
    whole = found[Cell()]
    scored = bool(whole.counts.any())
    realized = realize_tallied(whole, asked.task, request, scored=scored)
    figures = list(_figures(realized, whole, Cell(), asked, request, scored=scored))
    problems = [f"{rows:,} {text}" for text, rows in sorted(whole.notes.items())]
    used = whole.counts if scored else whole.bare
    lost = whole.known - int(used.sum())
    if lost:
        problems.append(f"{lost:,} of {whole.known:,} labelled rows have no score: left out")
    for name in by:
        parts = {cell: part for cell, part in found.items() if cell.by == name}
        if len(parts) > MOST_PARTS:
            told = f"figures are given for the {MOST_PARTS:,} with most rows"
            problems.append(f"{name} has {len(parts):,} parts: {told}")
        for cell in _largest(parts):
            realized_part = realize_tallied(parts[cell], asked.task, request, scored=scored)
            figures += _figures(realized_part, parts[cell], cell, asked, request, scored=scored)
    return Evaluation(
        asked.task,
        tuple(figures),
        whole.rows,
        whole.known,
        asked.cohort,
        asked.as_of,
        asked.classes,
        () if realized.table is None else tuple(map(tuple, realized.table.weights.tolist())),
        None if realized.ranking is None else calibration.calibrate(realized.ranking),
        tuple(problems),
    )


def _largest(parts: Mapping[Cell, Tallied]) -> list[Cell]:
    """Return the parts with most rows: windows by time, others by name."""

    def place(cell: Cell) -> tuple[str, str]:
        return (cell.window.start.isoformat() if cell.window else "", cell.part)

    ordered = sorted(parts, key=place)
    chosen = sorted(ordered, key=lambda cell: -parts[cell].rows)[:MOST_PARTS]
    return sorted(chosen, key=place)


def realize_tallied(found: Tallied, task: Task, request: Request, *, scored: bool) -> Realized:
    """Compute all metrics of one set of rows; `scored` says whether those with scores count."""
    if task is Task.REGRESSION:
        return Realized(_numbers(found, request.quantile))
    counts = found.counts if scored else found.bare
    shares = counts.astype(np.float64)
    table = Crosstab(shares, shares, counts)
    ranked = None
    if task is Task.BINARY:
        estimates, ranked = _binary_scores(found, table.n, scored=scored)
        estimates |= {name: metric(table) for name, metric in BINARY.items()}
    else:
        estimates = {name: metric(table) for name, metric in MULTICLASS.items()}
        estimates |= _class_scores(found, table.n, scored=scored)
    if request.values is not None:
        estimates["value"] = crosstab.mean_value(table, request.values)
    return Realized(estimates, table, ranked)


def ranking_of(found: Tallied) -> Ranking:
    """Return the ranking of a binary model's rows: the same as `ranking.tally` gives of them."""
    scores = np.minimum(found.tallies[0].values, 1.0)
    negative, positive = found.tallies[0].counts.astype(np.float64)
    negatives, positives = map(int, found.tallies[0].counts.sum(axis=1))
    rows = found.tallies[0].counts.sum(axis=0).astype(np.intp)
    return Ranking(scores, positive, negative, positive, negative, positives, negatives, rows)


def _binary_scores(found: Tallied, n: int, *, scored: bool) -> tuple[Figures, Ranking | None]:
    if n and not scored:
        return dict.fromkeys(SCORED, missing(NO_SCORES, n)), None
    ranked = ranking_of(found)
    cells = calibration.reliability(ranked)
    scores, unlike = ranked.scores, 1.0 - ranked.scores

    def loss(if_negative: ranking.Floats, if_positive: ranking.Floats) -> Estimate:
        both = (ranked.negative, ranked.positive)
        return counted.mean_loss(scores, *both, if_negative, if_positive)

    return {
        "auc": ranking.auc_estimate(ranked),
        "average_precision": ranking.average_precision_estimate(ranked),
        "log_loss": loss(-np.log(np.maximum(unlike, TINY)), -np.log(np.maximum(scores, TINY))),
        "brier": loss(scores**2, unlike**2),
        "bias": loss(scores, -unlike),
        "ece": calibration.debiased_ece(cells),
        "calibration_error": calibration.debiased_rms(cells),
    }, ranked


def _class_scores(found: Tallied, n: int, *, scored: bool) -> Figures:
    own, squares = found.tallies
    if not scored:
        none = missing(NO_SCORES if n else NO_ROWS, n)
        return dict.fromkeys(("macro_auc", "log_loss", "brier"), none)
    return {
        "macro_auc": missing(NOT_TOLD, n),
        "log_loss": counted.mean(-np.log(np.maximum(own.values, TINY)), own.counts[0] * 1.0),
        "brier": counted.mean(squares.values, squares.counts[0] * 1.0),
    }


def _numbers(found: Tallied, quantile: float) -> Figures:
    errors, counts = found.tallies[0].values, found.tallies[0].counts[0] * 1.0
    relative, some = found.tallies[1].values, found.tallies[1].counts[0] * 1.0
    n = int(counts.sum())
    none = missing("every label is 0" if n else NO_ROWS)
    # A figure beyond all floats is told as too large, not as a warning.
    with np.errstate(over="ignore", invalid="ignore"):
        loss = np.maximum(-quantile * errors, (1.0 - quantile) * errors)
        return {
            "mae": counted.mean(np.abs(errors), counts),
            "rmse": counted.root_mean_square(errors, counts),
            "mape": counted.mean(relative, some) if some.size else none,
            "wape": missing(NOT_TOLD, n),
            "r2": missing(NOT_TOLD, n),
            "pinball": counted.mean(loss, counts),
            "bias": counted.mean(errors, counts),
        }


def _figures(
    realized: Realized, rows: Tallied, cell: Cell, asked: Asked, request: Request, *, scored: bool
) -> Iterator[Figure]:
    size = int((rows.counts if scored else rows.bare).sum())
    coverage = rows.known / rows.rows if rows.rows else 0.0
    reason = ""
    if not size and coverage > 0.0:
        reason = "no labelled rows have a score and a weight above 0"
    for name in request.names(asked.task):
        measured = at_least(realized.estimates[name], size, request.min_rows)
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
            asked.cohort,
            cell.by,
            cell.part,
            cell.window,
            measured.problem,
            float(size),
        )
