"""Challenger and champion on the same rows, with all labels that came: for people to look at.

Nothing is decided by it. What decides is the evidence that may be read at any time
(`PairedReport.better_e` and its like); the intervals and p-values here are those of one look, and
looked at daily they find a winner far too often.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.performance import detector
from homeostat.domain.columns import texts, where
from homeostat.domain.model import Task
from homeostat.domain.window import Window
from homeostat.engine.cohort import Outcomes, cohorts, outcomes
from homeostat.engine.outcomes import paired_evidence
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import PredictionLog
from homeostat.engine.watch import Pairing, Watch
from homeostat.rollout.state import RolloutState, Stage
from homeostat.stats.areas import compare_areas
from homeostat.stats.discordant import mcnemar_exact
from homeostat.stats.intervals import Interval

Floats = NDArray[np.float64]
NAN = math.nan
NONE = Interval(NAN, NAN)
MOST_ROWS = 200_000
"""Pairs that are looked at, the newest ones."""
RESAMPLES = 1000
FEW_ENTITIES = 20
"""Below so many a bootstrap over entities promises too much."""


@dataclass(frozen=True, slots=True)
class PairedReport:
    """How a challenger compares with the champion on rows that both have scored.

    Attributes
    ----------
    model, champion, challenger : str
    since, until : datetime
        Time of the rows; their labels are complete.
    rows, entities : int
        Pairs, and whom they are about (0: not known).
    champion_loss, challenger_loss : float
        Means of the loss that the engine bets on.
    difference, difference_interval : float, Interval
        Champion's minus challenger's: positive where the challenger is better. The interval is a
        paired bootstrap over entities, or rows where none are known; NaN with fewer than 20.
    champion_alone, challenger_alone : int or None
        Rows that only this one got right; None for regressions.
    mcnemar_p : float
        Of "right equally often", exact; NaN for regressions. Takes rows for independent.
    champion_auc, challenger_auc : float
        NaN but for binary models.
    auc_interval, auc_p : Interval, float
        Of challenger minus champion (DeLong). Takes rows for independent.
    better_e, worse_e, not_worse_e : float
        What decides: e-values on the rows that the engine has paired, of which there are
    paired : int
    enough : float
        E-value from which one of them counts.
    problem : str
        Why there is nothing to compare; empty if there is.
    """

    model: str
    champion: str
    challenger: str
    since: datetime
    until: datetime
    rows: int = 0
    entities: int = 0
    champion_loss: float = NAN
    challenger_loss: float = NAN
    difference: float = NAN
    difference_interval: Interval = NONE
    champion_alone: int | None = None
    challenger_alone: int | None = None
    mcnemar_p: float = NAN
    champion_auc: float = NAN
    challenger_auc: float = NAN
    auc_interval: Interval = NONE
    auc_p: float = NAN
    better_e: float = 1.0
    worse_e: float = 1.0
    not_worse_e: float = 1.0
    paired: int = 0
    enough: float = 20.0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _Pairs:
    champion: Floats
    challenger: Floats
    labels: Floats
    owners: Sequence[str | None]


def paired_report(
    plan: ModelPlan,
    log: PredictionLog,
    watch: Watch | None,
    state: RolloutState,
    now: datetime,
    rng: np.random.Generator,
) -> PairedReport | None:
    """Compare the challenger under rollout with the champion; None while there is none.

    Parameters
    ----------
    plan : ModelPlan
    log : PredictionLog
        Read from when the version was submitted to where labels are complete.
    watch : Watch or None
        What the engine has paired so far.
    state : RolloutState
    now : datetime
    rng : numpy.random.Generator
        For the bootstrap.
    """
    if not state.challenger or state.stage is Stage.CANDIDATE:
        return None
    cohort = cohorts(plan.spec)[0]
    since = state.submitted_at or state.since or now
    until = max(now - cohort.maturity, since)
    found = PairedReport(
        state.model, state.champion, state.challenger, since, until, enough=1 / plan.rollout.alpha
    )
    pairing = watch.challenger if watch else Pairing()
    if (pairing.champion, pairing.other) == (state.champion, state.challenger):
        told = paired_evidence(pairing)
        found = replace(
            found, better_e=told.better_e, worse_e=told.worse_e,
            not_worse_e=told.not_worse_e, paired=told.n,
        )  # fmt: skip
    pairs = _read(plan, log, watch, found, now)
    if not pairs.labels.size:
        wait = f"no row that both scored has its label yet; labels take {cohort.maturity}"
        return replace(found, problem=wait)
    return _compared(plan, pairs, found, rng)


def _read(
    plan: ModelPlan, log: PredictionLog, watch: Watch | None, found: PairedReport, now: datetime
) -> _Pairs:
    """Read the newest pairs, a stretch of time after the other from the last on."""
    spec = plan.spec
    cohort = cohorts(spec)[0]
    faults = tuple(fault.window(now) for fault in watch.faults) if watch else ()
    parts: list[_Pairs] = []
    stretches = (
        tuple(log.stretches(spec, Window(found.since, found.until)))
        if (found.until > found.since)
        else ()
    )
    for stretch in reversed(stretches):
        rows = outcomes(log, spec, cohort, stretch, now, faults, ("entity",))
        parts.append(_paired(rows, found.champion, found.challenger))
        if sum(part.labels.size for part in parts) >= MOST_ROWS:
            break
    return _Pairs(
        np.concatenate([np.empty(0), *(part.champion for part in parts)]),
        np.concatenate([np.empty(0), *(part.challenger for part in parts)]),
        np.concatenate([np.empty(0), *(part.labels for part in parts)]),
        [name for part in parts for name in part.owners],
    )


def _paired(rows: Outcomes, champion: str, challenger: str) -> _Pairs:
    scores, others, labels = rows.paired(champion, challenger)
    known = where(rows.rows, "version", challenger)
    keys = dict(zip(texts(known, "prediction_id"), known["entity"].to_pylist(), strict=True))
    asked = texts(where(rows.rows, "version", champion), "prediction_id")
    return _Pairs(scores, others, labels, [keys[key] for key in asked if key in keys])


def _compared(
    plan: ModelPlan, pairs: _Pairs, found: PairedReport, rng: np.random.Generator
) -> PairedReport:
    task, threshold = plan.spec.task, plan.spec.threshold
    losses, others = (
        detector.losses(task, scores, pairs.labels, threshold, plan.performance.scale)
        for scores in (pairs.champion, pairs.challenger)
    )
    gained = losses - others
    owners, entities = _owners(pairs)
    found = replace(
        found, rows=int(gained.size), entities=entities,
        champion_loss=float(losses.mean()), challenger_loss=float(others.mean()),
        difference=float(gained.mean()), difference_interval=_bootstrap(gained, owners, rng),
    )  # fmt: skip
    if task is Task.REGRESSION:
        return found
    wrong, other_wrong = losses > 0, others > 0
    if task is Task.BINARY:
        wrong, other_wrong = (
            detector.mistakes(scores, pairs.labels, threshold) > 0
            for scores in (pairs.champion, pairs.challenger)
        )
    alone = int(np.count_nonzero(~wrong & other_wrong))
    other_alone = int(np.count_nonzero(wrong & ~other_wrong))
    found = replace(
        found, champion_alone=alone, challenger_alone=other_alone,
        mcnemar_p=mcnemar_exact(alone, other_alone).p_value,
    )  # fmt: skip
    if task is not Task.BINARY:
        return found
    areas = compare_areas(pairs.labels, pairs.challenger, pairs.champion)
    return replace(
        found, challenger_auc=areas.first, champion_auc=areas.second,
        auc_interval=areas.interval, auc_p=areas.p_value,
    )  # fmt: skip


def _owners(pairs: _Pairs) -> tuple[NDArray[np.int64], int]:
    """Return who each row is about, by number, and how many they are; 0: a row each."""
    named = [name for name in pairs.owners if name]
    if len(named) < len(pairs.owners):
        return np.arange(len(pairs.owners)), 0
    numbers: dict[str, int] = {}
    owners = np.array([numbers.setdefault(name, len(numbers)) for name in named], dtype=np.int64)
    return owners, len(numbers)


def _bootstrap(
    gained: Floats, owners: NDArray[np.int64], rng: np.random.Generator, level: float = 0.95
) -> Interval:
    """Return the percentile interval of the mean over resampled owners, whole ones."""
    sums = np.bincount(owners, gained)
    counts = np.bincount(owners).astype(np.float64)
    if sums.size < FEW_ENTITIES:
        return NONE
    means = np.empty(RESAMPLES)
    for turn in range(RESAMPLES):
        drawn = rng.integers(0, sums.size, sums.size)
        means[turn] = sums[drawn].sum() / counts[drawn].sum()
    tail = (1.0 - level) / 2.0
    lower, upper = np.quantile(means, [tail, 1.0 - tail])
    return Interval(float(lower), float(upper))
