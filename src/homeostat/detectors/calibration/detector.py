"""Whether probabilities still come true as often as they say; may be read after every row.

The null is "given its score and the past, a label is 1 with a probability within the tolerance of
what the score claims, or of what such a score came to in the reference, or in between". What it
came to is a curve that is estimated, and the null allows for its standard error: see `fit` for what
is assumed. Bets on the two directions, over all rows and within cells of similar score, multiply
that out: each is an e-process under the null (Waudby-Smith & Ramdas 2024; testing forecasts
by betting on label minus score: Henzi & Ziegel, Biometrika 2022), and so is their average. Bets are
started at every call, so that the alarm budget holds in time (Shin, Ramdas & Rinaldo 2023). An
alarm needs an effect beside evidence: only bets whose recent rows are off by more than is tolerated
count towards it, which can only lower the evidence.

Labels that come in clumps, such as many rows of one entity, are more alike than the null says; the
tolerance is all that stands for that.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import ArrayLike, NDArray

from homeostat.detectors.calibration.reference import (
    CalibrationConfig,
    CalibrationReference,
    checked,
    fit,
)
from homeostat.domain.verdict import Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.stats.calibration import EXTREME
from homeostat.stats.evidence import Bets, bet, log_growth, mixture

__all__ = ["CalibrationConfig", "CalibrationReference", "CalibrationState", "evaluate", "fit"]

Floats = NDArray[np.float64]

PROOF = 20.0  # e-value that proves a recovery: a lifetime error of 5 %
CAP = 10.0  # times the threshold: bounds the time to recover
MEMORY = 1000  # rows over which the recent gap is taken
SUDDEN = 10  # rows of one call whose gap counts by itself: a big change need not fill the memory
DIRECTIONS = ("too low", "too high")


@dataclass(frozen=True, slots=True)
class RecentGap:
    """Mean of label minus score over recent rows, and how large it may be, either way.

    ``weight`` is the number of rows that it rests on, of all the ``rows`` so far.
    """

    rows: int = 0
    gap: float = 0.0
    low: float = 0.0
    high: float = 0.0
    weight: float = 0.0

    @property
    def allowed(self) -> float:
        """The bound on the side of the gap."""
        return self.bound(0 if self.gap >= 0.0 else 1)

    def bound(self, direction: int) -> float:
        """Return how large the gap may be where scores are too low (0) or too high (1)."""
        return self.low if direction else self.high

    def beyond(self, direction: int) -> bool:
        """Return whether the gap is larger than it may be in a direction."""
        return (-self.gap if direction else self.gap) > self.bound(direction)


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
    true, said = checked(labels, scores)
    places = reference.places
    if state.version != version or len(state.recent) != places:
        state = CalibrationState(version, (Bets(),) * (2 * places), (RecentGap(),) * places)
    if true.size:
        state = _advance(config, reference, state, window, true, said)
    return state, _verdict(config, reference, state, model, window, int(true.size))


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
        kept = min(MEMORY - whole, past.weight)

        def mean(values: Floats, before: float) -> float:
            return (float(values @ weights) + kept * before) / (whole + kept)

        return RecentGap(
            past.rows + n,
            mean(self.labels - self.scores, past.gap),
            mean(self.scores - self.low, past.low),
            mean(self.high - self.scores, past.high),
            whole + kept,
        )


def _places(
    config: CalibrationConfig, reference: CalibrationReference, labels: Floats, scores: Floats
) -> list[_Place]:
    cell = np.searchsorted(np.asarray(reference.edges), scores, side="right")
    found = []
    for place in range(reference.places):
        chosen = np.ones(labels.size, bool) if place == 0 else cell == place - 1
        low, high = reference.bounds(scores[chosen], config.tolerance)
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
    fresh = [place.follow(RecentGap()) for place in places]
    off = [stream for stream in range(len(bets)) if _off(state.recent, fresh, stream)]
    if _evidence(state, off) < config.threshold:
        return state
    firing = _clearest(bets, off)
    recent = list(state.recent)
    if not recent[firing // 2].beyond(firing % 2):
        # What was before the change is no part of it.
        recent[firing // 2] = replace(fresh[firing // 2], rows=recent[firing // 2].rows)
    recovery = (0.0,) * len(bets[0].capital)
    return replace(state, firing=firing, recent=tuple(recent), recovery=recovery)


def _off(recent: Sequence[RecentGap], fresh: Sequence[RecentGap], stream: int) -> bool:
    """Return whether more is amiss than is tolerated, of late or in the rows of this call."""
    place, direction = divmod(stream, 2)
    sudden = fresh[place].rows >= SUDDEN and fresh[place].beyond(direction)
    return recent[place].beyond(direction) or sudden


def _clearest(bets: tuple[Bets, ...], places: list[int]) -> int:
    """Return the strongest of some directions that the opposite direction does not contradict.

    Where scores mean the reverse of what they did, all rows together are too low and too high.
    """
    return max(places, key=lambda place: bets[place].evidence / max(1.0, bets[place ^ 1].evidence))


def _recovering(state: CalibrationState, seen: Floats, fine: Floats) -> CalibrationState:
    gained = log_growth(1.0 - seen, np.maximum(1.0 - fine, EXTREME / 2.0))
    logs = np.maximum(np.asarray(state.recovery), 0.0) + gained
    recovery = tuple(float(value) for value in logs)
    if mixture(recovery) >= PROOF:
        bets = (Bets(),) * len(state.bets)
        return replace(state, firing=None, bets=bets, recovery=())
    return replace(state, recovery=recovery)


def _evidence(state: CalibrationState, counted: Collection[int] | None = None) -> float:
    """Return the average capital: half of it of the bets on all rows, half of those in cells.

    Bets that are not counted are taken to have lost all.
    """
    kept = [
        part.evidence if counted is None or place in counted else 0.0
        for place, part in enumerate(state.bets)
    ]
    return (math.fsum(kept[:2]) / 2.0 + math.fsum(kept[2:]) / len(kept[2:])) / 2.0


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
        if not recent.beyond(state.firing % 2):
            reason += "; that they are right again is not proven yet"
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
