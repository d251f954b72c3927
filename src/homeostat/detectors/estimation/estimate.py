"""Performance without labels: estimates of windows, with intervals, or why there are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.estimation.classes import ClassOutlook, Scored
from homeostat.detectors.estimation.features import outside, read_features
from homeostat.detectors.estimation.guess import Guess, Outlook, folds_of
from homeostat.detectors.estimation.losses import REGRESSION, LossOutlook, Predicted
from homeostat.detectors.estimation.support import Support
from homeostat.domain.errors import DataError
from homeostat.domain.estimation import Estimation, MetricEstimate, Standing, WindowEstimate
from homeostat.domain.model import Task
from homeostat.domain.predictions import NEVER, Predictions, from_micros
from homeostat.stats.encoding import Table
from homeostat.stats.expected import BINARY, MULTICLASS
from homeostat.stats.special import t_quantile

Codes: TypeAlias = "NDArray[np.int64]"

FOLDS = 5
STRETCHES = 10
FEWEST_REFERENCE = 100
FEWEST_ROWS = 30
WIDEST, WIDEST_LOSS = 0.15, 0.5
"""Half an interval's width from which it says nothing: of metrics that are at most 1, and of losses
as a share of the estimate."""

TRUST = 1.0 / 3.0
"""Standard error of an estimated change, as a share of it, before the reference has shown any."""

UNSTABLE = 0.05
"""Drift of the share of a class beyond its scores, from which calibration does not hold."""

_SHARES = frozenset({*BINARY} - {"log_loss", "mcc"})
_METRICS = {Task.BINARY: BINARY, Task.MULTICLASS: MULTICLASS, Task.REGRESSION: REGRESSION}
NAN = float("nan")


@dataclass(frozen=True, slots=True)
class _Drift:
    """Standard error of one metric on held-out stretches, beyond sampling, and from how many."""

    error: float
    stretches: int
    trust: float = TRUST  # standard error of an estimated change, as a share of it


def estimate_windows(
    reference: Predictions,
    current: Predictions,
    windows: Sequence[tuple[int, int]],
    rng: np.random.Generator,
    metrics: Sequence[str] | None = None,
) -> Estimation:
    """Estimate the performance of windows of current rows from labelled reference rows.

    Parameters
    ----------
    reference : Predictions
        Labelled, in order of time, and not what the model was trained on.
    current : Predictions
        In order of time; labels, if there are any, are not looked at.
    windows : sequence of (int, int)
        First row and the one after the last.
    rng : numpy.random.Generator
        Draws rows.
    metrics : sequence of str, optional
        All of the task if not given.

    Raises
    ------
    DataError
        If the reference has too few labels or one class only, or current rows lack a column.

    Notes
    -----
    An interval has the noise of the window's labels, the uncertainty of what was learnt, and what
    the estimate was wrong by beyond these on stretches of the reference that it was not learnt on.
    Nothing tells whether labels still follow from inputs as they did: a change is believed to
    within a third (a standard error), closer where the reference had such changes.
    """
    wanted = _wanted(reference.task, metrics)
    usable, _ = _usable(current, labelled=False)
    known, rest = _usable(reference, labelled=True)
    labelled, now = reference.take(known), current.take(usable)
    _check(labelled)
    sizes = len(labelled), len(now)
    before, after, said = read_features(labelled.features, now.features, sizes)
    folds = folds_of(len(labelled), FOLDS)
    outlook = _outlook((labelled, before), (now, after), wanted, folds, rng)
    spans = [(a, b) for a, b in np.searchsorted(usable, np.array(windows)).tolist()]
    support = Support(outlook.codes, _far(before, after, folds), folds, spans, rng)
    drift = _drift(outlook, [last - first for first, last in spans])
    realized = outlook.realized(np.arange(outlook.reference_rows))
    unstable = outlook.unstable(UNSTABLE)
    found = []
    for index, span in enumerate(spans):
        lacking = unstable or support.lacking(index)
        told = _window(outlook, np.arange(*span), lacking, drift, realized, wanted)
        found.append(_describe(current, windows[index], span, told, support, index))
    errors = {name: each.error for name, each in drift.items()}
    problems = tuple(dict.fromkeys((*reference.problems, *current.problems, *rest, *said)))
    return Estimation(labelled.task, tuple(found), realized, outlook.method, errors, problems)


def _outlook(
    reference: tuple[Predictions, Table],
    current: tuple[Predictions, Table],
    wanted: Sequence[str],
    folds: Codes,
    rng: np.random.Generator,
) -> ClassOutlook | LossOutlook:
    (labelled, before), (now, after) = reference, current
    if labelled.task is not Task.REGRESSION:
        return ClassOutlook(_scored(labelled, before), _scored(now, after), wanted, folds, rng)
    known = Predicted(labelled.predictions, labelled.labels, before)
    return LossOutlook(known, Predicted(now.predictions, np.empty(0), after), wanted, folds, rng)


def _wanted(task: Task, metrics: Sequence[str] | None) -> tuple[str, ...]:
    known = _METRICS[task]
    if metrics is None:
        return known
    chosen = (metrics,) if isinstance(metrics, str) else tuple(dict.fromkeys(metrics))
    if unknown := [name for name in chosen if name not in known]:
        raise DataError(f"no metric {unknown[0]!r} for a {task} model: {', '.join(known)}")
    return chosen


def _usable(rows: Predictions, *, labelled: bool) -> tuple[Codes, list[str]]:
    """Return the rows that have all that is needed, and what was left out."""
    good = ~np.isnan(rows.predictions)
    if rows.task is not Task.REGRESSION and _has_scores(rows):
        good &= ~np.isnan(rows.scores.reshape(len(rows), -1)).any(axis=1)
    said = []
    if labelled:
        unknown = int(np.sum(good & ~rows.known))
        if unknown:
            said.append(f"{unknown:,} of {len(rows):,} reference rows have no label: left out")
        good &= rows.known
    if rows.weights is not None:
        said.append("weights are not used by estimates")
    return np.flatnonzero(good).astype(np.int64), said


def _check(labelled: Predictions) -> None:
    if len(labelled) < FEWEST_REFERENCE:
        raise DataError(
            f"the reference has {len(labelled)} rows with a label and a score; estimates need at "
            f"least {FEWEST_REFERENCE}"
        )
    if labelled.task is Task.REGRESSION:
        return
    seen = np.unique(labelled.labels)
    if seen.size < 2:
        name = labelled.classes[int(seen[0])]
        raise DataError(
            f"all labels of the reference are {name!r}: with one class, nothing tells when a score "
            "is wrong; give a reference with both"
        )


def _has_scores(rows: Predictions) -> bool:
    return bool(rows.scores.size and not np.isnan(rows.scores).all())


def _scored(rows: Predictions, features: Table) -> Scored:
    predictions = rows.predictions.astype(np.int64)
    ranked = _has_scores(rows)
    if rows.task is Task.BINARY:
        scores = (rows.scores if ranked else rows.predictions).reshape(-1, 1)
    elif ranked:
        scores = rows.scores
    else:
        scores = (predictions[:, None] == np.arange(len(rows.classes))).astype(np.float64)
    labels = np.where(rows.known, rows.labels, -1.0).astype(np.int64)
    return Scored(scores, predictions, labels, features, ranked)


def _far(before: Table, after: Table, folds: Codes) -> tuple[float, NDArray[np.bool_]]:
    """Return which rows have what the reference has not, and the most of a held-out stretch."""
    shares = []
    for fold in np.unique(folds):
        out, rest = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        shares.append(float(outside(before.take(rest), before.take(out)).mean()))
    return max(shares), outside(before, after)


def _drift(outlook: Outlook, sizes: Sequence[int]) -> dict[str, _Drift]:
    """Learn from held-out stretches by how much estimates err beyond sampling."""
    rows = outlook.reference_rows
    size = max(int(np.median(sizes)) if sizes else 0, FEWEST_REFERENCE // 2)
    count = int(np.clip(rows // size, FOLDS, STRETCHES))
    place = folds_of(rows, count)
    excess: dict[str, list[float]] = {}
    moves: dict[str, list[tuple[float, float]]] = {}
    whole = outlook.realized(np.arange(rows))
    for stretch in range(count):
        chosen = np.flatnonzero(place == stretch)
        truth = outlook.realized(chosen)
        for name, guess in outlook.held_out(chosen).items():
            error = truth.get(name, NAN) - guess.value
            if not guess.want and np.isfinite(error):
                known = guess.sampling + guess.learning
                excess.setdefault(name, []).append(error**2 - known)
                moves.setdefault(name, []).append((guess.value - whole[name], known))
    found = {}
    for name, each in excess.items():
        square = max(0.0, float(np.mean(each)))
        shown = sum(move**2 / max(known + square, 1e-300) for move, known in moves[name])
        trust = float((1.0 / TRUST**2 + shown) ** -0.5)
        found[name] = _Drift(float(np.sqrt(square)), len(each), trust)
    return found


def _window(
    outlook: Outlook,
    rows: Codes,
    lacking: str,
    drift: Mapping[str, _Drift],
    realized: Mapping[str, float],
    wanted: Sequence[str],
) -> tuple[MetricEstimate, ...]:
    guesses = outlook.expected(rows)
    checks = outlook.cross_checks(rows)
    if rows.size < FEWEST_ROWS:
        lacking = f"{rows.size} rows are too few: {FEWEST_ROWS} are needed"
    found = []
    for name in wanted:
        said = {"reference": realized.get(name, NAN), **checks.get(name, {})}
        guess = guesses[name]
        why = guess.want or lacking
        if not why and name not in drift:
            why = "no stretch of the reference is large enough to test the estimate on"
        change = guess.value - realized.get(name, guess.value)
        estimate = _interval(name, guess, drift.get(name, _Drift(0.0, 0)), change, rows.size)
        why = why or estimate.reason
        if why:
            said["withheld"] = guess.value
            estimate = replace(
                estimate,
                standing=Standing.NOT_IDENTIFIABLE,
                value=NAN,
                lower=NAN,
                upper=NAN,
                reason=why,
            )
        found.append(replace(estimate, cross_checks=said))
    return tuple(found)


def _interval(name: str, guess: Guess, drift: _Drift, change: float, n: int) -> MetricEstimate:
    """Return the estimate with its interval, and as its reason why it is too wide, if it is."""
    known = guess.sampling + guess.learning
    extra = drift.error**2
    variance = known + extra + (drift.trust * change) ** 2
    # Satterthwaite: only the part seen on few stretches is itself uncertain.
    freedom = max(1, drift.stretches - 1) * (variance / extra) ** 2 if extra > 0.0 else np.inf
    reach = _quantile(round(float(np.log(min(freedom, 1e6))), 2)) * float(np.sqrt(variance))
    low = -1.0 if name == "mcc" else 0.0
    high = 1.0 if name in _SHARES or name == "mcc" else float("inf")
    lower, upper = max(low, guess.value - reach), min(high, guess.value + reach)
    most = WIDEST_LOSS * guess.value if high == float("inf") else WIDEST
    why = ""
    if not np.isfinite(guess.value):
        why = "it is not defined for these predictions"
    elif reach > most:
        why = (
            f"the interval would reach {reach:.3g} to each side: the estimate is off by "
            f"{drift.error:.3g} beyond sampling on held-out stretches of the reference, and a "
            f"change of {change:.3g} is believed to within {abs(drift.trust * change):.3g}"
        )
    return MetricEstimate(name, Standing.ESTIMATED, guess.value, lower, upper, n, why)


@lru_cache(maxsize=2048)
def _quantile(log_freedom: float) -> float:
    """Return Student's 97.5 % quantile; degrees of freedom are a guess, so few values serve all."""
    return t_quantile(float(np.exp(log_freedom)), 0.975)


def _describe(
    current: Predictions,
    window: tuple[int, int],
    span: tuple[int, int],
    estimates: tuple[MetricEstimate, ...],
    support: Support,
    index: int,
) -> WindowEstimate:
    begin = end = None
    if current.timestamps is not None:
        times = current.timestamps[slice(*window)]
        times = times[times != NEVER]
        if times.size:
            begin, end = from_micros(int(times.min())), from_micros(int(times.max()))
    shares = support.outside[index], support.unsupported[index]
    return WindowEstimate(*window, begin, end, span[1] - span[0], estimates, *shares)
