"""Whether the reference has rows like the current ones."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.estimation.guess import thin
from homeostat.stats.boosting import Bins
from homeostat.stats.density_ratio import density_ratio

Codes: TypeAlias = "NDArray[np.int64]"

MOST_OUTSIDE = 0.1
MOST_UNSUPPORTED = 0.5
"""Shares of a window's rows; more only if held-out stretches of the reference had as many."""

RATIO = 10.0
"""Density over that of the reference from which a row has too little support."""

SAMPLE = 3_000
WINDOW_SAMPLE = 400
FEWEST = 100


class Support:
    """What share of each window's rows the reference does not cover.

    Attributes
    ----------
    outside : list of float
        Share with a number or category beyond those of the reference.
    unsupported : list of float
        Share that lies where the reference is less than a tenth as dense, told by a classifier
        between reference and current rows; NaN where rows are too few for one, or not `dense`.
    """

    def __init__(
        self,
        codes: tuple[Bins, Bins],
        far: tuple[float, NDArray[np.bool_]],
        folds: Codes,
        windows: Sequence[tuple[int, int]],
        rng: np.random.Generator,
        *,
        dense: bool,
    ) -> None:
        reference, current = codes
        self._tested_outside, outside = far
        self.outside = [float(outside[a:b].mean()) if b > a else 0.0 for a, b in windows]
        nothing = [float("nan")] * len(windows)
        self.unsupported = _unsupported(reference, current, windows, rng) if dense else nothing
        self._worst = max((share for share in self.unsupported if not np.isnan(share)), default=0.0)
        self._reference, self._folds, self._rng = reference, folds, rng

    @cached_property
    def _tested(self) -> float:
        """Share that held-out stretches of the reference had, as far as it matters."""
        tested = 0.0
        for fold in np.unique(self._folds):
            out = np.flatnonzero(self._folds == fold)
            rest, held = self._reference[:, self._folds != fold], self._reference[:, out]
            tested = max(tested, _unsupported(rest, held, [(0, out.size)], self._rng)[0])
            if tested >= self._worst:
                break
        return tested

    def lacking(self, window: int) -> str:
        """Say what the reference lacks for a window, or nothing."""
        share, tested = self.outside[window], self._tested_outside
        if share > max(MOST_OUTSIDE, tested):
            return (
                f"{share:.0%} of the rows have a value or category that the reference has not; "
                f"estimates were tested on stretches with up to {tested:.0%}"
            )
        share = self.unsupported[window]
        if share > MOST_UNSUPPORTED and share > self._tested:
            return (
                f"{share:.0%} of the rows lie where the reference is less than a tenth as dense; "
                f"estimates were tested on stretches with up to {self._tested:.0%}"
            )
        return ""


def _unsupported(
    reference: Bins, current: Bins, windows: Sequence[tuple[int, int]], rng: np.random.Generator
) -> list[float]:
    each = SAMPLE if len(windows) == 1 else min(WINDOW_SAMPLE, SAMPLE // max(1, len(windows)))
    sampled = len(windows) > 1 and each < FEWEST
    # Of many windows a sample of all is learnt on; a share of its few rows of one says nothing.
    each = max(each, FEWEST)
    rows = [thin(np.arange(first, last), each) for first, last in windows]
    judged = np.concatenate(rows)
    if min(reference.shape[1], judged.size) < FEWEST:
        return [float("nan")] * len(windows)
    some = thin(np.arange(reference.shape[1]), SAMPLE)
    drawn = thin(judged, SAMPLE) if sampled else judged
    found = density_ratio(reference[:, some], current[:, drawn], rng)
    ratio = found.at(current[:, judged]) if sampled else found.current
    ends = np.cumsum([part.size for part in rows])[:-1]
    parts = np.split(ratio > RATIO, ends)
    return [float(part.mean()) if part.size else 0.0 for part in parts]
