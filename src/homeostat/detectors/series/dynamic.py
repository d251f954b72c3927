"""Whether a series of figures has left its usual level: a threshold that follows from history.

The history gives a seasonal baseline with conformal bands (`homeostat.stats.seasonal`): each new
window's news is ranked among the history's, and the ranks' normal scores are bet on by the change
point e-detector of `homeostat.stats.changepoint`, which knows that the history's mean is itself an
estimate. So the number of looks, the season, heavy tails and memory between windows do not use up
more of the alarm budget than is its share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.series.alarm import begin
from homeostat.detectors.series.state import SeriesState
from homeostat.domain.point import Point
from homeostat.domain.verdict import BudgetShare, Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.stats import changepoint
from homeostat.stats.changepoint import Baseline
from homeostat.stats.seasonal import Seasonal, fit_seasonal

Floats = NDArray[np.float64]
Ways = Literal["both", "above", "below"]

FEWEST = 21
"""Windows of history from which there is a baseline."""
TOO_FEW = f"fewer than {FEWEST} windows of history"

USUAL = 56
"""Days, or windows if they are longer, of history that are used if nobody says otherwise."""

MOST = 2_000
"""Windows of history that are used."""

CALM = 3
"""Windows in a row within the band without which no alarm ends."""

BAND = 0.95
RECENT = 5.0
"""Windows over which the recent deviation is averaged, exponentially."""

MOST_APART = 100


def usual_history(every: timedelta) -> timedelta:
    """Return how far back the history of windows of this length reaches by default.

    Examples
    --------
    >>> usual_history(timedelta(hours=1)).days, usual_history(timedelta(days=7)).days
    (56, 392)
    """
    return USUAL * max(every, timedelta(days=1))


@dataclass(frozen=True, slots=True)
class SeriesConfig(BudgetShare):
    """What the owner accepts and cares about; ``every`` is the length of the windows.

    Attributes
    ----------
    ways : {"both", "above", "below"}
        Which way a change matters.
    history : timedelta
        How far back the baseline reaches.
    min_rows : int
        Windows with fewer rows are neither judged nor learnt from.
    min_shift : float
        Change that matters, in standard deviations of a usual window, unless `min_change` is set.
    min_change : float
        Change that matters, in the figure's own unit; 0: `min_shift` applies.
    monitor : Monitor
    """

    share: float = 0.1
    ways: Ways = "both"
    history: timedelta = timedelta(days=56)
    min_rows: int = 0
    min_shift: float = 1.0
    min_change: float = 0.0
    monitor: Monitor = Monitor.METRIC


@dataclass(frozen=True, slots=True, eq=False)
class SeriesBaseline:
    """A fitted history.

    Attributes
    ----------
    window : Window
        Which it covers.
    windows, rows : int
    seasonal : Seasonal
    scores : Baseline
        Of the normal scores of its news.
    wander : float
        How much it moved slowly by itself, in the figure's unit.
    """

    window: Window
    windows: int
    rows: int
    seasonal: Seasonal
    scores: Baseline
    wander: float


def fit(
    config: SeriesConfig, history: Sequence[Point], apart: Sequence[Window] = ()
) -> SeriesBaseline | None:
    """Learn what is usual.

    Parameters
    ----------
    config : SeriesConfig
    history : sequence of Point
        Healthy windows in order of time; the newest `MOST` within ``config.history`` of the last
        are used, those without a number or with too few rows passed over.
    apart : sequence of Window
        Times of alarms, whose windows are passed over too.

    Returns
    -------
    SeriesBaseline or None
        None of fewer than `FEWEST` windows.

    Examples
    --------
    >>> from datetime import UTC
    >>> start, day = datetime(2024, 1, 1, tzinfo=UTC), timedelta(days=1)
    >>> noise = np.random.default_rng(0).normal(0.0, 1.0, 56)
    >>> days = [Window(start + i * day, start + (i + 1) * day) for i in range(56)]
    >>> points = [Point(window, 100.0 + x) for window, x in zip(days, noise)]
    >>> found = fit(SeriesConfig(), points)
    >>> found.windows, round(found.seasonal.level)
    (56, 100)
    """
    healthy = (p for p in history if not any(p.window.start in alarm for alarm in apart))
    usable = [p for p in healthy if p.usable and p.rows >= config.min_rows]
    if usable:
        reach = usable[-1].window.end - config.history
        usable = [p for p in usable if p.window.start >= reach][-MOST:]
    if len(usable) < FEWEST:
        return None
    values = np.array([p.value for p in usable])
    errors = np.array([p.error for p in usable])
    starts = [p.window.start for p in usable]
    ends = [p.window.end for p in usable]
    joined = np.array([False, *(a == b for a, b in zip(starts[1:], ends[:-1], strict=True))])
    hours = np.array([moment.hour for moment in starts], dtype=np.int64)
    weekdays = np.array([moment.weekday() for moment in starts], dtype=np.int64)
    seasonal = fit_seasonal(values, errors, hours, weekdays, joined)
    scores = changepoint.fit_baseline(
        seasonal.scores[:, None], np.ones((len(usable), 1)), np.full(1, 1e-6)
    )
    # The scores' own slow movements, back from news to deviations.
    memory = seasonal.memory
    wander = float(scores.wander[0]) * math.sqrt((1.0 + memory) / (1.0 - memory))
    rows = sum(p.rows for p in usable)
    span = Window(starts[0], ends[-1])
    return SeriesBaseline(span, len(usable), rows, seasonal, scores, wander * seasonal.scale)


def evaluate(
    config: SeriesConfig,
    baseline: SeriesBaseline | None,
    state: SeriesState,
    model: str,
    subject: str,
    point: Point,
) -> tuple[SeriesState, Verdict]:
    """Judge one window; call it once a window, in order of time.

    Parameters
    ----------
    config : SeriesConfig
    baseline : SeriesBaseline or None
        Of a history that ends before the window; None while there is too little of it. One with
        another end than the state's starts the evidence afresh.
    state : SeriesState
        ``SeriesState()`` at first.
    model, subject : str
    point : Point

    Returns
    -------
    SeriesState, Verdict
        The score is the recent mean deviation from what is usual, in the figure's own unit; the
        details hold the band and the history behind it. An alarm needs evidence and a recent
        deviation of at least the change that matters. It ends after `CALM` windows within the band
        once there is as much evidence that its shift, or one that just matters, is over.
    """
    unjudged = point.unjudged(config.min_rows)
    if unjudged is not None:
        return state, _silent(config, model, subject, point, *unjudged)
    if baseline is None:
        return state, _silent(config, model, subject, point, Status.INCONCLUSIVE, TOO_FEW)
    if state.anchor != baseline.window.end:
        cleared = replace(state, seen=0, starts=(), total=(0.0,) * 4, since=(), onsets=())
        state = replace(cleared, anchor=baseline.window.end, recent=0.0, weight=0.0)
    state = _advance(config, baseline, state, point)
    evidence = _evidence(baseline, state)
    state = _decide(config, baseline, state, evidence, point.window.end)
    return state, _verdict(config, baseline, state, model, subject, point, evidence)


def renewable(config: SeriesConfig, baseline: SeriesBaseline, state: SeriesState) -> bool:
    """Whether the history may move on to the newest windows: half of it is old, and all is quiet.

    So a slow trend is followed, and what is suspect is not learnt from.
    """
    if state.firing or state.seen < max(FEWEST // 3, baseline.windows // 2):
        return False
    return _evidence(baseline, state) < math.sqrt(config.threshold)


def _advance(
    config: SeriesConfig, baseline: SeriesBaseline, state: SeriesState, point: Point
) -> SeriesState:
    seasonal, window = baseline.seasonal, point.window
    place = (window.start.hour, window.start.weekday())
    deviation = seasonal.deviation(point.value, point.error, *place)
    joined = state.until == window.start
    news = seasonal.renewal(deviation, state.last if joined else None)
    score = seasonal.score(news)
    tally = changepoint.update(
        state.tally, baseline.scores, np.array([score]), baseline.scores.weigh(1.0)
    )
    kept = min(state.weight, RECENT - 1.0)
    away = point.value - seasonal.expected(*place)
    inside = seasonal.p_value(deviation) > 1.0 - BAND
    least = _matters(config, baseline) / _least(seasonal.scale)
    return replace(
        state,
        alarm=state.alarm and state.alarm.followed(seasonal, deviation, news, least),
        seen=tally.seen,
        starts=tally.starts,
        total=tuple(tally.total.ravel().tolist()),
        since=tuple(tally.since.ravel().tolist()),
        onsets=state.onsets_of(tally, window.start, config.every),
        last=deviation,
        until=window.end,
        recent=(kept * state.recent + away) / (kept + 1.0),
        weight=kept + 1.0,
        calm=state.calm + 1 if inside else 0,
    )


def _evidence(baseline: SeriesBaseline, state: SeriesState) -> float:
    if not state.starts:
        return 0.0
    factors = changepoint.log_factors(state.tally, baseline.scores)[:, 0]
    # Where blocks of the history vary more than its windows explain, evidence is raised to a power
    # below 1, which keeps it valid (Jensen) and takes out what that memory adds.
    return float(np.exp(factors / baseline.seasonal.inflation).sum())


def _matters(config: SeriesConfig, baseline: SeriesBaseline) -> float:
    least = config.min_change or config.min_shift * baseline.seasonal.scale
    return least + baseline.wander


def _decide(
    config: SeriesConfig,
    baseline: SeriesBaseline,
    state: SeriesState,
    evidence: float,
    now: datetime,
) -> SeriesState:
    if state.alarm is not None:
        if state.calm < CALM or state.alarm.back < math.log(config.threshold):
            return state
        apart = (*state.apart, Window(state.alarm.onset, now))[-MOST_APART:]
        return SeriesState(state.anchor, last=state.last, until=now, apart=apart)
    way = {"both": abs(state.recent), "above": state.recent, "below": -state.recent}[config.ways]
    if evidence < config.threshold or way < _matters(config, baseline):
        return state
    factors = changepoint.log_factors(state.tally, baseline.scores)[:, 0]
    onset = state.onsets[int(np.argmax(factors))]
    shift = state.recent / _least(baseline.seasonal.scale)
    return replace(state, alarm=begin(onset, shift, state.weight))


def _least(scale: float) -> float:
    return max(scale, 1e-12)


def _verdict(
    config: SeriesConfig,
    baseline: SeriesBaseline,
    state: SeriesState,
    model: str,
    subject: str,
    point: Point,
    evidence: float,
) -> Verdict:
    seasonal, window = baseline.seasonal, point.window
    place = (window.start.hour, window.start.weekday())
    low, high = seasonal.band(point.error, *place, BAND).tolist()
    usual = seasonal.expected(*place)
    history = f"{baseline.windows} windows from {baseline.window.start:%Y-%m-%d}"
    reason = (
        f"{subject} is {point.value:.4g}, usually {usual:.4g} ({low:.4g} to {high:.4g} in 95 of "
        f"100 windows; {history}); recently {state.recent:+.3g} from usual, "
        f"{_matters(config, baseline):.3g} matters"
    )
    return Verdict(
        monitor=config.monitor,
        model=model,
        subject=subject,
        window=window,
        status=Status.DRIFT if state.firing else Status.OK,
        score=state.recent,
        effect_threshold=_matters(config, baseline),
        evidence=evidence,
        evidence_threshold=config.threshold,
        p_value=seasonal.p_value(seasonal.deviation(point.value, point.error, *place)),
        n_reference=baseline.rows or baseline.windows,
        n_current=point.rows,
        reason=reason,
        details=(
            ("value", point.value),
            ("usual", usual),
            ("lower", low),
            ("upper", high),
            ("windows", float(baseline.windows)),
            ("memory", seasonal.memory),
        ),
    )


def _silent(
    config: SeriesConfig, model: str, subject: str, point: Point, status: Status, problem: str
) -> Verdict:
    return Verdict(
        monitor=config.monitor,
        model=model,
        subject=subject,
        window=point.window,
        status=status,
        score=math.nan,
        effect_threshold=config.min_change,
        evidence=0.0,
        evidence_threshold=config.threshold,
        p_value=math.nan,
        n_reference=0,
        n_current=point.rows,
        reason=f"{subject}: {problem}",
    )
