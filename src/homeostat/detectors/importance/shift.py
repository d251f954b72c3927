"""Whether a model lives on other columns in one window than in another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from homeostat.detectors.importance.permutation import Importance
from homeostat.domain.verdict import Status
from homeostat.stats import special
from homeostat.stats.intervals import NAN
from homeostat.stats.multiple import holm

MEASURED = (Status.OK, Status.INCONCLUSIVE)


@dataclass(frozen=True, slots=True)
class ImportanceShift:
    """How the importance of the same columns differs between two windows.

    Attributes
    ----------
    columns : tuple of str
    status : Status
        ``DRIFT``: real and large enough to matter. ``OK``: not shown to differ. ``INCONCLUSIVE``:
        one of the two rests on too few rows. ``NO_DATA``: one of the two could not be measured.
    before, after : float
        Importance in the unit of the loss; NaN where it could not be measured.
    difference, lower, upper : float
        After minus before, with its interval.
    p_value : float
        Adjusted for the number of columns (Holm): the chance of any column called drifted where
        none differs is at most the level. NaN where nothing can differ: a column not read.
    rank_before, rank_after : int
    reason : str
        One sentence for people.
    """

    columns: tuple[str, ...]
    status: Status
    before: float
    after: float
    difference: float
    lower: float
    upper: float
    p_value: float
    rank_before: int
    rank_after: int
    reason: str

    @property
    def name(self) -> str:
        """The columns in one text."""
        return " + ".join(self.columns)


def importance_shift(
    before: Sequence[Importance],
    after: Sequence[Importance],
    alpha: float = 0.05,
    effect: float = 0.1,
) -> tuple[ImportanceShift, ...]:
    """Compare the importances of two windows whose rows are independent of each other.

    Parameters
    ----------
    before, after : sequence of Importance
        Of one model. Columns that only one of them has are left out.
    alpha : float
        Chance of any false "drift", in (0, 1).
    effect : float
        Difference that matters, as a share of the largest importance in either window.

    Returns
    -------
    tuple of ImportanceShift
        In the order of `before`.

    Raises
    ------
    ValueError
        If `alpha` is outside (0, 1) or `effect` is negative.

    Notes
    -----
    Welch's t test of each difference. Importance rises and falls with the loss that there is to
    lose: where labels become easier or rarer, all columns shift.

    Examples
    --------
    >>> def at(name, value, error=0.01, rank=1):
    ...     return Importance((name,), Status.OK, value, 0.0, 0.0, error, rank, n=500)
    >>> january = [at("amount", 0.30), at("age", 0.10, rank=2)]
    >>> june = [at("amount", 0.05, rank=2), at("age", 0.11)]
    >>> for found in importance_shift(january, june):
    ...     print(found.name, found.status.value, round(found.difference, 2), found.reason)
    amount drift -0.25 fell from 0.3 (rank 1) to 0.05 (rank 2)
    age ok 0.01 0.1 (rank 2), then 0.11 (rank 1)
    """
    if not 0.0 < alpha < 1.0 or effect < 0.0:
        raise ValueError("alpha lies in (0, 1), and the effect that matters is at least 0")
    later = {one.columns: one for one in after}
    pairs = [(one, later[one.columns]) for one in before if one.columns in later]
    values = [one.value for pair in pairs for one in pair if not math.isnan(one.value)]
    matters = effect * max(values, default=0.0)
    tests = [_welch(*pair) for pair in pairs]
    adjusted = holm(np.array([_p(difference, *rest) for difference, *rest in tests], np.float64))
    return tuple(
        _shift(*pair, *test, p_value, alpha, matters)
        for pair, test, p_value in zip(pairs, tests, adjusted.tolist(), strict=True)
    )


def _welch(before: Importance, after: Importance) -> tuple[float, float, float]:
    """Return the difference, its standard error, and the degrees of freedom."""
    if before.status not in MEASURED or after.status not in MEASURED:
        return NAN, NAN, NAN
    parts = (before.error**2, after.error**2)
    total = sum(parts)
    if not total > 0.0:
        return after.value - before.value, 0.0, 1.0
    rows = (before.n, after.n)
    freedom = total**2 / sum(part**2 / (n - 1) for part, n in zip(parts, rows, strict=True))
    return after.value - before.value, math.sqrt(total), freedom


def _p(difference: float, error: float, freedom: float) -> float:
    if math.isnan(difference):
        return NAN
    if error == 0.0:
        # A column that the model does not read, or that is constant, is no test: it costs no power.
        return 0.0 if difference else NAN
    return min(1.0, 2.0 * special.t_sf(freedom, abs(difference) / error))


def _shift(
    before: Importance,
    after: Importance,
    difference: float,
    error: float,
    freedom: float,
    p_value: float,
    alpha: float,
    matters: float,
) -> ImportanceShift:
    reach = NAN
    if not math.isnan(difference):
        reach = special.t_quantile(freedom, 1.0 - alpha / 2.0) * error if error else 0.0
    status, reason = _judged(before, after, p_value, alpha, matters)
    return ImportanceShift(
        before.columns,
        status,
        before.value,
        after.value,
        difference,
        difference - reach,
        difference + reach,
        p_value,
        before.rank,
        after.rank,
        reason,
    )


def _judged(
    before: Importance, after: Importance, p_value: float, alpha: float, matters: float
) -> tuple[Status, str]:
    first = next((one for one in (before, after) if one.status not in MEASURED), None)
    if first is not None:
        return Status.NO_DATA, first.reason
    few = next((one for one in (before, after) if one.status is Status.INCONCLUSIVE), None)
    if few is not None:
        return Status.INCONCLUSIVE, few.reason
    was, now = (f"{one.value:.3g} (rank {one.rank})" for one in (before, after))
    difference = after.value - before.value
    if p_value <= alpha and abs(difference) >= matters:
        return Status.DRIFT, f"{'rose' if difference > 0 else 'fell'} from {was} to {now}"
    return Status.OK, f"{was}, then {now}"
