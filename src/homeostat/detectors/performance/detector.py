"""Whether the realized loss has risen too far, and which of two versions loses less.

Both answers may be read after every row: they are bets, not tests of a fixed sample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import ArrayLike, NDArray

from homeostat.detectors.performance.measure import measure
from homeostat.detectors.performance.paired import PairedEvidence, compare_paired
from homeostat.domain.model import Task
from homeostat.domain.verdict import AlarmBudget, Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.stats.evidence import Bets, PairedBets, bet, log_growth, mixture

__all__ = [
    "LossBaseline",
    "PairedBets",
    "PairedEvidence",
    "PerformanceConfig",
    "PerformanceState",
    "baseline",
    "compare_paired",
    "evaluate",
    "losses",
    "measure",
    "tolerated",
]

FloatArray = NDArray[np.float64]

PROOF = 20.0  # e-value that proves a recovery: a lifetime error of 5 %
CALM = 3.0  # evidence below which nothing has begun
CAP = 10.0  # times the threshold: bounds the time to recover
HOURS = 24
HOUR_ROWS = 100  # rows of each hour from which the baseline knows the rhythm of the day
MEMORY = 100  # rows over which the recent mean loss is taken


@dataclass(frozen=True, slots=True)
class PerformanceConfig:
    """What the owner tolerates.

    Attributes
    ----------
    budget : AlarmBudget
    every : timedelta
        Nominal time between evaluations; calls may be more or less frequent.
    share : float
        Part of the budget that this monitor may spend, in (0, 1].
    margin : float
        Rise of the mean loss above the baseline that does not matter, in loss units.
    min_rows : int
        Rows before the verdict can be ``ok``; an alarm needs no minimum, its evidence suffices.
    scale : float
        Regression only: the absolute error that counts as a loss of 1.
    """

    budget: AlarmBudget = field(default_factory=AlarmBudget)
    every: timedelta = timedelta(days=1)
    share: float = 0.25
    margin: float = 0.02
    min_rows: int = 30
    scale: float = 1.0

    @property
    def threshold(self) -> float:
        """Evidence at which to alarm, in units of `every`."""
        return self.budget.threshold(self.every, self.share)


@dataclass(frozen=True, slots=True)
class LossBaseline:
    """Mean loss on the reference: ``upper`` is an upper confidence bound of it, over ``n`` rows.

    ``hours`` holds that bound for each hour of the day where the reference has enough rows in all
    of them: many losses have the rhythm of the day, and a night is no drift. Otherwise it is empty.
    """

    mean: float
    n: int
    upper: float
    hours: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class PerformanceState:
    """Evidence so far, of one version.

    ``recent`` is the mean loss of the last rows, exponentially weighted over `MEMORY` of them;
    None before the first. ``firing`` is the last verdict and ``recovery`` the capital (logarithms)
    of the bets that it is over. Nothing was out of order until ``calm_until``.
    """

    version: str = ""
    bets: Bets = field(default_factory=Bets)
    updated: datetime | None = None
    rows: int = 0
    recent: float | None = None
    firing: bool = False
    recovery: tuple[float, ...] = ()
    calm_until: datetime | None = None


def losses(
    task: Task, scores: ArrayLike, labels: ArrayLike, threshold: float, scale: float = 1.0
) -> FloatArray:
    """Loss of each row, in [0, 1], the smaller the better.

    Binary: squared error of the probability (Brier), which sees calibration as well as ranking.
    Multi-class: 0 for the right class, else 1. Regression: absolute error over `scale`, at most 1.
    A score that is no number, or no probability, loses 1.

    Parameters
    ----------
    task : Task
    scores, labels : array_like
        Shape (n,); class indices for multi-class.
    threshold : float
        Unused by the losses of today's tasks but for binary hard scores: a score outside [0, 1] is
        turned into 0 or 1 by it.
    scale : float
        Absolute error that counts as a loss of 1 (regression).

    Raises
    ------
    ValueError
        If the lengths differ, a label is NaN, or the scale is not positive.

    Examples
    --------
    >>> losses(Task.BINARY, [0.9, 0.2], [1.0, 1.0], threshold=0.5).round(2).tolist()
    [0.01, 0.64]
    """
    given = np.asarray(scores, dtype=np.float64)
    true = np.asarray(labels, dtype=np.float64)
    if given.shape != true.shape:
        raise ValueError(f"{given.size} scores for {true.size} labels")
    if bool(np.isnan(true).any()):
        raise ValueError("a loss needs a label: drop the rows whose label is not known")
    if not scale > 0.0:
        raise ValueError(f"the scale of a loss is positive, not {scale}")
    if task is Task.BINARY:
        outside = (given < 0.0) | (given > 1.0)
        given = np.where(outside, (given >= threshold).astype(np.float64), given)
        raw = (given - true) ** 2
    elif task is Task.MULTICLASS:
        raw = (given != true).astype(np.float64)
    else:
        raw = np.abs(given - true) / scale
    result: FloatArray = np.where(np.isnan(raw), 1.0, np.clip(raw, 0.0, 1.0))
    return result


def baseline(
    reference: ArrayLike, z: float = 1.645, hours: NDArray[np.int64] | None = None
) -> LossBaseline:
    """Summarise the losses on the reference.

    Parameters
    ----------
    reference : array_like
        Shape (n,), in [0, 1].
    z : float
        Standard errors from the mean to ``upper``.
    hours : ndarray of int64, optional
        Shape (n,): hour of the day of each row, 0 to 23.

    Raises
    ------
    ValueError
        If there are no rows.
    """
    values = np.asarray(reference, dtype=np.float64)
    if values.size == 0:
        raise ValueError("a baseline needs at least one matured, labelled row")
    by_hour: tuple[float, ...] = ()
    if hours is not None and int(np.bincount(hours, minlength=HOURS).min()) >= HOUR_ROWS:
        by_hour = tuple(_upper(values[_near(hours, hour)], z) for hour in range(HOURS))
    return LossBaseline(float(values.mean()), int(values.size), _upper(values, z), by_hour)


def _near(hours: NDArray[np.int64], hour: int) -> NDArray[np.bool_]:
    """Rows within two hours of an hour of the day: neighbours steady its mean."""
    near: NDArray[np.bool_] = (hours - hour + 2) % HOURS <= 4
    return near


def _upper(values: FloatArray, z: float) -> float:
    # The variance of a few equal losses is 0 by luck; two made-up rows, one right and one wrong,
    # keep the bound honest.
    padded = np.concatenate([values, [0.0, 1.0]])
    return min(1.0, float(values.mean() + z * padded.std() / math.sqrt(values.size)))


def evaluate(
    config: PerformanceConfig,
    baseline: LossBaseline,
    state: PerformanceState,
    model: str,
    version: str,
    window: Window,
    losses: ArrayLike,
    hours: NDArray[np.int64] | None = None,
) -> tuple[PerformanceState, Verdict]:
    """Judge newly matured rows; call it with as few as one, as often as wanted.

    The null is "the mean loss, given the past, is at most ``baseline.upper + margin``", with the
    bound of the row's hour where the baseline has the hours. New bets start with the time that has
    passed since the last call, so the budget holds in time. A version other than the state's
    starts afresh. Pass each row once.

    An alarm ends when bets on the opposite, "the mean loss is at most the bound again", have won
    `PROOF`: a quiet night is no recovery.

    Parameters
    ----------
    config : PerformanceConfig
    baseline : LossBaseline
    state : PerformanceState
        ``PerformanceState()`` at first.
    model, version : str
    window : Window
        When the rows became known (or were scored); only its end is used for the time passed.
    losses : array_like
        Shape (n,), in [0, 1], of rows not seen before.
    hours : ndarray of int64, optional
        Shape (n,): hour of the day of each row, 0 to 23.

    Returns
    -------
    PerformanceState, Verdict
        The verdict's score is the recent mean loss minus the baseline's mean.
    """
    values = np.asarray(losses, dtype=np.float64)
    if state.version != version:
        state = PerformanceState(version=version)
    if values.size:
        state = _advance(config, _limits(config, baseline, hours), state, window, values)
    return state, _verdict(config, baseline, state, model, window, values)


def tolerated(config: PerformanceConfig, baseline: LossBaseline) -> float:
    """Return the largest mean loss that is fine."""
    return min(1.0, max(1e-6, baseline.upper + config.margin))


def _limits(
    config: PerformanceConfig, baseline: LossBaseline, hours: NDArray[np.int64] | None
) -> FloatArray:
    if hours is None or not baseline.hours:
        return np.asarray(tolerated(config, baseline))
    return np.clip(np.asarray(baseline.hours)[hours] + config.margin, 1e-6, 1.0)


def _advance(
    config: PerformanceConfig,
    limits: FloatArray,
    state: PerformanceState,
    window: Window,
    values: FloatArray,
) -> PerformanceState:
    elapsed = 1.0
    if state.updated is not None:
        elapsed = max(0.0, (window.end - state.updated) / config.every)
    growth = log_growth(values, limits)
    weights = (1.0 - 1.0 / MEMORY) ** np.arange(values.size - 1, -1, -1)
    kept = MEMORY - float(weights.sum()) if state.rows else 0.0
    past = state.recent or 0.0
    weight = min(kept, float(state.rows))
    recent = (float(values @ weights) + weight * past) / (float(weights.sum()) + weight)
    updated = window.end if state.updated is None else max(state.updated, window.end)
    bets = bet(state.bets, growth, elapsed, CAP * config.threshold)
    state = replace(
        state, bets=bets, updated=updated, rows=state.rows + int(values.size), recent=recent
    )
    if state.firing:
        return _recovering(state, limits, values)
    if bets.evidence >= config.threshold:
        return replace(state, firing=True, recovery=(0.0,) * len(growth))
    return replace(state, calm_until=updated) if bets.evidence < CALM else state


def _recovering(
    state: PerformanceState, limits: FloatArray, values: FloatArray
) -> PerformanceState:
    gained = log_growth(1.0 - values, np.maximum(1.0 - limits, 1e-6))
    logs = np.maximum(np.asarray(state.recovery), 0.0) + gained
    if mixture(tuple(logs.tolist())) >= PROOF:
        return replace(state, firing=False, bets=Bets(), recovery=(), calm_until=state.updated)
    return replace(state, recovery=tuple(logs.tolist()))


def _verdict(
    config: PerformanceConfig,
    baseline: LossBaseline,
    state: PerformanceState,
    model: str,
    window: Window,
    values: FloatArray,
) -> Verdict:
    evidence = state.bets.evidence
    recent = math.nan if state.recent is None else state.recent
    if values.size == 0:
        status, reason = Status.NO_DATA, "no newly matured labels"
    elif state.firing:
        status = Status.DRIFT
        reason = (
            f"mean loss {recent:.3g} on recent rows, baseline {baseline.mean:.3g}: "
            f"above the tolerated {tolerated(config, baseline):.3g}"
        )
    elif state.rows < config.min_rows:
        status = Status.INCONCLUSIVE
        reason = f"{state.rows} labelled rows so far, {config.min_rows} are needed"
    else:
        status = Status.OK
        reason = f"mean loss {recent:.3g} on recent rows, baseline {baseline.mean:.3g}"
    return Verdict(
        monitor=Monitor.PERFORMANCE,
        model=model,
        subject="loss",
        window=window,
        status=status,
        score=recent - baseline.mean,
        effect_threshold=tolerated(config, baseline) - baseline.mean,
        evidence=evidence,
        evidence_threshold=config.threshold,
        p_value=math.nan,
        n_reference=baseline.n,
        n_current=int(values.size),
        reason=reason,
        version=state.version,
        details=(
            ("recent_loss", recent),
            ("baseline_loss", baseline.mean),
            ("rows", float(state.rows)),
        ),
    )
