"""Which of two versions loses less on the same rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from homeostat.stats.blocks import clustered_error
from homeostat.stats.paired import SURE, PairedBets, bet_on_differences, paired_e
from homeostat.stats.special import t_quantile

Floats = NDArray[np.float64]


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


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """How two versions differ on the same rows, with a 95 % interval.

    Attributes
    ----------
    value, lower, upper : float
        Mean of the second version minus that of the first; NaN where there are too few rows.
    n, blocks : int
        Rows, and the days that they are of: 0 where each row counts by itself.
    """

    value: float
    lower: float
    upper: float
    n: int
    blocks: int = 0

    @property
    def told_apart(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.lower > 0.0 or self.upper < 0.0


def paired_difference(
    first: Floats,
    second: Floats,
    weights: Floats | None = None,
    blocks: NDArray[np.int64] | None = None,
) -> PairedDifference:
    """Compare the means of two versions on the same rows, looked at once.

    The interval is Student's; with blocks, that of rows which are alike within them
    (`homeostat.stats.blocks.clustered_error`), with a degree of freedom for each block but one.

    Parameters
    ----------
    first, second : ndarray of float64, shape (n,)
        No NaN.
    weights : ndarray of float64, shape (n,), optional
        Above 0.
    blocks : ndarray of int64, shape (n,), optional
        The day of each row, by any count.

    Examples
    --------
    >>> losses = np.linspace(0.0, 1.0, 50)
    >>> found = paired_difference(losses, losses + np.tile([0.1, 0.3], 25))
    >>> round(found.value, 2), round(found.lower, 2), found.told_apart
    (0.2, 0.17, True)
    """
    apart = second - first
    owner = np.arange(apart.size, dtype=np.int64) if blocks is None else blocks
    count = np.unique(owner).size
    days = 0 if blocks is None else count
    if not count:
        return PairedDifference(math.nan, math.nan, math.nan, 0)
    own = np.ones(apart.size) if weights is None else weights / weights.mean()
    value = float((own * apart).mean())
    if count < 2:
        return PairedDifference(value, math.nan, math.nan, apart.size, days)
    error = clustered_error(own * (apart - value), owner)
    reach = t_quantile(count - 1.0, 0.975) * error
    return PairedDifference(value, value - reach, value + reach, apart.size, days)
