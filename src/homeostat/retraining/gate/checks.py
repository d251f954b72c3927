"""What all checks of a candidate share: paired rows, the evidence of harm, and the conclusion."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from homeostat.retraining.gate.paired import FEW_DAYS, Floats, GateResult
from homeostat.stats.blocks import clustered_error
from homeostat.stats.special import t_sf

RESAMPLES = 400


@dataclass(frozen=True, slots=True)
class Check:
    """What one check says: ``passed`` is None where it could not tell, which refuses nobody."""

    name: str
    passed: bool | None
    text: str
    evidence: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """Whom each row is about and its day; rows of one are alike. None: not known."""

    entities: NDArray[np.int64] | None = None
    days: NDArray[np.int64] | None = None

    def of(self, rows: NDArray[np.int64]) -> Clusters:
        """Return those of some rows."""
        entities, days = (None if by is None else by[rows] for by in (self.entities, self.days))
        return Clusters(entities, days)


@dataclass(frozen=True, slots=True)
class Rise:
    """By how much a mean loss is higher, and the p-value of "it is not"."""

    mean: float
    p_value: float
    error: float
    freedom: float


def rise(difference: Floats, clusters: Clusters) -> Rise:
    """Return the mean of paired differences with Student's one-sided test.

    The standard error is the largest of those over rows, over entities and, from `FEW_DAYS` on,
    over days (cluster-robust; Cameron & Miller 2015).

    Parameters
    ----------
    difference : float64 array of shape (n,), n > 1
        Positive where the candidate is worse.
    clusters : Clusters

    Examples
    --------
    >>> found = rise(np.array([0.1, 0.2, 0.15, 0.12]), Clusters())
    >>> round(found.mean, 4), found.p_value < 0.01
    (0.1425, True)
    """
    mean, count = float(difference.mean()), difference.size
    errors = [(float(difference.std(ddof=1)) / math.sqrt(count), count - 1.0)]
    for by, least in ((clusters.entities, 2), (clusters.days, FEW_DAYS)):
        if by is None:
            continue
        _, owner = np.unique(by, return_inverse=True)
        groups = int(owner.max()) + 1
        if groups >= least:
            errors.append((clustered_error(difference, owner), groups - 1.0))
    error, freedom = max(errors)
    if error == 0.0:
        return Rise(mean, float(mean <= 0.0), error, freedom)
    return Rise(mean, t_sf(freedom, mean / error), error, freedom)


def resampled(
    statistic: Callable[[Floats], float],
    rows: int,
    entities: NDArray[np.int64] | None,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Floats:
    """Return a statistic of the rows' weights under the bootstrap over rows or entities.

    Examples
    --------
    >>> values = np.array([1.0, 2.0, 3.0])
    >>> mean = lambda weights: float(weights @ values / weights.sum())
    >>> found = resampled(mean, 3, None, np.random.default_rng(0))
    >>> bool(1.0 <= found.min() < found.max() <= 3.0)
    True
    """
    _, owner = np.unique(np.arange(rows) if entities is None else entities, return_inverse=True)
    groups = int(owner.max()) + 1
    found = np.empty(resamples)
    for turn in range(resamples):
        drawn = np.bincount(rng.integers(0, groups, groups), minlength=groups)
        found[turn] = statistic(drawn[owner].astype(np.float64))
    return found


def conclude(result: GateResult, checks: Iterable[Check]) -> GateResult:
    """Add what the checks say to what the losses say: one that fails refuses the candidate.

    Examples
    --------
    >>> passed = GateResult(True, "passes: loss 0.1 against the champion's 0.2")
    >>> slow = Check("latency", False, "scores a row in 9 ms at the median, champion 1 ms")
    >>> conclude(passed, [slow]).reason
    'refused for its latency: scores a row in 9 ms at the median, champion 1 ms'
    """
    made = tuple(checks)
    failed = [check for check in made if check.passed is False]
    unknown = [f"{check.name} not judged: {check.text}" for check in made if check.passed is None]
    figures = tuple(
        (f"{check.name}_{name}", value) for check in made for name, value in check.evidence
    )
    told = [f"refused for its {check.name}: {check.text}" for check in failed]
    reason = "; ".join([*(told or [result.reason]), *unknown])
    accepted = result.accepted and not failed
    return replace(result, accepted=accepted, reason=reason, evidence=(*result.evidence, *figures))
