"""Numbers of the same shape on another scale, and signs where there were none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.faults.columns import Values
from homeostat.detectors.faults.config import FaultConfig
from homeostat.detectors.faults.masses import FaultyRows, rise_p
from homeostat.detectors.faults.scales import distance
from homeostat.domain.explanation import DataFault, FaultKind
from homeostat.stats.special import kolmogorov_sf

Floats = NDArray[np.float64]

_NOISE = 1.63  # Kolmogorov's 99 % quantile
_NEAR = 0.04  # departure of the ratio of spreads from a power of ten, in powers of ten
_DISTINCT = 20
_ALIKE = 0.2  # distance from usual of values whose signs are put right
_LEAST = 0.03
_GROSS = 2  # powers of ten
_STILL_APART = 0.6  # distance from usual that a changed mix may leave


def find_power(name: str, one: Values, two: Values, config: FaultConfig) -> FaultyRows | None:
    """Find values a power of ten times what they were, also where they lie about zero.

    No change of the mix of rows spreads a column ten times as far and keeps its shape, nor a
    hundred times as far and leaves it, once the unit is put right, about where it was.

    Parameters
    ----------
    name : str
    one, two : Values
        Numbers.
    config : FaultConfig
    """
    before, now = (np.sort(v.numbers[np.isfinite(v.numbers)]) for v in (one, two))
    if min(before.size, now.size) < config.min_rows or np.unique(before).size < _DISTINCT:
        return None
    widths = [float(np.subtract(*np.quantile(side, [0.9, 0.1]))) for side in (before, now)]
    if min(widths) <= 0.0:
        return None
    power = float(np.log10(widths[1] / widths[0]))
    whole = round(power)
    level = float(np.sqrt(1.0 / before.size + 1.0 / now.size))
    if not whole or abs(power - whole) > _NEAR + level:
        return None
    factor = 10.0**whole
    left = distance(before * factor, now)
    if left > _NOISE * level and not (abs(whole) >= _GROSS and left <= _STILL_APART):
        return None
    p_value = kolmogorov_sf(distance(before, now) / level)
    if p_value > config.level:
        return None
    text = f"{name}: values are {factor:.4g} times what they were: another unit"
    fault = DataFault(FaultKind.UNIT, (name,), text, 1.0, p_value, factor=factor)
    return FaultyRows(fault, np.isfinite(two.numbers))


def find_signs(name: str, one: Values, two: Values, config: FaultConfig) -> FaultyRows | None:
    """Find some values with another sign in a column that had one sign.

    Parameters
    ----------
    name : str
    one, two : Values
        Numbers.
    config : FaultConfig
    """
    before, now = (v.numbers[np.isfinite(v.numbers)] for v in (one, two))
    if min(before.size, now.size) < config.min_rows:
        return None
    sign = 1.0 if before.min() >= 0.0 else -1.0
    if sign * before.min() < 0.0 or sign * before.max() < 0.0 or not before.any():
        return None
    rows = np.isfinite(two.numbers) & (sign * two.numbers < 0.0)
    turned, share = -two.numbers[rows], float(rows.sum()) / now.size
    p_value = rise_p(0.0, before.size, share, now.size)
    if share < _LEAST or share > 1.0 - _LEAST or p_value > config.level:
        return None
    if np.unique(turned).size < min(_DISTINCT, np.unique(before).size):
        return None
    noise = _NOISE * float(np.sqrt(1.0 / before.size + 1.0 / turned.size))
    if distance(np.sort(before), np.sort(turned)) > max(_ALIKE, noise):
        return None
    text = f"{name}: signs are flipped in {share:.0%} of rows"
    fault = DataFault(FaultKind.SIGN_FLIP, (name,), text, share, p_value, factor=-1.0)
    return FaultyRows(fault, rows, np.zeros(one.numbers.size, dtype=bool))
