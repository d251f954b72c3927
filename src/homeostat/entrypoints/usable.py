"""Rows as estimates and diagnoses can take them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from homeostat.domain.errors import ConfigError, DataError
from homeostat.domain.model import Task
from homeostat.domain.predictions import Floats, Predictions

HUGE = 1e100
"""Size of a number from which squares and their sums may be no floats."""


def usable(rows: Predictions, role: str, what: str) -> Predictions:
    """Leave out rows that do not count, and numbers too large to reckon with.

    Parameters
    ----------
    rows : Predictions
    role : str
        What to call the data in messages.
    what : str
        What cannot take weights.

    Raises
    ------
    DataError, ConfigError
        If no row counts, or weights differ.
    """
    kept = _alike(rows, role, what)
    if kept.task is not Task.REGRESSION:
        return kept
    huge = [np.abs(each) > HUGE for each in (kept.scores, kept.predictions, kept.labels)]
    count = int(np.count_nonzero(huge[0] | huge[1] | huge[2]))
    if not count:
        return kept
    said = f"{role}: {count:,} of {len(kept):,} rows have numbers beyond {HUGE:g}: left out"

    def without(values: Floats, wrong: NDArray[np.bool_]) -> Floats:
        return np.where(wrong, np.nan, values)

    scores, predictions, labels = map(without, (kept.scores, kept.predictions, kept.labels), huge)
    return replace(
        kept, scores=scores, predictions=predictions, labels=labels, problems=(*kept.problems, said)
    )


def _alike(rows: Predictions, role: str, what: str) -> Predictions:
    """Leave out rows without weight, if the others count alike."""
    weights = rows.weights
    if weights is None:
        return rows
    there = weights > 0.0
    if weights.size and not there.any():
        raise DataError(f"{role}: no row has a weight above 0")
    kept = weights[there]
    if kept.size and not np.isclose(kept, kept[0], rtol=1e-9, atol=0.0).all():
        raise ConfigError(
            f"{role}: weights differ, which {what} cannot take",
            "name no weight, or give rows drawn with chances in proportion to it",
        )
    idle = weights.size - kept.size
    said = (f"{role}: {idle:,} of {weights.size:,} rows have no weight: left out",) * (idle > 0)
    return replace(rows.take(there), weights=None, problems=(*rows.problems, *said))
