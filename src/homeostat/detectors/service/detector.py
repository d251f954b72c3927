"""Whether the model answers, and in time: from the counts of each period between two ticks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import ArrayLike

from homeostat.detectors.service.recovery import Recovery, recover
from homeostat.domain.verdict import BudgetShare, Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.stats.evidence import Bets, bet, log_growth

FAULTS = ("error", "timeout", "breaker_open")
"""Reasons for a fallback that are the model's fault, and not the row's or the owner's wish."""

CAP = 10.0  # times the threshold


@dataclass(frozen=True, slots=True)
class ServiceConfig(BudgetShare):
    """The service objective; its share of the alarm budget is that of each of two subjects.

    Attributes
    ----------
    max_fallback : float
        Share of rows that may be answered by a fallback because the model failed, in (0, 1).
    max_latency_ms : float
        At most `slow_share` of the rows may take longer.
    slow_share : float
        In (0, 1); 0.01 makes the objective one on the 99th percentile.
    """

    every: timedelta = timedelta(minutes=1)
    share: float = 0.1
    max_fallback: float = 0.02
    max_latency_ms: float = 250.0
    slow_share: float = 0.01


@dataclass(frozen=True, slots=True)
class Objective:
    """Evidence that one objective is missed; ``firing`` is the last verdict on it."""

    bets: Bets = field(default_factory=Bets)
    updated: datetime | None = None
    firing: bool = False
    recovery: Recovery = Recovery()


@dataclass(frozen=True, slots=True)
class ServiceState:
    """Evidence so far on both objectives."""

    availability: Objective = field(default_factory=Objective)
    latency: Objective = field(default_factory=Objective)


def evaluate(
    config: ServiceConfig,
    state: ServiceState,
    model: str,
    window: Window,
    total: int,
    faults: Mapping[str, int],
    latencies_ms: ArrayLike,
) -> tuple[ServiceState, tuple[Verdict, Verdict]]:
    """Judge the rows answered in a period; pass each row once.

    An alarm ends when the rows since speak against it (see `recover`).

    Parameters
    ----------
    config : ServiceConfig
    state : ServiceState
        ``ServiceState()`` at first.
    model : str
    window : Window
        The period.
    total : int
        Rows answered, by the model or by a fallback.
    faults : mapping of str to int
        Rows by reason of the fallback; only `FAULTS` count.
    latencies_ms : array_like
        Shape (m,), milliseconds; non-finite ones are left out.

    Returns
    -------
    ServiceState, (Verdict, Verdict)
        Verdicts for ``availability`` (score: share of failed rows) and ``latency_p99`` (score: the
        ``1 - slow_share`` quantile, in ms).
    """
    failed = _failed(faults, total)
    down = sum(failed.values())
    availability = _advance(config, state.availability, window, down, total, config.max_fallback)
    times = np.asarray(latencies_ms, dtype=np.float64)
    times = times[np.isfinite(times)]
    slow = int((times > config.max_latency_ms).sum())
    latency = _advance(config, state.latency, window, slow, times.size, config.slow_share)
    listed = ", ".join(f"{count} {reason}" for reason, count in failed.items())
    quantile = float(np.quantile(times, 1.0 - config.slow_share)) if times.size else math.nan
    verdicts = (
        _verdict(
            config, availability, model, "availability", window, total,
            score=down / total if total else math.nan,
            limit=config.max_fallback,
            reason=f"{down} of {total} rows fell back" + (f" ({listed})" if listed else ""),
            details=tuple((reason, float(count)) for reason, count in failed.items()),
        ),
        _verdict(
            config, latency, model, "latency_p99", window, int(times.size),
            score=quantile,
            limit=config.max_latency_ms,
            reason=f"{slow} of {times.size} rows took longer than {config.max_latency_ms:g} ms",
            details=(("slow", float(slow)),),
        ),
    )  # fmt: skip
    return ServiceState(availability, latency), verdicts


def _failed(faults: Mapping[str, int], total: int) -> dict[str, int]:
    failed = {reason: faults[reason] for reason in sorted(FAULTS) if faults.get(reason, 0) > 0}
    if sum(failed.values()) > total:
        raise ValueError(f"{sum(failed.values())} failed rows of {total} answered ones")
    return failed


def _advance(
    config: ServiceConfig, state: Objective, window: Window, bad: int, total: int, allowed: float
) -> Objective:
    if total == 0:
        return state
    elapsed = 1.0
    if state.updated is not None:
        elapsed = max(0.0, (window.end - state.updated) / config.every)
    growth = bad * log_growth([1.0], allowed) + (total - bad) * log_growth([0.0], allowed)
    bets = bet(state.bets, growth, elapsed, CAP * config.threshold)
    recovery, over = Recovery(bad, total), False
    if state.firing:
        recovery, over = recover(state.recovery, bad, total, allowed)
    if over:
        bets = Bets()
    firing = bets.evidence >= config.threshold
    return Objective(bets, window.end, firing, recovery if firing else Recovery())


def _verdict(
    config: ServiceConfig,
    state: Objective,
    model: str,
    subject: str,
    window: Window,
    rows: int,
    *,
    score: float,
    limit: float,
    reason: str,
    details: tuple[tuple[str, float], ...],
) -> Verdict:
    if rows == 0:
        status, reason = Status.NO_DATA, "nothing was answered in the period"
    else:
        status = Status.DRIFT if state.firing else Status.OK
    return Verdict(
        monitor=Monitor.SERVICE,
        model=model,
        subject=subject,
        window=window,
        status=status,
        score=score,
        effect_threshold=limit,
        evidence=state.bets.evidence,
        evidence_threshold=config.threshold,
        p_value=math.nan,
        n_reference=0,
        n_current=rows,
        reason=reason,
        details=details,
    )
