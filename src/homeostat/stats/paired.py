"""Which of two is better on the same rows, though rows of a day have an effect in common."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from homeostat.stats.evidence import FRACTIONS, FloatArray, mixture

STRENGTHS = (0.1, 0.26, 0.56, 1.4, 4.5)
"""Best for means of d = 0.1, 0.25, 0.5, 1, 2 standard deviations of a block: d sqrt(1 + d^2)."""


@dataclass(frozen=True, slots=True)
class SignBets:
    """Log-capital of the bets that blocks are above 0; their number and sum of squares."""

    logs: tuple[float, ...] = (0.0,) * len(STRENGTHS)
    blocks: int = 0
    squares: float = 0.0


def bet_on_sign(state: SignBets, value: float) -> SignBets:
    """Bet that a block's mean is above 0, by as much as its size deserves.

    Given how large a block's mean is, its sign is a fair coin if means are symmetric about 0, and
    less likely to be positive if they are symmetric and unimodal about something lower. So
    ``1 + tanh(strength * value / rms)`` is an e-value, whatever the variation of blocks is and
    however it changes: sequential signed ranks in spirit (de la Pena, Annals of Probability 1999).
    A block at most doubles the capital, so that six blocks are the fewest that prove anything.

    Examples
    --------
    >>> state = SignBets()
    >>> for mean in (0.02, 0.03, 0.01, 0.02, 0.02, 0.03, 0.02):
    ...     state = bet_on_sign(state, mean)
    >>> state.blocks, max(state.logs) > 4.0
    (7, True)
    """
    blocks, squares = state.blocks + 1, state.squares + value * value
    scaled = value / math.sqrt(squares / blocks) if squares > 0.0 else 0.0
    # log(1 + tanh(x)) = log(2) - log(1 + exp(-2 x)), without overflow
    added = math.log(2.0) - np.logaddexp(0.0, -2.0 * scaled * np.asarray(STRENGTHS))
    return SignBets(tuple((np.asarray(state.logs) + added).tolist()), blocks, squares)


@dataclass(frozen=True, slots=True)
class PairedBets:
    """State of a paired comparison, in each direction.

    ``better``, ``worse`` and ``not_worse`` hold the log-capital of bets on rows; ``days`` those on
    means of whole blocks, in the same order. ``total`` is the sum of the differences, ``n`` how
    many there were; ``block`` is the one that is not over, with its own sum and rows.
    """

    better: tuple[float, ...] = (0.0,) * len(FRACTIONS)
    worse: tuple[float, ...] = (0.0,) * len(FRACTIONS)
    not_worse: tuple[float, ...] = (0.0,) * len(FRACTIONS)
    total: float = 0.0
    n: int = 0
    days: tuple[SignBets, SignBets, SignBets] = (SignBets(), SignBets(), SignBets())
    block: int | None = None
    block_total: float = 0.0
    block_n: int = 0


SURE = 0.05
"""Mean difference that no block's own effect explains: rows count at once beyond it."""


def bet_on_differences(
    state: PairedBets,
    differences: ArrayLike,
    margin: float = 0.0,
    block: int = 0,
    sure: float = SURE,
) -> PairedBets:
    """Bet on the sign of the mean of differences in [-1, 1]; valid at any stopping time.

    Rows of one block (a day) may have an effect in common. Three hypotheses, "mean <= 0" (against:
    better), "mean >= 0" (worse) and "mean <= -margin" (not worse), are each bet against twice: on
    rows, by ``prod(1 + f d)`` for a mean beyond `sure`, which no block's effect is taken to reach;
    and on the means of blocks that are over, which only needs their effects to be symmetric (see
    `bet_on_sign`). `paired_e` is the average of both.

    Parameters
    ----------
    block : int
        Of all these differences; another number than last time ends the block before.
    sure : float
        In [0, 1], the same for all differences of a state.

    Raises
    ------
    ValueError
        If a difference is out of range or NaN, or the margin is not in [0, 1].
    """
    values = np.asarray(differences, dtype=np.float64)
    if not bool(np.all(np.abs(values) <= 1.0)):
        raise ValueError("paired bets need differences in [-1, 1]")
    if not 0.0 <= margin <= 1.0:
        raise ValueError(f"a margin lies in [0, 1], not {margin}")
    stakes = np.asarray(FRACTIONS)[:, None]

    def grow(logs: tuple[float, ...], moved: FloatArray, shift: float) -> tuple[float, ...]:
        added = np.log1p(stakes * (moved + shift) / (1.0 + abs(shift))).sum(axis=1)
        return tuple(float(value) for value in np.asarray(logs) + added)

    if block != state.block:
        state = replace(_end_block(state, margin), block=block, block_total=0.0, block_n=0)
    total = math.fsum(values.tolist())
    return replace(
        state,
        better=grow(state.better, values, -sure),
        worse=grow(state.worse, -values, -sure),
        not_worse=grow(state.not_worse, values, margin - sure),
        total=state.total + total,
        n=state.n + int(values.size),
        block_total=state.block_total + total,
        block_n=state.block_n + int(values.size),
    )


def _end_block(state: PairedBets, margin: float) -> PairedBets:
    if not state.block_n:
        return state
    mean = state.block_total / state.block_n
    moved = (mean, -mean, mean + margin)
    better, worse, not_worse = (
        bet_on_sign(bets, value) for bets, value in zip(state.days, moved, strict=True)
    )
    return replace(state, days=(better, worse, not_worse))


def paired_e(state: PairedBets) -> tuple[float, float, float]:
    """Return the e-values for better, worse and not worse.

    Examples
    --------
    >>> paired_e(PairedBets())
    (1.0, 1.0, 1.0)
    """
    rows = (state.better, state.worse, state.not_worse)
    better, worse, not_worse = (
        0.5 * (mixture(logs) + mixture(bets.logs))
        for logs, bets in zip(rows, state.days, strict=True)
    )
    return better, worse, not_worse
