"""Runs rules on worlds and counts: false alarms where nothing changes, power where something does.

An *alarm* is what wakes a person: the first window in which any column is flagged after one in
which none was. *Found* is a window with any column flagged, at or after a shift; it counts as
*named* if a column to blame is among those flagged, as *only* if no other is.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2
from worlds import MONITORED_DAYS, REFERENCE_DAYS, Day, Shift, World

Flags: TypeAlias = tuple[frozenset[str], ...]


class Judge(Protocol):
    """A fitted rule; sees each monitored window once, in order, and may keep state."""

    def judge(self, day: Day) -> frozenset[str]:
        """Return the names of the columns that it calls drifted in this window."""
        ...


class Rule(Protocol):
    """How somebody decides whether columns drifted."""

    def fit(self, reference: tuple[Day, ...]) -> Judge:
        """Learn what the reference's daily windows look like."""
        ...


@dataclass(frozen=True, slots=True)
class Run:
    """What one rule said about one repetition: flagged columns by monitored window."""

    flags: Flags
    seconds: float

    @property
    def alarms(self) -> int:
        """Number of rising edges of "any column is flagged"."""
        return rising_edges(np.array([bool(flagged) for flagged in self.flags]))


def rising_edges(raised: NDArray[np.bool_]) -> int:
    """Count where a series of booleans turns true; a true start counts.

    Examples
    --------
    >>> import numpy as np
    >>> rising_edges(np.array([True, True, False, True]))
    2
    """
    return int(raised[0]) + int(np.count_nonzero(raised[1:] & ~raised[:-1]))


def play(
    world: World, rules: Mapping[str, Rule], seed: np.random.SeedSequence, days: int
) -> dict[str, Run]:
    """Show the same traffic to every rule: the reference, then `days` monitored windows."""
    stream = world.days(np.random.default_rng(seed), REFERENCE_DAYS + days)
    reference = tuple(next(stream) for _ in range(REFERENCE_DAYS))
    spent = dict.fromkeys(rules, 0.0)
    judges: dict[str, Judge] = {}
    for name, rule in rules.items():
        start = time.perf_counter()
        judges[name] = rule.fit(reference)
        spent[name] += time.perf_counter() - start
    flags: dict[str, list[frozenset[str]]] = {name: [] for name in rules}
    for day in stream:
        for name, judge in judges.items():
            start = time.perf_counter()
            flags[name].append(judge.judge(day))
            spent[name] += time.perf_counter() - start
    return {name: Run(tuple(flags[name]), spent[name]) for name in rules}


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """Alarms per model in 90 days without a change, over all repetitions.

    ``upper_95`` bounds the mean with 95 % confidence, from above: the larger of the exact bound for
    a Poisson total and of the bootstrap over repetitions.
    """

    repetitions: int
    alarms: float
    upper_95: float
    windows_flagged: float
    runs_with_alarm: float
    seconds_per_window: float


def count_false_alarms(runs: Sequence[Run]) -> FalseAlarms:
    """Summarise runs in which nothing changed."""
    alarms = np.array([run.alarms for run in runs])
    flagged = np.array([[bool(columns) for columns in run.flags] for run in runs])
    per_period = MONITORED_DAYS / flagged.shape[1]
    return FalseAlarms(
        repetitions=len(runs),
        alarms=float(alarms.mean()) * per_period,
        upper_95=upper_bound(alarms) * per_period,
        windows_flagged=float(flagged.mean()),
        runs_with_alarm=float((alarms > 0).mean()),
        seconds_per_window=_seconds_per_window(runs),
    )


def upper_bound(counts: NDArray[np.int64], draws: int = 2000) -> float:
    """Return the one-sided 95 % upper bound of the mean of counts.

    Examples
    --------
    >>> import numpy as np
    >>> round(upper_bound(np.zeros(200, dtype=np.int64)), 3)
    0.015
    """
    poisson = float(chi2.ppf(0.95, 2 * (counts.sum() + 1))) / 2 / counts.size
    picked = np.random.default_rng(0).integers(0, counts.size, (draws, counts.size))
    return max(poisson, float(np.quantile(counts[picked].mean(axis=1), 0.95)))


@dataclass(frozen=True, slots=True)
class Power:
    """How a shift was found, over all repetitions.

    ``found``, ``found_named``: share of the repetitions in which any column, a column to blame, was
    flagged within `within` windows. ``named``, ``only``: of those in which any was, the share in
    which the first such window flagged a column to blame, and no other. ``median_delay``: windows
    until the first with a column to blame, 1 if at once, infinite if never in most repetitions.
    ``flagged_before``: share of windows flagged before the shift.
    """

    repetitions: int
    within: int
    found: float
    found_named: float
    named: float
    only: float
    median_delay: float
    flagged_before: float
    seconds_per_window: float


def measure_power(runs: Sequence[Run], shift: Shift, within: int) -> Power:
    """Summarise runs in which a shift happened."""
    start = shift.start - REFERENCE_DAYS
    firsts, delays = [], []
    for run in runs:
        after = run.flags[start:]
        firsts.append(next((flagged for flagged in after[:within] if flagged), frozenset()))
        hits = (i for i, flagged in enumerate(after, 1) if flagged & shift.columns)
        delays.append(next(hits, np.inf))
    found = [first for first in firsts if first]
    before = [bool(flagged) for run in runs for flagged in run.flags[:start]]
    return Power(
        repetitions=len(runs),
        within=within,
        found=len(found) / len(runs),
        found_named=float(np.mean(np.array(delays) <= within)),
        named=_share([bool(first & shift.columns) for first in found]),
        only=_share([first <= shift.columns for first in found]),
        median_delay=float(np.quantile(delays, 0.5, method="inverted_cdf")),
        flagged_before=_share(before),
        seconds_per_window=_seconds_per_window(runs),
    )


def tuned_factor(scores: Sequence[NDArray[np.float64]], alarms: float = 1.0) -> float:
    """Return the smallest factor on a rule's threshold that keeps false alarms within a budget.

    Parameters
    ----------
    scores : sequence of ndarray of float64, shape (windows,)
        For each run in which nothing changes, each window's largest score over the columns, in
        units of the threshold.
    alarms : float
        Rising edges per `MONITORED_DAYS` windows that are accepted, on average over the runs.

    Notes
    -----
    At low thresholds everything is flagged always, which is a single rising edge; so the factor is
    sought from the quiet side, and holds for every larger one, too.
    """
    values = np.stack(scores)
    per_period = MONITORED_DAYS / values.shape[1]
    kept = np.inf
    for factor in np.unique(values)[::-1]:
        raised = values >= factor
        edges = int(raised[:, 0].sum()) + int((raised[:, 1:] & ~raised[:, :-1]).sum())
        if edges / len(values) * per_period > alarms:
            break
        kept = float(factor)
    return kept


def _share(found: Sequence[bool]) -> float:
    return float(np.mean(found)) if found else float("nan")


def _seconds_per_window(runs: Sequence[Run]) -> float:
    return float(np.mean([run.seconds / len(run.flags) for run in runs]))
