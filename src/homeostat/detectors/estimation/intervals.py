"""How far a realized metric may be from its estimate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.estimation.guess import Guess, Outlook, Rival, folds_of
from homeostat.domain.estimation import MetricEstimate, Standing
from homeostat.stats.expected import BINARY
from homeostat.stats.special import t_quantile

Codes: TypeAlias = "NDArray[np.int64]"

FEWEST_STRETCHES, STRETCHES = 5, 10
SHORTEST = 50
WIDEST, WIDEST_LOSS = 0.15, 0.5
"""Half an interval's width from which it says nothing: of metrics that are at most 1, and of losses
as a share of the estimate."""

TRUST = 1.0 / 3.0
"""Standard error of an estimated change, as a share of it, before the reference has shown any."""

SURE = 2.0  # standard errors

_RATES = frozenset({*BINARY} - {"log_loss"})
NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Trial:
    """One metric of a stretch of the reference, estimated by what was learnt on others.

    ``value`` is the estimate, ``error`` realized less estimated, ``known`` the variance of it that
    is explained, ``move`` the estimate less the metric of the whole reference.
    """

    rows: Codes
    value: float
    error: float
    known: float
    move: float


@dataclass(frozen=True, slots=True)
class Drift:
    """What held-out stretches show of one metric's estimates.

    Attributes
    ----------
    error : float
        Standard error beyond sampling.
    trust : float
        Standard error of an estimated change, as a share of it.
    trials : tuple of Trial
    moved : float
        Standard error on rows of the reference that lie where the window's do.
    """

    error: float = 0.0
    trust: float = TRUST
    trials: tuple[Trial, ...] = ()
    moved: float = 0.0


def fit_drift(outlook: Outlook, sizes: Sequence[int]) -> dict[str, Drift]:
    """Learn from held-out stretches by how much estimates err beyond sampling.

    Parameters
    ----------
    outlook : Outlook
    sizes : sequence of int
        Rows of the windows to be estimated: stretches are about as long, if there are enough.
    """
    rows = outlook.reference_rows
    size = max(int(np.median(sizes)) if sizes else 0, SHORTEST)
    count = int(np.clip(rows // size, FEWEST_STRETCHES, STRETCHES))
    place = folds_of(rows, count)
    trials: dict[str, list[Trial]] = {}
    whole = outlook.realized(np.arange(rows))
    for stretch in range(count):
        chosen = np.flatnonzero(place == stretch)
        truth = outlook.realized(chosen)
        for name, guess in outlook.held_out(chosen).items():
            error = truth.get(name, NAN) - guess.value
            if not guess.want and np.isfinite(error):
                known = guess.sampling + guess.learning
                trial = Trial(chosen, guess.value, error, known, guess.value - whole[name])
                trials.setdefault(name, []).append(trial)
    return {name: _drift(tuple(each)) for name, each in trials.items()}


def _drift(trials: tuple[Trial, ...]) -> Drift:
    square = max(0.0, float(np.mean([each.error**2 - each.known for each in trials])))
    shown = sum(each.move**2 / max(each.known + square, 1e-300) for each in trials)
    return Drift(float(np.sqrt(square)), float((1.0 / TRUST**2 + shown) ** -0.5), trials)


def believe_rivals(outlook: Outlook, drift: Mapping[str, Drift]) -> dict[str, float]:
    """Learn how far towards label shift figures may lie, from stretches whose classes shifted.

    Returns
    -------
    dict of str to float
        For each metric 0 (stretches whose scores moved were as estimated) to 1 (nothing is known).
        It is the upper end, by two standard errors, of where realized figures lay between the
        estimate and what label shift would have made of it.
    """
    cache: dict[int, Mapping[str, Rival]] = {}
    found = {}
    for name, shown in drift.items():
        along = across = 0.0
        for trial in shown.trials:
            first = int(trial.rows[0])
            if first not in cache:
                cache[first] = outlook.rivals(trial.rows, held_out=True)
            rival = cache[first].get(name)
            if rival is None:
                continue
            weight = rival.sure**2 / max(trial.known + shown.error**2, 1e-300)
            apart = rival.guess.value - trial.value
            along += weight * apart * trial.error
            across += weight * apart**2
        found[name] = 1.0
        if across > 0.0:
            found[name] = float(np.clip((along + SURE * across**0.5) / across, 0.0, 1.0))
    return found


def interval(name: str, guess: Guess, drift: Drift, change: float, n: int) -> MetricEstimate:
    """Return the estimate with its interval, and as its reason why it is too wide, if it is."""
    extra = drift.error**2
    variance = guess.sampling + guess.learning + extra + (drift.trust * change) ** 2
    variance += drift.moved**2
    reach = _reach(variance, drift)
    why = ""
    if not np.isfinite(guess.value):
        why = "it is not defined for these predictions"
    elif reach > _widest(name, guess.value):
        why = (
            f"the interval would reach {reach:.3g} to each side: the estimate is off by "
            f"{drift.error:.3g} beyond sampling on held-out stretches of the reference and by "
            f"{drift.moved:.3g} on rows of it like these, and a "
            f"change of {change:.3g} is believed to within {abs(drift.trust * change):.3g}"
        )
    lower, upper = _bounded(name, guess.value - reach, guess.value + reach)
    return MetricEstimate(name, Standing.ESTIMATED, guess.value, lower, upper, n, why)


def hold_rival(
    estimate: MetricEstimate, rival: Rival, drift: Drift, believed: float
) -> MetricEstimate:
    """Widen an interval to where the metric is if classes have become more or less frequent.

    Parameters
    ----------
    estimate : MetricEstimate
    rival : Rival
    drift : Drift
    believed : float
        Share of the way to the rival's figure that the reference leaves possible.
    """
    guess, value = rival.guess, estimate.value
    other = value + believed * (guess.value - value)
    reach = _reach(guess.sampling + guess.learning + drift.error**2, drift)
    lower, upper = _bounded(estimate.metric, other - reach, other + reach)
    lower, upper = min(lower, estimate.lower), max(upper, estimate.upper)
    why = estimate.reason
    if not why and max(value - lower, upper - value) > _widest(estimate.metric, value):
        why = (
            "two stories fit the rows: inputs have shifted, or classes have become more or less "
            f"frequent; by the first it is {value:.3g}, by the second {other:.3g}, and only labels "
            "tell which"
        )
    said = {**estimate.cross_checks, "label_shift": guess.value}
    return replace(estimate, lower=lower, upper=upper, reason=why, cross_checks=said)


def _reach(variance: float, drift: Drift) -> float:
    extra = drift.error**2
    # Satterthwaite: only the part seen on few stretches is itself uncertain.
    seen = max(1, len(drift.trials) - 1)
    freedom = seen * (variance / extra) ** 2 if extra > 0.0 else np.inf
    return _quantile(round(float(np.log(min(freedom, 1e6))), 2)) * float(np.sqrt(variance))


def _bounded(name: str, lower: float, upper: float) -> tuple[float, float]:
    low = -1.0 if name == "mcc" else 0.0
    return max(low, lower), min(1.0 if name in _RATES else float("inf"), upper)


def _widest(name: str, value: float) -> float:
    return WIDEST if name in _RATES else WIDEST_LOSS * value


@lru_cache(maxsize=2048)
def _quantile(log_freedom: float) -> float:
    """Return Student's 97.5 % quantile; degrees of freedom are a guess, so few values serve all."""
    return t_quantile(float(np.exp(log_freedom)), 0.975)
