"""A candidate on each segment: better over all may be worse for some."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.retraining.gate.checks import Check, Clusters, Rise, rise
from homeostat.retraining.gate.paired import MIN_ROWS, Floats
from homeostat.stats.multiple import holm
from homeostat.stats.special import t_quantile

NAMED = 3
"""Segments that are named in a reason, at most."""


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    rows: int
    champion: float
    found: Rise

    @property
    def text(self) -> str:
        loss = self.champion + self.found.mean
        return f"{self.name}: loss {loss:.4g}, champion {self.champion:.4g}, {self.rows} rows"


def judge_segments(
    before: Floats,
    after: Floats,
    segments: Iterable[tuple[str, NDArray[np.int64]]],
    clusters: Clusters,
    limit: float,
    alpha: float = 0.05,
    *,
    proof: bool = False,
) -> Check:
    """Compare the losses segment by segment.

    Parameters
    ----------
    before, after : float64 arrays of shape (n,)
        Champion's and candidate's losses on the same rows.
    segments : iterable of (str, int64 array)
        Names and rows.
    clusters : Clusters
    limit : float
        Rise of a segment's mean loss that matters, as a share of the champion's there.
    alpha : float
        Chance to refuse a candidate that is worse nowhere: p-values are Holm's. With `proof`,
        chance to pass one that is worse by more than the limit on a given segment, over the number
        of segments (Bonferroni).
    proof : bool
        Each segment must be shown to be within the limit.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> before = rng.random(200)
    >>> after = before - 0.1
    >>> after[:50] += 0.3 + 0.01 * rng.random(50)
    >>> parts = [("land=FR", np.arange(50)), ("land=DE", np.arange(50, 200))]
    >>> judge_segments(before, after, parts, Clusters(), 0.1).passed
    False
    """
    parts, few = [], 0
    for name, rows in segments:
        if rows.size < MIN_ROWS:
            few += 1
            continue
        found = rise(after[rows] - before[rows], clusters.of(rows))
        parts.append(_Part(name, rows.size, float(before[rows].mean()), found))
    evidence = (("judged", float(len(parts))), ("too_few_rows", float(few)))
    left = f"{few} with fewer than {MIN_ROWS} rows" if few else ""
    if not parts:
        return Check("segments", None, left or "there are none", evidence)
    failing = _unproven(parts, limit, alpha) if proof else _worse(parts, limit, alpha)
    if not failing:
        return Check("segments", True, f"{len(parts)} segments within {limit:.0%}", evidence)
    worst = sorted(failing, key=lambda part: -part.found.mean)
    more = f" and {len(worst) - NAMED} more" if len(worst) > NAMED else ""
    said = "not shown to be within" if proof else "worse by more than"
    text = f"{said} {limit:.0%} on {'; '.join(part.text for part in worst[:NAMED])}{more}"
    return Check("segments", False, f"{text} ({left})" if left else text, evidence)


def _worse(parts: list[_Part], limit: float, alpha: float) -> list[_Part]:
    adjusted = holm([part.found.p_value for part in parts])
    return [
        part
        for part, p_value in zip(parts, adjusted.tolist(), strict=True)
        if p_value <= alpha and part.found.mean > limit * part.champion
    ]


def _unproven(parts: list[_Part], limit: float, alpha: float) -> list[_Part]:
    level = 1.0 - alpha / len(parts)
    return [
        part
        for part in parts
        if part.found.mean + t_quantile(part.found.freedom, level) * part.found.error
        > limit * part.champion
    ]
