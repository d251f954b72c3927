"""Losses of candidate and champion on the same later rows: the gate's first question.

Champion and candidate score the same later, matured rows, so that their losses are paired and what
is hard about a row cancels. The candidate passes if the upper end of a one-sided interval of its
mean loss minus the champion's is below the margin: the bootstrap's over rows or entities (Efron &
Tibshirani 1993, ch. 13), or Student's over days if that is wider, because the difference itself
varies from day to day.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.domain.losses import losses
from homeostat.domain.model import ModelSpec, Task
from homeostat.stats.blocks import clustered_error
from homeostat.stats.special import t_quantile

Floats = NDArray[np.float64]
MIN_ROWS = 30
MIN_PER_CLASS = 5
FEW_DAYS = 3
ASSUMED_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class GateResult:
    """Whether the candidate may be rolled out, why, and the figures behind it."""

    accepted: bool
    reason: str
    evidence: tuple[tuple[str, float], ...] = ()


def evaluate(
    spec: ModelSpec,
    labels: Floats,
    champion_scores: Floats,
    candidate_scores: Floats,
    margin: float,
    rng: np.random.Generator,
    *,
    entities: NDArray[np.generic] | None = None,
    days: NDArray[np.int64] | None = None,
    scale: float = math.inf,
    alpha: float = 0.05,
    resamples: int = 1000,
) -> GateResult:
    """Compare candidate and champion on one hold-out.

    Parameters
    ----------
    spec : ModelSpec
    labels, champion_scores, candidate_scores : float64 arrays of shape (n,)
        Of matured rows later than the training; those without label or champion score are left out.
    margin : float
        As a share of the champion's mean loss: 0 asks for better, 0.02 for at most 2 % worse.
    rng : numpy.random.Generator
    entities, days : arrays of shape (n,), optional
        Whom each row is about, and its day by any count: rows of one are alike. Fewer than
        `FEW_DAYS` do not tell how days differ; `ASSUMED_SHARE` of the loss is assumed then.
    scale : float
        Regression only: the absolute error that counts as a loss of 1, the largest there is.
    alpha : float
        Chance of passing a candidate that is worse than the margin.

    Returns
    -------
    GateResult
        Never accepted for scores not finite or alike, too few rows, a lacking class, a low scale.

    Examples
    --------
    >>> from datetime import timedelta
    >>> from homeostat.domain.model import LabelSpec, Schema
    >>> spec = ModelSpec("fraud", Task.BINARY, Schema(()), LabelSpec(timedelta(days=30)))
    >>> labels = np.tile([0.0, 1.0], 100)
    >>> good, poor = 0.8 * labels + 0.1, 0.4 * labels + 0.3
    >>> evaluate(spec, labels, poor, good, 0.0, np.random.default_rng(1)).accepted
    True
    """
    if not labels.shape == champion_scores.shape == candidate_scores.shape:
        raise ValueError("labels and scores must have one value for each row of the hold-out")
    usable = np.isfinite(labels) & np.isfinite(champion_scores)
    truth, old, new = labels[usable], champion_scores[usable], candidate_scores[usable]
    problem = _unusable(spec, truth, new) or _saturated(spec, truth, old, scale)
    if problem:
        return GateResult(False, problem, (("rows", float(truth.size)),))
    before, after = (row_losses(spec, truth, scores, scale) for scores in (old, new))
    groups, of_day = (None if by is None else by[usable] for by in (entities, days))
    bounds = _interval(after - before, groups, alpha, resamples, rng)
    if of_day is not None:
        bounds = _over_days(before, after, of_day, bounds, alpha)
    return _compare(before, after, bounds, margin)


def row_losses(spec: ModelSpec, labels: Floats, scores: Floats, scale: float) -> Floats:
    """Return the loss of each row; a regression's in its own unit where no scale is given."""
    if spec.task is Task.REGRESSION and math.isinf(scale):
        return np.abs(scores - labels)
    return losses(spec.task, scores, labels, spec.threshold, scale)


def _over_days(
    before: Floats,
    after: Floats,
    days: NDArray[np.generic],
    bounds: tuple[float, float],
    alpha: float,
) -> tuple[float, float]:
    """Widen an interval to what the variation between days asks for."""
    difference = after - before
    mean, (_, owner) = float(difference.mean()), np.unique(days, return_inverse=True)
    count = int(owner.max()) + 1
    if count < FEW_DAYS:
        error = ASSUMED_SHARE * float(before.mean()) / math.sqrt(count)
        reach = math.hypot(t_quantile(FEW_DAYS, 1.0 - alpha) * error, bounds[1] - mean)
    else:
        reach = t_quantile(count - 1.0, 1.0 - alpha) * clustered_error(difference, owner)
    return min(bounds[0], mean - reach), max(bounds[1], mean + reach)


def _unusable(spec: ModelSpec, labels: Floats, scores: Floats) -> str:
    """Say why no comparison is possible; empty if one is."""
    if labels.size < MIN_ROWS:
        return f"the hold-out has {labels.size} comparable rows; at least {MIN_ROWS} are needed"
    broken = int((~np.isfinite(scores)).sum())
    if broken:
        return f"the candidate gave no finite score on {broken} of {scores.size} rows"
    if np.ptp(scores) == 0:
        return f"the candidate scores every row {scores[0]:g}"
    if spec.task is Task.REGRESSION:
        return ""
    found, counts = np.unique(labels, return_counts=True)
    if found.size < 2 or counts.min() < MIN_PER_CLASS:
        return f"the hold-out lacks a class; at least {MIN_PER_CLASS} labels of each are needed"
    return ""


def _saturated(spec: ModelSpec, labels: Floats, scores: Floats, scale: float) -> str:
    """Say that a regression's scale tells no errors apart; empty if it does."""
    if spec.task is not Task.REGRESSION or float(np.median(np.abs(scores - labels))) < scale:
        return ""
    return (
        f"half of the champion's errors are beyond {scale:g}, which counts as the largest: set "
        "monitors: performance: scale to an error that is large"
    )


def _interval(
    difference: Floats,
    entities: NDArray[np.generic] | None,
    alpha: float,
    resamples: int,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Return the percentile interval of the mean difference, each end one-sided at `alpha`."""
    sums: Floats = difference
    counts: Floats = np.ones_like(difference)
    if entities is not None:
        _, group = np.unique(entities, return_inverse=True)
        sums = np.asarray(np.bincount(group, weights=difference), dtype=np.float64)
        counts = np.asarray(np.bincount(group), dtype=np.float64)
    means = np.empty(resamples)
    for turn in range(resamples):
        drawn = rng.integers(0, sums.size, sums.size)
        means[turn] = sums[drawn].sum() / counts[drawn].sum()
    lower, upper = np.quantile(means, (alpha, 1 - alpha))
    return float(lower), float(upper)


def _compare(
    before: Floats, after: Floats, bounds: tuple[float, float], margin: float
) -> GateResult:
    lower, upper = bounds
    champion, candidate = float(before.mean()), float(after.mean())
    allowed = margin * champion
    # A loss that cannot fall any further is kept up by an equal candidate.
    accepted = upper < allowed or (margin >= 0 and champion == candidate == 0.0)
    figures = f"loss {candidate:.4g} against the champion's {champion:.4g}"
    bound = f"difference at most {upper:+.3g}, allowed {allowed:+.3g}"
    verdict = "passes" if accepted else "not shown to be good enough"
    evidence = (
        ("rows", float(before.size)),
        ("loss_champion", champion),
        ("loss_candidate", candidate),
        ("difference", candidate - champion),
        ("lower", lower),
        ("upper", upper),
        ("margin", allowed),
    )
    return GateResult(accepted, f"{verdict}: {figures} on {before.size} rows ({bound})", evidence)
