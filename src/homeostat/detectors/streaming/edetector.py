"""E-detector: bets that the mean has moved, with a promise on how rarely they win by luck.

At every value a new bet on each way and size of shift begins, and the evidence is the average of
all capital (Shiryaev-Roberts, `homeostat.stats.evidence.shiryaev_roberts`). As long as the mean,
given the past, stays within the tolerance, the expected evidence after t values is at most t, so
that the expected number of values until it reaches `run_length` is at least `run_length` (Shin,
Ramdas & Rinaldo, "E-detectors", New England Journal of Statistics in Data Science 2023). Two kinds:

`bounded`
    Nothing is assumed but the bounds; what lies outside counts as the bound (Waudby-Smith & Ramdas,
    "Estimating means of bounded random variables by betting", JRSS-B 2024). `fit` takes mean and
    bounds from a reference sample.
`standardised`
    Values are normal or have lighter tails, such as means of batches, with known standard
    deviation. Finds shifts of several standard deviations sooner; heavy tails break the promise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from homeostat.detectors.streaming.direction import Direction
from homeostat.detectors.streaming.values import take_blocks, usable, where_usable
from homeostat.stats.evidence import FRACTIONS

FloatArray = NDArray[np.float64]

SHIFTS = (0.1, 0.2, 0.4, 0.7, 1.2, 2.0)
"""Shifts in standard deviations that the bets of `standardised` are best for."""

_FIRST_BLOCK = 64
_LARGEST_BLOCK = 1024
_RANGE = 300.0  # of the logarithm of a factor
_LIMIT = 1e140  # of a product of factors; more than a factor, and its inverse is far from overflow


@dataclass(frozen=True, slots=True)
class EDetectorConfig:
    """What is fine and how rarely to alarm; made by `bounded`, `standardised` or `fit`.

    Attributes
    ----------
    mean : float
        While nothing is wrong.
    low, high : float
        Bounds of the values; infinite if they are standardised.
    sd : float
        Standard deviation of standardised values; NaN if they are bounded.
    tolerance : float
        How far the mean may be off, in units of the stream.
    run_length : float
        Values that pass on average, at least, until the first false alarm.
    direction : Direction
    """

    mean: float
    low: float
    high: float
    sd: float
    tolerance: float
    run_length: float
    direction: Direction

    def __post_init__(self) -> None:
        if not (0.0 <= self.tolerance < math.inf and 1.0 <= self.run_length < 1e100):
            raise ValueError("a tolerance is never negative, a run length at least 1; both finite")

    @property
    def ways(self) -> tuple[float, ...]:
        """1 for bets on a rise, -1 for bets on a fall."""
        rises, falls = self.direction is not Direction.DOWN, self.direction is not Direction.UP
        return (1.0,) * rises + (-1.0,) * falls


def bounded(
    mean: float,
    low: float = 0.0,
    high: float = 1.0,
    tolerance: float = 0.0,
    run_length: float = 10_000.0,
    direction: Direction = Direction.BOTH,
) -> EDetectorConfig:
    """Watch a mean of values in [low, high], with no further assumption.

    Raises
    ------
    ValueError
        Unless ``low < mean - tolerance`` and ``mean + tolerance < high``, all finite.
    """
    if not -math.inf < low < mean - tolerance <= mean + tolerance < high < math.inf:
        raise ValueError(
            f"{mean} ± {tolerance} does not lie between {low} and {high}: nothing could move"
        )
    return EDetectorConfig(mean, low, high, math.nan, tolerance, run_length, direction)


def standardised(
    mean: float = 0.0,
    sd: float = 1.0,
    tolerance: float = 0.0,
    run_length: float = 10_000.0,
    direction: Direction = Direction.BOTH,
) -> EDetectorConfig:
    """Watch a mean of sub-Gaussian values whose standard deviation is at most `sd`.

    Raises
    ------
    ValueError
        If the mean is not finite or the standard deviation not positive.
    """
    if not (math.isfinite(mean) and 0.0 < sd < math.inf):
        raise ValueError(f"a mean is finite and a standard deviation positive, not {mean}, {sd}")
    return EDetectorConfig(mean, -math.inf, math.inf, sd, tolerance, run_length, direction)


def fit(
    reference: ArrayLike,
    reach: float = 3.0,
    allowance: float = 0.0,
    run_length: float = 10_000.0,
    direction: Direction = Direction.BOTH,
) -> EDetectorConfig:
    """Take mean and bounds of a `bounded` stream from a reference sample.

    Bounds are `reach` standard deviations from the mean; values beyond count as the bound, in the
    sample too, so that tails of any weight are fine. The tolerance is two standard errors of the
    mean, plus `allowance` standard deviations of shift that is none of the owner's business.

    Parameters
    ----------
    reference : array_like
        Shape (n,); unusable values are left out.
    reach, allowance : float
        In standard deviations; a shorter reach finds large shifts sooner.
    run_length : float
    direction : Direction

    Raises
    ------
    ValueError
        If fewer than two values differ, or so few are there that the tolerance is beyond the reach.

    Examples
    --------
    >>> import numpy as np
    >>> config = fit(np.tile([9.0, 10.0, 11.0], 300))
    >>> round(config.low, 2), config.mean, round(config.high, 2), round(config.tolerance, 3)
    (7.55, 10.0, 12.45, 0.054)
    """
    known, _, _ = where_usable(reference)
    sd = float(known.std()) if known.size else 0.0
    if not sd > 0.0:
        raise ValueError("a reference for an e-detector needs values that differ")
    middle = float(known.mean())
    low, high = middle - reach * sd, middle + reach * sd
    clipped = np.clip(known, low, high)
    tolerance = 2.0 * float(clipped.std()) / math.sqrt(known.size) + allowance * sd
    return bounded(float(clipped.mean()), low, high, tolerance, run_length, direction)


@dataclass(frozen=True, slots=True)
class EDetectorState:
    """Capital of the bets.

    Attributes
    ----------
    config : EDetectorConfig
    capital : tuple of float
        One entry a bet: every stake in the first way, then in the second; empty at the start.
    n : int
        Values since the last detection.
    drifted : bool
        The last value made a detection; the next one begins anew.
    skipped : int
        Values that were NaN, infinite or beyond 1e150: they are passed over.
    """

    config: EDetectorConfig
    capital: tuple[float, ...] = ()
    n: int = 0
    drifted: bool = False
    skipped: int = 0

    @property
    def evidence(self) -> float:
        """Average capital: at `run_length` it is a detection."""
        return math.fsum(self.capital) / len(self.capital) if self.capital else 0.0


def update(state: EDetectorState, value: float) -> EDetectorState:
    """Take in one value; ``drifted`` of the result says whether it made a detection.

    Examples
    --------
    >>> state = EDetectorState(bounded(mean=0.1, run_length=1000.0))
    >>> for value in [0.1, 0.2, 0.0, 0.1] + [0.5, 0.6, 0.4] * 2:
    ...     state = update(state, value)
    >>> state.drifted, state.n
    (True, 10)
    """
    if state.drifted:
        state = _empty(state)
    if not usable(value):
        return replace(state, skipped=state.skipped + 1)
    factors = _factors_of_one(state.config, value)
    held = state.capital or (0.0,) * len(factors)
    capital = tuple([(old + 1.0) * factor for old, factor in zip(held, factors, strict=True)])
    drifted = math.fsum(capital) >= state.config.run_length * len(capital)
    return EDetectorState(state.config, capital, state.n + 1, drifted, state.skipped)


def update_many(
    state: EDetectorState, values: ArrayLike
) -> tuple[EDetectorState, NDArray[np.intp]]:
    """Take in values in order: `update` with each but for rounding, many times as fast.

    Parameters
    ----------
    state : EDetectorState
    values : array_like
        Shape (n,).

    Returns
    -------
    EDetectorState, ndarray of intp
        The state after the last value, and the indices of those that made a detection.

    Examples
    --------
    >>> stream = [0.1, 0.2, 0.0, 0.1] + [0.5, 0.6, 0.4] * 2
    >>> update_many(EDetectorState(bounded(mean=0.1, run_length=1000.0)), stream)[1].tolist()
    [9]
    """
    state, found, passed = take_blocks(state, values, _empty, _take, (_FIRST_BLOCK, _LARGEST_BLOCK))
    return replace(state, skipped=state.skipped + passed), found


def _empty(state: EDetectorState) -> EDetectorState:
    return EDetectorState(state.config, skipped=state.skipped)


def _factors(config: EDetectorConfig, values: FloatArray) -> FloatArray:
    """What each value multiplies each bet by: at most 1 in expectation while all is fine."""
    parts = []
    if math.isnan(config.sd):
        stakes = np.asarray(FRACTIONS)[:, None]
        clipped = np.clip(values, config.low, config.high)
        for way in config.ways:
            # Measured from the bound that is lost to: at most what the mean may be from there.
            edge = config.low if way > 0.0 else config.high
            most = way * (config.mean - edge) + config.tolerance
            parts.append(1.0 + stakes * (way * (clipped - edge) / most - 1.0))
    else:
        shifts = np.asarray(SHIFTS)[:, None]
        for way in config.ways:
            beyond = (way * (values - config.mean) - config.tolerance) / config.sd
            logs = shifts * beyond - shifts**2 / 2.0
            parts.append(np.exp(np.clip(logs, -_RANGE, _RANGE)))
    return np.concatenate(parts)


def _factors_of_one(config: EDetectorConfig, value: float) -> list[float]:
    """Return `_factors` of a single value, ten times as fast."""
    factors: list[float] = []
    if math.isnan(config.sd):
        clipped = min(max(value, config.low), config.high)
        for way in config.ways:
            edge = config.low if way > 0.0 else config.high
            gain = way * (clipped - edge) / (way * (config.mean - edge) + config.tolerance) - 1.0
            factors += [1.0 + stake * gain for stake in FRACTIONS]
        return factors
    for way in config.ways:
        beyond = (way * (value - config.mean) - config.tolerance) / config.sd
        logs = [shift * beyond - shift**2 / 2.0 for shift in SHIFTS]
        factors += [math.exp(min(max(log, -_RANGE), _RANGE)) for log in logs]
    return factors


def _take(state: EDetectorState, block: FloatArray) -> tuple[EDetectorState, int]:
    """Take in values up to the first detection, or as many as products of factors can hold.

    With P the product of the factors so far, capital C becomes ``P (C + sum of 1 / P before)``.
    """
    with np.errstate(over="ignore", under="ignore"):
        products = np.cumprod(_factors(state.config, block), axis=1)
    held = ((products > 1.0 / _LIMIT) & (products < _LIMIT)).all(axis=0)
    products = products[:, : block.size if held.all() else int(np.argmin(held))]
    owed = np.ones_like(products)
    np.divide(1.0, products[:, :-1], out=owed[:, 1:])
    owed[:, 0] += np.asarray(state.capital) if state.capital else 0.0
    capital = products * np.cumsum(owed, axis=1)
    alarms = capital.sum(axis=0) >= state.config.run_length * len(capital)
    drifted = bool(alarms.any())
    last = int(np.argmax(alarms)) if drifted else alarms.size - 1
    left = tuple(capital[:, last].tolist())
    state = EDetectorState(state.config, left, state.n + last + 1, drifted, state.skipped)
    return state, last + 1
