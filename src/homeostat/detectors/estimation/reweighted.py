"""By how much losses that were learnt are off where a window's rows lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from homeostat.detectors.estimation.guess import thin
from homeostat.detectors.estimation.losses import LossOutlook
from homeostat.detectors.estimation.support import FEWEST, SAMPLE
from homeostat.stats.density_ratio import density_ratio

STRETCHES = 10
"""Of windows next to one another, each with a density ratio of its own."""


def shifted_errors(
    outlook: LossOutlook, spans: Sequence[tuple[int, int]], rng: np.random.Generator
) -> list[Mapping[str, float]]:
    """Return the standard error that held-out reference rows show if weighted like each window's.

    A learner that is right on average is off where windows have moved to if it cannot express how
    losses follow from inputs. Held-out rows there show it, by their mean error, weighted by the
    density ratio; how little it is known where they are few is part of the standard error.

    Parameters
    ----------
    outlook : LossOutlook
    spans : sequence of (int, int)
        First current row of each window and the one after its last.
    rng : numpy.random.Generator

    Returns
    -------
    list of mapping of str to float
        For each window, by metric; nothing where rows are too few for a density ratio.
    """
    reference, current = outlook.codes
    found: list[Mapping[str, float]] = []
    for part in np.array_split(np.array(spans), min(STRETCHES, len(spans))):
        rows = thin(np.arange(part[0, 0], part[-1, 1]), SAMPLE)
        if min(rows.size, reference.shape[1]) < FEWEST:
            found += [{}] * len(part)
            continue
        some = thin(np.arange(reference.shape[1]), SAMPLE)
        ratio = density_ratio(reference[:, some], current[:, rows], rng)
        weights = ratio.at(reference)
        weights[some] = ratio.reference
        pairs = outlook.errors(weights)
        shown = {name: float(np.hypot(error, noise)) for name, (error, noise) in pairs.items()}
        found += [shown] * len(part)
    return found
