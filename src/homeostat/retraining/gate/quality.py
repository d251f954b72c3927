"""Calibration and business value of a candidate beside the champion's, on the same rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.retraining.gate.checks import Check, resampled
from homeostat.retraining.gate.paired import Floats

CELLS = 10


def judge_calibration(
    labels: Floats,
    champion: Floats,
    candidate: Floats,
    entities: NDArray[np.int64] | None,
    limit: float,
    rng: np.random.Generator,
    alpha: float = 0.05,
) -> Check:
    """Compare expected calibration errors over `CELLS` cells of equally many rows.

    Both errors are too high by about the same for want of rows (Roelofs et al. 2022), which their
    difference cancels; it is bootstrapped over entities with the cells as they are.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> chance = rng.random(2000)
    >>> labels = (rng.random(2000) < chance).astype(float)
    >>> judge_calibration(labels, chance, chance**2, None, 0.02, rng).passed
    False
    """
    old, new = _Cells.of(champion, labels), _Cells.of(candidate, labels)
    ones = np.ones_like(labels)
    before, after = old.error(ones), new.error(ones)
    drawn = resampled(lambda w: new.error(w) - old.error(w), labels.size, entities, rng)
    lower = float(np.quantile(drawn, alpha))
    text = f"expected calibration error {after:.3f}, champion {before:.3f} (limit {limit:+g})"
    evidence = (("champion", before), ("candidate", after), ("lower", lower))
    return Check("calibration", not (after - before > limit and lower > 0.0), text, evidence)


@dataclass(frozen=True, slots=True, eq=False)
class _Cells:
    cell: NDArray[np.int64]
    gaps: Floats

    @classmethod
    def of(cls, scores: Floats, labels: Floats) -> _Cells:
        # Ties stay together: a score's cell is that of its first place.
        ordered = np.sort(scores)
        cell = np.searchsorted(ordered, scores, side="left") * CELLS // scores.size
        return cls(cell, scores - labels)

    def error(self, weights: Floats) -> float:
        sums = np.bincount(self.cell, weights=weights * self.gaps, minlength=CELLS)
        return float(np.abs(sums).sum() / weights.sum())


@dataclass(frozen=True, slots=True, eq=False)
class Amounts:
    """A business metric's numerators and denominators, shape (n,); NaN where one is not known."""

    name: str
    champion: tuple[Floats, Floats]
    candidate: tuple[Floats, Floats]
    higher_is_better: bool = True


def judge_value(
    amounts: Amounts,
    entities: NDArray[np.int64] | None,
    limit: float,
    rng: np.random.Generator,
    alpha: float = 0.05,
) -> Check:
    """Compare what the decisions of both are worth: numerators over denominators.

    Examples
    --------
    >>> ones = np.ones(50)
    >>> gain = np.linspace(1.0, 2.0, 50)
    >>> worse = Amounts("profit", (gain, ones), (0.8 * gain, ones))
    >>> found = judge_value(worse, None, 0.02, np.random.default_rng(0))
    >>> found.passed, found.text
    (False, 'profit 1.2, champion 1.5 (limit 2% worse)')
    """
    name, parts = f"value of {amounts.name}", (*amounts.champion, *amounts.candidate)
    known = np.logical_and.reduce([np.isfinite(part) for part in parts])
    above, below, new_above, new_below = (part[known] for part in parts)
    if not known.any() or 0.0 in {float(below.sum()), float(new_below.sum())}:
        return Check(name, None, "its columns have no values on the hold-out")
    sign = 1.0 if amounts.higher_is_better else -1.0

    def worse(weights: Floats) -> float:
        with np.errstate(divide="ignore", invalid="ignore"):
            old = (weights @ above) / (weights @ below)
            new = (weights @ new_above) / (weights @ new_below)
        return float(sign * (old - new))

    ones = np.ones_like(above)
    before, after = above.sum() / below.sum(), new_above.sum() / new_below.sum()
    owners = None if entities is None else entities[known]
    drawn = resampled(worse, above.size, owners, rng)
    drawn = drawn[np.isfinite(drawn)]
    lower = float(np.quantile(drawn, alpha)) if drawn.size else 0.0
    lost = worse(ones) / max(abs(before), abs(after), 1e-300)
    text = f"{amounts.name} {after:.4g}, champion {before:.4g} (limit {limit:.0%} worse)"
    evidence = (("champion", float(before)), ("candidate", float(after)), ("lower", lower))
    return Check(name, not (lost > limit and lower > 0.0), text, evidence)
