"""`homeostat.estimate`: performance of a model whose labels are not known yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import numpy as np

from homeostat.detectors.estimation.estimate import estimate_windows
from homeostat.detectors.performance.cohorts import hide_young_of
from homeostat.domain.errors import ConfigError, DataError
from homeostat.domain.estimation import Estimation
from homeostat.domain.predictions import NEVER, Predictions, PredictionSpec
from homeostat.entrypoints.frames import Data
from homeostat.entrypoints.predictions import read_predictions

MOST_WINDOWS = 10_000


def estimate(
    reference: Data,
    current: Data,
    spec: PredictionSpec,
    *,
    window: int | timedelta | None = None,
    windows: int = 10,
    metrics: Sequence[str] | None = None,
    seed: int = 0,
) -> Estimation:
    """Estimate how good a model is on rows whose labels are not known.

    Parameters
    ----------
    reference : dataframe, mapping of columns or path
        Rows with labels that the model was not trained on.
    current : dataframe, mapping of columns or path
        Rows to judge; labels in it are not looked at.
    spec : PredictionSpec
        Which columns are what. Features should be those that the model takes.
    window : int or timedelta, optional
        Rows, or length of time, of each window; the last may be shorter.
    windows : int
        Into how many windows of equally many rows to cut, if `window` is not given.
    metrics : sequence of str, optional
        Binary and multi-class: ``accuracy precision recall specificity f1 mcc auc
        average_precision log_loss brier`` (of several classes the mean over them, each against the
        rest), binary also ``positive_rate``. Regression: ``mae rmse mse mape``, and ``bias r2``,
        which are never identifiable. All by default.
    seed : int
        Of the draws of rows; equal inputs and seeds give equal estimates.

    Returns
    -------
    Estimation
        For each window and metric an estimate with an interval for the figure that will be
        realized, or why it is not identifiable.

    Raises
    ------
    ConfigError, DataError, NotFoundError
    See `homeostat.detectors.estimation.estimate.estimate_windows` for what is assumed.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> score = rng.random(4000)
    >>> labelled = {"score": score[:3000], "label": rng.random(3000) < score[:3000]}
    >>> found = estimate(labelled, {"score": score[3000:]}, PredictionSpec("binary"), windows=1)
    >>> accuracy = found.windows[0]["accuracy"]
    >>> accuracy.standing.value, round(accuracy.value, 1), accuracy.lower < 0.75 < accuracy.upper
    ('estimated', 0.7, True)
    """
    before = _in_order(read_predictions(reference, spec, "reference", labelled=True))
    now = _in_order(read_predictions(current, replace(spec, classes=before.classes), "current"))
    if spec.maturity is not None:
        before, now = hide_young_of(before, now, spec.maturity)
    cuts = _windows(now, window, windows)
    return estimate_windows(before, now, cuts, np.random.default_rng(seed), metrics)


def _in_order(rows: Predictions) -> Predictions:
    if rows.timestamps is None:
        return rows
    order = np.argsort(rows.timestamps, kind="stable")
    return rows if bool((order == np.arange(order.size)).all()) else rows.take(order)


def _windows(
    rows: Predictions, window: int | timedelta | None, windows: int
) -> list[tuple[int, int]]:
    n = len(rows)
    if not n:
        raise DataError("current has no rows")
    if isinstance(window, timedelta):
        return _by_time(rows, window)
    if window is not None:
        if window < 1:
            raise ConfigError(f"window is {window} rows", "give at least 1")
        starts = range(0, n, window)
        cuts = [(start, min(n, start + window)) for start in starts]
    else:
        if windows < 1:
            raise ConfigError(f"windows is {windows}", "give at least 1")
        ends = [n * index // windows for index in range(windows + 1)]
        cuts = [(a, b) for a, b in pairwise(ends) if b > a]
    return _few(cuts)


def _by_time(rows: Predictions, window: timedelta) -> list[tuple[int, int]]:
    if rows.timestamps is None:
        raise ConfigError("window is a time but rows have none", "name the timestamp column")
    if window <= timedelta(0):
        raise ConfigError(f"window is {window}", "give a time above 0")
    known = rows.timestamps[rows.timestamps != NEVER]
    if not known.size:
        raise DataError("no row of current has a time")
    length = window // timedelta(microseconds=1)
    place = (known - known[0]) // length
    starts = np.flatnonzero(np.append(True, place[1:] != place[:-1])).tolist()
    return _few(list(zip(starts, [*starts[1:], known.size], strict=True)))


def _few(cuts: list[tuple[int, int]]) -> list[tuple[int, int]]:
    if len(cuts) > MOST_WINDOWS:
        raise ConfigError(f"that makes {len(cuts):,} windows", f"at most {MOST_WINDOWS:,}")
    return cuts
