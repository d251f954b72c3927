"""Row weights where a result cannot take them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from homeostat.domain.errors import ConfigError, DataError
from homeostat.domain.predictions import Predictions


def alike(rows: Predictions, role: str, what: str) -> Predictions:
    """Leave out rows that do not count, if the others count alike.

    Parameters
    ----------
    rows : Predictions
    role : str
        What to call the data in messages.
    what : str
        What cannot take weights.

    Returns
    -------
    Predictions
        Without weights; its problems say how many rows were left out.

    Raises
    ------
    DataError
        If no row counts.
    ConfigError
        If weights differ.
    """
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
