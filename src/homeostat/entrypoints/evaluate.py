"""``hs.evaluate``: how good predictions were, by the labels that are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.profilers.performance import Logged
from homeostat.detectors.performance.cohorts import MICRO, mature
from homeostat.detectors.performance.evaluation import Request, evaluate_predictions
from homeostat.detectors.performance.realized import NAMES
from homeostat.detectors.performance.weighted import weigh
from homeostat.domain.errors import ConfigError, DataError
from homeostat.domain.evaluation import KNOWN, MATURED, WEIGHTED, WINDOW, Evaluation
from homeostat.domain.model import Task
from homeostat.domain.predictions import (
    NEVER,
    Predictions,
    PredictionSpec,
    from_micros,
    to_micros,
)
from homeostat.entrypoints.engines import LOCAL, EngineName, engine_of
from homeostat.entrypoints.frames import Data
from homeostat.entrypoints.logged import LogWindow, as_window
from homeostat.entrypoints.predictions import read_predictions
from homeostat.entrypoints.scored import (
    Question,
    check_elsewhere,
    evaluate_files,
    evaluate_log,
    no_rows,
    settled_spec,
)
from homeostat.entrypoints.windows import (
    at_least_one,
    check_as_of,
    check_count,
    check_length,
    check_moment,
    check_spec,
    named,
)

MOST_WINDOWS = 10_000


def evaluate(
    data: Data | LogWindow,
    spec: PredictionSpec | None = None,
    *,
    metrics: Sequence[str] | None = None,
    value: ArrayLike | None = None,
    window: timedelta | int | None = None,
    min_rows: int = 30,
    quantile: float = 0.5,
    as_of: datetime | None = None,
    cohort: Literal["matured", "weighted", "known"] = "matured",
    delay_by: str | Sequence[str] = (),
    engine: EngineName = LOCAL,
) -> Evaluation:
    """Measure realized performance, each figure with a 95 % interval and what it rests on.

    Parameters
    ----------
    data : dataframe, mapping of columns or path
        As for `homeostat.compare`, but no profile. Of a log, answers of models to callers count.
    spec : PredictionSpec
        Which columns are what; for a log none. By version and segments, each value has figures.
    metrics : sequence of str, optional
        Names from `NAMES`, or ``"value"``; None: all of the task.
    value : array_like, shape (k, k), optional
        What a prediction is worth, by true (row) and predicted class (column): adds ``"value"``.
    window : timedelta or int, optional
        Figures for each stretch of time as well, in steps since 1970 UTC, or for each so many rows.
    min_rows : int
        A figure on fewer labelled rows is not given; its problem says so.
    quantile : float
        Which quantile a regression predicts, in (0, 1), for the metric ``pinball``.
    as_of : datetime, optional
        Judge as things were known then (UTC): later predictions and labels are not looked at.
        None: the latest time in the data; of a log now.
    cohort : str
        ``"matured"``: leave out predictions younger than the maturity. ``"weighted"``: count them,
        each early label for those to come. ``"known"``: count early labels as a sample.
    delay_by : str or sequence of str
        For ``"weighted"``: columns that decide how long a label takes.
    engine : {"local", "spark", "dask", "ray"}
        Where to compute. Others than ``local`` take paths, and, as logs on any, only add up counts.

    Raises
    ------
    NotFoundError, DataError, ConfigError
        If the data cannot be read or an option is wrong. Problems of the result tell of rows.

    Examples
    --------
    >>> scores, chance = np.random.default_rng(0).random((2, 1000))
    >>> rows = {"score": scores, "label": chance < scores}
    >>> found = evaluate(rows, PredictionSpec("binary"), metrics=["auc", "recall"])
    >>> print(found)
    1,000 predictions, labels of 100.0% known
    auc: 0.8339 [0.8083, 0.8567], n 1,000, labels of 100%
    recall: 0.7648 [0.7266, 0.7992], n 523, labels of 100%
    """
    options = _Options(metrics, value, window, min_rows, quantile)
    return _answer(data, spec, options, _How(as_of, cohort, named(delay_by), engine))


@dataclass(frozen=True, slots=True)
class _How:
    """Which rows count, and where they are counted."""

    as_of: datetime | None
    cohort: str
    delay_by: tuple[str, ...]
    engine: EngineName

    @property
    def question(self) -> Question:
        """What other engines are asked."""
        check_moment("as_of", self.as_of)
        as_of = None if self.as_of is None else from_micros(to_micros(self.as_of))
        return Question(self.cohort, as_of)


def _answer(
    data: Data | LogWindow, spec: PredictionSpec | None, options: _Options, how: _How
) -> Evaluation:
    logged = as_window(data)
    if logged is not None:
        if spec is not None:
            raise ConfigError("the deployment of a log says which columns are what", "give no spec")
        return _logged(logged, how.engine, options, how.question)
    check_spec(spec)
    assert spec is not None
    check_as_of(how.as_of, spec)
    if how.engine != LOCAL:
        if not isinstance(data, str | Path):
            raise DataError(f"{how.engine} reads files: give the path of a file, not rows")
        return _elsewhere(str(data), spec, how.engine, options, how.question)
    rows = read_predictions(cast("Data", data), spec, labelled=True, unknown=True)
    return _judged(rows, spec, how.as_of, (how.cohort, how.delay_by), options.request(rows))


def _logged(data: LogWindow, engine: EngineName, options: _Options, how: Question) -> Evaluation:
    how = replace(how, as_of=how.as_of or SystemClock().now())
    with data.opened() as (_, spec, _now):
        nothing = Logged(spec).nothing()
    request = options.request(nothing)
    check_elsewhere(PredictionSpec(), request.window, how)
    return evaluate_log(engine_of(engine), data, request, how)


def _elsewhere(
    location: str, spec: PredictionSpec, engine: EngineName, options: _Options, how: Question
) -> Evaluation:
    check_elsewhere(spec, options.window, how)
    chosen = engine_of(engine)
    spec = settled_spec(chosen, location, spec)
    return evaluate_files(chosen, location, spec, options.request(no_rows(spec)), how)


@dataclass(frozen=True, slots=True)
class _Options:
    """What to compute, as it was asked for."""

    metrics: Sequence[str] | None
    value: ArrayLike | None
    window: timedelta | int | None
    min_rows: int
    quantile: float

    def request(self, rows: Predictions) -> Request:
        """Return what to compute of such rows; raises ConfigError."""
        if not 0.0 < self.quantile < 1.0:
            raise ConfigError(f"quantile is {self.quantile}", "give a share between 0 and 1")
        return Request(
            _names(self.metrics, rows.task, valued=self.value is not None),
            None if self.value is None else _values(self.value, rows),
            _window(self.window, rows),
            at_least_one("min_rows", self.min_rows),
            self.quantile,
        )


def _judged(
    rows: Predictions,
    spec: PredictionSpec,
    as_of: datetime | None,
    how: tuple[str, tuple[str, ...]],
    request: Request,
) -> Evaluation:
    cohort, delay_by = how
    if cohort == WEIGHTED:
        return _weighted(rows, spec, as_of, delay_by, request)
    if cohort not in {MATURED, KNOWN}:
        choices = f"{MATURED}, {WEIGHTED}, {KNOWN}"
        raise ConfigError(f"cohort is {cohort!r}", f"choose from {choices}")
    kept = mature(rows, spec.maturity, as_of, matured=cohort == MATURED)
    return evaluate_predictions(kept, request)


def _weighted(
    rows: Predictions,
    spec: PredictionSpec,
    as_of: datetime | None,
    by: tuple[str, ...],
    request: Request,
) -> Evaluation:
    if spec.maturity is None or not spec.arrival:
        raise ConfigError(
            "weighted labels need to know when labels are complete, and when they came",
            "give timestamp, arrival and maturity in the spec",
        )
    whole, windows = weigh(rows, spec.maturity, as_of, by, request.window)
    found = evaluate_predictions(whole, replace(request, window=None))
    if request.window is None:
        return found
    parted = evaluate_predictions(windows, request).select(by=WINDOW)
    count = len(request.names(rows.task))
    return replace(found, figures=(*found.figures[:count], *parted, *found.figures[count:]))


def _names(metrics: Sequence[str] | None, task: Task, *, valued: bool) -> tuple[str, ...]:
    if metrics is None:
        return ()
    given = (metrics,) if isinstance(metrics, str) else tuple(metrics)
    if not given:
        raise ConfigError("metrics is empty", "name some, or give None for all")
    if "value" in given and not valued:
        raise ConfigError("the metric value needs to know values", "give value=[[...], [...]]")
    known = (*NAMES[task], *(("value",) if valued else ()))
    wrong = [name for name in given if name not in known]
    if wrong:
        raise ConfigError(f"{task} has no metric {wrong[0]!r}", f"choose from {', '.join(known)}")
    return given


def _values(value: ArrayLike, rows: Predictions) -> NDArray[np.float64]:
    k = len(rows.classes)
    if not k:
        raise ConfigError("value is given for a regression", "outcomes of classes have values")
    try:
        values = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.shape != (k, k) or not np.isfinite(values).all():
        raise ConfigError(
            "value is no table of numbers by true and predicted class",
            f"give {k} rows of {k} finite numbers, in the order {', '.join(rows.classes)}",
        )
    return values


def _window(window: timedelta | int | None, rows: Predictions) -> timedelta | int | None:
    if isinstance(window, timedelta):
        if rows.timestamps is None:
            raise ConfigError("windows of time need timestamps", "name the timestamp column")
        check_length("window", window)
        numbers = rows.timestamps[rows.timestamps != NEVER] // (window // MICRO)
        check_count(np.unique(numbers).size, MOST_WINDOWS)
        return window
    if window is None:
        return None
    size = at_least_one("window", window, " rows, or a timedelta")
    check_count(-(-len(rows) // size), MOST_WINDOWS)
    return min(size, max(len(rows), 1))
