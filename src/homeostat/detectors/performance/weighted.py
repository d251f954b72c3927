"""The cohort of all predictions, young ones too, with early labels weighted for those to come."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.performance.arrival import Learned, as_seen, weigh_window
from homeostat.detectors.performance.cohorts import (
    MICRO,
    Cohort,
    Parting,
    mature,
    partings,
    settled,
)
from homeostat.domain.evaluation import WEIGHTED
from homeostat.domain.predictions import Predictions, from_micros, to_micros

Floats = NDArray[np.float64]


def weigh(
    rows: Predictions,
    maturity: timedelta,
    as_of: datetime | None,
    by: tuple[str, ...] = (),
    window: timedelta | int | None = None,
) -> tuple[Cohort, Cohort]:
    """Weight known labels, so that they stand for all predictions.

    In each part, predictions old enough count by the labels they have, younger ones by
    `arrival_weights`. Parts are the whole, and the windows: within the whole a known label
    stands for its class, not for its age, so that windows need weights of their own.

    Parameters
    ----------
    rows : Predictions
        With times of prediction and arrival.
    maturity : timedelta
    as_of : datetime, optional
        None: the latest time in the data.
    by : tuple of str
        Features or segments that decide how long a label takes.
    window : timedelta or int, optional

    Returns
    -------
    whole, windows : Cohort
        The same rows with the weights of the one and of the other.

    Raises
    ------
    DataError, NotFoundError, ConfigError
        As `as_seen`.
    """
    seen = mature(rows, None, as_of, matured=False)
    rows = seen.rows
    known = seen.as_of
    rows, now = settled(rows, maturity) if known is None else (rows, to_micros(known))
    learned = as_seen(rows, now, maturity, by)
    count = len(rows)
    single = Parting("", ("",), np.zeros(count, np.int64))
    parted = single if window is None else next(partings(rows, window))
    found = []
    for parting in (single, parted):
        weights, reasons = _weights(learned, parting, count, maturity // MICRO)
        own = weights if rows.weights is None else weights * rows.weights
        weighted = replace(rows, weights=own)
        found.append(Cohort(weighted, WEIGHTED, from_micros(now), reasons))
    return found[0], found[1]


def _weights(
    learned: Learned, parting: Parting, count: int, maturity: int
) -> tuple[Floats, dict[str, str]]:
    weights, reasons = np.zeros(count), {}
    known = learned.delays.seen(learned.rows)
    young = learned.rows.ages < maturity
    codes = parting.codes[learned.present]
    for code, name in enumerate(parting.names):
        here = codes == code
        old = here & ~young
        answered = old & known
        if answered.any():
            share = np.count_nonzero(old) / np.count_nonzero(answered)
            weights[learned.present[answered]] = share
        places = np.flatnonzero(here & young)
        if places.size:
            found = weigh_window(learned, places)
            weights[learned.present[places]] = found.weights
            if found.reason:
                reasons[name] = found.reason
    return weights, reasons
