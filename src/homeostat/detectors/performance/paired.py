"""Which of two versions loses less on the same rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from homeostat.stats.paired import SURE, PairedBets, bet_on_differences, paired_e


@dataclass(frozen=True, slots=True)
class PairedEvidence:
    """Anytime-valid comparison of a challenger with the champion on the same rows.

    Attributes
    ----------
    better_e, worse_e : float
        E-values against "the challenger is not better" and "not worse"; at 20 or more the claim
        holds with a lifetime error of at most 5 %, however often it was looked at.
    difference : float
        Mean champion loss minus challenger loss; positive: the challenger is better. NaN if n = 0.
    n : int
        Rows.
    not_worse_e : float
        E-value against "the challenger is worse by the margin or more".
    """

    better_e: float
    worse_e: float
    difference: float
    n: int
    not_worse_e: float = 1.0


def compare_paired(
    losses_champion: ArrayLike,
    losses_challenger: ArrayLike,
    state: PairedBets,
    margin: float = 0.0,
    block: int = 0,
    sure: float = SURE,
) -> tuple[PairedBets, PairedEvidence]:
    """Compare two versions on the same rows; may be read after every batch.

    Parameters
    ----------
    losses_champion, losses_challenger : array_like
        Shape (n,), in [0, 1], same rows in the same order, not seen before.
    state : PairedBets
        ``PairedBets()`` at first.
    margin : float
        Loss by which a challenger may be worse and still count as not worse.
    block : int
        The day of these rows, by any count: rows of a day may have an effect in common.
    sure : float
        A mean difference beyond it is proven by rows, a smaller one by days that are over; the same
        in each call, such as the baseline's `LossBaseline.sure`.

    Examples
    --------
    >>> state, found = compare_paired([0.8] * 60, [0.1] * 60, PairedBets())
    >>> found.better_e > 20, found.worse_e < 1, round(found.difference, 2)
    (True, True, 0.7)
    """
    champion = np.asarray(losses_champion, dtype=np.float64)
    challenger = np.asarray(losses_challenger, dtype=np.float64)
    if champion.shape != challenger.shape:
        raise ValueError(
            f"unpaired: {champion.size} champion and {challenger.size} challenger rows"
        )
    state = bet_on_differences(state, champion - challenger, margin, block, sure)
    better, worse, not_worse = paired_e(state)
    return state, PairedEvidence(
        better_e=better,
        worse_e=worse,
        difference=state.total / state.n if state.n else math.nan,
        n=state.n,
        not_worse_e=not_worse,
    )
