"""The evaluation gate: whether a candidate is good enough to be rolled out at all.

Champion and candidate score the same later, matured rows, so that their losses are paired and what
is hard about a row cancels. The candidate passes if the upper end of a one-sided bootstrap interval
(Efron & Tibshirani 1993, ch. 13) of its mean loss minus the champion's is below the margin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.domain.model import ModelSpec, Task

Floats = NDArray[np.float64]
MIN_ROWS = 30
MIN_PER_CLASS = 5


@dataclass(frozen=True, slots=True)
class GateResult:
    """Whether the candidate may be rolled out, why, and the figures behind it."""

    accepted: bool
    reason: str
    evidence: tuple[tuple[str, float], ...] = ()


def row_losses(spec: ModelSpec, labels: Floats, scores: Floats) -> Floats:
    """Return the loss of each row: squared error (binary), 0/1 (multi-class), or |error|."""
    if spec.task is Task.BINARY:
        return np.asarray((scores - labels) ** 2, dtype=np.float64)
    if spec.task is Task.MULTICLASS:
        return np.asarray(np.round(scores) != labels, dtype=np.float64)
    return np.abs(scores - labels)


def evaluate(
    spec: ModelSpec,
    labels: Floats,
    champion_scores: Floats,
    candidate_scores: Floats,
    margin: float,
    rng: np.random.Generator,
    *,
    entities: NDArray[np.generic] | None = None,
    alpha: float = 0.05,
    resamples: int = 1000,
) -> GateResult:
    """Compare candidate and champion on one hold-out.

    Parameters
    ----------
    spec : ModelSpec
    labels, champion_scores, candidate_scores : float64 arrays of shape (n,)
        Row by row of the hold-out, which must be later than the training and matured. Rows whose
        label or champion score is not finite are left out.
    margin : float
        As a share of the champion's mean loss. 0 asks for superiority, 0.02 accepts a candidate
        that is shown to be at most 2 % worse, -0.02 asks for at least 2 % better.
    rng : numpy.random.Generator
    entities : array of shape (n,), optional
        Who each row is about; rows of one entity are resampled together because they are alike.
    alpha : float
        Chance of passing a candidate that is worse than the margin.

    Returns
    -------
    GateResult
        Never accepted for scores that are not finite or all the same, for too few rows, or for a
        hold-out that lacks a class.

    Raises
    ------
    ValueError
        If the arrays differ in shape.

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
    problem = _unusable(spec, truth, new)
    if problem:
        return GateResult(False, problem, (("rows", float(truth.size)),))
    before, after = row_losses(spec, truth, old), row_losses(spec, truth, new)
    groups = None if entities is None else entities[usable]
    return _compare(before, after, _interval(after - before, groups, alpha, resamples, rng), margin)


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
