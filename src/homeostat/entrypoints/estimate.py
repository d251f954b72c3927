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
from homeostat.domain.estimation import Estimation, WindowEstimate
from homeostat.domain.predictions import NEVER, Predictions, PredictionSpec, cut_windows
from homeostat.entrypoints.frames import Data
from homeostat.entrypoints.predictions import read_predictions
from homeostat.entrypoints.seeds import generator
from homeostat.entrypoints.usable import usable
from homeostat.entrypoints.windows import at_least_one, check_count, check_length

MOST_WINDOWS = 10_000
MOST_MISSING = 0.1
"""Share of its time that a window may lack at either end of the rows and still be whole."""


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
        Which columns are what. Features should be those that the model takes. Rows without weight
        are left out; others must count alike.
    window : int or timedelta, optional
        Rows, or length of time (cut as by `homeostat.evaluate`), of each window.
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
    if metrics is not None and not metrics:
        raise ConfigError("metrics is empty", "name some, or give None for all")
    before, now = _sides(reference, current, spec)
    cuts = _windows(now, window, windows)
    found = estimate_windows(before, now, cuts, generator(seed), metrics)
    return _marked(_whole(found, spec.segments), now, window)


def _sides(reference: Data, current: Data, spec: PredictionSpec) -> tuple[Predictions, Predictions]:
    before = _read(reference, spec, "reference")
    now = _read(current, replace(spec, classes=before.classes), "current")
    if spec.maturity is not None:
        before, now = hide_young_of(before, now, spec.maturity)
    return before, now


def _whole(found: Estimation, segments: tuple[str, ...]) -> Estimation:
    """Say that segments are not told apart, if there are any."""
    if not segments:
        return found
    said = f"estimates are not told apart by {', '.join(segments)}: give rows of one value each"
    return replace(found, problems=(*found.problems, said))


def _read(data: Data, spec: PredictionSpec, role: str) -> Predictions:
    rows = read_predictions(data, spec, role, labelled=role == "reference")
    return _in_order(usable(rows, role, "an estimate"))


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
        window = at_least_one("window", window, " rows, or a timedelta")
        starts = range(0, n, window)
        cuts = [(start, min(n, start + window)) for start in starts]
    else:
        windows = at_least_one("windows", windows)
        ends = [n * index // windows for index in range(windows + 1)]
        cuts = [(a, b) for a, b in pairwise(ends) if b > a]
    check_count(len(cuts), MOST_WINDOWS)
    return cuts


def _by_time(rows: Predictions, window: timedelta) -> list[tuple[int, int]]:
    if rows.timestamps is None:
        raise ConfigError("window is a time but rows have none", "name the timestamp column")
    check_length("window", window)
    found, codes = cut_windows(rows.timestamps, window)
    if not found:
        raise DataError("no row of current has a time")
    # Rows are in order of time, those without one last.
    ends = np.searchsorted(codes[codes >= 0], np.arange(len(found) + 1)).tolist()
    check_count(len(found), MOST_WINDOWS)
    return list(pairwise(ends))


def _marked(found: Estimation, rows: Predictions, window: int | timedelta | None) -> Estimation:
    """Mark windows that rows do not fill."""
    if window is None:
        return found
    marks = [replace(each, partial=_partial(each, rows, window)) for each in found.windows]
    return replace(found, windows=tuple(marks))


def _partial(found: WindowEstimate, rows: Predictions, window: int | timedelta) -> bool:
    """Tell whether rows begin or end within a window, by more than a tenth of its time."""
    times = rows.timestamps
    if times is None or not isinstance(window, timedelta):
        return not isinstance(window, timedelta) and found.last - found.first < window
    length = window // timedelta(microseconds=1)
    start = int(times[found.first]) // length * length
    late = int(times[found.first]) - start if not found.first else 0
    ends = found.last == times.size or int(times[found.last]) == NEVER
    early = start + length - int(times[found.last - 1]) if ends else 0
    return max(late, early) > MOST_MISSING * length
