"""How many rows a comparison needs, and how long they take to come."""

from __future__ import annotations

import math
from collections.abc import Sequence

from homeostat.stats.mixtures import normal_bound, normal_prior
from homeostat.stats.special import normal_quantile


def rows_for_shares(
    base: float, target: float, power: float = 0.8, alpha: float = 0.05, ratio: float = 1.0
) -> float:
    """Return the control's rows for telling two shares apart, two-sided, at a fixed size.

    Cohen's (1988) effect ``h = 2 asin(sqrt(p)) - 2 asin(sqrt(q))``, whose variance does not depend
    on the shares.

    Parameters
    ----------
    base, target : float
        In [0, 1], different.
    power, alpha : float
        In (0, 1).
    ratio : float
        Treated rows for each row of the control.

    Examples
    --------
    >>> round(rows_for_shares(0.05, 0.06), 1)
    8142.6
    """
    if not (0.0 <= base <= 1.0 and 0.0 <= target <= 1.0) or base == target:
        raise ValueError(f"shares lie in [0, 1] and differ, not {base} and {target}")
    effect = 2.0 * (math.asin(math.sqrt(target)) - math.asin(math.sqrt(base)))
    return rows_for_means(effect, 1.0, power, alpha, ratio)


def rows_for_means(
    effect: float, sd: float, power: float = 0.8, alpha: float = 0.05, ratio: float = 1.0
) -> float:
    """Return the control's rows for telling two means apart, two-sided, at a fixed size.

    ``(z + z')^2 sd^2 (1 + 1 / ratio) / effect^2``, the normal limit: a row or two more are needed
    where the result is below twenty.

    Examples
    --------
    >>> round(rows_for_means(effect=0.5, sd=1.0), 1)
    62.8
    """
    _check(effect, sd, power, alpha, ratio)
    reach = normal_quantile(1.0 - alpha / 2.0) + normal_quantile(power)
    return (reach * sd / effect) ** 2 * (1.0 + 1.0 / ratio)


def rows_when_looking(
    effect: float, sd: float, power: float = 0.8, alpha: float = 0.05, ratio: float = 1.0
) -> float:
    """Return the control's rows by which one who looks all the time has found the effect.

    As `rows_for_means`, with the anytime bound, tuned to end there, in place of the fixed one. An
    upper bound: it counts only the last look.

    Examples
    --------
    >>> round(rows_when_looking(effect=0.5, sd=1.0) / rows_for_means(effect=0.5, sd=1.0), 2)
    1.91
    """
    fixed = rows_for_means(effect, sd, power, alpha, ratio)
    # Tuned for the size itself the bound is the same number of errors at every size.
    bound = normal_bound(1.0, alpha, normal_prior(1.0, alpha))
    reach = normal_quantile(1.0 - alpha / 2.0) + normal_quantile(power)
    return fixed * ((bound + normal_quantile(power)) / reach) ** 2


def days_needed(rows: Sequence[float], shares: Sequence[float], per_day: float) -> int:
    """Return the whole days until each arm has its rows.

    Parameters
    ----------
    rows : sequence of float, shape (k,)
        That each arm needs.
    shares : sequence of float, shape (k,)
        Of all entities, in (0, 1].
    per_day : float
        New entities a day; those who come back count once.

    Examples
    --------
    >>> days_needed([8143, 8143], [0.9, 0.1], per_day=5000)  # round up to weeks yourself
    17
    """
    if not per_day > 0.0 or not all(share > 0.0 for share in shares):
        raise ValueError("entities a day and shares are positive")
    return max(
        math.ceil(need / (share * per_day)) for need, share in zip(rows, shares, strict=True)
    )


def _check(effect: float, sd: float, power: float, alpha: float, ratio: float) -> None:
    if not effect or not math.isfinite(effect):
        raise ValueError("no number of rows finds an effect of 0")
    if not (sd > 0.0 and ratio > 0.0):
        raise ValueError("a spread and a ratio of sizes are positive")
    if not (0.0 < power < 1.0 and 0.0 < alpha < 1.0):
        raise ValueError(f"power and error rate lie in (0, 1), not {power} and {alpha}")
