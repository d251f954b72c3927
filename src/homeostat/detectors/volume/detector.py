"""Whether the rows per window are as many as at the same hour or weekday before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from homeostat.domain.verdict import BudgetShare, Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.stats.evidence import p_to_e, shiryaev_roberts
from homeostat.stats.special import t_sf

FloatArray = NDArray[np.float64]
Match = Literal["none", "hour", "weekday", "hour_of_week"]

GROUP_WINDOWS = 3  # windows of a kind from which they are a reference
MIN_EXPECTED = 5.0  # rows below which a window without any says nothing
PRIOR_VARIATION = 0.1  # relative day-to-day variation believed before any was seen
PRIOR_WINDOWS = 2.0  # windows this belief is worth
CHANCE = 0.05  # that one window looks as changed as matters, where it is just not
CAP = 4.0  # times the threshold: bounds the time to recover


@dataclass(frozen=True, slots=True)
class VolumeConfig(BudgetShare):
    """What the owner accepts and cares about; ``every`` is the length of the windows.

    Attributes
    ----------
    min_change : float
        Change that matters, as a share of the expected rows: 0.5 is half missing, or twice as many.
    match : {"none", "hour", "weekday", "hour_of_week"}
        Which reference windows to compare with, where there are at least `GROUP_WINDOWS` of them.
    """

    every: timedelta = timedelta(hours=1)
    share: float = 0.1
    min_change: float = 0.5
    match: Match = "hour"


@dataclass(frozen=True, slots=True)
class VolumeReference:
    """Fitted rows per window.

    ``expected`` holds (group, mean rows), ``overall`` the mean of all windows. ``dispersion`` is
    the variance of a root-scaled count relative to a Poisson count's at ``overall`` rows,
    at least 1, and ``freedom`` the degrees of freedom behind it.
    """

    windows: int
    overall: float
    expected: tuple[tuple[int, float], ...]
    dispersion: float
    freedom: float

    def rows(self, group: int) -> float:
        """Return the rows to expect in a window of the group."""
        return dict(self.expected).get(group, self.overall)

    def inflation(self, rows: float) -> float:
        """Return the over-dispersion of a window where `rows` are expected."""
        return 1.0 + (self.dispersion - 1.0) * rows / max(self.overall, 1e-9)


@dataclass(frozen=True, slots=True)
class VolumeState:
    """Evidence so far; ``firing`` is the last verdict."""

    evidence: float = 0.0
    firing: bool = False


def fit(reference: Sequence[tuple[Window, int]], config: VolumeConfig) -> VolumeReference:
    """Learn the rows to expect and their variation, from (window, rows) of healthy traffic.

    Include the windows without rows. Raises ValueError if there are no windows.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> start, day = datetime(2024, 1, 1, tzinfo=UTC), timedelta(days=1)
    >>> week = [(Window(start + i * day, start + (i + 1) * day), 1000 + 10 * i) for i in range(7)]
    >>> round(fit(week, VolumeConfig(every=day, match="none")).overall)
    1030
    """
    if not reference:
        raise ValueError("the volume reference has no windows")
    rows = np.asarray([count for _, count in reference], dtype=np.float64)
    groups = np.asarray([_group(window, config.match) for window, _ in reference])
    overall = float(rows.mean())
    labels, sizes = np.unique(groups, return_counts=True)
    if int(sizes.min()) < GROUP_WINDOWS:
        groups, labels = np.zeros_like(groups), np.zeros(1, dtype=groups.dtype)
        means = {}
    else:
        means = {int(label): float(rows[groups == label].mean()) for label in labels}
    free = float(rows.size - labels.size)
    center = np.asarray([means.get(int(group), overall) for group in groups])
    # Root scale: a Poisson count has unit variance there, whatever its mean; relative variation v
    # adds v^2 times the mean.
    squares = float((_root(rows, center) ** 2).sum())
    seen = max(0.0, squares / free - 1.0) if free > 0 else 0.0
    prior = PRIOR_VARIATION**2 * overall
    excess = (free * seen + PRIOR_WINDOWS * prior) / (free + PRIOR_WINDOWS)
    return VolumeReference(
        int(rows.size), overall, tuple(means.items()), 1.0 + excess, free + PRIOR_WINDOWS
    )


def _group(window: Window, match: Match) -> int:
    hour, weekday = window.start.hour, window.start.weekday()
    groups = {"none": 0, "hour": hour, "weekday": weekday, "hour_of_week": 24 * weekday + hour}
    return groups[match]


def _root(rows: FloatArray, expected: FloatArray) -> FloatArray:
    result: FloatArray = 2.0 * (np.sqrt(rows + 0.375) - np.sqrt(expected + 0.375))
    return result


def evaluate(
    reference: VolumeReference,
    state: VolumeState,
    model: str,
    window: Window,
    rows: int,
    config: VolumeConfig,
) -> tuple[VolumeState, Verdict]:
    """Judge the rows of a closed window; call once a window, in order of time.

    An alarm ends with the first window whose change is under half of ``min_change``. A window in
    which fewer than `MIN_EXPECTED` rows are expected is inconclusive unless there are more.
    """
    expected = reference.rows(_group(window, config.match))
    root = float(_root(np.asarray([rows]), np.asarray([expected]))[0])
    z = abs(root) / math.sqrt(reference.inflation(expected))
    p_value = min(1.0, 2.0 * t_sf(reference.freedom, z))
    change = rows / expected - 1.0 if expected > 0 else math.inf if rows else 0.0
    # Symmetric in the ratio: half as many and twice as many are both a change of 0.5.
    size = 1.0 - min(rows, expected) / max(rows, expected) if rows or expected else 0.0
    quiet = expected < MIN_EXPECTED and rows < MIN_EXPECTED
    if not quiet and state.firing and size < config.min_change / 2:
        state = VolumeState()
    elif not quiet:
        evidence = shiryaev_roberts(state.evidence, p_to_e(p_value))
        state = replace(state, evidence=min(evidence, CAP * config.threshold))
        proven = state.evidence >= config.threshold
        large = size >= config.min_change and (
            state.firing or _surely(reference, rows, expected, config)
        )
        state = replace(state, firing=proven and large)
    verdict = _verdict(reference, state, model, window, rows, config, (expected, change, p_value))
    if quiet:
        reason = f"only {expected:.3g} rows are expected in this window"
        verdict = replace(verdict, status=Status.INCONCLUSIVE, reason=reason)
    return state, verdict


def _surely(reference: VolumeReference, rows: int, expected: float, config: VolumeConfig) -> bool:
    """Whether a change is larger than what matters, and not only by the chance of one window.

    On days with a third fewer rows than usual, one hour in twenty has half as many.
    """
    kept = 1.0 - config.min_change
    limit = expected * kept if rows < expected else expected / kept
    root = abs(float(_root(np.asarray([rows]), np.asarray([limit]))[0]))
    return t_sf(reference.freedom, root / math.sqrt(reference.inflation(limit))) < CHANCE


def _verdict(
    reference: VolumeReference,
    state: VolumeState,
    model: str,
    window: Window,
    rows: int,
    config: VolumeConfig,
    found: tuple[float, float, float],
) -> Verdict:
    expected, change, p_value = found
    return Verdict(
        monitor=Monitor.VOLUME,
        model=model,
        subject="",
        window=window,
        status=Status.DRIFT if state.firing else Status.OK,
        score=change,
        effect_threshold=config.min_change,
        evidence=state.evidence,
        evidence_threshold=config.threshold,
        p_value=p_value,
        n_reference=reference.windows,
        n_current=rows,
        reason=f"{rows} rows, {expected:.0f} expected",
        details=(("expected", expected), ("inflation", reference.inflation(expected))),
    )
