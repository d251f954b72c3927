"""Verdicts on a column in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from homeostat.detectors.comparison.evidence import Aspect
from homeostat.profiles.profile import ColumnProfile


def tell(
    reference: ColumnProfile,
    current: ColumnProfile,
    ways: Sequence[Aspect],
    *,
    drifted: bool,
    real: bool,
) -> str:
    """Return what changed and why that is or is not drift."""
    if drifted:
        order = sorted(ways, key=lambda way: -way.score)
        return "; ".join(_change(way, reference, current) for way in order)
    largest = max(ways, key=lambda way: way.score)
    if largest.score >= 1.0:
        return f"{_change(largest, reference, current)}: no more than chance explains"
    return "changed, but too little to matter" if real else "as in the reference"


def _change(way: Aspect, reference: ColumnProfile, current: ColumnProfile) -> str:
    if way.name == "location":
        verb = "rose" if way.signed > 0 else "fell"
        size = f"{way.effect:.2g}"
        unit = "standard deviation" if size == "1" else "standard deviations"
        means = f"mean {_short(reference.mean)} to {_short(current.mean)}"
        return f"values {verb} by {size} {unit} ({means})"
    if way.name == "missing":
        before, after = (1.0 - side.share(side.present) for side in (reference, current))
        return f"rows without a usable value went from {before:.2%} to {after:.2%}"
    if way.name == "exchanged":
        return f"{way.effect:.1%} of rows have values that only one side has, beyond what is usual"
    what = "values" if way.name == "shape" else "categories"
    return f"{way.effect:.1%} of rows moved to other {what}"


def _short(value: float) -> str:
    """Return a number in four digits, without an exponent where it can do without."""
    return f"{value:,.0f}" if 1e3 <= abs(value) < 1e12 else f"{value:.4g}"
