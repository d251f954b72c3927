"""Measures windows whose labels are partly there: each early label counts for those to come.

Figures are of the cohort ``weighted``, beside the ``matured`` ones that come in the end. They are
measured when a window has closed, and again 1, 2, 4, 8 ... windows later until its labels are
complete. No monitor judges them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pyarrow as pa

from homeostat.detectors.performance.cohorts import Cohort
from homeostat.detectors.performance.evaluation import Request, evaluate_predictions
from homeostat.detectors.performance.weighted import weigh
from homeostat.domain.evaluation import OVERALL, WEIGHTED
from homeostat.domain.logged import logged_predictions
from homeostat.domain.predictions import to_micros
from homeostat.domain.verdict import MetricPoint
from homeostat.domain.window import Window, closed_windows, floor
from homeostat.engine.plan import EarlyPolicy, ModelPlan
from homeostat.engine.ports import PredictionLog
from homeostat.engine.samples import Source
from homeostat.engine.watch import Progress, Watch

LEARNT = 28
"""Metric windows with complete labels, from which delays are learnt."""


@dataclass(frozen=True, slots=True)
class Early:
    """What young windows brought."""

    memory: Progress
    points: tuple[MetricPoint, ...] = ()


def early_key(model: str) -> str:
    """Return the state key of what is remembered of early figures."""
    return f"early:{model}"


def measure_early(
    plan: ModelPlan,
    log: PredictionLog,
    memory: Progress,
    champion: str,
    watch: Watch,
    now: datetime,
    rng: np.random.Generator,
) -> Early:
    """Measure the champion's young windows that have come to one of the ages.

    Parameters
    ----------
    plan : ModelPlan
        Without a policy nothing is measured.
    log : PredictionLog
    memory : Progress
    champion : str
    watch : Watch
        Says when monitoring began, and which rows a data fault covers.
    now : datetime
    rng : numpy.random.Generator
        Draws rows where there are more than the policy asks for.

    Returns
    -------
    Early
        A point for each metric that can be told; its coverage is the share of labels known.
    """
    policy = plan.early
    until = floor(now, plan.metric_window)
    if policy is None or (memory.until is not None and until <= memory.until):
        return Early(memory)
    windows = tuple(_due(plan, watch.since, memory.until or watch.since, until, now))
    if not windows:
        return Early(replace(memory, until=until))
    points, problem = _measured(plan, policy, log, champion, windows, watch, now, rng)
    return Early(Progress(until, problem), points)


def _due(
    plan: ModelPlan, watched: datetime, since: datetime, until: datetime, now: datetime
) -> Iterator[Window]:
    """Yield the closed windows with young rows that have come to one of the ages."""
    step, mature = plan.metric_window, now - plan.spec.labels.maturity
    age, ages = 0 * step, set[Window]()
    while until - age > mature:
        first = max(since - age, watched)
        ages.update(closed_windows(first, until - age, step))
        age = max(2 * age, step)
    yield from (window for window in sorted(ages) if window.end > mature)


def _measured(
    plan: ModelPlan,
    policy: EarlyPolicy,
    log: PredictionLog,
    champion: str,
    windows: tuple[Window, ...],
    watch: Watch,
    now: datetime,
    rng: np.random.Generator,
) -> tuple[tuple[MetricPoint, ...], str]:
    spec, step = plan.spec, plan.metric_window
    faults = tuple(fault.window(now) for fault in watch.faults)
    source = Source(log, spec, champion, now, faults, early=True)
    mature = floor(now - spec.labels.maturity, step)
    learnt = [Window(mature - (n + 1) * step, mature - n * step) for n in range(LEARNT)]
    rows = [source.spread(learnt, policy.rows, rng)]
    rows += [source.spread([window], policy.rows, rng) for window in windows]
    whole = logged_predictions(spec, pa.concat_tables(rows))
    _, parted = weigh(whole, spec.labels.maturity, now, (), step)
    points: list[MetricPoint] = []
    problems: dict[str, None] = {}
    for window in windows:
        part = _within(parted, window)
        if not len(part.rows):
            continue
        found = evaluate_predictions(part, Request(min_rows=plan.performance.min_rows))
        for figure in found.select(by=OVERALL):
            told = figure.value, figure.lower, figure.upper
            if None in told or not np.isfinite(np.asarray(told, dtype=np.float64)).all():
                problems[f"{window}: {figure.problem or 'no interval'}"] = None
                continue
            value, lower, upper = (float(number or 0.0) for number in told)
            points.append(
                MetricPoint(
                    spec.name, champion, figure.metric, window,
                    value, lower, upper, figure.n, figure.coverage, WEIGHTED,
                )
            )  # fmt: skip
    return tuple(points), "; ".join(problems)


def _within(cohort: Cohort, window: Window) -> Cohort:
    """Return a window's rows, with the weights that they have in it."""
    times = cohort.rows.timestamps
    assert times is not None
    here = (times >= to_micros(window.start)) & (times < to_micros(window.end))
    reason = cohort.reasons.get(str(window), "")
    rows = replace(cohort.rows.take(here), versions=None)
    return Cohort(rows, cohort.name, cohort.as_of, {"": reason} if reason else {})
