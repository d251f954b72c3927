"""Whether a refit may stand for the candidate that the gate has judged.

The gate judges a model that has not seen the newest rows. Once it has passed, the same training on
these rows too is what should serve; no labels are left to judge it by. What can be asked is that it
agrees with the one that passed. A training that young labels led astray does not: in the studies
of early labels scores rise as a whole, by far more than a month of new rows can explain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.domain.model import ModelSpec, Task
from homeostat.retraining.gate.paired import row_losses

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Whether a refit agrees with the version that was judged; ``problem`` is empty if it does."""

    problem: str
    evidence: tuple[tuple[str, float], ...] = ()


def agreement(
    spec: ModelSpec,
    labels: Floats,
    judged: tuple[Floats, Floats],
    refit: tuple[Floats, Floats],
    limit: float,
    scale: float = math.inf,
) -> Agreement:
    """Compare a refit with the version that the gate has judged.

    Parameters
    ----------
    spec : ModelSpec
    labels : float64 array of shape (n,)
        Of the hold-out.
    judged, refit : pair of float64 arrays of shapes (n,) and (m,)
        Scores of the hold-out, which the refit has trained on, and of the newest rows, whose labels
        may not be known.
    limit : float
        How far their scores of the newest rows may be apart on average, in standard deviations of
        the labels; of multi-class models: on which share of the rows they may say something else.
    scale : float
        As in `homeostat.retraining.gate.evaluate`.

    Examples
    --------
    >>> from datetime import timedelta
    >>> from homeostat.domain.model import LabelSpec, Schema
    >>> spec = ModelSpec("fraud", Task.BINARY, Schema(()), LabelSpec(timedelta(days=30)))
    >>> labels, few, many = np.array([0.0, 1.0]), np.array([0.2, 0.7]), np.array([0.6, 0.9])
    >>> agreement(spec, labels, (few, few), (many, many), 0.25).problem
    'its loss on the hold-out, which it has trained on, is 0.185, that of the judged version 0.065'
    >>> agreement(spec, labels, (few, few), (few, many), 0.25).problem
    'its scores of the newest rows are 0.300 apart (limit 0.125): 0.750 on average for 0.450'
    """
    (old, old_new), (new, new_new) = judged, refit
    if not (np.isfinite(new).all() and np.isfinite(new_new).all()):
        return Agreement("it gives scores that are no numbers")
    known = np.isfinite(labels) & np.isfinite(old)
    before, after = (
        float(row_losses(spec, labels[known], scores[known], scale).mean()) for scores in (old, new)
    )
    shared = np.isfinite(old_new)
    ours, theirs = new_new[shared], old_new[shared]
    if spec.task is Task.MULTICLASS:
        apart, most = float((ours != theirs).mean()) if ours.size else 0.0, limit
    else:
        apart = abs(float((ours - theirs).mean())) if ours.size else 0.0
        most = limit * float(labels[known].std())
    evidence = (("loss", after), ("judged_loss", before), ("apart", apart), ("limit", most))
    if after > before:
        text = f"its loss on the hold-out, which it has trained on, is {after:.4g}"
        return Agreement(f"{text}, that of the judged version {before:.4g}", evidence)
    if apart > most:
        text = f"its scores of the newest rows are {apart:.3f} apart (limit {most:.3f})"
        means = f"{ours.mean():.3f} on average for {theirs.mean():.3f}"
        return Agreement(f"{text}: {means}", evidence)
    return Agreement("", evidence)
