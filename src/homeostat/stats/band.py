"""The band in which a series' next point should lie, and whether it has left it.

Each point is compared with the series' own level and rhythm (`stats.rhythm`) and three things are
asked of the deviations, because faults differ: how far off the point is, how far off the mean of
the recent ones is (a shift that no single point shows), and how large recent deviations are
whatever their sign (unrest). The three are one figure, and how rarely that comes is told by what
it was in past half days (`stats.peaks`). An alarm is something that the series' own past would
show less than once in `BandConfig.rare`; one number serves all series, because it is a time and not
a width.

An episode ends when half a day has passed without anything so rare. If the level is another then,
it is taken for the new one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

from homeostat.stats.peaks import Peaks
from homeostat.stats.rhythm import DAY, WEEK, Rhythm

Ways = Literal["both", "above", "below"]
Sign = Literal["value", "mean", "unrest"]

BLOCK = DAY / 2.0
"""Seconds in which at most one alarm begins, if points come often enough."""
BLOCK_POINTS = 12
"""Points that a block has at least: they make it longer where points are hours apart."""
RAREST = 14
"""Blocks to one alarm that are asked for at least."""
LEARNING = 4
"""Blocks that are only learnt from."""

_SIGNS: tuple[Sign, ...] = ("value", "mean", "unrest")
_VALUE, _MEAN = 0, 1
_SPAN = 12.0
"""Points that the recent ones are averaged over, exponentially."""
_KEEP = 1.0 - 2.0 / (_SPAN + 1.0)
_UNSETTLED = 30
"""First points, whose deviations say more about the level than about the series."""
_RESETTLED = 50
"""Points that a level which was just taken over counts as."""
_STEP = 0.05
_DUST = 1e-9
"""Deviations smaller than this part of the value are rounding."""
_LARGEST = 1e100


@dataclass(frozen=True, slots=True)
class BandConfig:
    """What the owner accepts.

    Attributes
    ----------
    rare : float
        Seconds to one false alarm, at least `RAREST` blocks.
    ways : {"both", "above", "below"}
        Which deviations matter.
    min_change : float
        Deviations up to this, in the series' own unit, do not matter.

    Raises
    ------
    ValueError
        If a number is negative or not finite.

    Examples
    --------
    >>> BandConfig(rare=0.0)
    Traceback (most recent call last):
    ValueError: one alarm in 0 seconds is no limit; rare must be positive and finite
    """

    rare: float = WEEK
    ways: Ways = "both"
    min_change: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 < self.rare < math.inf:
            raise ValueError(
                f"one alarm in {self.rare:g} seconds is no limit; rare must be positive and finite"
            )
        if not 0.0 <= self.min_change < math.inf:
            raise ValueError(
                f"min_change is {self.min_change:g}; it must be finite and not negative"
            )


@dataclass(frozen=True, slots=True)
class Reading:
    """What is said of one point.

    Attributes
    ----------
    expected : float
    lower, upper : float
        Beyond them the point alone would be an alarm; infinite where nothing would be, as in the
        first `LEARNING` blocks.
    score : float
        In [0, 1): 1 - 1 / (blocks to one as far off).
    once : float
        Seconds to one as far off, about; 0 in the first blocks.
    beyond : bool
        Whether it is as rare as was asked.
    alarm : bool
        Whether it begins an episode.
    sign : {"value", "mean", "unrest"}
        What is farthest off.
    """

    expected: float
    lower: float
    upper: float
    score: float
    once: float
    beyond: bool
    alarm: bool
    sign: Sign


@dataclass(frozen=True, slots=True)
class Recent:
    """Sums over recent points: of weights, of deviations, and of their sizes."""

    weight: float = 0.0
    off: float = 0.0
    size: float = 0.0

    def adding(self, off: float, size: float) -> Recent:
        """Return the sums after one more point."""
        fresh = 1.0 - _KEEP
        return Recent(
            _KEEP * self.weight + fresh,
            _KEEP * self.off + fresh * off,
            _KEEP * self.size + fresh * size,
        )


@dataclass(frozen=True, slots=True)
class BandState:
    """What is remembered of a series; its size does not grow.

    Attributes
    ----------
    rhythm : Rhythm
    peaks : Peaks
    began, last : float
        When the block under way began, and of the newest point, in seconds.
    step : float
        Seconds between two points, a running median; 0 before the second point.
    recent : Recent
    loud : float or None
        When there was last something rare; None where no episode is open.
    bar : float
        The largest mean deviation before the episode.
    """

    rhythm: Rhythm
    began: float
    last: float
    peaks: Peaks = field(default_factory=lambda: Peaks.of(len(_SIGNS)))
    step: float = 0.0
    recent: Recent = field(default_factory=Recent)
    loud: float | None = None
    bar: float = 0.0

    @property
    def block(self) -> float:
        """Seconds of a block."""
        return max(BLOCK, BLOCK_POINTS * self.step)

    def firing(self, time: float) -> bool:
        """Return whether an episode is under way."""
        return self.loud is not None and time - self.loud < self.block


def step(
    state: BandState | None, time: float, value: float, config: BandConfig
) -> tuple[BandState | None, Reading | None]:
    """Judge one point by those before it, then learn from it.

    Parameters
    ----------
    state : BandState or None
        None before the first point.
    time : float
        Seconds since 1 January 1970; points that are not later than the one before are passed over.
    value : float
        One that is not finite, or beyond 1e100, is missing: passed over.
    config : BandConfig

    Returns
    -------
    state : BandState or None
    reading : Reading or None
        None if the point was passed over.

    Examples
    --------
    >>> import numpy as np
    >>> rng, state = np.random.default_rng(1), None
    >>> for hour in range(28 * 24):
    ...     value = np.sin(hour * np.pi / 12) + rng.normal(0, 0.1) + (1.0 if hour == 600 else 0.0)
    ...     state, reading = step(state, hour * 3600.0, float(value), BandConfig(4 * WEEK))
    ...     if reading.alarm:
    ...         print(hour, reading.sign, f"{value:.1f} is beyond {reading.upper:.1f}")
    600 value 0.9 is beyond 0.5
    """
    if not (math.isfinite(time) and abs(value) <= _LARGEST):
        return state, None
    if state is None:
        state = BandState(Rhythm(value), began=time, last=time)
    elif time <= state.last:
        return state, None
    else:
        state = _on(state, time)
    expected = state.rhythm.expected(time, state.step)
    deviation = value - expected
    if abs(deviation) <= _DUST * abs(value):
        deviation = 0.0
    matters = _mattering(deviation, config.ways)
    recent = state.recent.adding(deviation, matters)
    values = (
        matters,
        _mattering(recent.off / recent.weight, config.ways),
        recent.size / recent.weight,
    )
    reading = _read(state, time, expected, values, config)
    return _learn(state, time, deviation, recent, values, reading), reading


def _on(state: BandState, time: float) -> BandState:
    """Return the state on arrival of a point: the interval is learnt and a full block closed."""
    gap = time - state.last
    usual = state.step or gap
    if gap != usual:
        usual *= 1.0 + math.copysign(_STEP, gap - usual)
    state = replace(state, step=usual, last=time)
    if time - state.began < state.block:
        return state
    return replace(state, began=time, peaks=state.peaks.closed())


def _mattering(deviation: float, ways: Ways) -> float:
    if ways == "both":
        return abs(deviation)
    return max(deviation if ways == "above" else -deviation, 0.0)


def _read(
    state: BandState,
    time: float,
    expected: float,
    values: tuple[float, float, float],
    config: BandConfig,
) -> Reading:
    peaks = state.peaks
    heights = [
        peaks.one_on_scale(at, one if one > config.min_change else 0.0)
        for at, one in enumerate(values)
    ]
    height = max(heights)
    sign = _SIGNS[heights.index(height)]
    if len(peaks.past) < LEARNING:
        return Reading(
            expected, -math.inf, math.inf, 0.0, 0.0, beyond=False, alarm=False, sign=sign
        )
    asked = max(config.rare / state.block, float(RAREST))
    periods = peaks.blocks_to_one(height)
    beyond = periods >= asked
    reach = max(peaks.at_height(_VALUE, peaks.limit(asked)), config.min_change)
    return Reading(
        expected,
        expected - reach if config.ways != "above" else -math.inf,
        expected + reach if config.ways != "below" else math.inf,
        1.0 - 1.0 / periods,
        periods * state.block,
        beyond=beyond,
        alarm=beyond and not state.firing(time),
        sign=sign,
    )


def _learn(
    state: BandState,
    time: float,
    deviation: float,
    recent: Recent,
    values: tuple[float, float, float],
    reading: Reading,
) -> BandState:
    """Return the state after a point; beyond the band it counts as if it lay on its edge."""
    rhythm, peaks, bar, loud = state.rhythm, state.peaks, state.bar, state.loud
    if reading.alarm:
        bar = max(block[_MEAN] for block in peaks.past)
    if reading.beyond:
        loud = time
    elif loud is not None and time - loud >= state.block:
        loud = None
        if values[_MEAN] > bar:
            rhythm = rhythm.moved(recent.off / recent.weight, _RESETTLED)
            recent, deviation = Recent(), 0.0
    if rhythm.count >= _UNSETTLED:
        peaks = peaks.noting(values)
    edge = max(reading.upper - reading.expected, reading.expected - reading.lower)
    off = max(-edge, min(edge, deviation)) if math.isfinite(edge) else deviation
    memory = RAREST * state.block
    return replace(
        state,
        rhythm=rhythm.learning(time, off, state.step, memory),
        peaks=peaks,
        recent=recent,
        loud=loud,
        bar=bar,
    )
