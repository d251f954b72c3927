"""Numbers in another unit, with another sign, or in another column."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.faults.columns import Values
from homeostat.detectors.faults.config import UNITS, FaultConfig
from homeostat.detectors.faults.masses import FaultyRows
from homeostat.domain.explanation import DataFault, FaultKind
from homeostat.stats.special import kolmogorov_sf

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

APART = 0.8  # distance of distributions that no mere change of mix bridges
_MOVED = 0.15
_COARSE = 2.2  # logarithm of a factor that no mix of rows brings about
_STILL_APART = 0.6  # distance from usual that a changed mix may leave
_UNDONE = 0.25  # share of the distance that may be left
_HINTED = 0.4  # and where labels and other columns are asked
_LOOSE = 1.25  # times the noise that is left then
_BEYOND = 0.2  # share of the rows in another unit that must be out of the usual range
_DISTINCT = 6
_GENERAL_ROWS = 500  # fewer fit some factor and offset by chance
_GRID = 300
_STEPS = (1.0, 0.1, 0.01)  # that numbers are written in
_FEW = 0.03  # share of rows
_MOSTLY = 0.95
_NOISE = 1.63  # Kolmogorov's 99 % quantile


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """How well "a share of rows is in another unit" explains a column.

    ``share`` of rows; ``left`` is the distance that remains, ``apart`` that between the units.
    """

    factor: float
    offset: float
    share: float
    left: float
    apart: float


def find_scale(
    name: str, one: Values, two: Values, config: FaultConfig, *, suspect: bool = False
) -> FaultyRows | None:
    """Find the change of unit, or the flip of signs, that explains a column.

    Parameters
    ----------
    name : str
    one, two : Values
    config : FaultConfig
    suspect : bool
        Look instead for what may as well be a change of the mix of rows: a factor near 1. Only
        labels can tell.
    """
    before, now = _finite(one.numbers), _finite(two.numbers)
    if min(before.size, now.size) < config.min_rows or np.unique(before).size < _DISTINCT:
        return None
    moved = distance(before, now)
    noise = _NOISE * float(np.sqrt(1.0 / before.size + 1.0 / now.size))
    p_value = kolmogorov_sf(moved / noise * _NOISE)
    if p_value > config.level or moved < config.min_rise:
        return None
    fits = [_explain(before, now, factor, offset) for factor, offset in UNITS]
    near = max(noise, 0.05 * moved)
    if suspect:
        fits = [f for f in fits if f.left <= min(_LOOSE * near, _HINTED * f.share * f.apart)]
    else:
        fits = [f for f in fits if f.left <= near and _plausible(f, before, now)]
        fits = fits or _loose(before, now) or _general(before, now, moved, noise)
    if not fits:
        return None
    closest = min(fit.left for fit in fits)
    # Several explain it within noise: take the most usual one, or, to be weighed, the closest.
    tied = 0.0 if suspect else 0.5 * noise
    best = next(fit for fit in fits if fit.left <= closest + tied)
    kind = FaultKind.SIGN_FLIP if best.factor == -1.0 and not best.offset else FaultKind.UNIT
    text = f"{name}: {_said(best)}"
    off = _left_steps(best, before, two.numbers) if best.share < 1.0 else None
    rows = _touched(two.numbers, before, best) if off is None else off
    fault = DataFault(
        kind, (name,), text, best.share, p_value, factor=best.factor, offset=best.offset
    )
    return FaultyRows(fault, rows)


def find_swaps(
    pairs: dict[str, tuple[Values, Values]], config: FaultConfig
) -> tuple[tuple[FaultyRows, str, str], ...]:
    """Find two columns of numbers that hold each other's values."""
    moved: dict[str, tuple[Floats, Floats]] = {}
    for name, (one, two) in pairs.items():
        before, now = _finite(one.numbers), _finite(two.numbers)
        if min(before.size, now.size) < config.min_rows:
            continue
        level = float(np.sqrt(1.0 / before.size + 1.0 / now.size))
        apart = distance(before, now)
        if apart > config.min_rise and kolmogorov_sf(apart / level) <= config.level:
            moved[name] = (before, now)
    found = []
    names = list(moved)
    for place, first in enumerate(names):
        for second in names[place + 1 :]:
            ours, theirs = moved[first], moved[second]
            noise = _NOISE * float(np.sqrt(1.0 / ours[0].size + 1.0 / ours[1].size))
            a, b = _mixed(ours[0], theirs[0], ours[1]), _mixed(theirs[0], ours[0], theirs[1])
            poor = max(a.left, b.left) > noise or abs(a.share - b.share) > 0.1 or a.share < 0.05
            alike = min(distance(*ours), distance(*theirs)) < 4.0 * max(a.left, b.left)
            if poor or alike:
                continue
            text = f"{first} and {second} hold each other's values in {a.share:.0%} of rows"
            fault = DataFault(FaultKind.SWAPPED, (first, second), text, min(1.0, a.share))
            rows = np.ones(pairs[first][1].numbers.size, dtype=bool)
            found.append((FaultyRows(fault, rows), first, second))
    return tuple(found)


def distance(one: Floats, two: Floats) -> float:
    """Return the largest distance of two distribution functions."""
    grid = _grid(one, two)
    return float(np.abs(_share_below(one, grid) - _share_below(two, grid)).max())


def _finite(numbers: Floats) -> Floats:
    return np.sort(numbers[np.isfinite(numbers)])


def _grid(*sides: Floats) -> Floats:
    levels = np.linspace(0.0, 1.0, _GRID)
    return np.unique(
        np.concatenate([side[(levels * (side.size - 1)).astype(int)] for side in sides])
    )


def _share_below(ordered: Floats, grid: Floats) -> Floats:
    return np.searchsorted(ordered, grid, side="right") / ordered.size


def _explain(before: Floats, now: Floats, factor: float, offset: float) -> Fit:
    other = np.sort(before * factor + offset)
    fit = _mixed(before, other, now)
    return Fit(factor, offset, fit.share, fit.left, fit.apart)


def explain_offset(before: Floats, now: Floats, offset: float) -> Fit:
    """Fit "a share of the rows is this much more than it was" to sorted numbers."""
    return _explain(before, now, 1.0, offset)


def _mixed(before: Floats, other: Floats, now: Floats) -> Fit:
    """Fit "a share of the rows of now comes from other, the rest from before"."""
    grid = _grid(before, other, now)
    usual, changed, seen = (_share_below(side, grid) for side in (before, other, now))
    way = changed - usual
    size = float(way @ way)
    share = float(np.clip((seen - usual) @ way / size, 0.0, 1.0)) if size else 0.0
    if share > 0.9:
        whole = float(np.abs(seen - changed).max())
        if whole <= float(np.abs(seen - usual - share * way).max()) + 0.01:
            return Fit(1.0, 0.0, 1.0, whole, float(np.abs(way).max()))
    left = float(np.abs(seen - usual - share * way).max())
    return Fit(1.0, 0.0, share, left, float(np.abs(way).max()))


def _plausible(fit: Fit, before: Floats, now: Floats) -> bool:
    """Whether a change of unit, rather than of the mix of rows, is what happened."""
    moved = fit.share * fit.apart
    if fit.share < 0.03 or fit.left > _UNDONE * moved:
        return False
    if fit.apart >= APART:
        beyond = _beyond(before, now)
        inward = bool(abs(fit.factor) < 1.0 and fit.factor > 0.0)
        return fit.share == 1.0 or inward or beyond > _BEYOND * fit.share
    # Rows in part, or a factor near 1, look like a change of mix unless values tell.
    if _left_steps(fit, before, now) is not None:
        return True
    if fit.share < 1.0:
        return False
    whole = bool(np.all(before == np.round(before)))
    still = bool(np.all(now == np.round(now)))
    if whole != still:
        return True
    return fit.factor < 0.0 and fit.apart >= _MOVED


def _left_steps(fit: Fit, before: Floats, now: Floats) -> Mask | None:
    """Return which values no longer come in steps, if they do once the unit is put right."""
    for step in _STEPS:
        if _on_steps(before, step).all():
            off = ~_on_steps(now, step) & np.isfinite(now)
            mended = _on_steps((now[off] - fit.offset) / fit.factor, step)
            enough = mended.size >= _FEW * now.size
            return off if enough and mended.mean() >= _MOSTLY else None
    return None


def _on_steps(values: Floats, step: float) -> Mask:
    places = values / step
    near = np.minimum(1e-6 * np.maximum(1.0, np.abs(places)), 0.01)
    found: Mask = np.abs(places - np.round(places)) <= near
    return found


def _beyond(before: Floats, now: Floats) -> float:
    """Return the share of rows out of the range there was: no change of mix brings them."""
    low, high = float(before[0]), float(before[-1])
    margin = 0.05 * (high - low)
    # Where all had one sign, the other is out of range however near.
    least = min(low, 0.0) if low >= 0.0 else low - margin
    most = max(high, 0.0) if high <= 0.0 else high + margin
    return float(np.mean((now < least) | (now > most)))


def _loose(before: Floats, now: Floats) -> list[Fit]:
    """Fit coarse changes of unit of rows whose mix has changed as well.

    No mix of rows leaves the usual range by as much; but once the unit is put right, they may still
    differ from what they were.
    """
    beyond = _beyond(before, now)
    apart = distance(before, now)
    found = []
    for factor, offset in UNITS:
        if offset or 0.0 < abs(np.log(abs(factor))) < _COARSE:
            continue
        between = distance(before, np.sort(before * factor))
        if between < 0.95:
            continue
        rows = _touched(now, before, Fit(factor, 0.0, 0.5, 0.0, between))
        share = float(rows.mean())
        put_right = np.sort(np.where(rows, now / factor, now))
        left = distance(before, put_right)
        inward = 0.0 < factor < 1.0
        gone = apart >= 0.9 if inward else beyond >= _BEYOND * share
        if share >= 0.05 and gone and left <= min(_STILL_APART, 0.8 * share):
            found.append(Fit(factor, 0.0, 1.0 if share > 0.95 else share, left, between))
    return found


def _general(before: Floats, now: Floats, moved: float, noise: float) -> list[Fit]:
    """Fit any factor and offset, believed only if most rows left the range there was."""
    if moved < APART or min(before.size, now.size) < _GENERAL_ROWS:
        return []
    levels = np.linspace(0.05, 0.95, 19)
    x, y = np.quantile(before, levels), np.quantile(now, levels)
    found = []
    for target in (y, y[::-1]):
        spread = float(x.var(ddof=1))
        factor = float(np.cov(x, target)[0, 1]) / spread if spread else 0.0
        offset = float(target.mean() - factor * x.mean())
        if not factor:
            continue
        fit = _explain(before, now, factor, offset)
        outside = float(np.mean((now < before[0]) | (now > before[-1])))
        if fit.share == 1.0 and fit.left <= noise and outside > 0.5:
            found.append(fit)
    return found


def _touched(numbers: Floats, before: Floats, fit: Fit) -> Mask:
    """Return the rows that are likelier in the other unit."""
    if fit.share == 1.0:
        return np.isfinite(numbers)
    middle = float(np.median(before))
    there = fit.factor * middle + fit.offset
    if middle * there > 0.0:
        # Units multiply: what is nearer is told on the scale of ratios.
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.log(numbers / middle)
        far: Mask = np.abs(ratio - np.log(there / middle)) < np.abs(ratio)
        return far
    found: Mask = np.abs(numbers - there) < np.abs(numbers - middle)
    return found


def _said(fit: Fit) -> str:
    rows = "" if fit.share == 1.0 else f" in {fit.share:.0%} of rows"
    if fit.factor == -1.0 and not fit.offset:
        return f"signs are flipped{rows}"
    if not fit.offset:
        return f"values are {fit.factor:.4g} times what they were{rows}: another unit"
    change = f"{fit.factor:.4g} times what they were plus {fit.offset:.4g}"
    return f"values are {change}{rows}: another unit"
