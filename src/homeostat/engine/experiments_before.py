"""What the past says of an experiment before it begins: how large, how long, and is it sound."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from homeostat.domain.columns import micros
from homeostat.domain.errors import DataError
from homeostat.domain.model import ModelSpec
from homeostat.domain.window import Window, floor
from homeostat.engine.experiments_units import Units, first_met, units_met
from homeostat.engine.ports import PredictionLog
from homeostat.rollout.experiment.plan import ExperimentPlan
from homeostat.rollout.experiment.planning import Need, needs
from homeostat.rollout.experiment.rehearse import Rehearsal, rehearse
from homeostat.rollout.experiment.self_test import SelfTest, self_test
from homeostat.rollout.experiment.tally import Tally

BUCKETS = 200
LEAST = 200
MOST = 200_000
"""Entities that are dealt out at random; of more, the first ones."""
MOST_LOOKS = 30
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Past:
    """Entities of the past, by when they were first met.

    Attributes
    ----------
    window : Window
        In which they were met.
    met : ndarray of int64
        Microseconds since 1970, ascending.
    units : Units
    """

    window: Window
    met: NDArray[np.int64]
    units: Units


@dataclass(frozen=True, slots=True)
class Forecast:
    """How large an experiment has to be, and how long that takes.

    Attributes
    ----------
    window : Window
        Of the past that this rests on.
    entities : int
        That were met in it.
    needs : tuple of Need
        One a metric.
    size : int
        Entities of all arms that the most demanding metric needs; 0 if none can be said.
    days : float
        Until so many take part, at the traffic of the past; those who come back count once.
    """

    window: Window
    entities: int
    needs: tuple[Need, ...]
    size: int
    days: float


def read_past(
    plan: ExperimentPlan, log: PredictionLog, spec: ModelSpec, days: int, now: datetime
) -> Past:
    """Measure the entities of the past as the experiment would.

    Parameters
    ----------
    plan : ExperimentPlan
    log : PredictionLog
    spec : ModelSpec
    days : int
        Of those whose outcomes had their time to come.
    now : datetime

    Raises
    ------
    DataError
        If there are hardly any.
    """
    end = floor(now - plan.observe - plan.wait, timedelta(hours=1))
    window = Window(end - days * DAY, end)
    firsts = first_met(log, spec, window, arms=False)
    cohort = firsts.within(window).sort_by([("at", "ascending"), ("unit", "ascending")])
    if cohort.num_rows < LEAST:
        raise DataError(
            f"{spec.name} answered {cohort.num_rows} entities from {window}; {LEAST} are needed:"
            " wait, or look further back with --days"
        )
    cohort = cohort.slice(0, MOST)
    units = units_met(plan, log, spec, cohort, window, now, arms=False)
    return Past(window, micros(cohort, "at"), units)


def forecast(plan: ExperimentPlan, past: Past, effect: float, power: float) -> Forecast:
    """Say how many entities an experiment needs, and when they will have come."""
    everyone = np.arange(len(past.units))
    tally = past.units.tally(plan.design.metrics, everyone)
    found = needs(plan.design, [tally.of(m) for m in plan.design.metrics], effect, power)
    sizes = [need.entities for need in found if not math.isnan(need.entities)]
    size = round(max(sizes, default=0.0))
    days = _days(past, size / plan.traffic) if size else float("nan")
    return Forecast(past.window, len(past.units), found, size, days)


def _days(past: Past, entities: float) -> float:
    """Return after how many days so many different entities were met, or will have been."""
    first, last = int(past.met[0]), int(past.met[-1])
    day = DAY // timedelta(microseconds=1)
    if entities <= past.met.size:
        return (int(past.met[round(entities) - 1]) - first) / day
    # Of those who were met in the second half of the time many had come back before.
    late = int(np.count_nonzero(past.met > (first + last) // 2))
    rate = late / max((last - first) / 2, 1)
    return ((last - first) + (entities - past.met.size) / rate) / day


def rehearse_past(
    plan: ExperimentPlan, past: Past, rng: np.random.Generator, runs: int = 200
) -> tuple[Rehearsal, tuple[SelfTest, ...]]:
    """Try an experiment on the past, in which nothing was different, and count what ships.

    Returns
    -------
    Rehearsal, tuple of SelfTest
        The rule as a whole, and each metric by itself.
    """
    design, units = plan.design, past.units
    design = replace(design, size=max(len(units), design.least * len(design.arms)))
    times = past.met - past.met[0]
    step = max(plan.every // timedelta(microseconds=1), int(times[-1]) // MOST_LOOKS + 1)
    ends = range(step, int(times[-1]) + 2 * step, step)
    looks = sorted({int(np.searchsorted(times, end)) for end in ends} - {0})
    found = rehearse(design, units.figures, looks, rng, runs)
    return found, self_test(design, _buckets(plan, units, rng), rng)


def _buckets(plan: ExperimentPlan, units: Units, rng: np.random.Generator) -> Sequence[Tally]:
    dealt = rng.permutation(len(units)) % BUCKETS
    return [
        units.tally(plan.design.metrics, np.flatnonzero(dealt == bucket))
        for bucket in range(BUCKETS)
    ]
