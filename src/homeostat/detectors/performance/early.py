"""What a window's labels will turn out to be, from those that came early.

Early labels are no sample of all labels: a cancellation is known at once, a kept booking months
later. `shares.solve` tells the final shares from those known, given the delays. Where no label of a
class can have come yet, the others and the number of rows still determine them.

The error has three parts: labels not yet seen, the delays themselves (delete-a-block jackknife),
and how far delays differ from one stretch of time to the next, which the estimator's own record on
mature stretches tells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.performance.delay import Delays, Waiting
from homeostat.detectors.performance.shares import VAGUE, Habit, complete, solve, tally
from homeostat.stats.intervals import Interval, normal
from homeostat.stats.special import expit, logit

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

WANDER = 0.5
"""Standard deviation of log odds that is expected before any stretch has been seen."""
LEAST_WANDER = 0.3
ENOUGH_MATURED = 100
ENOUGH_LABELS = 20
ENOUGH_EFFECTIVE = 30
ENOUGH_STRETCHES = 3
MOST_STRETCHES = 20


@dataclass(frozen=True, slots=True)
class EarlyShare:
    """The share of a class among a window's labels, as it will be once all have come.

    Attributes
    ----------
    share : float
        Estimate; NaN if not identifiable.
    interval : Interval
        Holds the final share with a probability of 95 %; NaN bounds if not identifiable.
    naive : float
        Share among the labels known so far; NaN if there are none.
    rows, known : int
        Rows of the window, and those whose label is known.
    effective : float
        Labels of a random sample that would tell as much.
    miss : float
        Mean distance from the final share on mature stretches, seen at the same age; NaN if there
        were none.
    stretches : int
        How many such stretches.
    reason : str
        Why it is not identifiable; empty if it is.
    """

    share: float
    interval: Interval
    naive: float
    rows: int
    known: int
    effective: float
    miss: float
    stretches: int
    reason: str = ""

    @property
    def coverage(self) -> float:
        """Share of the rows whose label is known."""
        return self.known / self.rows if self.rows else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """A mature stretch of time, to be seen as it was when it was as old as the window is now.

    ``rows`` have the ages of then, and the labels of now; ``block`` is the block of `Delays` in
    which it lies, so that its own delays can be left out. ``wander`` is the mean squared log odds
    of its classes, and ``missed`` what early labels missed of them, in their own variance.
    """

    rows: Waiting
    block: int
    wander: float
    missed: float


def stretches(delays: Delays, rows: Waiting, oldest: int, length: int) -> tuple[Stretch, ...]:
    """Return the newest mature stretches that are as long as a window.

    Parameters
    ----------
    delays : Delays
    rows : Waiting
        All rows there are, as they are now, by age.
    oldest, length : int
        Age of the window's start, and its length, in microseconds.
    """
    maturity = int(delays.edges[-1])
    first = max(-(-(maturity + length - oldest) // length), 1)
    found: list[Stretch] = []
    for back in range(first, first + MOST_STRETCHES):
        until = oldest + back * length
        youngest = max(until - length + 1, back * length)
        low, high = np.searchsorted(rows.ages, [youngest, until + 1])
        if low == high:
            continue
        there = slice(low, high)
        then = rows.ages[there] - back * length
        seen = Waiting(rows.classes[there], rows.delays[there], then, rows.strata[there])
        younger = np.flatnonzero(delays.blocks <= until - length // 2)
        block = int(younger[0]) if younger.size else len(delays.blocks) - 1
        found.append(Stretch(seen, block, *_moments(delays, seen, block)))
    return tuple(found)


def _moments(delays: Delays, rows: Waiting, block: int) -> tuple[float, float]:
    final, error = complete(delays.shares[block + 1], _final(delays, rows))
    early = solve(delays, tally(delays, rows), np.array([block + 1]), Habit(VAGUE, 1.0))
    variance = np.maximum(early.uncertain - error, 1e-9)
    missed = float(((early.shift[0, 1:] - final) ** 2 / variance).mean())
    return float((final**2 - error).mean()), missed


def estimate(
    delays: Delays, rows: Waiting, record: tuple[Stretch, ...] = (), level: float = 0.95
) -> tuple[EarlyShare, ...]:
    """Estimate the final share of every class in a window.

    Parameters
    ----------
    delays : Delays
    rows : Waiting
        The window, as it is seen now.
    record : tuple of Stretch
        For how far off such an estimate is.
    level : float

    Examples
    --------
    Half the rows are of class 1, known within a day; the others take ten. After two days the
    youngest rows seem to be all of class 1:

    >>> from homeostat.detectors.performance.delay import fit
    >>> from homeostat.domain.predictions import NEVER
    >>> day, rng = 86_400_000_000, np.random.default_rng(0)
    >>> made, classes = np.arange(0, 100 * day, day // 40), rng.integers(0, 2, 4000)
    >>> delays, ages = np.where(classes == 1, day, 10 * day), 100 * day - made
    >>> delays = np.where(delays > ages, NEVER, delays)
    >>> rows = Waiting(classes, delays, ages, np.zeros(4000, np.intp)).take(np.argsort(ages))
    >>> learned, young = fit(rows, 20 * day, 2, 1), rows.take(rows.ages <= 5 * day)
    >>> record = stretches(learned, rows, 5 * day, 5 * day)
    >>> one = estimate(learned, young, record)[1]
    >>> round(one.naive, 2), round(one.share, 2), float(classes[-200:].mean())
    (1.0, 0.47, 0.45)
    """
    cells = tally(delays, rows)
    ended = tuple(one for one in record if _final(delays, one.rows).sum() >= ENOUGH_LABELS)
    habit = habit_of(ended)
    found = solve(delays, cells, np.arange(len(delays.never)), habit)
    share = found.whole[0]
    errors, expected = _record(delays, ended, habit)
    blocks = len(delays.never) - 1
    known_delays = (blocks - 1) * found.whole[1:].var(axis=0)
    extra = np.maximum((errors**2 - expected).mean(axis=0) if len(errors) else 0.0, known_delays)
    spread = np.sqrt(found.variance + extra)
    effective = _effective(share, spread, len(rows))
    problem = _problem(delays, len(rows), len(ended), float(effective.min()))
    miss = np.abs(errors).mean(axis=0) if len(errors) else np.full(share.size, math.nan)
    labels, none = cells.labels.sum(axis=1), Interval(math.nan, math.nan)
    return tuple(
        EarlyShare(
            share=math.nan if problem else float(share[k]),
            interval=none if problem else _interval(share, spread, labels, k, len(rows), level),
            naive=float(labels[k] / labels.sum()) if labels.sum() else math.nan,
            rows=len(rows),
            known=int(labels.sum()),
            effective=float(effective[k]),
            miss=float(miss[k]),
            stretches=len(errors),
            reason=problem,
        )
        for k in range(share.size)
    )


def habit_of(record: tuple[Stretch, ...]) -> Habit:
    """Learn by moments how far class odds wander, and what early labels say of it."""
    squares = [WANDER**2, *(stretch.wander for stretch in record)]
    missed = [1.0, *(stretch.missed for stretch in record)]
    wander = math.sqrt(max(float(np.mean(squares)), LEAST_WANDER**2))
    return Habit(wander, max(float(np.mean(missed)), 1.0))


def _final(delays: Delays, rows: Waiting) -> Floats:
    """Return the labels that came in the end, by class and stratum."""
    rows = rows.take(rows.delays <= delays.edges[-1])
    classes, strata = delays.arrived.shape[1:3]
    at = rows.classes * strata + rows.strata
    return np.bincount(at, minlength=classes * strata).reshape(classes, strata).astype(np.float64)


def _record(delays: Delays, record: tuple[Stretch, ...], habit: Habit) -> tuple[Floats, Floats]:
    """Return how far estimates were off on mature stretches, and their expected squares."""
    errors, expected = [], []
    for stretch in record:
        counts = _final(delays, stretch.rows).sum(axis=1)
        seen = tally(delays, stretch.rows)
        found = solve(delays, seen, np.array([stretch.block + 1]), habit)
        errors.append(found.whole[0] - counts / counts.sum())
        expected.append(found.variance)
    return np.array(errors), np.array(expected)


def _effective(share: Floats, spread: Floats, rows: int) -> Floats:
    """Return how many labels of a random sample would tell as much, at most all."""
    alone = share * (1.0 - share)
    return np.minimum(alone / np.maximum(spread**2 + alone / max(rows, 1), 1e-12), rows)


def _interval(
    shares: Floats, spread: Floats, labels: Floats, k: int, rows: int, level: float
) -> Interval:
    """Return the interval on the logit scale, within what the known labels leave possible."""
    share = min(max(float(shares[k]), 0.5 / rows), 1.0 - 0.5 / rows)
    around = normal(logit(share), float(spread[k]) / (share * (1.0 - share)), level)
    least = float(labels[k]) / rows
    most = 1.0 - float(labels.sum() - labels[k]) / rows
    return Interval(max(expit(around.lower), least), min(expit(around.upper), most))


def _problem(delays: Delays, rows: int, record: int, effective: float) -> str:
    if delays.matured < ENOUGH_MATURED:
        return (
            f"not yet identifiable: {delays.matured} predictions are old enough to tell how long "
            f"labels take, {ENOUGH_MATURED} are needed"
        )
    if delays.labels.min() < ENOUGH_LABELS:
        return (
            f"not yet identifiable: {delays.labels.min()} labels of a class are known, "
            f"{ENOUGH_LABELS} are needed to tell how long they take"
        )
    if record < ENOUGH_STRETCHES:
        return (
            f"not yet identifiable: {record} mature stretches of this length show how far off such "
            f"an estimate is, {ENOUGH_STRETCHES} are needed"
        )
    if effective < ENOUGH_EFFECTIVE:
        return (
            f"not yet identifiable: what is known of {rows} predictions tells as much as "
            f"{effective:.0f} labels would, {ENOUGH_EFFECTIVE} are needed"
        )
    return ""
