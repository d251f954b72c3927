"""Whether probabilities still come true as often as they say; may be read after every row.

The null is "given its score and the past, a label is 1 with a probability within the tolerance of
what the score claims". Bets on the two directions, over all rows and within cells of similar score,
multiply it out: each is an e-process under the null (Waudby-Smith & Ramdas 2024; testing forecasts
by betting on label minus score: Henzi & Ziegel, Biometrika 2022), and so is their average. Bets are
started at every call, so that the alarm budget holds in time (Shin, Ramdas & Rinaldo 2023).

Labels that come in clumps, such as many rows of one entity, are more alike than the null says; the
tolerance is all that stands for that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import ArrayLike, NDArray

from homeostat.domain.verdict import AlarmBudget, Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.stats.calibration import EXTREME, CalibrationCell, log_odds, reliability
from homeostat.stats.evidence import Bets, bet, log_growth, mixture
from homeostat.stats.ranking import rank
from homeostat.stats.special import logit

__all__ = ["CalibrationConfig", "CalibrationReference", "CalibrationState", "evaluate", "fit"]

Floats = NDArray[np.float64]

PROOF = 20.0  # e-value that proves a recovery: a lifetime error of 5 %
CAP = 10.0  # times the threshold: bounds the time to recover
MEMORY = 1000  # rows over which the recent gap is taken
DIRECTIONS = ("too low", "too high")


@dataclass(frozen=True, slots=True)
class CalibrationConfig:
    """What the owner tolerates.

    Attributes
    ----------
    budget : AlarmBudget
    every : timedelta
        Nominal time between evaluations; calls may be more or less frequent.
    share : float
        Part of the budget that this monitor may spend, in (0, 1].
    tolerance : float
        Miscalibration that does not matter, in log-odds: 0.2 is a chance of 0.45 or 0.55 where the
        score says 0.5, and of 0.008 or 0.012 where it says 0.01.
    cells : int
        Cells of similar score; 1: only look at all rows together.
    min_rows : int
        Rows before the verdict can be ``ok``; an alarm needs no minimum, its evidence suffices.
    """

    budget: AlarmBudget = field(default_factory=AlarmBudget)
    every: timedelta = timedelta(days=1)
    share: float = 0.25
    tolerance: float = 0.2
    cells: int = 5
    min_rows: int = 100

    @property
    def threshold(self) -> float:
        """Evidence at which to alarm, in units of `every`."""
        return self.budget.threshold(self.every, self.share)


@dataclass(frozen=True, slots=True)
class CalibrationReference:
    """Miscalibration that is there from the start and that the owner lives with.

    Attributes
    ----------
    edges : tuple of float
        Scores that part the cells, ascending: one fewer than there are cells.
    low, high : tuple of float
        Log-odds by which the truth may lie below and above the score, overall and then in each
        cell: the confidence interval of the reference's own offset, stretched to include 0, which
        is always fine.
    n : int
        Rows.
    """

    edges: tuple[float, ...] = ()
    low: tuple[float, ...] = (0.0, 0.0)
    high: tuple[float, ...] = (0.0, 0.0)
    n: int = 0


@dataclass(frozen=True, slots=True)
class RecentGap:
    """Mean of label minus score over recent rows, and how large it may be, either way."""

    rows: int = 0
    gap: float = 0.0
    low: float = 0.0
    high: float = 0.0

    @property
    def allowed(self) -> float:
        """The bound on the side of the gap."""
        return self.high if self.gap >= 0.0 else self.low


@dataclass(frozen=True, slots=True)
class CalibrationState:
    """Evidence so far, of one version.

    ``bets`` has the two directions of all rows, then those of each cell; ``recent`` the gaps of all
    rows and of each cell, exponentially weighted over `MEMORY` rows. ``firing`` is the place of the
    bets that fired, ``recovery`` the capital (logarithms) of the bets that it is over.
    """

    version: str = ""
    bets: tuple[Bets, ...] = ()
    recent: tuple[RecentGap, ...] = ()
    updated: datetime | None = None
    firing: int | None = None
    recovery: tuple[float, ...] = ()

    @property
    def rows(self) -> int:
        """Rows so far."""
        return self.recent[0].rows


def fit(
    labels: ArrayLike, scores: ArrayLike, config: CalibrationConfig, z: float = 2.58
) -> CalibrationReference:
    """Learn cells of about equally many rows, and how far the reference itself is off in each.

    Parameters
    ----------
    labels, scores : array_like
        Shape (n,): 0 or 1, and probabilities.
    config : CalibrationConfig
    z : float
        Standard errors that the tolerated offset reaches beyond the reference's own.

    Raises
    ------
    ValueError
        If there are no rows, or one is not as said.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> scores = rng.random(5000)
    >>> found = fit(rng.random(5000) < scores, scores, CalibrationConfig())
    >>> len(found.edges), len(found.low), found.low[0] <= 0.0 <= found.high[0]
    (4, 6, True)
    """
    true, said = _checked(labels, scores)
    if not true.size:
        raise ValueError("a reference of calibration needs at least one labelled row")
    ranking = rank(true, said)
    cells = reliability(ranking, config.cells)
    offsets = [_offset(cell, z) for cell in (*reliability(ranking, 1), *cells)]
    edges = tuple(cell.lowest for cell in cells[1:])
    low, high = zip(*offsets, strict=True)
    return CalibrationReference(edges, low, high, int(true.size))


def evaluate(
    config: CalibrationConfig,
    reference: CalibrationReference,
    state: CalibrationState,
    model: str,
    version: str,
    window: Window,
    labels: ArrayLike,
    scores: ArrayLike,
) -> tuple[CalibrationState, Verdict]:
    """Judge newly matured rows; call it with as few as one, as often as wanted.

    A version other than the state's starts afresh. Pass each row once. An alarm ends when bets on
    the opposite of what fired have won `PROOF`.

    Parameters
    ----------
    config : CalibrationConfig
    reference : CalibrationReference
        ``CalibrationReference()``: scores are to be taken at their word, over all rows together.
    state : CalibrationState
        ``CalibrationState()`` at first.
    model, version : str
    window : Window
        When the rows became known (or were scored); only its end is used for the time passed.
    labels, scores : array_like
        Shape (n,): 0 or 1, and probabilities, of rows not seen before.

    Returns
    -------
    CalibrationState, Verdict
        The verdict's score is the recent mean of label minus score, of all rows or of the cell that
        fired; its effect threshold is how large that may be.

    Raises
    ------
    ValueError
        If a label is not 0 or 1 or a score no probability.
    """
    true, said = _checked(labels, scores)
    places = len(reference.low)
    if state.version != version or len(state.recent) != places:
        state = CalibrationState(version, (Bets(),) * (2 * places), (RecentGap(),) * places)
    if true.size:
        state = _advance(config, reference, state, window, true, said)
    return state, _verdict(config, reference, state, model, window, int(true.size))


def _checked(labels: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats]:
    true = np.asarray(labels, dtype=np.float64)
    said = np.asarray(scores, dtype=np.float64)
    if true.shape != said.shape:
        raise ValueError(f"{said.size} scores for {true.size} labels")
    if not bool(np.all((true == 0.0) | (true == 1.0))):
        raise ValueError("calibration needs labels of 0 or 1: drop the rows of other ones")
    if not bool(np.all((said >= 0.0) & (said <= 1.0))):
        raise ValueError("calibration needs scores in [0, 1]: drop the rows of other ones")
    return true, said


def _offset(cell: CalibrationCell, z: float) -> tuple[float, float]:
    """Return the log-odds from claim to truth, lowest and highest, with half a row each way."""
    positives, n = cell.observed * cell.n + 0.5, cell.n + 1.0
    claimed = min(max(cell.mean_score, EXTREME), 1.0 - EXTREME)
    middle = math.log(positives / (n - positives)) - logit(claimed)
    reach = z * math.sqrt(1.0 / positives + 1.0 / (n - positives))
    return min(0.0, middle - reach), max(0.0, middle + reach)


def _bounds(
    config: CalibrationConfig, reference: CalibrationReference, place: int, scores: Floats
) -> tuple[Floats, Floats]:
    """Return the smallest and the largest chance of a label of 1 that is fine, of each row."""
    odds = log_odds(scores)
    low = 1.0 / (1.0 + np.exp(config.tolerance - reference.low[place] - odds))
    high = 1.0 / (1.0 + np.exp(-config.tolerance - reference.high[place] - odds))
    return low, high


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """Rows of one cell, or all, and the chances of a label of 1 that are fine for each."""

    labels: Floats
    scores: Floats
    low: Floats
    high: Floats

    def stream(self, direction: int) -> tuple[Floats, Floats]:
        """Return what is observed, and its largest mean that is fine."""
        if direction == 0:
            return self.labels, self.high
        return 1.0 - self.labels, 1.0 - self.low

    def follow(self, past: RecentGap) -> RecentGap:
        """Return the recent gap with these rows."""
        n = self.labels.size
        if not n:
            return past
        weights = (1.0 - 1.0 / MEMORY) ** np.arange(n - 1, -1, -1, dtype=np.float64)
        whole = float(weights.sum())
        kept = min(MEMORY - whole, float(past.rows))

        def mean(values: Floats, before: float) -> float:
            return (float(values @ weights) + kept * before) / (whole + kept)

        return RecentGap(
            past.rows + n,
            mean(self.labels - self.scores, past.gap),
            mean(self.scores - self.low, past.low),
            mean(self.high - self.scores, past.high),
        )


def _places(
    config: CalibrationConfig, reference: CalibrationReference, labels: Floats, scores: Floats
) -> list[_Place]:
    cell = np.searchsorted(np.asarray(reference.edges), scores, side="right")
    found = []
    for place in range(len(reference.low)):
        chosen = np.ones(labels.size, bool) if place == 0 else cell == place - 1
        low, high = _bounds(config, reference, place, scores[chosen])
        found.append(_Place(labels[chosen], scores[chosen], low, high))
    return found


def _advance(
    config: CalibrationConfig,
    reference: CalibrationReference,
    state: CalibrationState,
    window: Window,
    labels: Floats,
    scores: Floats,
) -> CalibrationState:
    elapsed = 1.0
    if state.updated is not None:
        elapsed = max(0.0, (window.end - state.updated) / config.every)
    places = _places(config, reference, labels, scores)
    streams = [place.stream(direction) for place in places for direction in (0, 1)]
    cap = CAP * config.threshold * len(streams)
    bets = tuple(
        bet(old, log_growth(seen, fine), elapsed, cap)
        for old, (seen, fine) in zip(state.bets, streams, strict=True)
    )
    state = replace(
        state,
        bets=bets,
        recent=tuple(place.follow(past) for place, past in zip(places, state.recent, strict=True)),
        updated=window.end if state.updated is None else max(state.updated, window.end),
    )
    if state.firing is not None:
        return _recovering(state, *streams[state.firing])
    if _evidence(state) >= config.threshold:
        return replace(state, firing=_clearest(bets), recovery=(0.0,) * len(bets[0].capital))
    return state


def _clearest(bets: tuple[Bets, ...]) -> int:
    """Return the strongest direction that the opposite direction does not contradict.

    Where scores mean the reverse of what they did, all rows together are too low and too high.
    """
    odds = [one.evidence / max(1.0, bets[place ^ 1].evidence) for place, one in enumerate(bets)]
    return odds.index(max(odds))


def _recovering(state: CalibrationState, seen: Floats, fine: Floats) -> CalibrationState:
    gained = log_growth(1.0 - seen, np.maximum(1.0 - fine, EXTREME / 2.0))
    logs = np.maximum(np.asarray(state.recovery), 0.0) + gained
    recovery = tuple(float(value) for value in logs)
    if mixture(recovery) >= PROOF:
        bets = (Bets(),) * len(state.bets)
        return replace(state, firing=None, bets=bets, recovery=())
    return replace(state, recovery=recovery)


def _evidence(state: CalibrationState) -> float:
    """Return the average capital: half of it of the bets on all rows, half of those in cells."""
    overall = math.fsum(part.evidence for part in state.bets[:2]) / 2.0
    cells = state.bets[2:]
    return (overall + math.fsum(part.evidence for part in cells) / len(cells)) / 2.0


def _verdict(
    config: CalibrationConfig,
    reference: CalibrationReference,
    state: CalibrationState,
    model: str,
    window: Window,
    n: int,
) -> Verdict:
    recent = state.recent[0 if state.firing is None else state.firing // 2]
    gap = recent.gap if recent.rows else math.nan
    claim = f"recent labels are {gap:+.3g} beside their scores, {recent.allowed:.3g} is tolerated"
    if not n:
        status, reason = Status.NO_DATA, "no newly matured labels"
    elif state.firing is not None:
        where = _where(reference, state.firing)
        status = Status.DRIFT
        reason = f"scores are {DIRECTIONS[state.firing % 2]}{where}: {claim}"
    elif state.rows < config.min_rows:
        status = Status.INCONCLUSIVE
        reason = f"{state.rows} labelled rows so far, {config.min_rows} are needed"
    else:
        status, reason = Status.OK, claim
    return Verdict(
        monitor=Monitor.CALIBRATION,
        model=model,
        subject="calibration",
        window=window,
        status=status,
        score=gap,
        effect_threshold=recent.allowed,
        evidence=_evidence(state),
        evidence_threshold=config.threshold,
        p_value=math.nan,
        n_reference=reference.n,
        n_current=n,
        reason=reason,
        version=state.version,
        details=(("recent_gap", gap), ("rows", float(state.rows))),
    )


def _where(reference: CalibrationReference, stream: int) -> str:
    place = stream // 2 - 1
    if place < 0 or not reference.edges:
        return ""
    bounds = (0.0, *reference.edges, 1.0)
    return f" from {bounds[place]:.3g} to {bounds[place + 1]:.3g}"
