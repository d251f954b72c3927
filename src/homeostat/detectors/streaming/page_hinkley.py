"""Page-Hinkley: the sum of deviations from the mean so far, less its lowest, against a threshold.

Page, "Continuous inspection schemes" (Biometrika 1954); Hinkley (Biometrika 1971). In its usual
form deviations are in units of the stream, and so is the threshold: 50 is never reached by rates,
and by revenue every minute. Here a deviation is in standard deviations by default: the recursive
residual ``(x - mean) / (sd sqrt(1 + 1 / n))`` of a value from the n before it, which has mean 0 and
variance 1 however well those n know their mean (Brown, Durbin & Evans, "Techniques for testing the
constancy of regression relationships", JRSS-B 1975). So a threshold means a rate of false alarms:
see `run_length`.

`river` gives the parameters with which detections are those of River 0.26's ``PageHinkley``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from homeostat.detectors.streaming.direction import Direction
from homeostat.detectors.streaming.values import FloatArray, take_blocks, usable

_SMALLEST = 1e-300  # variance, so that any deviation from a constant is a large one
_BLOCK = 8192
_OVERSHOOT = 1.166  # of a normal random walk over both limits


@dataclass(frozen=True, slots=True)
class PageHinkleyConfig:
    """Parameters.

    Attributes
    ----------
    threshold : float
        Positive; in standard deviations if `scaled`, in units of the stream if not.
    delta : float
        Drift that is fine, never negative, in the same unit; the best choice is half of the
        smallest shift that matters.
    min_instances : int
        Values before there can be a detection; if `scaled`, values that mean and standard deviation
        are learnt from before the first deviation counts, at least 2.
    alpha : float
        In (0, 1]: what is left of a sum after each value.
    direction : Direction
    scaled : bool
        Whether deviations are in standard deviations.
    reach : float
        A scaled deviation counts as at most this many standard deviations, so that one wild value
        is no shift. It still widens the scale: clip streams whose values have no bounds.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    """

    threshold: float = 20.0
    delta: float = 0.25
    min_instances: int = 30
    alpha: float = 1.0
    direction: Direction = Direction.BOTH
    scaled: bool = True
    reach: float = 4.0

    def __post_init__(self) -> None:
        if not (self.threshold > 0.0 and self.delta >= 0.0 and self.reach > 0.0):
            raise ValueError("threshold and reach are positive, delta is never negative")
        if not 0.0 < self.alpha <= 1.0:
            raise ValueError(f"alpha lies in (0, 1], not {self.alpha}")
        if self.min_instances < (2 if self.scaled else 0):
            raise ValueError("min_instances is at least 2, or 0 without a scale")


def river(
    threshold: float = 50.0,
    delta: float = 0.005,
    min_instances: int = 30,
    alpha: float = 1.0 - 0.0001,
    direction: Direction = Direction.BOTH,
) -> PageHinkleyConfig:
    """Return the parameters of River's ``PageHinkley``, its defaults included."""
    return PageHinkleyConfig(threshold, delta, min_instances, alpha, direction, scaled=False)


def run_length(config: PageHinkleyConfig) -> float:
    """Return how many values pass between two false alarms, on average.

    That of a CUSUM of independent standard normal values, whatever the unit of the stream
    (Siegmund, *Sequential Analysis*, 1985, eq. 2.57). Simulated streams with a mean and a standard
    deviation to be learnt are within 5 % of it; skewed and correlated ones alarm more often, and
    then the e-detector or ADWIN is the better choice.

    Parameters
    ----------
    config : PageHinkleyConfig
        Scaled, with an ``alpha`` of 1.

    Raises
    ------
    ValueError
        If the deviations are not scaled, or forgotten.

    Examples
    --------
    >>> [round(run_length(PageHinkleyConfig(limit)), -2) for limit in (12.0, 16.0, 20.0)]
    [2900.0, 21300.0, 157800.0]
    """
    if not config.scaled or config.alpha < 1.0:
        raise ValueError("a run length is known for scaled deviations and an alpha of 1 only")
    limit, drift = config.threshold + _OVERSHOOT, config.delta
    grown = 2.0 * drift * limit
    one_way = (math.expm1(grown) - grown) / (2.0 * drift**2) if grown > 1e-4 else limit**2
    return one_way / 2.0 if config.direction is Direction.BOTH else one_way


@dataclass(frozen=True, slots=True)
class PageHinkleyState:
    """Sums since the last detection.

    Attributes
    ----------
    config : PageHinkleyConfig
    n : int
        Values.
    mean, spread : float
        Their mean, and the sum of their squared deviations from it.
    risen, lowest : float
        Sum of deviations less `delta`, and its minimum.
    fallen, highest : float
        Sum of deviations plus `delta`, and its maximum.
    drifted : bool
        The last value made a detection; the next one begins anew.
    skipped : int
        Values that were NaN, infinite or beyond 1e150: they are passed over.
    """

    config: PageHinkleyConfig = PageHinkleyConfig()
    n: int = 0
    mean: float = 0.0
    spread: float = 0.0
    risen: float = 0.0
    lowest: float = math.inf
    fallen: float = 0.0
    highest: float = -math.inf
    drifted: bool = False
    skipped: int = 0

    @property
    def statistic(self) -> float:
        """What is compared with the threshold; 0 before there is anything."""
        up = self.risen - self.lowest if self.config.direction is not Direction.DOWN else 0.0
        down = self.highest - self.fallen if self.config.direction is not Direction.UP else 0.0
        return max(0.0, up, down)


def update(state: PageHinkleyState, value: float) -> PageHinkleyState:
    """Take in one value; ``drifted`` of the result says whether it made a detection.

    Examples
    --------
    >>> state = PageHinkleyState()
    >>> for value in [0.01, 0.03] * 50 + [0.05] * 9:
    ...     state = update(state, value)
    >>> state.drifted, state.n
    (True, 109)
    """
    if state.drifted:
        state = _empty(state)
    if not usable(value):
        return replace(state, skipped=state.skipped + 1)
    return _run(state, (float(value),))[0]


def update_many(
    state: PageHinkleyState, values: ArrayLike
) -> tuple[PageHinkleyState, NDArray[np.intp]]:
    """Take in values in order: `update` with each, faster.

    Parameters
    ----------
    state : PageHinkleyState
    values : array_like
        Shape (n,).

    Returns
    -------
    PageHinkleyState, ndarray of intp
        The state after the last value, and the indices of those that made a detection.

    Examples
    --------
    >>> update_many(PageHinkleyState(), [0.01, 0.03] * 50 + [0.05] * 9)[1].tolist()
    [108]
    """
    state, found, passed = take_blocks(state, values, _empty, _take, (_BLOCK, _BLOCK))
    return replace(state, skipped=state.skipped + passed), found


def _empty(state: PageHinkleyState) -> PageHinkleyState:
    return PageHinkleyState(state.config, skipped=state.skipped)


def _take(state: PageHinkleyState, block: FloatArray) -> tuple[PageHinkleyState, int]:
    return _run(state, block.tolist())


def _run(state: PageHinkleyState, values: Iterable[float]) -> tuple[PageHinkleyState, int]:
    """Take in values up to the first detection; return how many."""
    config = state.config
    delta, alpha, reach, least = config.delta, config.alpha, config.reach, config.min_instances
    up = config.threshold if config.direction is not Direction.DOWN else math.inf
    down = config.threshold if config.direction is not Direction.UP else math.inf
    n, mean, spread = state.n, state.mean, state.spread
    risen, lowest = state.risen, state.lowest
    fallen, highest = state.fallen, state.highest
    drifted, taken, scaled = False, 0, config.scaled
    for taken, value in enumerate(values, 1):  # noqa: B007
        gap = value - mean
        n += 1
        mean += 1.0 / n * gap
        if scaled:
            before = spread
            spread += gap * (value - mean)
            if n <= least:
                continue
            gap /= math.sqrt(before / (n - 2) * (n / (n - 1)) or _SMALLEST)
            if not -reach < gap < reach:
                gap = math.copysign(reach, gap)
        else:
            gap = value - mean
        risen = alpha * risen + gap - delta
        fallen = alpha * fallen + gap + delta
        if risen < lowest:
            lowest = risen
        elif risen - lowest > up:
            drifted = n >= least
        if fallen > highest:
            highest = fallen
        elif highest - fallen > down:
            drifted = n >= least
        if drifted:
            break
    sums = (risen, lowest, fallen, highest)
    return PageHinkleyState(config, n, mean, spread, *sums, drifted, state.skipped), taken
