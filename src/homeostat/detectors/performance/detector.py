"""Whether the realized loss has risen too far, and which of two versions loses less.

Both answers may be read after every row: they are bets, not tests of a fixed sample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
from numpy.typing import ArrayLike, NDArray

from homeostat.detectors.performance.baseline import (
    LossBaseline,
    PerformanceConfig,
    baseline,
    limits,
    rungs,
    tolerated,
)
from homeostat.detectors.performance.bets import Hourly, bet_hourly, climb
from homeostat.detectors.performance.measure import measure
from homeostat.detectors.performance.paired import PairedEvidence, compare_paired
from homeostat.detectors.performance.sudden import Today, bet_sudden, calm_rise
from homeostat.domain.losses import losses, mistakes
from homeostat.domain.verdict import Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.stats.evidence import Bets, log_growth, mixture
from homeostat.stats.paired import PairedBets

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
    "mistakes",
    "tolerated",
]

FloatArray = NDArray[np.float64]
Ints = NDArray[np.int64]

PROOF = 20.0  # e-value that proves a recovery: a lifetime error of 5 %
CALM = 3.0  # evidence below which nothing has begun
PATIENT = 0.5  # share of the evidence that whole hours may spend
SUDDEN = 0.5  # share of the evidence that a rise within the day may spend, where hours are known
MEMORY = 100  # rows over which the recent mean loss is taken


@dataclass(frozen=True, slots=True)
class PerformanceState:
    """Evidence so far, of one version.

    Attributes
    ----------
    bets, further : Bets, tuple of Bets
        Against a rise by the margin, and against the rises that days and hours may bring.
    evidence : float
        The least of them, each counted for what it is worth.
    updated : datetime or None
    rows : int
    recent : float or None
        Mean loss of the last rows, exponentially weighted over `MEMORY` of them.
    firing : bool
        The last verdict.
    recovery : tuple of float
        Logarithmic capital of the bets that it is over.
    calm_until : datetime or None
        Nothing was out of order until then.
    mistakes : PerformanceState or None
        The same of the error rate.
    hourly : Hourly
        Bets on the means of hours that are over, where hours differ by themselves.
    today : Today
        The day's rows, for bets on a rise among them.
    above : float or None
        How far above the baseline's bound means are tolerated until a sudden rise is over.
    """

    version: str = ""
    bets: Bets = field(default_factory=Bets)
    updated: datetime | None = None
    rows: int = 0
    recent: float | None = None
    firing: bool = False
    recovery: tuple[float, ...] = ()
    calm_until: datetime | None = None
    further: tuple[Bets, ...] = ()
    evidence: float = 0.0
    mistakes: PerformanceState | None = None
    hourly: Hourly = field(default_factory=Hourly)
    today: Today = field(default_factory=Today)
    above: float | None = None

    @property
    def calm(self) -> datetime | None:
        """When both loss and error rate were last in order."""
        other = None if self.mistakes is None else self.mistakes.calm_until
        known = [moment for moment in (self.calm_until, other) if moment is not None]
        return min(known, default=None)


def evaluate(
    config: PerformanceConfig,
    baseline: LossBaseline,
    state: PerformanceState,
    model: str,
    version: str,
    window: Window,
    losses: ArrayLike,
    hours: Ints | None = None,
    mistakes: ArrayLike | None = None,
) -> tuple[PerformanceState, Verdict]:
    """Judge newly matured rows; call it with as few as one, as often as wanted.

    The null is "the mean loss, given the past, is at most the baseline's, but for effects of days
    and hours as the reference has them"; a rise up to the margin is no reason either. Both are
    bet against (see `rungs`), with the bound of the row's hour where the baseline has the hours.
    Where hours differ by themselves, `PATIENT` of the evidence is from their means; where it is
    known how they do, `SUDDEN` of it is from bets on a rise within the day (`bet_sudden`). Bets
    start with the time since the last call, so the budget holds in time; a version starts afresh.

    With mistakes, the error rate is judged beside the loss, each on half of the share: a decision
    can turn wrong though a probability moved little.

    An alarm ends when bets on the opposite have won `PROOF`: a quiet night is no recovery.

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
        Shape (n,), in [0, 1]; pass each row once.
    hours : ndarray of int64, optional
        Shape (n,): when each row was scored, in hours since some midnight UTC.
    mistakes : array_like, optional
        Shape (n,): 1 where the decision was wrong, else 0.

    Returns
    -------
    PerformanceState, Verdict
        The verdict's score is the recent mean loss minus the baseline's mean.
    """
    values = np.asarray(losses, dtype=np.float64)
    if state.version != version:
        state = PerformanceState(version=version)
    wrong = None if mistakes is None else baseline.mistakes
    if wrong is not None:
        config = replace(config, share=config.share / 2.0)
    if values.size:
        before = state.mistakes or PerformanceState(version=version)
        state = _follow(config, baseline, state, window, values, hours)
        if wrong is not None:
            after = _follow(config, wrong, before, window, np.asarray(mistakes, float), hours)
            state = replace(state, mistakes=after)
    verdict = _verdict(config, baseline, state, model, window, values)
    return state, verdict if wrong is None else _beside(config, verdict, wrong, state)


def _follow(
    config: PerformanceConfig,
    baseline: LossBaseline,
    state: PerformanceState,
    window: Window,
    values: FloatArray,
    hours: Ints | None,
) -> PerformanceState:
    elapsed = 1.0
    if state.updated is not None:
        elapsed = max(0.0, (window.end - state.updated) / config.every)
    weights = (1.0 - 1.0 / MEMORY) ** np.arange(values.size - 1, -1, -1)
    kept = MEMORY - float(weights.sum()) if state.rows else 0.0
    past = state.recent or 0.0
    weight = min(kept, float(state.rows))
    recent = (float(values @ weights) + weight * past) / (float(weights.sum()) + weight)
    updated = window.end if state.updated is None else max(state.updated, window.end)
    against = rungs(config, baseline)
    state = replace(state, updated=updated, rows=state.rows + int(values.size), recent=recent)
    held = (state.bets, *state.further)
    bets, evidence = climb(config, baseline, against, held, values, hours, elapsed)
    state = replace(state, bets=bets[0], further=bets[1:], evidence=evidence)
    if hours is not None and baseline.effects.within:
        hourly = bet_hourly(config, baseline.of_hours, state.hourly, values, hours)
        evidence = (1.0 - PATIENT) * state.evidence + PATIENT * hourly.evidence
        state = replace(state, hourly=hourly, evidence=evidence)
    if hours is not None and baseline.within is not None:
        today = bet_sudden(config, baseline.within, state.today, values, hours, elapsed)
        evidence = (1.0 - SUDDEN) * state.evidence + SUDDEN * today.evidence
        state = replace(state, today=today, evidence=evidence)
    if state.firing:
        most = _most(config, baseline, state)
        return _recovering(state, limits(baseline, most, hours), values)
    if state.evidence >= config.threshold:
        sudden = SUDDEN * state.today.evidence >= state.evidence / 2.0
        above = calm_rise(config, baseline, state.today) if sudden else None
        recovery = (0.0,) * len(state.bets.capital)
        return replace(state, firing=True, recovery=recovery, above=above)
    return replace(state, calm_until=updated) if state.evidence < CALM else state


def _most(config: PerformanceConfig, baseline: LossBaseline, state: PerformanceState) -> float:
    """Return how far above the baseline's bound the mean may be for long."""
    most = rungs(config, baseline.of_hours).most
    return most if state.above is None else min(most, state.above)


def _recovering(
    state: PerformanceState, limits: FloatArray, values: FloatArray
) -> PerformanceState:
    gained = log_growth(1.0 - values, np.maximum(1.0 - limits, 1e-6))
    logs = np.maximum(np.asarray(state.recovery), 0.0) + gained
    if mixture(tuple(logs.tolist())) >= PROOF:
        return replace(
            state, firing=False, bets=Bets(), further=(), evidence=0.0, recovery=(),
            calm_until=state.updated, hourly=Hourly(), today=Today(), above=None,
        )  # fmt: skip
    return replace(state, recovery=tuple(logs.tolist()))


def _tolerated(config: PerformanceConfig, baseline: LossBaseline, state: PerformanceState) -> float:
    fine = tolerated(config, baseline)
    return fine if state.above is None else min(fine, baseline.upper + state.above)


def _beside(
    config: PerformanceConfig, verdict: Verdict, wrong: LossBaseline, state: PerformanceState
) -> Verdict:
    """Add what the error rate says to the verdict on the loss."""
    seen = state.mistakes
    if seen is None or seen.recent is None:
        return verdict
    accuracy, known = max(0.0, 1.0 - seen.recent), 1.0 - wrong.mean
    told = replace(
        verdict,
        evidence=max(verdict.evidence, seen.evidence),
        details=(
            *verdict.details, ("recent_accuracy", accuracy), ("baseline_accuracy", known),
        ),
    )  # fmt: skip
    if not seen.firing or verdict.status in {Status.NO_DATA, Status.DRIFT}:
        return told
    reason = (
        f"accuracy {accuracy:.3g} on recent rows, baseline {known:.3g}: "
        f"below the tolerated {1.0 - _tolerated(config, wrong, seen):.3g}"
    )
    return replace(told, status=Status.DRIFT, reason=reason + wrong.caveat)


def _verdict(
    config: PerformanceConfig,
    baseline: LossBaseline,
    state: PerformanceState,
    model: str,
    window: Window,
    values: FloatArray,
) -> Verdict:
    recent = math.nan if state.recent is None else state.recent
    fine = _tolerated(config, baseline, state)
    if values.size == 0:
        status, reason = Status.NO_DATA, "no newly matured labels"
    elif state.firing:
        status = Status.DRIFT
        reason = (
            f"mean loss {recent:.3g} on recent rows, baseline {baseline.mean:.3g}: "
            f"above the tolerated {fine:.3g}{baseline.caveat}"
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
        effect_threshold=fine - baseline.mean,
        evidence=state.evidence,
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
