"""Evidence, effects and p-value of one column in one window, put together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.drift.aspects import Aspect, Reading
from homeostat.detectors.drift.reference import DriftConfig, DriftReference
from homeostat.detectors.drift.streams import Stream
from homeostat.stats.changepoint import Shift
from homeostat.stats.special import t_sf

Floats = NDArray[np.float64]

SPEAKS = 0.1  # part of a column's evidence from which an aspect speaks for it
WANDER = 3.0  # standard deviations of the reference's slow movements that are nothing new
CAP = 1e12  # evidence beyond says no more


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """What is known about one stream after a window.

    ``limits`` are the owner's, raised to what the reference does by itself; ``asked`` is the
    largest effect in units of the owner's own.
    """

    stream: Stream
    evidence: float
    effects: Mapping[Aspect, float]
    limits: Mapping[Aspect, float]
    leading: Aspect
    p_value: float
    rows: int
    needed: int
    missing: float
    usable: bool
    named: tuple[tuple[str, float], ...]
    asked: float

    @property
    def score(self) -> float:
        """The leading effect, in units of its limit."""
        return abs(self.effects[self.leading]) / self.limits[self.leading]


@dataclass(frozen=True, slots=True, eq=False)
class Last:
    """The newest window's deviations from the reference, and its weights."""

    moved: Floats
    weights: Floats


def find(
    reference: DriftReference,
    config: DriftConfig,
    shift: Shift,
    last: Last,
    index: int,
    reading: Reading,
) -> Finding:
    """Put the evidence and effects of the stream at `index` together."""
    stream = reference.streams[index]
    lens, place = stream.lens, stream.place
    parts = shift.parts[place]
    evidence = min(float(shift.evidence[index]), CAP)
    size, error = shift.size[place], shift.error[place]
    effects = lens.effects(size, error)
    limits = {aspect: config.limits.of(aspect) for aspect in effects}
    if any(abs(effects[aspect]) >= limits[aspect] for aspect in effects):
        slow = lens.slow(WANDER * reference.baseline.wander[place], int(np.argmax(parts)))
        limits = {aspect: max(limits[aspect], abs(slow[aspect])) for aspect in effects}
    leading = _leading(lens.aspects, parts, effects, limits)
    return Finding(
        stream,
        evidence,
        effects,
        limits,
        leading,
        _p_value(reference, last, stream) if reading.usable else math.nan,
        reading.rows,
        config.min_rows,
        reading.missing,
        reading.usable,
        lens.named(size, parts),
        max(abs(effects[aspect]) / config.limits.of(aspect) for aspect in effects),
    )


def _leading(
    aspects: tuple[Aspect, ...],
    parts: Floats,
    effects: Mapping[Aspect, float],
    limits: Mapping[Aspect, float],
) -> Aspect:
    """Return the aspect that speaks for the column: the largest effect that has evidence."""
    heard = dict.fromkeys(effects, 0.0)
    for aspect, part in zip(aspects, parts.tolist(), strict=True):
        heard[aspect] += part
    enough = SPEAKS * sum(heard.values())
    loud = [aspect for aspect in effects if heard[aspect] >= enough]
    return max(loud, key=lambda aspect: abs(effects[aspect]) / limits[aspect])


def _p_value(reference: DriftReference, last: Last, stream: Stream) -> float:
    """Return the p-value of the newest window alone: t-tests of its series, by Bonferroni."""
    baseline, place = reference.baseline, stream.place
    weights = last.weights[place]
    used = weights > 0.0
    freedom = np.maximum(baseline.freedom[place], 1.0)
    variance = 1.0 / np.where(used, weights, 1.0) + 1.0 / np.maximum(baseline.weight[place], 1e-300)
    spread = np.maximum(baseline.squares[place] / freedom, 1e-300)
    t = np.where(used, np.abs(last.moved[place]) / np.sqrt(variance * spread), 0.0)
    rank = (freedom + 1.0) / 2.0 * np.log1p(t**2 / freedom) + np.log(stream.lens.weights)
    best = int(np.argmax(np.where(used, rank, -np.inf)))
    tail = 2.0 * t_sf(float(freedom[best]), float(t[best]))
    return min(1.0, tail / float(stream.lens.weights[best]))
