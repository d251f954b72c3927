"""Patterns that name a fault: rates that jumped, values that stand still, units that changed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from homeostat.detectors.cells import count_cells
from homeostat.detectors.quality.reference import (
    MANY_VALUES,
    RARE,
    ColumnQuality,
    QualityConfig,
    outside,
    tally,
)
from homeostat.domain.model import Column, ColumnKind
from homeostat.profiles.profile import ColumnProfile
from homeostat.stats.bitbins import add_bins, bin_of, left_edge
from homeostat.stats.dispersion import PRIOR_CORRELATION, Rate, distance

_UNITS = (
    100.0,
    1_000.0,
    10.0,
    1e6,
    60.0,
    3_600.0,
    24.0,
    12.0,
    1.609344,
    2.54,
    2.20462262,
    3.2808399,
)

SCALES = (-1.0, *(factor for unit in _UNITS for factor in (unit, 1.0 / unit)))
"""Factors of known unit changes, the most usual first; -1 is a sign flip."""

COARSE = 9.0  # factor that no rhythm within a day brings about
FEW_BINS = 5  # fewer different values in a window do not show by what they were multiplied
HEAVY = 3.0  # binomial standard deviations; far less than any alarm budget asks for
MOVED = 0.5  # distance before undoing a unit change
UNDONE = 0.25  # share of that distance that may be left after undoing it
STILL = 0.9  # share of one value in a column that stands still
STILL_RISE = 0.3


@dataclass(frozen=True, slots=True)
class Fault:
    """One way in which a column may be faulty.

    Attributes
    ----------
    name : str
        ``missing``, ``outside``, ``unseen``, ``far``, ``zeros``, ``stuck``, ``scale``.
    p_value : float
        Of what was seen, in healthy traffic.
    size : float
        Rise of the share of bad rows; for ``scale`` the share of the distance it explains.
    needed : float
        Size that matters.
    value : float
        For the details: the share of bad rows, or the factor.
    text : str
        What is wrong, for people.
    """

    name: str
    p_value: float
    size: float
    needed: float
    value: float
    text: str


def find_faults(
    seen: ColumnProfile,
    quality: ColumnQuality,
    config: QualityConfig,
    *,
    comparable: bool,
    long: bool,
) -> tuple[Fault, ...]:
    """Test a column for every fault; the caller decides from p-value and size.

    Parameters
    ----------
    seen : ColumnProfile
        Of the window.
    quality : ColumnQuality
    config : QualityConfig
    comparable : bool
        Whether the reference's windows are as short as this one. If not, what an hour of the day
        can do by itself (a constant hour, all zeros at midnight) is not held against a column.
    long : bool
        Whether the reference spans a week. If not, values that were never seen may be a weekday's.
    """
    counts = tally(seen, quality.known)
    faults = [
        _rate("missing", counts, quality, config.min_rise, "without a value"),
        _rate("outside", counts, quality, config.min_breach, "outside what the schema allows"),
    ]
    if quality.known.column.kind is ColumnKind.NUMERIC:
        zeros = quality.rates.get("zeros")
        if comparable or (zeros is not None and zeros.share < RARE):
            faults.append(_rate("zeros", counts, quality, 2 * config.min_rise, "are zero"))
        many = quality.known.distinct >= MANY_VALUES
        if many:
            text = "far beyond the usual range"
            faults.append(_rate("far", counts, quality, config.min_rise, text))
        if comparable or many:
            faults.append(_stuck(counts, quality))
        faults.append(_scale(seen, counts, quality, small=comparable and long))
    else:
        if long and quality.known.column.kind is ColumnKind.CATEGORICAL:
            text = "with a category that was never seen"
            faults.append(_rate("unseen", counts, quality, config.min_rise, text))
        if comparable:
            faults.append(_stuck(counts, quality))
    return tuple(fault for fault in faults if fault is not None)


def stated_faults(seen: ColumnProfile, column: Column, config: QualityConfig) -> tuple[Fault, ...]:
    """Test a column of which no healthy traffic is known for what the schema alone states.

    A share of ``min_breach`` is taken for usual. Columns of which nothing is stated have no fault
    that could be found, and an empty result.
    """
    usual = Rate(config.min_breach, PRIOR_CORRELATION, 0)
    counts: dict[str, tuple[int, int, str]] = {}
    if not column.nullable:
        counts["missing"] = (seen.count - seen.present, seen.count, "without a value")
    if (column.minimum, column.maximum, column.categories) != (None, None, None):
        text = "outside what the schema allows"
        counts["outside"] = (outside(seen, column), seen.present, text)
    return tuple(
        Fault(
            name,
            usual.p_value(bad, rows),
            bad / rows - usual.share if rows else 0.0,
            config.min_breach,
            bad / rows if rows else 0.0,
            f"{bad / rows if rows else 0.0:.0%} of rows {text}",
        )
        for name, (bad, rows, text) in counts.items()
    )


def _rate(
    name: str,
    counts: dict[str, tuple[int, int]],
    quality: ColumnQuality,
    needed: float,
    text: str,
) -> Fault | None:
    bad, rows = counts[name]
    usual = quality.rates.get(name)
    if usual is None or rows == 0:
        return None
    share = bad / rows
    said = f"{share:.0%} of rows {text}, usually {usual.share:.1%}"
    # No more than usual is no evidence; the common case needs no tail of a distribution.
    p_value = usual.p_value(bad, rows) if share > usual.share else 1.0
    return Fault(name, p_value, share - usual.share, needed, share, said)


def _stuck(counts: dict[str, tuple[int, int]], quality: ColumnQuality) -> Fault | None:
    bad, rows = counts["top"]
    if bad < STILL * rows:
        return None
    fault = _rate("top", counts, quality, STILL_RISE, "hold one and the same value")
    if fault is None:
        return None
    return Fault("stuck", fault.p_value, fault.size, fault.needed, fault.value, fault.text)


def _scale(
    seen: ColumnProfile,
    counts: dict[str, tuple[int, int]],
    quality: ColumnQuality,
    *,
    small: bool,
) -> Fault | None:
    """Look for the unit change that, undone, makes the column look as usual again."""
    known = quality.known
    tails = [name for name in ("low", "lower", "upper", "high") if name in quality.rates]
    if seen.present == 0 or not tails:
        return None
    if seen.bins.size < FEW_BINS or not any(
        _heavy(quality.rates[name], *counts[name]) for name in tails
    ):
        return None
    usual = known.pooled[:-1]
    before = distance(count_cells(seen, known.binning)[:-1], usual)
    if before.effect < MOVED:
        return None
    tried = {
        factor: distance(count_cells(_scaled(seen, 1.0 / factor), known.binning)[:-1], usual)
        for factor in SCALES
        if small or factor < 0.0 or max(factor, 1.0 / factor) >= COARSE
    }
    closest = min(tried.values(), key=lambda found: found.raw)
    # Several factors undo it within noise: take the most usual one.
    best = next(f for f in tried if tried[f].raw <= closest.raw + 2 * closest.df / closest.rows)
    left = tried[best].effect / before.effect
    p_value = min(quality.rates[name].p_value(*counts[name]) for name in tails)
    said = "signs are flipped" if best < 0.0 else f"values are {best:.4g} times what they were"
    text = f"{said}: a change of unit or sign upstream"
    return Fault("scale", min(1.0, len(tails) * p_value), 1.0 - left, 1.0 - UNDONE, best, text)


def _heavy(usual: Rate, bad: int, rows: int) -> bool:
    """Whether a tail holds so much more than usual that a change of unit is worth looking for."""
    expected = usual.share * rows
    return bad - expected > HEAVY * math.sqrt(expected * (1.0 - usual.share) + 1.0)


def _scaled(seen: ColumnProfile, factor: float) -> ColumnProfile:
    """Return the column with its histogram as if each value were multiplied."""
    # The middle of a bin, so that values on a bin's edge do not all land one bin too low.
    middle = (left_edge(seen.bins) + left_edge(seen.bins + np.uint32(1))) / 2.0
    zero = seen.bins == bin_of(np.zeros(1))[0]
    bins, counts = add_bins(bin_of(np.where(zero, 0.0, middle * factor)), seen.counts)
    return ColumnProfile(ColumnKind.NUMERIC, count=seen.present, bins=bins, counts=counts)
