"""``hs.proxy``: an early signal, how well it foretells the label, and what it says already."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from homeostat.detectors.performance.cohorts import mature
from homeostat.detectors.proxy.tie import Tie, fit_tie, foretell
from homeostat.domain.columns import float_array
from homeostat.domain.errors import ConfigError, DataError
from homeostat.domain.model import Task
from homeostat.domain.predictions import (
    NEVER,
    Floats,
    Predictions,
    PredictionSpec,
    from_micros,
    to_micros,
)
from homeostat.domain.text import lines
from homeostat.domain.window import Window
from homeostat.entrypoints.frames import Data
from homeostat.entrypoints.predictions import read_predictions
from homeostat.entrypoints.windows import check_as_of, check_length
from homeostat.profiles.cast import BOOLEAN_WORDS
from homeostat.stats.estimates import Estimate

MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class ProxyWindow:
    """What the signal says of a window whose labels are not complete.

    ``coverage`` is the share of its rows that have the signal.
    """

    window: Window
    rate: Estimate
    coverage: float


@dataclass(frozen=True, slots=True, eq=False)
class ProxyReport:
    """A signal's tie to the label on matured rows, and the young windows by it, oldest first."""

    column: str
    tie: Tie
    windows: tuple[ProxyWindow, ...]
    problems: tuple[str, ...] = ()

    def __str__(self) -> str:
        named = ("correlation", "auc", "precision", "recall", "lift")
        tie = self.tie
        figures = [f"{name}: {_text(getattr(tie, name))}" for name in named]
        windows = [f"{one.window}: rate {_text(one.rate)}" for one in self.windows]
        return lines([f"{self.column} and the label", *figures, *windows, *self.problems])


def proxy(
    data: Data,
    spec: PredictionSpec,
    column: str,
    *,
    every: timedelta = timedelta(days=7),
    as_of: datetime | None = None,
) -> ProxyReport:
    """Tie a signal that is known soon to a label that comes late, and read it where there is none.

    Parameters
    ----------
    data : dataframe, mapping of columns or path
    spec : PredictionSpec
        Of a binary model, with a timestamp and the maturity of its labels.
    column : str
        The signal, yes/no (or words for them) or a number, such as a chargeback within 24 hours.
        Missing: not yet known.
    every : timedelta
        Length of a window.
    as_of : datetime, optional
        Leave out what came later. None: the latest time in the data.

    Raises
    ------
    ConfigError, DataError, NotFoundError
        If an option is wrong or the data cannot be read.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> at = np.datetime64("2024-01-01") + np.arange(6000) * np.timedelta64(24, "m")
    >>> late = rng.random(6000) < 0.2
    >>> label = np.where(np.arange(6000) < 4000, late * 1.0, np.nan)
    >>> rows = {"at": at, "score": np.full(6000, 0.2), "label": label,
    ...         "missed": late & (rng.random(6000) < 0.7)}
    >>> spec = PredictionSpec(timestamp="at", maturity=timedelta(days=30))
    >>> found = proxy(rows, spec, "missed")
    >>> round(found.tie.recall.value, 1), round(found.windows[-1].rate.value, 1)
    (0.7, 0.2)
    """
    maturity = _checked(spec, column, every, as_of)
    rows = read_predictions(data, replace(spec, features=()))
    old = mature(rows, maturity, as_of, matured=True)
    seen = mature(rows, None, as_of, matured=False).rows
    if old.as_of is None:
        raise DataError(f"data, column {spec.timestamp!r}: no row has a time")
    assert old.rows.timestamps is not None
    signal = _finite(old.rows, column)
    there = old.rows.known & ~np.isnan(signal)
    step = every // MICROSECOND
    tie = fit_tie(signal[there], old.rows.labels[there], old.rows.timestamps[there], step)
    young = to_micros(old.as_of) - maturity // MICROSECOND
    windows = _windows(seen, _finite(seen, column), tie, step, young)
    return ProxyReport(column, tie, windows, (*rows.problems, *_lost(rows, column), *_said(tie)))


def _checked(
    spec: PredictionSpec, column: str, every: timedelta, as_of: datetime | None
) -> timedelta:
    """Return the maturity, if there is one and the rest makes sense too."""
    check_as_of(as_of, spec)
    if spec.task is not Task.BINARY:
        raise ConfigError(f"a proxy of a {spec.task} label", "give the spec of a binary model")
    if spec.maturity is None:
        raise ConfigError("a proxy is tied to complete labels", "give timestamp and maturity")
    check_length("every", every)
    if column in spec.used:
        raise ConfigError(
            f"column {column!r} is the label, score or another column of the spec",
            "give a signal that is known before the label",
        )
    return spec.maturity


def _lost(rows: Predictions, column: str) -> tuple[str, ...]:
    infinite = int(np.count_nonzero(np.isinf(_signal(rows, column))))
    return (f"{infinite:,} of {len(rows):,} signals are infinite: left out",) * (infinite > 0)


def _signal(rows: Predictions, name: str) -> Floats:
    if name not in rows.features.column_names:
        raise DataError(f"data have no column {name!r} to use as a proxy")
    column = rows.features.column(name)
    if pt.is_boolean(column.type):
        column = column.cast(pa.int8())
    try:
        if pt.is_string(column.type) or pt.is_large_string(column.type):
            return _words(column)
        return float_array(column.cast(pa.float64()))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise DataError(f"column {name!r} is neither yes/no nor a number") from None


def _words(column: pa.ChunkedArray[pa.StringScalar]) -> Floats:
    """Read words for yes and no as 1 and 0; if there are others, numbers."""
    texts = [None if text is None else text.strip().lower() for text in column.to_pylist()]
    if not all(text in BOOLEAN_WORDS for text in texts if text):
        return float_array(column.cast(pa.float64()))
    return np.array([float(BOOLEAN_WORDS[text]) if text else np.nan for text in texts])


def _finite(rows: Predictions, name: str) -> Floats:
    values = _signal(rows, name)
    return np.where(np.isinf(values), np.nan, values)


def _windows(
    rows: Predictions, signal: Floats, tie: Tie, step: int, young: int
) -> tuple[ProxyWindow, ...]:
    """Return the windows of which some rows are too young for their labels."""
    assert rows.timestamps is not None
    dated = rows.timestamps != NEVER
    codes = np.where(dated, rows.timestamps, 0) // step
    found = []
    for code in np.unique(codes[dated & (rows.timestamps > young)]).tolist():
        here = dated & (codes == code)
        values = signal[here]
        known = values[~np.isnan(values)]
        window = Window(from_micros(code * step), from_micros((code + 1) * step))
        found.append(ProxyWindow(window, foretell(tie, known), known.size / values.size))
    return tuple(found)


def _said(tie: Tie) -> list[str]:
    halves = tie.halves
    if tie.reason:
        return [tie.reason]
    if halves is None or not halves.weakened:
        return []
    text = (
        f"the tie has weakened: correlation {halves.earlier.value:.2f} in the earlier half of the "
        f"matured rows, {halves.later.value:.2f} in the later (p = {halves.p_value:.2g}): rates "
        "that rest on it are doubtful"
    )
    return [text]


def _text(one: Estimate) -> str:
    if one.problem:
        return f"not available, {one.problem}"
    return f"{one.value:.4g} [{one.lower:.4g}, {one.upper:.4g}], n {one.n:,}"
